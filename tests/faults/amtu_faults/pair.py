# SPDX-License-Identifier: Apache-2.0
"""Two workers on one Redis and a whole fleet in one job, while one of them is killed every few seconds."""

import itertools
import time

from .campaign import Kind
from .history import load
from .lane import Lane
from .records import Broken

LABEL = "two workers, one killed"
SMALL = 100  # PCs that are soon up, also on a busy machine
AWAY = 3.0  # seconds: so long that the other has taken over


def pair_round(lane, rng, every, most):
    """One job of the whole fleet. They die in turns, so many times at most, the first to begin first; the dice say where."""
    lane.label = LABEL
    job = lane.submit(list(lane.ready))
    # Who dies before most have been powered leaves them off, and then there is nothing for two to share.
    lane.watch_until(job, lambda seen: sum(state in "PBU" for state in seen.values()) > len(seen) / 2, 20)
    due = time.time() + every
    victims = itertools.cycle(sorted(lane.workers, key=lambda worker: -begun(worker)))
    while not lane.watch_until(job, lambda seen: not set("".join(seen.values())) - set("UFX"), 0.2):
        if time.time() > job.began + lane.within:
            raise Broken("the job did not end")
        if time.time() < due or most == 0:
            continue
        most -= 1
        due = time.time() + every
        worker = next(victims)
        order = worker.points.arm("*", "later", 1, rng.randint(0, 200))
        lane.labels[worker.name, order] = LABEL
        lane.watch_until(job, lambda _, w=worker, o=order: w.points.hit(o) is not None, 5)
        away = time.time() + AWAY
        lane.watch_until(job, lambda _, until=away: time.time() > until, AWAY + 1)
        lane.restart(worker)
        worker.points.disarm(order)
    job.over = True
    check_worth(lane)


def begun(worker):
    """How many PCs it has begun with."""
    return worker.log.read_text().count("AMTU0608") if worker.log.exists() else 0


def check_worth(lane):
    """Both worked, and most PCs were there to be powered: on a machine that is too busy the simulator is not."""
    history = load(lane.write_history())
    begun_with = sum(bool(task.intent_fence) for task in history.tasks)
    if begun_with < len(history.tasks) / 2:
        raise Broken(f"only {begun_with} of {len(history.tasks)} PCs could be reached")
    files = {line["file"] for line in history.audit if line["event"] == "outcome"}
    if len(files) < 2:
        raise Broken(f"only {files} did work")


def make_lane(name, systems, boot_seconds):
    lane = Lane(name, systems=systems, boot_seconds=boot_seconds, boot_timeout=60 if systems > SMALL else 20, method="mix")
    lane.up()
    try:
        lane.add_worker()
        lane.add_worker()
    except BaseException:
        lane.down()
        raise
    lane.poll = max(lane.poll, systems / 5000)  # what is read each time grows with the fleet
    lane.within = 60 + systems / 10
    return lane


def kind(systems, boot_seconds, every, most, alone=False):
    return Kind("pair", lambda name: make_lane(name, systems, boot_seconds),
                [(LABEL, lambda lane, rng: pair_round(lane, rng, every, most))], 1, ("later",), alone)
