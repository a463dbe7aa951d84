# SPDX-License-Identifier: Apache-2.0
"""Requests of more names than one call may have. They come in parts, which are nothing until the last call makes a job of
all; what is decided of a large job holds from its one write on, before its tasks are written one by one."""

import pytest

from redis_server import A_CALL, EVER, SECOND, TESTER, WEB, RedisError, Verbs, now

COMPLETED, TERMINATED = 7, 8
DIGEST = "parts"
SYSTEMS = [f"s{number:04}.example" for number in range(1200)]


@pytest.fixture(name="large")
def _large(redis):
    """The verbs over a connection each, without waiting for the disk; an inventory of 1,200 systems in three groups."""
    redis.ask(TESTER, "CONFIG", "SET", "appendfsync", "no")
    verbs = Verbs(redis.ask)
    verbs.tester = lambda *words: redis.ask(TESTER, *words)
    for first in range(0, len(SYSTEMS), 200):
        verbs("publish_chunk", "g", *(word for system in SYSTEMS[first:first + 200]
                                      for word in (system, f"floor{int(system[1:5]) % 3}", "wake", 1, system)))
    assert verbs("publish_switch", "w0", "g", DIGEST, 2000, len(SYSTEMS), 2 * len(SYSTEMS), *verbs.edition()) == ["ok"]
    yield verbs
    redis.ask(TESTER, "CONFIG", "SET", "appendfsync", "always")


def part(verbs, job, names, first, verb="submit_part", caller="alice", message="", not_after=EVER, limits=("0/0", "0/0"),
         groups=("*",)):
    mine = names[first:first + A_CALL]
    return verbs(verb, job, caller, f"sha-{caller}", "192.0.2.1", "krb5", message, not_after, 1800 * SECOND, 3600 * SECOND,
                 *limits, f"{first}/{len(names)}", len(groups), *groups, *verbs.spelled(mine))


def parts(verbs, job, names, **more):
    """All but the last."""
    for first in range(0, len(names) - A_CALL, A_CALL):
        assert part(verbs, job, names, first, **more) == ["ok"]
    return (len(names) - 1) // A_CALL * A_CALL


def claim_all(verbs, worker="w1"):
    tasks, before = [], -1
    while len(tasks) > before or verbs.tester("EXISTS", "{amtu}:queue:parts", "{amtu}:ring"):
        before = len(tasks)
        tasks += verbs.claim(worker, digest=DIGEST)
    return tasks


def nothing_is_there(verbs, job):
    """But for what expires by itself."""
    assert verbs.read(job) == "none" and verbs.list() == [] and verbs.claim(digest=DIGEST) == []
    assert verbs.cancel(job) == "none" and verbs.forget(job) == "none"
    assert verbs("overview")[1:4] == ["0", "0", "0"]
    assert verbs.tester("EXISTS", "{amtu}:caller:sha-alice", "{amtu}:jobs:sha-alice", "{amtu}:deadlines", "{amtu}:kept") == 0
    left = [key for key in verbs.tester("KEYS", f"{{amtu}}:*{job}*")]
    assert all(0 < verbs.tester("TTL", key) <= 65 for key in left)
    return left


def test_parts_become_a_job_at_once_and_all_of_it_is_unlocked(large):
    names = [name for n, system in enumerate(SYSTEMS) for name in ((system.upper(),) if n % 5 else (f"no-{n}", system))]
    names += names[:7]  # again, in another part
    last = parts(large, "j1", names)
    assert len(nothing_is_there(large, "j1")) == 3
    assert part(large, "j1", names, last, "submit") == ["ok", "j1", "0"]
    assert large.tester("EXISTS", "{amtu}:job:j1:staged") == 0
    assert [large.tester("TTL", "{amtu}:job:j1" + rest) for rest in ("", ":tasks", ":names")] == [-1] * 3
    job = large.read("j1")
    assert (job["total"], job["waiting"], job["failed"]) == (1440, 1200, 240)
    assert large.tester("HMGET", "{amtu}:caller:sha-alice", "kept", "names", "waiting") == ["1", str(len(names)), "1200"]
    tasks = claim_all(large)
    assert [task.system for task in tasks if task.system[4] == "0"][:5] == SYSTEMS[0:50:10], "in their order"
    assert sorted(task.system for task in tasks) == SYSTEMS
    for task in tasks:
        assert large.finish(task) == "ok"
    assert large.results("j1") == ([name for name in names if name[0] != "n"], [name for name in names if name[0] == "n"])
    assert large.read("j1")["state"] == COMPLETED and large.forget("j1") == "ok"
    assert large.tester("KEYS", "{amtu}:*j1*") == []


