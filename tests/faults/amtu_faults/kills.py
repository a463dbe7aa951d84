# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the worker at each of its boundaries, and anywhere."""

import functools
import signal
from dataclasses import dataclass

from .campaign import Kind
from .lane import ON, Lane
from .records import Broken
from .rules import is_secret

PCS = 3
RANDOM = "anywhere"
REACHED = 20.0   # seconds in which a boundary is reached, or the round has failed
TAKEN_OVER = 20  # seconds for that, beside the lease
DECIDED = 2      # of two times that a PC is asked for its power, the second comes after what the first led to
NOT_HELPED = 5   # of so many PCs left off, one is not switched on by its user and ends `indeterminate`


@dataclass(frozen=True)
class Boundary:
    """A failpoint of the worker, and how a round gets there."""

    point: str
    nth: int = PCS         # the strike is at one of the first so many passings
    by: str = "job"        # what leads there: a job, a start of the worker, a new inventory, a new Redis, verify
    leaves_off: bool = False  # the intent is durable and the PC untouched
    method: str = None     # of all PCs; None: of every method
    hears: bool = False    # the worker stops there, and is killed when the PC has heard what left before

    @property
    def label(self):
        return f"{self.point} {self.method or ''}".rstrip()

    def pick(self, rng):
        return rng.randint(1, self.nth)


BOUNDARIES = (
    Boundary("library.loaded", 1, "start"),
    Boundary("conn.dialled", 4, "start"),
    Boundary("conn.sent", 25),
    Boundary("conn.answered", 25),
    Boundary("publish.staged", 1, "inventory"),
    Boundary("publish.switched", 1, "inventory"),
    Boundary("claim.before", 1),
    Boundary("claim.answered", 1),
    Boundary("unlock.begun"),
    Boundary("intend.decided"),
    Boundary("record.before", 4),
    Boundary("intend.recorded"),
    Boundary("intend.applied", leaves_off=True),
    Boundary("intend.done", leaves_off=True),
    Boundary("power-mark.recorded", leaves_off=True),
    Boundary("power-mark.applied", leaves_off=True),
    Boundary("act.before", leaves_off=True),
    Boundary("act.gated", leaves_off=True),
    Boundary("act.answered"),
    # Of PCs of `wake` the power request is the only act.
    Boundary("act.before", method="wake", leaves_off=True),
    Boundary("act.gated", method="wake", leaves_off=True),
    Boundary("act.answered", method="wake"),
    Boundary("act.done"),
    Boundary("progress.before", 2 * PCS),
    Boundary("progress.applied", 2 * PCS),
    Boundary("powered.done"),
    Boundary("booting.done"),
    Boundary("hello.heard", method="image"),
    *(Boundary(point, method=method) for method in ("sol", "image") for point in ("typed-mark.recorded", "typed-mark.applied")),
    *(Boundary("typed.done", method=method, hears=True) for method in ("sol", "image")),
    Boundary("finish.decided"),
    Boundary("finish.recorded"),
    Boundary("finish.applied"),
    Boundary("finish.done"),
    Boundary("reconcile.before", 1, "redis"),
    Boundary("reconcile.results", 1, "redis"),
    Boundary("reconcile.done", 1, "redis"),
    Boundary("renew.before", 2),
    Boundary("renew.answered", 2),
    Boundary("reap.before", 1),
    Boundary("reap.answered", 1),
    Boundary("verify.begun", 1, "verify"),
    Boundary("verify.read", 1, "verify", leaves_off=True),
)


# Each returns the order that it armed, and the job.


def _job(lane, _worker, systems, arm):
    return arm(), lane.submit(systems)


def _start(lane, worker, systems, arm):
    """The worker starts with a job waiting for it. Armed earlier, the worker that stops might meet the point."""
    lane.end_worker(worker)
    order = arm()
    job = lane.submit(systems)
    lane.begin(worker)
    return order, job


def _inventory(lane, worker, systems, arm):
    """A new inventory: the one row that no job names is there, or it is not."""
    lane.await_started(worker)
    rows = lane.fleet.systems()
    worker.short = not getattr(worker, "short", False)
    worker.write_inventory(rows[1:] if worker.short else rows)
    order = arm()
    job = lane.submit(systems)
    worker.process.signal(signal.SIGHUP)
    return order, job


def _redis(lane, _worker, systems, arm):
    """Redis dies in the middle of the job and comes back as another process, which is to be reconciled."""
    order = arm()
    job = lane.submit(systems)
    lane.watch_until(job, lambda seen: set("".join(seen.values())) & set("IPB"), 10)
    lane.redis_process.signal(signal.SIGKILL)
    lane.await_redis_dead()
    lane.start_redis()
    return order, job


BEGINNINGS = {"job": _job, "start": _start, "inventory": _inventory, "redis": _redis, "verify": _job}


def await_strike(lane, worker, job, order, action=None):
    """Until the order struck; with this action, where it leaves lines for several."""
    struck = lane.watch_until(job, lambda _: worker.points.hit(order, action) is not None, REACHED)
    worker.points.disarm(order)
    if not struck:
        raise Broken("not reached")


def arm_kill(lane, worker, point, nth, action="kill"):
    order = worker.points.arm(point, action, nth)
    lane.labels[worker.name, order] = lane.label
    return order


