# SPDX-License-Identifier: Apache-2.0
"""A library replaces an older one (library-3.lua: schema 3 as it was) while jobs wait and run: they go on and end, and
programs of the older schema are told to be upgraded."""

import random
import re
import time
from pathlib import Path

import pytest

from model import Broken, run
from redis_server import (INVENTORY, SCHEMA, SECOND, TESTER, WEB, WEB_VERBS, WORKER, WORKER_VERBS, Verbs, key_of,
                          library)

OLDER, OLDER_SCHEMA = (Path(__file__).parent / "library-3.lua").read_text(), "3"
NEWER = {"scopes", "denied", "read_page", "mark", "submit_part", "context_part"}  # functions that the older library does not have
COMPLETED, TERMINATED = 7, 8
MINUTE = 60 * SECOND
SECONDS = 3


@pytest.fixture(name="older")
def _older(redis_server):
    """The verbs as programs of schema 3 call them, in a Redis with that library."""
    redis_server.cli(TESTER, "FLUSHALL")
    redis_server.load(OLDER)
    verbs = Verbs(redis_server.cli, OLDER_SCHEMA)
    assert verbs.publish(INVENTORY) == ["ok"]
    return verbs


@pytest.fixture(name="upgrade")
def _upgrade(redis_server):
    """Loads the library; gives the verbs as programs of its schema call them."""
    def load():
        redis_server.load()
        return Verbs(redis_server.cli)
    return load


@pytest.fixture(name="ask")
def _ask(redis_server):
    return lambda *words: redis_server.cli(TESTER, *words)


def state(ask, job, system="pc1.example"):
    return ask("HGET", f"{{amtu}}:job:{job}:tasks", system)[0]


def functions(ask):
    return {function["name"] for found in ask("FUNCTION", "LIST") for function in found["functions"]}


def test_every_function_of_the_older_library_is_there(redis_server, older, ask):
    before = functions(ask)
    assert len(before) == len(WEB_VERBS + WORKER_VERBS) + 1 - len(NEWER)
    redis_server.load()
    assert functions(ask) >= before, "else a running program meets an unknown function"


@pytest.mark.parametrize("verb", WEB_VERBS + WORKER_VERBS)
def test_a_program_of_the_older_schema_is_outdated(redis_server, older, upgrade, verb):
    upgrade()
    user = WEB if verb in WEB_VERBS else WORKER
    assert redis_server.cli(user, "FCALL", f"amtunlock_{verb}", 0, OLDER_SCHEMA, "any") == ["outdated", SCHEMA]


@pytest.mark.parametrize("verb", WEB_VERBS + WORKER_VERBS)
def test_whatever_key_an_older_program_names(redis_server, older, upgrade, verb):
    upgrade()
    user = WEB if verb in WEB_VERBS else WORKER
    words = ("FCALL", f"amtunlock_{verb}", 1, key_of(verb), OLDER_SCHEMA, "any")
    assert redis_server.cli(user, *words) == ["outdated", SCHEMA]


@pytest.mark.parametrize("verb", [verb for verb in WEB_VERBS + WORKER_VERBS if verb not in NEWER])
def test_a_program_of_this_schema_finds_the_older_library_outdated(redis_server, older, verb):
    user = WEB if verb in WEB_VERBS else WORKER
    assert redis_server.cli(user, "FCALL", f"amtunlock_{verb}", 0, SCHEMA, "any") == ["outdated", OLDER_SCHEMA]


def test_a_waiting_job_is_claimed_and_ends(older, upgrade):
    older.submit("j1", "PC1.example", "nosuch.example", "10.0.0.9", message="u/n1")
    before = older.read("j1"), older.errors("j1")
    verbs = upgrade()
    after = verbs.read("j1")
    assert (before[0] | {"now": 0}, before[1]) == (after | {"now": 0}, verbs.errors("j1"))
    assert verbs.submit("j2", "pc1.example", message="u/n1") == ["ok", "j1", "1"]
    assert verbs.submit("j3", "pc2.example", message="u/n2")[2] == "2"
    tasks = verbs.claim()
    assert sorted((task.job, task.system) for task in tasks) == [
        ("j1", "pc1.example"), ("j1", "vault.example"), ("j3", "pc2.example")]
    for task in tasks:
        assert verbs.intend(task) == "ok" and verbs.finish(task) == "ok"
    assert verbs.results("j1") == (["PC1.example", "10.0.0.9"], ["nosuch.example"])
    assert verbs.read("j1")["state"] == COMPLETED
    assert verbs.forget("j1") == "ok"


@pytest.mark.parametrize("reached", ["C", "I", "P", "B"])
def test_a_held_task_goes_on(older, upgrade, ask, reached):
    """Its worker is the one that was upgraded: the same name, and the fence from its record."""
    older.submit("j1", "pc1.example")
    task = older.claim_one()
    if reached != "C":
        assert older.intend(task, device="uuid-1") == "ok"
    if reached in "PB":
        assert older.progress(task, reached) == "ok"
    verbs = upgrade()
    assert state(ask, "j1") == reached
    assert verbs.renew("w1", task) == []
    if reached != "C":
        assert verbs.restore_intent(task) == "already"
    else:
        assert verbs.intend(task, device="uuid-1") == "ok"
    assert verbs.progress(task, "B") in ("ok", "already")
    assert verbs.finish(task) == "ok"
    assert verbs.read("j1")["state"] == COMPLETED and ask("EXISTS", "{amtu}:leases", "{amtu}:device:uuid-1") == 0


