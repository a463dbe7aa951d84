"""Where secrets must not be: Redis and its files, logs, environments, command lines, and the memory of every process but
the worker, at any time; the worker's memory 5 s after its last task.

Memory is read whole, as a debugger would: also what is kept out of cores. A canary that each place must have shows that
the search would find something.
"""

import csv
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from amtu_stack.places import build_folder  # noqa: E402

STACK = Path(__file__).resolve().parents[1] / "stack" / "stack"
SYSTEMS = 9  # three of each method; the last of each that sends a passphrase refuses it
# What is there to hold secrets.
KEPT_IN = ("fleet/fleet.csv", "fleet/admin", "secrets")
CHUNK = 1 << 16
NOTHING = bytes(CHUNK)


# ---- what is looked for, and where ----------------------------------------------------------------------------------

class Search:
    """Byte strings, and where they were found."""

    def __init__(self, wanted):
        self.wanted = wanted  # {name: bytes}
        self.longest = max(len(one) for one in wanted.values())

    def names_in(self, data):
        return {name for name, text in self.wanted.items() if text in data}

    def names_in_stream(self, read):
        """`read` gives the next piece, b'' at the end; what stands across two pieces is found, too."""
        found, rest = set(), b""
        while piece := read():
            data = rest + piece
            if piece != NOTHING:  # most memory is
                found |= self.names_in(data)
            rest = data[-self.longest:]
        return found

    def in_file(self, path):
        with open(path, "rb") as file:
            return self.names_in_stream(lambda: file.read(CHUNK))

    def in_memory(self, pid):
        found = set()
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for begin, end in mappings(pid):
                found |= self._in_mapping(memory, begin, end)
        return found

    def _in_mapping(self, memory, begin, end):
        memory.seek(begin)
        left = [end - begin]

        def read():
            try:
                piece = memory.read(min(CHUNK, left[0])) if left[0] else b""
            except OSError:  # it went away, or nobody can read it
                return b""
            left[0] -= len(piece)
            return piece

        return self.names_in_stream(read)

    def in_process(self, pid):
        """Memory, environment and command line; nothing of a process that ended meanwhile."""
        found = set()
        for look in (lambda: self.in_file(f"/proc/{pid}/environ"), lambda: self.in_file(f"/proc/{pid}/cmdline"),
                     lambda: self.in_memory(pid)):
            try:
                found |= look()
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found


