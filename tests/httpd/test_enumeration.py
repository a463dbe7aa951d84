# SPDX-License-Identifier: Apache-2.0
"""Enumerate, Pull and Release of the service and of the caller's jobs."""

import time

import pytest
from amtu_stack import soap
from amtu_stack.process import wait_until
from conftest import assert_fault

CONTEXT = ("wsen:InvalidEnumerationContext", None, 500)


def enumerate_(resource, inside="", **more):
    return soap.request(resource, soap.ENUMERATE, f"<wsen:Enumerate>{inside}</wsen:Enumerate>", **more)


def pull(resource, context, most=1):
    return soap.request(resource, soap.PULL,
                        f"<wsen:Pull><wsen:EnumerationContext>{context}</wsen:EnumerationContext>"
                        f"<wsen:MaxElements>{most}</wsen:MaxElements></wsen:Pull>")


def release(resource, context):
    return soap.request(resource, soap.RELEASE, f"<wsen:Release><wsen:EnumerationContext>{context}"
                                                "</wsen:EnumerationContext></wsen:Release>")


@pytest.fixture
def three_jobs(console):
    return [console.unlock([f"unknown-{number}.example"]) for number in range(3)]


@pytest.mark.parametrize("resource", [soap.SERVICE, soap.CIM + "CIM_Service"], ids=["class", "superclass"])
def test_the_service(console, resource):
    answer = console.send(enumerate_(resource))
    context = answer.text("wsen:EnumerationContext")
    assert context
    page = console.send(pull(resource, context))
    assert page.find("p:AMT_RemoteEncryptionService") is not None
    assert page.find("wsen:EndOfSequence") is not None


def test_optimized(console):
    answer = console.send(enumerate_(soap.SERVICE, "<wsman:OptimizeEnumeration/>"))
    assert answer.find("wsman:Items/p:AMT_RemoteEncryptionService") is not None
    assert answer.find("wsman:EndOfSequence") is not None
    assert not answer.text("wsen:EnumerationContext")


@pytest.mark.parametrize("resource", [soap.JOB, soap.CIM + "CIM_Job"], ids=["class", "superclass"])
def test_own_jobs_page_by_page(console, three_jobs, resource):
    context = console.send(enumerate_(resource)).text("wsen:EnumerationContext")
    seen = []
    for _ in range(1000):
        page = console.send(pull(resource, context, 2))
        assert page.status == 200, page
        found = page.texts("job:InstanceID")
        assert len(found) <= 2
        seen += found
        if page.find("wsen:EndOfSequence") is not None:
            break
        context = page.text("wsen:EnumerationContext") or context
    assert set(three_jobs) <= set(seen)
    assert len(seen) == len(set(seen)), "each job once"


def test_references(console, three_jobs):
    answer = console.send(enumerate_(soap.JOB, "<wsman:OptimizeEnumeration/><wsman:MaxElements>1000"
                                     "</wsman:MaxElements><wsman:EnumerationMode>EnumerateEPR</wsman:EnumerationMode>"))
    named = answer.texts("wsman:Items/wsa:EndpointReference/wsa:ReferenceParameters/wsman:SelectorSet/wsman:Selector")
    assert set(three_jobs) <= set(named)


def test_objects_and_references(console):
    answer = console.send(enumerate_(
        soap.SERVICE, "<wsman:OptimizeEnumeration/><wsman:EnumerationMode>EnumerateObjectAndEPR"
        "</wsman:EnumerationMode>"))
    assert answer.find("wsman:Item/p:AMT_RemoteEncryptionService") is not None
    assert answer.find("wsman:Item/wsa:EndpointReference") is not None


def test_unknown_mode(console):
    answer = console.send(enumerate_(soap.SERVICE, "<wsman:EnumerationMode>Odd</wsman:EnumerationMode>"))
    assert answer.fault and answer.status in (400, 500)


def test_released_context_is_gone(console, three_jobs):
    context = console.send(enumerate_(soap.JOB)).text("wsen:EnumerationContext")
    assert console.send(release(soap.JOB, context)).status == 200
    assert_fault(console.send(pull(soap.JOB, context)), *CONTEXT)


def test_a_context_expires(console, three_jobs):
    """After the time that its caller asked for, or an answer later each: Pull does not prolong it."""
    context = console.send(enumerate_(soap.JOB, "<wsen:Expires>PT1S</wsen:Expires>")).text("wsen:EnumerationContext")
    begun = time.monotonic()
    answers = []
    assert wait_until(lambda: answers.append(console.send(pull(soap.JOB, context))) or answers[-1].status != 200, 10, 0.3)
    assert answers[0].status == 200 and time.monotonic() - begun > 0.9
    assert_fault(answers[-1], *CONTEXT)


def test_unknown_context(console):
    assert_fault(console.send(pull(soap.JOB, "uuid:none")), *CONTEXT)


def test_context_of_another_caller(console, console2, three_jobs):
    context = console.send(enumerate_(soap.JOB)).text("wsen:EnumerationContext")
    assert_fault(console2.send(pull(soap.JOB, context)), *CONTEXT)
    assert console.send(pull(soap.JOB, context)).status == 200


def test_context_of_another_class(console, three_jobs):
    context = console.send(enumerate_(soap.JOB)).text("wsen:EnumerationContext")
    assert_fault(console.send(pull(soap.SERVICE, context)), *CONTEXT)


@pytest.mark.parametrize("expires", ["PT0S", "-PT5S"])
def test_expiry_in_the_past(console, expires):
    answer = console.send(enumerate_(soap.JOB, f"<wsen:Expires>{expires}</wsen:Expires>"))
    assert answer.fault and answer.fault[0] == "wsen:InvalidExpirationTime"


def test_filter(console):
    answer = console.send(enumerate_(soap.JOB, '<wsman:Filter Dialect="urn:none">x</wsman:Filter>'))
    assert answer.fault and answer.fault[0] in ("wsen:FilteringNotSupported",
                                                "wsen:FilterDialectRequestedUnavailable")
