# SPDX-License-Identifier: Apache-2.0
"""Behind a proxy that carries everybody's requests over the same few connections, nobody is served under another's name.

httpd is always there; nginx and HAProxy are where `make interop` installed them. AMTU_ROUNDS: how many requests.
"""

import http.client
import os
import random

import pytest
from amtu_stack import kdc, soap
from amtu_stack.httpd import NTLM_DOMAIN, Settings, gss_ntlm
from conftest import Gate, _bring_up
from front import PROGRAMS, Front, is_installed
from gss import CONTENT, Caller, Kerberos, authorization

ROUNDS = int(os.environ.get("AMTU_ROUNDS", "20"))
GSSAPI = """
    SetHandler amtunlock
    AuthType GSSAPI
    AuthName "AMT unlock"
    GssapiPublishMech On
    GssapiAllowedMech krb5
    Require valid-user
"""
PLACES = f"""
<Location /unbound>{GSSAPI}
    GssapiConnectionBound Off
</Location>
<Location /bound>{GSSAPI}
    GssapiConnectionBound On
</Location>
<Location /ntlm>{GSSAPI}
    GssapiConnectionBound On
    GssapiAllowedMech ntlmssp
    AMTUnlockMech krb5 ntlm
</Location>
"""
needs = [pytest.param(name, marks=pytest.mark.skipif(not is_installed(name), reason=f"{name} is not installed"))
         for name in PROGRAMS]


@pytest.fixture(scope="module")
def _stack():
    stack = _bring_up("shared", Settings(extra=PLACES), systems=1, boot_seconds="1-1")
    yield stack
    stack.down()


@pytest.fixture
def stack(_stack, request):
    gate = Gate(_stack)
    yield _stack
    gate.close(request)


class Client:
    """A connection to the proxy, kept alive."""

    def __init__(self, port, path):
        self.path = path
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def post(self, body=b"", token=None):
        """As Caller's: through a proxy that may have closed the connection."""
        headers = {"Content-Type": CONTENT, **({"Authorization": token} if token else {})}
        self.connection.request("POST", self.path, body, headers)
        answer = self.connection.getresponse()
        self.challenges = [value for name, value in answer.getheaders() if name.lower() == "www-authenticate"]
        return soap.Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(), 0)


class KerberosClient(Client):
    """One that sends a ticket with each request."""

    def __init__(self, port, path, principal, ticket):
        super().__init__(port, path)
        self.principal, self.ticket = principal, ticket

    def ask(self, body):
        self.ticket(self.principal)
        handshake = Kerberos()
        try:
            return self.post(body, authorization(handshake.step()))
        finally:
            handshake.close()


@pytest.mark.parametrize("path", ["/unbound", "/bound", "/ntlm"])
@pytest.mark.parametrize("traces", [False, True], ids=["silent", "telling"])
@pytest.mark.parametrize("name", needs)
@pytest.mark.may_log("AMTU0050")
def test_nobody_is_served_under_anothers_name(stack, ticket, name, traces, path):
    """Two callers and one without any ticket, each on a connection of its own, in any order."""
    order, who = random.Random(name + path), (kdc.CONSOLE, kdc.CONSOLE2)
    with Front(stack, name, traces) as front:
        callers = [KerberosClient(front.port, path, principal, ticket) for principal in who]
        nobody = Client(front.port, path)
        jobs = [caller.ask(soap.unlock(["unknown.example"])).job for caller in callers]
        assert all(jobs), jobs
        served = 0
        for _ in range(ROUNDS):
            number, job = order.randrange(3), order.choice(jobs)
            if number == 2:
                assert nobody.post(soap.get_job(job)).status == 401, f"request {served}"
                continue
            owner = callers[number].ask(soap.get_job(job)).text("job:Owner")
            assert owner == (f"{who[number]}@{kdc.REALM}" if job == jobs[number] else None), f"request {served}"
            served += 1
        assert nobody.post(soap.unlock(["unknown.example"])).status == 401


@pytest.mark.skipif(not gss_ntlm(), reason="gss-ntlmssp is not installed")
@pytest.mark.parametrize("name", needs)
@pytest.mark.may_log("AMTU0050", "GSS ERROR")
def test_ntlm_ends_with_its_request_at_a_proxy_that_tells(stack, name):
    """Its handshake may go through, where no other request comes between; what comes later is nobody's."""
    secret = stack.httpd.ntlm_users.read_text().strip().rpartition(":")[2]
    with Front(stack, name, True) as front:
        one, nobody = Client(front.port, "/ntlm"), Client(front.port, "/ntlm")
        Caller.log_in(one, f"{NTLM_DOMAIN}\\bob", secret, body=soap.IDENTIFY)
        for _ in range(4):
            assert nobody.post(soap.get(soap.SERVICE)).status == 401
            assert one.post(soap.get(soap.SERVICE)).status == 401
