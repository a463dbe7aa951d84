# SPDX-License-Identifier: Apache-2.0
"""The key by which workers prove themselves to the unlock image: who makes it, who may read it, and what a reload does."""

import os
import re
import signal
import stat
import subprocess
import time

import pytest

from rig import Rig, wait_until

KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
KEY_ID = "98a4e94e8d06c7cf"


@pytest.fixture(name="rig", scope="module")
def _rig():
    one = Rig("proof-key", systems=2, method="image", boot_seconds="1-1", boot_timeout=30)
    one.up()
    yield one
    one.down()


@pytest.fixture(name="worker")
def _worker(rig):
    """One worker, not started, whose key file is not there."""
    worker = rig.workers[0] if rig.workers else rig.prepare_worker()
    file = key_file(worker)
    if os.path.lexists(file):
        file.unlink()
    if worker.log.exists():
        worker.log.unlink()
    yield worker
    for process in rig.processes:
        if process.name.startswith("worker"):
            process.stop()


def key_file(worker):
    return worker.places.run / "proof" / "proof.key"


def put_key(rig, worker, text=KEY, mode=0o600, role="amtunlock"):
    file = key_file(worker)
    if os.path.lexists(file):
        file.unlink()
    rig.places.write(file, text, role, mode)
    file.chmod(mode)
    return file


