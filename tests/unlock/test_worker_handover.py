# SPDX-License-Identifier: Apache-2.0
"""A worker that is stopped on purpose costs no unlock: what it has begun is handed over at once, and another worker, or
the same one started again, goes on with it within 2 s."""

import datetime
import re
import signal

import pytest

from redirected import check_taken_back, passphrases
from rig import wait_until

WITHIN = 2  # seconds, from what is handed over to who goes on with it
# A console that shows nothing is asked for its question after a while, which is longer than a test has.
QUICK = {"AMTUNLOCK_TEST_QUIET_MS": "500"}


def moments(worker, number):
    """{system: when the worker's log has a line of that number of it, last}"""
    found = {}
    for line in worker.log.read_text().splitlines():
        match = re.match(r"(\S+Z) \S+ " + number + r" .*\bsystem=(\S+)", line)
        if match:
            found[match[2]] = datetime.datetime.fromisoformat(match[1].replace("Z", "+00:00")).timestamp()
    return found


def gaps(first, second):
    """Seconds from when each task was given back until a worker took it over."""
    given, taken = moments(first, "AMTU0604"), moments(second, "AMTU0608")
    return {system: taken[system] - given[system] for system in given if system in taken}


def begun(fleet, workers):
    """A job of nine PCs, three of each method, once each has been powered. All workers are there from the start: one that
    meets an unfinished job in a Redis that has just been started waits until nobody else can have begun it."""
    first = [fleet.add_worker(QUICK) for _ in range(workers)][0]
    job = fleet.submit(fleet.systems())
    assert wait_until(lambda: all(fleet.power_requests(one) for one in fleet.systems()), 20, 0.02), fleet.worker_tail()
    return first, job


def check_end(fleet, job):
    results = job.await_end(60)
    assert set(results.values()) == {"unlocked"}, (results, fleet.worker_tail())
    for row in fleet.fleet.systems():
        system = row["fqdn"]
        typed = passphrases(fleet, system)
        assert typed == ([] if row["method"] == "wake" else [True]) or (row["method"] == "sol" and typed == [False, True]), \
            (system, "the empty line that asks for the question counts as a try")
        check_taken_back(fleet, system)


@pytest.mark.parametrize("supervised", ["1", "0"])
def test_another_worker_goes_on(rig, supervised):
    fleet = rig(systems=9, method="mix", boot_seconds="2-3", boot_timeout=60)
    # A drive that was handed over is served until nobody reads it any more.
    fleet.environment = {"AMTUNLOCK_SUPERVISED": supervised, "AMTUNLOCK_TEST_READS_MS": "1000"}
    first, job = begun(fleet, 2)
    second = fleet.workers[1]
    first.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not first.process.alive(), 2.9 if supervised == "1" else 20, 0.02)
    check_end(fleet, job)
    assert not fleet.heard(first, "AMTU0305"), "nothing was left to its lease"
    found = gaps(first, second)
    assert found and max(found.values()) < WITHIN, found
    assert int(re.search(r"AMTU0318 .*\btasks=(\d+)", first.log.read_text())[1]) == len(found)


def test_the_same_worker_goes_on(rig):
    fleet = rig(systems=9, method="mix", boot_seconds="2-3", boot_timeout=60)
    first, job = begun(fleet, 1)
    first.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not first.process.alive(), 20, 0.01)
    stopped = moments(first, "AMTU0604")
    fleet.start_worker(first, QUICK)
    check_end(fleet, job)
    taken = moments(first, "AMTU0608")
    started = re.findall(r"^(\S+)Z \S+ AMTU0306 ", first.log.read_text(), re.M)[0]
    began = datetime.datetime.fromisoformat(started + "+00:00").timestamp()
    found = {system: taken[system] - began for system in stopped}
    assert found and max(found.values()) < WITHIN, found


@pytest.mark.parametrize("patience", [True, False])
def test_a_second_signal_ends_it_at_once(rig, patience):
    """An image that does not say hello is waited for; with no more patience it is left to its lease."""
    fleet = rig(systems=1, method="image", boot_seconds="9-9", boot_timeout=60)
    worker, job = begun(fleet, 1)
    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0304"), 5, 0.01)
    assert not wait_until(lambda: not worker.process.alive(), 1, 0.05)
    if not patience:
        worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 20 if patience else 5, 0.05)
    assert fleet.heard(worker, "AMTU0318") == patience and fleet.heard(worker, "AMTU0305") != patience
    assert {task[0] for task in job.tasks().values()} <= (set("L") if patience else set("PB"))


def test_a_helper_that_hangs_does_not_hold_up_the_stop(rig):
    """What it was asked for is given back; the thread that waits for it has no task any more."""
    fleet = rig(systems=2)
    worker = fleet.prepare_worker()
    helper = fleet.places.write(worker.folder / "helper", "#!/bin/sh\nexec sleep 30\n", role="amtunlock", mode=0o700)
    own = f"secrets = file:{worker.folder}/secrets"
    worker.config.write_text(worker.config.read_text().replace(own, f"secrets = exec:{helper}\n{own}"))
    fleet.start_worker(worker)
    job = fleet.submit(fleet.systems())
    assert wait_until(lambda: {task[2] for task in job.tasks().values()} == {"login"} or all(
        task[0] == "C" for task in job.tasks().values()), 10, 0.02)
    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 2, 0.02), fleet.worker_tail()
    assert fleet.heard(worker, "AMTU0306") and not fleet.heard(worker, "AMTU0305")
    assert {task[0] for task in job.tasks().values()} == {"Q"}
