# SPDX-License-Identifier: Apache-2.0
"""conf/proxy-example.conf with two real servers: an edge that authenticates with Kerberos, and the stack's httpd behind."""

import pytest
from amtu_stack import kdc, ports, soap
from amtu_stack.console import Console
from amtu_stack.httpd import Settings
from amtu_stack.process import Failure
from certificates import make_certificate
from conftest import Gate, _bring_up, assert_fault
from second_httpd import SecondHttpd, shipped

EDGE_MODULES = ("mpm_event", "authn_core", "authz_core", "authz_user", "auth_gssapi", "socache_shmcb", "ssl", "headers",
                "reqtimeout", "proxy", "proxy_http", "alias", "rewrite")
# The edge's host has a site besides, in whose folders others may write .htaccess files; the virtual host inherits it.
SITE = """
DocumentRoot {site}
<Directory {site}>
    AllowOverride All
    Require all granted
</Directory>
"""


class At:
    """What Console asks of an httpd."""

    def __init__(self, stack, port):
        self.realm, self.ca, self.port = stack.httpd.realm, stack.httpd.ca, port
        self.places = stack.places

    def url(self, path="/wsman", tls=True):
        assert tls
        return f"https://localhost:{self.port}{path}"


@pytest.fixture(scope="module")
def _two():
    """(stack, port of the edge, port behind)"""
    edge_port, behind_port = ports.pick(2)
    behind = shipped("proxy-example.conf", **{
        "#Define AMTUNLOCK_BEHIND": "Define AMTUNLOCK_BEHIND", "Listen 8443": f"Listen 127.0.0.1:{behind_port}",
        "*:8443": f"*:{behind_port}", "amtunlock.internal.example": "localhost",
        "/etc/amtunlock/tls/amtunlock": "tls/server", "/etc/amtunlock/tls/inner-ca.pem": "tls/ca.pem",
        "sccm$@EXAMPLE.COM": f"{kdc.CONSOLE}@{kdc.REALM}"})
    stack = _bring_up("edge", Settings(modules=("reqtimeout",), extra=behind), systems=1, boot_seconds="1-1")
    try:
        tls = stack.httpd.root / "tls"
        make_certificate(stack, tls / "edge.pem", "/CN=edge", "DNS:edge.example.com")
        edge = shipped("proxy-example.conf", **{
            "#Define AMTUNLOCK_EDGE": "Define AMTUNLOCK_EDGE", "Listen 5986": f"Listen 127.0.0.1:{edge_port}",
            "*:5986": f"*:{edge_port}", "unlock.example.com": "localhost", "amtunlock.internal.example:8443":
            f"localhost:{behind_port}", "/etc/amtunlock/tls/unlock": tls / "server",
            "/etc/amtunlock/tls/inner-ca.pem": tls / "ca.pem", "/etc/amtunlock/tls/edge.pem": tls / "edge.pem",
            "/etc/amtunlock/http.keytab": stack.httpd.realm.keytab})
        site = stack.places.folder("site")
        with SecondHttpd(stack, "edge", EDGE_MODULES, SITE.format(site=site) + edge) as httpd:
            httpd.wait(edge_port)
            yield stack, edge_port, behind_port
    finally:
        stack.down()


@pytest.fixture
def stack(_two, request):
    gate = Gate(_two[0])
    yield _two[0]
    gate.close(request)


@pytest.fixture
def edge(stack, _two):
    """edge(principal): a caller at the edge; None: an anonymous one."""
    return lambda principal=kdc.CONSOLE: Console(At(stack, _two[1]), stack.kdc.cache(principal) if principal else None)


@pytest.fixture
def behind(stack, _two):
    """A caller that bypasses the edge."""
    return Console(At(stack, _two[2]))


def named(user):
    return ["-H", f"X-Remote-User: {user}"]


def test_the_callers_name_comes_through(edge):
    job = edge().unlock(["unknown.example"])
    assert edge().job(job)["Owner"] == f"{kdc.CONSOLE}@{kdc.REALM}"
    assert edge().results(job) == ([], ["unknown.example"])