def heard(lane, systems):
    """Passphrases and seals, so far."""
    return sum(is_secret(event) for event in lane.fleet.events() if event["system"] in systems)


def kill_when_heard(lane, worker, job, secrets):
    """What left the worker before it was stopped has arrived."""
    try:
        if not lane.watch_until(job, lambda _: heard(lane, job.systems) >= secrets, REACHED):
            raise Broken("what was typed was not heard")
    finally:
        worker.process.signal(signal.SIGKILL)


def kill_round(lane, boundary, rng):
    """One job, one kill (two, where it takes one to get there); whether its PCs are helped is up to the dice."""
    lane.label = lane.prefix + boundary.label
    worker = lane.workers[0]
    systems = lane.take(PCS, boundary.method)
    way = [(boundary.point, boundary.pick(rng))]
    before = heard(lane, systems) if boundary.hears else 0
    if boundary.by == "verify":
        way.insert(0, ("act.gated" if boundary.leaves_off else "powered.done", rng.randint(1, PCS)))
    job = None
    for point, nth in way:
        arm = functools.partial(arm_kill, lane, worker, point, nth, "stop" if boundary.hears else "kill")
        if job is None:
            order, job = BEGINNINGS[boundary.by](lane, worker, systems, arm)
        else:
            order = arm()
            lane.restart(worker)
        await_strike(lane, worker, job, order)
    if boundary.hears:
        kill_when_heard(lane, worker, job, before + nth)
    lane.restart(worker)
    settle(lane, job, helped=not boundary.leaves_off or rng.randrange(NOT_HELPED) > 0)


def settle(lane, job, helped=True):
    """Until everything of the job has ended. A PC that may have been powered, and was not, is switched on by its user; if
    none helps, it is left to whoever waits for it. Not before who waits has decided to: earlier it would be found on."""
    reads = {}

    def waits(system):
        fence, marks = lane.redis_call("HMGET", "{amtu}:system:" + system, "fence", "marks")
        if marks != "power":
            return False
        pc = lane.fleet.tell(do="state", system=system)
        before = reads.setdefault((system, fence), pc["power_reads"])
        return pc["power"] != ON and pc["power_reads"] >= before + DECIDED

    def waiting(seen):
        return [system for system, state in seen.items() if state == "K" and waits(system)]
    lane.watch_until(job, lambda seen: set("".join(seen.values())) <= set("KUFX") and
                     len(waiting(seen)) == sum(state == "K" for state in seen.values()),
                     lane.lease + lane.grace + TAKEN_OVER)
    if helped:
        lane.switch_on(waiting(lane.watch(job)))
        lane.watch_end(job)


def random_round(lane, rng):
    """A kill somewhere: a few milliseconds after a passing of any point."""
    lane.label = RANDOM
    worker = lane.workers[0]
    order = worker.points.arm("*", "later", rng.randint(1, 150), rng.randint(0, 40))
    lane.labels[worker.name, order] = RANDOM
    job = lane.submit(lane.take(PCS))
    await_strike(lane, worker, job, order)
    lane.restart(worker)
    settle(lane, job)


def make_lane(name):
    lane = Lane(name, systems=150, method="mix")
    lane.up()
    try:
        lane.add_worker()
    except BaseException:
        lane.down()
        raise
    return lane


STRIKES = ("kill", "later", "stop")  # who is stopped is killed

# A few with the times that are installed.
REAL = "30 s lease: "
REAL_LEASE, REAL_GRACE = 30.0, 15.0
REAL_TIMES = {"AMTUNLOCK_TEST_LEASE_MS": f"{REAL_LEASE * 1000:.0f}", "AMTUNLOCK_TEST_GRACE_MS": f"{REAL_GRACE * 1000:.0f}"}


def use_real_times(lane):
    """What a lane judges by where its workers have REAL_TIMES in their environment."""
    lane.lease, lane.grace, lane.within = REAL_LEASE, REAL_GRACE, 150.0


def make_real_lane(name):
    """Everything as in the field; only the PCs are quicker."""
    lane = Lane(name, systems=60, method="mix", boot_timeout=90)
    use_real_times(lane)
    lane.prefix = REAL
    lane.up()
    try:
        lane.add_worker(REAL_TIMES)
    except BaseException:
        lane.down()
        raise
    return lane


def real_kind(lanes):
    """One at each boundary; but no unlock here takes so long that its lease is renewed."""
    rounds = [(REAL + boundary.label, lambda lane, rng, b=boundary: kill_round(lane, b, rng))
              for boundary in BOUNDARIES if boundary.by == "job" and not boundary.point.startswith("renew")]
    return Kind("real", make_real_lane, rounds, lanes, STRIKES)


def kind(each, anywhere, lanes, short=False):
    """So many kills at each boundary and anywhere, in an order that mixes them. In short those of one method are only played
    where they are asked for by name."""
    rounds, named = [], []
    for boundary in BOUNDARIES * each:
        (named if short and boundary.method else rounds).append(
            (boundary.label, lambda lane, rng, b=boundary: kill_round(lane, b, rng)))
    # Spread evenly, so that a campaign that runs out of time has had some of all.
    for number in range(anywhere):
        rounds.insert((number + 1) * (len(rounds) + 1) // (anywhere + 1), (RANDOM, random_round))
    return Kind("kills", make_lane, rounds, lanes, STRIKES, named=named)
