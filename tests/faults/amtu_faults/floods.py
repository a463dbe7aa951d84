# SPDX-License-Identifier: Apache-2.0
"""One PC wants an engine for itself, beside honest ones in the same engine; and an engine stands still."""

import time

from .around import wait_until
from .campaign import Kind
from .kills import await_strike, settle
from .lane import Lane
from .records import Broken, Wrong

# What the hostile PC does, and a line of the table each.
FLOODS = {"flood": "flood of small messages", "key-updates": "flood of key updates",
          "endless-head": "header without end", "heavy-key": "costly handshake"}
STANDS = "an engine stands still"

HONEST = 5
SLOWER = 1.1         # times as long as alone
A_LOADED_HOST = 1.5  # and seconds more
STUCK = 5.0          # seconds in which a loop has to come round
NOTICED = 20.0       # seconds until a worker whose loop does not has ended
TROUBLE = ("AMTU0402", "AMTU0540", "AMTU0543")


def logged(worker, *numbers):
    """How many lines of its log have one of these numbers."""
    text = worker.log.read_text(errors="replace")
    return sum(text.count(number) for number in numbers)


def honest_seconds(lane):
    """How long some honest PCs take, all of which must be unlocked."""
    systems = lane.take(HONEST)
    began = time.monotonic()
    job = lane.submit(systems)
    if not lane.watch_end(job) or set(job.results().values()) != {"unlocked"}:
        raise Broken(f"the honest PCs were not unlocked: {job.results()}")
    return time.monotonic() - began


def flood_round(lane, fault, _rng):
    """Honest PCs alone, then beside one that does that, in one engine."""
    worker = lane.workers[0]
    lane.label = FLOODS[fault]
    lane.await_started(worker)
    before = logged(worker, *TROUBLE)
    alone = honest_seconds(lane)
    hostile, = lane.take(1)
    for each in (fault, "no-prompt"):
        lane.break_pc(hostile, each)
    sessions = len(lane.fleet.events())
    job = lane.submit([hostile])
    if not lane.watch_until(job, lambda _: is_at_it(lane, hostile, fault, sessions), 10):
        raise Broken(f"{hostile} was not met")
    beside = honest_seconds(lane)
    if beside > alone * SLOWER + A_LOADED_HOST:
        raise Broken(f"{HONEST} honest PCs took {beside:.1f} s beside it, {alone:.1f} s alone")
    lane.fleet.tell(do="clear", system=hostile)
    settle(lane, job)
    if logged(worker, *TROUBLE) > before:
        raise Broken("leases or loops did not go on")
    lane.counted[FLOODS[fault]] += 1


def is_at_it(lane, hostile, fault, known):
    """Whether it floods now: its console is open, or it was called."""
    event = "sol-open" if fault == "flood" else "connection"
    return any(one["system"] == hostile and one["event"] == event for one in lane.fleet.events()[known:])


def stand_round(lane, _rng):
    """Its thread hangs with a result in its hands. The worker ends, says where, and the next one looks at the PC."""
    lane.label = STANDS
    worker = lane.workers[0]
    order = worker.points.arm("finish.decided", "delay", 1, 120000)
    lane.labels[worker.name, order] = STANDS
    job = lane.submit(lane.take(1))
    await_strike(lane, worker, job, order)
    if not wait_until(lambda: not worker.process.alive(), NOTICED):
        raise Broken("the worker lives on though its engine stands still")
    if not logged(worker, "AMTU0540") or not logged(worker, "AMTU0541"):
        raise Wrong("says-where-it-stood", "the worker ended, and does not say which thread it was, and where that stood")
    lane.restart(worker)
    settle(lane, job)


def make_lane(name):
    lane = Lane(name, systems=120, method="sol", threads=1, boot_timeout=6, amtsim=("--tls13",))
    lane.up()
    try:
        lane.add_worker({"AMTUNLOCK_TEST_STUCK_MS": f"{STUCK * 1000:.0f}"})
    except BaseException:
        lane.down()
        raise
    return lane


def kind(each, lanes, faults=tuple(FLOODS)):
    rounds = [(FLOODS[fault], lambda lane, rng, f=fault: flood_round(lane, f, rng)) for _ in range(each)
              for fault in faults]
    rounds += [(STANDS, stand_round)] * each
    return Kind("flood", make_lane, rounds, lanes, ("delay",))
