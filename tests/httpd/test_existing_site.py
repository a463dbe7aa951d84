# SPDX-License-Identifier: Apache-2.0
"""The shipped virtual host with what sites have that exist already: none of it answers in the place of our handlers, and all
else is still the site's."""

import re

import pytest
from amtu_stack import kdc, ports, soap
from amtu_stack.console import Console
from second_httpd import SecondHttpd, There, shipped

MODULES = ("mpm_event", "authn_core", "authz_core", "authz_host", "authz_user", "auth_gssapi", "socache_shmcb", "ssl",
           "reqtimeout", "http2", "proxy", "proxy_http", "rewrite", "alias", "dir", "mime", "speling", "setenvif", "autoindex")
SITE_TEXT = b"the site's own text\n"
NOBODY = "http://127.0.0.1:9"  # the discard port, where nobody listens
ROOT = """\
DocumentRoot "{root}"
<Directory "{root}">
    AllowOverride All
    Options FollowSymLinks
    Require all granted
</Directory>
"""
FRONT_CONTROLLER = "RewriteEngine On\nRewriteRule ^ index.php [L]\n"
# What a site has: (its text, its .htaccess)
SITES = {
    "nothing": ("", ""),
    "front-controller": ("", FRONT_CONTROLLER),
    "front-controller-that-denies": ("", FRONT_CONTROLLER + "Require all denied\n"),
    "other-handler": ("", "SetHandler default-handler\n"),
    "closed-root": ("<Directory />\nRequire all denied\n</Directory>\n", ""),
    "proxy": (f"ProxyPass / {NOBODY}/\n", ""),
    "proxy-match": (f"ProxyPassMatch ^/(.*)$ {NOBODY}/$1\n", ""),
    "proxy-of-encoded-paths": (f"ProxyPass / {NOBODY}/ mapping=encoded\n", ""),
    "redirect": ("RedirectMatch 301 ^/(.*)$ https://elsewhere.example/$1\n", ""),
    "alias": ("AliasMatch ^/.* \"{root}/index.php\"\n", ""),
    "rewrite-to-proxy": (f"RewriteEngine On\nRewriteRule ^/?(.*)$ {NOBODY}/$1 [P,L]\n", ""),
    "rewrite-to-file": ("RewriteEngine On\nRewriteRule ^ /index.php [PT,L]\n", ""),
    "rewrite-that-forbids": ("RewriteEngine On\nRewriteRule ^ - [F]\n", ""),
    "fallback": ("FallbackResource /index.php\n", ""),
    "spelling": ("CheckSpelling On\n", ""),
    "http2": ("Protocols h2 http/1.1\nRewriteEngine On\nRewriteRule ^ /index.php [PT,L]\n", ""),
    "redirect-of-a-location": ('<Location "/">\nRedirect 301 "https://elsewhere.example/"\n</Location>\n', ""),
    "redirect-under-a-condition": ('<If "true">\nRedirect 301 "https://elsewhere.example/"\n</If>\n', ""),
    "rewrite-of-a-location": ('<Location "/">\nRewriteEngine On\nRewriteRule ^ https://elsewhere.example/ [R=301]\n</Location>\n',
                              ""),
    "other-handler-by-a-rule": ('<Location "/">\nRewriteEngine On\nRewriteRule ^ - [H=default-handler]\n</Location>\n', ""),
    "handler-of-a-location": (f'<Location "/">\nSetHandler "proxy:{NOBODY}/"\n</Location>\n', ""),
    "handler-of-a-suffix": ("AddHandler default-handler .mof .wsdl\n", ""),
}
PAGES = {"/amtunlock-status": "mod_amtunlock", "/amtunlock-metrics": "amtunlock_",
         "/wsman-schema/AMT_RemoteEncryptionService.mof": "class AMT_RemoteEncryptionService"}


def virtual_host(stack, name, port):
    """The one of the shipped file, for a site of that name."""
    tls = stack.httpd.root / "tls"
    text = shipped("amtunlock.conf", **{"Listen 5986": f"Listen 127.0.0.1:{port}", "*:5986": f"*:{port}",
                                        "/etc/amtunlock/tls": tls, "/etc/amtunlock/http.keytab": stack.httpd.realm.keytab})
    block = re.search(r"^<IfDefine AMTUNLOCK>\n(.*)^</IfDefine>", text, re.M | re.S)[1]
    root = stack.places.folder(f"site-{name}")
    site, access = SITES[name]
    stack.places.write(root / "index.php", SITE_TEXT.decode())
    for folder in ("wsman", "amtunlock-status"):  # so that a folder of the site has our name, too
        stack.places.folder(f"site-{name}/{folder}")
    if access:
        stack.places.write(root / ".htaccess", access)
    return block.replace(f"*:{port}>", f"*:{port}>\n" + ROOT.format(root=root) + site.replace("{root}", str(root)))


def look(there, path):
    """What a browser gets."""
    return Console(there).send("", path=path, method="GET")


@pytest.fixture(scope="module")
def _sites(_shared_stack):
    """{name: port}"""
    stack = _shared_stack
    found = dict(zip(SITES, ports.pick(len(SITES))))
    redis = stack.httpd.redis
    own = (f"LoadModule amtunlock_module {stack.places.program('mod_amtunlock.so')}\n"
           f"AMTUnlockRedis unix:{redis.socket} user=amtunlock-web password-file={redis.password_file('amtunlock-web')}\n"
           f"AMTUnlockScope * \"%{{REMOTE_USER}} == '{kdc.CONSOLE}@{kdc.REALM}'\"\nAMTUnlockWorker Off\n"
           "TypesConfig /dev/null\nAccessFileName .htaccess\n")
    text = own + "\n".join(virtual_host(stack, name, port) for name, port in found.items())
    with SecondHttpd(stack, "sites", MODULES, text) as httpd:
        for port in found.values():
            httpd.wait(port)
        yield found


@pytest.fixture(params=SITES)
def site(stack, _sites, request):
    return There(stack, _sites[request.param])


def test_the_service_answers(stack, site):
    assert Console(site).send(soap.IDENTIFY).status == 401
    console = Console(site, stack.kdc.cache(kdc.CONSOLE))
    assert console.send(soap.IDENTIFY).text("wsmid:ProductVendor") == "mod_amtunlock"
    assert console.send(soap.unlock(["unknown.example"])).job
    assert Console(site).send(soap.IDENTIFY, path="/wsman-anon/identify").text("wsmid:ProtocolVersion")


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_answer(site, path):
    answer = look(site, path)
    assert answer.status == 200
    assert PAGES[path] in answer.body.decode()


def test_all_else_is_the_sites(stack, _sites):
    """What we claim ends with our Locations."""
    assert look(There(stack, _sites["front-controller"]), "/any/thing").body == SITE_TEXT
    for name in ("redirect", "redirect-of-a-location", "redirect-under-a-condition", "rewrite-of-a-location"):
        assert look(There(stack, _sites[name]), "/other").status == 301
    assert look(There(stack, _sites["proxy"]), "/other").status == 503
    assert look(There(stack, _sites["rewrite-that-forbids"]), "/other").status == 403
    assert look(There(stack, _sites["nothing"]), "/index.php").body == SITE_TEXT
