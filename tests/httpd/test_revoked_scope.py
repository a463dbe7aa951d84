# SPDX-License-Identifier: Apache-2.0
"""A scope that is taken away while a system waits: it is not unlocked."""

import signal

import pytest
from amtu_stack import soap
from amtu_stack.httpd import Settings
from amtu_stack.process import Process, wait_until
from conftest import Gate, _bring_up, is_off, switch_off

PLACE = """
<Location /lent>
    SetHandler amtunlock
    AuthType GSSAPI
    AuthName "AMT unlock"
    GssapiPublishMech On
    GssapiAllowedMech krb5
    Require valid-user
    {scope}
</Location>
"""
SCOPES = 'AMTUnlockScope floor-1 "%{REMOTE_USER} =~ /^con/"\n    AMTUnlockScope floor-2 true'
LEFT = "AMTUnlockScope floor-2 true"


@pytest.fixture(scope="module")
def _stack():
    stack = _bring_up("revoked", Settings(extra=PLACE.format(scope=SCOPES)), systems=2, boot_seconds="1-1")
    yield stack
    stack.down()


@pytest.fixture
def stack(_stack, request):
    gate = Gate(_stack)
    yield _stack
    gate.close(request)


def published(redis):
    return sorted(redis.call("HGETALL", "{amtu}:scopes"))


@pytest.mark.ends_children
def test_a_directive_that_was_removed_holds_for_what_waits(stack, console, names, redis):
    switch_off(stack, names)
    worker = Process.of("worker", stack.workers[0].pids()[0])
    worker.signal(signal.SIGSTOP)
    try:
        job = console.send(soap.unlock(names), path="/lent").job
        before = published(redis)
        stack.httpd.settings.extra = PLACE.format(scope=LEFT)
        stack.httpd.configure()
        stack.httpd.graceful()
        assert wait_until(lambda: published(redis) != before, 10), before
    finally:
        worker.signal(signal.SIGCONT)
    assert console.wait(job)["JobState"] == "7"
    assert console.results(job) == (names[1:], names[:1])
    assert is_off(stack, names[0])


def test_every_child_says_the_same(stack, redis):
    """Whichever child was the last: one line for this httpd."""
    assert len(published(redis)) == 2
