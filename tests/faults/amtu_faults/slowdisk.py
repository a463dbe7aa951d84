# SPDX-License-Identifier: Apache-2.0
"""Redis' disk is slow while consoles submit: each fsync takes some hundred milliseconds, or seconds.

Several consoles ask at once. One that is told that nothing was done asks no more for those PCs, and they must stay off:
that is written down, and rules.py judges it. One that is told that it is not known, or nothing at all, sends the same
message until there is an answer: one job. Leases are those that are installed, since a disk like this lets shorter ones
run out.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from .around import Failure, SlowDisk, soap, wait_until
from .campaign import Kind
from .kills import REAL_TIMES, use_real_times
from .records import Broken, Wrong
from .web import WebLane

PCS = 2
TRIES = 3
CONSOLES = 12
WARM = (100, 50, 20, 0, 0, 0)  # milliseconds
AGAIN = 20  # seconds in which httpd asks Redis again that was too slow
WELL = {"wsa:EndpointUnavailable": "refused", "wsman:TimedOut": "unknown"}
DELAYS = {"300-400 ms": (300, 400), "seconds": (5200, 6500)}


def label_of(name):
    return f"Redis' disk slow, {name}"


class SlowDiskLane(WebLane):
    def __init__(self, name, systems):
        super().__init__(name, systems)
        use_real_times(self)
        self.disk = SlowDisk(self.folder / "slow-disk")
        self.redis.environment = self.disk.environment()
        for worker in self.workers:
            worker.environment = self.with_real_lease(worker.environment)

    @staticmethod
    def with_real_lease(plain):
        return lambda: {**plain(), **REAL_TIMES}

    def down(self):
        self.disk.set(0)
        super().down()

    def ask(self, systems, message):
        """What a console hears: "done" and its job, or "refused", or "unknown"."""
        try:
            answer = self.console.send(soap.unlock(systems, message=message))
        except Failure:
            return "unknown", None
        if answer.status == 200:
            return "done", answer.job
        if answer.fault[0] not in WELL:
            raise Wrong("refused-or-unknown", f"a console was told {answer!r}")
        return WELL[answer.fault[0]], None

    def refuse(self, systems):
        """A console was told that nothing was done."""
        self.refused.append({"t": time.time(), "systems": list(systems)})


def warm_up(lane, pool):
    """Children of httpd have their connections to Redis before its disk is slow, and try it: else most would send nothing. It
    is as slow as lets them need several at a time, and take none of them for too slow."""
    def ask(_=None):
        return lane.ask(["nobody.example"], soap.message_id())[0]
    for delay in WARM:
        lane.disk.set(delay)
        heard = set(pool.map(ask, range(CONSOLES)))
        lane.disk.set(0)
        if heard == {"done"}:
            return
        if not wait_until(lambda: ask() == "done", AGAIN, 0.2):
            raise Broken("httpd finds Redis too slow, whose disk is not")


def slow_round(lane, name, rng):
    """Until something was sent: a machine that is busy enough may refuse all of them before. Whether that is so, rules.py
    decides: it knows what Redis holds."""
    for _ in range(TRIES):
        if ask_slow(lane, name, rng):
            return
    raise Broken("every console was refused before anything was sent")


def settle_all(lane, asked, heard):
    """The jobs of those that were not refused. Who was is written down first, whatever becomes of the others."""
    for (_, systems), word in zip(asked, heard):
        if word == "refused":
            lane.refuse(systems)
    return [lane.submit_again(systems, message) for (message, systems), word in zip(asked, heard) if word != "refused"]


def ask_slow(lane, name, rng):
    """Consoles ask while the disk is slow; whether one of them was not refused."""
    lane.label = label_of(name)
    asked = [(soap.message_id(), [lane.ready.pop(0) for _ in range(PCS)]) for _ in range(CONSOLES)]
    with ThreadPoolExecutor(CONSOLES) as pool:
        warm_up(lane, pool)
        lane.disk.set(rng.randint(*DELAYS[name]))
        try:
            heard = list(pool.map(lambda one: lane.ask(one[1], one[0]), asked))
        finally:
            lane.disk.set(0)
    if not wait_until(lane.redis.answers, 20):
        raise Broken("Redis does not answer any more")
    jobs = settle_all(lane, asked, [word for word, _ in heard])
    lane.counted[lane.label] += len(jobs)
    for job in jobs:
        if not lane.watch_end(job):
            raise Broken(f"the job did not end: {job.tasks()}")
    return jobs


def make_lane(systems):
    def make(name):
        lane = SlowDiskLane(name, systems)
        lane.up()
        return lane
    return make


def kind(each, lanes):
    rounds = [(label_of(name), lambda lane, rng, n=name: slow_round(lane, n, rng)) for _ in range(each) for name in DELAYS]
    return Kind("slow-disk", make_lane(1 + TRIES * PCS * CONSOLES * (2 * each + 2)), rounds, lanes, ())
