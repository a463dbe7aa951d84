# SPDX-License-Identifier: Apache-2.0
"""A group's power ramp as the feed sees it, a small job beside a huge one, and PCs that are left alone."""

import signal
import time

import pytest

from rig import wait_until


def power_times(fleet, systems):
    return sorted(one["t"] for one in fleet.events(event="power") if one["system"] in systems)


@pytest.mark.parametrize("workers", [1, 2])
def test_power_requests_keep_the_groups_pace(rig, workers):
    """Two groups, each by itself at two a second: the simulator's log has the times."""
    fleet = rig(systems=12, group=("power-per-second = 2",))
    for _ in range(workers):
        fleet.add_worker()
    began = time.monotonic()
    assert set(fleet.submit(fleet.systems()).await_end(30).values()) == {"unlocked"}
    took = time.monotonic() - began
    for group in (fleet.systems()[0::2], fleet.systems()[1::2]):
        times = power_times(fleet, group)
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        assert len(times) == 6
        # What lies between the worker's clock and the simulator's is the machine's, and small.
        assert min(gaps) > 0.3, gaps
        assert times[-1] - times[0] > 5 * 0.5 - 0.2, gaps
    assert took < 12, "nor are they slower than they may be"


def test_two_workers_share_a_job(rig):
    fleet = rig(systems=20, boot_seconds="1-1")
    workers = [fleet.add_worker(), fleet.add_worker()]
    assert wait_until(lambda: fleet.redis_call("ZCARD", "{amtu}:workers") == 2, 20), "no heartbeat"
    assert set(fleet.submit(fleet.systems()).await_end(30).values()) == {"unlocked"}
    shares = [sum(line["event"] == "intent" for line in fleet.audit(worker)) for worker in workers]
    assert sum(shares) == 20 and min(shares) >= 6, shares


def test_a_small_job_beside_a_huge_one(rig):
    """With few slots, taken by somebody's many systems, another's few do not wait for all of those."""
    fleet = rig(systems=40, boot_seconds="1-1", slots=5)
    worker = fleet.add_worker()
    big = fleet.submit(fleet.systems()[:35])
    assert wait_until(lambda: "U" in [task[0] for task in big.tasks().values()], 15)
    small = fleet.submit(fleet.systems()[35:], caller="other@FLEET.TEST")
    assert set(small.await_end(15).values()) == {"unlocked"}
    waiting = [task[0] for task in big.tasks().values()].count("Q")
    assert waiting > 12, "the huge one has not been served first"
    worker.process.signal(signal.SIGKILL)  # it would serve the rest


def test_a_pc_that_refuses_our_login_is_left_alone(rig):
    """Before its firmware locks the account: the third task does not even connect."""
    fleet = rig(systems=2)
    fleet.add_worker()
    bad, good = fleet.systems()
    fleet.break_pc(bad, "auth-fails")
    for _ in range(2):
        assert fleet.submit([bad]).await_end(15) == {bad: "auth-failed"}
    connections = len(fleet.events(bad, "connection"))
    job = fleet.submit([bad, good])
    assert job.await_end(15) == {bad: "auth-failed", good: "unlocked"}
    assert job.tasks()[bad][2] == "left-alone"
    assert len(fleet.events(bad, "connection")) == connections
