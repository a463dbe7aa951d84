# SPDX-License-Identifier: Apache-2.0
"""Redis comes back as an older copy of itself, as after the restoring of a backup, or from a replica that lagged: what
had been powered or had ended waits in its queue again."""

import functools
import itertools
import shutil
import signal
import time

from .campaign import Kind
from .kills import PCS, arm_kill, await_strike, make_lane, settle
from .pair import make_lane as make_pair_lane
from .records import WITHIN, Broken

ONE, TWO = "Redis rolled back", "Redis rolled back, two workers"
OTHER = "Redis rolled back, and another worker goes on"

# Where a job stands when its copy is taken: of the states of which one is seen. Nothing: nobody has seen it yet.
COPIED = {"waiting": "", "begun": "IPB", "partly ended": "U"}
# How far it goes then, until Redis dies. Who is off again must be powered again if he is unlocked again.
UNTIL = ("all ended and were switched off", "the moment", "all ended")


def take_copy(lane):
    """A state that Redis really had, with all that it acknowledged up to then. Where it is, and when it was taken."""
    copy = lane.places.run / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    taken = time.time()
    lane.redis_process.signal(signal.SIGSTOP)
    try:
        shutil.copytree(lane.redis.socket.parent / "data", copy)
    finally:
        lane.redis_process.signal(signal.SIGCONT)
    return copy, taken


def submit_unseen(lane, systems):
    """A job, and the copy of a Redis of which nobody has claimed it."""
    there = [worker for worker in lane.workers if worker.process.alive()]
    for worker in there:
        worker.process.signal(signal.SIGSTOP)
    try:
        job = lane.submit(systems)
        return job, *take_copy(lane)
    finally:
        for worker in there:
            worker.process.signal(signal.SIGCONT)


def submit_and_copy(lane, systems, copied):
    if not COPIED[copied]:
        return submit_unseen(lane, systems)
    job = lane.submit(systems)
    if not lane.watch_until(job, lambda seen: set("".join(seen.values())) & set(COPIED[copied]), 10):
        raise Broken(f"nothing is {copied}")
    return job, *take_copy(lane)


def go_on(lane, job, until, rng):
    if until == "the moment":
        ends = time.time() + rng.uniform(0, 1)
        lane.watch_until(job, lambda _: time.time() > ends, 5)
        return
    if not lane.watch_until(job, lambda seen: set("".join(seen.values())) <= set("UFX"), lane.within):
        raise Broken("the job did not end")
    if until != "all ended":
        lane.switch_off(job.systems)


def roll_back(lane, copy, taken, reborn):
    """Redis dies, and comes back as its copy; so does the first worker, where the dice want it, from its record."""
    lane.redis_process.signal(signal.SIGKILL)
    if reborn:
        lane.workers[0].process.signal(signal.SIGKILL)
    lane.await_redis_dead()
    data = lane.redis.socket.parent / "data"
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    lane.note("Redis", "rolled-back", lane.redis_process.pid)
    lane.processes_seen[-1]["copied"] = taken
    if reborn:
        lane.restart(lane.workers[0])
    lane.start_redis()


def roll_back_round(lane, rng, label, copied, until):
    """One job that both Redis know, and one that the older does not."""
    lane.label = label
    job, copy, taken = submit_and_copy(lane, lane.take(PCS), copied)
    lost = lane.submit(lane.take(1)) if rng.random() < 0.5 else None
    go_on(lane, job, until, rng)
    roll_back(lane, copy, taken, reborn=rng.random() < 0.5)
    lane.counted[label] += 1
    if lost is not None:
        lost.over = True
        lane.give_back(lost.systems)
    settle(lane, job)
    if not job.over:
        raise Broken(f"the job did not end: {job.tasks()}")


def other_round(lane, _rng):
    """Who did it all tells the older Redis what is on its record, and dies. Another comes, who has no record of it, finds
    whatever still waits, and would power PCs that are off again."""
    lane.label = OTHER
    first, other = lane.workers
    lane.end_worker(other)
    job, copy, taken = submit_unseen(lane, lane.take(PCS))
    go_on(lane, job, UNTIL[0], None)
    order = arm_kill(lane, first, "reconcile.done", 1)
    roll_back(lane, copy, taken, reborn=False)
    try:
        await_strike(lane, first, job, order)
        lane.note(first.name, "died", first.process.pid)
        lane.begin(other)
        settle(lane, job)
    finally:
        lane.restart(first)
    if not job.over:
        raise Broken(f"the job did not end: {job.tasks()}")


def _make_two(name):
    lane = make_pair_lane(name, systems=120, boot_seconds="0.3-0.8")
    lane.within = WITHIN
    return lane


def kinds(each, short=False):
    """So many rounds with one worker and with two. The first are the most dangerous ones. In short the one that is left to
    nothing by chance is only played where it is asked for by name."""
    stages = list(itertools.islice(itertools.cycle(itertools.product(UNTIL, COPIED)), each))
    for name, label, make in (("rolled-back", ONE, make_lane), ("rolled-back-two", TWO, _make_two)):
        rounds = [(label, functools.partial(roll_back_round, label=label, copied=copied, until=until))
                  for until, copied in stages]
        others = [(OTHER, other_round)] * (each if make is _make_two else 0)
        yield Kind(name, make, rounds if short else rounds + others, actions=("kill",), named=others[:1] if short else [])
