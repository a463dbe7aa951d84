# SPDX-License-Identifier: Apache-2.0
"""What httpd's verbs promise, each as httpd's user."""

import pytest

from redis_server import LEASE, SCHEMA, SECOND, RedisError, now

NEW, RUNNING, COMPLETED, TERMINATED = 2, 4, 7, 8


def ttl(tester, key):
    return tester("TTL", key)


# ---- submit ------------------------------------------------------------------------------------------------


def test_a_job_waits_for_a_worker(verbs):
    assert verbs.submit("j1", "pc1.example", "pc2.example") == ["ok", "j1", "0"]
    job = verbs.read("j1")
    assert job["state"] == NEW and job["caller"] == "alice"
    assert (job["total"], job["waiting"], job["running"], job["unlocked"], job["failed"]) == (2, 2, 0, 0, 0)
    assert job["started"] == job["completed"] == 0 and job["submitted"] <= job["now"]


def test_every_spelling_of_a_system_is_one_task_and_is_answered(verbs):
    verbs.submit("j1", "PC1.Example", "10.0.0.1", "pc1.example")
    assert verbs.read("j1")["total"] == 1
    assert verbs.finish(verbs.claim_one()) == "ok"
    assert verbs.results("j1") == (["PC1.Example", "10.0.0.1", "pc1.example"], [])


def test_unknown_and_out_of_scope_are_answered_alike(verbs, tester):
    verbs.submit("j1", "pc1.example", "Vault.example", "nosuch.example", groups=("floor1",))
    verbs.submit("j2", "pc1.example", "Vault.example", *["nosuch.example"] * 7, groups=("floor1",))
    assert verbs.errors("j2") == [(name, "", "not-available") for name in ["Vault.example", *["nosuch.example"] * 7]]
    assert tester("HGETALL", "{amtu}:job:j2:names") == {
        "0": "pc1.example|", "l:0": "floor1", "r:0": "1 13 Vault.example" + "".join(f"{n} 14 nosuch.example" for n in range(2, 9))}
    assert verbs.errors("j1") == [("Vault.example", "", "not-available"), ("nosuch.example", "", "not-available")]
    assert set(tester("HGETALL", "{amtu}:job:j1:tasks")) == {"pc1.example"}
    assert tester("HGETALL", "{amtu}:job:j1:names") == {
        "0": "pc1.example|", "l:0": "floor1", "1": "!|Vault.example", "2": "!|nosuch.example"}


def test_the_same_known_system_out_of_scope_by_two_names_looks_like_two_unknown_ones(verbs):
    verbs.submit("j1", "vault.example", "10.0.0.9", groups=("floor1",))
    verbs.submit("j2", "x.example", "10.9.9.9", groups=("floor1",))
    one, two = verbs.read("j1"), verbs.read("j2")
    for field in ("state", "total", "failed", "waiting"):
        assert one[field] == two[field]


@pytest.mark.parametrize("groups,total_failed", [(("*",), 0), (("floor1", "safe"), 1), ((), 4)])
def test_scopes(verbs, groups, total_failed):
    verbs.submit("j1", "pc1.example", "pc2.example", "pc3.example", "vault.example", groups=groups)
    assert verbs.read("j1")["failed"] == total_failed


def test_a_job_with_nothing_to_do_is_completed_in_its_submission(verbs, tester):
    verbs.submit("j1", "nosuch.example", message="m1", retention=1800 * SECOND)
    job = verbs.read("j1")
    assert job["state"] == COMPLETED and job["completed"] == job["submitted"]
    for key in ("job:j1", "job:j1:names", "message:sha-alice:m1", "jobs:sha-alice"):
        assert 1790 < ttl(tester, "{amtu}:" + key) <= 1800, key
    assert tester("EXISTS", "{amtu}:jobs", "{amtu}:ring", "{amtu}:deadlines", "{amtu}:job:j1:tasks") == 0


def test_no_key_of_an_unfinished_job_has_a_ttl(verbs, tester):
    verbs.submit("j0", "nosuch.example")
    verbs.submit("j1", "pc1.example", "nosuch.example", message="m1")
    for key in ("job:j1", "job:j1:tasks", "job:j1:names", "message:sha-alice:m1", "jobs:sha-alice"):
        assert ttl(tester, "{amtu}:" + key) == -1, key


def test_a_list_of_jobs_keeps_its_ttl_off_while_one_of_them_runs(verbs, tester):
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "nosuch.example")
    assert ttl(tester, "{amtu}:jobs:sha-alice") == -1
    verbs.finish(verbs.claim_one())
    assert ttl(tester, "{amtu}:jobs:sha-alice") > 0


