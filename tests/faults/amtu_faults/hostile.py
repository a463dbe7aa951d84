# SPDX-License-Identifier: Apache-2.0
"""One hostile PC of each sort beside fifty honest ones, whose 99th percentile of the time to unlocked may be at most a tenth
longer than it is alone.

The hostile PCs are another simulator's, so that what it costs to be hostile is not their neighbours' trouble; and the
worker has one engine thread, so that what one PC takes of it is taken from all. The honest job is submitted when each hostile
PC is at it, by what it wrote down itself, and one that was given up has a successor until the last honest PC is served.

A busy machine makes times longer, never shorter: where the first comparison fails, both are measured again, and the least of
each is compared. What is measured alone counts only where it was measured twice alike, and soon. Leases are those that are
installed; `flood` looks after shorter ones.
"""

import json
import math
import os
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

from amtu_stack.fleet import Fleet
from amtu_stack.worker import Worker

from .around import Failure, wait_until
from .campaign import Kind
from .kills import REAL_TIMES, use_real_times
from .lane import Lane
from .records import Broken

RULE = "nobody-held-up"  # as in what rules.py says: it is what a broken product is caught by
MEASUREMENTS = 3
AT_IT_WITHIN = 30.0     # seconds until each hostile PC does what it is there for
UNLOCKED_WITHIN = 60.0  # for the honest ones
LOOK_EVERY = 0.1
BASELINES = 5           # so many at most, until two are alike
UNLOCKED = re.compile(r"^(\S+) \S+ AMTU0606 unlocked system=(\S+) job=(\S+)", re.MULTILINE)

# Of the simulator's faults those that a hostile PC can choose, and the event with which it begins; None: nothing reaches the
# PC, and it is at it when the worker has begun with it. What it answers is no matter here.
SORTS = {
    "silent": None, "refused": None,
    "black-hole": "connection", "reset": "connection", "tls-garbage": "connection", "heavy-key": "connection",
    "heavy-chain": "connection",
    "hello-requests": "tls", "key-updates": "tls",
    "slow": "request-seen", "drip": "request-seen", "half-answers": "request-seen", "endless-challenge": "request-seen",
    "challenges": "request-seen", "redirects": "request-seen",
    "garbage": "auth", "endless": "auth", "endless-head": "auth", "elements": "auth",
    "drops-session": "sol-open", "babble": "sol-open", "flood": "sol-open", "escapes": "sol-open",
    "babble-console": "boot", "noise": "boot",
}
# What these begin lasts until they are given up; all others are at it for a moment only, and must have been since.
LASTING = ("silent", "refused", "black-hole", "slow", "drip", "half-answers", "endless-challenge", "endless", "endless-head",
           "flood", "escapes", "babble-console", "noise")
# These go on for as long as the PC waits for a prompt that does not come.
UNPROMPTED = ("flood", "escapes")
SHORT_SORTS = ("black-hole", "tls-garbage", "key-updates", "challenges", "garbage", "elements", "flood", "escapes")


@dataclass(frozen=True)
class Size:
    """How much is measured, and how closely. Seconds of cap: nothing is compared with an alone that takes longer."""

    honest: int
    boot: str
    sorts: tuple
    each: tuple  # of these each by itself, too
    limit: float
    cap: float
    alike: float  # two measurements alone, the longer by the shorter
    every: float  # seconds between a PC and its successor at least: what is measured is one, not a crowd
    hostile: int  # PCs, none of which is taken twice
    label: str


FULL = Size(50, "4-4", tuple(SORTS), tuple(SORTS), 1.1, 8.0, 1.15, 2.0, 1200,
            "beside all sorts at once")
SHORT = Size(25, "2-2", SHORT_SORTS, (), 1.5, 8.0, 1.5, 1.0, 400, "beside some sorts at once")


@dataclass
class Hostile:
    """One PC, and what is known of it."""

    system: str
    sort: str
    job: object
    born: float
    acted: float = 0.0  # when it last began; 0: not yet
    is_over: bool = False
    has_successor: bool = False

    @property
    def lasts(self):
        return self.sort in LASTING

    def takes(self, event):
        """Whether it has just begun, by this event of its."""
        return event["event"] == SORTS[self.sort] and event.get("ok", True)


