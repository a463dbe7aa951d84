# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the httpd tests: a whole stack, its callers, and a gate over httpd's error log.

A test fails when httpd wrote a warning or an error that the test did not announce:

    @pytest.mark.logs("AMTU0012")            must appear
    @pytest.mark.may_log("AMTU0013")         may appear
"""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from amtu_stack import kdc, soap  # noqa: E402
from amtu_stack.httpd import Settings  # noqa: E402
from amtu_stack.places import build_folder  # noqa: E402
from amtu_stack.process import Process, run, wait_until  # noqa: E402
from amtu_stack.stack import Options, Stack  # noqa: E402

SYSTEMS = 8
# What httpd itself may say at any time in a test:
HARMLESS = (
    "AH01882",  # OpenSSL was updated since mod_ssl was compiled
    "AMTU0059",  # callers ask for what is not theirs in many tests
    "AMTU0057",  # /wsman is bound to connections, to see that nothing comes of it
    "AH00045", "AH00046",  # a child that is slow to end gets another signal
)
LEVELLED = re.compile(r"^\[[^\]]*\] \[[\w-]*:(\w+)\]")
QUIET = ("notice", "info", "debug") + tuple(f"trace{number}" for number in range(1, 9))


def pytest_configure(config):
    config.addinivalue_line("markers", "logs(*numbers): log numbers that the test provokes")
    config.addinivalue_line("markers", "may_log(*numbers): log numbers that the test may provoke")
    config.addinivalue_line("markers", "ends_children: a child of httpd ends during the test")


GSSAPI = """
    SetHandler amtunlock
    AuthType GSSAPI
    AuthName "AMT unlock"
    GssapiConnectionBound On
    GssapiAllowedMech krb5
    Require valid-user
"""
BOB = r"user fleet\\bob"  # Require takes a string expression, in which a backslash is written twice
# Places that differ in one thing from /wsman.
PLACES = f"""
<Location /few>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockMaxSystems 3
    AMTUnlockCallerLimits jobs=2 systems=4 contexts=2
    AMTUnlockJobStarted 0
</Location>
<Location /small>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockMaxBody 8192
    AMTUnlockMaxSystems 3
</Location>
<Location /wide>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockMaxBody 10485760
    AMTUnlockCallerLimits requests=0
</Location>
<Location /many>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockMaxSystems 1000
</Location>
<Location /brief>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockRetention PT2S
</Location>
<Location /nobody>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockScope * false
</Location>
<Location /operator>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockOperator "%{{REMOTE_USER}} == 'console@AMTU.TEST'"
</Location>
<Location /slow>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockMaxBody 10485760
    AMTUnlockCallerLimits requests=20
</Location>
<Location /slower>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockCallerLimits requests=5
</Location>
<Location /stranger>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockScope * false
    AMTUnlockCallerLimits requests=100 names=20
</Location>
<Location /little>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockCallerLimits kept=1
</Location>
<Location /large>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockMaxSystems 20000
</Location>
<Location /unpublished>{GSSAPI}</Location>
<Location /wsman-schema>
    SetHandler amtunlock-interface
    Require all granted
</Location>
<Location /elsewhere>{GSSAPI}
    SetHandler none
</Location>
<Location /ntlm-only>{GSSAPI}
    GssapiPublishMech On
    GssapiAllowedMech ntlmssp
    AMTUnlockMech ntlm
</Location>
<Location /by-address>{GSSAPI}
    GssapiPublishMech On
    AMTUnlockScope floor-1 "%{{REMOTE_ADDR}} -ipmatch '127.0.0.0/8'"
    AMTUnlockScope floor-2 "%{{REMOTE_ADDR}} -ipmatch '192.0.2.0/24'"
</Location>
<Location /by-mechanism>{GSSAPI}
    GssapiPublishMech On
    GssapiAllowedMech ntlmssp
    AMTUnlockMech krb5 ntlm
    AMTUnlockScope floor-1 "%{{reqenv:GSS_MECH}} == 'Negotiate/krb5'"
    AMTUnlockScope floor-2 "%{{reqenv:GSS_MECH}} =~ m#/NTLM$#"
</Location>
<Location /bob-only>{GSSAPI.replace("valid-user", BOB)}
    GssapiPublishMech On
    GssapiAllowedMech ntlmssp
    AMTUnlockMech ntlm
</Location>
<Location /ntlm>{GSSAPI}
    GssapiPublishMech On
    GssapiAllowedMech ntlmssp
    AMTUnlockMech krb5 ntlm
    AMTUnlockScope floor-1 "%{{REMOTE_USER}} == 'fleet\\\\\\\\bob'"
