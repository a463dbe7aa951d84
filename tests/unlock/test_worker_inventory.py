# SPDX-License-Identifier: Apache-2.0
"""Whose inventory counts, whatever the times of the files say: no older one beside a worker that has the newer, and no
fleet that sleeps because the newer one is gone."""

import os
import signal
import time

import pytest

from rig import wait_until

SHORT = {"AMTUNLOCK_TEST_LEASE_MS": "2000", "AMTUNLOCK_TEST_GRACE_MS": "500"}


@pytest.fixture(name="fleet")
def _fleet(rig):
    fleet = rig(systems=2)
    fleet.environment = SHORT
    return fleet


def put_older(worker, age=3600, row=1):
    """Another content (that row without its UUID), with a time from before: as `cp -p` leaves a file of yesterday."""
    rows = worker.inventory.read_text().splitlines()
    rows[row] = rows[row].replace(rows[row].split(",")[2], "")
    worker.inventory.write_text("\n".join(rows) + "\n")
    for file in (worker.inventory, worker.config, worker.folder / "amt-ca.pem"):
        at = os.stat(file).st_mtime_ns - age * 10**9
        os.utime(file, ns=(at, at))


def wakes_all(fleet, seconds=15):
    return set(fleet.submit(fleet.systems()).await_end(seconds).values()) == {"unlocked"}


def abouts(fleet):
    found = (fleet.redis_call("GET", key) for key in fleet.redis_call("KEYS", "{amtu}:worker:*") if "seal" not in key)
    return [about for about in found if about]


@pytest.mark.parametrize("age", [3600, -3600])
def test_the_only_worker_serves_what_it_is_loaded_with(fleet, age):
    """At once by a reload; soon after a restart: the worker before it may only have been cut off. The time of the future
    is of a clock that is wrong."""
    worker = fleet.add_worker()
    put_older(worker, age)
    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: worker.log.read_text().count("AMTU0445") == 2, 5), fleet.worker_tail()
    assert fleet.heard(worker, "AMTU0453") is (age > 0)
    worker.process.signal(signal.SIGKILL)
    worker.process.stop()
    put_older(worker, age, row=2)
    fleet.start_worker(worker)
    assert wakes_all(fleet), fleet.worker_tail()


def test_a_bundle_that_is_being_written_is_no_other_inventory(fleet):
    """Neither for the workers, which would not be of one mind, nor for the PCs, which nobody would trust."""
    worker = fleet.add_worker()
    assert wait_until(lambda: fleet.heard(worker, "AMTU0445"), 5)
    bundle = worker.folder / "amt-ca.pem"
    whole = bundle.read_text()
    for _ in range(15):
        bundle.write_text(whole[:200])
        time.sleep(0.1)
    bundle.write_text(whole)
    assert wakes_all(fleet), fleet.worker_tail()
    bundle.write_text("a new one\n" + whole)
    assert wait_until(lambda: worker.log.read_text().count("AMTU0445") > 1, 10)
    assert worker.log.read_text().count("AMTU0445") == 2, fleet.worker_tail()


def test_an_older_one_waits_for_the_newer_to_be_gone(fleet):
    first, second = fleet.add_worker(), fleet.add_worker()
    host = os.uname().nodename
    put_older(second)
    second.process.stop()
    fleet.start_worker(second)
    assert wait_until(lambda: fleet.heard(second, "AMTU0443"), 5), fleet.worker_tail()
    said = second.log.read_text()
    assert f"of host {host} serves it, and this one's files were not written later" in said
    assert wait_until(lambda: any(" idle=inventory" in about for about in abouts(fleet)), 5), "the status page says it"
    assert wakes_all(fleet)
    assert [one for one in fleet.audit(second) if one["event"] == "intent"] == []
    first.process.signal(signal.SIGKILL)
    assert wait_until(lambda: fleet.heard(second, "AMTU0453"), 10), fleet.worker_tail()
    assert f"of host {host} had published it" in second.log.read_text()
    assert wakes_all(fleet)
    fleet.start_worker(first)
    assert wait_until(lambda: fleet.heard(second, "AMTU0450"), 5), "the newer one counts again"
    assert wakes_all(fleet)