def test_joined_tasks_get_the_result(older, upgrade, ask):
    older.submit("j1", "pc1.example")
    older.submit("j2", "pc1.example", caller="bob")
    task = older.claim_one()
    assert older.claim("w2") == [] and state(ask, "j2") == "J"
    verbs = upgrade()
    assert verbs.finish(task, "F", "no-prompt", "console") == "ok"
    assert verbs.errors("j2", caller="bob") == [("pc1.example", "console", "no-prompt")]


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_lease_lost_before_or_after_the_upgrade_is_verified(older, upgrade, ask, lost):
    older.submit("j1", "pc1.example")
    task = older.claim_one()
    older.intend(task)
    ask("ZADD", "{amtu}:leases", 1, "pc1.example")
    if lost == "before":
        assert older.reap() == 1
    verbs = upgrade()
    if lost == "after":
        assert verbs.reap() == 1
    assert state(ask, "j1") == "L" and verbs.finish(task) == "refused"
    verify = verbs.claim_one("w2")
    assert verify.taken_over and verify.intent == '{"set":"power"}' and int(verify.fence) > int(task.fence)
    assert verbs.finish(verify) == "ok"
    verbs.submit("j2", "pc1.example")
    assert verbs.claim() == [], "its cooldown holds over the upgrade"


def test_a_task_that_is_being_verified_goes_on(older, upgrade, ask):
    older.submit("j1", "pc1.example")
    task = older.claim_one()
    older.intend(task)
    older.release(task)
    verify = older.claim_one("w2")
    assert state(ask, "j1") == "K"
    verbs = upgrade()
    assert verbs.intend(verify) == "refused" and verbs.restore_result(task, "F", "timeout") == "refused"
    assert verbs.finish(verify, "F", "indeterminate") == "ok"
    assert verbs.read("j1")["state"] == COMPLETED


def test_a_cancelled_job_ends_and_frees_its_system(older, upgrade, ask):
    older.submit("j1", "pc1.example", "pc2.example")
    older.submit("j2", "pc1.example", caller="bob")
    task = older.claim_one()
    older.claim("w2")
    assert older.cancel("j1") == "ok"
    verbs = upgrade()
    assert verbs.read("j1")["state"] == TERMINATED
    assert verbs.renew("w1", task) == [task.ref]
    assert [each.job for each in verbs.claim("w2")] == ["j2"]
    assert verbs.cancel("j2", caller="bob") == "ok" and verbs.reap() == 0


def test_what_was_put_off_and_what_was_never_started_ends(older, upgrade, ask):
    ask("SET", "{amtu}:cool:pc1.example", "1", "PX", 60_000)
    older.submit("j1", "pc1.example")
    older.submit("j2", "pc2.example", start_within=0)
    assert older.claim(most=1) == [] and ask("ZCARD", "{amtu}:retry") == 1
    older.submit("j3", "pc2.example", start_within=0)
    verbs = upgrade()
    assert verbs.reap() >= 1
    assert verbs.errors("j3") == [("pc2.example", "", "timeout")]
    ask("DEL", "{amtu}:cool:pc1.example")
    ask("ZADD", "{amtu}:retry", 1, "j1|pc1.example")
    assert verbs.finish(verbs.claim_one()) == "ok"


def test_rates_and_breakers_hold(older, upgrade):
    older.submit("j1", "pc1.example", "pc2.example", "pc3.example")
    one = older.claim_one(limits=("floor1", MINUTE))
    assert older.intend(one) == "ok" and older.power_rate(one, "floor1", MINUTE) == 0
    for number in (2, 3):
        older.submit(f"v{number}", "vault.example")
        task = next(each for each in older.claim(limits=("floor1", MINUTE)) if each.job == f"v{number}")
        assert older.finish(task, "F", "auth-failed") == "ok"
    verbs = upgrade()
    assert 0 < verbs.power_rate(one, "floor1", MINUTE) <= MINUTE
    assert verbs.claim(limits=("floor1", MINUTE)) == [], "pc2 waits for its group's next time"
    verbs.submit("v4", "vault.example")
    assert verbs.claim(limits=("floor1", MINUTE)) == []
    assert verbs.errors("v4") == [("vault.example", "left-alone", "auth-failed")]


