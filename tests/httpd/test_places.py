# SPDX-License-Identifier: Apache-2.0
"""What a Location may set otherwise: limits, mechanisms, scopes, the return value of a started job."""

import time

import pytest
from amtu_stack import soap
from amtu_stack.process import wait_until
from conftest import assert_fault

ENUMERATE = soap.request(soap.JOB, soap.ENUMERATE, "<wsen:Enumerate/>")


def test_job_started_as_zero(console):
    """For consoles that know only Intel's habit of 0 for success."""
    answer = console.send(soap.unlock(["unknown.example"]), path="/few")
    assert answer.text("p:ReturnValue") == "0"
    assert answer.job


def test_most_systems_of_this_place(console):
    assert console.send(soap.get(soap.SERVICE), path="/few").text("p:MaxSystemsPerRequest") == "3"
    answer = console.send(soap.unlock([f"pc-{number}.example" for number in range(4)]), path="/few")
    assert_fault(answer, "wsman:InvalidParameter", "InvalidValue")
    assert "3" in answer.reason


def finish(console, *jobs):
    for job in jobs:
        console.send(soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", resource=soap.JOB,
                                 selectors={"InstanceID": job}))


def test_waiting_systems_are_limited(console, names, idle_worker):
    """A request with one system too many is refused as a whole; one at the limit is accepted."""
    first = console.send(soap.unlock(names[:3]), path="/few")
    assert first.status == 200
    assert_fault(console.send(soap.unlock(names[3:5]), path="/few"), "wsman:QuotaLimit")
    second = console.send(soap.unlock(names[3:4]), path="/few")
    assert second.status == 200
    finish(console, first.job, second.job)


def test_waiting_jobs_are_limited(console, console2, names, idle_worker):
    """Each caller has limits of his own."""
    jobs = [console.send(soap.unlock([name]), path="/few").job for name in names[:2]]
    assert all(jobs)
    assert_fault(console.send(soap.unlock(names[2:3]), path="/few"), "wsman:QuotaLimit")
    other = console2.send(soap.unlock(names[2:3]), path="/few")
    assert other.status == 200
    finish(console, *jobs)
    finish(console2, other.job)
    again = console.send(soap.unlock(names[2:3]), path="/few")
    assert again.status == 200, "there is room again"
    finish(console, again.job)


def test_contexts_are_limited(console, redis):
    for left in redis.call("KEYS", "{amtu}:context*"):  # by tests before this one
        redis.call("DEL", left)
    for number in range(3):
        console.unlock([f"unknown-{number}.example"])
    answers = [console.send(ENUMERATE, path="/few") for _ in range(3)]
    contexts = [answer.text("wsen:EnumerationContext") for answer in answers if answer.status == 200]
    assert len(contexts) == 2
    assert_fault(answers[-1], "wsman:QuotaLimit")
    for context in contexts:
        console.send(soap.request(soap.JOB, soap.RELEASE, "<wsen:Release><wsen:EnumerationContext>"
                                  f"{context}</wsen:EnumerationContext></wsen:Release>"), path="/few")


def test_body_limit_of_this_place(console):
    assert console.send(soap.IDENTIFY, path="/small").status == 200
    answer = console.send(soap.get(soap.SERVICE).replace("<s:Body>", "<s:Body>" + " " * 8192), path="/small")
    assert_fault(answer, "wsman:EncodingLimit", "ServiceEnvelopeLimit", 413)


@pytest.mark.parametrize("path, limit", [("/wsman", 128 * 1024), ("/many", 512 * 1000)], ids=["floor", "by systems"])
def test_body_limit_by_systems(console, path, limit):
    """The larger of 128 KiB and 512 bytes for each system that a request may name: to the byte."""
    envelope = soap.get(soap.SERVICE).encode()
    fits = envelope + b" " * (limit - len(envelope))
    assert console.send(fits, path=path).status == 200
    assert_fault(console.send(fits + b" ", path=path), "wsman:EncodingLimit", "ServiceEnvelopeLimit", 413)


def test_as_many_long_names_as_are_allowed(console):
    """The body limit leaves room for them."""
    names = [f"{'x' * 60}.{'y' * 60}.{'z' * 60}.{'w' * 50}.{number:04}" for number in range(1000)]
    answer = console.send(soap.unlock(names), path="/many")
    assert answer.status == 200 and answer.job, answer


def test_short_retention(console):
    """A test build may forget a job soon: it is there until then, and gone afterwards."""
    job = console.send(soap.unlock(["unknown.example"]), path="/brief").job
    asked = time.monotonic()
    assert console.job(job)["JobState"] == "7"
    assert wait_until(lambda: console.send(soap.get_job(job)).fault, 10, 0.1)
    assert time.monotonic() - asked > 1.5
    assert_fault(console.send(soap.get_job(job)), "wsa:DestinationUnreachable", "InvalidResourceURI")
    assert_fault(console.send(soap.unlocked(job)), "wsa:DestinationUnreachable", "InvalidResourceURI")


def test_nobody_in_scope(console, names):
    """A caller without a scope may ask, and unlocks nothing."""
    answer = console.send(soap.unlock(names[:1]), path="/nobody")
    assert answer.status == 200
    assert console.results(answer.job) == ([], names[:1])


@pytest.mark.logs("AMTU0040")
def test_mechanism_that_is_not_published(console):
    """Without GssapiPublishMech the mechanism is not known: the log says what to set."""
    assert_fault(console.send(soap.get(soap.SERVICE), path="/unpublished"), "wsman:AccessDenied", status=403)


@pytest.mark.logs("AMTU0041")
def test_mechanism_that_is_not_accepted(console):
    assert_fault(console.send(soap.get(soap.SERVICE), path="/ntlm-only"), "wsman:AccessDenied", status=403)