class HostileFleet(Fleet):
    """Another simulator, with so many PCs of each sort that each measurement has its own."""

    process, kept_in, domain = "amtsim-hostile", "hostile", "hostile.test"


class HostileLane(Lane):
    """See above. The history has the honest PCs and their jobs."""

    def __init__(self, name, size):
        super().__init__(name, systems=2 * size.honest, method="sol", boot_seconds=size.boot, boot_timeout=30, threads=1)
        use_real_times(self)
        many = {**vars(self.options), "systems": size.hostile, "seed": 2, "amtsim": ("--tls13",)}
        self.size = size
        self.hostile = HostileFleet(self.places, SimpleNamespace(**many))
        self.crowd = []  # the hostile PCs of this measurement
        self.read = 0    # bytes of the hostile simulator's log
        self.looked = 0.0
        self.idle = []   # sorts of which none was at it any more when the honest ones were served
        self.spent = 0.0  # seconds of a processor, of the worker, in the last measurement; only said
        self.alone = []  # seconds

    def up(self):
        super().up()
        self._keep(self.hostile.start())
        self.unused = [row["fqdn"] for row in self.hostile.systems()]

    def prepare_worker(self):
        """It knows the PCs of both simulators. None has a probe: what is measured would be when it is asked."""
        both = SimpleNamespace(ca=self.places.run / "both.pem", systems=self.all_systems)
        both.ca.write_text(self.fleet.ca.read_text() + self.hostile.ca.read_text())
        worker = Worker(self.places, len(self.workers) + 1, self.redis, both, self.options, self.realm)
        worker.prepare()
        self.workers.append(worker)
        return worker

    def all_systems(self):
        return [{**row, "probe": ""} for fleet in (self.fleet, self.hostile) for row in fleet.systems()]

    def give_back(self, systems):
        """At once: none was lost."""
        self.ready.extend(systems)

    # ---- the hostile PCs -----------------------------------------------------------------------------------

    def unleash(self, sorts):
        """A job of one hostile PC a sort. It is in nobody's history."""
        if len(self.unused) < len(sorts):
            raise Broken("no hostile PC is left")
        taken = [(self.unused.pop(), sort) for sort in sorts]
        for system, sort in taken:
            for fault in (sort, "no-prompt") if sort in UNPROMPTED else (sort,):
                if not self.hostile.fault(system, fault).get("ok"):
                    raise Failure(f"the simulator does not take {fault}")
        if taken:
            job = super(Lane, self).submit([system for system, _ in taken])
            self.crowd += [Hostile(system, sort, job, time.time()) for system, sort in taken]

    def look(self):
        """What the hostile PCs did since. Who was given up has a successor."""
        if time.monotonic() < self.looked + LOOK_EVERY:
            return
        self.looked = time.monotonic()
        there = {one.system: one for one in self.crowd}
        for event in self.new_events():
            one = there.get(event["system"])
            if one is not None and one.takes(event):
                one.acted = time.time()
        for one in self.crowd:
            one.is_over = one.is_over or self.is_given_up(one)
        self.replace()

    def replace(self):
        gone = [one for one in self.crowd if one.is_over and not one.has_successor and
                time.time() > one.born + self.size.every][:len(self.unused)]
        for one in gone:
            one.has_successor = True
        self.unleash([one.sort for one in gone])

    def new_events(self):
        with open(self.hostile.log, "rb") as log:
            log.seek(self.read)
            lines = log.read().rpartition(b"\n")[0]
        self.read += len(lines) + bool(lines)
        return [json.loads(line) for line in lines.splitlines()]

    def is_given_up(self, one):
        state = one.job.tasks()[one.system][0]
        if SORTS[one.sort] is None and state != "Q" and not one.acted:
            one.acted = time.time()
        return state in "UFX"

    def idle_since(self, began):
        """The sorts of which none is at it, nor was since then."""
        at_it = {one.sort for one in self.crowd if one.acted > began or (one.acted and one.lasts and not one.is_over)}
        return sorted({one.sort for one in self.crowd} - at_it)

    def calm(self):
        """They are hostile no longer, and nobody waits for what they have not begun."""
        for job in {one.job.id: one.job for one in self.crowd}.values():
            self.cancel(job)
        for one in self.crowd:
            self.hostile.tell(do="clear", system=one.system)
        self.crowd = []

    # ---- measuring ---------------------------------------------------------------------------------------

    def measure(self, sorts):
        """Seconds within which all but one in a hundred honest PCs were unlocked."""
        systems = self.take(self.size.honest)
        self.idle = []
        try:
            self.unleash(sorts)
            self.await_at_it()
            return self.serve(systems)
        finally:
            self.calm()

    def await_at_it(self):
        """Until each does what it is there for: one that is not believed does nothing."""
        def are_at_it():
            self.look()
            return not self.idle_since(began)
        began = time.time()
        if not wait_until(are_at_it, AT_IT_WITHIN, LOOK_EVERY):
            raise Broken(f"not met: {self.idle_since(began)}")

    def serve(self, systems):
        """The honest ones, while the others are at it until the last is served."""
        def ended(seen):
            self.look()
            return set(seen.values()) <= set("UFX")
        before = self.worker_seconds()
        job = self.submit(systems)
        self.watch_until(job, ended, UNLOCKED_WITHIN)
        self.spent = self.worker_seconds() - before
        self.idle = self.idle_since(job.began)
        if not self.watch_end(job, 1.0) or set(job.seen.values()) != {"U"}:
            missing = {system: word for system, word in job.results().items() if word != "unlocked"}
            whose = f"breach of {RULE}: " if self.crowd else ""
            raise Broken(f"{whose}not all were unlocked in {UNLOCKED_WITHIN:.0f} s: {missing}")
        return self.percentile(job, 0.99)

    def worker_seconds(self):
        """What the worker has had of a processor."""
        fields = Path(f"/proc/{self.workers[0].process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure_alone(self):
        """Until the two shortest of the last are alike."""
        for _ in range(BASELINES):
            if self.is_alike():
                return
            self.alone.append(self.measure(()))
            print(f"alone: {self.alone[-1]:.2f} s, the worker's processor {self.spent:.2f} s", flush=True)
        if not self.is_alike():
            raise Broken(f"the machine is too busy to compare: honest PCs alone within {self.alone[-BASELINES:]} s")

    def is_alike(self):
        shortest, *others = sorted(self.last_alone()) or [0]
        return bool(others) and others[0] <= min(self.size.cap, shortest * self.size.alike)

    def last_alone(self):
        """As many as there are beside hostile PCs, lest the least of more be less by chance."""
        return self.alone[-MEASUREMENTS:]

    def percentile(self, job, share):
        if not wait_until(lambda: set(self.told(job)) == set(job.systems), 5):
            raise Broken("the worker's log does not say when each was unlocked")
        seconds = sorted(self.told(job).values())
        return seconds[math.ceil(share * len(seconds)) - 1]

    def told(self, job):
        """{system: seconds from the submission until the worker said that it is unlocked}"""
        return {system: datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() - job.began
                for worker in self.workers for at, system, of in UNLOCKED.findall(worker.log.read_text()) if of == job.id}


def beside_round(lane, label, sorts):
    lane.label = label
    beside = []
    lane.measure_alone()
    while not beside or min(beside) > lane.size.limit * min(lane.last_alone()):
        if len(beside) == MEASUREMENTS:
            raise Broken(f"breach of {RULE}: honest PCs within {beside} s {label}, within {lane.last_alone()} s alone")
        if beside:
            lane.alone.append(lane.measure(()))
        beside.append(lane.measure(sorts))
        print(f"{label}: {beside[-1]:.2f} s, the worker's processor {lane.spent:.2f} s", flush=True)
    if lane.idle:
        raise Broken(f"they had stopped before the honest PCs were served: {lane.idle}")
    lane.counted[label] += 1


def make_lane(name, size):
    lane = HostileLane(name, size)
    lane.up()
    try:
        lane.add_worker(REAL_TIMES)
    except BaseException:
        lane.down()
        raise
    return lane


def kind(size=FULL):
    """All at once, and each by itself. It measures time: alone."""
    rounds = [(size.label, lambda lane, _: beside_round(lane, size.label, size.sorts))]
    rounds += [(f"beside {sort}", lambda lane, _, s=sort: beside_round(lane, f"beside {s}", (s,))) for sort in size.each]
    return Kind("hostile", lambda name: make_lane(name, size), rounds, 1, (), alone=True)
