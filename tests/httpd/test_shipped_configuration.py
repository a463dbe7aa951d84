# SPDX-License-Identifier: Apache-2.0
"""conf/amtunlock.conf as it is shipped, with nothing but the paths, the port and the two directives put in that its
comments ask for: TLS only, Kerberos only, HTTP/1.1 only, and slow requests end early."""

import re
import socket
import ssl
import time
import warnings

import pytest
from amtu_stack import kdc, ports, soap
from amtu_stack.console import Console
from amtu_stack.httpd import gss_ntlm
from conftest import assert_fault
from gss import Caller, Kerberos
from second_httpd import SecondHttpd, There, shipped

MODULES = ("mpm_event", "authn_core", "authz_core", "authz_host", "authz_user", "auth_gssapi", "socache_shmcb", "ssl",
           "reqtimeout", "http2")
HEADER_SECONDS = 1
# The lines of the block that lets NTLM in, and the scopes that it shows
NTLM_BLOCK = ("GssapiConnectionBound On", "GssapiAllowedMech ntlmssp", "GssapiCredStore ntlmssp_keyfile:",
              "GssapiAcceptorName HTTP@", "AMTUnlockMech krb5 ntlm")
NTLM_SCOPES = re.findall(r'#   AMTUnlockScope laptops "(.*)"', shipped("amtunlock.conf"))


def serving(stack, name, scope=f"%{{REMOTE_USER}} == '{kdc.CONSOLE}@{kdc.REALM}'", **changes):
    """The shipped file on a port of its own, with these changes beside those that its comments ask for."""
    (port,) = ports.pick(1)
    tls = stack.httpd.root / "tls"
    text = shipped("amtunlock.conf", **{
        "#Define AMTUNLOCK\n": "Define AMTUNLOCK\n", "Listen 5986": f"Listen 127.0.0.1:{port}", "*:5986": f"*:{port}",
        "/etc/amtunlock/tls": tls, "/etc/amtunlock/http.keytab": stack.httpd.realm.keytab,
        "header=10-20,": f"header={HEADER_SECONDS},", **changes})
    redis = stack.httpd.redis
    own = (f"LoadModule amtunlock_module {stack.places.program('mod_amtunlock.so')}\n"
           f"AMTUnlockRedis unix:{redis.socket} user=amtunlock-web password-file={redis.password_file('amtunlock-web')}\n"
           f"AMTUnlockScope * \"{scope}\"\nAMTUnlockWorker Off\n")
    return SecondHttpd(stack, name, MODULES, own + text, port)


@pytest.fixture(scope="module")
def _there(_shared_stack):
    with serving(_shared_stack, "shipped") as httpd:
        yield httpd.wait(httpd.port), There(_shared_stack, httpd.port)


@pytest.fixture
def there(_there):
    return _there[1]


@pytest.fixture
def console(stack, there):
    return Console(there, stack.kdc.cache(kdc.CONSOLE))


def test_it_serves(console):
    assert console.send(soap.IDENTIFY).text("wsmid:ProductVendor") == "mod_amtunlock"
    job = console.unlock(["unknown.example"])
    assert console.results(job) == ([], ["unknown.example"])


def test_its_check_is_silent(_there):
    assert "warn" not in _there[0].checked.lower(), _there[0].checked
    assert [line for line in _there[0].log().splitlines() if "AMTU" in line and ":warn" in line] == []


def test_a_ticket_counts_for_one_request(there, stack, ticket):
    """Whatever connection the next request comes on."""
    ticket(kdc.CONSOLE)
    one = Caller(there, "/wsman")
    assert one.shake_hands(Kerberos(), body=soap.get(soap.SERVICE)).status == 200
    assert one.post(soap.get(soap.SERVICE)).status == 401
    one.connection.close()


def test_there_is_no_trace(there, console):
    for path, method, allow in (("/wsman", "TRACE", "POST"), ("/amtunlock-status", "TRACE", "GET"), ("/wsman", "GET", "POST")):
        answer = console.send(b"", path=path, method=method, content_type="text/plain")
        assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert Console(there).send(b"", method="TRACE").status == 405


def test_kerberos_only(there):
    """NTLM is neither offered nor taken."""
    answer = Console(there).send(soap.IDENTIFY)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Negotiate"


