# SPDX-License-Identifier: Apache-2.0
"""Where secrets must not be: Redis and its files, logs, environments, command lines, and the memory of every process but
the worker, at any time; the worker's memory 5 s after its last task.

Canaries, planted in each place before anything is looked for, show that the search would find something.
"""

import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from amtu_stack.process import pids_with_argument
from rig import wait_until
from scene import Scene
from search import Search, children, is_open_to_us

SYSTEMS = 9  # three of each method; the last of each that sends a passphrase refuses it
AFTER = 5.0  # seconds after its last task, in which the worker has to forget
# What is there to hold secrets.
KEPT_IN = ("fleet/fleet.csv", "fleet/admin", "/secrets")


def may_read_processes():
    """An ordinary user runs all of it as itself; root of a container may be kept from other users' memory."""
    capabilities = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return os.geteuid() != 0 or bool(int(capabilities[1], 16) >> 19 & 1)


pytestmark = pytest.mark.skipif(not may_read_processes(), reason="root without CAP_SYS_PTRACE: it may not look into "
                                                                "the processes of others")


def secrets_in(file):
    """{what it is: its bytes} of a secrets file."""
    words = {}
    for line in file.read_text().splitlines():
        kind, system, *rest = line.split(" ")
        words[f"{kind} {system}"] = rest[-1].encode()
    assert words and all(len(word) >= 8 for word in words.values())
    return words


# ---- a stack, and a job over it --------------------------------------------------------------------------------------

class Leaks(Scene):
    """A job over all methods, and what was found while it ran and after."""

    def __init__(self):
        super().__init__("secrets", "--systems", SYSTEMS, "--method", "mix", "--boot-seconds", "5-6")
        self.canary = f"canary-{secrets.token_hex(8)}.fleet.test"
        self.refusing = [max(name for name, method in self.methods().items() if method == one)
                         for one in ("sol", "image")]
        for name in self.refusing:
            self.tell(do="fault", system=name, fault="wrong-passphrase")
        self.found = {name: set() for name in ("command", "httpd", "redis")}
        self.looks = 0

    def secrets(self):
        words = secrets_in(self.run / "worker-1" / "secrets")
        words["administrator"] = self.known["AMTSIM_PASSWORD"].encode()
        assert len(words) > SYSTEMS
        return words

    def strangers(self):
        """Processes that never see a secret: {name: pids}"""
        httpd, = self.pids("HTTPD_PID")
        workers = self.pids("WORKER_PIDS")
        return {"httpd": [httpd, *(pid for pid in children(httpd) if pid not in workers)],
                "redis": self.pids("REDIS_PID")}

    def watch(self):
        """One job, and a look at everybody again and again while it runs."""
        look = Search({**self.secrets(), "canary": self.canary.encode()})
        with self.start_job(self.canary) as command:
            while command.poll() is None:
                self.found["command"] |= look.in_process(command.pid)
                for name, pids in self.strangers().items():
                    for pid in pids:
                        self.found[name] |= look.in_process(pid)
                self.looks += 1
            self.ended = time.monotonic()
            self.result = json.loads(command.stdout.read())

    def save_redis(self):
        """A dump that shows what is in it, beside the record of all changes."""
        for words in (("CONFIG", "SET", "rdbcompression", "no"), ("SAVE",)):
            done = subprocess.run(["redis-cli", "-s", self.known["REDIS_SOCKET"], *words], capture_output=True,
                                  text=True, timeout=20, check=True)
            assert done.stdout.strip() == "OK", done.stdout

    def files(self):
        """Everything that was written, but for what holds secrets."""
        for folder in (self.directory, self.run):
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink() and not str(path).endswith(KEPT_IN):
                    yield path


@pytest.fixture(name="job", scope="module")
def _job(request):
    leaks = Leaks()
    request.addfinalizer(leaks.down)
    if not is_open_to_us(leaks.pids("HTTPD_PID")[0]):
        pytest.skip("this system lets nobody but root look into a process; to look, run as root")
    leaks.watch()
    return leaks


def test_the_job_used_the_secrets(job):
    assert sorted(job.result["unlocked"]) == sorted(set(job.systems) - set(job.refusing))
    assert {one["system"]: one["reason"] for one in job.result["failed"]} == \
        {job.canary: "not-available", **{name: "wrong-passphrase" for name in job.refusing}}
    assert job.looks >= 2, "while it ran"


@pytest.mark.parametrize("process, shown_in", [("command", {"arguments", "memory"}), ("httpd", {"memory"}),
                                               ("redis", {"memory"})])
def test_no_secret_in_a_process_that_needs_none(job, process, shown_in):
    assert {where for where, name in job.found[process] if name == "canary"} == shown_in, "or the search is blind"
    assert {name for _, name in job.found[process]} == {"canary"}


def test_no_secret_in_any_file(job):
    job.save_redis()
    canary = Search({"canary": job.canary.encode()})
    shown = {path.suffix for path in job.files() if canary.in_file(path)}
    assert {".rdb", ".aof"} <= shown, "Redis has the names that were asked for, or the search is blind"
    names = Search({name: name.encode() for name in job.systems})
    read = {path.name for path in job.files() if names.in_file(path)}
    assert {"worker.log", "audit.jsonl", "amtsim.jsonl"} <= read, "logs have the systems' names"
    look = Search.of_all_spellings(job.secrets())
    assert not {path: found for path in job.files() if (found := look.in_file(path))}


