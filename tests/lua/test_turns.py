# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is, how fast a group may be powered, and which PCs are left alone."""

import pytest

from redis_server import SECOND, now

DIGEST = "digest-turns"
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def publish(verbs, **groups):
    """Systems NAME-0, NAME-1, ... of each group; their names by group."""
    names = {group: [f"{group}-{number}.example" for number in range(count)] for group, count in groups.items()}
    systems = {system: (group, []) for group, members in names.items() for system in members}
    assert verbs.publish(systems, digest=DIGEST, written=2000) == ["ok"]
    return names


def order(verbs, count, **more):
    """The jobs of the next claims, one task each."""
    return [task.job for _ in range(count) for task in verbs.claim(most=1, digest=DIGEST, **more)]


def claimed(verbs, most):
    """The jobs of the next tasks, as many claims as it takes."""
    jobs = []
    while len(jobs) < most:
        jobs += [task.job for task in verbs.claim(most=most - len(jobs), digest=DIGEST)]
    return jobs


# ---- turns -------------------------------------------------------------------------------------------------


def test_few_do_not_wait_behind_many_of_another_caller(verbs):
    names = publish(verbs, many=2000, few=20)
    verbs.submit("big", *names["many"])
    order(verbs, 5)
    verbs.submit("small", *names["few"], caller="bob")
    jobs = claimed(verbs, 40)
    assert jobs.count("small") == 20, "all of them, before as many of the others were claimed"
    assert jobs.count("big") > 0, "a caller with many is not starved either"


def test_few_do_not_wait_behind_many_of_the_same_caller(verbs):
    names = publish(verbs, many=2000, few=20)
    verbs.submit("big", *names["many"])
    order(verbs, 5)
    verbs.submit("small", *names["few"])
    jobs = claimed(verbs, 40)
    assert jobs.count("small") == 20 and jobs.count("big") > 0


def test_a_caller_with_many_jobs_has_one_callers_share(verbs):
    names = publish(verbs, a=50, b=50)
    for number in range(10):
        verbs.submit(f"a{number}", *names["a"][number * 5:number * 5 + 5])
    verbs.submit("b", *names["b"], caller="bob")
    claimed = order(verbs, 40)
    assert 18 <= claimed.count("b") <= 22


def test_who_comes_again_and_again_does_not_keep_others_waiting(verbs):
    names = publish(verbs, a=5, b=60)
    verbs.submit("patient", *names["a"], caller="zoe")
    claimed = []
    for number in range(60):
        verbs.submit(f"b{number:02}", names["b"][number], caller=f"bob{number:02}")
        claimed += order(verbs, 1)
    assert claimed[:10].count("patient") >= 3


def test_a_cancelled_job_leaves_the_turns(verbs, tester):
    names = publish(verbs, a=4, b=1)
    verbs.submit("a1", *names["a"])
    verbs.submit("b1", *names["b"], caller="bob")
    verbs.cancel("a1")
    assert tester("EXISTS", "{amtu}:queue:a1:a", "{amtu}:turns:sha-alice") == 0
    assert tester("ZRANGE", "{amtu}:ring", 0, -1) == ["sha-bob"]
    assert order(verbs, 2) == ["b1"]


# ---- the rate limit ----------------------------------------------------------------------------------------


def test_a_group_is_powered_at_its_pace(verbs):
    names = publish(verbs, slow=10, free=3)
    verbs.submit("j1", *names["slow"], *names["free"])
    tasks = verbs.claim(digest=DIGEST, limits=("slow", SECOND))
    # Those of the two seconds to come, and all of the other group.
    assert sorted(task.system.split("-")[0] for task in tasks) == ["free"] * 3 + ["slow"] * 3
    assert verbs.claim("w2", digest=DIGEST, limits=("slow", SECOND)) == [], "whichever worker asks"


def test_each_power_request_gets_a_time_of_its_own(verbs):
    names = publish(verbs, slow=4)
    verbs.submit("j1", *names["slow"])
    tasks = verbs.claim("w1", 2, digest=DIGEST) + verbs.claim("w2", 2, digest=DIGEST)
    assert verbs.power_rate(tasks[0], "slow", MINUTE) == "refused", "only after its intent"
    for task in tasks:
        verbs.intend(task)
    waits = [verbs.power_rate(task, "slow", MINUTE) for task in tasks[:3]]
    assert waits[0] == 0 and all(abs(later - earlier - MINUTE) < SECOND for earlier, later in zip(waits, waits[1:]))
    assert verbs.power_rate(tasks[3], "other", MINUTE) == 0
    assert verbs.power_rate(tasks[3], "slow", MINUTE, fence="1") == "refused"
    assert verbs.power_rate(tasks[3], "slow", MINUTE, worker="w9") == "refused"