@pytest.mark.skipif(not gss_ntlm(), reason="gss-ntlmssp is not installed")
@pytest.mark.parametrize("scope", NTLM_SCOPES)
def test_the_block_for_ntlm(stack, scope):
    """Its "#" taken, NTLM is taken beside Kerberos, and a scope may name its callers as the block says."""
    taken = {f"        #{line}": f"        {line}" for line in NTLM_BLOCK}
    name, scope = f"shipped-ntlm-{NTLM_SCOPES.index(scope)}", scope.replace("corp", "fleet").replace("alice", "bob")
    with serving(stack, name, scope, **taken, **{"/etc/amtunlock/ntlm.users": stack.httpd.ntlm_users,
                                                 "unlock.example.com": "localhost"}) as httpd:
        httpd.wait(httpd.port)
        caller = Caller(There(stack, httpd.port), "/wsman")
        password = stack.httpd.ntlm_users.read_text().strip().rpartition(":")[2]
        assert caller.log_in("FLEET\\bob", password).status == 200
        system = stack.fleet.systems()[-1]["fqdn"]
        job = caller.post(soap.unlock([system])).job
        assert system not in caller.post(soap.unlocked(job)).texts("p:failedSystems"), "the scope does not name this caller"
        caller.post(soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", resource=soap.JOB,
                                selectors={"InstanceID": job}))
        caller.connection.close()
        console = Console(There(stack, httpd.port), stack.kdc.cache(kdc.CONSOLE))
        assert console.send(soap.get(soap.SERVICE)).status == 200
        assert [line for line in httpd.log().splitlines() if ":error" in line or "AMTU" in line] == []


def test_tls_only(there):
    """On its port plain HTTP is an error of HTTP itself."""
    answer = Console(there).send(soap.IDENTIFY, tls=False)
    assert answer.status == 400
    assert b"IdentifyResponse" not in answer.body


def test_http_1_1_only(there, stack):
    trust = ssl.create_default_context(cafile=stack.httpd.ca)
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with trust.wrap_socket(socket.create_connection(("localhost", there.port), 5), server_hostname="localhost") as opened:
        assert opened.selected_alpn_protocol() in ("http/1.1", None)


def test_old_tls_is_refused(there, stack):
    trust = ssl.create_default_context(cafile=stack.httpd.ca)
    trust.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that they are old is the point
        trust.minimum_version, trust.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        trust.wrap_socket(socket.create_connection(("localhost", there.port), 5), server_hostname="localhost")


def test_a_slow_request_ends_early(there, stack):
    """RequestReadTimeout, set to one second here."""
    trust = ssl.create_default_context(cafile=stack.httpd.ca)
    with trust.wrap_socket(socket.create_connection(("localhost", there.port), 15), server_hostname="localhost") as opened:
        begun = time.monotonic()
        opened.sendall(b"POST /wsman HTTP/1.1\r\nHost: localhost\r\n")
        assert b" 408 " in (opened.recv(4096) or b" 408 ")
        assert time.monotonic() - begun < HEADER_SECONDS + 5


@pytest.mark.parametrize("line", [b"POST /wsman\tHTTP/1.1", b"POST /wsman HTTP/1.1\r\nHost : localhost", b"POST  /wsman HTTP/1.1"])
def test_sloppy_requests_are_refused(there, stack, line):
    trust = ssl.create_default_context(cafile=stack.httpd.ca)
    with trust.wrap_socket(socket.create_connection(("localhost", there.port), 15), server_hostname="localhost") as opened:
        opened.sendall(line + b"\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert b" 400 " in opened.recv(4096).partition(b"\r\n")[0]


def test_identify_for_anybody(there):
    answer = Console(there).send(soap.IDENTIFY, path="/wsman-anon/identify")
    assert answer.text("wsmid:ProtocolVersion") == soap.WSMAN
    assert answer.find("wsmid:ProductVendor") is None
    assert_fault(Console(there).send(soap.get(soap.SERVICE), path="/wsman-anon/identify"), "wsman:AccessDenied", status=403)


def test_the_interface_for_anybody(there):
    assert Console(there).send(b"", path="/wsman-schema/AMT_RemoteEncryptionService.wsdl", method="GET").status == 200


def test_without_the_define_nothing_is_served(stack):
    """As installed, before an administrator has decided anything."""
    text = shipped("amtunlock.conf")
    assert "\n#Define AMTUNLOCK\n" in text and "\nDefine" not in text
    loaded = [line for line in text.partition("<IfDefine AMTUNLOCK>")[0].splitlines() if line.strip() and line[0] != "#"]
    assert loaded == []
