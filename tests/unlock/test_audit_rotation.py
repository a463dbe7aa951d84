# SPDX-License-Identifier: Apache-2.0
"""The record is rotated as conf/amtunlockd.logrotate says, while the worker runs and while it does not."""

import json
import os
import re
import signal
import subprocess

import pytest

from amtu_stack.places import REPOSITORY
from rig import wait_until

SAMPLE = (REPOSITORY / "conf" / "amtunlockd.logrotate").read_text()


def lock_of(worker):
    return worker.folder / "state" / "worker.lock"


def sample_script(worker):
    """What logrotate runs when it has moved the file, for the paths of this worker."""
    script = re.search(r"postrotate\n(.*?)\n\s*endscript", SAMPLE, re.DOTALL)[1]
    assert "cd /run/amtunlock " in script
    return script.replace("/run/amtunlock", str(lock_of(worker).parent))


def rotate(worker):
    """As logrotate does: the older ones one further, the file away, the script. The file that it made room for."""
    record = worker.folder / "audit.jsonl"
    for number in (2, 1):
        old = record.with_name(f"{record.name}.{number}")
        if old.exists():
            old.rename(record.with_name(f"{record.name}.{number + 1}"))
    moved = record.rename(record.with_name(f"{record.name}.1"))
    done = subprocess.run(["sh", "-ec", sample_script(worker)], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return moved


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def verify(fleet, path):
    done = subprocess.run([fleet.places.program("amtunlockd"), "audit", "verify", path], capture_output=True, text=True,
                          timeout=10, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def fleet(rig):
    return rig(systems=3)


def test_while_it_runs(fleet):
    worker = fleet.add_worker()
    record = worker.folder / "audit.jsonl"
    first, second, third = fleet.systems()
    fleet.submit([first]).await_end(20)
    moved = rotate(worker)
    assert wait_until(record.exists, 10), fleet.worker_tail()
    fleet.submit([second]).await_end(20)
    before, after = lines_of(moved), lines_of(record)
    assert after[0]["prev"] == before[-1]["hash"] and after[0]["n"] == before[-1]["n"] + 1
    assert [line["system"] for line in after if line["event"] == "intent"] == [second]
    assert {line.get("system") for line in before} == {first, None}, "what came later is in the new file alone"

    rotate(worker)
    assert wait_until(record.exists, 10)
    fleet.submit([third]).await_end(20)
    for path in worker.folder.glob("audit.jsonl*"):
        verify(fleet, path)


def test_removed_while_it_runs(fleet):
    """No PC is powered without a record. The new file says that the one before is gone."""
    worker = fleet.add_worker()
    first, second, _ = fleet.systems()
    fleet.submit([first]).await_end(20)
    record = worker.folder / "audit.jsonl"
    lost = len(lines_of(record))
    record.unlink()
    job = fleet.submit([second])
    assert wait_until(lambda: "was removed while the worker runs" in worker.log.read_text(), 10), fleet.worker_tail()
    assert not wait_until(lambda: fleet.power_requests(second), 3) and job.tasks()[second][0] in "QC"
    worker.process.signal(signal.SIGHUP)
    assert job.await_end(20) == {second: "unlocked"}
    after = lines_of(record)
    assert [line["records"] for line in after if line["event"] == "file-lost"] == [lost]
    assert after[0]["n"] == lost + 1
    verify(fleet, record)


def verify_with_seal(fleet, worker):
    """As an operator would: the settings say which Redis knows the seal."""
    return subprocess.run([fleet.places.program("amtunlockd"), "-c", worker.config, "audit", "verify",
                           worker.folder / "audit.jsonl"], capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.parametrize("loss", ["removed", "cut"])
def test_lost_while_no_worker_runs(fleet, loss):
    """A file that begins anew is well in itself. Redis knows better, and so does every later look at the file."""
    worker = fleet.add_worker()
    first, second, _ = fleet.systems()
    fleet.submit([first]).await_end(20)
    worker.process.stop(15)
    good = verify_with_seal(fleet, worker)
    assert good.returncode == 0 and "holds what is sealed in Redis" in good.stdout, good.stderr
    record = worker.folder / "audit.jsonl"
    if loss == "removed":
        record.unlink()
    else:
        os.truncate(record, record.read_text().index("\n") + 1)
        bad = verify_with_seal(fleet, worker)
        assert bad.returncode == 1 and "its tail was cut off" in bad.stderr
    fleet.start_worker(worker)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0624"), 10), fleet.worker_tail()
    assert fleet.submit([second]).await_end(20) == {second: "unlocked"}, "it is said, and nothing is stopped"
    assert [line["event"] for line in lines_of(record)].count("seal-broken") == 1
    bad = verify_with_seal(fleet, worker)
    assert bad.returncode == 1 and "does not hold what was sealed before" in bad.stderr


def test_while_no_worker_runs(fleet):
    worker = fleet.add_worker()
    first, second, _ = fleet.systems()
    fleet.submit([first]).await_end(20)
    worker.process.stop(15)
    assert lock_of(worker).read_text().strip() == str(worker.process.pid)
    moved = rotate(worker)
    fleet.start_worker(worker)
    fleet.submit([second]).await_end(20)
    before, after = lines_of(moved), lines_of(worker.folder / "audit.jsonl")
    assert after[0]["prev"] == before[-1]["hash"]
    verify(fleet, moved)
    verify(fleet, worker.folder / "audit.jsonl")


def test_nobody_else_is_signalled(fleet):
    """A worker that was killed leaves its number behind, which may be another's by now; a host that was started anew
    leaves nothing."""
    worker = fleet.add_worker()
    fleet.submit(fleet.systems()[:1]).await_end(20)
    worker.process.signal(signal.SIGKILL)
    assert wait_until(lambda: not worker.process.alive(), 10)
    with subprocess.Popen(["sleep", "60"]) as other:
        lock_of(worker).write_text(f"{other.pid}\n")
        rotate(worker)
        assert other.poll() is None
        other.kill()
    (worker.folder / "audit.jsonl").write_text("")
    lock_of(worker).unlink()
    rotate(worker)
