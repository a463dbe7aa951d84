# SPDX-License-Identifier: Apache-2.0
"""Callers with NTLM: raw, raw inside Negotiate, and inside SPNEGO; one connection, one caller, and where it is refused.

/wsman takes NTLM at mod_auth_gssapi and not at AMTUnlockMech; /few takes it at neither; /ntlm takes it.
"""

import base64
import http.client

import pytest
from amtu_stack import soap
from amtu_stack.httpd import gss_ntlm
from conftest import assert_fault, switch_off
from gss import CONTENT, WAYS, Caller, Ntlm, authorization

pytestmark = pytest.mark.skipif(not gss_ntlm(), reason="gss-ntlmssp is not installed")

DOMAIN, USER = "FLEET", "bob"


@pytest.fixture
def password(stack):
    return stack.httpd.ntlm_users.read_text().strip().rpartition(":")[2]


@pytest.fixture
def caller(stack):
    """caller(path): a connection to a place, not logged in."""
    opened = []

    def run(path="/ntlm"):
        opened.append(Caller(stack.httpd, path))
        return opened[-1]

    yield run
    for one in opened:
        one.connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_first_request_may_carry_the_envelope(caller, password, way):
    answer = caller().log_in(f"{DOMAIN}\\{USER}", password, way, soap.IDENTIFY)
    assert answer.status == 200
    assert answer.text("wsmid:ProductVendor") == "mod_amtunlock"


@pytest.mark.parametrize("way", WAYS)
def test_as_windows_does(caller, password, way):
    """Send an empty request, authenticate with an empty body, get 200; then the connection goes on without another header."""
    one = caller()
    assert one.post().status == 401
    assert {"Negotiate", "NTLM"} <= set(one.challenges)
    answer = one.log_in(f"{DOMAIN}\\{USER}", password, way)
    assert (answer.status, answer.body) == (200, b"")
    for _ in range(3):
        assert one.post(soap.get(soap.SERVICE)).text("p:Started") == "true"


@pytest.mark.logs("AMTU0050")
@pytest.mark.parametrize("trace", [
    "Via: 1.1 proxy", "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "x-forwarded-proto: https",
    "X-Forwarded-Host: a", "X-Real-IP: 192.0.2.1", "X-Client-IP: 192.0.2.1", "True-Client-IP: 192.0.2.1",
    "X-Original-URL: /wsman", "CF-Connecting-IP: 192.0.2.1", "X-Amzn-Trace-Id: Root=1", "X-Envoy-External-Address: a"])
def test_what_came_through_a_proxy_brings_its_own_token(caller, password, trace):
    """The proxy's connection was authenticated by somebody, and carries everybody's requests."""
    one = caller()
    assert one.log_in(f"{DOMAIN}\\{USER}", password).status == 200
    one.more = dict([trace.split(": ")])
    assert one.post(soap.get(soap.SERVICE)).status == 401
    assert {"Negotiate", "NTLM"} <= set(one.challenges)
    one.more = {}
    assert one.post(soap.get(soap.SERVICE)).text("p:Started") == "true", "directly, a connection goes on"


@pytest.mark.parametrize("both", [False, True], ids=["last step", "both steps"])
def test_a_caller_that_asks_whether_its_body_is_wanted(caller, password, both):
    """Expect: 100-continue, as .NET sends it in the last step. A challenge must not cost the connection either."""
    one, handshake = caller(), Ntlm(f"{DOMAIN}\\{USER}", password, False)
    wire, body = one.connection.sock, soap.get(soap.SERVICE).encode()

    def ask(token):
        """The answer, once the service wanted the body."""
        wire.sendall(b"POST /ntlm HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                     + f"Content-Type: {CONTENT}\r\nContent-Length: {len(body)}\r\n".encode()
                     + f"Authorization: {authorization(token, 'NTLM')}\r\n\r\n".encode())
        assert wire.recv(8192) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(body)
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        answer.read()
        return answer.status, (answer.getheader("WWW-Authenticate") or "").partition(" ")[2]

    if both:
        status, challenge = ask(handshake.step())
    else:
        status, challenge = one.post(b"", authorization(handshake.step(), "NTLM")).status, one.challenges[0].partition(" ")[2]
    assert status == 401
    assert ask(handshake.step(base64.b64decode(challenge)))[0] == 200
    assert one.post(soap.IDENTIFY).status == 200, "and the connection goes on"
    handshake.close()


def test_the_main_job(caller, password, stack, names):
    switch_off(stack, names[:1])
    one = caller()
    one.log_in(f"{DOMAIN}\\{USER}", password)
    answer = one.post(soap.unlock([names[0], names[1]]))
    assert answer.text("p:ReturnValue") == "4096"
    assert errors_of(one, answer.job) == {names[1]: "not-available"}, "the second PC is not in this caller's group"
    assert one.post(soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", resource=soap.JOB,
                                selectors={"InstanceID": answer.job})).status == 200


def errors_of(one, job):
    answer = one.post(soap.method("GetErrors", resource=soap.JOB, selectors={"InstanceID": job}))
    errors = answer.root.iterfind(f".//{{{soap.JOB}}}Errors")
    properties = [{field.tag.rpartition("}")[2]: field.text for field in error} for error in errors]
    return {error["ErrorSource"]: error["MessageID"] for error in properties}


