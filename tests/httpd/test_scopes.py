# SPDX-License-Identifier: Apache-2.0
"""AMTUnlockScope: what an expression may use, and that a system that is not allowed looks like one that does not exist."""

import json
import re
import statistics
import time

import pytest
from amtu_stack import kdc, ports, soap
from amtu_stack.console import Console
from amtu_stack.httpd import GROUPS, gss_ntlm
from amtu_stack.process import wait_until
from gss import Caller, Kerberos
from ldap_server import LdapServer
from second_httpd import SecondHttpd, There, shipped

ROUNDS, MORE = 30, 6  # and so many times as many, where the machine is busy
CLOSE = 0.002  # seconds: less than callers could tell across a network that they share with others


@pytest.fixture
def one_of_each(stack):
    """A PC of the first group, and one of the second: they take turns."""
    return [row["fqdn"] for row in stack.fleet.systems()[:len(GROUPS)]]


def refused(ask, names):
    """Those of the names that are not available to the caller."""
    answer = ask(soap.unlock(names))
    assert answer.status == 200, answer
    failed = ask(soap.unlocked(answer.job)).texts("p:failedSystems")
    ask(soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", resource=soap.JOB,
                    selectors={"InstanceID": answer.job}))
    return failed


def test_by_address(console, one_of_each, idle_worker):
    assert refused(lambda body: console.send(body, path="/by-address"), one_of_each) == one_of_each[1:]


def test_by_mechanism(stack, ticket, one_of_each, idle_worker):
    ticket(kdc.CONSOLE)
    caller = Caller(stack.httpd, "/by-mechanism")
    assert refused(lambda body: caller.shake_hands(Kerberos(), body=body), one_of_each) == one_of_each[1:]
    caller.connection.close()


@pytest.mark.skipif(not gss_ntlm(), reason="gss-ntlmssp is not installed")
@pytest.mark.parametrize("way", ["raw", "SPNEGO"])
def test_by_the_other_mechanism(stack, one_of_each, way, idle_worker):
    caller = Caller(stack.httpd, "/by-mechanism")
    password = stack.httpd.ntlm_users.read_text().strip().rpartition(":")[2]
    assert caller.log_in("FLEET\\bob", password, way).status == 200
    assert refused(caller.post, one_of_each) == one_of_each[:1]
    caller.connection.close()


def timed(caller, body):
    begun = time.perf_counter()
    answer = caller.post(body)
    return time.perf_counter() - begun, answer


def apart(times):
    """Of the quicker ones: a busy machine makes some slower, and none quicker than it is."""
    one, other = (statistics.quantiles(seconds, n=10)[0] for seconds in times)
    return abs(one - other)


def denials(stack):
    """The lines of the worker's record."""
    text = (stack.workers[0].folder / "audit.jsonl").read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == "denied"]


@pytest.mark.logs("AMTU0059")
def test_what_is_denied_is_logged_and_recorded(stack, console2, one_of_each):
    """Whoever asks for what is there and not his: in httpd's log, once a second, and each in the record."""
    def logged():
        return stack.httpd.error_log.read_text().count("AMTU0059")

    begun, jobs = logged(), []
    while logged() == begun and len(jobs) < 200:  # in this second each child may have said it already
        jobs.append(console2.unlock([one_of_each[1], "unknown.example"]))
    ids = [job.partition(":")[2] for job in jobs]
    assert wait_until(lambda: {line["job"] for line in denials(stack)} >= set(ids), 10), denials(stack)
    assert [line["job"] for line in denials(stack) if line["job"] in ids] == ids
    line = denials(stack)[-1]
    assert (line["caller"], line["mechanism"]) == (f"{kdc.CONSOLE2}@{kdc.REALM}", "krb5")
    assert (line["systems"], line["names"]) == (1, one_of_each[1])
    assert logged() == begun + 1
    assert f"this caller: 1 {one_of_each[1]}" in stack.httpd.error_log.read_text()


