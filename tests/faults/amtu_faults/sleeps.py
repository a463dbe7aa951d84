# SPDX-License-Identifier: Apache-2.0
"""A worker falls asleep anywhere, past its lease, while another takes over, and then wakes.

It may be between its gate and the first byte, where nothing is left that could check a clock: then it acts late, once,
and the gate's own record says that it had passed in time. Dice hardly ever hit that, so some are made to.
"""

from .campaign import Kind
from .kills import BOUNDARIES, PCS, await_strike
from .stops import label_of, make_lane, overslept, stop_round

RANDOM = "sleeps anywhere"
GATED = next(boundary for boundary in BOUNDARIES if boundary.point == "act.gated")


def sleep_round(lane, rng):
    """A stop of the whole process, a few milliseconds after a passing of any point."""
    lane.label = RANDOM
    sleeper = lane.workers[0]
    order = sleeper.points.arm("*", "doze", rng.randint(1, 150), rng.randint(0, 40))
    lane.labels[sleeper.name, order] = RANDOM
    job = lane.submit(lane.take(PCS))
    await_strike(lane, sleeper, job, order, "stopped")
    overslept(lane, job, sleeper.points.hit(order, "stopped").at)


def gated_round(lane, rng):
    stop_round(lane, GATED, rng)


def kind(times, gated, lanes):
    rounds = [(RANDOM, sleep_round)] * times
    for number in range(gated):
        rounds.insert((number + 1) * (len(rounds) + 1) // (gated + 1), (label_of(GATED), gated_round))
    return Kind("sleeps", make_lane, rounds, lanes, ("stop", "stopped"))