def test_a_part_that_comes_twice_counts_once(large):
    for first in (0, 0, 500, 0, 500):
        assert part(large, "j1", SYSTEMS, first) in (["ok"], ["already"])
    assert part(large, "j1", SYSTEMS, 1000, "submit") == ["ok", "j1", "0"]
    assert part(large, "j1", SYSTEMS, 1000, "submit") == ["ok", "j1", "0"], "its answer was lost"
    assert part(large, "j1", SYSTEMS, 0)[:2] == ["ok", "j1"]
    assert part(large, "j1", SYSTEMS, 0, caller="bob")[0] == "refused"
    assert large.read("j1")["total"] == 1200 and len(claim_all(large)) == 1200


@pytest.mark.parametrize("lost", ["all", "the last"])
def test_parts_that_are_gone_make_no_job(large, lost):
    part(large, "j1", SYSTEMS, 0)
    if lost == "all":
        for key in large.tester("KEYS", "{amtu}:job:j1*"):
            large.tester("PEXPIRE", key, 0)
    assert part(large, "j1", SYSTEMS, 1000, "submit") == ["conflict", "the names before are gone"]
    assert part(large, "j1", SYSTEMS, 1000)[0] == "conflict"
    nothing_is_there(large, "j1")


def test_what_counts_the_parts_is_gone_before_they_are(large):
    part(large, "j1", SYSTEMS, 0)
    large.tester("PEXPIRE", "{amtu}:job:j1:staged", 30_000)
    part(large, "j1", SYSTEMS, 500)
    left = [large.tester("PTTL", "{amtu}:job:j1:" + rest) for rest in ("staged", "tasks", "names")]
    assert left[0] < left[1] - 3000 and left[0] < left[2] - 3000


def test_two_callers_and_one_message_id(large):
    """A console repeats its request while an httpd still works on it, and another caller has the same id by chance."""
    for job, caller in (("j1", "alice"), ("j2", "alice"), ("b1", "bob")):
        parts(large, job, SYSTEMS, caller=caller, message="u/n")
    assert part(large, "j2", SYSTEMS, 1000, "submit", message="u/n") == ["ok", "j2", "0"]
    assert part(large, "j1", SYSTEMS, 1000, "submit", message="u/n") == ["ok", "j2", "1"]
    assert large.tester("KEYS", "{amtu}:job:j1*") == []
    assert part(large, "j3", SYSTEMS, 0, message="u/n") == ["ok", "j2", "1"], "said with the first part"
    assert part(large, "b1", SYSTEMS, 1000, "submit", caller="bob", message="u/n") == ["ok", "b1", "0"]
    assert large.list() == ["j2"] and len(claim_all(large)) == 1200


@pytest.mark.parametrize("limits, word", [
    (("0/0", "400/0"), "systems"), (("0/0", "0/1199"), "names"), (("1/0", "0/0"), "jobs"), (("0/1", "0/0"), "kept")])
def test_what_will_be_refused_is_refused_with_the_first_part(large, limits, word):
    large.submit("before", "nosuch.example", SYSTEMS[0])
    assert part(large, "j1", SYSTEMS, 0, limits=limits) == ["quota", word]
    assert large.tester("KEYS", "{amtu}:job:j1*") == []
    parts(large, "j2", SYSTEMS)
    assert part(large, "j2", SYSTEMS, 1000, "submit", limits=limits) == ["quota", word], "another job came in between"
    assert large.tester("KEYS", "{amtu}:job:j2*") == []


def test_a_redis_that_is_killed_between_the_parts_goes_on(redis, large):
    redis.ask(TESTER, "CONFIG", "SET", "appendfsync", "always")
    last = parts(large, "j1", SYSTEMS)
    redis.kill()
    redis.start()
    redis.ask(TESTER, "CONFIG", "SET", "appendfsync", "no")
    assert part(large, "j1", SYSTEMS, last, "submit") == ["ok", "j1", "0"]
    redis.kill()
    redis.start()
    assert len(claim_all(large)) == 1200


def test_no_memory_between_the_parts_and_calls_that_come_too_late(large):
    part(large, "j1", SYSTEMS, 0)
    large.tester("CONFIG", "SET", "maxmemory", 1)
    for verb, first in (("submit_part", 500), ("submit", 1000)):
        with pytest.raises(RedisError, match="OOM"):
            part(large, "j1", SYSTEMS, first, verb)
    large.tester("CONFIG", "SET", "maxmemory", 0)
    assert part(large, "j1", SYSTEMS, 500, not_after=now(large.tester) - SECOND) == ["late"]
    assert part(large, "j1", SYSTEMS, 500) == ["ok"]
    assert part(large, "j1", SYSTEMS, 1000, "submit", not_after=now(large.tester) - SECOND) == ["late"]
    nothing_is_there(large, "j1")
    assert part(large, "j1", SYSTEMS, 1000, "submit") == ["ok", "j1", "0"]


