# SPDX-License-Identifier: Apache-2.0
"""A worker that is upgraded over jobs which the older library took: they end."""

import signal
from pathlib import Path

import pytest

from rig import wait_until

OLDER = Path(__file__).resolve().parents[1] / "lua" / "library-3.lua"
SHORT = {"AMTUNLOCK_TEST_LEASE_MS": "2000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}
EVER = 10**17


@pytest.fixture
def fleet(rig):
    one = rig(systems=3, boot_seconds="1-2", boot_timeout=40)
    one.environment = dict(SHORT)
    return one


def test_jobs_of_the_older_library_end_after_the_upgrade(fleet):
    first = fleet.add_worker()
    published = fleet.redis_call("HGET", "{amtu}:inventory", "digest")
    first.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not first.process.alive(), 10)
    fleet.redis_call("FUNCTION", "LOAD", "REPLACE", OLDER.read_text())
    assert fleet.schema() == "3"
    held, waiting = fleet.submit(fleet.systems()[:1]), fleet.submit(fleet.systems()[1:])
    claimed = fleet.redis_call("FCALL", "amtunlock_claim", 0, "3", "older-worker", published, 1, EVER, 1000000)
    assert claimed[0] == "ok" and claimed[2][0][0] == held.id
    fleet.add_worker()
    assert fleet.schema() == "7"
    for job in (held, waiting):
        assert job.await_end(30) == dict.fromkeys(job.systems, "unlocked")
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]
