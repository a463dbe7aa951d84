# SPDX-License-Identifier: Apache-2.0
"""The store and the functions of the simulation beside a real redis-server: the same commands and the same calls of verbs,
from seeds, must be answered alike and leave the same data."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from redis_server import GRACE, LEASE, SECOND, TESTER, RedisError, RedisServer, Verbs, library

ROOT = Path(__file__).resolve().parents[2]
COMPARE = ROOT / os.environ.get("AMTU_SIMULATE", "build/simulate") / "compare"
COMMANDS = 4000
CALLS = 1500
CLOCK = "{amtu}:clock-of-the-test"


class Store:
    """The store of the simulation, behind the pipe of a process."""

    def __init__(self, library_file):
        self.process = subprocess.Popen([str(COMPARE), str(library_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *words):
        hexed = (str(word).encode().hex() or "-" for word in words)
        self.process.stdin.write(" ".join(hexed) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise RedisError(answer["error"])
        return answer["status"] if isinstance(answer, dict) else answer

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module", name="server")
def _server():
    server = RedisServer()
    server.ask(TESTER, "CONFIG", "SET", "appendfsync", "no")
    yield server
    server.remove()


@pytest.fixture(name="real")
def _real(server):
    server.ask(TESTER, "FLUSHALL")
    return lambda *words: server.ask(TESTER, *words)


@pytest.fixture(name="store")
def _store(tmp_path):
    (tmp_path / "library.lua").write_text(library_with_clock())
    store = Store(tmp_path / "library.lua")
    yield store
    store.end()


def outcome(ask, words):
    """What comes of it; of an error the code, and for wrong types that it was one."""
    try:
        return ask(*words)
    except RedisError as error:
        return f"error {str(error).split()[0]}"


def dump(ask, keys):
    """All data under these keys, as commands show them that both know."""
    readers = {"string": lambda key: ask("GET", key), "list": lambda key: ask("LRANGE", key, 0, -1),
               "zset": lambda key: ask("ZRANGE", key, 0, -1, "WITHSCORES")}
    found = {}
    for key in keys:
        kind = ask("TYPE", key)
        if kind == "hash":
            flat = ask("HGETALL", key)
            found[key] = dict(zip(flat[::2], flat[1::2]))
        elif kind != "none":
            found[key] = readers[kind](key)
    return found


# ---- commands ------------------------------------------------------------------------------------------------------

KEYS = [f"k{i}" for i in range(6)]
FIELDS = ["a", "b", "c", "", "a b", "1"]
NUMBERS = ["0", "1", "-1", "5", "2.5", "-0", "1e3", "9223372036854775807", "-9223372036854775808", "x", "", "007", "+1",
           "1764500000000000"]
SCORES = ["0", "1", "-1", "2.5", "1764500000123456", "inf", "-inf", "x", "(1", "1e18"]
BOUNDS = ["-inf", "+inf", "0", "(0", "1", "(1", "2.5", "(1764500000123456", "x"]


def random_command(luck):
    key, field, number = luck.choice(KEYS), luck.choice(FIELDS), luck.choice(NUMBERS)
    low, high = luck.choice(["0", "1", "-1", "-3", "7", "-9", "x"]), luck.choice(["0", "-1", "2", "-2", "99", "-9"])
    return luck.choice([
        ("SET", key, field), ("SET", key, number, "EX", "100"), ("SET", key, field, "PX", luck.choice(["100000", "0", "x"])),
        ("GET", key), ("DEL", key, luck.choice(KEYS)), ("UNLINK", key), ("EXISTS", key, luck.choice(KEYS)),
        ("HSET", key, field, number), ("HSET", key, field, number, luck.choice(FIELDS), "2"), ("HGET", key, field), ("HDEL", key, field),
        ("HSET", key, field), ("HMGET", key, field, luck.choice(FIELDS)), ("HEXISTS", key, field), ("HLEN", key),
        ("HINCRBY", key, field, number), ("LPUSH", key, field), ("RPUSH", key, field, number), ("LPOP", key),
        ("LLEN", key), ("LRANGE", key, low, high), ("ZADD", key, luck.choice(SCORES), field),
        ("ZADD", key, "NX", luck.choice(SCORES), field), ("ZADD", key, "1", "a", luck.choice(SCORES), field),
        ("ZINCRBY", key, luck.choice(SCORES), field), ("ZREM", key, field, luck.choice(FIELDS)), ("ZCARD", key),
        ("ZSCORE", key, field), ("ZRANGE", key, low, high), ("ZRANGE", key, low, high, "WITHSCORES"),
        ("ZREVRANGE", key, low, high), ("ZREVRANGE", key, low, high, "WITHSCORES"),
        ("ZRANGEBYSCORE", key, luck.choice(BOUNDS), luck.choice(BOUNDS)),
        ("ZRANGEBYSCORE", key, luck.choice(BOUNDS), luck.choice(BOUNDS), "LIMIT", "0", luck.choice(["0", "1", "9"])),
        ("ZRANGE", key, luck.choice(BOUNDS), luck.choice(BOUNDS), "BYSCORE", "REV", "LIMIT", "0", luck.choice(["0", "1", "9"]),
         *luck.choice([(), ("WITHSCORES",)])),
        ("ZREMRANGEBYSCORE", key, luck.choice(BOUNDS), luck.choice(BOUNDS)), ("PERSIST", key),
        ("EXPIRE", key, luck.choice(["100", "0", "-1", "x"])), ("EXPIRE", key, luck.randrange(50, 10**6), "GT"),
        ("PEXPIRE", key, "100000"), ("TTL", key), ("TYPE", key)])


@pytest.mark.parametrize("seed", range(4))
def test_commands_are_answered_alike(real, store, seed):
    luck = random.Random(seed)
    for step in range(COMMANDS):
        words = random_command(luck)
        seen = outcome(real, words)
        if words[0] == "TTL" and seen > 0:  # by two clocks
            assert abs(outcome(store, words) - seen) <= 5, (step, words)
        else:
            assert outcome(store, words) == seen, (step, words)
    assert dump(store, KEYS) == dump(real, KEYS)


# ---- verbs ---------------------------------------------------------------------------------------------------------

def library_with_clock():
    """Reads the time from a key, so that it is the same on both sides."""
    text = library()
    asked = "local time = call('TIME')"
    assert asked in text
    return text.replace(asked, f"local time = call('HMGET', '{CLOCK}', 's', 'us')")


class Pair:
    """Both sides; what is asked of one is asked of the other, and must be answered alike."""

    def __init__(self, real, store):
        self.real, self.store, self.now = real, store, 1764500000 * SECOND
        self.set_time()

    def set_time(self):
        for ask in (self.real, self.store):
            ask("HSET", CLOCK, "s", self.now // SECOND, "us", self.now % SECOND)

    def __call__(self, _, *words):
        seen = outcome(self.real, words)
        assert outcome(self.store, words) == seen, words
        if isinstance(seen, str) and seen.startswith("error"):
            raise RedisError(seen)
        return seen


SYSTEMS = {f"pc{i}.example": (f"group{i % 3}", [f"10.0.0.{i}"]) for i in range(8)}


class Work:
    """Random calls of verbs, some by workers that have lost what they had."""

    def __init__(self, pair, seed):
        self.pair, self.verbs, self.luck = pair, Verbs(pair), random.Random(seed)
        self.tasks, self.jobs = [], []
        self.verbs.publish(SYSTEMS)

    def step(self):
        self.pair.now += self.luck.choice([1, 1000, SECOND, 10 * SECOND, 25 * SECOND])
        self.pair.set_time()
        self.luck.choice([self.submit, self.claim, self.claim, self.change, self.change, self.change, self.renew, self.reap,
                          self.cancel, self.look, self.restore])()

    def submit(self):
        job = f"job{len(self.jobs)}"
        names = self.luck.sample([*SYSTEMS, "unknown.example"], self.luck.randrange(1, 6))
        groups = self.luck.choice([("*",), ("group0", "group1")])
        self.verbs.submit(job, *names, caller=self.luck.choice(["alice", "bob"]), groups=groups,
                          message=self.luck.choice(["", f"m{len(self.jobs) // 2}/x"]), start_within=300 * SECOND)
        self.jobs.append(job)

    def claim(self):
        limits = self.luck.choice([(), ("group0", 2 * SECOND), ("*", SECOND)])
        self.tasks += self.verbs.claim(self.luck.choice(["w0", "w1"]), self.luck.randrange(1, 5), limits=limits)

    def change(self):
        if not self.tasks:
            return
        task = self.luck.choice(self.tasks[-12:])
        self.luck.choice([
            lambda: self.verbs.intend(task, device=self.luck.choice(["", "uuid-1", f"uuid-{task.system}"])),
            lambda: self.verbs.power_rate(task, "group0", SECOND),
            lambda: self.verbs.progress(task, self.luck.choice("PB")),
            lambda: self.verbs.finish(task),
            lambda: self.verbs.finish(task, "F", self.luck.choice(["timeout", "unreachable", "no-prompt"])),
            lambda: self.verbs.release(task)])()

    def renew(self):
        worker = self.luck.choice(["w0", "w1"])
        mine = [task for task in self.tasks[-20:] if task.worker == worker]
        self.verbs.renew(worker, *self.luck.sample(mine, self.luck.randrange(len(mine) + 1)))

    def reap(self):
        self.verbs.reap("w9", LEASE, GRACE)

    def cancel(self):
        if self.jobs:
            job = self.luck.choice(self.jobs)
            self.luck.choice([self.verbs.cancel, self.verbs.forget])(job, self.luck.choice(["alice", "bob"]))

    def look(self):
        if self.jobs:
            job, caller = self.luck.choice(self.jobs), self.luck.choice(["alice", "bob"])
            self.verbs.read(job, caller)
            self.verbs.window("results", job, caller=caller)
            self.verbs.window("errors", job, caller=caller)
            self.verbs("list", f"sha-{caller}", 0)

    def restore(self):
        if self.tasks:
            task = self.luck.choice(self.tasks[-20:])
            self.luck.choice([self.verbs.restore_intent, self.verbs.restore_result])(task)


@pytest.mark.parametrize("seed", range(3))
def test_verbs_are_answered_alike(server, real, store, seed):
    """Times to live go by each side's own clock; so the step that counts them, a cooldown, is left out of what is compared."""
    server.load(library_with_clock())
    work = Work(Pair(real, store), seed)
    for _ in range(CALLS):
        real("DEL", *(real("KEYS", "{amtu}:cool:*") or ["none"]))
        for system in SYSTEMS:
            store("DEL", f"{{amtu}}:cool:{system}")
        work.step()
    keys = [key for key in real("KEYS", "*") if key != CLOCK]
    assert dump(store, keys) == dump(real, keys)
    assert len(work.tasks) > 100