@pytest.fixture
def domain_written(stack, password):
    """domain_written(DOMAIN): the server's accounts know the domain so written. A domain controller takes any writing;
    from a file gss-ntlmssp takes any of the user, but only one of the domain, with which the response is made."""
    file = stack.httpd.ntlm_users
    before = file.read_text()
    yield lambda domain: file.write_text(f"{domain}:{USER}:{password}\n")
    file.write_text(before)


@pytest.mark.parametrize("domain, user", [("FLEET", "BOB"), ("fleet", "bob"), ("Fleet", "Bob")])
def test_one_caller_however_written(caller, password, domain_written, domain, user):
    """The job of one spelling is the job of all: same scope, same limits."""
    first, second = caller(), caller()
    first.log_in(f"{DOMAIN}\\{USER}", password)
    domain_written(domain)
    assert second.log_in(f"{domain}\\{user}", password, "raw").status == 200
    job = first.post(soap.unlock(["unknown.example"])).job
    assert second.post(soap.get_job(job)).text("job:Owner") == "fleet\\bob"


def test_httpds_own_require_sees_the_name_in_lower_case(caller, password):
    one = caller("/bob-only")
    assert one.log_in(f"{DOMAIN}\\{USER.upper()}", password, body=soap.get(soap.SERVICE)).text("p:Started") == "true"


def test_a_name_may_be_written_like_an_address(caller, password):
    """user@DOMAIN is the same caller."""
    one = caller()
    assert one.log_in(f"{USER}@{DOMAIN}", password).status == 200
    job = one.post(soap.unlock(["unknown.example"])).job
    assert one.post(soap.get_job(job)).text("job:Owner") == "fleet\\bob"


@pytest.mark.logs("AMTU0046")
@pytest.mark.parametrize("way", WAYS)
def test_a_name_without_its_domain_is_nobodys(caller, password, way):
    """gss-ntlmssp takes it for the first such user of any domain."""
    answer = caller().log_in(USER, password, way, soap.get(soap.SERVICE))
    assert_fault(answer, "wsman:AccessDenied", status=403)


def test_callers_of_both_mechanisms_are_two(caller, password, console):
    one = caller()
    one.log_in(f"{DOMAIN}\\{USER}", password)
    job = one.post(soap.unlock(["unknown.example"])).job
    assert_fault(console.send(soap.get_job(job), path="/ntlm"), "wsa:DestinationUnreachable", "InvalidResourceURI")
    assert console.send(soap.get(soap.SERVICE), path="/ntlm").status == 200, "Kerberos is taken beside it"


@pytest.mark.may_log("GSS ERROR")
@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_password(caller, password, way):
    """It ends its connection, so the next try, on another, is not hurt by it."""
    one = caller()
    answer = one.log_in(f"{DOMAIN}\\{USER}", "wrong", way)
    assert answer.status == 401
    assert answer.headers["connection"].lower() == "close"
    assert caller().log_in(f"{DOMAIN}\\{USER}", password, way).status == 200


@pytest.mark.may_log("GSS ERROR")
def test_a_token_out_of_order(caller, password):
    """A second handshake in the middle of the first fails; nothing of it is left on the next connection."""
    one, handshake = caller(), Ntlm(f"{DOMAIN}\\{USER}", password, False)
    first = authorization(handshake.step(), "NTLM")
    assert one.post(b"", first).status == 401
    assert one.post(b"", first).status == 401
    handshake.close()
    assert caller().log_in(f"{DOMAIN}\\{USER}", password).status == 200


@pytest.mark.may_log("AMTU0041", "GSS ERROR")
@pytest.mark.parametrize("path", ["/wsman", "/few"])
@pytest.mark.parametrize("way", WAYS)
def test_where_only_kerberos_is_listed(caller, password, console, path, way):
    """No way in: a raw challenge is not even sent, and what mod_auth_gssapi takes is refused by AMTUnlockMech."""
    answer = caller(path).log_in(f"{DOMAIN}\\{USER}", password, way, soap.get(soap.SERVICE))
    if path == "/wsman" and WAYS[way][0] == "Negotiate":
        assert_fault(answer, "wsman:AccessDenied", status=403)
    else:
        assert answer.status == 401
    assert b"MaxSystemsPerRequest" not in answer.body
    assert console.send(soap.get(soap.SERVICE), path=path).status == 200


@pytest.mark.logs("AMTU0041")
@pytest.mark.parametrize("path", ["/wsman", "/few"])
def test_a_connection_that_logged_in_elsewhere(caller, password, path):
    """mod_auth_gssapi carries what a connection proved into places whose GssapiAllowedMech does not list it."""
    one = caller("/ntlm")
    assert one.log_in(f"{DOMAIN}\\{USER}", password).status == 200
    one.path = path
    assert_fault(one.post(soap.get(soap.SERVICE)), "wsman:AccessDenied", status=403)


@pytest.mark.logs("AMTU0061", "use HTTPS")
def test_encrypted_messages(caller, password):
    """WinRM's own encryption: what a default Windows client speaks over plain HTTP."""
    one = caller()
    one.log_in(f"{DOMAIN}\\{USER}", password)
    answer = one.post(b"--Encrypted Boundary\r\n", content_type="multipart/encrypted;"
                      'protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"')
    assert_fault(answer, "wsman:UnsupportedFeature", status=415)
    assert "HTTPS" in answer.reason
