# SPDX-License-Identifier: Apache-2.0
"""The shipped virtual host with what sites have that exist already: none of it answers in the place of our handlers, and all
else is still the site's."""

import gzip
import re
import socket
import ssl
from pathlib import Path

import pytest
from amtu_stack import kdc, ports, soap
from amtu_stack.console import Console
from amtu_stack.httpd import MODULES as MODULE_FOLDER
from second_httpd import SecondHttpd, There, shipped

MODULES = ("mpm_event", "authn_core", "authz_core", "authz_host", "authz_user", "auth_gssapi", "socache_shmcb", "ssl",
           "reqtimeout", "http2", "proxy", "proxy_http", "proxy_fcgi", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests", "rewrite",
           "alias", "dir", "mime", "speling", "setenvif", "autoindex", "access_compat", "allowmethods", "actions", "dav", "dav_fs",
           "vhost_alias", "filter", "deflate", "buffer", "cache", "cache_socache", "expires", "auth_basic", "authn_file", "request",
           "session", "session_cookie", "auth_form", "unique_id", "security2", "lua")
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
FORM = """\
<Location "/">
    AuthType form
    AuthName x
    AuthFormProvider file
    AuthUserFile /dev/null
    AuthFormLoginRequiredLocation /login.html
    Session On
    SessionCookieName s path=/
    Require valid-user
</Location>
"""
CACHE = """\
CacheEnable socache /
CacheSocache shmcb
CacheIgnoreNoLastMod On
CacheDefaultExpire 3600
ExpiresActive On
ExpiresDefault "access plus 1 month"
"""
SCRIPT = """\
function handle(r)
    r:puts("the site's own text\\n")
    return apache2.OK
end
function choose(r)
    r.handler = "default-handler"
    return apache2.OK
end
"""
OWASP_RULES = """\
Include /etc/modsecurity/crs/crs-setup.conf
Include /usr/share/modsecurity-crs/rules/*.conf
"""
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
    "proxy-of-a-location": (f'<Location "/">\nProxyPass {NOBODY}/\n</Location>\n', ""),
    "balancer": (f'<Proxy "balancer://app">\nBalancerMember {NOBODY}\n</Proxy>\nProxyPass / balancer://app/ stickysession=ID\n', ""),
    "application-server": ('<FilesMatch ".">\nSetHandler "proxy:fcgi://127.0.0.1:9/"\n</FilesMatch>\n', ""),
    "open-by-address": ('<Location "/">\nSatisfy any\nOrder allow,deny\nAllow from all\n</Location>\n', ""),
    "methods": ('<Location "/">\nAllowMethods HEAD\n</Location>\n', ""),
    "methods-limited": ('<Location "/">\n<LimitExcept HEAD>\nRequire all denied\n</LimitExcept>\n</Location>\n', ""),
    "login-form": (FORM, ""),
    "scripts": ("Script POST /index.php\nScript GET /index.php\nAction amtunlock /index.php virtual\n", ""),
    "dav": ('<Location "/">\nDav On\n</Location>\n', ""),
    "virtual-roots": ("VirtualDocumentRoot {root}/%0\n", ""),
    "filters": ("SetInputFilter BUFFER;DEFLATE\nSetOutputFilter BUFFER;DEFLATE\n", ""),
    "cache": (CACHE, ""),
    "error-documents": ("ErrorDocument 401 /index.php\nErrorDocument 403 /wsman\nErrorDocument 404 /wsman\n", ""),
    "mod-security": ("SecRuleEngine On\n", ""),
    "mod-security-with-rules": (f"SecRuleEngine On\n{OWASP_RULES}", ""),
    "mod-security-as-shown": (f"SecRuleEngine On\n{OWASP_RULES}", ""),
    "script-for-all-paths": ("LuaMapHandler ^/ {root}/site.lua handle\n", ""),
    "script-that-sets-a-handler": ("LuaHookFixups {root}/site.lua choose\n", ""),
    "handler-of-a-suffix": ("AddHandler default-handler .mof .wsdl\n", ""),
}
PAGES = {"/amtunlock-status": "mod_amtunlock", "/amtunlock-metrics": "amtunlock_",
         "/wsman-schema/AMT_RemoteEncryptionService.mof": "class AMT_RemoteEncryptionService"}


