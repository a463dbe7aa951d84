# SPDX-License-Identifier: Apache-2.0
"""Authentication on a connection: what carries it on, and what ends with it."""

import base64
import http.client
import ssl
import struct

import pytest
from amtu_stack import kdc, soap
from amtu_stack.httpd import gss_ntlm
from gss import Caller, Kerberos

CONTENT = {"Content-Type": "application/soap+xml;charset=UTF-8"}
# NEGOTIATE_MESSAGE of MS-NLMP 2.2.1.1 with a version, as Windows sends it: 40 bytes
NTLM_FIRST = struct.pack("<8sII8x8x8s", b"NTLMSSP\0", 1, 0xE2088297, bytes([10, 0, 0x61, 0x4A, 0, 0, 0, 15]))
# AUTHENTICATE_MESSAGE without a user and without an answer to a challenge
NTLM_LAST = struct.pack("<8sI", b"NTLMSSP\0", 3) + 6 * struct.pack("<HHI", 0, 0, 88) + struct.pack("<I", 0xE2088297) + bytes(24)


@pytest.fixture
def connect(stack):
    """connect(): a connection that is only opened once: used again after a close it fails."""
    opened = []

    def run():
        trust = ssl.create_default_context(cafile=stack.httpd.ca)
        connection = http.client.HTTPSConnection("localhost", stack.httpd.https, context=trust, timeout=10)
        connection.connect()
        connection.auto_open = 0
        opened.append(connection)
        return connection

    yield run
    for connection in opened:
        connection.close()


def post(connection, scheme=None, token=None, path="/wsman", body=b""):
    """The answer's status, headers, and whether it ends the connection."""
    more = {"Authorization": f"{scheme} {base64.b64encode(token).decode()}"} if scheme else {}
    connection.request("POST", path, body, {**CONTENT, **more})
    answer = connection.getresponse()
    answer.read()
    challenges = [value for name, value in answer.getheaders() if name.lower() == "www-authenticate"]
    return answer.status, challenges, (answer.getheader("Connection") or "").lower() == "close"


def test_a_ticket_is_shown_with_each_request(stack, ticket):
    """Kerberos authenticates a request: the next one of the same connection may be another caller's."""
    ticket(kdc.CONSOLE)
    caller, other = Caller(stack.httpd, "/wsman"), Caller(stack.httpd, "/wsman")
    try:
        answer = caller.shake_hands(Kerberos())
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["persistent-auth"] == "false"
        for _ in range(2):
            assert caller.post(soap.get(soap.SERVICE)).status == 401
            assert caller.challenges == ["Negotiate"]
            assert caller.shake_hands(Kerberos(), body=soap.get(soap.SERVICE)).text("p:Started") == "true"
        assert other.post(soap.get(soap.SERVICE)).status == 401
    finally:
        caller.connection.close()
        other.connection.close()


def test_the_question_whether_authentication_is_needed_ends_nothing(connect):
    connection = connect()
    for _ in range(2):
        status, challenges, ends = post(connection)
        assert (status, ends) == (401, False)
        assert "Negotiate" in challenges


@pytest.mark.may_log("GSS ERROR")
@pytest.mark.parametrize("token", [b"\x60\x06garbage", b"\x00" * 2000], ids=["garbage", "zeros"])
def test_a_failed_handshake_ends_the_connection(connect, console, token):
    """The next try must not meet what the failed one left behind."""
    status, _, ends = post(connect(), "Negotiate", token)
    assert (status, ends) == (401, True)
    assert console.send(soap.IDENTIFY).status == 200


@pytest.mark.may_log("GSS ERROR")
def test_other_places_of_the_server_are_left_alone(connect):
    status, _, ends = post(connect(), "Negotiate", b"\x60\x06garbage", path="/elsewhere")
    assert (status, ends) == (401, False)


@pytest.mark.may_log("GSS ERROR", "AMTU0041")
@pytest.mark.skipif(not gss_ntlm(), reason="gss-ntlmssp is not installed")
@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
def test_a_failed_ntlm_handshake_ends_the_connection(connect, scheme):
    """Its first answer is a challenge and must not end it; the 401 to a wrong response must."""
    connection = connect()
    status, challenges, ends = post(connection, scheme, NTLM_FIRST, path="/ntlm-only")
    assert (status, ends) == (401, False)
    assert any(challenge.startswith(scheme + " ") for challenge in challenges), challenges
    status, _, ends = post(connection, scheme, NTLM_LAST, path="/ntlm-only")
    assert (status, ends) == (401, True)
    status, challenges, ends = post(connect(), scheme, NTLM_FIRST, path="/ntlm-only")
    assert any(challenge.startswith(scheme + " ") for challenge in challenges), "another connection starts a new handshake"


def test_ntlm_is_not_offered_where_it_is_not_accepted(connect):
    """mod_auth_gssapi offers it on bound connections whatever GssapiAllowedMech says."""
    assert post(connect())[1] == ["Negotiate"]


@pytest.mark.may_log("GSS ERROR")
@pytest.mark.skipif(not gss_ntlm(), reason="gss-ntlmssp is not installed")
def test_ntlm_is_offered_where_it_is_accepted(connect):
    assert post(connect(), path="/ntlm-only")[1] == ["Negotiate", "NTLM"]
    status, challenges, ends = post(connect(), "NTLM", NTLM_FIRST)
    assert (status, challenges, ends) == (401, ["Negotiate"], True), "and its handshake goes nowhere elsewhere"
