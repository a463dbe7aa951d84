# SPDX-License-Identifier: Apache-2.0
"""CIM_ConcreteJob: its properties, its owner, and how long it is kept."""

import re
import signal

import pytest
from amtu_stack import soap
from amtu_stack.process import Process, wait_until
from conftest import assert_fault

NO_SUCH_JOB = ("wsa:DestinationUnreachable", "InvalidResourceURI")
HALF_AN_HOUR = 1800


def key(job):
    return "{amtu}:job:" + job.partition(":")[2]


def test_properties_of_a_finished_job(console):
    job = console.unlock(["unknown.example"])
    answer = console.send(soap.get_job(job))
    properties = console.job(job)
    assert properties["InstanceID"] == job
    assert re.fullmatch(r"amtunlock:[a-z2-7]{26}", job)
    assert properties["Owner"] == "console@AMTU.TEST"
    assert properties["JobStatus"] == "0 of 1 unlocked, 1 failed"
    assert properties["DeleteOnCompletion"] == "true"
    assert answer.texts("job:OperationalStatus") == ["17", "6"]
    assert int(properties["ErrorCode"]) > 0
    assert properties["ErrorDescription"]
    assert "00000000003000.000000:000" in answer.body.decode()


def test_a_job_that_nobody_works_on_says_so(console, stack, switched_off):
    """Within ten seconds; it goes on when a worker does."""
    worker = Process.of("worker", stack.workers[0].pids()[0])
    worker.signal(signal.SIGSTOP)
    try:
        job = console.unlock(switched_off)
        assert wait_until(lambda: "no worker is running" in console.job(job)["JobStatus"], 10)
        assert console.job(job)["JobState"] == "2"
    finally:
        worker.signal(signal.SIGCONT)
    assert wait_until(lambda: "no worker is running" not in console.job(job)["JobStatus"], 10)
    assert wait_until(lambda: console.job(job)["JobState"] == "7", 20)
    assert "failed" not in console.job(job)["JobStatus"]


def test_properties_while_running(console, switched_off):
    job = console.unlock(switched_off)
    assert wait_until(lambda: console.job(job)["JobState"] == "4", 10)
    running = console.job(job)
    if running["JobState"] == "4":
        assert int(running["PercentComplete"]) < 100
        assert "running" in running["JobStatus"]
    console.wait(job)


@pytest.mark.parametrize("text", ["amtunlock:" + "a" * 26, "amtunlock:", "other:1", "", "amtunlock:" + "a" * 5000])
def test_no_such_job(console, text):
    answer = console.send(soap.get_job(text))
    assert answer.fault[0] in ("wsa:DestinationUnreachable", "wsman:InvalidSelectors")
    assert answer.status == 400


def test_another_callers_job_is_no_job(console, console2):
    """Word for word what a job that never was is answered with, by every operation."""
    job = console.unlock(["unknown.example"])
    never = "amtunlock:" + "a" * 26

    def requests(job):
        yield soap.get_job(job)
        yield soap.unlocked(job)
        yield soap.method("GetErrors", resource=soap.JOB, selectors={"InstanceID": job})
        yield soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", resource=soap.JOB,
                          selectors={"InstanceID": job})
        yield soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": job})

    for foreign, missing in zip(requests(job), requests(never)):
        seen, expected = console2.send(foreign), console2.send(missing)
        assert_fault(seen, *NO_SUCH_JOB)
        assert (seen.fault, seen.reason.replace(job, never)) == (expected.fault, expected.reason)
    assert console.job(job)["JobState"] == "7", "and nothing happened to it"


def test_jobs_of_others_are_not_listed(console, console2):
    job = console.unlock(["unknown.example"])
    listed = console2.send(soap.request(
        soap.JOB, soap.ENUMERATE, "<wsen:Enumerate><wsman:OptimizeEnumeration/><wsman:MaxElements>1000"
        "</wsman:MaxElements></wsen:Enumerate>"))
    assert listed.status == 200
    assert job not in listed.body.decode()


def test_kept_half_an_hour_after_completion(console, redis, switched_off):
    """No key of an unfinished job ends by itself; all keys of a finished one end half an hour later."""
    job = console.unlock(switched_off[:2])
    own = [name for name in redis.call("KEYS", key(job) + "*")]
    assert len(own) >= 2
    if console.job(job)["JobState"] != "7":
        assert [redis.call("TTL", name) for name in own] == [-1] * len(own)
    console.wait(job)
    for name in redis.call("KEYS", key(job) + "*"):
        assert HALF_AN_HOUR - 30 <= redis.call("TTL", name) <= HALF_AN_HOUR


def test_terminate(console, switched_off):
    job = console.unlock(switched_off)
    answer = console.send(soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>",
                                      resource=soap.JOB, selectors={"InstanceID": job}))
    assert answer.root.find(f".//{{{soap.JOB}}}ReturnValue").text in ("0", "4096")
    done = console.wait(job)
    assert done["JobState"] == "8"
    unlocked, failed = console.results(job)
    assert sorted(unlocked + failed) == sorted(switched_off), "what was begun is finished, the rest is failed"


def test_delete_a_finished_job(console):
    job = console.unlock(["unknown.example"])
    assert console.send(soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": job})).status == 200
    assert_fault(console.send(soap.get_job(job)), *NO_SUCH_JOB)


def test_delete_a_running_job(console, switched_off):
    job = console.unlock(switched_off)
    answer = console.send(soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": job}))
    assert answer.fault and answer.fault[0] == "wsman:Concurrency"
    console.wait(job)