def recommended(stack):
    """What Debian recommends for mod_security, for the whole server; only some sites switch it on."""
    text = Path("/etc/modsecurity/modsecurity.conf-recommended").read_text(encoding="utf-8")
    for old, new in {"SecRuleEngine DetectionOnly": "SecRuleEngine Off",
                     "/var/log/apache2/modsec_audit.log": stack.places.log("mod-security-audit"),
                     "unicode.mapping 20127": "/etc/modsecurity/unicode.mapping 20127"}.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


def as_shown(block):
    """With what the shipped file shows for mod_security, and for many names."""
    shown = re.search(r"^( *#<IfModule security2_module>\n(?: *#.*\n)*? *#</IfModule>\n)", block, re.M)[1]
    return block.replace(shown, shown.replace("#", "") + "AMTUnlockMaxSystems 10000\nAMTUnlockMaxBody 600000\n")


def virtual_host(stack, name, port, folder="site"):
    """The one of the shipped file, for a site of that name."""
    tls = stack.httpd.root / "tls"
    text = shipped("amtunlock.conf", **{"Listen 5986": f"Listen 127.0.0.1:{port}", "*:5986": f"*:{port}",
                                        "/etc/amtunlock/tls": tls, "/etc/amtunlock/http.keytab": stack.httpd.realm.keytab})
    block = re.search(r"^<IfDefine AMTUNLOCK>\n(.*)^</IfDefine>", text, re.M | re.S)[1]
    if name == "mod-security-as-shown":
        block = as_shown(block)
    root = stack.places.folder(f"{folder}-{name}")
    site, access = SITES[name]
    stack.places.write(root / "index.php", SITE_TEXT.decode())
    for each in ("wsman", "amtunlock-status"):  # so that a folder of the site has our name, too
        stack.places.folder(f"{folder}-{name}/{each}")
    stack.places.write(root / "site.lua", SCRIPT)
    if access:
        stack.places.write(root / ".htaccess", access)
    return block.replace(f"*:{port}>", f"*:{port}>\n" + ROOT.format(root=root) + site.replace("{root}", str(root)))


def look(there, path):
    """What a browser gets."""
    return Console(there).send("", path=path, method="GET")


def own(stack):
    """What the module needs once a server."""
    redis = stack.httpd.redis
    return (f"LoadModule amtunlock_module {stack.places.program('mod_amtunlock.so')}\n"
           f"AMTUnlockRedis unix:{redis.socket} user=amtunlock-web password-file={redis.password_file('amtunlock-web')}\n"
           f"AMTUnlockScope * \"%{{REMOTE_USER}} == '{kdc.CONSOLE}@{kdc.REALM}'\"\nAMTUnlockWorker Off\n"
           "TypesConfig /dev/null\nAccessFileName .htaccess\n")


@pytest.fixture(scope="module")
def _sites(_shared_stack):
    """{name: port}"""
    stack = _shared_stack
    found = dict(zip(SITES, ports.pick(len(SITES))))
    text = own(stack) + recommended(stack) + "\n".join(virtual_host(stack, name, port) for name, port in found.items())
    with SecondHttpd(stack, "sites", MODULES, text) as httpd:
        for port in found.values():
            httpd.wait(port)
        yield found


@pytest.fixture(params=SITES)
def site(stack, _sites, request):
    return There(stack, _sites[request.param])


def test_the_service_answers(stack, site):
    # Without a body: over HTTP/2 httpd does not wait for it, and curl takes the end of its stream for an error then.
    assert Console(site).send("").status == 401
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
    assert look(There(stack, _sites["script-for-all-paths"]), "/other").body == SITE_TEXT
    for name in ("redirect", "redirect-of-a-location", "redirect-under-a-condition", "rewrite-of-a-location"):
        assert look(There(stack, _sites[name]), "/other").status == 301
    assert look(There(stack, _sites["proxy"]), "/other").status == 503
    assert look(There(stack, _sites["rewrite-that-forbids"]), "/other").status == 403
    assert look(There(stack, _sites["nothing"]), "/index.php").body == SITE_TEXT


# ---- what stands before the handler ----------------------------------------------------------------------------------