def test_scopes_hold_behind_the_edge(edge, stack):
    name = stack.fleet.systems()[0]["fqdn"]
    job = edge(kdc.CONSOLE2).unlock([name])
    assert edge(kdc.CONSOLE2).results(job) == ([], [name]), "only the first caller is in the example's scope"


def test_nobody_is_stopped_at_the_edge(edge):
    answer = edge(None).send(soap.IDENTIFY, more=named(f"{kdc.CONSOLE}@{kdc.REALM}"))
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Negotiate")


def test_a_name_that_the_client_sent_is_gone(edge):
    """The edge's own word replaces it, under every spelling of the header that httpd takes for it."""
    for header in ("X-Remote-User", "x-remote-user", "X-REMOTE-USER"):
        answer = edge(kdc.CONSOLE2).send(soap.unlock(["unknown.example"], message="0"),
                                         more=["-H", f"{header}: {kdc.CONSOLE}@{kdc.REALM}"])
        assert edge(kdc.CONSOLE2).job(answer.job)["Owner"] == f"{kdc.CONSOLE2}@{kdc.REALM}"


def test_a_htaccess_of_the_edges_site_names_nobody(edge, stack, _two):
    """The edge's certificate is not for whoever may write a file that mod_rewrite reads."""
    folder = stack.places.folder("site/mine")
    stack.places.write(folder / ".htaccess", f"""
        RewriteEngine On
        RewriteRule .* https://localhost:{_two[2]}/wsman [P]
        RequestHeader set X-Remote-User {kdc.CONSOLE}@{kdc.REALM}
    """)
    for path in ("/mine/", "/mine/x", "/wsman/../mine/", "//mine//", "/wsmanx/../mine/y"):
        answer = edge(None).send(soap.get(soap.SERVICE), path=path, more=["--path-as-is"])
        assert answer.status in (400, 401, 404), path


def test_callers_are_not_mixed_up_on_shared_connections(edge):
    """The edge sends everybody's requests over the same few connections."""
    owners = [f"{one}@{kdc.REALM}" for one in (kdc.CONSOLE, kdc.CONSOLE2)]
    consoles = [edge(kdc.CONSOLE), edge(kdc.CONSOLE2)]
    jobs = [console.unlock(["unknown.example"], message="0") for console in consoles]
    for _ in range(5):
        for number in (0, 1):
            seen = consoles[number].send_all([soap.get_job(jobs[0]), soap.get_job(jobs[1])])
            assert seen[number].text("job:Owner") == owners[number]
            assert_fault(seen[1 - number], "wsa:DestinationUnreachable", "InvalidResourceURI")


def test_faults_come_through_as_they_are(edge):
    assert_fault(edge().send(soap.get(soap.CIM + "CIM_NoSuchClass")), "wsa:DestinationUnreachable", "InvalidResourceURI")
    assert edge().send(b"", method="GET").status == 405
    assert edge().send(b"").status == 200
    assert edge().send("nonsense", content_type="text/plain").status == 415


def test_utf16_comes_through(edge):
    answer = edge().send(soap.get(soap.SERVICE).encode("utf-16"), content_type="application/soap+xml;charset=UTF-16")
    assert answer.body.startswith(b"\xff\xfe")
    assert "AMT_RemoteEncryptionService" in answer.body.decode("utf-16")


def test_without_a_certificate_there_is_no_way_around_the_edge(behind):
    with pytest.raises(Failure):
        behind.send(soap.get(soap.SERVICE), more=named(f"{kdc.CONSOLE}@{kdc.REALM}"))


@pytest.mark.logs("AMTU0043")
def test_another_certificate_is_no_way_around_the_edge(behind, stack, tmp_path):
    pem = make_certificate(stack, tmp_path / "other.pem", "/CN=edge.example.com", "DNS:other.example.com")
    answer = behind.send(soap.get(soap.SERVICE), more=["--cert", str(pem), *named(f"{kdc.CONSOLE}@{kdc.REALM}")])
    assert answer.status == 403


@pytest.mark.logs("AMTU0044")
def test_the_edge_must_name_somebody(behind, _two):
    pem = _two[0].httpd.root / "tls" / "edge.pem"
    assert behind.send(soap.get(soap.SERVICE), more=["--cert", str(pem)]).status == 403
