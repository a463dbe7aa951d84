# SPDX-License-Identifier: Apache-2.0
"""What a Redis is told that came back without what it had acknowledged: intents, and ends."""

import pytest

from redis_server import SECOND, RedisError, Task, Verbs

COMPLETED = 7
NEWER = "9000000000000000"  # than any fence that is given in these tests


def record(tester, job, sid="pc1.example"):
    """(state, fence, intent fence, reason)"""
    fields = tester("HGET", f"{{amtu}}:job:{job}:tasks", sid).split("|")
    return fields[0], fields[1], fields[2], fields[7]


def state(tester, job, sid):
    return record(tester, job, sid)[0]


# ---- reassert ----------------------------------------------------------------------------------------------


def reassert(verbs, task, worker=None, deadline=600 * SECOND):
    return verbs("reassert", worker or task.worker, task.job, task.sid, task.fence, "intend", deadline, "uuid-1",
                 '{"set":"power"}')[0]


def of_the_record(job="j1", sid="pc1.example", fence="12"):
    """A task of a past that this Redis has forgotten."""
    return Task("w1", job, sid, fence, "0", "", "", "", "")


def test_reassert_of_a_job_that_redis_forgot(verbs):
    assert reassert(verbs, of_the_record()) == "none"


def test_reassert_of_what_redis_remembers_changes_nothing(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    assert reassert(verbs, task) == "already"
    assert state(tester, "j1", "pc1.example") == "I"
    assert reassert(verbs, task, worker="w1-after-its-restart") == "ok"
    assert state(tester, "j1", "pc1.example") == "L"


def test_reassert_makes_a_look_of_a_task_that_redis_remembers_before_its_intent(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = of_the_record(fence="9000000000000000")
    assert reassert(verbs, task) == "ok"
    assert state(tester, "j1", "pc1.example") == "L"
    look = verbs.claim_one("w2")
    assert look.look and look.intent == '{"set":"power"}' and look.fence == "9000000000000001"
    assert verbs.intend(look) == "refused"


def test_reassert_while_another_job_unlocks_the_system(verbs):
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    mine = of_the_record("j2")
    owner = verbs.claim("w2")[0]
    assert owner.job == "j1"
    assert reassert(verbs, mine) == "ok"
    assert verbs.errors("j2", caller="bob") == [("pc1.example", "intend", "indeterminate")]
    assert verbs.finish(owner) == "ok"


# ---- attest ------------------------------------------------------------------------------------------------


def test_attest_of_a_job_that_redis_forgot(verbs, tester):
    assert verbs.attest(of_the_record()) == "none"
    assert tester("EXISTS", "{amtu}:job:j1", "{amtu}:job:j1:tasks", "{amtu}:fence") == 0


@pytest.mark.parametrize("end, reason", [("U", ""), ("F", "no-prompt")])
def test_attest_ends_what_waits_here_again(verbs, tester, end, reason):
    verbs.submit("j1", "pc1.example", "pc2.example")
    done = of_the_record(fence=NEWER)
    assert verbs.attest(done, end, reason) == "ok"
    assert record(tester, "j1") == (end, NEWER, NEWER, reason)
    assert verbs.attest(done, end, reason, worker="w2") == "already"
    assert [task.sid for task in verbs.claim()] == ["pc2.example"]
    assert tester("GET", "{amtu}:fence") == str(int(NEWER) + 1), "no later fence is older"
    counted = verbs.read("j1")
    assert (counted["waiting"], counted["running"], counted["unlocked"]) == (0, 1, int(end == "U"))


def test_attest_of_a_jobs_last_task_completes_it(verbs, tester):
    verbs.submit("j1", "pc1.example")
    assert verbs.attest(of_the_record()) == "ok"
    assert verbs.read("j1")["state"] == COMPLETED and verbs.results("j1") == (["pc1.example"], [])
    assert tester("TTL", "{amtu}:job:j1") > 0 and tester("EXISTS", "{amtu}:deadlines", "{amtu}:leases") == 0


def test_attest_takes_a_claim_from_who_has_not_acted(verbs, tester):
    """Whatever its fence: it has no intent, and must not get one."""
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    claimed = verbs.claim("w2")[0]
    assert state(tester, "j2", "pc1.example") == "J"
    assert verbs.attest(of_the_record()) == "ok"
    assert record(tester, "j1") == ("U", "12", "12", "")
    assert state(tester, "j2", "pc1.example") == "U", "who joined has the result"
    assert verbs.intend(claimed) == "refused" and verbs.renew("w2", claimed) == [claimed.ref]
    assert tester("EXISTS", "{amtu}:system:pc1.example") == 0


@pytest.mark.parametrize("reached", ["I", "P", "B", "L", "K"])
def test_attest_ends_what_this_redis_remembers_as_begun(verbs, tester, reached):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    assert verbs.intend(task, device="uuid-1") == "ok"
    if reached in "PB":
        verbs.progress(task, reached)
    if reached in "LK":
        verbs.release(task)
    teller = verbs.claim_one("w2") if reached == "K" else task
    assert state(tester, "j1", "pc1.example") == reached
    assert verbs.attest(teller, "F", "no-prompt", worker="w3") == "ok"
    assert record(tester, "j1") == ("F", teller.fence, task.fence, "no-prompt")
    assert verbs.finish(teller) == "refused"
    assert tester("EXISTS", "{amtu}:system:pc1.example", "{amtu}:device:uuid-1", "{amtu}:leases") == 0
    assert verbs.claim() == [], "nothing is left to look at"


def test_attest_does_not_overrule_who_looks_now(verbs, tester):
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    verbs.intend(task)
    verbs.release(task)
    look = verbs.claim_one("w2")
    assert verbs.attest(task, "F", "timeout") == "refused"
    assert state(tester, "j1", "pc1.example") == "K" and verbs.finish(look) == "ok"


def test_attest_changes_no_end(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    one, two = verbs.claim()
    verbs.finish(one)
    verbs.cancel("j1")
    before = record(tester, "j1"), record(tester, "j1", "pc2.example")
    for task in one, two:
        assert verbs.attest(task, "F", "no-prompt") == "refused"
    assert before == (record(tester, "j1"), record(tester, "j1", "pc2.example"))
    assert verbs.attest(of_the_record(fence=NEWER)) == "already", "the same end, whoever came to it"


def test_attest_of_a_task_that_joined_another_job(verbs, tester):
    """In this Redis' past the other job has the system; in the record's it was this one."""
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    owner = verbs.claim("w2")[0]
    assert verbs.attest(of_the_record("j2")) == "ok"
    assert state(tester, "j2", "pc1.example") == "U" and state(tester, "j1", "pc1.example") == "C"
    assert tester("EXISTS", "{amtu}:system:pc1.example:waiters") == 0
    assert verbs.intend(owner) == "ok" and verbs.finish(owner, "F", "no-prompt") == "ok"
    assert state(tester, "j2", "pc1.example") == "U"


def test_attest_knows_two_ends(verbs):
    with pytest.raises(RedisError, match="ends U or F"):
        verbs.attest(of_the_record(), "X")


def test_reassert_after_attest_and_before_it(verbs, tester):
    """Two workers tell what they know of one task, in any order."""
    verbs.submit("j1", "pc1.example", "pc2.example")
    for sid in ("pc1.example", "pc2.example"):
        intent, end = of_the_record(sid=sid), of_the_record(sid=sid, fence="13")
        for tell in (reassert, Verbs.attest) if sid == "pc1.example" else (Verbs.attest, reassert):
            assert tell(verbs, intent if tell is reassert else end) in ("ok", "already")
        assert state(tester, "j1", sid) == "U"
    assert verbs.read("j1")["state"] == COMPLETED and verbs.claim() == []