def mappings(pid):
    """What a process could have written to."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        if "rw" in fields[1] and fields[-1] not in ("[vvar]", "[vsyscall]"):
            begin, end = fields[0].split("-")
            yield int(begin, 16), int(end, 16)


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# ---- a stack, and a job over it --------------------------------------------------------------------------------------

class Scene:
    def __init__(self, directory):
        self.directory = directory
        self.call("up", "--systems", SYSTEMS, "--method", "mix", "--boot-seconds", "5-6")
        self.known = dict(line.split("=", 1) for line in self.call("env").replace("'", "").splitlines())
        self.run = (directory / "run").resolve()
        self.systems = [line.split(",")[0] for line in Path(self.known["SYSTEMS"]).read_text().splitlines()]
        self.canary = f"canary-{secrets.token_hex(8)}.fleet.test"
        methods = {row["fqdn"]: row["method"] for row in self.rows()}
        self.refusing = [max(name for name, method in methods.items() if method == one) for one in ("sol", "image")]
        for name in self.refusing:
            self.tell(do="fault", system=name, fault="wrong-passphrase")

    def rows(self):
        with open(self.run / "fleet" / "fleet.csv", newline="") as file:
            return list(csv.DictReader(file))

    def tell(self, **request):
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(self.known["AMTSIM_CONTROL"])
            channel.sendall(json.dumps(request).encode() + b"\n")
            assert json.loads(channel.makefile().readline())["ok"], request

    def call(self, *words):
        done = subprocess.run([STACK, words[0], "--dir", self.directory, *map(str, words[1:])], text=True, timeout=120,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def down(self):
        self.call("down")

    def secrets(self):
        """{what it is: its bytes}"""
        words = {}
        for path in self.run.glob("worker-*/secrets"):
            for line in path.read_text().splitlines():
                kind, system, *rest = line.split(" ")
                words[f"{kind} {system}"] = rest[-1].encode()
        words["administrator"] = self.known["AMTSIM_PASSWORD"].encode()
        assert len(words) > SYSTEMS and all(len(word) >= 8 for word in words.values())
        return words

    def pids(self, name):
        return [int(pid) for pid in self.known[name].split()]

    def strangers(self):
        """Processes that never see a secret: {name: pids}"""
        httpd, = self.pids("HTTPD_PID")
        workers = self.pids("WORKER_PIDS")
        return {"httpd": [httpd, *(pid for pid in children(httpd) if pid not in workers)],
                "redis": self.pids("REDIS_PID")}

    def files(self):
        """Everything that was written, but for what holds secrets."""
        for folder in (self.directory, self.run):
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink() and not str(path).endswith(KEPT_IN):
                    yield path

    def start_job(self):
        console = {name: value for name, value in self.known.items() if name.startswith(("AMTU_", "KRB5"))}
        environment = {**os.environ, **console}
        return subprocess.Popen([build_folder() / "amtunlock", "unlock", "--wait", "--json", self.canary, *self.systems],
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def save_redis(self):
        """A dump, beside the record of all changes."""
        subprocess.run(["redis-cli", "-s", self.known["REDIS_SOCKET"], "--user", "default", "SAVE"], check=False,
                       capture_output=True)


@pytest.fixture(name="job", scope="module")
def _job(request):
    """A job over all methods, and what was found while it ran and after."""
    scene = Scene(build_folder() / "unlock-tests" / "secrets")
    request.addfinalizer(scene.down)
    look = Search({**scene.secrets(), "canary": scene.canary.encode()})
    command = scene.start_job()
    scene.found = {name: set() for name in ("command", "httpd", "redis")}
    scene.looks = 0
    while command.poll() is None:
        scene.found["command"] |= look.in_process(command.pid)
        for name, pids in scene.strangers().items():
            for pid in pids:
                scene.found[name] |= look.in_process(pid)
        scene.looks += 1
    scene.result = json.loads(command.communicate()[0])
    scene.ended = time.monotonic()
    scene.look = look
    return scene


def test_the_job_used_the_secrets(job):
    assert sorted(job.result["unlocked"]) == sorted(set(job.systems) - set(job.refusing))
    assert {one["system"]: one["reason"] for one in job.result["failed"]} == \
        {job.canary: "not-available", **{name: "wrong-passphrase" for name in job.refusing}}
    assert job.looks >= 2, "while it ran"


@pytest.mark.parametrize("place", ["command", "httpd", "redis"])
def test_no_secret_in_a_process_that_needs_none(job, place):
    assert "canary" in job.found[place], "the search does not find what is there"
    assert job.found[place] == {"canary"}


def test_no_secret_in_any_file(job):
    job.save_redis()
    found = {path: names for path in job.files() if (names := job.look.in_file(path))}
    assert any("redis" in str(path) for path in found), "Redis has the names that were asked for"
    assert all(names == {"canary"} for names in found.values()), found
    kinds = {path.suffix for path in job.files()}
    assert {".rdb", ".aof", ".log", ".jsonl"} <= kinds, kinds


def test_no_secret_stays_in_the_worker(job):
    time.sleep(max(0.0, job.ended + 5 - time.monotonic()))  # what is promised is a time
    pid = job.pids("WORKER_PIDS")[0]
    if os.geteuid() != 0 and not os.access(f"/proc/{pid}/mem", os.R_OK):
        pytest.skip("the worker's memory is closed to its own user, which is as it should be; to look, run as root")
    names = {name: name.encode() for name in job.systems}
    assert Search(names).in_process(pid), "the search does not find what is there"
    assert Search(job.secrets()).in_process(pid) == set()


def test_a_piece_border_hides_nothing():
    pieces = iter([b"x" * 100 + b"secr", b"et" + b"x" * 100, b""])
    assert Search({"it": b"secret"}).names_in_stream(lambda: next(pieces)) == {"it"}
