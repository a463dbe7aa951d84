# SPDX-License-Identifier: Apache-2.0
"""One hostile PC of each sort beside fifty honest ones, whose 99th percentile of the time to unlocked may be at most a tenth
longer than it is alone.

The hostile PCs are another simulator's, so that what it costs to be hostile is not their neighbours' trouble; and the
worker has one engine thread, so that what one PC takes of it is taken from all. A busy machine makes times longer, never
shorter: where the first comparison fails, both are measured again, and the least of each is compared.
"""

import math
import re
from datetime import datetime
from types import SimpleNamespace

from amtu_stack.fleet import Fleet
from amtu_stack.worker import Worker

from .around import wait_until
from .campaign import Kind
from .lane import Lane
from .records import Broken

HONEST = 50
LIMIT, SHORT_LIMIT = 1.1, 1.3
MEASUREMENTS = 3
UNLOCKED_WITHIN = 60.0  # seconds for the honest ones
QUIET_WITHIN = 150.0    # until the hostile ones have been given up
ALL = "all sorts at once"
# Of the simulator's faults those that a hostile PC can choose. What it answers to them is no matter here.
SORTS = ("silent", "black-hole", "reset", "refused", "slow", "drip", "garbage", "half-answers", "endless", "endless-head",
         "endless-challenge", "challenges", "redirects", "elements", "tls-garbage", "heavy-key", "heavy-chain",
         "hello-requests", "key-updates", "drops-session", "babble", "babble-console", "flood", "escapes", "noise")
# Of these the worker must have seen more than a handshake.
LOGS_IN = ("flood", "escapes", "noise", "babble", "babble-console", "drops-session", "endless", "elements", "garbage")
BOOT = "4-4"
UNLOCKED = re.compile(r"^(\S+) \S+ AMTU0606 unlocked system=(\S+) job=(\S+)", re.MULTILINE)


class HostileFleet(Fleet):
    """Another simulator, with so many PCs of each sort that each measurement has its own."""

    process, kept_in, domain = "amtsim-hostile", "hostile", "hostile.test"


class HostileLane(Lane):
    """See above. The history has the honest PCs and their jobs."""

    def __init__(self, name):
        super().__init__(name, systems=HONEST, method="sol", boot_seconds=BOOT, boot_timeout=30, threads=1)
        many = {**vars(self.options), "systems": len(SORTS) * 2 * MEASUREMENTS, "seed": 2, "amtsim": ("--tls13",)}
        self.hostile = HostileFleet(self.places, SimpleNamespace(**many))
        self.hostile_jobs = []
        self.taken = []  # (PC, sort) of the last measurement
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

    # ---- measuring ---------------------------------------------------------------------------------------

    def unleash(self, sorts):
        """A job of one hostile PC a sort. It is in nobody's history."""
        if len(self.unused) < len(sorts):
            raise Broken("no hostile PC is left")
        self.taken = [(self.unused.pop(), sort) for sort in sorts]
        for system, sort in self.taken:
            self.hostile.fault(system, sort)
        if self.taken:
            self.hostile_jobs.append(super(Lane, self).submit([system for system, _ in self.taken]))

    def measure(self, sorts):
        """Seconds within which all but one in a hundred honest PCs were unlocked."""
        systems = self.take(HONEST)
        self.unleash(sorts)
        job = self.submit(systems)
        if not self.watch_end(job, UNLOCKED_WITHIN) or set(job.seen.values()) != {"U"}:
            raise Broken(f"not all were unlocked: {job.results()}")
        self.check_met()
        return self.percentile(job, 0.99)

    def check_met(self):
        """That the worker did log in where a sort lets it: a hostile PC that is not believed does nothing."""
        met = {event["system"] for event in self.hostile.events() if event["event"] == "auth" and event["ok"]}
        missed = [system for system, sort in self.taken if sort in LOGS_IN and system not in met]
        if missed:
            raise Broken(f"the worker did not get as far as what is hostile: {missed}")

    def percentile(self, job, share):
        if not wait_until(lambda: set(self.told(job)) == set(job.systems), 5):
            raise Broken("the worker's log does not say when each was unlocked")
        seconds = sorted(self.told(job).values())
        return seconds[math.ceil(share * len(seconds)) - 1]

    def told(self, job):
        """{system: seconds from the submission until the worker said that it is unlocked}"""
        return {system: datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() - job.began
                for worker in self.workers for at, system, of in UNLOCKED.findall(worker.log.read_text()) if of == job.id}

    def await_quiet(self):
        """Until no hostile PC is worked on."""
        def quiet():
            self.hostile_jobs = [job for job in self.hostile_jobs if job.state() not in ("7", "8")]
            return not self.hostile_jobs
        if not wait_until(quiet, QUIET_WITHIN, 0.2):
            raise Broken("a hostile PC is worked on for ever")


def beside_round(lane, label, sorts, limit):
    lane.label = label
    beside = []
    if not lane.alone:
        lane.alone.append(lane.measure(()))
    for _ in range(MEASUREMENTS):
        beside.append(lane.measure(sorts))
        if min(beside) <= limit * min(lane.alone):
            lane.counted[label] += 1
            print(f"{label}: {min(beside):.2f} s, alone {min(lane.alone):.2f} s", flush=True)
            return
        lane.await_quiet()
        lane.alone.append(lane.measure(()))
    raise Broken(f"honest PCs within {min(beside):.2f} s {label}, within {min(lane.alone):.2f} s alone; "
                 f"all: {beside}, {lane.alone}")


def make_lane(name):
    lane = HostileLane(name)
    lane.up()
    try:
        lane.add_worker()
    except BaseException:
        lane.down()
        raise
    return lane


def label_of(sort):
    return f"beside {sort}"


def kind(sorts=SORTS, limit=LIMIT):
    """All at once, and each of these by itself. It measures time: alone."""
    rounds = [(label_of(ALL), lambda lane, _: beside_round(lane, label_of(ALL), SORTS, limit))]
    rounds += [(label_of(sort), lambda lane, _, s=sort: beside_round(lane, label_of(s), (s,), limit)) for sort in sorts]
    return Kind("hostile", make_lane, rounds, 1, (), alone=True)