def taken_over(verbs, task):
    """By another worker, with an intent of its own."""
    assert verbs.release(task) == "ok"
    one, = verbs.claim("w2", 1, digest=DIGEST)
    assert one.system == task.system and verbs.intend(one) == "ok"
    return one


def test_a_time_goes_along_with_a_task_that_is_taken_over(verbs, tester):
    names = publish(verbs, slow=4)
    verbs.submit("j1", *names["slow"])
    tasks = verbs.claim("w1", 4, digest=DIGEST)
    for task in tasks:
        verbs.intend(task)
    waits = [verbs.power_rate(task, "slow", MINUTE) for task in tasks[:3]]
    third, second = taken_over(verbs, tasks[2]), taken_over(verbs, tasks[1])
    for task, before in ((third, waits[2]), (second, waits[1])):
        assert before - 10 * SECOND < verbs.power_rate(task, "slow", MINUTE) <= before, "its own, whoever asks first"
    assert 2 * MINUTE < verbs.power_rate(tasks[3], "slow", MINUTE) <= 3 * MINUTE, "none was wasted"
    first = taken_over(verbs, tasks[0])
    assert 3 * MINUTE < verbs.power_rate(first, "slow", MINUTE) <= 4 * MINUTE, "what is over would let many go at once"
    assert verbs.power_rate(taken_over(verbs, third), "other", MINUTE) == 0, "it is in another group now"
    ahead = now(tester) + HOUR
    tester("HSET", f"{{amtu}}:system:{second.system}", "power_at", f"{ahead + MINUTE}|{ahead}|power:slow")
    assert 4 * MINUTE < verbs.power_rate(second, "slow", MINUTE) <= 5 * MINUTE, "Redis' clock was set back since"


def test_a_rate_limit_delays_no_other_group_and_wakes_no_worker(verbs, tester):
    names = publish(verbs, slow=10, free=1)
    verbs.submit("j1", *names["slow"])
    assert len(verbs.claim(digest=DIGEST, limits=("slow", MINUTE))) == 1
    tester("DEL", "{amtu}:bell")
    assert verbs("claim", "w1", DIGEST, 9, 10**17, 30 * SECOND, "slow", MINUTE)[1:] == ["0", []]
    assert tester("LLEN", "{amtu}:bell") == 0
    verbs.submit("j2", *names["free"])
    assert [task.job for task in verbs.claim(digest=DIGEST, limits=("slow", MINUTE))] == ["j2"]


def test_the_default_counts_each_group_by_itself(verbs):
    names = publish(verbs, a=5, b=5, c=5)
    verbs.submit("j1", *names["a"], *names["b"], *names["c"])
    tasks = verbs.claim(digest=DIGEST, limits=("*", MINUTE, "c", 0))
    assert sorted(task.system[0] for task in tasks) == ["a", "b", "c", "c", "c", "c", "c"]


def test_a_clock_that_was_set_back_does_not_block_a_group(verbs, tester):
    names = publish(verbs, slow=5)
    tester("HSET", "{amtu}:ramp", "claim:slow", 9 * 10**15, "power:slow", 9 * 10**15)
    verbs.submit("j1", *names["slow"])
    task, = verbs.claim(most=1, digest=DIGEST, limits=("slow", SECOND))
    verbs.intend(task)
    assert verbs.power_rate(task, "slow", SECOND) == 0
    assert all(int(tester("HGET", "{amtu}:ramp", field).partition("|")[0]) < 9 * 10**15
               for field in ("claim:slow", "power:slow"))


def test_a_rate_limit_moves_with_a_clock_that_is_set_back_by_less_than_it_may_be_long(verbs, tester):
    names = publish(verbs, slow=5)
    verbs.submit("j1", *names["slow"])
    task, other = verbs.claim(most=2, digest=DIGEST)
    for each in task, other:
        verbs.intend(each)
    set_then = now(tester) + 1800 * SECOND
    tester("HSET", "{amtu}:ramp", "power:slow", f"{set_then + 7 * SECOND}|{set_then}")
    assert 6 * SECOND < verbs.power_rate(task, "slow", SECOND) <= 7 * SECOND
    assert 7 * SECOND < verbs.power_rate(other, "slow", SECOND) <= 8 * SECOND


