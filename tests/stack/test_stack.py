# SPDX-License-Identifier: Apache-2.0
"""The stack itself: it stops what it started and nothing else, and says which part failed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from amtu_stack.places import PROGRAMS, build_folder  # noqa: E402
from amtu_stack.process import Process, start_time, wait_until  # noqa: E402

STACK = Path(__file__).resolve().parent / "stack"


def call(*words, build=None):
    """Runs the command; (exit status, standard output, standard error)."""
    environment = {**os.environ, **({"AMTU_BUILD": str(build)} if build else {})}
    done = subprocess.run([STACK, *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env=environment, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def variables(directory):
    status, text, said = call("env", "--dir", directory)
    assert status == 0, said
    return dict(line.split("=", 1) for line in text.replace("'", "").splitlines())


@pytest.fixture
def directory():
    path = build_folder() / "stack-tests" / f"itself-{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    yield path
    call("down", "--dir", path)


def test_up_env_down(directory):
    status, _, said = call("up", "--dir", directory, "--systems", 4, "--boot-seconds", "1-1", "--workers", 2)
    assert status == 0, said
    known = variables(directory)
    pids = [int(pid) for name in ("HTTPD_PID", "WORKER_PIDS", "REDIS_PID", "AMTSIM_PID") for pid in known[name].split()]
    assert len(pids) == 5, "httpd, two workers, Redis, amtsim"
    assert all(start_time(pid) for pid in pids)
    assert len(Path(known["SYSTEMS"]).read_text().splitlines()) == 4
    for name in ("AMTU_CA", "KRB5_CONFIG", "REDIS_SOCKET", "AMTSIM_LOG", "AMTSIM_CONTROL"):
        assert Path(known[name]).exists(), name
    for name in ("KRB5CCNAME", "CONSOLE2_KRB5CCNAME"):
        assert Path(known[name].removeprefix("FILE:")).exists(), name
    run = (directory / "run").resolve()

    again, _, said = call("up", "--dir", directory)
    assert again == 1 and "already up" in said, "a second stack in the same folder is refused"
    assert all(start_time(pid) for pid in pids), "and does the first one no harm"

    assert call("down", "--dir", directory)[0] == 0
    assert not [pid for pid in pids if start_time(pid)]
    assert not run.exists()
    assert call("down", "--dir", directory)[0] == 0, "down again is harmless"
    assert call("env", "--dir", directory)[0] == 1


def test_every_port_of_every_pc_has_a_ticket(directory):
    """With Kerberos at AMT: for the names that amtsim gave its PCs, and the keys that it was given open it."""
    status, _, said = call("up", "--dir", directory, "--systems", 3, "--amt-auth", "kerberos")
    assert status == 0, said
    known = variables(directory)
    names = [line.split(",")[0] for line in Path(known["SYSTEMS"]).read_text().splitlines()]
    assert len(names) == 3
    services = [f"HTTP/{name}:{port}" for name in names for port in (16992, 16993, 16994, 16995)]
    keytab = directory / "run" / "krb5" / "fleet.keytab"
    done = subprocess.run(["/usr/bin/kvno", "-k", keytab, *services], env={**os.environ, **known}, check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("keytab entry valid") == len(services)


def test_env_reads_pids_afresh(directory):
    assert call("up", "--dir", directory, "--systems", 2)[0] == 0
    before = variables(directory)["WORKER_PIDS"]
    Process.of("worker", int(before)).signal(signal.SIGKILL)
    assert wait_until(lambda: variables(directory)["WORKER_PIDS"] not in ("", before), 20, 0.2)


@pytest.mark.parametrize("broken, part", [("amtsim", "amtsim"), ("amtunlockd", "worker-1")])
def test_part_that_does_not_start_is_named(directory, tmp_path, broken, part):
    """And everything that was started before it is stopped."""
    for name in PROGRAMS:
        shutil.copy(build_folder() / name, tmp_path / name)
    shutil.copy("/bin/false", tmp_path / broken)
    status, _, said = call("up", "--dir", directory, "--systems", 2, build=tmp_path)
    assert status == 1
    assert part in said
    assert not (directory / "state.json").exists()
    assert call("down", "--dir", directory)[0] == 0


def test_interrupted_up_stops_what_it_started(directory):
    child = subprocess.Popen([STACK, "up", "--dir", directory, "--systems", "4"], stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: (directory / "state.json").exists(), 20, 0.005)
    child.send_signal(signal.SIGTERM)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 1 and "SIGTERM" in said
    assert not (directory / "state.json").exists()


def test_pid_of_another_process_is_left_alone():
    """A pid that was given to somebody else since is not signalled."""
    with subprocess.Popen(["/bin/sleep", "60"], stdin=subprocess.DEVNULL) as other:
        impostor = Process("httpd", other.pid, start_time(other.pid) - 1)
        assert not impostor.alive()
        assert impostor.stop(grace=0.1)
        assert other.poll() is None
        other.kill()


def test_usage():
    for words in ([], ["sideways"], ["up", "--systems", "0"], ["up", "--mpm", "winnt"],
                  ["up", "--boot-seconds", "8-3"]):
        assert call(*words)[0] == 2
