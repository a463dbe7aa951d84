# SPDX-License-Identifier: Apache-2.0
"""Drives outlive the worker: a process of their own serves them, and gives them to the worker that goes on."""

import os
import signal

import pytest

from redirected import check_taken_back, names, passphrases
from rig import wait_until

LEASES = {"AMTUNLOCK_TEST_LEASE_MS": "3000", "AMTUNLOCK_TEST_GRACE_MS": "1000",
          "AMTUNLOCK_TEST_READS_MS": "2500"}
# A firmware that takes its time: some eight seconds for the image.
UNHURRIED = ("--drive-ms", "60")


def reads(fleet, system):
    return len(fleet.events(system, "ider-read"))


def is_over(worker):
    return wait_until(lambda: not worker.drive_pids(), 10, 0.02)


@pytest.fixture(name="reading")
def _reading(rig):
    """A PC that is reading its drive, its worker, and the job."""
    fleet = rig(systems=1, method="image", boot_timeout=60, amtsim=UNHURRIED)
    fleet.environment = dict(LEASES)
    system, = fleet.systems()
    worker = fleet.add_worker()
    job = fleet.submit([system])
    assert wait_until(lambda: reads(fleet, system) > 5, 20, 0.02), fleet.worker_tail()
    assert len(worker.drive_pids()) == 1
    return fleet, worker, system, job


def kill(worker):
    worker.process.signal(signal.SIGKILL)
    assert wait_until(lambda: not worker.process.alive(), 10, 0.005)


def check_unlocked(fleet, system, job):
    assert job.await_end(60) == {system: "unlocked"}, fleet.worker_tail()
    assert names(fleet, system, "drive-left", "ider-open") == ["ider-open"], "it was served without a gap"
    assert passphrases(fleet, system) == [True] and fleet.power_requests(system) == 1
    check_taken_back(fleet, system)


def test_a_drive_is_served_on_and_adopted(reading):
    fleet, worker, system, job = reading
    kill(worker)
    read = reads(fleet, system)
    assert wait_until(lambda: reads(fleet, system) > read + 5, 10, 0.02), "nobody serves it"
    fleet.start_worker(worker)
    check_unlocked(fleet, system, job)
    assert fleet.heard(worker, "AMTU0565") and fleet.heard(worker, "AMTU0566")
    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 20, 0.02) and is_over(worker)


def test_another_worker_goes_on_while_it_is_served(reading):
    fleet, worker, system, job = reading
    second = fleet.add_worker()
    kill(worker)
    assert job.await_end(60) == {system: "unlocked"}, fleet.worker_tail()
    assert names(fleet, system, "drive-left") == []
    assert passphrases(fleet, system) == [True] and fleet.power_requests(system) == 1
    second.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not second.process.alive(), 20, 0.02) and is_over(second)


def test_a_drive_that_no_pc_looks_for_yet(rig):
    """Its PC is not powered yet when the worker dies: another worker, with a state folder of its own, finds the device free."""
    fleet = rig(systems=1, method="image", boot_timeout=60, amtsim=("--answer-ms", "300"))
    fleet.environment = dict(LEASES)
    system, = fleet.systems()
    worker = fleet.add_worker()
    job = fleet.submit([system])
    assert wait_until(lambda: fleet.events(system, "ider-open"), 20, 0.01), fleet.worker_tail()
    kill(worker)
    assert fleet.power_requests(system) == 0
    assert wait_until(lambda: fleet.events(system, "ider-close"), 10, 0.02) and is_over(worker), "it is served for nobody"
    fleet.add_worker()
    assert job.await_end(60) == {system: "unlocked"}, fleet.worker_tail()
    assert fleet.power_requests(system) == 1 and names(fleet, system, "ider-open", "drive-left") == ["ider-open"] * 2
    check_taken_back(fleet, system)


def test_nobody_asks_for_it(reading):
    """The drive goes with its PC, or its time; then nothing is left."""
    fleet, worker, system, _ = reading
    kill(worker)
    assert worker.drive_pids()
    fleet.fleet.tell(do="power", system=system, to=8)
    assert wait_until(lambda: fleet.events(system, "ider-close"), 30, 0.05) and is_over(worker)
    assert fleet.heard(worker, "AMTU0569") and fleet.heard(worker, "AMTU0567")


def end(fleet, worker, signals):
    for _ in range(signals):
        worker.process.signal(signal.SIGTERM)
        assert wait_until(lambda: fleet.heard(worker, "AMTU0304"), 5, 0.01)
    assert wait_until(lambda: not worker.process.alive(), 60, 0.02)


def test_a_planned_end_leaves_nothing(reading):
    """There is time to see the PC read its image."""
    fleet, worker, system, _ = reading
    end(fleet, worker, 1)
    assert is_over(worker) and fleet.events(system, "ider-close")


def test_a_planned_end_without_time_takes_no_pc_its_drive(reading):
    fleet, worker, system, job = reading
    end(fleet, worker, 2)
    read = reads(fleet, system)
    assert wait_until(lambda: reads(fleet, system) > read + 5, 10, 0.02), "nobody serves it"
    fleet.start_worker(worker)
    check_unlocked(fleet, system, job)
    assert fleet.heard(worker, "AMTU0566")
    end(fleet, worker, 1)
    assert is_over(worker)


def test_the_drive_process_is_killed(reading):
    fleet, worker, system, job = reading
    pid, = worker.drive_pids()
    os.kill(pid, signal.SIGKILL)
    assert job.await_end(60) == {system: "amt-fault"}, fleet.worker_tail()
    assert "the process that served its drive ended" in worker.log.read_text()
    assert fleet.heard(worker, "AMTU0562") and passphrases(fleet, system) == []
    check_taken_back(fleet, system)


def test_the_drive_process_hangs(rig):
    """It is ended, so that the next drive starts another"""
    fleet = rig(systems=2, method="image", boot_timeout=60, amtsim=("--drive-ms", "20"))
    fleet.environment = {**LEASES, "AMTUNLOCK_TEST_DRIVES_MS": "2000"}
    first, second = fleet.systems()
    worker = fleet.add_worker()
    job = fleet.submit([first])
    assert wait_until(lambda: reads(fleet, first) > 5, 20, 0.02), fleet.worker_tail()
    pid, = worker.drive_pids()
    os.kill(pid, signal.SIGSTOP)
    assert job.await_end(60) == {first: "amt-fault"}, fleet.worker_tail()
    assert fleet.heard(worker, "AMTU0575") and is_over(worker)
    assert fleet.submit([second]).await_end(60) == {second: "unlocked"}, fleet.worker_tail()
    assert worker.log.read_text().count("AMTU0575") == 1


def test_one_process_for_all_drives_of_a_worker(rig):
    """Of all its threads; it keeps none of the worker's files, and its socket is its user's."""
    fleet = rig(systems=6, method="image", boot_timeout=60, threads=2, amtsim=UNHURRIED)
    worker = fleet.add_worker()
    job = fleet.submit(fleet.systems())
    assert wait_until(lambda: all(reads(fleet, one) for one in fleet.systems()), 30, 0.02), fleet.worker_tail()
    pid, = worker.drive_pids()
    files = [] if os.geteuid() else [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not [one for one in files if "audit" in one or "worker.lock" in one], files
    assert os.geteuid() or sum("amtunlock-image" in one for one in files) == 1, files
    made = (worker.folder / "state" / "drives-1.socket").stat()
    assert made.st_mode & 0o777 == 0o600
    assert set(job.await_end(60).values()) == {"unlocked"}
    assert " error " not in worker.log.read_text()
