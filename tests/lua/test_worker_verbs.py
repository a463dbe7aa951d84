# SPDX-License-Identifier: Apache-2.0
"""What the workers' verbs promise, each as the worker's user."""

import re

import pytest

from redis_server import EVER, LEASE, SECOND, RedisError, Task, now

RUNNING, COMPLETED, TERMINATED = 4, 7, 8


def state(tester, job, system):
    return tester("HGET", f"{{amtu}}:job:{job}:tasks", system)[0]


# ---- claim -------------------------------------------------------------------------------------------------


def test_a_claim_says_who_asked(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    assert (task.job, task.system, task.taken_over, task.intent) == ("j1", "pc1.example", False, "")
    assert (task.caller, task.peer, task.mechanism) == ("alice", "192.0.2.1", "krb5")
    assert verbs.read("j1")["state"] == RUNNING
    assert tester("HGET", "{amtu}:system:pc1.example", "worker") == "w1"
    assert verbs.claim() == []


def test_fences_grow_and_keep_all_their_digits(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    one, two = verbs.claim()
    assert int(two.fence) == int(one.fence) + 1
    assert len(one.fence) == 16 and tester("GET", "{amtu}:fence") == two.fence
    # a clock that was set back does not bring an old fence again
    tester("SET", "{amtu}:fence", "9000000000000001")
    verbs.submit("j2", "pc3.example")
    assert verbs.claim_one().fence == "9000000000000002"


def test_callers_take_turns(verbs):
    verbs.submit("a1", "pc1.example", "pc2.example", "pc3.example")
    verbs.submit("b1", "vault.example", caller="bob")
    assert [task.job for task in verbs.claim(most=2)] == ["a1", "b1"]
    assert [task.job for task in verbs.claim()] == ["a1", "a1"]


def test_a_caller_served_longest_ago_is_next(verbs):
    systems = {f"s{i}.example": ("g", []) for i in range(12)}
    verbs.publish(systems, written=2000, digest="digest-1b")
    names = list(systems)
    verbs.submit("a", *names[:6])
    verbs.submit("b", *names[6:10], caller="bob")
    order = [verbs.claim_one(digest="digest-1b").job for _ in range(4)]
    verbs.submit("c", *names[10:], caller="carol")
    order += [verbs.claim_one(digest="digest-1b").job for _ in range(6)]
    assert order == ["a", "b", "a", "b", "a", "b", "c", "a", "b", "c"]


def test_more_rings_the_bell_again(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    tester("DEL", "{amtu}:bell")
    assert verbs("claim", "w1", "digest-1", 1, EVER, LEASE)[1] == "1"
    assert tester("LLEN", "{amtu}:bell") == 1
    tester("DEL", "{amtu}:bell")
    verbs.claim()
    assert verbs("claim", "w1", "digest-1", 1, EVER, LEASE)[1] == "0"
    assert tester("LLEN", "{amtu}:bell") == 0


def test_a_late_claim_takes_nothing(verbs):
    verbs.submit("j1", "pc1.example")
    assert verbs("claim", "w1", "digest-1", 1, 1, LEASE) == ["late"]
    assert verbs.read("j1")["waiting"] == 1


def test_a_worker_with_another_inventory_gets_nothing(verbs):
    verbs.submit("j1", "pc1.example")
    assert verbs("claim", "w1", "digest-2", 1, EVER, LEASE) == ["refused", "inventory"]


def test_a_system_that_left_the_inventory_is_not_available(verbs):
    verbs.submit("j1", "pc1.example", "pc2.example")
    assert verbs.publish({"pc2.example": ("floor1", [])}, digest="digest-2", written=2000) == ["ok"]
    assert [task.system for task in verbs.claim(digest="digest-2")] == ["pc2.example"]
    assert verbs.errors("j1") == [("pc1.example", "", "not-available")]


def test_a_task_past_its_latest_start_is_not_claimed(verbs, tester):
    verbs.submit("j1", "pc1.example")
    tester("HSET", "{amtu}:job:j1", "start_by", "1")
    assert verbs.claim() == []
    assert verbs.errors("j1") == [("pc1.example", "", "timeout")]
    assert verbs.read("j1")["state"] == COMPLETED


def test_one_claim_takes_a_bounded_number(verbs, redis_server):
    wire = redis_server.wire("tester")
    fast = type(verbs)(lambda user, *words: wire(*words))
    systems = {f"s{i}.example": ("g", []) for i in range(300)}
    fast.publish(systems, written=2000, digest="many")
    fast.submit("j1", *systems)
    assert [len(fast.claim(most=100000, digest="many")) for _ in range(20)] == [16] * 18 + [12, 0]
    wire.close()


def test_workers_that_run_share_what_waits(verbs, tester):
    """Each takes half of its part at a time, and rings for the others. One that is alone takes all; who was not heard for
    9 s is not there."""
    systems = {f"s{i:02}.example": ("g", []) for i in range(42)}
    verbs.publish(systems, written=2000, digest="many")
    verbs.renew("w1")
    verbs.submit("j1", *list(systems)[:20])
    assert [len(verbs.claim("w1", most=128, digest="many")) for _ in range(3)] == [16, 4, 0]
    verbs.renew("w2")
    verbs.submit("j2", *list(systems)[20:40])
    taken = []
    for turn in range(5):
        tester("DEL", "{amtu}:bell")
        taken.append(len(verbs.claim(f"w{turn % 2 + 1}", most=128, digest="many")))
        assert tester("LLEN", "{amtu}:bell") == (1 if sum(taken) < 20 else 0)
    assert taken == [5, 4, 4, 4, 3]
    tester("ZADD", "{amtu}:workers", now(tester) - 10 * SECOND, "w2")
    verbs.submit("j4", *list(systems)[40:])
    assert len(verbs.claim("w1", most=128, digest="many")) == 2


def test_what_was_begun_is_shared_too(verbs, tester):
    """A worker that ends leaves its tasks to all the others."""
    systems = {f"s{i:02}.example": ("g", []) for i in range(20)}
    verbs.publish(systems, written=2000, digest="many")
    verbs.submit("j1", *systems)
    for task in verbs.claim("w0", most=128, digest="many"):
        verbs.intend(task)
        verbs.release(task)
    for worker in ("w1", "w2"):
        verbs.renew(worker)
    assert len(verbs.claim("w1", most=128, digest="many")) == 5


# ---- joining -----------------------------------------------------------------------------------------------


def test_a_second_request_joins_the_first_and_ends_with_it(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.submit("j2", "PC1.example", caller="bob")
    assert verbs.claim("w2") == []
    assert state(tester, "j2", "pc1.example") == "J"
    assert verbs.read("j2", caller="bob")["running"] == 1
    verbs.intend(task)
    verbs.finish(task, "F", "no-prompt", "console")
    assert verbs.errors("j2", caller="bob") == [("PC1.example", "console", "no-prompt")]
    assert verbs.read("j2", caller="bob")["state"] == COMPLETED
    assert tester("EXISTS", "{amtu}:system:pc1.example", "{amtu}:system:pc1.example:waiters", "{amtu}:leases") == 0


def test_a_cancelled_waiter_is_cancelled_and_the_owner_goes_on(verbs):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.submit("j2", "pc1.example", caller="bob")
    verbs.claim()
    assert verbs.cancel("j2", caller="bob") == "ok"
    assert verbs.errors("j2", caller="bob") == [("pc1.example", "", "cancelled")]
    assert verbs.finish(task) == "ok"
    assert verbs.read("j2", caller="bob")["failed"] == 1
    assert verbs.read("j1")["unlocked"] == 1


@pytest.mark.parametrize("how", ["release", "renew", "renewed unnamed"])
def test_a_waiter_takes_over_from_an_owner_cancelled_before_its_intent(verbs, how):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one(lease=LEASE if how != "renewed unnamed" else 0)
    for job, caller in (("j2", "bob"), ("j3", "carol")):
        verbs.submit(job, "pc1.example", caller=caller)
        assert verbs.claim("w2") == []
    verbs.cancel("j1")
    assert verbs.claim("w2") == []
    if how == "release":
        assert verbs.release(task) == "ok"
    elif how == "renew":
        assert verbs.renew("w1", task) == [task.ref]
    else:
        assert verbs.renew("w1") == []
    new = verbs.claim("w2")
    assert [each.job for each in new] == ["j2"]
    assert verbs.finish(new[0]) == "ok"
    assert verbs.read("j3", caller="carol")["unlocked"] == 1


def test_waiters_do_not_hang_on_a_first_one_that_is_cancelled_in_its_turn(verbs):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    for job, caller in (("j2", "bob"), ("j3", "carol")):
        verbs.submit(job, "pc1.example", caller=caller)
        verbs.claim("w2")
    verbs.cancel("j1")
    verbs.release(task)
    verbs.cancel("j2", caller="bob")
    assert [each.job for each in verbs.claim("w2")] == ["j3"]


# ---- intend ------------------------------------------------------------------------------------------------


def test_an_intent_is_written_once(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    assert verbs.intend(task) == "ok"
    assert verbs.intend(task) == "already"
    assert state(tester, "j1", "pc1.example") == "I"
    assert tester("HGET", "{amtu}:system:pc1.example", "intent") == '{"set":"power"}'
    assert verbs.progress(task, "P") == "ok"
    assert verbs.intend(task) == "refused"


WRONG = [{"worker": "w2"}, {"fence": "1"}, {"job": "j2"}, {"system": "pc2.example"}, {"fence": ""}]


@pytest.mark.parametrize("other", WRONG)
def test_what_does_not_match_writes_nothing(verbs, tester, other):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    before = tester("HGETALL", "{amtu}:job:j1:tasks"), tester("HGETALL", "{amtu}:system:pc1.example")
    assert verbs.intend(task, **other) == "refused"
    assert verbs.progress(task, "P", **other) == "refused"
    assert verbs.finish(task, **other) == "refused"
    assert verbs.release(task, **other) == "refused"
    named = {**task.named, **other}
    wrong = Task(named["worker"], named["job"], named["system"], named["fence"], "0", "", "", "", "")
    score = tester("ZSCORE", "{amtu}:leases", "pc1.example")
    assert verbs.renew(named["worker"], wrong, last=0) == [wrong.ref]
    assert tester("ZSCORE", "{amtu}:leases", "pc1.example") == score
    assert before == (tester("HGETALL", "{amtu}:job:j1:tasks"), tester("HGETALL", "{amtu}:system:pc1.example"))


def test_fences_that_differ_in_the_last_digit_differ(verbs):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    near = str(int(task.fence) ^ 1)  # no carry
    assert near[:14] == task.fence[:14]
    assert verbs.intend(task, fence=near) == "refused"
    assert verbs.intend(task) == "ok"


def test_an_intent_that_comes_late_or_after_its_lease_is_refused(verbs):
    verbs.submit("j1", "pc1.example", "pc2.example")
    one = verbs.claim_one()
    assert verbs.intend(one, not_after=1) == "late"
    two = verbs.claim_one(lease=0)
    assert verbs.intend(two) == "refused"
    assert verbs.intend(one) == "ok"


def test_two_lines_for_one_device_cannot_both_act(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    one, two = verbs.claim()
    assert verbs.intend(one, device="uuid-1") == "ok"
    assert verbs.intend(two, device="uuid-1") == "conflict"
    assert state(tester, "j1", "pc2.example") == "C"
    verbs.finish(one)
    assert verbs.intend(two, device="uuid-1") == "ok"
    verbs.finish(two)
    assert tester("EXISTS", "{amtu}:device:uuid-1") == 0


# ---- progress, finish, release -----------------------------------------------------------------------------


@pytest.mark.parametrize("one, two, word", [
    ("uuid-1/key-1", "uuid-1/key-1", "conflict"), ("uuid-1/key-1", "uuid-1/key-2", "ok"),
    ("uuid-1/key-1", "uuid-1", "conflict"), ("uuid-1", "uuid-1/key-1", "conflict"), ("uuid-1", "uuid-1", "conflict"),
    ("uuid-1/key-1", "uuid-2/key-1", "ok")])
def test_who_shows_another_key_is_another_device(verbs, tester, one, two, word):
    """A PC may say the UUID of any other; without TLS nothing else is known of it."""
    verbs.submit("j1", "pc1.example", "pc2.example", "pc3.example")
    first, second, third = verbs.claim()
    assert verbs.intend(first, device=one) == "ok"
    assert verbs.intend(second, device=two) == word
    assert verbs.intend(third, device=one) == "conflict", "whoever else says it meanwhile"
    for task in (first, second, third):
        verbs.finish(task, "F", "no-prompt")
    assert tester("KEYS", "{amtu}:device:*") == []


def test_progress_only_goes_forward(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    assert verbs.progress(task, "P") == "refused"
    verbs.intend(task)
    assert verbs.progress(task, "P") == "ok"
    assert verbs.progress(task, "P") == "already"
    assert verbs.progress(task, "P", step="other|step") == "ok"
    assert tester("HGET", "{amtu}:job:j1:tasks", "pc1.example").split("|")[4] == "other step"
    assert verbs.progress(task, "B") == "ok"
    assert verbs.progress(task, "P") == "refused"
    assert verbs.progress(task, "U") == "refused"


def test_a_result_is_taken_once(verbs):
    verbs.submit("j1", "pc1.example", "nosuch.example")
    task = verbs.claim_one()
    with pytest.raises(RedisError, match="ends U or F"):
        verbs.finish(task, "Q")
    assert verbs.finish(task) == "ok"
    assert verbs.finish(task) == "already"
    assert verbs.finish(task, "F", "no-prompt") == "refused"
    assert verbs.finish(task, worker="w2") == "refused"
    assert verbs.read("j1")["unlocked"] == 1 and verbs.read("j1")["failed"] == 1


def test_finish_keeps_the_job_for_its_retention(verbs, tester):
    verbs.submit("j1", "pc1.example", retention=2400 * SECOND, message="m1")
    verbs.finish(verbs.claim_one())
    for key in ("job:j1", "job:j1:tasks", "job:j1:names", "message:sha-alice:m1", "jobs:sha-alice"):
        assert 2390 < tester("TTL", "{amtu}:" + key) <= 2400, key
    assert tester("EXISTS", "{amtu}:jobs", "{amtu}:deadlines") == 0
    assert tester("HMGET", "{amtu}:caller:sha-alice", "unfinished", "waiting", "kept", "names") == ["0", "0", "1", "1"]


def test_release_before_the_intent_gives_the_task_back_to_the_head(verbs):
    verbs.submit("j1", "pc1.example", "pc2.example")
    task = verbs.claim_one()
    assert verbs.release(task) == "ok"
    assert verbs.release(task) == "already"
    assert verbs.read("j1")["waiting"] == 2
    again = verbs.claim_one("w2")
    assert again.system == "pc1.example" and again.fence != task.fence
    assert verbs.release(task) == "refused"


def intended(verbs, *marks, worker="w1", **more):
    """A task of pc1 with an intent and these marks."""
    task = verbs.claim_one(worker)
    assert verbs.intend(task, **more) == "ok"
    for mark in marks:
        assert verbs.mark(task, mark) == "ok"
    return task


@pytest.mark.parametrize("marks", [(), ("power",), ("power", "typed"), ("typed",)])
def test_release_after_the_intent_leaves_a_task_to_be_taken_over(verbs, tester, marks):
    verbs.submit("j1", "pc1.example")
    task = intended(verbs, *marks)
    assert verbs.release(task) == "ok"
    assert state(tester, "j1", "pc1.example") == "L"
    assert verbs.release(task) == "already"
    later = verbs.claim_one("w2")
    assert later.taken_over and later.intent == '{"set":"power"}' and later.marks == " ".join(marks)
    assert verbs.progress(later, "P") == verbs.mark(later, "typed") == verbs.finish(task) == "refused"
    assert verbs.intend(later, intent="{}") == ("refused" if "typed" in marks else "ok")
    assert verbs.release(later) == "ok"
    assert state(tester, "j1", "pc1.example") == "L"
    later = verbs.claim_one("w3")
    assert later.taken_over and later.marks == " ".join(marks)
    assert verbs.finish(later, "F", "indeterminate") == "ok"
    assert verbs.read("j1")["state"] == COMPLETED


def test_a_successors_intent_is_the_one_that_counts(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = intended(verbs, "power", device="uuid-1")
    verbs.release(task)
    later = verbs.claim_one("w2")
    assert verbs.intend(later, intent="{}", device="uuid-2") == "ok"
    assert verbs.intend(later) == "already"
    assert tester("HMGET", "{amtu}:system:pc1.example", "intent", "device", "marks") == ["{}", "uuid-2", "power"]
    assert tester("EXISTS", "{amtu}:device:uuid-1") == 0 and tester("GET", "{amtu}:device:uuid-2") == "pc1.example"
    assert verbs.mark(later) == "already" and verbs.mark(later, "typed") == "ok"
    assert verbs.mark(task, "typed") == verbs.intend(task) == "refused"
    assert verbs.progress(later, "B") == "ok"
    assert verbs.finish(later) == "ok" and tester("EXISTS", "{amtu}:system:pc1.example") == 0


def test_of_an_older_library_nobody_knows_what_was_done(verbs, tester):
    verbs.submit("j1", "pc1.example")
    verbs.release(intended(verbs))
    tester("HDEL", "{amtu}:system:pc1.example", "marks")
    later = verbs.claim_one("w2")
    assert later.marks == "unknown" and verbs.intend(later) == "refused"


def test_what_is_taken_over_goes_on_for_a_bounded_time(verbs, tester):
    """Else a PC that ends each worker that touches it would do so for ever."""
    verbs.submit("j1", "pc1.example")
    verbs.release(intended(verbs, deadline=100 * SECOND))
    first = int(tester("HGET", "{amtu}:system:pc1.example", "since"))

    def deadline():
        return int(tester("HGET", "{amtu}:job:j1:tasks", "pc1.example").split("|")[5])

    assert deadline() == first + 100 * SECOND
    for passed, longer in ((50, 150), (250, 350), (350, 400), (390, 400)):
        since = now(lambda *words: tester(*words)) - passed * SECOND
        tester("HSET", "{amtu}:system:pc1.example", "since", since)
        later = verbs.claim_one("w2")
        assert verbs.intend(later, deadline=100 * SECOND) == "ok"
        assert abs(deadline() - since - longer * SECOND) < SECOND
        verbs.release(later)
    tester("HSET", "{amtu}:system:pc1.example", "since", 10**17)  # Redis' clock was set back
    assert verbs.intend(verbs.claim_one("w2"), deadline=100 * SECOND) == "ok"
    assert deadline() < 2 * 10**16


def test_a_mark_is_its_holders_alone(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    task, other = sorted(verbs.claim(), key=lambda each: each.system)
    assert verbs.mark(task) == "refused", "it has no intent"
    verbs.intend(task)
    assert verbs.mark(task, "boot") == verbs.mark(task, "") == verbs.mark(task, "power typed") == "refused"
    assert verbs.mark(task, worker="w2") == verbs.mark(task, fence=other.fence) == "refused"
    assert verbs.mark(task, not_after=1) == "late"
    tester("ZADD", "{amtu}:leases", 1, "pc1.example")
    assert verbs.mark(task) == "refused"
    verbs.renew("w1", task, other)
    assert [verbs.mark(task), verbs.mark(task), verbs.mark(task, "typed")] == ["ok", "already", "ok"]
    assert tester("HGET", "{amtu}:system:pc1.example", "marks") == "power typed"
    verbs.finish(task)
    assert verbs.mark(task) == "refused"


def test_who_only_looks_may_mark_a_line_and_no_more(verbs):
    verbs.submit("j1", "pc1.example")
    verbs.release(intended(verbs, "power", "typed"))
    later = verbs.claim_one("w2")
    assert [verbs.mark(later, mark) for mark in ("power", "typed", "line", "line")] == ["refused", "refused", "ok", "already"]
    verbs.release(later)
    last = verbs.claim_one("w3")
    assert last.marks == "power typed line"
    assert verbs.mark(last, "again") == "ok"


@pytest.mark.parametrize("marks", [(), ("power",), ("power", "typed")])
def test_a_cancelled_job_begins_nothing_anew(verbs, tester, marks):
    """Who takes an unmarked task over takes back what was set, and ends it; who joined it waits again."""
    verbs.submit("j1", "pc1.example")
    task = intended(verbs, *marks)
    verbs.submit("j2", "pc1.example", caller="bob")
    verbs.claim("w3")
    verbs.release(task)
    assert verbs.cancel("j1") == "ok"
    later = verbs.claim_one("w2")
    assert later.taken_over
    assert verbs.intend(later, intent="{}") == {(): "cancelled", ("power",): "ok"}.get(marks, "refused")
    if not marks:
        assert verbs.finish(later, "F", "cancelled") == "ok"
        assert verbs.errors("j1") == [("pc1.example", "end", "cancelled")]
        assert verbs.read("j1")["state"] == TERMINATED
        assert state(tester, "j2", "pc1.example") == "Q"
        assert not verbs.claim_one("w3").taken_over
    else:
        assert verbs.finish(later, "F", "timeout") == "ok"
        assert state(tester, "j2", "pc1.example") == "F"


def test_tasks_to_be_verified_go_before_all_others(verbs):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    verbs.submit("j2", "pc2.example", caller="bob")
    verbs.release(task)
    assert [(each.system, each.taken_over)
            for each in verbs.claim("w2")] == [("pc1.example", True), ("pc2.example", False)]


def test_a_task_not_verified_by_its_deadline_is_indeterminate(verbs):
    verbs.submit("j1", "pc1.example", "pc2.example", "pc3.example")
    one, two, three = sorted(verbs.claim(), key=lambda task: task.system)
    for task in (one, two, three):
        verbs.intend(task, deadline=0)
    verbs.release(one)
    assert verbs.claim("w2") == []
    assert verbs.errors("j1") == [("pc1.example", "drain", "indeterminate")]
    verbs.release(two)
    assert verbs.reap() == 1
    assert ("pc2.example", "drain", "indeterminate") in verbs.errors("j1")
    assert verbs.finish(three) == "ok"


def test_a_worker_that_verifies_too_long_loses_its_task(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    verbs.release(task)
    verify = verbs.claim_one("w2")
    assert verbs.renew("w2", verify) == []
    fields = tester("HGET", "{amtu}:job:j1:tasks", "pc1.example").split("|")
    fields[5] = "1"
    tester("HSET", "{amtu}:job:j1:tasks", "pc1.example", "|".join(fields))
    assert verbs.renew("w2", verify) == [verify.ref]
    assert verbs.errors("j1")[0][2] == "indeterminate"
    assert verbs.finish(verify) == "refused"


# ---- renew, reap -------------------------------------------------------------------------------------------


def test_renew_keeps_what_it_names_and_is_a_heartbeat(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one(lease=SECOND)
    before = float(tester("ZSCORE", "{amtu}:leases", "pc1.example"))
    assert verbs.renew("w1", task) == []
    assert float(tester("ZSCORE", "{amtu}:leases", "pc1.example")) > before + 28 * SECOND
    assert tester("GET", "{amtu}:worker:w1") == "about w1"
    assert 10000 < tester("PTTL", "{amtu}:worker:w1") <= 15000


def test_a_heartbeat_alone_renews_and_loses_nothing(verbs, tester):
    verbs.submit("j1", "pc1.example")
    verbs.claim_one(lease=SECOND)
    before = tester("ZSCORE", "{amtu}:leases", "pc1.example")
    assert verbs.renew("w1", last=0) == []
    assert tester("ZSCORE", "{amtu}:leases", "pc1.example") == before
    assert state(tester, "j1", "pc1.example") == "C"
    assert tester("GET", "{amtu}:worker:w1") == "about w1"


def test_what_a_worker_does_not_name_for_a_lease_goes_to_others(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    one, two = verbs.claim(lease=0)
    tester("ZADD", "{amtu}:leases", 10**16, "pc1.example")
    verbs.intend(one)
    tester("ZADD", "{amtu}:leases", 1, "pc1.example")
    assert verbs.renew("w2") == []
    assert state(tester, "j1", "pc2.example") == "C"
    assert verbs.renew("w1", last=0) == []
    assert state(tester, "j1", "pc2.example") == "C"
    assert verbs.renew("w1") == []
    assert state(tester, "j1", "pc2.example") == "Q"
    assert state(tester, "j1", "pc1.example") == "L"
    assert verbs.finish(one) == verbs.finish(two) == "refused"


def test_reap_waits_for_the_grace(verbs, tester):
    verbs.submit("j1", "pc1.example")
    verbs.claim_one(lease=0)
    assert verbs.reap() == 0
    assert state(tester, "j1", "pc1.example") == "C"
    assert verbs.reap(grace=0) == 1
    assert state(tester, "j1", "pc1.example") == "Q"
    assert verbs.claim_one("w2").taken_over is False


@pytest.mark.parametrize("steps", ["I", "IP", "IPB"])
def test_reap_leaves_to_be_verified_what_may_have_been_powered(verbs, tester, steps):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    for step in steps[1:]:
        verbs.progress(task, step)
    tester("ZADD", "{amtu}:leases", 1, "pc1.example")
    assert verbs.reap() == 1
    assert state(tester, "j1", "pc1.example") == "L"
    assert 55 < tester("TTL", "{amtu}:cool:pc1.example") <= 60
    assert verbs.renew("w1", task) == [task.ref]
    assert verbs.progress(task, "B") == verbs.finish(task) == verbs.intend(task) == "refused"
    assert verbs.claim_one("w2").taken_over
    tester("ZADD", "{amtu}:leases", 1, "pc1.example")
    assert verbs.reap() == 1
    assert state(tester, "j1", "pc1.example") == "L"
    assert verbs.counters()["reaped"] == 2


def test_no_new_unlock_while_a_system_cools_down(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    tester("ZADD", "{amtu}:leases", 1, "pc1.example")
    verbs.reap()
    verify = verbs.claim_one("w2")
    verbs.finish(verify, "F", "indeterminate")
    verbs.submit("j2", "pc1.example")
    assert verbs.claim() == []
    assert state(tester, "j2", "pc1.example") == "Q"
    tester("DEL", "{amtu}:cool:pc1.example")
    tester("ZADD", "{amtu}:retry", 1, "j2|pc1.example")
    assert verbs.claim_one().job == "j2"


def test_a_clock_that_was_set_back_does_not_hold_a_system_that_cools_down(verbs, tester):
    verbs.submit("j1", "pc1.example")
    tester("SET", "{amtu}:cool:pc1.example", "1", "PX", 3_660_000)
    assert verbs.claim() == []
    assert 55 < tester("TTL", "{amtu}:cool:pc1.example") <= 60
    due = float(tester("ZSCORE", "{amtu}:retry", "j1|pc1.example"))
    assert 55 * SECOND < due - now(tester) <= 60 * SECOND


def test_a_clock_that_was_set_back_does_not_hold_what_was_put_off(verbs, tester):
    verbs.submit("j1", "pc1.example")
    tester("SET", "{amtu}:cool:pc1.example", "1", "PX", 60_000)
    assert verbs.claim() == []
    tester("ZADD", "{amtu}:retry", now(tester) + 3_660 * SECOND, "j1|pc1.example")
    tester("DEL", "{amtu}:cool:pc1.example")
    assert verbs.claim_one().job == "j1"


def test_reap_takes_leases_that_a_clock_set_back_made_too_long(verbs, tester):
    verbs.submit("j1", "pc1.example")
    verbs.claim_one(lease=2 * LEASE - SECOND)
    assert verbs.reap() == 0
    tester("ZADD", "{amtu}:leases", 10**16, "pc1.example")
    assert verbs.reap() == 1
    assert state(tester, "j1", "pc1.example") == "Q"


def test_reap_frees_what_a_cancelled_owner_held(verbs, tester):
    verbs.submit("j1", "pc1.example")
    verbs.claim_one(lease=0)
    verbs.cancel("j1")
    assert verbs.reap(grace=0) == 1
    assert tester("EXISTS", "{amtu}:system:pc1.example", "{amtu}:leases") == 0


def test_reap_ends_what_was_never_started(verbs, tester):
    verbs.submit("j2", "pc2.example")
    verbs.submit("j1", "pc1.example", start_within=0)
    assert verbs.reap() == 1
    assert tester("HGET", "{amtu}:job:j1", "state") == "7"
    assert 0 < tester("TTL", "{amtu}:job:j1") <= 1800
    assert tester("HGET", "{amtu}:job:j2", "state") == "2"


def test_a_task_given_back_after_its_latest_start_ends_too(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    tester("HSET", "{amtu}:job:j1", "start_by", "1")
    tester("ZADD", "{amtu}:deadlines", "1", "j1")
    assert verbs.reap() == 1
    assert state(tester, "j1", "pc1.example") == "C"
    verbs.release(task)
    assert verbs.reap() == 1
    assert verbs.errors("j1") == [("pc1.example", "drain", "timeout")]


def test_a_job_deleted_under_its_worker_blocks_nobody(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    one, two = verbs.claim(lease=0)
    verbs.submit("j2", "pc1.example", caller="bob")
    verbs.claim()
    tester("DEL", "{amtu}:job:j1", "{amtu}:job:j1:tasks", "{amtu}:job:j1:names")
    assert verbs.finish(one) == verbs.intend(two) == "refused"
    assert verbs.reap(grace=0) == 2
    assert verbs.claim_one("w2").job == "j2"


@pytest.mark.parametrize("key", ["{amtu}:job:j1", "{amtu}:job:j1:tasks"])
def test_a_job_deleted_in_part_does_not_stop_the_reaper(verbs, tester, key):
    verbs.submit("j1", "pc1.example")
    verbs.claim_one(lease=0)
    verbs.submit("j2", "pc2.example", caller="bob")
    verbs.claim_one("w2", lease=0)
    tester("DEL", key)
    assert verbs.reap(grace=0) >= 2
    assert state(tester, "j2", "pc2.example") == "Q"


# ---- publish -----------------------------------------------------------------------------------------------


def test_an_inventory_replaces_the_one_before(verbs, tester):
    assert verbs.publish({"new.example": ("g", ["10.1.1.1"])}, digest="digest-2", written=2000) == ["ok"]
    live = tester("HGETALL", "{amtu}:inventory")
    assert (live["digest"], live["systems"], live["by"]) == ("digest-2", "1", "w0")
    assert 0 < tester("TTL", "{amtu}:inventory:g-digest-1") <= 60
    assert tester("TTL", "{amtu}:inventory:g-digest-2") == -1
    assert tester("HGETALL", "{amtu}:inventory:g-digest-2") == {
        "s:new.example": "g|wake", "n:new.example": "new.example", "n:10.1.1.1": "new.example"}


def test_an_older_inventory_is_refused(verbs, tester):
    """While any worker lives that serves the newer one; the answer says which. Of the same age none is newer."""
    for written in (999, 1000):
        word, why = verbs.ask_inventory("w2", "digest-0", written, generation="g-digest-0")
        assert word == "refused" and "worker w0 of host" in why and "not written later" in why
    assert tester("HGET", "{amtu}:inventory", "digest") == "digest-1"
    assert tester("EXISTS", "{amtu}:inventory:g-digest-0") == 0
    assert verbs.ask_inventory("w2", "digest-0", 1001) == ["ok"]


def test_the_live_inventory_is_not_switched_to_again(verbs, tester):
    assert verbs.ask_inventory("w2", "digest-1", 3000) == ["already"]
    assert tester("HGET", "{amtu}:inventory", "written") == "3000"
    assert tester("HGET", "{amtu}:inventory", "digest") == "digest-1"


def silence(verbs, tester, *workers, seconds=31):
    """As if they had not been heard since, nor before they served the live inventory."""
    for worker in workers:
        for at in ("{amtu}:inventory:workers", "{amtu}:workers"):
            tester("ZADD", at, "XX", now(tester) - seconds * SECOND, worker)


def wait_silently(verbs, tester, seconds):
    """As if a worker had asked again and again for so long."""
    since, asked = tester("HGET", "{amtu}:inventory", "silent").split("|")
    tester("HSET", "{amtu}:inventory", "silent", f"{int(since) - seconds * SECOND}|{asked}")


def test_an_older_inventory_takes_the_place_of_one_that_nobody_serves(verbs, tester):
    """`cp -p` of an older file, and a restart: after a minute at the most the fleet is served again."""
    verbs.renew("w0")
    silence(verbs, tester, "w0", seconds=29)
    assert verbs.ask_inventory("w2", "digest-0", 500)[0] == "refused"
    silence(verbs, tester, "w0")
    word, why = verbs.ask_inventory("w2", "digest-0", 500)
    assert word == "refused" and "w0 served it, and is silent" in why
    wait_silently(verbs, tester, 29)
    assert verbs.ask_inventory("w2", "digest-0", 500)[0] == "refused"
    wait_silently(verbs, tester, 2)
    verbs("publish_chunk", "g-old", "old.example", "g", "wake", 1, "old.example")
    answer = verbs("publish_switch", "w2", "g-old", "digest-0", 500, 1, 2, LEASE, "spare")
    assert answer[0] == "ok"
    assert re.fullmatch(r"worker w0 of host host-0 had published it \d+ s ago, and no worker serves it any more",
                        answer[1])
    live = tester("HGETALL", "{amtu}:inventory")
    assert (live["digest"], live["by"], live["host"], live["silent"]) == ("digest-0", "w2", "spare", "")
    assert verbs.ask_inventory("w0", "digest-1", 1000) == ["ok"], "the newer one counts when its worker is back"


def test_a_newer_inventory_waits_for_nobody(verbs, tester):
    verbs.renew("w0")
    assert verbs.ask_inventory("w2", "digest-2", 1001) == ["ok"]
    silence(verbs, tester, "w0")
    assert verbs.ask_inventory("w2", "digest-2", 1001) == ["ok"]


def test_silence_counts_only_while_redis_is_there_to_hear(verbs, tester):
    """All were cut off from Redis for long; the one with the older inventory comes back first."""
    silence(verbs, tester, "w0", seconds=600)
    assert verbs.ask_inventory("w2", "digest-0", 500)[0] == "refused"
    wait_silently(verbs, tester, 29)
    since, asked = tester("HGET", "{amtu}:inventory", "silent").split("|")
    tester("HSET", "{amtu}:inventory", "silent", f"{since}|{int(asked) - 31 * SECOND}")
    assert verbs.ask_inventory("w2", "digest-0", 500)[0] == "refused"
    verbs.renew("w0")
    word, why = verbs.ask_inventory("w2", "digest-0", 500)
    assert word == "refused" and "about" not in why and "w0" in why


def test_whoever_served_the_live_one_last_may_go_back(verbs, tester):
    """A reload by an operator with an older file: at once, unless another worker still serves the newer one."""
    assert verbs.ask_inventory("w0", "digest-0", 500) == ["ok"]
    assert verbs.ask_inventory("w0", "digest-1", 1000) == ["already"]
    assert verbs.claim("w1") == [], "it serves it, too: its claim says so"
    word, why = verbs.ask_inventory("w0", "digest-0", 500)
    assert word == "refused" and "worker w1" in why
    assert verbs.ask_inventory("w1", "digest-0", 500) == ["ok"], "the last of them"
    assert verbs.ask_inventory("w0", "digest-0", 500) == ["ok"]


def test_a_question_without_a_worker_changes_nothing(verbs, tester):
    before = tester("HGETALL", "{amtu}:inventory"), tester("ZRANGE", "{amtu}:inventory:workers", 0, -1)
    assert verbs.ask_inventory("", "digest-0", 500)[0] == "refused"
    assert verbs.ask_inventory("", "digest-1", 5000)[0] == "already"
    silence(verbs, tester, "w0")
    assert verbs.ask_inventory("", "digest-0", 500) == ["ok"]
    assert before == (tester("HGETALL", "{amtu}:inventory"), tester("ZRANGE", "{amtu}:inventory:workers", 0, -1))


def test_one_of_the_future_is_not_newer(verbs, tester):
    """A clock was wrong when a file was written: its time says nothing. What is written now, after it, counts."""
    at = now(tester)
    word, why = verbs.ask_inventory("w2", "digest-2", at + 3600 * SECOND)
    assert word == "refused" and re.search(r"time of this one's files is 3\d+ s in the future", why)
    assert verbs.publish({"new.example": ("g", [])}, digest="digest-2", written=2 * at)[0] == "ok", "its only worker"
    written = int(tester("HGET", "{amtu}:inventory", "written"))
    assert written < at + 60 * SECOND
    assert verbs.ask_inventory("w0", "digest-2", 2 * at) == ["already"]
    assert int(tester("HGET", "{amtu}:inventory", "written")) == written, "its restart is no edit"
    assert verbs.ask_inventory("w2", "digest-3", at - SECOND)[0] == "refused"
    assert verbs.ask_inventory("w2", "digest-3", written + 1) == ["ok"]
    tester("HSET", "{amtu}:inventory", "written", 2 * at)
    silence(verbs, tester, "w0")
    assert verbs.ask_inventory("w2", "digest-3", 2 * at)[0] == "refused", "for a minute"
    wait_silently(verbs, tester, 31)
    assert verbs.ask_inventory("w2", "digest-3", 2 * at) == ["ok"]


def test_those_that_serve_are_forgotten_when_they_are_gone(verbs, tester):
    for n in range(40):
        assert verbs.ask_inventory(f"gone-{n}", "digest-1", 1000) == ["already"]
        silence(verbs, tester, f"gone-{n}", seconds=100)
    verbs.ask_inventory("w1", "digest-1", 1000)
    assert tester("ZCARD", "{amtu}:inventory:workers") <= 3


def test_a_chunk_that_is_missing_is_noticed(verbs, tester):
    verbs("publish_chunk", "g2", "a.example", "g", "wake", 1, "a.example")
    assert 500 < tester("TTL", "{amtu}:inventory:g2") <= 600
    assert verbs("publish_switch", "w1", "g2", "digest-2", 3000, 2, 4, LEASE, "host")[0] == "conflict"
    assert tester("EXISTS", "{amtu}:inventory:g2") == 0