def test_the_same_message_is_the_same_job(verbs):
    assert verbs.submit("j1", "pc1.example", message="m1") == ["ok", "j1", "0"]
    assert verbs.submit("j2", "pc1.example", message="m1") == ["ok", "j1", "1"]
    assert verbs.submit("j3", "pc1.example", message="m1", caller="bob") == ["ok", "j3", "0"]
    assert verbs.submit("j4", "pc1.example", message="") == ["ok", "j4", "0"]
    assert verbs.read("j2") == "none"


def test_a_message_id_with_other_systems_is_reported(verbs, tester):
    """The half before the '/' is the message id's; the other's job must still be there."""
    assert verbs.submit("j1", "nosuch.example", message="u1/a") == ["ok", "j1", "0"]
    assert verbs.submit("j2", "pc1.example", message="u1/b") == ["ok", "j2", "2"]
    assert verbs.submit("j3", "nosuch.example", message="u1/a") == ["ok", "j1", "1"]
    assert verbs.submit("j4", "nosuch.example", message="u2/a") == ["ok", "j4", "0"]
    assert verbs.submit("j5", "nosuch.example", message="u1/c", caller="bob") == ["ok", "j5", "0"]
    assert ttl(tester, "{amtu}:message:sha-alice:u2") > 0, "it goes with its job"
    assert verbs.forget("j4") == "ok"
    assert tester("EXISTS", "{amtu}:message:sha-alice:u2", "{amtu}:message:sha-alice:u2/a") == 0
    assert verbs.submit("j6", "pc1.example", message="u2/d") == ["ok", "j6", "0"]


def test_a_message_is_forgotten_with_its_job(verbs):
    verbs.submit("j1", "nosuch.example", message="m1")
    assert verbs.forget("j1") == "ok"
    assert verbs.submit("j2", "nosuch.example", message="m1") == ["ok", "j2", "0"]


def test_a_program_that_repeats_its_submission_finds_its_job(verbs):
    verbs.submit("j1", "pc1.example")
    assert verbs.submit("j1", "pc1.example") == ["ok", "j1", "0"]
    assert verbs.submit("j1", "pc1.example", caller="mallory")[0] == "refused"
    assert verbs.counters()["jobs"] == 1


def test_a_late_submission_does_not_happen(verbs):
    now = verbs.read("j0", reads_all=1)
    assert now == "none"
    assert verbs.submit("j1", "pc1.example", not_after=1) == ["late"]
    assert verbs.read("j1") == "none"


def test_limits_of_a_caller(verbs):
    assert verbs.submit("j1", "pc1.example", "pc2.example", max_jobs=1, max_systems=2)[0] == "ok"
    assert verbs.submit("j2", "pc3.example", max_jobs=1) == ["quota", "jobs"]
    assert verbs.submit("j2", "pc3.example", max_jobs=2, max_systems=2) == ["quota", "systems"]
    assert verbs.submit("j2", "pc3.example", max_jobs=1, caller="bob")[0] == "ok"
    verbs.cancel("j1")
    assert verbs.submit("j3", "pc3.example", max_jobs=1, max_systems=1)[0] == "ok"


def test_too_few_arguments_are_an_error_and_change_nothing(redis, tester):
    before = tester("DBSIZE")
    with pytest.raises(RedisError, match="too few arguments"):
        redis.cli("amtunlock-web", "FCALL", "amtunlock_submit", 1, "{amtu}:verb:submit", SCHEMA, "j1", "alice")
    assert tester("DBSIZE") == before


@pytest.mark.parametrize("schema", ["0", "1", "3", "4", "5", "6", "8", ""])
def test_another_schema_is_refused(redis, schema):
    assert redis.cli("amtunlock-web", "FCALL", "amtunlock_overview", 0, schema) == ["outdated", SCHEMA]


def test_the_bell_is_bounded(verbs, tester):
    for i in range(70):
        verbs.submit(f"j{i}", "pc1.example")
    assert tester("LLEN", "{amtu}:bell") == 64


