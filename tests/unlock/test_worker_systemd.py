# SPDX-License-Identifier: Apache-2.0
"""amtunlockd under systemd: what it tells the service manager, and the unit file that is shipped."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from amtu_stack.places import REPOSITORY

from rig import wait_until

UNIT = REPOSITORY / "conf" / "amtunlockd.service"
EXPOSURE = 15  # tenths, of systemd-analyze security: 0 is a service that may do nothing


class Manager:
    """Listens where NOTIFY_SOCKET points."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        os.chmod(path, 0o777)
        self.socket.setblocking(False)
        self.words = []

    def environment(self, watchdog=None):
        """A worker's, with leases that are renewed more often than the watchdog looks."""
        more = {"WATCHDOG_USEC": str(int(watchdog * 1e6)), "AMTUNLOCK_TEST_LEASE_MS": "3000"} if watchdog else {}
        return {"NOTIFY_SOCKET": str(self.path), **more}

    def listen(self):
        """Everything so far: (when it was read, the datagram's lines)."""
        while True:
            try:
                self.words.append((time.monotonic(), self.socket.recv(4096).decode().split("\n")))
            except BlockingIOError:
                return self.words

    def heard(self, word, since=0):
        return [at for at, lines in self.listen() if at >= since and any(line.startswith(word) for line in lines)]


@pytest.fixture
def manager():
    """At a path that is short enough for a socket, and open to the worker's user."""
    folder = os.path.join("/tmp", f"amtu-notify-{os.getpid()}")
    os.mkdir(folder, 0o755)
    one = Manager(os.path.join(folder, "socket"))
    yield one
    one.socket.close()
    shutil.rmtree(folder)


def test_ready_reload_and_stop(rig, manager):
    fleet = rig(systems=2)
    worker = fleet.add_worker(manager.environment())
    assert wait_until(lambda: manager.heard("READY=1"), 5)
    status = [line for _, lines in manager.listen() for line in lines if line.startswith("STATUS=")]
    assert status == ["STATUS=2 systems, 2000 unlocks at a time"]
    assert not manager.heard("WATCHDOG"), "nobody asked for it"

    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: len(manager.heard("READY=1")) == 2, 5)
    words = [lines[0] for _, lines in manager.listen()]
    assert words == ["EXTEND_TIMEOUT_USEC=600000000", "READY=1", "RELOADING=1", "READY=1"], "a record may be long"
    assert manager.heard("MONOTONIC_USEC=")

    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 10)
    assert [lines[0] for _, lines in manager.listen()][4:] == ["STOPPING=1"]


def test_a_reload_that_is_refused_ends_too(rig, manager):
    fleet = rig(systems=1)
    worker = fleet.add_worker(manager.environment())
    worker.config.write_text(worker.config.read_text() + "\nnonsense\n")
    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0315"), 5)
    assert wait_until(lambda: len(manager.heard("READY=1")) == 2, 5)


def silence(manager):
    """Seconds since the worker last told the watchdog that it lives."""
    return time.monotonic() - manager.heard("WATCHDOG=1")[-1]


def test_the_watchdog_hears_of_threads_not_of_the_process(rig, manager):
    """A round of the intake waits longer for a frozen Redis than this watchdog has patience: the intake is stuck, the
    process is not. It is told every 1.5 s, or not at all."""
    fleet = rig(systems=1)
    worker = fleet.add_worker(manager.environment(watchdog=6))
    assert wait_until(lambda: manager.heard("WATCHDOG=1"), 5)
    assert not wait_until(lambda: silence(manager) > 2.5, 5), "all goes well"
    assert not fleet.heard(worker, "AMTU0308")
    fleet.redis_process.signal(signal.SIGSTOP)
    try:
        assert wait_until(lambda: silence(manager) > 2.5, 20)
        assert fleet.heard(worker, "AMTU0308")
    finally:
        fleet.redis_process.signal(signal.SIGCONT)
    assert wait_until(lambda: silence(manager) < 1 and fleet.heard(worker, "AMTU0309"), 15)
    assert worker.process.alive()


def test_the_watchdog_is_told_while_it_drains(rig, manager):
    fleet = rig(systems=1, method="image", boot_seconds="6-6", boot_timeout=60)
    worker = fleet.add_worker(manager.environment(watchdog=6))
    job = fleet.submit(fleet.systems())
    job.await_states("PB", 10)
    worker.process.signal(signal.SIGTERM)
    manager.listen()
    stopping = time.monotonic()
    assert wait_until(lambda: len(manager.heard("WATCHDOG=1", since=stopping)) >= 2, 6)
    assert wait_until(lambda: not worker.process.alive(), 15)
    assert {task[0] for task in job.tasks().values()} <= set("LU"), "its firmware was given the time to read the image"


# ---- the unit file -----------------------------------------------------------------------------------------


def analyze(*words):
    """systemd-analyze, which looks at files only."""
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not installed (Debian's package systemd)")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False,
                          env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""})
    return done.returncode, done.stdout + done.stderr


def test_the_unit_is_well_formed(tmp_path):
    """With the program where it is installed replaced by one that is there."""
    text = UNIT.read_text()
    assert text.count("/usr/sbin/amtunlockd ") == 1
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/usr/sbin/amtunlockd ", "/bin/true "))
    status, said = analyze("verify", "--recursive-errors=no", "--man=no", unit)
    assert status == 0 and "amtunlockd.service" not in said, said


def test_the_unit_is_hardened():
    status, said = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", UNIT)
    assert status == 0, said


def test_a_unit_with_less_would_be_noticed(tmp_path):
    less = tmp_path / UNIT.name
    less.write_text(UNIT.read_text().replace("NoNewPrivileges=yes\n", "").replace("SystemCallFilter", "#"))
    status, said = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", less)
    assert status != 0, said


def test_the_unit_waits_for_ready_and_watches():
    lines = UNIT.read_text().splitlines()
    assert {"Type=notify", "NotifyAccess=main", "WatchdogSec=60", "NoNewPrivileges=yes", "ProtectSystem=strict",
            "CapabilityBoundingSet="} <= set(lines)
