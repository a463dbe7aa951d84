# SPDX-License-Identifier: Apache-2.0
"""Who is asking: what the service believes about a caller, and what nobody gets in with.

The folders of this stack's site may be written by others, as in many places: .htaccess may say what it likes.
"""

import base64
import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from amtu_stack import kdc, soap
from amtu_stack.console import Console
from amtu_stack.httpd import NTLM_DOMAIN, Settings, gss_ntlm
from conftest import Gate, _bring_up, assert_fault
from gss import Caller, Kerberos, Ntlm, authorization

SOMEBODY = f"{kdc.CONSOLE}@{kdc.REALM}"
RENAME = Path(tempfile.gettempdir(), f"amtunlock-rename-{os.getpid()}.lua")  # where httpd's user may read it
OTHER = f"{kdc.CONSOLE2}@{kdc.REALM}"
GSSAPI = """
    SetHandler amtunlock
    AuthType GSSAPI
    AuthName "AMT unlock"
    GssapiPublishMech On
    GssapiAllowedMech krb5
    Require valid-user
"""
BASIC = """
    AuthType Basic
    AuthName "mine"
    AuthBasicProvider file
    AuthUserFile {users}
    Require valid-user
"""
SITE = f"""
DocumentRoot run
<Directory />
    AllowOverride All
    Options All
    Require all granted
</Directory>
TypesConfig /dev/null
DirectoryIndex index.html
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 127.0.0.1
<Location /basic>
    SetHandler amtunlock
    {BASIC.format(users="users")}
    SetEnv GSS_MECH Negotiate/krb5
    SetEnv GSS_NAME {SOMEBODY}
</Location>
<Location /none>
    SetHandler amtunlock
    SetEnv GSS_MECH Negotiate/krb5
    Require all granted
</Location>
<Location /certified>{GSSAPI}
    SSLUserName SSL_SERVER_S_DN_CN
</Location>
<Location /renamed>{GSSAPI}
    LuaHookFixups {RENAME} rename
</Location>
<Location /relabelled>{GSSAPI}
    SetEnv GSS_MECH Negotiate/NTLM
    AMTUnlockScope floor-1 "%{{reqenv:GSS_MECH}} == 'Negotiate/krb5'"
    AMTUnlockScope floor-2 "%{{reqenv:GSS_MECH}} == 'Negotiate/NTLM'"
</Location>
<Location /believes-a-proxy>
    SetHandler amtunlock
    AMTUnlockTrustedProxy X-Caller "CN=localhost"
    Require all granted
</Location>
<Location /ntlm>{GSSAPI}
    GssapiConnectionBound On
    GssapiAllowedMech ntlmssp
    AMTUnlockMech krb5 ntlm
</Location>
<Location /missing>
    ErrorDocument 404 /amtunlock-status
</Location>
"""
MODULES = ("auth_basic", "authn_file", "rewrite", "dir", "mime", "include", "actions", "lua",
           "remoteip")


@pytest.fixture(scope="module")
def _stack():
    stack = _bring_up("identity", Settings(extra=SITE, modules=MODULES), systems=2, boot_seconds="1-1")
    secret = base64.b64encode(hashlib.sha1(b"mine").digest()).decode()
    stack.places.write(stack.httpd.root / "users", f"{SOMEBODY}:{{SHA}}{secret}\n", "www-data")
    RENAME.write_text(f"function rename(r) r.user = '{OTHER}' return apache2.DECLINED end\n", encoding="ascii")
    yield stack
    RENAME.unlink()
    stack.down()


@pytest.fixture
def stack(_stack, request):
    gate = Gate(_stack)
    yield _stack
    gate.close(request)


@pytest.fixture
def folder(stack):
    """folder(name, text): a folder of the site with this .htaccess."""

    def make(name, text, **files):
        path = stack.places.run / "httpd" / "run" / name
        if not path.is_dir():
            stack.places.folder(f"httpd/run/{name}")
        users = stack.httpd.root / "users"
        stack.places.write(path / ".htaccess", text.format(users=users, keytab=stack.httpd.realm.keytab))
        for file, content in files.items():
            stack.places.write(path / file.replace("_", "."), content)
        return f"/{name}/"

    return make


BASIC_LOGIN = ("-u", f"{SOMEBODY}:mine")