MANY = [f"pc-{number:05}.fleet.example.com" for number in range(10_000)]
CHUNKED = {"more": ("-H", "Transfer-Encoding: chunked")}
WINDOWS = {"content_type": "application/soap+xml;charset=UTF-16", "more": ("-A", "Microsoft WinRM Client", "-H", "Accept:")}


@pytest.fixture(name="guarded")
def _guarded(stack, _sites):
    return Console(There(stack, _sites["mod-security-as-shown"]), stack.kdc.cache(kdc.CONSOLE))


@pytest.mark.parametrize("body, how", [
    (soap.unlock(MANY), {}), (soap.unlock(MANY), CHUNKED), (soap.get(soap.SERVICE).encode("utf-16"), WINDOWS),
    (soap.request(soap.JOB, soap.ENUMERATE, "<wsen:Enumerate/>"), {})], ids=["large", "chunked", "UTF-16", "enumeration"])
def test_mod_security_lets_our_requests_pass(guarded, body, how):
    answer = guarded.send(body, **how)
    assert (answer.status, answer.fault) == (200, None)
    if answer.job:  # 10,000 names that are kept count against this caller in other tests
        assert guarded.send(soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": answer.job})).status == 200


def test_mod_security_stands_behind_our_limit(guarded):
    """What is too large for AMTUnlockMaxBody is answered by the service, in SOAP."""
    answer = guarded.send(soap.unlock([f"{'x' * 1000}.{number}" for number in range(640)]))
    assert (answer.status, answer.fault) == (413, ("wsman:EncodingLimit", "ServiceEnvelopeLimit"))


def test_mod_evasive_must_know_the_consoles(stack):
    """It refuses the third request of a second, whoever asks."""
    (port,) = ports.pick(1)
    evasive = f"LoadModule evasive20_module {MODULE_FOLDER}/mod_evasive20.so\nDOSWhitelist 127.0.0.1\n"
    with SecondHttpd(stack, "evasive", MODULES, evasive + own(stack) + virtual_host(stack, "methods", port, "evasive")) as httpd:
        httpd.wait(port)
        console = Console(There(stack, port), stack.kdc.cache(kdc.CONSOLE))
        assert {answer.status for answer in console.send_all([soap.IDENTIFY] * 12)} == {200}


def test_bodies_that_a_filter_unpacks(stack, _sites):
    """They are as large as they become."""
    console = Console(There(stack, _sites["filters"]), stack.kdc.cache(kdc.CONSOLE))
    packed = [gzip.compress(soap.unlock([f"{number}.example" for number in range(count)]).encode()) for count in (10, 100_000)]
    answers = console.send_all(packed, more=("-H", "Content-Encoding: gzip"))
    assert [answer.status for answer in answers] == [200, 413]
    assert answers[0].job and answers[1].fault == ("wsman:EncodingLimit", "ServiceEnvelopeLimit")


def raw(path, more=""):
    """A request as bytes: its head and its body."""
    body = soap.IDENTIFY.encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/soap+xml\r\nContent-Length: {len(body)}\r\n"
            f"{more}\r\n").encode(), body


def statuses(connection, count):
    """Of so many answers."""
    got = b""
    while len(re.findall(rb"HTTP/1\.1 (\d+)", got)) < count:
        part = connection.recv(65536)
        assert part, got
        got += part
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", got)]


@pytest.mark.parametrize("name", ["nothing", "filters", "mod-security"])
def test_requests_in_a_row_and_bodies_on_demand(stack, _sites, name):
    """Without waiting for the answers between; and a body only once the server wants it."""
    context = ssl.create_default_context(cafile=str(stack.httpd.ca))
    plain = socket.create_connection(("127.0.0.1", _sites[name]), timeout=10)
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        known, unknown = b"".join(raw("/wsman-anon/identify")), b"".join(raw("/wsman"))
        connection.sendall(known + known + unknown + known)
        assert statuses(connection, 4) == [200, 200, 401, 200]
        head, body = raw("/wsman-anon/identify", "Expect: 100-continue\r\n")
        connection.sendall(head)
        assert statuses(connection, 1) == [100]
        connection.sendall(body)
        assert statuses(connection, 1) == [200]