def check(rig, worker, config=None, words=("--offline",)):
    role = rig.places.roles["amtunlock"]
    who = {"user": role.uid, "group": role.gid, "extra_groups": []} if role.uid is not None else {}
    return subprocess.run([rig.places.program("amtunlockd"), "-c", config or worker.config, "check", *words],
                          capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin"}, **who)


def worker_id(worker):
    return re.search(r"AMTU0301 .* worker=(\S+)", worker.log.read_text())[1]


def said_id(worker):
    return re.findall(r"AMTU0350 .*\bkey=([0-9a-f]{16})", worker.log.read_text())


def test_the_first_start_makes_it(rig, worker):
    done = check(rig, worker)
    assert done.returncode == 0 and f"{key_file(worker)}: not there yet; the worker makes it at its start" in done.stdout
    assert not key_file(worker).exists()  # to check changes nothing
    process = rig.start_worker(worker)
    file = key_file(worker)
    info = file.lstat()
    assert stat.S_ISREG(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o600 and info.st_size == 65
    assert info.st_uid == (rig.places.roles["amtunlock"].uid or os.geteuid())
    assert list(file.parent.iterdir()) == [file]
    text = file.read_text()
    assert re.fullmatch(r"[0-9a-f]{64}\n", text)
    lines = worker.log.read_text()
    assert "AMTU0350" in lines and "is new" in lines
    process.stop()
    worker.log.unlink()
    rig.start_worker(worker)
    assert file.read_text() == text and "is new" not in worker.log.read_text()
    assert f"proof key {said_id(worker)[0]}" in check(rig, worker).stdout


def test_two_at_once_have_one(rig, worker):
    """Two hosts that share a folder, started together."""
    other = rig.workers[1] if len(rig.workers) > 1 else rig.prepare_worker()
    assert key_file(other) == key_file(worker)
    for one in (worker, other):
        rig.start_worker(one, ready=False)
    for one in (worker, other):
        assert wait_until(lambda one=one: rig.heard(one, "AMTU0301"), 10, 0.05), one.log.read_text()
        assert wait_until(lambda one=one: said_id(one), 10, 0.05)
    assert said_id(worker) == said_id(other)
    assert [file.name for file in key_file(worker).parent.iterdir()] == ["proof.key"]


WRONG = {
    "short": (KEY[:60] + "\n", 0o600, "is no proof key"),
    "long": (KEY + KEY, 0o600, "is no proof key"),
    "empty": ("\n", 0o600, "is no proof key"),
    "no hex": ("z" * 64 + "\n", 0o600, "is no proof key"),
    "readable by the group": (KEY, 0o640, "may be used by others than its owner"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_no_key(rig, worker, name):
    """The worker does not start by it, and does not replace it: it may be the only copy."""
    text, mode, sentence = WRONG[name]
    file = put_key(rig, worker, text, mode)
    done = check(rig, worker)
    assert done.returncode == 1 and f"proof-key {file} {sentence}" in done.stderr, done.stderr
    process = rig.start_worker(worker, ready=False)
    assert wait_until(lambda: not process.alive(), 10, 0.05)
    assert sentence in rig.places.log(worker.name).read_text()
    assert file.read_text() == text
    assert not text.startswith(KEY[:16]) or KEY[:16] not in rig.places.log(worker.name).read_text()


def test_a_file_of_somebody_else(rig, worker):
    if rig.places.roles["amtunlock"].uid is None:
        pytest.skip("only root can be somebody else")
    theirs = rig.places.write(rig.places.run / "theirs.key", KEY, None, 0o600)
    key_file(worker).symlink_to(theirs)
    done = check(rig, worker)
    assert done.returncode == 1 and f"proof-key {key_file(worker)} " in done.stderr, done.stderr
    key_file(worker).unlink()
    key_file(worker).symlink_to("nowhere")
    process = rig.start_worker(worker, ready=False)
    assert wait_until(lambda: not process.alive(), 10, 0.05)
    assert "leads to a file that is not there" in rig.places.log(worker.name).read_text()


def test_a_folder_that_is_not_there(rig, worker):
    text, folder = worker.config.read_text(), worker.folder
    config = rig.places.write(worker.folder / "other.conf", re.sub("proof-key = .*", f"proof-key = {folder}/nowhere/key", text),
                              "amtunlock", 0o600)
    done = check(rig, worker, config)
    assert done.returncode == 1 and f"{folder}/nowhere: proof-key: No such file or directory" in done.stderr, done.stderr


def reload_worker(worker, process, number):
    count = worker.log.read_text().count(number)
    process.signal(signal.SIGHUP)
    assert wait_until(lambda: worker.log.read_text().count(number) > count, 10, 0.05), worker.log.read_text()


def test_reloads(rig, worker):
    """The last good key stays in force, and one that is gone is not made anew."""
    for gone in rig.redis_call("KEYS", "{amtu}:worker:*"):  # those of the tests before are heard for 15 s yet
        rig.redis_call("DEL", gone)
    put_key(rig, worker)
    process = rig.start_worker(worker)
    put_key(rig, worker, "half\n")
    reload_worker(worker, process, "AMTU0315")
    key_file(worker).unlink()
    reload_worker(worker, process, "AMTU0315")
    assert not key_file(worker).exists() and "is not there any more" in worker.log.read_text()
    assert rig.submit(rig.systems()[:1]).await_end(60) == {rig.systems()[0]: "unlocked"}
    assert next(one for one in reversed(rig.audit(worker)) if one["event"] == "intent")["act"]["proof_key"] == KEY_ID
    put_key(rig, worker)
    reload_worker(worker, process, "AMTU0316")
    assert "AMTU0351" not in worker.log.read_text()
    # Others with another key unlock as well as ever, but the check of one names the host of the other.
    name = f"{{amtu}}:worker:{worker_id(worker)}"
    assert wait_until(lambda: f" proof-key={KEY_ID} " in str(rig.redis_call("GET", name)), 10, 0.05)
    assert "warning" not in check(rig, worker, words=()).stderr
    put_key(rig, worker, KEY.replace("00", "ff"))
    done = check(rig, worker, words=())
    assert done.returncode == 0, done.stderr
    assert f"{key_file(worker)}: warning: the worker on {os.uname().nodename} has another proof key" in done.stderr
    reload_worker(worker, process, "AMTU0316")
    assert re.search(rf"AMTU0351 .*former={KEY_ID}", worker.log.read_text())
    assert len(said_id(worker)) == 2
    key_file(worker).unlink()
    done = check(rig, worker, words=())
    assert done.returncode == 0 and "has a proof key: copy its file here before the first start" in done.stderr, done.stderr


def test_one_that_runs_beside_another_key_says_so(rig, worker):
    """It was started without a copy, and the other one is alive. Once it has run for the time of a lease."""
    for gone in rig.redis_call("KEYS", "{amtu}:worker:*"):
        rig.redis_call("DEL", gone)
    put_key(rig, worker)
    for name, key in (("same", KEY_ID), ("other", "f" * 16)):
        rig.redis_call("SET", "{amtu}:worker:" + name, f"host=host-{name} pid=1 proof-key={key} audit=", "PX", "600000")
        rig.redis_call("ZADD", "{amtu}:workers", f"{(time.time() + 600) * 1e6:.0f}", name)
    rig.start_worker(worker, {"AMTUNLOCK_TEST_LEASE_MS": "2000"})
    assert wait_until(lambda: "AMTU0626" in worker.log.read_text(), 30, 0.05), worker.log.read_text()
    assert re.search(rf"AMTU0626 .* host=host-other workers=1 key={KEY_ID} ", worker.log.read_text())
    for name in ("same", "other"):
        rig.redis_call("DEL", "{amtu}:worker:" + name)
        rig.redis_call("ZREM", "{amtu}:workers", name)