</Location>
"""


def _bring_up(name, settings=None, **options):
    process = os.environ.get("PYTEST_XDIST_WORKER")  # each process that tests are spread over has stacks of its own
    folder = f"{name}-{process}" if process else name
    stack = Stack(build_folder() / "stack-tests" / folder, Options(**options), settings=settings)
    stack.up()
    return stack


@pytest.fixture(scope="session")
def _shared_stack():
    stack = _bring_up("httpd", Settings(extra=PLACES), systems=SYSTEMS, boot_seconds="1-1")
    yield stack
    stack.down()


@pytest.fixture(scope="module", params=["event", "worker", "prefork"])
def _mpm_stack(request):
    stack = _bring_up(request.param, systems=SYSTEMS, boot_seconds="3-3", mpm=request.param)
    yield stack
    stack.down()


def important(line):
    """Whether a line of the error log is a warning or worse, or not in httpd's format at all."""
    found = LEVELLED.match(line)
    if found and found[1] in QUIET:
        return False
    return bool(line.strip()) and not any(number in line for number in HARMLESS)


class Gate:
    """The lines that httpd writes from now on, against those that are expected."""

    def __init__(self, stack):
        self.stack = stack
        self.log = stack.httpd.error_log
        self.start = self.log.stat().st_size
        self.children = set(stack.httpd.children())

    def text(self):
        with open(self.log, errors="replace") as lines:
            lines.seek(self.start)
            return lines.read()

    def close(self, request):
        marked = {kind: {number for mark in request.node.iter_markers(kind) for number in mark.args}
                  for kind in ("logs", "may_log")}
        missing = [number for number in sorted(marked["logs"]) if number not in self.text()]
        expected = marked["logs"] | marked["may_log"]
        surprises = [line for line in self.text().splitlines()
                     if important(line) and not any(number in line for number in expected)]
        assert not surprises, "httpd wrote what this test does not expect:\n" + "\n".join(surprises)
        assert not missing, f"httpd did not write {', '.join(missing)}; it wrote:\n{self.text()}"
        if not request.node.get_closest_marker("ends_children"):
            gone = self.children - set(self.stack.httpd.children())
            assert not gone, f"children of httpd ended: {gone}"


@pytest.fixture
def stack(_shared_stack, request):
    """The stack that most tests share (event MPM), behind the gate."""
    gate = Gate(_shared_stack)
    yield _shared_stack
    gate.close(request)


@pytest.fixture
def mpm_stack(_mpm_stack, request):
    """A stack for each MPM, for tests of httpd's and the worker's life."""
    gate = Gate(_mpm_stack)
    yield _mpm_stack
    gate.close(request)


@pytest.fixture
def console(stack):
    """The caller who may unlock every PC."""
    return stack.console()


@pytest.fixture
def console2(stack):
    """The caller who may unlock the first group only."""
    return stack.console(kdc.CONSOLE2)


@pytest.fixture
def names(stack):
    """FQDNs of all simulated PCs."""
    return [row["fqdn"] for row in stack.fleet.systems()]


@pytest.fixture
def switched_off(stack, names):
    """All PCs off, disks locked."""
    switch_off(stack, names)
    return names


def switch_off(stack, names):
    """Once what other tests have left is over: an unlock under way would not see its PC start, and others would wait for it."""
    with stack.redis.client() as redis:
        assert wait_until(lambda: redis.call("EXISTS", "{amtu}:leases", "{amtu}:ring") == 0, 60), "unlocks are under way"
    for name in names:
        stack.fleet.tell(do="power", system=name, to=8)
    assert wait_until(lambda: all(is_off(stack, name) for name in names), 10), "the PCs do not switch off"


def is_off(stack, name):
    return str(stack.fleet.tell(do="state", system=name).get("power")) in ("8", "off")


@pytest.fixture
def idle_worker(stack):
    """The worker is stopped: what is queued stays queued. It goes on when the test calls this, or ends, long before a lease
    does."""
    worker = Process.of("worker", stack.workers[0].pids()[0])
    worker.signal(signal.SIGSTOP)
    yield lambda: worker.signal(signal.SIGCONT)
    worker.signal(signal.SIGCONT)


@pytest.fixture
def ticket(stack, monkeypatch):
    """ticket(PRINCIPAL): this process shows that caller's ticket."""
    monkeypatch.setenv("KRB5_CONFIG", str(stack.httpd.realm.config))
    return lambda principal: monkeypatch.setenv("KRB5CCNAME", f"FILE:{stack.kdc.cache(principal)}")


@pytest.fixture
def redis(stack):
    with stack.redis.client() as client:
        yield client


def assert_fault(answer, subcode, detail=None, status=400):
    """The answer is this fault, in full shape: code, reason, action, content type."""
    assert (answer.fault, answer.status) == ((subcode, detail), status), answer
    assert answer.reason, "a fault has a reason"
    assert answer.text("s:Header/wsa:Action").endswith("/fault")
    assert answer.headers["content-type"].lower().replace(" ", "").startswith("application/soap+xml")
    receiver = status == 500 and ":" in subcode and not subcode.startswith("s:")
    if ":" in subcode and not subcode.startswith("s:"):
        assert answer.text("s:Fault/s:Code/s:Value") == ("s:Receiver" if receiver else "s:Sender")


__all__ = ["assert_fault", "soap"]
