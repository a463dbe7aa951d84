# SPDX-License-Identifier: Apache-2.0
"""Redis that answers late: with a slow disk, and with requests that keep it busy. Whoever is told that nothing was done
can rely on it; whoever is told that it is not known sends the same message again, and it is the same job."""

import http.client
import os
import ssl
import threading
import time
import uuid

import pytest
from amtu_stack import soap
from amtu_stack.httpd import Settings
from amtu_stack.places import build_folder
from amtu_stack.process import wait_until
from amtu_stack.process import wait_until
from amtu_stack.slow_disk import SlowDisk
from amtu_stack.stack import Options, Stack
from certificates import make_certificate
from conftest import assert_fault

SLOW = 350       # milliseconds of an fsync
BUDGET = 0.25    # seconds in which whoever cannot wait is told so
PATIENCE = 5.0   # seconds that a change which was sent is waited for
MANY = 30000     # names in a request that keeps Redis busy by itself
TOGETHER = 3     # of those at a time


EXTRA = """
<Location /crowd>
    SetHandler amtunlock
    AMTUnlockTrustedProxy X-Caller "CN=crowd"
    Require valid-user
    AMTUnlockMaxSystems 30000
    AMTUnlockScope * true
    AMTUnlockCallerLimits jobs=0 systems=0
</Location>
SSLVerifyClient optional
SSLCACertificateFile tls/ca.pem
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    settings = Settings(extra=EXTRA)
    process = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    stack = Stack(build_folder() / "stack-tests" / f"slow-{process}", Options(systems=2, boot_seconds="1-1"), settings=settings)
    stack.disk = SlowDisk(stack.places.dir / "slow-disk")
    stack.redis.environment = stack.disk.environment()
    stack.up()
    stack.certificate = make_certificate(stack, tmp_path_factory.mktemp("crowd") / "crowd.pem", "/CN=crowd")
    yield stack
    stack.disk.set(0)
    stack.down()


class Crowd:
    """A caller that costs no Kerberos; a connection for each request, for any number of threads."""

    def __init__(self, stack):
        self.port = stack.httpd.https
        self.tls = ssl.create_default_context(cafile=stack.httpd.ca)
        self.tls.load_cert_chain(stack.certificate)
        self.head = {"Content-Type": "application/soap+xml;charset=UTF-8", "X-Caller": "crowd"}

    def send(self, text, seconds=60):
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=seconds, context=self.tls)
        try:
            connection.connect()
            began = time.monotonic()
            connection.request("POST", "/crowd", text.encode(), self.head)
            answer = connection.getresponse()
            body = answer.read()
            took = time.monotonic() - began
            return soap.Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body, took)
        finally:
            connection.close()

    def send_together(self, texts):
        answers = [None] * len(texts)

        def one(at):
            answers[at] = self.send(texts[at])
        threads = [threading.Thread(target=one, args=(at,)) for at in range(len(texts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers


@pytest.fixture
def crowd(stack):
    return Crowd(stack)


@pytest.fixture
def slow_disk(stack):
    stack.disk.set(SLOW)
    yield stack.disk
    stack.disk.set(0)
    assert wait_until(stack.redis.answers, 10)


def jobs_made(stack):
    with stack.redis.client(20) as redis:
        return int(redis.call("HGET", "{amtu}:counters", "jobs") or 0)


def unknown_name():
    return f"{uuid.uuid4().hex}.example"


def sort_answers(answers):
    """(done, refused, unknown): how many of each; nothing else is answered."""
    done = [answer for answer in answers if answer.status == 200]
    faults = [answer for answer in answers if answer.status != 200]
    refused = [answer for answer in faults if answer.fault[0] == "wsa:EndpointUnavailable"]
    unknown = [answer for answer in faults if answer.fault[0] == "wsman:TimedOut"]
    assert len(done) + len(refused) + len(unknown) == len(answers), faults
    assert all("nothing was done" in answer.reason for answer in refused)
    assert all("it is not known" in answer.reason for answer in unknown)
    return len(done), len(refused), len(unknown)


def send_until_done(crowd, text):
    """The answer to the same message; on a busy machine a new connection may be late, and nothing be done."""
    answers = []
    assert wait_until(lambda: answers.append(crowd.send(text)) or answers[-1].status == 200, 20), answers
    sort_answers(answers)
    return answers[-1]


def assert_answers_are_true(stack, crowd, texts):
    """Sends them at once; then the same again, one after the other, until each is a job: one each, and no more."""
    before = jobs_made(stack)
    answers = crowd.send_together(texts)
    done, _, unknown = sort_answers(answers)
    stack.disk.set(0)
    assert wait_until(stack.redis.answers, 10)
    assert done <= jobs_made(stack) - before <= done + unknown, "nothing that was refused became a job"
    ids = [send_until_done(crowd, text).job for text in texts]
    assert jobs_made(stack) - before == len(texts) == len(set(ids))
    assert [answer.job for answer in answers if answer.status == 200] == \
        [job for job, answer in zip(ids, answers) if answer.status == 200]
    return answers


@pytest.mark.may_log("AMTU0")
def test_a_slow_disk_is_waited_for(stack, crowd, slow_disk):
    before = jobs_made(stack)
    answers = [send_until_done(crowd, soap.unlock([unknown_name()])) for _ in range(4)]
    assert max(answer.seconds for answer in answers) > SLOW / 1000 - 0.05
    assert jobs_made(stack) - before == 4


@pytest.mark.alone
@pytest.mark.may_log("AMTU0")
def test_a_crowd_on_a_slow_disk_is_told_the_truth(stack, crowd, slow_disk):
    answers = assert_answers_are_true(stack, crowd, [soap.unlock([unknown_name()]) for _ in range(60)])
    refused = sorted(answer.seconds for answer in answers if answer.status != 200)
    assert refused, "the threads that may wait are few"
    assert refused[len(refused) // 2] < BUDGET


@pytest.mark.may_log("AMTU0")
def test_requests_that_keep_redis_busy_are_told_the_truth(stack, crowd):
    """No fault is injected: thousands of names, several times, are all that it takes."""
    names = [[unknown_name() for _ in range(MANY)] for _ in range(TOGETHER)]
    assert_answers_are_true(stack, crowd, [soap.unlock(one) for one in names])


@pytest.mark.may_log("AMTU0")
def test_what_is_not_known_is_said_and_how_to_find_out(stack, crowd, slow_disk):
    """Of each request that changes something. Some may have been refused before they were sent."""
    slow_disk.set(0)
    # What the test before left with Redis' disk may take a moment.
    assert wait_until(lambda: {answer.status for answer in crowd.send_together([soap.unlock([unknown_name()])] * 12)} == {200},
                      10)
    job, ended = (crowd.send(soap.unlock([name])).job for name in ("pc-0001.fleet.test", unknown_name()))
    context = crowd.send(soap.request(soap.JOB, soap.ENUMERATE, "<wsen:Enumerate/>")).text("wsen:EnumerationContext")
    assert job and ended and context
    text = soap.unlock([unknown_name()])
    pull = f"<wsen:Pull><wsen:EnumerationContext>{context}</wsen:EnumerationContext></wsen:Pull>"
    asked = {
        "the job was started; send the same request again, with the same MessageID: it is the same job": text,
        "the job was started; the MessageID is no UUID": soap.unlock([unknown_name()], message="17"),
        "the job was terminated": soap.method("RequestStateChange", "<p:RequestedState>4</p:RequestedState>", soap.JOB,
                                              selectors={"InstanceID": job}),
        "the job was deleted": soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": ended}),
        "items were taken": soap.request(soap.JOB, soap.PULL, pull),
        "the enumeration was begun": soap.request(soap.JOB, soap.ENUMERATE, "<wsen:Enumerate/>"),
    }
    before = jobs_made(stack)
    slow_disk.set(5600)
    answers = dict(zip(asked, crowd.send_together(list(asked.values()))))
    slow_disk.set(0)
    sort_answers(list(answers.values()))
    told = {words: answer for words, answer in answers.items() if answer.fault[0] == "wsman:TimedOut"}
    assert told
    for words, answer in told.items():
        assert_fault(answer, "wsman:TimedOut", status=500)
        assert f"it is not known whether {words}" in answer.reason
        assert PATIENCE - 0.3 < answer.seconds < PATIENCE + 1
    assert wait_until(stack.redis.answers, 10)
    assert wait_until(lambda: crowd.send(text).status == 200, 15, 0.2)
    assert jobs_made(stack) - before <= 2, "one for each of the two that were sent"