def unlock_as_nobody(stack, path, names=("pc-0001.fleet.test",), more=BASIC_LOGIN):
    """An UnlockSystems with a name and a password of a file that the attacker wrote; no job may come of it."""
    with stack.redis.client() as redis:
        before = redis.call("HGET", "{amtu}:counters", "jobs")
        answer = Console(stack.httpd).send(soap.unlock(list(names)), path=path, more=more)
        assert b"UnlockSystems_OUTPUT" not in answer.body
        assert redis.call("HGET", "{amtu}:counters", "jobs") == before
    return answer


@pytest.mark.logs("AMTU0047")
@pytest.mark.parametrize("handler, claim", [
    ("SetHandler amtunlock", "SetEnv GSS_MECH Negotiate/krb5"),
    ("SetHandler amtunlock", "SetEnvIf Host . GSS_MECH=Negotiate/krb5"),
    ("SetHandler amtunlock", "RewriteEngine On\nRewriteRule .* - [E=GSS_MECH:Negotiate/krb5]"),
    ("AddHandler amtunlock .wsman", "SetEnv GSS_MECH Basic/krb5"),
    ("RewriteEngine On\nRewriteRule .* - [H=amtunlock]", f"SetEnv GSS_MECH Negotiate/krb5\nSetEnv GSS_NAME {SOMEBODY}"),
    ("ForceType amtunlock", "SetEnv GSS_MECH Negotiate/krb5")])
def test_a_htaccess_makes_nobody_a_caller(stack, folder, handler, claim):
    path = folder("mine", f"{handler}\n{BASIC}\n{claim}\n", a_wsman="x")
    assert unlock_as_nobody(stack, path + "a.wsman").status == 403


@pytest.mark.logs("AMTU0047")
def test_a_htaccess_with_its_own_keytab_makes_nobody_a_caller(stack, folder):
    """With a keytab of one's own one writes oneself a ticket of anybody's."""
    path = folder("keytab", GSSAPI + "GssapiCredStore keytab:{keytab}\n")
    answer = stack.console().send(soap.unlock(["pc-0001.fleet.test"]), path=path)
    assert answer.status == 403


@pytest.mark.logs("AMTU0047")
@pytest.mark.parametrize("page", ["amtunlock-status", "amtunlock-metrics", "amtunlock-interface"])
def test_a_htaccess_opens_no_page(stack, folder, page):
    path = folder("page", f"SetHandler {page}\nRequire all granted\n")
    answer = Console(stack.httpd).send(b"", path=path, method="GET")
    assert (answer.status, b"Unlock service" in answer.body) == (403, False)


@pytest.mark.may_log("AMTU0048", "AMTU0047", "AH01797", "AMTU0060")
@pytest.mark.parametrize("way", [
    "RewriteEngine On\nRewriteRule .* /{place} [L]",
    "DirectoryIndex /{place}",
    "AddHandler mine .x\nAction mine /{place}",
    "ErrorDocument 403 /{place}\nRequire all denied",
    "ErrorDocument 404 /{place}"])
@pytest.mark.parametrize("place", ["none", "basic", "wsman", "believes-a-proxy"])
def test_a_redirect_inside_the_server_brings_nobody_in(stack, folder, way, place):
    """With the user, the headers and the variables that another place left."""
    text = f"{BASIC}\nRequestHeader set X-Caller {SOMEBODY}\nSetEnv GSS_MECH Negotiate/krb5\n" + way.format(place=place)
    path = folder("redirect", text, a_x="x")
    for name in ("", "a.x", "missing"):
        unlock_as_nobody(stack, path + name)


@pytest.mark.logs("AMTU0047", "unable to include")
def test_what_a_page_includes_is_not_served(stack, folder):
    path = folder("include", "Options +Includes\nAddOutputFilter INCLUDES .html\n",
                  page_html='<!--#include virtual="/amtunlock-status" -->')
    answer = Console(stack.httpd).send(b"", path=path + "page.html", method="GET")
    assert b"Unfinished" not in answer.body


@pytest.mark.logs("AMTU0048")
def test_what_is_redirected_by_the_servers_own_configuration_is_not_served(stack):
    answer = Console(stack.httpd).send(b"", path="/missing/page", method="GET")
    assert b"Unfinished" not in answer.body


@pytest.mark.logs("AMTU0051")
def test_another_authtype_is_not_believed(stack):
    """Basic with a file, in the server's own configuration, where a variable says Kerberos."""
    assert_fault(Console(stack.httpd).send(soap.unlock(["pc-0001.fleet.test"]), path="/basic", more=BASIC_LOGIN),
                 "wsman:AccessDenied", status=403)


