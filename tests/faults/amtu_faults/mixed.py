# SPDX-License-Identifier: Apache-2.0
"""One job over a whole fleet of all methods, and a worker that is killed or ended again and again while it runs.

PCs boot for seconds and are powered some a second, so that each strike meets some in every phase: before their intent, with a boot
set, powered, at their prompt, when something was typed, while their image is read, at its hello, when it was sealed. What
it costs is counted: see `costs-no-unlock` in rules.py.
"""

import signal
import time
from dataclasses import dataclass

from .around import soap, wait_until
from .campaign import Kind
from .lane import QUIET, Lane
from .records import Broken
from .restarts import WAYS, RestartLane, restart

AWAY = 3.0        # seconds at most that one of two workers is away
ENDED = 75.0      # seconds in which a worker has ended that was asked to


@dataclass(frozen=True)
class Size:
    """How many PCs, how long they boot and how long that may take, and how many of them are powered a second; how many
    strikes, and over how many seconds they are spread; and the share that is unlocked all the same."""

    systems: int
    boot: str
    patience: int
    rate: int
    strikes: int
    seconds: float
    least: float

    def options(self):
        return {"boot_seconds": self.boot, "boot_timeout": self.patience, "method": "mix", "blind": 2,
                "group": (f"power-per-second = {self.rate}",)}


FULL = Size(200, "2-5", 60, 4, 10, 50.0, 0.99)
SHORT = Size(24, "1-3", 30, 6, 3, 5.0, 0.95)


class MixedLane(Lane):
    """Workers and a fleet in which methods take turns, every second PC of method sol without a probe."""

    def __init__(self, name, size, workers):
        super().__init__(name, systems=size.systems, **size.options())
        give(self, size)
        self.count = workers
        self.quiet = QUIET if size is SHORT else {}  # in full as in the field

    def up(self):
        super().up()
        try:
            for _ in range(self.count):
                worker = self.add_worker()
                if not wait_until(lambda w=worker: self._is_ready(w), 15):
                    raise Broken(f"{worker.name} claims nothing")
        except BaseException:
            self.down()
            raise


class MixedRestartLane(RestartLane):
    """The same in a whole stack, the worker in the hands of httpd."""

    def __init__(self, name, size):
        super().__init__(name, "event", size.systems + 1, **size.options())
        give(self, size)

    def submit(self, systems):
        return self.submit_again(systems, soap.message_id())


def give(lane, size):
    """What all of these lanes judge by."""
    lane.least = size.least
    lane.poll = max(lane.poll, size.systems / 5000)
    lane.within = 60 + size.systems


def mixed_round(lane, label, strike, size, rng):
    """One job of the whole fleet, and so many strikes while it runs, as far as it lasts: most of them, or it proves little."""
    lane.label = label
    job = lane.submit(lane.take(size.systems))
    for number in range(size.strikes):
        due = job.began + (number + rng.random()) * size.seconds / size.strikes
        lane.watch_until(job, lambda _, at=due: time.time() >= at or has_ended(job), size.seconds)
        if has_ended(job) and number > size.strikes / 2:
            break
        if has_ended(job):
            raise Broken(f"the job ended before strike {number + 1}")
        strike(lane, job, rng)
        lane.counted[label] += 1
    if not lane.watch_end(job):
        raise Broken(f"the job did not end: {job.tasks()}")


def has_ended(job):
    return not set(job.seen.values()) - set("UFX")


def kill_one(lane, job, rng):
    """kill -9 of one of two; the other may take over before it is back."""
    worker = rng.choice(lane.workers)
    kill(lane, worker)
    back = time.time() + rng.uniform(0, AWAY)
    lane.watch_until(job, lambda _: time.time() >= back, AWAY + 1)
    lane.begin(worker)


def kill_only(lane, _job, _rng):
    """kill -9 of the only one, which is started again at once."""
    kill(lane, lane.workers[0])
    lane.begin(lane.workers[0])


def kill(lane, worker):
    lane.await_started(worker)
    worker.process.signal(signal.SIGKILL)
    if not wait_until(lambda: not worker.process.alive(), 10, 0.005):
        raise Broken(f"{worker.name} did not die")
    lane.note(worker.name, "died", worker.process.pid)


def end_only(lane, job, _rng):
    """SIGTERM, and another as soon as it has ended."""
    worker, = lane.workers
    lane.await_started(worker)
    worker.process.signal(signal.SIGTERM)
    if not lane.watch_until(job, lambda _: not worker.process.alive(), ENDED):
        raise Broken(f"{worker.name} does not end")
    lane.note(worker.name, "died", worker.process.pid)
    lane.begin(worker)


def restart_httpd(lane, _job, _rng):
    """`apachectl restart`: its worker lives on."""
    restart(lane, WAYS["hard restart"])


def replace_worker(lane, _job, _rng):
    """`apachectl restart`, with other settings for its worker: it is replaced."""
    restart(lane, WAYS["hard, the worker replaced"])


STRIKES = {
    "mixed-two": ("all methods, one of two killed", lambda name, size: MixedLane(name, size, 2), kill_one),
    "mixed-one": ("all methods, the worker killed", lambda name, size: MixedLane(name, size, 1), kill_only),
    "mixed-ended": ("all methods, SIGTERM", lambda name, size: MixedLane(name, size, 1), end_only),
    "mixed-restarts": ("all methods, apachectl restart", MixedRestartLane, restart_httpd),
    "mixed-replaced": ("all methods, apachectl restart, the worker replaced", MixedRestartLane, replace_worker),
}
HARSH = tuple(kind for kind in STRIKES if kind != "mixed-restarts")  # where a worker ends


def make_lane(make, name, size):
    lane = make(name, size)
    lane.up()
    return lane


def kinds(size, only=tuple(STRIKES), alone=False):
    """A lane for each, of one round."""
    for kind in only:
        label, make, strike = STRIKES[kind]
        yield Kind(kind, lambda name, m=make: make_lane(m, name, size),
                   [(label, lambda lane, rng, n=label, s=strike: mixed_round(lane, n, s, size, rng))], 1, (), alone)
