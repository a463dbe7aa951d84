# SPDX-License-Identifier: Apache-2.0
"""Wall clocks are set while jobs run: Redis', by which leases are measured, and a worker's.

The machine's own clock is left alone: tests/faults/wall_clock.c shows Redis, and each worker, one that can be set. Every
clock goes there during one job and back during the next. In one of the two a worker dies, too, so that what one clock
wrote is read by another: right after its claim, of which no record knows, or anywhere.
"""

import itertools
import os
import struct
import time

from .around import build_folder
from .campaign import Kind
from .kills import PCS, REACHED, settle
from .lane import Lane
from .records import LEASE, Broken

STEPS = {"+1 h": 3600, "-1 h": -3600, "+10 min": 600}
CLOCK_OF = {"Redis": "Redis' clock", "worker-1": "a worker's clock"}
SHORT = (("Redis", "+1 h"), ("Redis", "-1 h"), ("worker-1", "-1 h"))
DURING = 1.5  # seconds in which the clock is set, of a job
SOON = LEASE / 2


class WallClock:
    """The clock of one process, and of those that come after it under its name."""

    def __init__(self, path):
        self.path = path
        self.set(0)

    def environment(self):
        return {"LD_PRELOAD": str(build_folder() / "wall_clock.so"), "AMTU_WALL_CLOCK": str(self.path)}

    def set(self, seconds):
        """So far from the host's. Whoever has it sees that at once."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, struct.pack("=q", seconds), 0)
        finally:
            os.close(file)


class ClockLane(Lane):
    """Two workers on one Redis, each of the three with a clock of its own."""

    def __init__(self, name):
        super().__init__(name, systems=120, method="mix")
        folder = self.folder / "clocks"
        folder.mkdir(parents=True, exist_ok=True)
        self.clocks = {process: WallClock(folder / process) for process in ("Redis", "worker-1", "worker-2")}
        self.redis.environment = self.clocks["Redis"].environment()

    def add_clocked_worker(self):
        return self.add_worker(self.clocks[f"worker-{len(self.workers) + 1}"].environment())

    def step(self, process, offset):
        """Written down first: what it shows from now on must be explained."""
        self.note(process, "stepped", 0, offset=float(offset))
        self.clocks[process].set(offset)


def label_of(process, name):
    return f"{CLOCK_OF[process]} {name}, and back"


def step_round(lane, process, name, deaths, rng):
    """There during one job, back during another."""
    lane.label = label_of(process, name)
    for offset, death in zip((STEPS[name], 0), deaths):
        dead, orders = [], DEATHS[death](lane, rng)
        job = lane.submit(lane.take(PCS))
        if death == "claimer":  # while its lease runs, which is measured by that clock
            dead = await_death(lane, job, orders)
            wait_for(lane, job, rng.uniform(SOON / 4, SOON))
        else:
            wait_for(lane, job, rng.uniform(0, DURING))
        lane.step(process, offset)
        lane.counted[lane.label] += 1
        if death == "anyone":
            dead = await_death(lane, job, orders)
        # A live worker takes over; if there is none, the next one.
        if len(dead) == len(lane.workers):
            lane.restart(dead.pop())
        settle(lane, job)
        for worker in dead:
            lane.restart(worker)


def wait_for(lane, job, seconds):
    due = time.time() + seconds
    lane.watch_until(job, lambda _: time.time() > due, 2 * seconds + 1)


def _nobody(_lane, _rng):
    return {}


def _claimer(lane, _rng):
    """Whoever claims something first."""
    return {worker: worker.points.arm("claim.answered", "kill") for worker in lane.workers}


def _anyone(lane, rng):
    worker = rng.choice(lane.workers)
    return {worker: worker.points.arm("*", "later", rng.randint(1, 60), rng.randint(0, 40))}


DEATHS = {"": _nobody, "claimer": _claimer, "anyone": _anyone}


def await_death(lane, job, orders):
    """The processes that died; at least one has to."""
    def struck(_=None):
        return [worker for worker, order in orders.items() if worker.points.hit(order) is not None]
    lane.watch_until(job, struck, REACHED)
    for worker, order in orders.items():
        worker.points.disarm(order)
    if not struck():
        raise Broken("nobody died")
    return struck()


def make_lane(name):
    lane = ClockLane(name)
    lane.up()
    try:
        lane.add_clocked_worker()
        lane.add_clocked_worker()
    except BaseException:
        lane.down()
        raise
    return lane


def kind(each, lanes, only=None):
    turns = itertools.cycle((("claimer", ""), ("", "anyone")))
    rounds = [(label_of(process, name), lambda lane, rng, w=process, n=name, d=deaths: step_round(lane, w, n, d, rng))
              for _, deaths in zip(range(each), turns) for process in CLOCK_OF for name in STEPS
              if only is None or (process, name) in only]
    return Kind("clocks", make_lane, rounds, lanes, ())
