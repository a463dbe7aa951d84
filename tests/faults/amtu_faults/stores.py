# SPDX-License-Identifier: Apache-2.0
"""Redis dies at the worker's boundaries, freezes, has no memory left, or may not write."""

import signal
import time

from .around import wait_until
from .campaign import Kind
from .kills import BOUNDARIES, PCS, await_strike, make_lane, settle
from .records import Broken

FROZEN = 4.0  # seconds: longer than a lease and its grace, and than a worker waits for an answer
SICK = 2.5
SEEN_WELL = 10.0

POINTS = tuple(boundary for boundary in BOUNDARIES if boundary.by == "job")


def label_of(boundary):
    return f"Redis dies at {boundary.label}"


def die_round(lane, boundary, rng):
    """kill -9 of Redis by the worker itself, which waits until that has happened; then it comes back with its file."""
    lane.label = label_of(boundary)
    worker = lane.workers[0]
    order = worker.points.arm(boundary.point, "other", boundary.pick(rng), lane.redis_process.pid)
    lane.labels[worker.name, order] = lane.label
    systems = lane.take(PCS, boundary.method)
    try:
        job = lane.submit(systems)
    except OSError:  # it died before it answered: nothing was acknowledged, so it is asked again
        job = None
    if job is not None:
        await_strike(lane, worker, job, order)
    lane.await_redis_dead()
    worker.points.disarm(order)
    lane.start_redis()
    settle(lane, job or lane.submit(systems))


def _freeze(lane):
    lane.redis_process.signal(signal.SIGSTOP)
    try:
        time.sleep(FROZEN)
    finally:
        lane.redis_process.signal(signal.SIGCONT)


def _starve(lane):
    """What it may use is less than what it has."""
    lane.redis_call("CONFIG", "SET", "maxmemory", 1)
    try:
        time.sleep(SICK)
    finally:
        lane.redis_call("CONFIG", "SET", "maxmemory", 0)
    # A worker has noted that, and new jobs are refused until it has looked again.
    if not wait_until(lambda: lane.redis_call("HGET", "{amtu}:totals", "scarce") in (None, "0"), SEEN_WELL):
        raise Broken("no worker sees that Redis has memory again")


def _forbid(lane):
    """A replica of nobody answers every write with READONLY."""
    lane.redis_call("REPLICAOF", "127.0.0.1", 1)
    try:
        time.sleep(SICK)
    finally:
        lane.redis_call("REPLICAOF", "NO", "ONE")


ILLNESSES = {"Redis frozen": _freeze, "Redis out of memory": _starve, "Redis read-only": _forbid}


def ill_round(lane, name, rng):
    """At some moment of a job."""
    lane.label = name
    job = lane.submit(lane.take(PCS))
    until = time.time() + rng.uniform(0, 1.5)
    lane.watch_until(job, lambda _: time.time() > until, 5)
    lane.note("Redis", "stopped", lane.redis_process.pid)
    ILLNESSES[name](lane)
    lane.note("Redis", "continued", lane.redis_process.pid)
    lane.counted[name] += 1
    settle(lane, job)


EMPTIED = "Redis comes back empty"


def empty_round(lane, rng):
    """It dies and has forgotten everything. A console that finds its job gone submits it again, for the same PCs."""
    lane.label = EMPTIED
    systems = lane.take(PCS)
    job = lane.submit(systems)
    states = rng.choice(("QC", "I", "P", "B"))
    lane.watch_until(job, lambda seen: set("".join(seen.values())) & set(states), 1)
    lane.redis_process.signal(signal.SIGKILL)
    lane.await_redis_dead()
    lane.note("Redis", "emptied", lane.redis_process.pid)
    lane.start_redis(empty=True)
    lane.counted[EMPTIED] += 1
    for lost in lane.jobs:
        lost.over = True
    if not lane.watch_until(job, lambda _: lane.redis_call("EXISTS", "{amtu}:inventory") == 1, 20):
        raise Broken("the inventory does not come back")
    again = lane.submit(systems)
    if not lane.watch_end(again):
        raise Broken(f"the job did not end: {again.tasks()}")


def empty_kind(each, lanes):
    return Kind("emptied", make_lane, [(EMPTIED, empty_round)] * each, lanes)


def kind(each, ill, lanes, points=None):
    rounds = [(label_of(boundary), lambda lane, rng, b=boundary: die_round(lane, b, rng))
              for _ in range(each) for boundary in POINTS if points is None or boundary.label in points]
    illnesses = [(name, lambda lane, rng, n=name: ill_round(lane, n, rng)) for _ in range(ill) for name in ILLNESSES]
    for number, one in enumerate(illnesses):
        rounds.insert((number + 1) * (len(rounds) + 1) // (len(illnesses) + 1), one)
    return Kind("stores", make_lane, rounds, lanes, ("other",))


SHORT = ("claim.answered", "intend.recorded", "intend.applied", "act.answered", "finish.recorded", "conn.sent")