def test_a_big_job_fits(verbs, redis_server):
    systems = {f"s{i}.example": ("floor1", []) for i in range(9000)}
    wire = redis_server.wire("tester")
    fast = type(verbs)(lambda user, *words: wire(*words))
    assert fast.publish(systems, digest="big", written=2000) == ["ok"]
    assert fast.submit("j1", *systems)[0] == "ok"
    assert fast.read("j1")["waiting"] == 9000
    assert fast.results("j1", 8990, 100) == ([], [])
    assert fast.cancel("j1") == "ok"
    assert fast.read("j1")["state"] == TERMINATED
    assert len(fast.results("j1")[1]) == 9000
    assert fast.results("j1", 8990, 100)[1] == [f"s{i}.example" for i in range(8990, 9000)]
    assert len(fast.errors("j1")) == 9000
    assert fast.errors("j1", 8990, 100) == [(f"s{i}.example", "", "cancelled") for i in range(8990, 9000)]
    wire.close()


# ---- reading -----------------------------------------------------------------------------------------------


def test_only_the_caller_and_an_operator_read_a_job(verbs):
    verbs.submit("j1", "pc1.example")
    assert verbs.read("j1", caller="bob") == "none"
    assert verbs.read("j1", caller="root", reads_all=1)["id"] == "j1"
    assert verbs.read("nosuch") == "none"
    for verb in ("results", "errors"):
        assert verbs.window(verb, "j1", caller="bob") == ["none"]


def test_without_an_id_the_latest_is_read(verbs):
    assert verbs.read() == "none"
    for i in range(20):
        verbs.submit(f"j{i}", "nosuch.example")
    assert verbs.read()["id"] == "j19"
    for i in range(19, 2, -1):
        verbs.forget(f"j{i}")
    assert verbs.read()["id"] == "j2"
    assert verbs.read(caller="bob") == "none"


def test_a_window_of_the_names_in_the_order_sent(verbs):
    verbs.submit("j1", "c.example", "PC1.example", "a.example", "b.example")
    verbs.finish(verbs.claim_one())
    assert verbs.results("j1") == (["PC1.example"], ["c.example", "a.example", "b.example"])
    assert verbs.results("j1", 0, 1) == ([], ["c.example"])
    assert verbs.results("j1", 1, 2) == (["PC1.example"], ["a.example"])
    assert verbs.results("j1", 3, 10) == ([], ["b.example"])
    assert verbs.results("j1", 4, 1) == verbs.results("j1", 0, 0) == ([], [])


def test_errors_of_a_window(verbs):
    verbs.submit("j1", "c.example", "PC1.example", "a.example", "pc2.example", "A.example")
    first, second = verbs.claim()
    verbs.finish(first)
    verbs.finish(second, "F", "busy", "console-open")
    gone = [(name, "", "not-available") for name in ("c.example", "a.example", "A.example")]
    failed = ("pc2.example", "console-open", "busy")
    assert verbs.errors("j1") == [gone[0], gone[1], failed, gone[2]]
    assert verbs.errors("j1", 0, 2) == [gone[0]]
    assert verbs.errors("j1", 1, 1) == [], "that one was unlocked"
    assert verbs.errors("j1", 2, 2) == [gone[1], failed]
    assert verbs.errors("j1", 4, 10) == verbs.errors("j1", 4) == [gone[2]]
    assert verbs.errors("j1", 5, 1) == verbs.errors("j1", 0, 0) == []


def test_results_grow_while_the_job_runs(verbs):
    verbs.submit("j1", "pc1.example", "pc2.example")
    first = verbs.claim_one()
    assert verbs.results("j1") == ([], [])
    verbs.finish(first, "F", "unreachable", "connect")
    assert verbs.results("j1") == ([], ["pc1.example"])
    assert verbs.errors("j1") == [("pc1.example", "connect", "unreachable")]
    assert verbs.read("j1")["state"] == RUNNING


def test_a_list_is_newest_first(verbs):
    for i in range(3):
        verbs.submit(f"a{i}", "pc1.example")
        verbs.submit(f"b{i}", "nosuch.example", caller="bob")
    assert verbs.list() == ["a2", "a1", "a0"]
    assert verbs.list("root") == []
    assert verbs("list", "sha-root", 1, 0) == ["ok", "0", "0", "sha-bob", "sha-alice"]
    assert verbs.list("root", ["sha-bob", "sha-alice"]) == ["b2", "b1", "b0", "a2", "a1", "a0"]


def test_jobs_that_expired_leave_the_list(verbs, tester):
    verbs.submit("j1", "nosuch.example")
    verbs.submit("j2", "pc1.example")
    tester("DEL", "{amtu}:job:j1")
    assert verbs.list() == ["j2"]
    verbs.submit("j3", "pc1.example")
    assert tester("ZCARD", "{amtu}:jobs:sha-alice") == 2


