# SPDX-License-Identifier: Apache-2.0
"""No call holds Redis for long, however large its job or the inventory. Each verb is called at its largest, on 100,000
systems and jobs of 20,000 names, and Redis' slow log says how long it was held by each call. Others run on the machine, so
a verb is judged by the fastest eighth of its calls at that size; the slowest are printed."""

import random

import pytest

from redis_server import LEASE, SECOND, TESTER, WEB, WORKER, WORKER_VERBS, WEB_VERBS, RedisServer, Verbs

MILLISECONDS = 5  # two are aimed at, on a machine that does nothing else
SYSTEMS, LARGE, GROUPS = 100_000, 20_000, 600
DIGEST = "large"
SYSTEMS_A_CHUNK, RENEWED_A_CALL, NAMES_A_CALL = 200, 150, 150  # as jobs/publish.c, worker.c and submit.c have it
A_CALL = 250  # JOBS_CHANGES_A_CALL
LATE = 4  # large jobs whose time passes, and that are forgotten
FAR = 10**17


class Watched:
    """The verbs, of each of whose calls Redis' slow log keeps how long it took."""

    def __init__(self, server):
        self.wires = {user: server.wire(user) for user in (WEB, WORKER, TESTER)}
        self.tester = self.wires[TESTER]
        self.took = {}  # what was called: milliseconds of each call
        self.what = None  # more than its verb
        self.verbs = Verbs(self.ask)

    def ask(self, user, *words):
        self.tester("SLOWLOG", "RESET")
        answer = self.wires[user](*words)
        calls = [entry[2] for entry in self.tester("SLOWLOG", "GET", 10) if entry[3][0] == "FCALL"]
        verb = words[1].removeprefix("amtunlock_")
        self.took.setdefault(f"{verb}, {self.what}" if self.what else verb, []).append(calls[0] / 1000)
        return answer

    def close(self):
        for wire in self.wires.values():
            wire.close()


@pytest.fixture(name="server", scope="module")
def _server():
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(name="watched", scope="module")
def _watched(server):
    watched = Watched(server)
    for setting in (("slowlog-log-slower-than", 0), ("appendfsync", "no"), ("maxmemory", 0)):
        watched.tester("CONFIG", "SET", *setting)
    server.load()
    publish(watched)
    yield watched
    watched.close()


def name_of(number):
    return f"pc-{number:06}.example"


