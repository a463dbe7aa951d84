# SPDX-License-Identifier: Apache-2.0
"""What fails without anybody dying: answers that are lost, a record that cannot be written, a line that is cut."""

from .campaign import Kind
from .kills import PCS, await_strike, make_lane, settle

# Point, and at which of its first passings.
POINTS = {"claim.answered": 1, "conn.sent": 25, "conn.answered": 25, "record.before": 4}
CUT = "cut after the request"  # the PC takes the power request, obeys, and closes the connection


def label_of(point):
    return f"fail {point}"


def fail_round(lane, point, rng):
    lane.label = label_of(point)
    worker = lane.workers[0]
    order = worker.points.arm(point, "fail", rng.randint(1, POINTS[point]))
    lane.labels[worker.name, order] = lane.label
    job = lane.submit(lane.take(PCS))
    await_strike(lane, worker, job, order)
    settle(lane, job)


def cut_round(lane, _rng):
    """The power request travels on a connection that was used before, and is closed when it was read. Counted by the
    PCs: the requests that they read."""
    lane.label = CUT
    systems = lane.take(PCS)
    before = {system: lane.power_requests(system) for system in systems}
    for system in systems:
        lane.break_pc(system, "power-lost")
    job = lane.submit(systems)
    settle(lane, job)
    lane.counted[CUT] += sum(lane.power_requests(system) > before[system] for system in systems)


def kind(each, lanes):
    rounds = []
    for _ in range(each):
        rounds += [(label_of(point), lambda lane, rng, p=point: fail_round(lane, p, rng)) for point in POINTS]
        rounds.append((CUT, cut_round))
    return Kind("failures", make_lane, rounds, lanes, ("fail",))
