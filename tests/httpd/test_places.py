"""What a Location may set otherwise: limits, mechanisms, scopes, the return value of a started job."""

import pytest
from amtu_stack import soap
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


def test_waiting_systems_are_limited(console, switched_off, redis):
    """More than a caller may have waiting is refused whole, and is accepted once the first ones are done."""
    first = console.send(soap.unlock(switched_off[:3]), path="/few")
    second = console.send(soap.unlock(switched_off[3:6]), path="/few")
    if second.status != 200:
        assert_fault(second, "wsman:QuotaLimit")
    console.wait(first.job)
    assert console.send(soap.unlock(switched_off[6:7]), path="/few").status == 200


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


def test_nobody_in_scope(console, names):
    """A caller without a scope may ask, and unlocks nothing."""
    answer = console.send(soap.unlock(names[:1]), path="/nobody")
    assert answer.status == 200
    assert console.results(answer.job) == ([], names[:1])


@pytest.mark.logs("AMTU0040")
def test_mechanism_that_is_not_published(console):
    """Without GssapiPublishMech nobody knows how the caller was authenticated: the log says what to set."""
    assert_fault(console.send(soap.get(soap.SERVICE), path="/unpublished"), "wsman:AccessDenied", status=403)


@pytest.mark.logs("AMTU0041")
def test_mechanism_that_is_not_accepted(console):
    assert_fault(console.send(soap.get(soap.SERVICE), path="/ntlm-only"), "wsman:AccessDenied", status=403)
