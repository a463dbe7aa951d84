# SPDX-License-Identifier: Apache-2.0
"""httpd restarted again and again while jobs run, on every MPM: no job is lost, there is one worker at any time, and
nothing is left behind. "make restarts" does it 100 and 20 times; here it is a few."""

import os
import threading
import time
from pathlib import Path

import pytest
from amtu_stack import kdc, soap
from amtu_stack.process import Failure, Process, pids_with_argument, stat_fields, wait_until
from conftest import _bring_up

GRACEFUL, HARD = (int(number) for number in os.environ.get("AMTU_RESTARTS", "9/3").split("/"))
SYSTEMS = 6
WITHIN = 30  # seconds


@pytest.fixture(scope="module", params=["event", "worker", "prefork"])
def stack(request):
    stack = _bring_up(f"restarts-{request.param}", systems=SYSTEMS, boot_seconds="1-2", mpm=request.param)
    yield stack
    stack.down()


class Customer(threading.Thread):
    """Asks for one unlock after the other, as a patient person: what cannot be sent now is sent again."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack = stack
        self.console = stack.console(kdc.CONSOLE)
        self.names = [row["fqdn"] for row in stack.fleet.systems()]
        self.enough = threading.Event()
        self.jobs = {}  # id: its properties at the end, or why not
        self.answers = []
        self.tasks = 0

    def ask(self, body):
        """The answer of a server that is there; None where there is none now."""
        try:
            answer = self.console.send(body, seconds=10)
        except Failure:  # it was being restarted
            return None
        self.answers.append(answer.status)
        return answer if answer.status == 200 else None

    def insist(self, body):
        """The same message, so that a request whose answer was lost does not become two jobs."""
        until = time.monotonic() + WITHIN
        while time.monotonic() < until:
            answer = self.ask(body)
            if answer:
                return answer
            time.sleep(0.1)
        raise AssertionError(f"not served within {WITHIN} s: the last answers are {self.answers[-9:]}")

    def end_of(self, job):
        until = time.monotonic() + WITHIN
        while time.monotonic() < until:
            instance = self.insist(soap.get_job(job)).find("job:CIM_ConcreteJob")
            found = {one.tag.rpartition("}")[2]: (one.text or "").strip() for one in instance}
            if found["JobState"] == "7":
                return found
            time.sleep(0.1)
        raise AssertionError(f"{job} did not end: {found}")

    def run(self):
        try:
            while not self.enough.is_set():
                for name in self.names:
                    self.stack.fleet.tell(do="power", system=name, to=8)
                job = self.insist(soap.unlock(self.names)).job
                self.tasks += 1
                self.jobs[job] = self.end_of(job)
        except AssertionError as problem:
            self.jobs[f"problem {len(self.jobs)}"] = {"JobStatus": str(problem)}


class Observer(threading.Thread):
    """Counts the worker's processes, all the time."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.config = str(stack.workers[0].config)
        self.enough = threading.Event()
        self.seen = {}

    def run(self):
        while not self.enough.is_set():
            pids = tuple(pids_with_argument("amtunlockd", self.config))
            self.seen[pids] = self.seen.get(pids, 0) + 1
            time.sleep(0.03)


class Belongings:
    """What a process has of the system: descriptors, children, dead children; and semaphores of everybody."""

    def __init__(self, pid):
        self.files = len(os.listdir(f"/proc/{pid}/fd"))
        children = [fields for fields in map(stat_fields, filter(str.isdigit, os.listdir("/proc")))
                    if fields and int(fields[1]) == pid]
        self.zombies = [fields for fields in children if fields[0] == "Z"]
        self.shared = {(kind, line.split()[1]) for kind in ("sem", "shm")
                       for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]}


def resumptions(stack):
    """How often httpd has said that it is there again."""
    return stack.httpd.error_log.read_text(errors="replace").count("resuming normal operations")


def restart(stack, how):
    """The children that it had before."""
    before, times = set(stack.httpd.children()), resumptions(stack)
    getattr(stack.httpd, how)()
    assert wait_until(lambda: resumptions(stack) > times, WITHIN), f"no restart after {how}"
    assert wait_until(lambda: set(stack.httpd.children()) - before, WITHIN), f"no new children after {how}"
    if how == "reload":
        assert wait_until(lambda: not before & set(stack.httpd.children()), WITHIN), "old children live on"
    return before


def gone(stack, generation):
    return wait_until(lambda: not generation & set(stack.httpd.children()), WITHIN, 0.2)


def test_restarts_during_jobs(stack):
    parent = stack.httpd.process
    worker = stack.workers[0].pids()
    assert len(worker) == 1
    # What the first one does once and for all is no leak.
    assert gone(stack, restart(stack, "graceful"))
    before = Belongings(parent.pid)
    customer, observer = Customer(stack), Observer(stack)
    customer.start()
    observer.start()
    assert wait_until(lambda: customer.tasks > 0, WITHIN), customer.jobs

    for number in range(GRACEFUL + HARD):
        hard = number % ((GRACEFUL + HARD) // max(HARD, 1)) == 1 and HARD
        old = restart(stack, "reload" if hard else "graceful")
        assert customer.is_alive(), customer.jobs

    customer.enough.set()
    customer.join(2 * WITHIN)
    observer.enough.set()
    observer.join(WITHIN)
    assert not customer.is_alive()
    everything = {f"{SYSTEMS} of {SYSTEMS} unlocked"}
    assert customer.jobs and {job["JobStatus"] for job in customer.jobs.values()} == everything, customer.jobs
    assert set(observer.seen) == {tuple(worker)}, "the worker has seen nothing of it"
    powered = len([one for one in stack.fleet.events() if one["event"] == "power"])
    assert powered <= customer.tasks * SYSTEMS, "never a second power request"

    assert gone(stack, old), "a child of an earlier generation lives on"
    # httpd buries its children once a second.
    assert wait_until(lambda: not Belongings(parent.pid).zombies, WITHIN, 0.2)
    after = Belongings(parent.pid)
    assert after.files <= before.files + 2, "no descriptor a restart"
    assert not after.shared - before.shared


def test_nothing_is_left_when_it_ends(stack):
    worker = Process.of("worker", stack.workers[0].pids()[0])
    shared = Belongings(stack.httpd.process.pid).shared
    assert stack.httpd.stop()
    assert not worker.alive() and stack.workers[0].pids() == [] and stack.httpd.pids() == []
    gone = {(kind, line.split()[1]) for kind in ("sem", "shm")
            for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]}
    assert gone <= shared
