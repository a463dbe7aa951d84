# SPDX-License-Identifier: Apache-2.0
"""A redis-server of a test's own (the shipped configuration and users, a unix socket, a folder of its own), the
library as the programs carry it, and two ways to talk to it: a socket, and redis-cli."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
JOBS = TOP / "mod_amtunlock" / "jobs"
USERS = TOP / "conf" / "redis-users.acl"
WEB, WORKER, TESTER = "amtunlock-web", "amtunlockd", "tester"
SCHEMA = "7"


class RedisError(Exception):
    """Redis answered with an error."""


def library():
    """The library's text: the parts that library.S joins, in its order."""
    parts = re.findall(r'^\s*\.incbin "([\w.]+)"', (JOBS / "library.S").read_text(), re.M)
    return "".join((JOBS / "lua" / part).read_text() for part in parts)


class Wire:
    """One connection that speaks RESP2. Answers are str, int, list or None."""

    def __init__(self, path, user):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb")
        if user:
            self("AUTH", user, user)

    def __call__(self, *words):
        words = [str(word).encode() for word in words]
        head = [b"*%d\r\n" % len(words)]
        self.socket.sendall(b"".join(head + [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]))
        return self.answer()

    def answer(self):
        line = self.reader.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            return self.reader.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            # all elements are read, also after an error among them
            return None if rest == b"-1" else [self.answer() for _ in range(int(rest))]
        raise RedisError(f"no RESP: {line!r}")

    def close(self):
        self.reader.close()
        self.socket.close()


class RedisServer:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="amtunlock-lua-"))
        self.socket = str(self.folder / "redis.sock")
        self.process = None
        self.wires = {}
        self._write_configuration()
        self._write_users()
        self.start()

    def _write_configuration(self):
        own = ("dir ", "aclfile ", "unixsocket ")
        shipped = (TOP / "conf" / "redis.conf").read_text().splitlines()
        lines = [line for line in shipped if not line.startswith(own)]
        lines += [f"dir {self.folder}", f"aclfile {self.folder}/users.acl", f"unixsocket {self.socket}"]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")

    def _write_users(self):
        """The shipped users, each with its name as password, and one that may do everything."""
        users = re.sub(r"^user (amtunlock\S+) on.*$", r"\g<0> >\1", USERS.read_text(), flags=re.M)
        (self.folder / "users.acl").write_text(f"{users}user {TESTER} on >{TESTER} ~* &* +@all\n")

    def start(self):
        log = open(self.folder / "redis.log", "ab")
        self.process = subprocess.Popen(["redis-server", str(self.folder / "redis.conf")], stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                wire = self.wire(TESTER)
                wire("PING")  # fails while Redis reads its data
                wire.close()
                return
            except (OSError, RedisError):
                time.sleep(0.005)
        raise RuntimeError((self.folder / "redis.log").read_text())

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        for wire in self.wires.values():
            wire.close()
        self.wires = {}

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder)

    def wire(self, user):
        return Wire(self.socket, user)

    def ask(self, user, *words):
        """Over a connection for each user, which stays."""
        if user not in self.wires:
            self.wires[user] = self.wire(user)
        return self.wires[user](*words)

    def cli(self, user, *words, stdin=None):
        """Through redis-cli, which prints JSON."""
        command = ["redis-cli", "-s", self.socket, "--user", user, "--json"]
        command += (["-x"] if stdin is not None else []) + [str(word) for word in words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20, check=False,
                              env={**os.environ, "REDISCLI_AUTH": user})
        text = done.stdout.strip()
        if text.startswith("error:"):
            raise RedisError(json.loads(text[len("error:"):]))
        try:
            return json.loads(text)
        except json.JSONDecodeError:  # some errors are printed as they come
            raise RedisError(text or done.stderr.strip()) from None

    def load(self, text=None):
        return self.ask(WORKER, "FUNCTION", "LOAD", "REPLACE", library() if text is None else text)


WEB_VERBS = ("submit submit_part read read_page results errors list cancel forget context_open context_part context_pull context_release "
             "overview scopes").split()
WORKER_VERBS = ("denied claim renew intend mark ramp progress finish release reap reassert attest publish_chunk "
                "publish_switch").split()


def key_of(verb):
    """What the function of a verb is called with; an older library does not look at it."""
    return f"{{amtu}}:verb:{verb}"


LOOK, PAGE = 64, 250  # names that come with a first look, at most; names of a page
A_CALL = 500  # VALUES_A_CALL of the library
EVER = 10**17  # a not_after that never comes
SECOND = 10**6
LEASE, GRACE = 30 * SECOND, 15 * SECOND