def test_a_variable_is_nobody(stack):
    assert unlock_as_nobody(stack, "/none", more=()).status == 403


@pytest.mark.logs("AMTU0051")
def test_a_name_from_a_certificate_is_not_believed(console):
    assert_fault(console.send(soap.get(soap.SERVICE), path="/certified"), "wsman:AccessDenied", status=403)


@pytest.mark.logs("AMTU0052")
def test_a_name_that_changes_after_authentication_is_not_believed(console):
    assert_fault(console.send(soap.get(soap.SERVICE), path="/renamed"), "wsman:AccessDenied", status=403)


def test_the_mechanism_is_what_authenticated(console, names, idle_worker):
    """Whatever the variable was set to since, for expressions of scopes, too."""
    job = console.send(soap.unlock(names), path="/relabelled").job
    errors = console.send(soap.method("GetErrors", resource=soap.JOB, selectors={"InstanceID": job}), path="/relabelled")
    refused = [field.text for field in errors.root.iter() if field.tag.endswith("}ErrorSource")]
    assert refused == names[1:]
    console.send(soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", resource=soap.JOB,
                             selectors={"InstanceID": job}))


# ---- connections ---------------------------------------------------------------------------------------------------

needs_ntlm = pytest.mark.skipif(not gss_ntlm(), reason="gss-ntlmssp is not installed")
OWN_ACCOUNTS = """
AuthType GSSAPI
AuthName "mine"
GssapiConnectionBound On
GssapiPublishMech On
GssapiAllowedMech krb5
GssapiAllowedMech ntlmssp
Require valid-user
"""


@pytest.fixture
def call(stack):
    """call(path): a connection."""
    opened = []

    def run(path):
        opened.append(Caller(stack.httpd, path))
        return opened[-1]

    yield run
    for one in opened:
        one.connection.close()


@needs_ntlm
@pytest.mark.logs("AMTU0055")
def test_what_another_place_proved_is_not_believed_here(stack, folder, call):
    """There, accounts and keytab are those of who wrote its .htaccess."""
    secret = stack.httpd.ntlm_users.read_text().strip().rpartition(":")[2]
    one = call(folder("accounts", OWN_ACCOUNTS, index_html="x"))
    assert one.log_in(f"{NTLM_DOMAIN}\\bob", secret).status == 200
    one.path = "/ntlm"
    assert one.post(soap.get(soap.SERVICE)).status == 401


@needs_ntlm
@pytest.mark.logs("AMTU0056")
def test_a_handshake_that_began_in_another_place_is_not_believed_here(stack, folder, call):
    secret = stack.httpd.ntlm_users.read_text().strip().rpartition(":")[2]
    elsewhere = folder("accounts", OWN_ACCOUNTS, index_html="x")
    one, handshake = call(elsewhere), Ntlm(f"{NTLM_DOMAIN}\\bob", secret, False)
    one.post(b"", authorization(handshake.step(), "NTLM"))
    challenge = next(said.partition(" ")[2] for said in one.challenges if said.startswith("NTLM "))
    one.path = "/ntlm"
    answer = one.post(soap.get(soap.SERVICE), authorization(handshake.step(base64.b64decode(challenge)), "NTLM"))
    handshake.close()
    assert answer.status == 401


@needs_ntlm
@pytest.mark.logs("AMTU0050")
def test_a_proxy_whose_header_mod_remoteip_took_away_still_shows(stack, call):
    secret = stack.httpd.ntlm_users.read_text().strip().rpartition(":")[2]
    one = call("/ntlm")
    assert one.log_in(f"{NTLM_DOMAIN}\\bob", secret).status == 200
    one.more = {"X-Forwarded-For": "192.0.2.1"}
    assert one.post(soap.get(soap.SERVICE)).status == 401


@pytest.mark.parametrize("path", ["/ntlm", "/wsman"])
def test_a_kerberos_ticket_counts_for_its_request(stack, call, ticket, path):
    ticket(kdc.CONSOLE)
    one = call(path)
    assert one.shake_hands(Kerberos()).status == 200
    answer = one.post(soap.get(soap.SERVICE))
    assert answer.status == 401
    assert "Negotiate" in one.challenges
    assert one.shake_hands(Kerberos(), body=soap.get(soap.SERVICE)).text("p:Started") == "true", "the connection goes on"
    assert "AMTU0054" in stack.httpd.error_log.read_text()
