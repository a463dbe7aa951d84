# SPDX-License-Identifier: Apache-2.0
"""Redis away or slow: a fault in time, nothing that happens later, and everything as before when it is back."""

import os
import signal
import time
from contextlib import contextmanager

import pytest
from amtu_stack import soap
from amtu_stack.process import wait_until
from amtu_stack.redis import Client
from conftest import assert_fault

WITHIN = 0.25  # seconds


BREAK = 1.2  # seconds: for a second each child spares a Redis that was away


@pytest.fixture(autouse=True)
def recovered(stack, console):
    """No child of httpd remembers, when the next test begins, that Redis was away."""
    yield
    well_since = time.monotonic()
    while time.monotonic() - well_since < BREAK:
        fault = console.send(soap.unlocked()).fault
        if fault and fault[0] == "wsa:EndpointUnavailable":
            well_since = time.monotonic()


@contextmanager
def frozen(stack):
    """Redis takes connections (the kernel does) and answers nothing."""
    process = stack.state.process("Redis")
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)
    assert wait_until(stack.redis.answers, 10)


def job_names(redis):
    return set(redis.call("KEYS", "{amtu}:job:*"))


@pytest.mark.alone
@pytest.mark.may_log("AMTU0")
def test_frozen(console, stack, redis):
    before = job_names(redis)
    with frozen(stack):
        answers = console.send_all([soap.unlock(["a.example"]), soap.unlocked(), soap.get_job("amtunlock:" + "a" * 26)])
    submitted, *read = answers
    for answer in read:
        assert_fault(answer, "wsa:EndpointUnavailable", answer.fault[1], status=500)
        assert int(answer.find("wsa:RetryAfter").text.strip("PTS")) > 0
    # What a machine that is shared with other tests adds must not hide what is measured.
    assert min(answer.seconds for answer in read) < WITHIN
    # Where Redis' socket took the submission, only Redis knows what becomes of it.
    assert submitted.fault[0] in ("wsman:TimedOut", "wsa:EndpointUnavailable"), submitted
    assert ("it is not known" if submitted.fault[0] == "wsman:TimedOut" else "nothing was done") in submitted.reason
    assert wait_until(lambda: console.send(soap.unlocked()).fault is None or
                      console.send(soap.unlocked()).fault[0] == "wsa:DestinationUnreachable", 10)
    assert job_names(redis) == before, "what was refused does not happen when Redis thaws"


@pytest.mark.may_log("AMTU0")
def test_frozen_for_longer_than_the_caller_waits(console, stack):
    """The caller's OperationTimeout or MaxTime decides which fault it gets."""
    timeout = "<wsman:OperationTimeout>{}</wsman:OperationTimeout>"
    pull = soap.request(soap.JOB, soap.PULL, f"<wsen:Pull><wsen:EnumerationContext>{'a' * 26}</wsen:EnumerationContext>"
                                             "<wsen:MaxTime>PT0.01S</wsen:MaxTime></wsen:Pull>")
    with frozen(stack):
        answers = console.send_all([soap.get_job("amtunlock:" + "a" * 26, more=timeout.format("PT0.01S")), pull,
                                    soap.get_job("amtunlock:" + "a" * 26, more=timeout.format("PT60S"))])
    assert_fault(answers[0], "wsman:TimedOut", status=500)
    # A second after a failure httpd tries Redis again; then this one was sent, and what came of it is not known.
    sent = "it is not known" in answers[1].reason
    assert_fault(answers[1], "wsman:TimedOut" if sent else "wsen:TimedOut", status=500)
    assert_fault(answers[2], "wsa:EndpointUnavailable", "ResourceOffline", status=500)


@pytest.mark.may_log("AMTU0")
def test_identify_needs_no_redis(console, stack):
    with frozen(stack):
        assert console.send(soap.IDENTIFY).status == 200
        assert console.send(soap.get(soap.SERVICE)).status == 200


@pytest.mark.may_log("AMTU0")
def test_connections_that_redis_closed(console, redis):
    """A connection kept in the pool that Redis has closed is no reason for a fault."""
    job = console.unlock(["a.example"])
    redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert console.job(job)["JobState"] == "7"


@pytest.mark.alone
@pytest.mark.may_log("AMTU0")
def test_without_a_socket(console, stack):
    """Redis is stopped: its socket refuses."""
    moved = stack.redis.socket.with_suffix(".away")
    os.rename(stack.redis.socket, moved)
    try:
        with Client(moved) as client:
            client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        answer = console.send(soap.unlock(["a.example"]))
        assert_fault(answer, "wsa:EndpointUnavailable", answer.fault[1], status=500)
        assert answer.seconds < WITHIN
    finally:
        os.rename(moved, stack.redis.socket)
    assert wait_until(lambda: console.send(soap.unlock(["a.example"])).status == 200, 10)