def test_no_secret_stays_in_the_worker(job):
    time.sleep(max(0.0, job.ended + AFTER - time.monotonic()))  # what is promised is a time
    check_worker(job.pids("WORKER_PIDS")[0], job.systems, job.secrets())


def test_no_secret_stays_in_the_drive_process(job):
    time.sleep(max(0.0, job.ended + AFTER - time.monotonic()))
    check_drive_process(job.run / "worker-1" / "state", job.secrets())


def check_drive_process(folder, words):
    """It has logins until its drives are open, and is there for as long as the worker."""
    pid, = pids_with_argument("amtunlockd", str(folder))
    if not is_open_to_us(pid):
        pytest.skip("its memory is closed to its own user, which is as it should be; to look, run as root")
    found = Search({**words, "folder": str(folder).encode()}).in_process(pid)
    assert ("memory", "folder") in found, "or the search is blind"
    assert {name for _, name in found} == {"folder"}
    assert Path(f"/proc/{pid}/mem").stat().st_uid == 0, "not dumpable"


def check_worker(pid, systems, words):
    if not is_open_to_us(pid):
        pytest.skip("the worker's memory is closed to its own user, which is as it should be; to look, run as root")
    found = Search({**words, **{name: name.encode() for name in systems}}).in_process(pid)
    assert ("memory", systems[0]) in found, "or the search is blind"
    assert {name for _, name in found} <= set(systems)


def test_the_worker_leaves_no_core(job):
    pid = job.pids("WORKER_PIDS")[0]
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]
    # Not dumpable: the kernel gives what belongs to such a process to root, whoever it runs as.
    assert Path(f"/proc/{pid}/mem").stat().st_uid == 0


# ---- a helper that knows the secrets ---------------------------------------------------------------------------------

HELPER = """#!/bin/sh
while IFS='=' read -r key value && [ -n "$key" ]; do
    case $key in need) need=$value ;; fqdn) fqdn=$value ;; esac
done
while read -r kind system first second; do
    [ "$kind $system" = "$need $fqdn" ] || continue
    case $kind in
    amt) printf 'username=%s\\npassword=%s\\n' "$first" "$second" ;;
    disk) printf 'passphrase=%s\\n' "$first" ;;
    esac
done <@SECRETS@
"""


def test_secrets_of_a_helper(rig):
    """exec: instead of file:, the same promises."""
    fleet = rig(systems=4, method="mix")
    worker = fleet.add_worker()
    words = secrets_in(worker.folder / "secrets")
    known = worker.folder / "known-to-the-helper"
    shutil.move(worker.folder / "secrets", known)
    role = fleet.places.roles["amtunlock"]
    helper = fleet.places.write(worker.folder / "helper", HELPER.replace("@SECRETS@", str(known)), role="amtunlock",
                                mode=0o700)
    role.own(known)
    text = worker.config.read_text()
    worker.config.write_text(text.replace(f"secrets = file:{worker.folder}/secrets", f"secrets = exec:{helper}"))
    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0316"), 10), fleet.worker_tail()
    systems = fleet.systems()
    assert set(fleet.submit(systems).await_end(40).values()) == {"unlocked"}, fleet.worker_tail()
    time.sleep(AFTER)  # what is promised is a time
    look = Search.of_all_spellings(words)
    for path in (worker.log, worker.folder / "audit.jsonl", fleet.places.log(worker.name)):
        assert not look.in_file(path)
    check_worker(worker.process.pid, systems, words)
    check_drive_process(worker.folder / "state", words)


# ---- the search itself -----------------------------------------------------------------------------------------------

def test_a_piece_border_hides_nothing():
    pieces = iter([b"x" * 100 + b"secr", b"et" + b"x" * 100, b""])
    assert Search({"it": b"secret"}).names_in_stream(lambda: next(pieces)) == {"it"}


def test_a_process_is_looked_at_whole():
    """In its environment, its arguments, and its memory."""
    word = secrets.token_hex(16)
    with subprocess.Popen(["/bin/sh", "-c", 'read -r line; echo; read -r line', word],
                          env={**os.environ, "WORD": word[::-1]}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as child:
        child.stdin.write(word.swapcase() + "in-memory\n")
        child.stdin.flush()
        child.stdout.readline()
        found = Search({"argument": word.encode(), "variable": word[::-1].encode(),
                        "read": f"{word.swapcase()}in-memory".encode()}).in_process(child.pid)
        child.stdin.write("\n")
    assert {("arguments", "argument"), ("environment", "variable"), ("memory", "read")} <= found


@pytest.mark.parametrize("before", [b"", b"u:", b"user:", b"a user:"])
def test_a_spelling_is_found(before):
    secret = b"aB3-dE5-fG7-hJ9"
    text = b"Authorization: Basic " + base64.b64encode(before + secret + b"\n")
    assert Search.of_all_spellings({"it": secret}).names_in(text)
