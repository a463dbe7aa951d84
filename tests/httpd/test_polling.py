# SPDX-License-Identifier: Apache-2.0
"""Consoles that poll: what a child of httpd keeps of its answers shows the job as it is, to nobody but its caller, and spares
Redis the work."""

import signal
import threading

import pytest
from amtu_stack import kdc, soap
from amtu_stack.process import wait_until
from conftest import assert_fault

NO_SUCH_JOB = ("wsa:DestinationUnreachable", "InvalidResourceURI")
LARGE = 1000  # names: four pages
PAGES = 4
ROOM = "<wsman:MaxEnvelopeSize>1000000</wsman:MaxEnvelopeSize>"


def key(job):
    return "{amtu}:job:" + job.partition(":")[2]


def poll(job):
    """What a console sends each second; on one connection, so that one child gets them all."""
    return [soap.unlocked(job, message=soap.message_id()) for _ in range(3)]


def failed(answer):
    assert answer.status == 200, answer
    return answer.texts("p:failedSystems")


def rename(redis, job):
    """Changes behind everybody's back how a job's first name was written: who shows that has read it anew."""
    redis.call("HSET", key(job) + ":names", "0", "!|renamed.example")


KNOWN = -2  # among the arguments of `results`


def known_versions(redis):
    """The version of which each caller of `results` said that it is known, "" for none, since the slow log, which logs every
    call now, was emptied."""
    calls = [entry[3] for entry in redis.call("SLOWLOG", "GET", "-1")]
    return [words[KNOWN] for words in reversed(calls) if words[:2] == ["FCALL", "amtunlock_results"]]


@pytest.fixture
def logged(redis):
    settings = [(name, redis.call("CONFIG", "GET", name)[1]) for name in ("slowlog-log-slower-than", "slowlog-max-len")]
    redis.call("CONFIG", "SET", "slowlog-max-len", "100000")
    redis.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
    redis.call("SLOWLOG", "RESET")
    yield redis
    for setting in settings:
        redis.call("CONFIG", "SET", *setting)


def test_polls_are_answered_from_memory_each_with_its_own_ids(console, logged):
    """A connection stays with one child, and this one reads the job once."""
    job = console.unlock(["unknown.example"])
    answers = console.send_all(poll(job) * 4)
    assert {tuple(failed(answer)) for answer in answers} == {("unknown.example",)}
    assert len({answer.text("s:Header/wsa:MessageID") for answer in answers}) == len(answers)
    assert len({answer.text("s:Header/wsa:RelatesTo") for answer in answers}) == 3
    assert [version != "" for version in known_versions(logged)] == [False] + [True] * 11
    rename(logged, job)
    logged.call("HINCRBY", key(job), "changes", "1")
    assert failed(console.send_all(poll(job))[-1]) == ["renamed.example"]


def test_what_one_caller_has_polled_no_other_one_sees(stack, console, console2):
    """Not before, not after, and an operator only where it is one."""
    theirs, never = console2.unlock(["unknown.example"]), "amtunlock:" + "a" * 26
    for _ in range(2):
        for answer in console2.send_all(poll(theirs)):
            assert failed(answer) == ["unknown.example"]
        for answer, expected in zip(console.send_all(poll(theirs)), console.send_all(poll(never))):
            assert_fault(answer, *NO_SUCH_JOB)
            assert answer.reason == expected.reason
        for answer in stack.console(kdc.CONSOLE).send_all(poll(theirs), path="/operator"):
            assert failed(answer) == ["unknown.example"]
    mine = console.unlock(["mine.example"])
    assert failed(console.send(soap.unlocked())) == ["mine.example"]
    assert failed(console2.send(soap.unlocked())) == ["unknown.example"], "the latest is each caller's own"
    assert failed(console.send(soap.unlocked(mine))) == ["mine.example"]


def test_a_poll_shows_what_has_ended_until_now(console, idle_worker, names):
    """A cancelled job, and one that was deleted then."""
    job = console.unlock(["unknown.example", *names])
    assert {tuple(failed(answer)) for answer in console.send_all(poll(job))} == {("unknown.example",)}
    cancel = soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", resource=soap.JOB,
                         selectors={"InstanceID": job})
    *_, after = console.send_all([*poll(job), cancel, *poll(job)])
    assert failed(after) == ["unknown.example", *names]
    delete = soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": job})
    *_, gone = console.send_all([*poll(job), delete, *poll(job)])
    assert_fault(gone, *NO_SUCH_JOB)


def test_a_job_that_has_expired_is_gone_though_it_was_polled(console, redis):
    answer = console.send(soap.unlock(["unknown.example"]), path="/brief")  # kept for two seconds
    assert failed(console.send(soap.unlocked(answer.job))) == ["unknown.example"]
    assert wait_until(lambda: not redis.call("EXISTS", key(answer.job)), 30)
    for gone in console.send_all(poll(answer.job)):
        assert_fault(gone, *NO_SUCH_JOB)


@pytest.mark.ends_children
@pytest.mark.may_log("AMTU0027")
def test_a_restarted_httpd_reads_anew(stack, console, redis):
    job = console.unlock(["unknown.example"])
    console.send_all(poll(job))
    rename(redis, job)
    before = set(stack.httpd.children())
    stack.httpd.process.signal(signal.SIGUSR1)  # graceful
    assert wait_until(lambda: stack.httpd.children() and not before & set(stack.httpd.children()), 30)
    assert failed(console.send_all(poll(job))[-1]) == ["renamed.example"]


def large(job):
    return soap.method("GetUnlockedSystems", f"<p:InstanceID>{job}</p:InstanceID>", more=ROOM)


def test_a_large_job_is_read_in_pages_and_not_by_each_who_polls(console, logged):
    unknown = [f"unknown-{number}.example" for number in range(LARGE)]
    job = console.send(soap.unlock(unknown), path="/many").job
    answers = []
    threads = [threading.Thread(target=lambda: answers.extend(console.send_all([large(job)] * 3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 24 and all(failed(answer) == unknown for answer in answers)
    pages = len(known_versions(logged)) - len(answers)  # besides a look each
    assert PAGES <= pages < PAGES * len(answers) / 2, "once a child, or little more"