def publish(watched):
    """An inventory with two names a system."""
    for first in range(0, SYSTEMS, SYSTEMS_A_CHUNK):
        words = [word for n in range(first, first + SYSTEMS_A_CHUNK)
                 for word in (name_of(n), f"g{n % GROUPS}", "wake", 2, name_of(n), f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")]
        watched.verbs("publish_chunk", "large-1", *words)
    switch = ("publish_switch", "w0", "large-1", DIGEST, 1000, SYSTEMS, 3 * SYSTEMS, LEASE, "host")
    assert watched.verbs(*switch) == ["ok"]
    for _ in range(4):
        assert watched.verbs(*switch) == ["already"]


def claim_all(watched, worker, most, limits=()):
    tasks, idle = [], 0
    while len(tasks) < most and idle < 12:
        new = watched.verbs.claim(worker, 16, digest=DIGEST, limits=limits)
        tasks += new
        idle = 0 if new else idle + 1
    return tasks


def submit(watched, job, names, **more):
    watched.what = more.pop("what", None)
    assert watched.verbs.submit(job, *names, a_call=NAMES_A_CALL, **more)[0] == "ok"
    watched.what = None


def go_through_jobs(watched):
    verbs, numbers = watched.verbs, random.Random(1)
    names = [name_of(n) for n in numbers.sample(range(SYSTEMS), LARGE)]
    for n in range(5):
        submit(watched, f"mid{n}", names[n * NAMES_A_CALL:(n + 1) * NAMES_A_CALL], caller=f"mid{n}", what="all names in one call")
    submit(watched, "big", names, message="u/big")
    for n in range(5):
        unknown = [f"{n}-{number}.{'unknown-name.' * 18}" for number in range(1000)]
        submit(watched, f"unknown{n}", unknown, caller="bob", what="of unknown names")
    for n in range(LATE):
        submit(watched, f"late{n}", names, caller="carol", start_within=0)
    watched.what = "of a large job"
    tasks = claim_all(watched, "w1", 3000)
    assert len(tasks) > 1000
    watched.what = None
    for first in range(0, len(tasks), RENEWED_A_CALL):
        assert verbs.renew("w1", *tasks[first:first + RENEWED_A_CALL], last=0) == []
    for task in tasks[:40]:
        assert verbs.intend(task, device=f"uuid-{task.system}") == "ok" and verbs.mark(task) == "ok"
        assert verbs.power_rate(task, "g1", 1) >= 0 and verbs.progress(task, "P") == "ok"
        assert verbs.finish(task) == "ok"
    for task in tasks[40:60]:
        assert verbs.release(task) == "ok"
    for task in tasks[60:80]:
        assert verbs.restore_intent(task) == "ok" and verbs.restore_result(task) == "ok"
    assert len(verbs.results("big")[0]) >= 20 and verbs.errors("big") == []
    assert len(verbs.errors("unknown0", caller="bob")) == 1000
    assert verbs.reap() >= 1, "what is late"
    assert verbs.cancel("big") == "ok"
    watched.what = "of what was cancelled"
    assert len(verbs.renew("w1", *tasks[80:], last=0)) > 1000
    watched.what = None
    assert verbs.forget("big") in ("ok", "conflict")
    for n in range(LATE):
        assert verbs.forget(f"late{n}", caller="carol") == "ok"
    return names


def go_through_waiters(watched, systems):
    """Many jobs of one PC, most of which are told of its end by later calls."""
    verbs = watched.verbs
    claim_all(watched, "w1", SYSTEMS)
    for round_, system in enumerate(systems):
        jobs = [f"joined{round_}-{n}" for n in range(100)]
        for job in jobs:
            verbs.submit(job, system, caller="dora")
        watched.what = "that joins"
        held, = claim_all(watched, "w1", SYSTEMS)
        watched.what = "with many that joined"
        assert verbs.finish(held) == "ok"
        watched.what = "to tell those that joined"
        assert verbs.claim("w2", 16, digest=DIGEST) == []
        watched.what = None
        verbs.reap()
    for job in jobs:
        assert verbs.read(job, caller="dora")["state"] == 7


def go_through_leases(watched, names):
    verbs = watched.verbs
    submit(watched, "lost", names[:2000], caller="erna")
    tasks = claim_all(watched, "w3", 1500)
    for first in range(0, len(tasks), 500):
        watched.tester("ZADD", "{amtu}:leases", *(word for task in tasks[first:first + 500] for word in (1, task.system)))
    watched.what = "what a dead worker held"
    assert verbs.reap() >= len(tasks)
    for task in tasks[:400]:
        watched.tester("ZADD", "{amtu}:retry", 1, f"{task.job}|{task.system}")
    watched.what = "what was put off"
    claim_all(watched, "w3", 200)
    watched.what = "rate limits"
    claim_all(watched, "w3", 700, limits=("*", 3600 * SECOND))
    for _ in range(20):
        verbs.claim("w3", 16, digest=DIGEST, limits=("*", 3600 * SECOND))
    watched.what = None


def go_through_lists(watched):
    verbs = watched.verbs
    for n in range(1200):
        verbs.submit(f"l{n}", f"unknown-{n}.example", caller=f"frieda{n % 2}", retention=SECOND)
    for user, owners in (("frieda0", ()), ("root", ("sha-frieda0", "sha-frieda1"))):
        for _ in range(5):
            verbs("list", f"sha-{user}", 1 if owners else 0, "+inf", *owners)
    verbs("list", "sha-root", 1, 0)
    items = [f"{n:026}" for n in range(LARGE)]
    for first in range(0, LARGE - A_CALL, A_CALL):
        assert verbs("context_part", "c1", first, FAR, *items[first:first + A_CALL]) == ["ok"]
    assert verbs("context_open", "sha-alice", "c1", 60, 9, "f", LARGE - A_CALL, *items[-A_CALL:]) == ["ok", "c1"]
    assert verbs("context_open", "sha-alice", "c2", 60, 9, "f", 0, "an item") == ["ok", "c2"]
    assert verbs("context_release", "sha-alice", "c2") == ["ok"]
    pulled = [item for _ in range(LARGE // 500) for item in verbs("context_pull", "sha-alice", "c1", 100_000)[3]]
    assert pulled == items
    for entry in watched.tester("ZRANGE", "{amtu}:kept", 0, -1):
        watched.tester("ZADD", "{amtu}:kept", 1, entry)
    watched.what = "what has expired"
    verbs.reap()
    watched.what = None
    for n in range(5):
        verbs("overview")
        verbs("read_page", "sha-root", 1, *[f"l{number}" for number in range(100)])
        verbs("read", "sha-alice", 0, "lost")
        verbs("scopes", f"httpd{n}", 1, *["0123456789abcdef" * 4] * 900)
        verbs("denied")


def test_no_call_holds_redis_for_long(watched):
    names = go_through_jobs(watched)
    go_through_waiters(watched, [name_of(n) for n in range(200) if name_of(n) not in set(names)][:5])
    go_through_leases(watched, names)
    go_through_lists(watched)
    called = {what.partition(",")[0] for what in watched.took}
    assert called == set(WEB_VERBS + WORKER_VERBS)
    slow = {}
    for what, took in sorted(watched.took.items()):
        took = sorted(took)
        fast = took[len(took) // 8]
        print(f"{what:45} {len(took):5} calls, {fast:6.2f} ms, half of them {took[len(took) // 2]:6.2f}, at most {took[-1]:6.2f}")
        if fast > MILLISECONDS:
            slow[what] = fast
    assert not slow