def test_an_enumeration_goes_on(older, upgrade):
    assert older("context_open", "sha-alice", "c1", 60, 1, "fields", "a", "b", "c") == ["ok", "c1"]
    assert older("context_pull", "sha-alice", "c1", 1) == ["ok", "fields", "1", ["a"]]
    verbs = upgrade()
    assert verbs("context_open", "sha-alice", "c2", 60, 1, "fields", 0) == ["quota", "contexts"]
    assert verbs("context_pull", "sha-alice", "c1", 5) == ["ok", "fields", "0", ["b", "c"]]
    assert older.ask(WEB, "FCALL", "amtunlock_context_release", 1, "{amtu}:verb:context_release", SCHEMA,
                     "sha-alice", "c1") == ["none"]


def test_the_overview_goes_on(older, upgrade):
    older.submit("j1", "pc1.example", "pc2.example")
    task = older.claim_one()
    older.renew("w1", task)
    before = older("overview")
    after = upgrade()("overview")
    assert before[:7] + before[8:] == after[:7] + after[8:]
    assert after[8] == ["w1 about w1"]


def test_a_job_that_only_the_record_knows_of_is_restored(older, upgrade, ask):
    """Redis lost what it had acknowledged, and the upgraded worker restores it from its record."""
    older.submit("j1", "pc1.example", "pc2.example")
    older.claim(lease=0)
    verbs = upgrade()
    tasks = [task for task in verbs.ask(TESTER, "HGETALL", "{amtu}:job:j1:tasks").items()]
    assert {record[0] for _, record in tasks} == {"C"}
    for system, _ in tasks:
        assert verbs("reassert", "w1", "j1", system, "9000000000000000", "intend", MINUTE, "", "{}", "unknown",
                     0)[0] == "ok"
    assert state(ask, "j1") == "L"
    assert verbs("attest", "w1", "j1", "pc1.example", "9000000000000000", "end", "U", "")[0] == "ok"
    assert [task.system for task in verbs.claim("w2")] == ["pc2.example"]


def as_of_schema_6(ask, *jobs):
    """What that library did not write: the lines of a job, and whose waiters they are that joined a holder."""
    for job in jobs:
        ask("HDEL", f"{{amtu}}:job:{job}", "lines", "dropped", "swept")
        ask("HDEL", f"{{amtu}}:job:{job}:names", "l:0", "l:1", "l:2")
    for key in ask("KEYS", "{amtu}:system:*:waiters:*"):
        ask("RENAME", key, key[:key.rindex(":")])
        ask("HDEL", key[:key.rindex(":waiters")], "waiters")


@pytest.mark.parametrize("then", ["finish", "release", "cancel", "overdue"])
def test_jobs_of_schema_6_end(redis_server, ask, then):
    ask("FLUSHALL")
    redis_server.load()
    verbs = Verbs(redis_server.ask)
    verbs.publish(INVENTORY)
    verbs.submit("j1", "pc1.example", "pc2.example", "pc3.example", "nosuch.example")
    task = verbs.claim_one()
    joined = [f"b{number}" for number in range(30)]
    for job in joined:
        verbs.submit(job, task.system, caller="bob")
    held = [task, *verbs.claim(), *verbs.claim(), *verbs.claim()]
    verbs.submit("j2", "vault.example", caller="carol")
    as_of_schema_6(ask, "j1", "j2", *joined)
    if then == "cancel":
        assert verbs.cancel("j1") == verbs.cancel("j2", caller="carol") == "ok"
    elif then == "overdue":
        ask("HSET", "{amtu}:job:j2", "start_by", 1)
        ask("ZADD", "{amtu}:deadlines", 1, "j2")
        assert verbs.reap() == 1 and verbs.errors("j2", caller="carol") == [("vault.example", "", "timeout")]
    elif then == "release":
        assert verbs.release(held.pop(0)) == "ok"
    for each in held:
        verbs.finish(each)
    for _ in range(8):
        for each in verbs.claim():
            assert verbs.finish(each) == "ok"
    assert {verbs.read(job, caller="bob")["state"] for job in joined} == {COMPLETED}
    assert verbs.read("j1")["state"] == verbs.read("j2", caller="carol")["state"] == (
        TERMINATED if then == "cancel" else COMPLETED)
    assert ask("EXISTS", "{amtu}:jobs", "{amtu}:ring", "{amtu}:deadlines", "{amtu}:leases") == 0
    assert ask("KEYS", "{amtu}:system:*") == []


def test_the_promises_hold_over_an_upgrade(redis_server):
    """Random work (model.py) under the older library, and on under this one."""
    redis_server.cli(TESTER, "CONFIG", "SET", "appendfsync", "no")
    ends = time.monotonic() + SECONDS
    while True:
        seed = random.SystemRandom().randrange(10**9)
        try:
            run(redis_server, library(), seed, 250, older=(OLDER, OLDER_SCHEMA))
        except Broken as broken:
            raise Broken(f"seed {seed}: {broken}") from None
        if time.monotonic() > ends:
            break
    redis_server.cli(TESTER, "CONFIG", "SET", "appendfsync", "always")


def test_the_older_library_is_that_of_its_schema():
    assert re.search(r"^local SCHEMA = '(\d+)'", OLDER, re.M).group(1) == OLDER_SCHEMA
    assert re.search(r"^local SCHEMA = '(\d+)'", library(), re.M).group(1) == SCHEMA
