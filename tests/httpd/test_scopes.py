"""AMTUnlockScope: what an expression may ask, and that what is not allowed cannot be told from what is not there."""

import statistics
import time

import pytest
from amtu_stack import kdc, soap
from amtu_stack.httpd import GROUPS, gss_ntlm
from gss import Caller, Kerberos

ROUNDS = 30
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
    assert caller.shake_hands(Kerberos()).status == 200
    assert refused(caller.post, one_of_each) == one_of_each[1:]
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
        for _ in range(ROUNDS):
            for taken, body in zip(seconds, (there, never)):
                if caller.connection.sock is None:  # a fault closed it
                    caller.connection.connect()
                    caller.shake_hands(Kerberos())
                taken.append(timed(caller, body())[0])
        apart = abs(statistics.median(seconds[0]) - statistics.median(seconds[1]))
        assert apart < CLOSE, (what, seconds)
    caller.connection.close()
