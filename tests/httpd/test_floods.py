# SPDX-License-Identifier: Apache-2.0
"""A caller that sends too much, or has too much kept: it is refused early and clearly, and nobody else notices."""

import re
import time

import pytest
from amtu_stack import soap
from amtu_stack.console import Console
from amtu_stack.process import wait_until

QUOTA = ("wsman:QuotaLimit", None)
PLACES = {"/slow": 20, "/stranger": 10}  # requests a second; a caller without a scope has a tenth of what is set
AT_ONCE = 10  # seconds' worth


def read():
    return soap.get(soap.SERVICE)


def count_calls(redis, name):
    """Calls of a command that Redis has counted."""
    found = re.search(rf"cmdstat_{name}:calls=(\d+)", redis.call("INFO", "commandstats"))
    return int(found.group(1)) if found else 0


@pytest.fixture(name="new_second")
def _new_second():
    """What is refused is logged once a second: what a test before refused is of another one."""
    now = int(time.time())
    assert wait_until(lambda: int(time.time()) > now, 5, 0.02)


@pytest.mark.logs("AMTU0081")
@pytest.mark.usefixtures("new_second")
@pytest.mark.parametrize("path, rate", PLACES.items())
def test_more_requests_than_a_caller_may_send(console, console2, path, rate):
    sent, answers, refused = [], [], []
    while not refused and len(sent) < 1500:  # a busy machine may take as long for the first part as they may take
        part = [read() for _ in range(AT_ONCE * rate + 120)]
        sent, answers = sent + part, answers + console.send_all(part, path=path, seconds=60)
        refused = [answer for answer in answers if answer.status != 200]
    assert {answer.fault for answer in refused} == {QUOTA}
    assert AT_ONCE * rate <= len(answers) - len(refused) < len(answers)
    last = refused[-1]
    assert last.status == 400 and 1 <= int(last.headers["retry-after"]) <= AT_ONCE
    assert f"{rate} requests a second" in last.reason
    assert last.text("wsa:RelatesTo") in sent[answers.index(last)], "it is that request's"
    assert console2.send(read(), path=path).status == 200, "another caller does not notice"
    assert console.send(read()).status == 200, "nor does this one where it may send more"
    began = time.monotonic()
    assert wait_until(lambda: console.send(read(), path=path).status == 200, int(last.headers["retry-after"]) + 5, 0.2)
    assert time.monotonic() - began <= int(last.headers["retry-after"]) + 2, "after the time that was said"


@pytest.mark.may_log("AMTU0081")
def test_another_spelling_of_the_name_sends_no_more(stack):
    """A directory that ignores case gives one account a ticket for each spelling. (Here they are two accounts.)"""
    spellings = ("robot", "Robot")
    stack.kdc.service_keytab(stack.kdc.folder / "callers.keytab", *spellings)
    most = AT_ONCE * PLACES["/stranger"]
    counts = []
    for spelling in spellings:
        robot = Console(stack.httpd, stack.kdc.login(spelling))
        answers = robot.send_all([read() for _ in range(most + 60)], path="/stranger", seconds=60)
        counts.append([answer.status for answer in answers].count(200))
    assert counts[0] >= most > counts[1], counts


@pytest.mark.may_log("AMTU0081")
def test_bytes_count_as_requests_and_are_not_read(console2, redis, idle_worker):
    """Ten seconds of 20 requests are as much as 800 KiB in one; more than that is let in once, by who sent nothing."""
    body = soap.unlock([f"{number}.{'x' * 60}.example" for number in range(40_000)])
    assert len(body) > 3_000_000
    before = count_calls(redis, "fcall")
    answers = console2.send_all([body, body], path="/slow", seconds=60)
    assert answers[0].fault[0] == "wsman:InvalidParameter", "more names than one request may hold"
    assert answers[1].fault == QUOTA and answers[1].seconds < 1
    assert answers[1].text("wsa:RelatesTo")
    assert count_calls(redis, "fcall") - before <= 2, "what children say of themselves now and then"


@pytest.mark.may_log("AMTU0081")
def test_a_body_without_a_length_is_counted_too(console2):
    body = soap.unlock([f"{number}.{'y' * 60}.example" for number in range(20_000)])
    wait_until(lambda: console2.send(read(), path="/slow").status == 200, 30, 0.5)
    answers = console2.send_all([body, body], path="/slow", seconds=60, more=("-H", "Transfer-Encoding: chunked"))
    assert answers[-1].fault == QUOTA


def test_ended_jobs_count_until_they_are_deleted(console):
    console.unlock(["nosuch.example"])
    answer = console.send(soap.unlock(["nosuch.example"]), path="/little")
    assert answer.fault == QUOTA and "ended ones with them" in answer.reason


def test_names_that_nobody_may_unlock_count(console2, redis):
    """A caller who may unlock nothing has a tenth of the names."""
    answer = console2.send(soap.unlock([f"nosuch-{number}.example" for number in range(3)]), path="/stranger")
    assert answer.fault == QUOTA and "names" in answer.reason


def test_a_page_of_jobs_is_one_call(console, redis, idle_worker):
    jobs = {console.unlock([f"nosuch-{number}.example"]) for number in range(12)}
    inside = ("<wsen:Enumerate><wsman:OptimizeEnumeration/><wsman:MaxElements>100</wsman:MaxElements></wsen:Enumerate>")
    before = count_calls(redis, "fcall")
    answer = console.send(soap.request(soap.JOB, soap.ENUMERATE, inside, more="<wsman:MaxEnvelopeSize>500000</wsman:MaxEnvelopeSize>"))
    assert len(jobs & set(answer.texts("job:InstanceID"))) == 12
    assert count_calls(redis, "fcall") - before <= 3, "the list, the context and the page"