INVENTORY = {
    "pc1.example": ("floor1", ["10.0.0.1"]),
    "pc2.example": ("floor1", []),
    "pc3.example": ("floor2", []),
    "vault.example": ("safe", ["10.0.0.9"]),
}


def now(ask):
    """Microseconds by Redis' clock."""
    seconds, micro = ask("TIME")
    return int(seconds) * SECOND + int(micro)


class Verbs:
    """The verbs with the arguments that a test does not care about filled in. `ask(user, *words)` sends them."""

    def __init__(self, ask, schema=SCHEMA):
        self.ask, self.schema = ask, schema

    def __call__(self, verb, *words):
        user = WEB if verb in WEB_VERBS else WORKER
        return self.ask(user, "FCALL", f"amtunlock_{verb}", 1, key_of(verb), self.schema, *words)

    def publish(self, systems, digest="digest-1", written=1000, generation=None):
        """systems: {system: (group, [other names])}"""
        generation = generation or f"g-{digest}"
        words, names = [], 0
        for system, (group, others) in systems.items():
            words += [system, group, "wake", len(others) + 1, system, *others]
            names += len(others) + 1
        self("publish_chunk", generation, *words)
        return self("publish_switch", "w0", generation, digest, written, len(systems), len(systems) + names,
                    *self.edition())

    def edition(self, host="host-0"):
        """What a library before schema 5 did not have."""
        return (LEASE, host) if self.schema == SCHEMA else ()

    def ask_inventory(self, worker, digest, written, generation=""):
        """Whether that worker may publish a digest."""
        return self("publish_switch", worker, generation, digest, written, 4, 8, LEASE, f"host-{worker}")

    def submit(self, job, *names, caller="alice", groups=("*",), message="", not_after=EVER, retention=1800 * SECOND,
               start_within=3600 * SECOND, max_jobs=0, max_systems=0, max_kept=0, max_names=0, a_call=A_CALL):
        head = [job, caller, f"sha-{caller}", "192.0.2.1", "krb5", message, not_after, retention, start_within]
        if self.schema != SCHEMA:
            return self("submit", *head, max_jobs, max_systems, len(groups), *groups,
                        *(word for name in names for word in (name, name.lower())))
        head += [f"{max_jobs}/{max_kept}", f"{max_systems}/{max_names}"]
        for first in range(0, max(len(names), 1), a_call):
            verb = "submit" if first + a_call >= len(names) else "submit_part"
            answer = ["again"]
            while answer[0] == "again":
                answer = self(verb, *head, f"{first}/{len(names)}", len(groups), *groups,
                              *self.spelled(names[first:first + a_call]))
            if answer != ["ok"]:
                break
        return answer

    @staticmethod
    def spelled(names):
        return [word for name in names for word in (name, "" if name == name.lower() else name.lower())]

    def read(self, job="", caller="alice", reads_all=0):
        answer = self("read", f"sha-{caller}", reads_all, job)
        if answer[0] != "ok":
            return answer[0]
        fields = ("id state caller submitted started changed completed now retention total unlocked failed running "
                  "waiting cancelled").split()
        texts = ("id", "caller")
        return {name: value if name in texts else int(value) for name, value in zip(fields, answer[1:])}

    def window(self, verb, job="", first=0, count=-1, caller="alice", reads_all=0, known="", as_of=0):
        """One call of `results` or `errors`: a first look, or a page of what was found AS_OF to be KNOWN."""
        most = PAGE if as_of else LOOK
        return self(verb, f"sha-{caller}", reads_all, job, first, count, most, known, as_of)

    def whole_window(self, verb, job, first, count, caller):
        """The lists, put together from pages where the first look does not have them."""
        if self.schema != SCHEMA:
            word, *lists = self(verb, f"sha-{caller}", 0, job, first, count)
            assert word == "ok"
            return lists if verb == "results" else [lists]
        word, job, version, names, as_of, *lists = self.window(verb, job, first, count, caller)
        assert word == "ok"
        for at in range(first, first + int(names), PAGE) if int(names) > LOOK else ():
            page = self.window(verb, job, at, min(PAGE, first + int(names) - at), caller, 0, version, as_of)
            assert page[0] == "ok"
            lists = [whole + part for whole, part in zip(lists, page[5:])]
        return lists

    def results(self, job="", first=0, count=-1, caller="alice"):
        return tuple(self.whole_window("results", job, first, count, caller))

    def errors(self, job="", first=0, count=-1, caller="alice"):
        flat, = self.whole_window("errors", job, first, count, caller)
        return [tuple(flat[i:i + 3]) for i in range(0, len(flat), 3)]

    def cancel(self, job, caller="alice", not_after=EVER):
        word, *more = self("cancel", f"sha-{caller}", job, not_after)
        while more == ["more"]:
            _, *more = self("cancel", f"sha-{caller}", job, not_after, "go-on")
        return word

    def forget(self, job, caller="alice"):
        return self("forget", f"sha-{caller}", job)[0]

    def list(self, caller="alice", owners=()):
        """The ids, by who submitted them."""
        word, done, till, *flat = self("list", f"sha-{caller}", 1 if owners else 0, "+inf", *owners)
        assert (word, done, till) == ("ok", str(max(len(owners), 1)), "+inf")
        return flat[::2]

    def claim(self, worker="w1", most=100, digest="digest-1", not_after=EVER, lease=LEASE, limits=()):
        word, *rest = self("claim", worker, digest, most, not_after, lease, *limits)
        assert word == "ok", word
        return [Task(worker, *each) for each in rest[1]]

    def claim_one(self, worker="w1", **more):
        tasks = self.claim(worker, 1, **more)
        assert len(tasks) == 1
        return tasks[0]

    def renew(self, worker, *tasks, last=1, lease=LEASE):
        """The (job, system, fence) that are lost."""
        lost, looked = [], 0
        while True:
            words = [word for task in tasks[looked:] for word in task.ref]
            word, more, *rest = self("renew", worker, f"about {worker}", last, lease, *words)
            assert word == "ok"
            lost += [tuple(each) for each in more]
            looked += int(rest[0]) if rest else len(tasks)
            if looked >= len(tasks):
                return lost

    def intend(self, task, device="", deadline=600 * SECOND, not_after=EVER, intent='{"set":"power"}', **other):
        ref = {**task.named, **other}
        return self("intend", ref["worker"], ref["job"], ref["system"], ref["fence"], "intent", not_after, deadline,
                    device, intent)[0]

    def mark(self, task, mark="power", not_after=EVER, **other):
        ref = {**task.named, **other}
        return self("mark", ref["worker"], ref["job"], ref["system"], ref["fence"], "step", not_after, mark)[0]

    def power_rate(self, task, group, interval, **other):
        """Microseconds to wait, or the word of a refusal."""
        ref = {**task.named, **other}
        answer = self("ramp", ref["worker"], ref["job"], ref["system"], ref["fence"], "power-ramp", group, interval)
        return int(answer[1]) if answer[0] == "ok" else answer[0]

    def progress(self, task, state, step="step", **other):
        ref = {**task.named, **other}
        return self("progress", ref["worker"], ref["job"], ref["system"], ref["fence"], step, state)[0]

    def finish(self, task, state="U", reason="", step="end", blameless=False, **other):
        ref = {**task.named, **other}
        return self("finish", ref["worker"], ref["job"], ref["system"], ref["fence"], step, state, reason,
                    *(("blameless",) if blameless else ()))[0]

    def release(self, task, step="drain", **other):
        ref = {**task.named, **other}
        return self("release", ref["worker"], ref["job"], ref["system"], ref["fence"], step)[0]

    def restore_intent(self, task, device="uuid-1", deadline=600 * SECOND, intent='{"set":"power"}', marks="", kept=0,
                       **other):
        ref = {**task.named, **other}
        return self("reassert", ref["worker"], ref["job"], ref["system"], ref["fence"], "intend", deadline, device,
                    intent, *((marks, kept) if self.schema == SCHEMA else ()))[0]

    def restore_result(self, task, state="U", reason="", step="end", **other):
        ref = {**task.named, **other}
        return self("attest", ref["worker"], ref["job"], ref["system"], ref["fence"], step, state, reason)[0]

    def reap(self, worker="w9", lease=LEASE, grace=GRACE):
        """How many tasks moved, in all the calls that it takes."""
        reaped, more = 0, "1"
        while more == "1":
            word, count, *rest = self("reap", worker, lease, grace)
            more = rest[0] if rest else "0"
            assert word == "ok"
            reaped += int(count)
        return reaped

    def counters(self):
        flat = self("overview")[9]
        return {flat[i]: int(flat[i + 1]) for i in range(0, len(flat), 2)}


class Task:
    """What a claim gives."""

    def __init__(self, worker, job, system, fence, taken_over, intent, caller, peer, mechanism, marks=""):
        self.worker, self.job, self.system, self.fence = worker, job, system, fence
        self.taken_over, self.intent, self.marks = taken_over == "1", intent, marks
        self.caller, self.peer, self.mechanism = caller, peer, mechanism

    @property
    def only_looks(self):
        """Nothing more may be done to its PC."""
        return self.taken_over and ("typed" in self.marks or self.marks == "unknown")

    @property
    def ref(self):
        return (self.job, self.system, self.fence)

    @property
    def named(self):
        return {"worker": self.worker, "job": self.job, "system": self.system, "fence": self.fence}