def test_denied_names_of_all_parts_are_noted_once(large):
    last = parts(large, "j1", SYSTEMS, groups=("floor0",))
    answer = part(large, "j1", SYSTEMS, last, "submit", groups=("floor0",))
    listed = " ".join(system for system in SYSTEMS[:15] if int(system[1:5]) % 3)
    assert answer[:3] == ["ok", "j1", "0"] and answer[3].startswith("800 " + listed)
    entry, = large("denied")[1]
    assert entry.splitlines()[-1] == answer[3]
    assert large.read("j1")["waiting"] == 400 and len(claim_all(large)) == 400


def test_a_call_takes_no_more_names_than_it_may(large):
    with pytest.raises(RedisError, match="more than 500 names"):
        large.submit("j1", *SYSTEMS, a_call=501)
    with pytest.raises(RedisError, match="100000 in all"):
        part(large, "j1", SYSTEMS * 84, 0)


def test_forged_entries_hold_nobody_up(large):
    for first in range(0, 300, 100):
        large.ask(WEB, "RPUSH", "{amtu}:queue:parts", *(f"forged{n}" * 40 for n in range(first, first + 100)))
    large.submit("j1", *SYSTEMS)
    assert len(claim_all(large)) == 1200


# ---- what is decided of a job as a whole -------------------------------------------------------------------


def decide(verbs, how):
    """By one call, as if its caller died behind it: most tasks are not written yet."""
    if how == "cancelled":
        assert verbs("cancel", "sha-alice", "j1", EVER) == ["ok", "more"]
    else:
        verbs.tester("HSET", "{amtu}:job:j1", "start_by", 1)
        verbs.tester("ZADD", "{amtu}:deadlines", 1, "j1")


def untouched(verbs):
    return [system for system in SYSTEMS if verbs.tester("HGET", "{amtu}:job:j1:tasks", system)[0] in "QCJ"]


@pytest.mark.parametrize("how", ["cancelled", "overdue"])
@pytest.mark.parametrize("queued", [True, False])
def test_the_word_of_a_job_counts_before_its_tasks_are_written(large, how, queued):
    state, reason = (TERMINATED, "cancelled") if how == "cancelled" else (COMPLETED, "timeout")
    large.submit("j1", *SYSTEMS)
    for _ in range(8 if queued else 0):
        large("claim", "w1", DIGEST, 0, EVER, 30 * SECOND)
    assert large.tester("EXISTS", "{amtu}:queue:parts") == (0 if queued else 1)
    decide(large, how)
    assert len(untouched(large)) >= 900
    job = large.read("j1")
    assert (job["state"], job["waiting"], job["failed"]) == (state, 0, 1200)
    assert large.errors("j1") == [(system, "", reason) for system in SYSTEMS]
    assert large.cancel("j1") == "conflict"
    assert claim_all(large) == [] and large.cancel("j1") == "conflict"
    large.reap()
    assert untouched(large) == [] and large.errors("j1") == [(system, "", reason) for system in SYSTEMS]
    assert large.tester("HGET", "{amtu}:job:j1", "state") == str(state) and large.tester("TTL", "{amtu}:job:j1:tasks") > 0
    assert large.tester("HMGET", "{amtu}:caller:sha-alice", "waiting", "unfinished") == ["0", "0"]
    assert large.tester("KEYS", "{amtu}:queue:*") == [] and large.tester("EXISTS", "{amtu}:ring", "{amtu}:deadlines") == 0
    assert large.counters()[f"failed:{reason}"] == 1200


@pytest.mark.parametrize("how", ["cancelled", "overdue"])
def test_a_job_that_ended_by_its_word_is_deleted_when_all_is_written(large, how):
    large.submit("j1", *SYSTEMS)
    decide(large, how)
    answers = [large("forget", "sha-alice", "j1")[0]]
    while answers[-1] == "again":
        answers.append(large("forget", "sha-alice", "j1")[0])
    assert answers[-1] == "ok" and len(answers) > 2
    assert large.tester("KEYS", "{amtu}:*j1*") == [] and large("overview")[1:3] == ["0", "0"]


