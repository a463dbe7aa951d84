# SPDX-License-Identifier: Apache-2.0
"""AMTUnlockTrustedProxy: a name in a header counts where a listed client certificate stands behind it, and only there."""

import pytest
from amtu_stack import soap
from amtu_stack.console import Console
from amtu_stack.httpd import Settings
from amtu_stack.process import run
from conftest import Gate, _bring_up, assert_fault

USER = "carol@ELSEWHERE.TEST"
LOCATION = """
SSLVerifyClient optional
SSLCACertificateFile tls/ca.pem
<Location /proxied>
    SetHandler amtunlock
    AMTUnlockTrustedProxy X-Caller proxy.fleet.test "CN=whole,O=Fleet"
    AMTUnlockScope * "%{REMOTE_USER} == 'carol@ELSEWHERE.TEST'"
    Require valid-user
</Location>
<Location /open>
    SetHandler amtunlock
    AMTUnlockTrustedProxy X-Caller proxy.fleet.test
    Require all granted
</Location>
"""


@pytest.fixture(scope="module")
def _stack():
    stack = _bring_up("proxy", Settings(extra=LOCATION), systems=1, boot_seconds="1-1")
    yield stack
    stack.down()


@pytest.fixture
def stack(_stack, request):
    gate = Gate(_stack)
    yield _stack
    gate.close(request)


@pytest.fixture(scope="module")
def certificate(_stack, tmp_path_factory):
    """certificate(subject, names): curl's options for a client certificate of the stack's CA, or of its own."""
    folder = tmp_path_factory.mktemp("certificates")
    tls = _stack.httpd.root / "tls"

    def make(subject, names="", trusted=True):
        key, request, pem, more = (folder / f"client.{kind}" for kind in ("key", "csr", "pem", "ext"))
        more.write_text(f"extendedKeyUsage=clientAuth\n{'subjectAltName=' + names if names else ''}\n")
        run("a client's key", ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                               "-subj", subject, "-keyout", key, "-out", request])
        signer = ["-CA", tls / "ca.pem", "-CAkey", tls / "ca.key", "-CAcreateserial"] if trusted else ["-signkey", key]
        run("a client's certificate", ["openssl", "x509", "-req", "-in", request, *signer, "-days", "1",
                                       "-extfile", more, "-out", pem])
        return ["--cert", str(pem), "--key", str(key)]

    return make


def ask(stack, *more, body=soap.get(soap.SERVICE), path="/proxied"):
    return Console(stack.httpd).send(body, path=path, more=more)


def named(user):
    return ["-H", f"X-Caller: {user}"]


def test_listed_by_dns_name(stack, certificate):
    proxy = certificate("/CN=anything", "DNS:other.fleet.test,DNS:Proxy.Fleet.Test")
    assert ask(stack, *proxy, *named(USER)).status == 200


def test_listed_by_whole_subject(stack, certificate):
    assert ask(stack, *certificate("/O=Fleet/CN=whole"), *named(USER)).status == 200


def test_its_caller_owns_what_it_asked_for(stack, certificate):
    proxy = certificate("/CN=p", "DNS:proxy.fleet.test")
    job = ask(stack, *proxy, *named(USER), body=soap.unlock(["unknown.example"])).job
    properties = ask(stack, *proxy, *named(USER), body=soap.get_job(job))
    assert properties.texts("job:Owner") == [USER]
    other = ask(stack, *proxy, *named("dave@ELSEWHERE.TEST"), body=soap.get_job(job))
    assert_fault(other, "wsa:DestinationUnreachable", "InvalidResourceURI")


@pytest.mark.logs("AMTU0043")
@pytest.mark.parametrize("subject, names", [
    ("/CN=proxy.fleet.test", ""), ("/CN=p", "DNS:proxy.fleet.test.example"), ("/CN=whole", ""),
    ("/O=Fleet/OU=x/CN=whole", "")], ids=["common name only", "longer name", "part of a subject", "longer subject"])
def test_other_certificates(stack, certificate, subject, names):
    assert ask(stack, *certificate(subject, names), *named(USER)).status == 403


@pytest.mark.logs("AMTU0043")
def test_no_certificate(stack):
    assert ask(stack, *named(USER)).status == 403


@pytest.mark.logs("AMTU0043")
def test_plain_http(stack):
    answer = Console(stack.httpd).send(soap.get(soap.SERVICE), path="/proxied", tls=False, more=named(USER))
    assert answer.status == 403


@pytest.mark.logs("AMTU0044")
@pytest.mark.parametrize("header", [[], named(""), named("a, b"), named("a") + named("b"), named("x" * 300)],
                         ids=["none", "empty", "a list", "two", "too long"])
def test_no_one_caller_is_named(stack, certificate, header):
    assert ask(stack, *certificate("/CN=p", "DNS:proxy.fleet.test"), *header).status == 403


@pytest.mark.logs("AMTU0053")
@pytest.mark.parametrize("name", ["WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", "wellknown/anonymous@ELSEWHERE.TEST",
                                  "@ELSEWHERE.TEST", "/admin@ELSEWHERE.TEST", "(null)", "-", "Anonymous", "undefined"])
def test_a_name_that_stands_for_nobody(stack, certificate, name):
    """An anonymous ticket (RFC 8062) is a ticket, and every such caller has the same name. "(null)" is what mod_headers
    writes for a user that there is not."""
    answer = ask(stack, *certificate("/CN=p", "DNS:proxy.fleet.test"), *named(name))
    assert_fault(answer, "wsman:AccessDenied", status=403)


def test_the_header_alone_means_nothing_elsewhere(stack, certificate):
    proxy = certificate("/CN=p", "DNS:proxy.fleet.test")
    assert ask(stack, *proxy, *named(USER), path="/wsman").status == 401
    assert_fault(ask(stack, *proxy, *named(USER), path="/open"), "wsman:AccessDenied", status=403)