def test_what_is_nowhere_is_not_denied(stack, console2):
    before = stack.httpd.error_log.read_text().count("AMTU0059")
    console2.unlock(["unknown.example"])
    assert stack.httpd.error_log.read_text().count("AMTU0059") == before


def test_timing_tells_nothing(stack, ticket, console, one_of_each):
    """Names that are there but not this caller's, and jobs of others, take as long as what never was."""
    ticket(kdc.CONSOLE2)
    caller = Caller(stack.httpd, "/wsman")
    assert caller.shake_hands(Kerberos()).status == 200
    job = console.unlock(["unknown.example"])
    pairs = {"names": (lambda: soap.unlock([one_of_each[1]]), lambda: soap.unlock(["unknown.example"])),
             "results": (lambda: soap.unlocked(job), lambda: soap.unlocked("amtunlock:" + "a" * 26))}
    for what, (there, never) in pairs.items():
        seconds = ([], [])
        while len(seconds[0]) < ROUNDS or apart(seconds) >= CLOSE and len(seconds[0]) < MORE * ROUNDS:
            for taken, body in zip(seconds, (there, never)):
                if caller.connection.sock is None:  # a fault closed it
                    caller.connection.connect()
                    caller.shake_hands(Kerberos())
                taken.append(timed(caller, body())[0])
        assert apart(seconds) < CLOSE, (what, seconds)
    caller.connection.close()


# ---- groups of a directory --------------------------------------------------------------------------------------

LDAP = """
<Location /wsman>
    SetHandler amtunlock
    AuthType GSSAPI
    AuthName x
    GssapiPublishMech On
    AMTUnlockScope floor-1 "{expression}"
    AuthLDAPURL "ldap://127.0.0.1:{ldap}/dc=fleet?userPrincipalName,memberOf"
    Require ldap-filter objectClass=person
</Location>
"""
MODULES = ("mpm_event", "authn_core", "authz_core", "authz_user", "auth_gssapi", "socache_shmcb", "ssl", "ldap", "authnz_ldap")
TLS = """
Listen 127.0.0.1:{port}
AMTUnlockRedis unix:{redis.socket} user=amtunlock-web password-file={password}
AMTUnlockWorker Off
SSLEngine On
SSLCertificateFile {tls}/server.pem
SSLCertificateKeyFile {tls}/server.key
"""


def shown(name):
    """The expression of this directive's example for LDAP in the shipped reference."""
    (found,) = re.findall(rf'^#{name} \S+ "(.*AUTHORIZE_MEMBEROF.*)"$', shipped("amtunlock.conf"), re.M)
    return found


@pytest.fixture
def directory(stack):
    """Both callers are in the directory; one is in the group of the shipped example."""
    with LdapServer({f"{kdc.CONSOLE}@{kdc.REALM}": {"userPrincipalName": ["x"], "memberOf": ["CN=Others,DC=example,DC=com"]},
                     f"{kdc.CONSOLE2}@{kdc.REALM}": {"userPrincipalName": ["x"], "memberOf": [
                         "CN=Others,DC=example,DC=com", "CN=Floor 1,OU=Helpdesk,DC=example,DC=com"]}}) as ldap:
        (port,) = ports.pick(1)
        redis = stack.httpd.redis
        text = TLS.format(port=port, redis=redis, password=redis.password_file("amtunlock-web"), tls=stack.httpd.root / "tls")
        text += LDAP.format(expression=shown("AMTUnlockScope"), ldap=ldap.port)
        module = f"LoadModule amtunlock_module {stack.places.program('mod_amtunlock.so')}\n"
        with SecondHttpd(stack, "directory", MODULES, module + text, port) as httpd:
            yield httpd.wait(port)


def test_by_group_of_a_directory(stack, directory, one_of_each, idle_worker):
    """A caller may unlock what its group in LDAP may, by the example of the shipped reference."""
    there = There(stack, directory.port)
    for principal, allowed in ((kdc.CONSOLE, []), (kdc.CONSOLE2, one_of_each[:1])):
        caller = Console(there, stack.kdc.cache(principal))
        assert refused(caller.send, one_of_each) == [name for name in one_of_each if name not in allowed]
