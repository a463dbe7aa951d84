# SPDX-License-Identifier: Apache-2.0
"""What workers restore in a Redis that lost what it had acknowledged: intents and results."""

import pytest

from redis_server import RedisError, Task, Verbs

COMPLETED = 7
NEWER = "9000000000000000"  # than any fence that is given in these tests


def record(tester, job, system="pc1.example"):
    """(state, fence, intent fence, reason)"""
    fields = tester("HGET", f"{{amtu}}:job:{job}:tasks", system).split("|")
    return fields[0], fields[1], fields[2], fields[7]


def state(tester, job, system):
    return record(tester, job, system)[0]


# ---- restore_intent ----------------------------------------------------------------------------------------


def of_the_record(job="j1", system="pc1.example", fence="12"):
    """A task of a past that this Redis has forgotten."""
    return Task("w1", job, system, fence, "0", "", "", "", "")


def test_restore_intent_of_a_job_that_redis_forgot(verbs):
    assert verbs.restore_intent(of_the_record()) == "none"


def test_restore_intent_of_what_redis_remembers_changes_nothing(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    assert verbs.restore_intent(task) == "already"
    assert state(tester, "j1", "pc1.example") == "I"
    assert verbs.restore_intent(task, worker="w1-after-its-restart") == "ok"
    assert state(tester, "j1", "pc1.example") == "L"


@pytest.mark.parametrize("marks", ["", "power", "power typed", "unknown"])
def test_restore_intent_leaves_a_task_to_be_taken_over_that_redis_remembers_before_its_intent(verbs, tester, marks):
    verbs.submit("j1", "pc1.example")
    task = of_the_record(fence="9000000000000000")
    assert verbs.restore_intent(task, marks=marks) == "ok"
    assert state(tester, "j1", "pc1.example") == "L"
    later = verbs.claim_one("w2")
    assert later.taken_over and later.intent == '{"set":"power"}' and later.fence == "9000000000000001"
    assert later.marks == marks
    assert verbs.intend(later) == ("refused" if later.only_looks else "ok")


def test_restore_intent_adds_what_a_copy_of_redis_has_forgotten(verbs, tester):
    """Two workers' records of one task, in either order: no mark is lost."""
    verbs.submit("j1", "pc1.example")
    one = verbs.claim_one("w1")
    verbs.intend(one)
    verbs.mark(one)
    verbs.release(one)
    two = verbs.claim_one("w2")
    verbs.intend(two)
    verbs.mark(two, "typed")
    tester("HSET", "{amtu}:system:pc1.example", "marks", "")
    assert verbs.restore_intent(two, marks="power typed") == "already"
    assert verbs.restore_intent(one, marks="power") == "already"
    assert state(tester, "j1", "pc1.example") == "I", "who holds it knows all that the other record says"
    verbs.release(two)
    assert sorted(verbs.claim_one("w3").marks.split()) == ["power", "typed"]


@pytest.mark.parametrize("intends", [False, True])
def test_restore_intent_takes_a_task_from_a_holder_that_does_not_know_its_marks(verbs, tester, intends):
    """An older copy of Redis knew nothing of them when the task was taken over. Until its lease is over that holder may be at
    work: nobody else is let to the PC before."""
    verbs.submit("j1", "pc1.example")
    assert verbs.restore_intent(of_the_record(fence=NEWER)) == "ok"
    two = verbs.claim_one("w2")
    assert two.marks == "" and (not intends or verbs.intend(two) == "ok")
    assert verbs.restore_intent(of_the_record(fence=NEWER), marks="power", worker="w1-after-its-restart") == "ok"
    assert verbs.mark(two) == verbs.finish(two) == "refused"
    assert verbs.claim("w3") == [] and tester("ZSCORE", "{amtu}:leases", "pc1.example")
    tester("ZADD", "{amtu}:leases", "1", "pc1.example")
    assert verbs.reap() == 1
    three = verbs.claim_one("w3")
    assert three.marks == "power" and verbs.intend(three) == "ok"


@pytest.mark.parametrize("order, second", [(1, "ok"), (-1, "already")])
def test_restore_intent_keeps_the_later_of_two_intents(verbs, tester, order, second):
    verbs.submit("j1", "pc1.example")
    one, two = of_the_record(fence=NEWER), of_the_record(fence=str(int(NEWER) + 1))
    both = [(one, {"marks": "power", "device": "uuid-1"}),
            (two, {"marks": "power typed", "device": "uuid-2", "intent": '{"set":"more"}', "worker": "w2"})]
    assert [verbs.restore_intent(task, **what) for task, what in both[::order]] == ["ok", second]
    assert record(tester, "j1")[:3] == ("L", two.fence, two.fence)
    assert tester("EXISTS", "{amtu}:device:uuid-1", "{amtu}:device:uuid-2") == 1
    three = verbs.claim_one("w3")
    assert (three.intent, three.marks) == ('{"set":"more"}', "power typed") and int(three.fence) > int(two.fence)


def test_restore_intent_of_a_holder_that_redis_knows_by_an_earlier_intent(verbs, tester):
    """An older copy of Redis: the task was taken over, and the intent of who did is not there yet."""
    verbs.submit("j1", "pc1.example")
    one = verbs.claim_one("w1")
    verbs.intend(one, device="uuid-1")
    verbs.release(one)
    two = verbs.claim_one("w2")
    later = {"worker": "w2", "marks": "power", "device": "uuid-2", "intent": '{"set":"more"}'}
    assert verbs.restore_intent(two, **later, kept=1) == "already" and record(tester, "j1")[0] == "K"
    assert verbs.restore_intent(two, **later) == "ok"
    assert record(tester, "j1")[:3] == ("I", two.fence, two.fence)
    assert tester("EXISTS", "{amtu}:device:uuid-1", "{amtu}:device:uuid-2") == 1
    assert verbs.mark(two, "typed") == "ok", "it lives, and goes on"
    verbs.release(two)
    three = verbs.claim_one("w3")
    assert (three.intent, sorted(three.marks.split())) == ('{"set":"more"}', ["power", "typed"])


def test_restore_intent_of_one_before_the_holder_but_later_than_what_redis_knows(verbs, tester):
    """The holder is deposed; who takes over goes on by the later intent."""
    verbs.submit("j1", "pc1.example")
    one = verbs.claim_one("w1")
    verbs.intend(one)
    verbs.release(one)
    two = verbs.claim_one("w2")
    between = of_the_record(fence=str(int(one.fence) + 1))
    assert int(one.fence) < int(between.fence) < int(two.fence)
    assert verbs.restore_intent(between, marks="power", intent='{"set":"more"}') == "ok"
    assert verbs.finish(two) == "refused"
    tester("ZADD", "{amtu}:leases", "1", "pc1.example")
    assert verbs.reap() == 1
    assert verbs.claim_one("w3").intent == '{"set":"more"}'


def test_restore_intent_makes_no_mark_known_that_is_not(verbs, tester):
    verbs.submit("j1", "pc1.example")
    one = verbs.claim_one("w1")
    verbs.intend(one)
    assert verbs.restore_intent(one, marks="unknown") == verbs.restore_intent(one, marks="power") == "already"
    verbs.release(one)
    assert verbs.claim_one("w2").marks == "unknown"
    tester("HDEL", "{amtu}:system:pc1.example", "marks")
    assert verbs.restore_intent(one, marks="power") == "already"
    assert tester("HGET", "{amtu}:system:pc1.example", "marks") is None


def test_restore_intent_to_a_redis_that_lost_nothing(verbs, tester):
    """What it does not have it never took: no later holder loses its task by it, and no mark is added."""
    verbs.submit("j1", "pc1.example", "pc2.example")
    old = of_the_record(fence="12")
    assert verbs.restore_intent(old, kept=1) == "refused"
    assert state(tester, "j1", "pc1.example") == "Q"
    one, two = sorted(verbs.claim("w2"), key=lambda task: task.system)
    assert verbs.restore_intent(old, kept=1) == "refused"
    assert record(tester, "j1")[:2] == ("C", one.fence)
    assert verbs.intend(one) == verbs.intend(two) == verbs.mark(two) == "ok"
    assert verbs.restore_intent(one, marks="power", kept=1) == "already"
    assert verbs.restore_intent(two, marks="power typed", kept=1, worker="w2-after-its-restart") == "ok"
    assert record(tester, "j1", "pc2.example")[0] == "L"
    assert verbs.claim_one("w3").marks == "power"


def test_restore_intent_to_a_redis_that_lost_nothing_lets_a_claim_of_its_worker_wait_again(verbs, tester):
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    task = verbs.claim_one("w1")
    verbs.claim("w2")  # which joins
    assert verbs.restore_intent(task, kept=1, worker="w1-after-its-restart") == "refused"
    assert (state(tester, "j1", "pc1.example"), state(tester, "j2", "pc1.example")) == ("Q", "Q")
    assert verbs.intend(task) == "refused", "should it come yet, behind the restart"
    assert tester("EXISTS", "{amtu}:leases", "{amtu}:cool:pc1.example") == 0
    assert verbs.claim_one("w3").taken_over is False


def test_restore_intent_while_another_job_unlocks_the_system(verbs):
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    mine = of_the_record("j2")
    owner = verbs.claim("w2")[0]
    assert owner.job == "j1"
    assert verbs.restore_intent(mine) == "ok"
    assert verbs.errors("j2", caller="bob") == [("pc1.example", "intend", "indeterminate")]
    assert verbs.finish(owner) == "ok"


# ---- restore_result ----------------------------------------------------------------------------------------


def test_restore_result_of_a_job_that_redis_forgot(verbs, tester):
    assert verbs.restore_result(of_the_record()) == "none"
    assert tester("EXISTS", "{amtu}:job:j1", "{amtu}:job:j1:tasks", "{amtu}:fence") == 0


@pytest.mark.parametrize("end, reason", [("U", ""), ("F", "no-prompt")])
def test_restore_result_ends_what_waits_here_again(verbs, tester, end, reason):
    verbs.submit("j1", "pc1.example", "pc2.example")
    done = of_the_record(fence=NEWER)
    assert verbs.restore_result(done, end, reason) == "ok"
    assert record(tester, "j1") == (end, NEWER, NEWER, reason)
    assert verbs.restore_result(done, end, reason, worker="w2") == "already"
    assert [task.system for task in verbs.claim()] == ["pc2.example"]
    assert tester("GET", "{amtu}:fence") == str(int(NEWER) + 1), "no later fence is older"
    counted = verbs.read("j1")
    assert (counted["waiting"], counted["running"], counted["unlocked"]) == (0, 1, int(end == "U"))


def test_restore_result_of_a_jobs_last_task_completes_it(verbs, tester):
    verbs.submit("j1", "pc1.example")
    assert verbs.restore_result(of_the_record()) == "ok"
    assert verbs.read("j1")["state"] == COMPLETED and verbs.results("j1") == (["pc1.example"], [])
    assert tester("TTL", "{amtu}:job:j1") > 0 and tester("EXISTS", "{amtu}:deadlines", "{amtu}:leases") == 0


def test_restore_result_takes_a_claim_from_a_worker_that_has_not_acted(verbs, tester):
    """Whatever its fence: it has no intent, and must not get one."""
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    claimed = verbs.claim("w2")[0]
    assert state(tester, "j2", "pc1.example") == "J"
    assert verbs.restore_result(of_the_record()) == "ok"
    assert record(tester, "j1") == ("U", "12", "12", "")
    assert state(tester, "j2", "pc1.example") == "U", "a task that joined has the result"
    assert verbs.intend(claimed) == "refused" and verbs.renew("w2", claimed) == [claimed.ref]
    assert tester("EXISTS", "{amtu}:system:pc1.example") == 0


@pytest.mark.parametrize("reached", ["I", "P", "B", "L", "K"])
def test_restore_result_ends_what_this_redis_remembers_as_begun(verbs, tester, reached):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    assert verbs.intend(task, device="uuid-1") == "ok"
    if reached in "PB":
        verbs.progress(task, reached)
    if reached in "LK":
        verbs.release(task)
    holder = verbs.claim_one("w2") if reached == "K" else task
    assert state(tester, "j1", "pc1.example") == reached
    assert verbs.restore_result(holder, "F", "no-prompt", worker="w3") == "ok"
    assert record(tester, "j1") == ("F", holder.fence, task.fence, "no-prompt")
    assert verbs.finish(holder) == "refused"
    assert tester("EXISTS", "{amtu}:system:pc1.example", "{amtu}:device:uuid-1", "{amtu}:leases") == 0
    assert verbs.claim() == [], "nothing is left to verify"


def test_restore_result_does_not_overrule_a_later_worker_that_verifies(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    verbs.release(task)
    verify = verbs.claim_one("w2")
    assert verbs.restore_result(task, "F", "timeout") == "refused"
    assert state(tester, "j1", "pc1.example") == "K" and verbs.finish(verify) == "ok"


def test_restore_result_changes_no_end(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    one, two = verbs.claim()
    verbs.finish(one)
    verbs.cancel("j1")
    before = record(tester, "j1"), record(tester, "j1", "pc2.example")
    for task in one, two:
        assert verbs.restore_result(task, "F", "no-prompt") == "refused"
    assert before == (record(tester, "j1"), record(tester, "j1", "pc2.example"))
    assert verbs.restore_result(of_the_record(fence=NEWER)) == "already", "the same result, from any worker"


def test_restore_result_of_a_task_that_joined_another_job(verbs, tester):
    """In this Redis' past the other job has the system; in the record's it was this one."""
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    owner = verbs.claim("w2")[0]
    assert verbs.restore_result(of_the_record("j2")) == "ok"
    assert state(tester, "j2", "pc1.example") == "U" and state(tester, "j1", "pc1.example") == "C"
    assert tester("EXISTS", "{amtu}:system:pc1.example:waiters") == 0
    assert verbs.intend(owner) == "ok" and verbs.finish(owner, "F", "no-prompt") == "ok"
    assert state(tester, "j2", "pc1.example") == "U"


def test_restore_result_knows_two_ends(verbs):
    with pytest.raises(RedisError, match="ends U or F"):
        verbs.restore_result(of_the_record(), "X")


def test_restore_intent_after_restore_result_and_before_it(verbs, tester):
    """Two workers restore what they know of one task, in any order."""
    verbs.submit("j1", "pc1.example", "pc2.example")
    for system in ("pc1.example", "pc2.example"):
        intent, end = of_the_record(system=system), of_the_record(system=system, fence="13")
        verbs_in_order = [Verbs.restore_intent, Verbs.restore_result]
        for restore in verbs_in_order if system == "pc1.example" else reversed(verbs_in_order):
            assert restore(verbs, intent if restore is Verbs.restore_intent else end) in ("ok", "already")
        assert state(tester, "j1", system) == "U"
    assert verbs.read("j1")["state"] == COMPLETED and verbs.claim() == []
