# SPDX-License-Identifier: Apache-2.0
"""A worker that sleeps past its lease at each of its boundaries while another takes over, and then wakes.

Not at `act.gated`: between the gate and the first byte nothing is left that could check a clock. There the promise
is that of never twice, which the kills at that point are for, and sleeps.py.
"""

import signal
import time

from .campaign import Kind
from .kills import BOUNDARIES, PCS, await_strike
from .lane import Lane
from .records import GRACE, LEASE, VERIFY, Broken

AWAKE = 10.0   # seconds in which a worker that was woken does its rounds again
ACTS_BY = 0.5  # by then it would have sent what it meant to send

# Here the sleeper is about to say "unlocked". Their users switch the PCs off meanwhile, so that verifying does not see
# the same, and has not ended yet when the sleeper wakes and says it. PCs of `wake`, which are open again when they come up.
SAYS_UNLOCKED = ("finish.decided", "finish.recorded")

# Where a sleep is most dangerous: for a campaign in short.
SHORT = ("claim.answered", "intend.applied", "intend.done", "act.before", "finish.decided", "finish.recorded",
         "renew.answered")

POINTS = tuple(boundary for boundary in BOUNDARIES if boundary.by == "job" and boundary.point != "act.gated")


def label_of(boundary):
    return f"stop {boundary.label}"


def stop_round(lane, boundary, rng):
    """One sleeps at a boundary."""
    lane.label = label_of(boundary)
    sleeper = lane.workers[0]
    order = sleeper.points.arm(boundary.point, "stop", boundary.pick(rng))
    lane.labels[sleeper.name, order] = lane.label
    go_off = boundary.point in SAYS_UNLOCKED
    job = lane.submit(lane.take(PCS, "wake" if go_off else boundary.method))
    await_strike(lane, sleeper, job, order)
    overslept(lane, job, sleeper.points.hit(order).at, go_off)


def overslept(lane, job, asleep, go_off=False):
    """The first sleeps, the other takes over; then the first wakes and finds that it has nothing left."""
    sleeper, other = lane.workers
    try:
        sleep_past(lane, job, asleep, go_off)
        await_awake(lane, sleeper, job)
        lane.switch_on([system for system, state in lane.watch(job).items() if state == "K"])
        if not lane.watch_end(job, max(lane.within, VERIFY)):  # what was marked and not typed is looked at until its deadline
            raise Broken(f"the job did not end: {job.tasks()}")
    finally:
        lane.end_worker(other)


def sleep_past(lane, job, asleep, go_off):
    """Until the other worker has what the sleeper had, and the sleeper's lease and grace are over."""
    sleeper, other = lane.workers
    lane.note(sleeper.name, "stopped", sleeper.process.pid, asleep)
    fences = {system: lane.last_state[job.id, system][1] for system in lane.watch(job)}
    if go_off:
        lane.switch_off([system for system, state in lane.watch(job).items() if state not in "UFX"])
    try:
        lane.begin(other)
        lane.watch_until(job, lambda seen: all(state in "UFX" or lane.last_state[job.id, system][1] != fences.get(system)
                                               for system, state in seen.items()), 20)
        lane.watch_until(job, lambda _: time.time() > asleep + LEASE + GRACE, 5)
    finally:
        lane.note(sleeper.name, "continued", sleeper.process.pid)
        sleeper.process.signal(signal.SIGCONT)


def await_awake(lane, worker, job):
    """Until it has done a round of its intake, and whatever it would still do to a PC is done."""
    awake = worker.points.arm("reap.answered", "delay")
    if not lane.watch_until(job, lambda _: worker.points.hit(awake) is not None, AWAKE):
        raise Broken(f"{worker.name} does not come back")
    worker.points.disarm(awake)
    until = time.time() + ACTS_BY
    lane.watch_until(job, lambda _: time.time() > until, 2 * ACTS_BY)


def make_lane(name):
    lane = Lane(name, systems=120, method="mix")
    lane.up()
    try:
        lane.add_worker()
        lane.end_worker(lane.add_worker())
    except BaseException:
        lane.down()
        raise
    lane.resting_workers.add(lane.workers[1])
    return lane


def kind(each, lanes, points=None):
    """Of these points only, where some are given; the others may be asked for by name."""
    rounds, named = [], []
    for boundary in POINTS * each:
        chosen = points is None or boundary.label in points
        (rounds if chosen else named).append((label_of(boundary), lambda lane, rng, b=boundary: stop_round(lane, b, rng)))
    return Kind("stops", make_lane, rounds, lanes, ("stop",), named=named)