def test_what_was_claimed_or_had_joined_is_not_begun_any_more(large):
    large.submit("b1", *SYSTEMS[-20:], caller="bob")
    held = large.claim(digest=DIGEST) + large.claim(digest=DIGEST)
    assert len(held) == 20
    large.submit("j1", *SYSTEMS)
    mine = claim_all(large)
    assert len(mine) == 1180 and large.intend(mine[-1]) == "ok"
    decide(large, "cancelled")
    assert len(untouched(large)) > 900
    assert large.intend(mine[-2]) == "refused" and large.release(mine[-3]) == "ok"
    assert large.finish(mine[-4]) == "refused"
    assert large.renew("w1", mine[-5], mine[-1]) == [mine[-5].ref]
    assert large.finish(mine[-1]) == "ok", "its PC may have been powered"
    assert large.finish(held[0]) == "ok" and large.finish(held[1], "F", "no-prompt") == "ok"
    unlocked, failed = large.results("j1")
    assert unlocked == [mine[-1].system] and len(failed) == 1199
    large.reap()
    assert {error[2] for error in large.errors("j1")} == {"cancelled"} and len(large.errors("j1")) == 1199
    assert large.read("j1")["state"] == TERMINATED
    large.submit("c1", mine[-2].system, caller="carol")
    assert [task.job for task in claim_all(large)] == ["c1"], "its system is free"


def test_what_is_overdue_stays_so_when_it_is_cancelled(large):
    large.submit("j1", *SYSTEMS)
    task = large.claim_one(digest=DIGEST)
    decide(large, "overdue")
    assert large("cancel", "sha-alice", "j1", EVER) == ["ok", "more"]
    reasons = dict((name, reason) for name, _, reason in large.errors("j1"))
    assert reasons.pop(task.system) == "cancelled" and set(reasons.values()) == {"timeout"}
    large.reap()
    assert dict((name, reason) for name, _, reason in large.errors("j1")) == {**reasons, task.system: "cancelled"}


def test_many_that_joined_are_told_by_later_calls(large):
    """A new holder of the same PC, and those that join it, have nothing to do with them."""
    system = SYSTEMS[0]
    large.submit("first", system)
    task = large.claim_one(digest=DIGEST)
    for number in range(70):
        large.submit(f"j{number}", system, caller="bob")
    assert claim_all(large) == []
    assert large.finish(task, "F", "no-prompt", "console") == "ok"
    waiting = [f"j{number}" for number in range(70) if large.read(f"j{number}", caller="bob")["state"] != COMPLETED]
    assert len(waiting) == 50
    large.submit("second", system)
    holder = large.claim_one("w2", digest=DIGEST)
    large.submit("third", system, caller="bob")
    while large.tester("EXISTS", "{amtu}:system::told"):
        assert large.claim("w2", digest=DIGEST) == []
    for number in range(70):
        assert large.errors(f"j{number}", caller="bob") == [(system, "console", "no-prompt")]
    large.claim("w2", digest=DIGEST)
    assert large.finish(holder) == "ok"
    assert large.results("third", caller="bob") == ([system], []) and large.tester("KEYS", "{amtu}:system:*") == []


def test_many_that_joined_wait_again_when_their_holder_is_released(large):
    large.submit("first", SYSTEMS[0])
    task = large.claim_one(digest=DIGEST)
    for number in range(50):
        large.submit(f"j{number}", SYSTEMS[0], caller="bob")
    assert claim_all(large) == []
    assert large.release(task) == "ok" and large.reap() == 0
    holder, = claim_all(large, "w2")
    assert large.finish(holder) == "ok"
    large.reap()
    assert all(large.read(f"j{number}", caller="bob")["state"] == COMPLETED for number in range(50))
    assert large.read("first")["state"] == COMPLETED


def test_lines_that_wait_are_not_looked_at_again_and_again(large):
    """More of them than one claim looks at: the next one goes on behind them."""
    for first in range(0, 3000, 500):
        large.ask(WEB, "ZADD", "{amtu}:turns:sha-x", *(word for n in range(first, first + 500) for word in ("0", f"x{n}:slow")))
    large.ask(WEB, "ZADD", "{amtu}:turns:sha-x", "1", "real:floor0")
    large.ask(WEB, "ZADD", "{amtu}:ring", "0", "sha-x")
    large.tester("HSET", "{amtu}:ramp", "claim:slow", f"{now(large.tester) + 600 * SECOND}|{now(large.tester)}")
    large.submit("real", SYSTEMS[0], caller="x")
    found, calls = [], 0
    while not found and calls < 20:
        word, more, found = large("claim", "w1", DIGEST, 9, EVER, 30 * SECOND, "slow", 3600 * SECOND)
        assert word == "ok" and (found or more == "1")
        calls += 1
    assert [task[0] for task in found] == ["real"] and calls > 1
    assert large.claim(digest=DIGEST, limits=("slow", 3600 * SECOND)) == []