def test_claims_that_wait_for_a_rate_limit_go_on_after_a_clock_was_set_back(verbs, tester):
    names = publish(verbs, slow=5)
    verbs.submit("j1", *names["slow"])
    set_then = now(tester) + 1800 * SECOND
    tester("HSET", "{amtu}:ramp", "claim:slow", f"{set_then + 22 * SECOND // 10}|{set_then}")
    assert verbs.claim(digest=DIGEST, limits=("slow", SECOND)) == [], "more than two seconds ahead"
    until = now(tester) + 5 * SECOND
    while not (claimed := verbs.claim(most=1, digest=DIGEST, limits=("slow", SECOND))) and now(tester) < until:
        pass
    assert len(claimed) == 1


# ---- the breaker -------------------------------------------------------------------------------------------


def fail(verbs, job, reason, caller="alice"):
    verbs.submit(job, "pc1.example", caller=caller)
    tasks = verbs.claim()
    for task in tasks:
        assert verbs.finish(task, "F", reason) == "ok"
    return bool(tasks)


@pytest.mark.parametrize("reason, times", [("unreachable", 3), ("amt-fault", 3), ("auth-failed", 2)])
def test_a_pc_that_fails_again_and_again_is_left_alone(verbs, reason, times):
    for number in range(times):
        assert fail(verbs, f"j{number}", reason)
    assert not fail(verbs, "last", reason, caller="bob")
    assert verbs.errors("last", caller="bob") == [("pc1.example", "left-alone", reason)]
    assert verbs.counters()["left_alone"] == 1
    verbs.submit("other", "pc2.example")
    assert len(verbs.claim()) == 1, "others are not"


def test_a_failure_without_blame_does_not_count(verbs, tester):
    for number in range(4):
        verbs.submit(f"j{number}", "pc1.example")
        assert verbs.finish(verbs.claim_one(), "F", "unreachable", "resolve", blameless=True) == "ok"
    assert tester("EXISTS", "{amtu}:breaker:pc1.example") == 0
    assert fail(verbs, "last", "unreachable")
    assert tester("HGET", "{amtu}:breaker:pc1.example", "failures") == "1"


def test_after_a_while_one_task_is_let_through(verbs, tester):
    for number in range(3):
        fail(verbs, f"j{number}", "unreachable")
    tester("HSET", "{amtu}:breaker:pc1.example", "until", 1)
    assert fail(verbs, "again", "unreachable")
    assert not fail(verbs, "closed", "unreachable"), "it decides how it goes on"
    tester("HSET", "{amtu}:breaker:pc1.example", "until", 1)
    verbs.submit("well", "pc1.example")
    verbs.finish(verbs.claim_one())
    assert tester("EXISTS", "{amtu}:breaker:pc1.example") == 0
    assert fail(verbs, "once", "unreachable") and fail(verbs, "twice", "unreachable")


def test_what_is_no_fault_of_the_pc_does_not_count(verbs):
    for number, reason in enumerate(["busy", "no-secret", "already-on", "internal", "indeterminate"]):
        assert fail(verbs, f"j{number}", reason)
    assert fail(verbs, "last", "busy")


def test_another_fault_begins_anew(verbs):
    for number, reason in enumerate(["unreachable", "unreachable", "auth-failed", "unreachable", "unreachable"]):
        assert fail(verbs, f"j{number}", reason)
    assert fail(verbs, "last", "auth-failed"), "somebody is working on it"


def test_failures_are_forgotten(verbs, tester):
    fail(verbs, "j1", "unreachable")
    assert 0 < tester("TTL", "{amtu}:breaker:pc1.example") <= 1800


# ---- the bound ---------------------------------------------------------------------------------------------


def test_all_callers_together_have_a_bound(verbs, tester):
    verbs.submit("j1", "pc1.example")
    tester("HSET", "{amtu}:totals", "waiting", 200000)
    verbs.submit("j0", "nosuch.example", caller="bob")
    tester("HSET", "{amtu}:caller:sha-bob", "waiting", 2000)
    assert verbs.submit("j2", "pc2.example", caller="bob") == ["quota", "everybody"]
    assert verbs.submit("j3", "pc3.example", caller="carol")[0] == "ok", "who has little waiting is not refused for others"
    tester("HSET", "{amtu}:totals", "waiting", 199999)
    assert verbs.submit("j2", "pc2.example", caller="bob")[0] == "ok"