def test_overdue_tasks_read_as_failed_before_anybody_has_written_it(verbs, tester):
    verbs.submit("j1", "pc1.example", "nosuch.example", start_within=0)
    job = verbs.read("j1")
    assert (job["state"], job["waiting"], job["failed"]) == (COMPLETED, 0, 2)
    assert verbs.errors("j1") == [("pc1.example", "", "timeout"), ("nosuch.example", "", "not-available")]
    assert verbs.results("j1") == ([], ["pc1.example", "nosuch.example"])
    assert tester("HGET", "{amtu}:job:j1", "state") == "2"
    assert verbs.claim() == []


def test_an_overdue_job_did_not_end_before_its_last_task(verbs, tester):
    """Else ElapsedTime and TimeOfLastStateChange went back to the latest start, which was long before."""
    verbs.submit("j1", "pc1.example", "pc2.example")
    task = verbs.claim_one()
    assert verbs.intend(task) == "ok"
    tester("HSET", "{amtu}:job:j1", "start_by", "1")
    assert verbs.finish(task) == "ok"
    job = verbs.read("j1")
    assert job["state"] == COMPLETED
    assert job["completed"] == job["changed"] >= job["started"] > 1


# ---- cancel and forget -------------------------------------------------------------------------------------


def test_cancel_ends_what_waits_and_what_is_only_claimed(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    task = verbs.claim_one()
    assert verbs.cancel("j1") == "ok"
    job = verbs.read("j1")
    assert (job["state"], job["failed"], job["cancelled"]) == (TERMINATED, 2, 1)
    assert [reason for _, _, reason in verbs.errors("j1")] == ["cancelled", "cancelled"]
    assert tester("EXISTS", "{amtu}:queue:sha-alice", "{amtu}:ring") == 0
    assert verbs.intend(task) == "refused"
    assert verbs.finish(task) == "refused"
    assert 0 < ttl(tester, "{amtu}:job:j1")


def test_after_the_intent_a_cancelled_task_runs_to_its_end(verbs):
    verbs.submit("j1", "pc1.example", "pc2.example")
    task = verbs.claim_one()
    assert verbs.intend(task) == "ok"
    assert verbs.cancel("j1") == "ok"
    job = verbs.read("j1")
    assert (job["state"], job["running"], job["failed"], job["cancelled"]) == (RUNNING, 1, 1, 1)
    assert verbs.cancel("j1") == "ok"
    assert verbs.progress(task, "P") == "ok"
    assert verbs.finish(task) == "ok"
    job = verbs.read("j1")
    assert (job["state"], job["unlocked"], job["failed"]) == (TERMINATED, 1, 1)
    assert verbs.cancel("j1") == "conflict"


def test_cancel_leaves_the_other_jobs_of_the_caller_in_their_order(verbs):
    verbs.submit("j1", "pc1.example")
    verbs.submit("j2", "pc2.example", "pc3.example")
    verbs.submit("j3", "vault.example")
    verbs.cancel("j2")
    assert [task.job for task in verbs.claim()] == ["j1", "j3"]


def test_who_may_cancel_and_when(verbs):
    verbs.submit("j1", "pc1.example")
    assert verbs.cancel("j1", caller="bob") == "none"
    assert verbs.cancel("nosuch") == "none"
    assert verbs.cancel("j1", not_after=1) == "late"
    assert verbs.read("j1")["cancelled"] == 0


def test_an_overdue_job_has_ended_for_cancel_and_forget(verbs):
    verbs.submit("j1", "pc1.example", start_within=0)
    assert verbs.cancel("j1") == "conflict"
    assert verbs.errors("j1") == [("pc1.example", "", "timeout")]
    assert verbs.forget("j1") == "ok"


def test_only_an_ended_job_is_forgotten(verbs, tester):
    verbs.submit("j1", "pc1.example")
    assert verbs.forget("j1") == "conflict"
    verbs.finish(verbs.claim_one())
    assert verbs.forget("j1", caller="bob") == "none"
    assert verbs.forget("j1") == "ok"
    assert verbs.read("j1") == "none"
    assert verbs.forget("j1") == "none"
    assert tester("EXISTS", "{amtu}:job:j1", "{amtu}:job:j1:tasks", "{amtu}:job:j1:names") == 0


# ---- enumerations ------------------------------------------------------------------------------------------


def test_an_enumeration_is_pulled_to_its_end(verbs, tester):
    assert verbs("context_open", "sha-alice", "c1", 60, 5, "fields", 0, "a", "b", "c") == ["ok", "c1"]
    assert 0 < ttl(tester, "{amtu}:context:c1") <= 60
    assert verbs("context_pull", "sha-bob", "c1", 2) == ["none"]
    assert verbs("context_pull", "sha-alice", "c1", 2) == ["ok", "fields", "1", ["a", "b"]]
    assert verbs("context_pull", "sha-alice", "c1", 2) == ["ok", "fields", "0", ["c"]]
    assert verbs("context_pull", "sha-alice", "c1", 2) == ["none"]


def test_an_enumeration_is_released_by_its_caller(verbs):
    verbs("context_open", "sha-alice", "c1", 60, 5, "fields", 0, "a")
    assert verbs("context_release", "sha-bob", "c1") == ["none"]
    assert verbs("context_release", "sha-alice", "c1") == ["ok"]
    assert verbs("context_release", "sha-alice", "c1") == ["none"]


def test_enumerations_of_a_caller_are_limited(verbs):
    assert verbs("context_open", "sha-alice", "c1", 60, 2, "f", 0) == ["ok", "c1"]
    assert verbs("context_open", "sha-alice", "c1", 60, 2, "f", 0) == ["ok", "c1"]
    assert verbs("context_open", "sha-bob", "c1", 60, 2, "f", 0)[0] == "refused"
    assert verbs("context_open", "sha-alice", "c2", 60, 2, "f", 0) == ["ok", "c2"]
    assert verbs("context_open", "sha-alice", "c3", 60, 2, "f", 0) == ["quota", "contexts"]
    assert verbs("context_open", "sha-bob", "c3", 60, 2, "f", 0) == ["ok", "c3"]
    verbs("context_release", "sha-alice", "c1")
    assert verbs("context_open", "sha-alice", "c4", 60, 2, "f", 0) == ["ok", "c4"]


# ---- overview ----------------------------------------------------------------------------------------------


def test_overview_counts(verbs):
    verbs.submit("j1", "pc1.example", "pc2.example", "nosuch.example")
    task = verbs.claim_one()
    verbs.renew("w1", task)
    verbs.submit("j2", "pc1.example")
    assert [each.system for each in verbs.claim("w2")] == ["pc2.example"]
    word, jobs, waiting, leased, systems, published, digest, at, workers, _ = verbs("overview")
    assert (word, jobs, waiting, leased, systems, digest) == ("ok", "2", "0", "2", "4", "digest-1")
    assert 0 < int(published) <= int(at)
    assert workers == ["w1 about w1"]
    verbs.finish(task, "F", "no-prompt")
    assert verbs.counters() == {"jobs": 2, "refused": 1, "failed:not-available": 1, "joined": 1, "failed:no-prompt": 2}


def attended(verbs, job):
    return verbs("read", "sha-alice", "0", job)[-1] == "1"


def test_a_job_knows_whether_a_worker_is_running(verbs, tester):
    """One is that was heard within nine seconds, and not in the future; the job itself is not touched."""
    verbs.submit("j1", "pc1.example")
    assert not attended(verbs, "j1") and not verbs("overview")[8]
    verbs.renew("w1")
    assert attended(verbs, "j1")
    for ago, there in ((8, True), (10, False), (-60, False)):
        tester("ZADD", "{amtu}:workers", now(tester) - ago * SECOND, "w1")
        assert attended(verbs, "j1") is there and bool(verbs("overview")[8]) is there
    verbs.renew("w1", last=0)  # a heartbeat alone
    assert attended(verbs, "j1")
    tester("DEL", "{amtu}:worker:w1")
    assert not attended(verbs, "j1")
    assert verbs("read", "sha-alice", "0", "j1")[2] == "2", "it waits: a worker may come"


def test_a_job_knows_why_those_that_run_begin_nothing(verbs, tester):
    """One that begins tasks is enough, whichever is asked first."""
    verbs.submit("j1", "pc1.example")
    for worker, about in (("w1", "host=a idle=record x"), ("w2", "host=b idle=inventory x")):
        verbs("renew", worker, about, 0, LEASE)
    assert verbs("read", "sha-alice", "0", "j1")[-1] in ("record", "inventory")
    for begins in ("w1", "w2"):
        verbs("renew", begins, "host=a x", 0, LEASE)
        assert attended(verbs, "j1")
        verbs("renew", begins, "host=a idle=inventory x", 0, LEASE)
        assert not attended(verbs, "j1")


def test_overview_does_not_count_a_heartbeat_of_a_clock_that_was_set_back(verbs, tester):
    verbs.renew("w1")
    verbs.renew("w2")
    tester("ZADD", "{amtu}:workers", now(tester) + 3600 * SECOND, "w2")
    assert verbs("overview")[8] == ["w1 about w1"]
