# SPDX-License-Identifier: Apache-2.0
"""What one caller, or a stolen child of httpd, can do to the others: little. Limits of what is kept, a Redis that has no
memory left, and data that no verb would have written."""

import re

import pytest

from redis_server import SECOND, TESTER, WEB, WORKER, RedisError, Verbs

COMPLETED = 7
LONG = "long-label-of-a-name." * 12
MB = 1024 * 1024


@pytest.fixture(name="fast")
def _fast(redis):
    """The verbs over one connection for each user, and commands of the tester."""
    wires = {user: redis.wire(user) for user in (WEB, WORKER, TESTER)}
    wires[TESTER]("CONFIG", "SET", "appendfsync", "no")
    verbs = Verbs(lambda user, *words: wires[user](*words))
    verbs.tester = wires[TESTER]
    yield verbs
    wires[TESTER]("CONFIG", "SET", "appendfsync", "always")
    for wire in wires.values():
        wire.close()


def memory(verbs, what="used_memory"):
    return int(re.search(rf"^{what}:(\d+)", verbs.tester("INFO", "memory"), re.M).group(1))


def commands(verbs):
    """Commands that Redis has done, those of its functions with them."""
    return sum(int(calls) for calls in re.findall(r"cmdstat_[^:]*:calls=(\d+)", verbs.tester("INFO", "commandstats")))


def unknown(job, count=100):
    """Names as long as names may be, which no inventory has."""
    return [f"{job}-{number}.{LONG}"[:252] + "x" for number in range(count)]


def counts(verbs, caller="alice"):
    return verbs.tester("HMGET", f"{{amtu}}:caller:sha-{caller}", "kept", "names")


# ---- what is kept ------------------------------------------------------------------------------------------


def test_an_unknown_name_is_kept_once_and_has_no_task(fast):
    before = memory(fast)
    for number in range(50):
        assert fast.submit(f"j{number}", *unknown(f"j{number}"), groups=("floor1",))[0] == "ok"
    assert (memory(fast) - before) / 50 < 40_000, "100 names of 253 bytes"
    assert fast.errors("j7") == [(name, "", "not-available") for name in unknown("j7")]
    assert fast.results("j7", 98, 10) == ([], unknown("j7")[98:])
    assert fast.tester("EXISTS", "{amtu}:job:j7:tasks") == 0


def test_refused_and_known_names_come_back_in_the_order_sent(fast):
    names = [name for number in range(2500) for name in (f"No {number} 7 x", "PC1.example")]
    assert fast.submit("j1", *names)[0] == "ok"
    assert fast.read("j1")["total"] == 2501
    assert fast.finish(fast.claim_one()) == "ok"
    unlocked, failed = fast.results("j1")
    assert unlocked == ["PC1.example"] * 2500 and failed == names[::2]
    for first, count in ((999, 3), (1999, 1), (2001, 1000), (4998, 9), (5000, 1)):
        window = names[first:first + count]
        assert fast.errors("j1", first, count) == [(name, "", "not-available") for name in window if name[0] == "N"]
        assert fast.results("j1", first, count)[0] == [name for name in window if name[0] == "P"]


def test_ended_jobs_count_until_they_expire_or_are_deleted(fast):
    for number in range(3):
        assert fast.submit(f"j{number}", "nosuch.example", "pc1.example", groups=("floor2",), max_kept=3)[0] == "ok"
    assert fast.read("j0")["state"] == COMPLETED and counts(fast) == ["3", "6"]
    assert fast.submit("j3", "pc1.example", max_kept=3) == ["quota", "kept"]
    assert fast.submit("b3", "pc1.example", max_kept=3, caller="bob")[0] == "ok"
    assert fast.forget("j1") == "ok" and counts(fast) == ["2", "4"]
    assert fast.submit("j3", "pc2.example", max_kept=3)[0] == "ok"
    assert fast.submit("j4", "pc2.example", max_kept=3) == ["quota", "kept"]
    entry = next(each for each in fast.tester("ZRANGE", "{amtu}:kept", 0, -1) if each.startswith("j|j0|"))
    fast.tester("ZADD", "{amtu}:kept", 1, entry)  # its time has come
    assert fast.submit("j4", "pc2.example", max_kept=3)[0] == "ok"
    assert counts(fast) == ["3", "4"]


def test_what_an_administrator_deletes_counts_no_more(fast):
    fast.submit("j1", "pc1.example", "nosuch.example", max_kept=1)
    for key in fast.tester("KEYS", "{amtu}:job*"):
        fast.tester("DEL", key)
    assert fast.submit("j2", "pc1.example", max_kept=1)[0] == "ok"
    assert counts(fast) == ["1", "1"]


def test_names_count_until_their_job_expires(fast):
    assert fast.submit("j1", *unknown("j1", 60), max_names=100)[0] == "ok"
    assert fast.submit("j2", *unknown("j2", 41), max_names=100) == ["quota", "names"]
    assert fast.submit("j2", *unknown("j2", 40), max_names=100)[0] == "ok"
    for entry in fast.tester("ZRANGE", "{amtu}:kept", 0, -1):
        fast.tester("ZADD", "{amtu}:kept", 1, entry)
    fast.tester("DEL", "{amtu}:jobs:sha-alice")
    fast.reap()
    assert fast.tester("EXISTS", "{amtu}:kept", "{amtu}:caller:sha-alice", "{amtu}:callers") == 0
    assert fast.tester("HGET", "{amtu}:totals", "refused") == "0"


BYTES = 100 * (253 + 12) + 2048  # of a job of 100 unknown names
POOLS = {"refused": ("floor1",), "unscoped": ()}


def crowd(verbs, groups, callers, jobs):
    """So many callers with so many jobs of unknown names each; how many were taken."""
    return sum(verbs.submit(f"{caller}-{job}", *unknown(f"{caller}-{job}"), caller=f"crowd{caller}", groups=groups)[0] == "ok"
               for caller in range(callers) for job in range(jobs))


def totals(verbs):
    return [int(each or 0) for each in verbs.tester("HMGET", "{amtu}:totals", "refused", "unscoped")]


def test_who_may_unlock_nothing_takes_nothing_from_those_who_may(fast):
    """However many accounts there are, and whatever they send."""
    taken = crowd(fast, (), 40, 25)
    assert 16 * MB - BYTES < taken * BYTES <= 16 * MB and totals(fast) == [0, taken * BYTES]
    assert fast.submit("stranger", *unknown("s"), caller="bob", groups=()) == ["quota", "refused"]
    assert fast.submit("j1", *unknown("j1"))[0] == "ok"
    assert fast.submit("j2", "pc1.example", *unknown("j2"))[0] == "ok"
    assert fast.finish(fast.claim_one()) == "ok"


@pytest.mark.parametrize("pool", POOLS)
def test_refused_names_of_one_caller_have_a_bound(fast, pool):
    share = {"refused": 16 * MB, "unscoped": MB // 2}[pool]
    assert crowd(fast, POOLS[pool], 1, 2) == 2
    fast.tester("HSET", "{amtu}:caller:sha-crowd0", "bytes", share - BYTES)
    assert fast.submit("j0", *unknown("j0"), caller="crowd0", groups=POOLS[pool])[0] == "ok"
    assert fast.submit("j1", *unknown("j1"), caller="crowd0", groups=POOLS[pool]) == ["quota", "share"]
    assert fast.submit("j2", *unknown("j2"), caller="bob", groups=POOLS[pool])[0] == "ok"
    assert fast.submit("j3", "pc1.example", "typo.example", caller="crowd0")[0] == "ok", "half of it is known"
    assert fast.submit("j4", "pc2.example", caller="crowd0")[0] == "ok"


def test_where_others_have_used_up_the_bound_what_is_allowed_still_works(fast):
    fast.tester("HSET", "{amtu}:totals", "refused", 32 * MB)
    assert fast.submit("j1", *unknown("j1"), caller="bob")[0] == "ok", "a few of one's own"
    assert fast.submit("j2", *unknown("j2"), caller="bob")[0] == "ok"
    assert fast.submit("j3", *unknown("j3"), caller="bob") == ["quota", "refused"]
    assert fast.submit("j3", "pc1.example", *unknown("j3"), caller="bob")[0] == "ok", "one of a hundred is allowed"
    assert [task.system for task in fast.claim()] == ["pc1.example"]
    assert fast.errors("j3", caller="bob")[0] == (unknown("j3")[0], "", "not-available")


@pytest.mark.parametrize("pool", POOLS)
def test_bytes_of_refused_names_are_given_back(fast, pool):
    for ended in (lambda: fast.forget("j1"), lambda: fast.tester("ZADD", "{amtu}:kept", 1, fast.tester("ZRANGE", "{amtu}:kept", 0, 0)[0])):
        fast.submit("j1", *unknown("j1"), groups=POOLS[pool])
        fast.submit("j2", "nosuch.example")
        assert fast.tester("HGET", "{amtu}:totals", pool) >= str(BYTES)
        assert fast.tester("HGET", "{amtu}:caller:sha-alice", "bytes") == str(sum(totals(fast)))
        ended()
        fast.reap()
        fast.forget("j2")
        assert totals(fast) == [0, 0] and fast.tester("HGET", "{amtu}:caller:sha-alice", "bytes") in (None, "0")
        fast.tester("DEL", "{amtu}:jobs:sha-alice", "{amtu}:job:j1")


def test_a_caller_over_its_limit_costs_little(fast):
    """No name is resolved for it."""
    fast.submit("j1", *unknown("j1", 1000))
    before = fast.tester("INFO", "commandstats")
    for number in range(20):
        assert fast.submit(f"k{number}", *unknown("k", 1000), max_names=1500) == ["quota", "names"]
    calls = [sum(int(each) for each in re.findall(r"cmdstat_hmget:calls=(\d+)", text))
             for text in (before, fast.tester("INFO", "commandstats"))]
    assert calls[1] - calls[0] <= 20


def test_an_enumeration_counts_until_it_is_released(fast):
    fast.submit("j1", "nosuch.example")
    items = [f"item{number}" for number in range(50)]
    assert fast("context_open", "sha-alice", "c1", 60, "9/60", "fields", 0, *items)[0] == "ok"
    assert fast("context_open", "sha-alice", "c2", 60, "9/60", "fields", 0, *items) == ["quota", "names"]
    assert fast("context_release", "sha-alice", "c1") == ["ok"]
    assert fast("context_open", "sha-alice", "c2", 60, "9/60", "fields", 0, *items)[0] == "ok"
    assert fast.tester("HGET", "{amtu}:totals", "items") == "50"
    assert fast("context_pull", "sha-alice", "c2", 50)[3] == items
    assert fast.tester("HGET", "{amtu}:totals", "items") == "0" and counts(fast) == ["1", "1"]
    fast.tester("HSET", "{amtu}:totals", "items", 200_000)
    assert fast("context_open", "sha-bob", "c3", 60, 9, "fields", 0, "a")[0] == "ok", "one of his own"
    assert fast("context_open", "sha-bob", "c4", 60, 9, "fields", 0, "a") == ["quota", "items"]


def test_a_page_of_jobs_is_one_call(fast):
    for number in range(3):
        fast.submit(f"j{number}", "nosuch.example")
    fast.submit("bobs", "pc1.example", caller="bob")
    word, jobs = fast("read_page", "sha-alice", 0, "j2", "gone", "bobs", "", "j0")
    assert word == "ok" and [job[:2] for job in jobs] == [["ok", "j2"], ["none"], ["none"], ["none"], ["ok", "j0"]]
    assert [job[0] for job in fast("read_page", "sha-root", 1, "bobs")[1]] == ["ok"]
    assert len(fast("read_page", "sha-alice", 0, *["j1"] * 300)[1]) == 100


# ---- memory ------------------------------------------------------------------------------------------------


def test_with_no_memory_left_what_was_acknowledged_ends(fast):
    """Everything that a worker needs works; new jobs are refused."""
    for number in range(3):
        fast.submit(f"j{number}", f"pc{number + 1}.example")
    context = fast("context_open", "sha-alice", "c1", 60, 9, "fields", 0, "a", "b")
    assert context[0] == "ok"
    fast.tester("CONFIG", "SET", "maxmemory", memory(fast) // 2)
    for refused in (lambda: fast.submit("j9", "pc1.example"),
                    lambda: fast("context_open", "sha-alice", "c2", 60, 9, "fields", 0, "a")):
        with pytest.raises(RedisError, match="OOM"):
            refused()
    assert fast("context_pull", "sha-alice", "c1", 1)[3] == ["a"]
    one, two, three = fast.claim()
    assert fast.renew("w1", one, two, three) == []
    for task in (one, two):
        assert fast.intend(task, device=f"uuid-{task.system}") == "ok"
    assert fast.power_rate(one, "floor1", SECOND) == 0
    assert fast.progress(one, "P") == "ok" and fast.progress(one, "B") == "ok"
    assert fast.finish(one) == "ok" and fast.finish(two, "F", "no-prompt") == "ok"
    assert fast.release(three) == "ok"
    assert fast.reap() == 0
    systems = {f"new{number}.example": ("floor1", []) for number in range(10)}
    assert fast.publish({**systems, "pc3.example": ("floor2", [])}, digest="newer", written=2000) == ["ok"]
    assert fast.finish(fast.claim_one(digest="newer")) == "ok"
    assert [fast.read(f"j{number}")["state"] for number in range(3)] == [COMPLETED] * 3
    assert fast.results("j0") == (["pc1.example"], []) and fast("overview")[0] == "ok"
    assert fast("list", "sha-alice", 0)[0] == "ok" and fast.forget("j0") == "ok"


def test_new_jobs_are_refused_while_there_is_still_a_reserve(fast):
    fast.submit("j1", "pc1.example")
    fast.tester("CONFIG", "SET", "maxmemory", memory(fast) * 10 // 9)
    fast.reap()
    assert fast.submit("j2", "pc2.example") == ["quota", "memory"]
    assert fast.finish(fast.claim_one()) == "ok"
    fast.tester("CONFIG", "SET", "maxmemory", memory(fast) * 4)
    fast.reap()
    assert fast.submit("j2", "pc2.example")[0] == "ok"


# ---- what no verb has written ------------------------------------------------------------------------------

SHARED = ["jobs", "jobs:sha-alice", "caller:sha-alice", "callers", "totals", "kept", "turns:sha-alice", "ring", "deadlines",
          "bell", "counters", "scopes", "message:sha-alice:u/n", "message:sha-alice:u"]


@pytest.mark.parametrize("key", SHARED)
@pytest.mark.parametrize("when", ["queued", "held"])
def test_a_key_of_a_wrong_type_stops_no_worker(fast, key, when):
    """httpd's user cannot leave it so; whoever did, a worker mends it."""
    fast.submit("j1", "pc1.example", message="u/n")
    held = fast.claim_one() if when == "held" else None
    wrong = ("LPUSH", "x") if key.startswith("message") else ("SET", "x")
    fast.tester("DEL", f"{{amtu}}:{key}")
    fast.tester(wrong[0], f"{{amtu}}:{key}", wrong[1])
    fast.reap()
    task = held or next(iter(fast.claim()), None)
    if task:
        assert fast.renew("w1", task) == [] and fast.intend(task) == "ok" and fast.finish(task) == "ok"
    assert fast.submit("j2", "pc2.example", caller="bob")[0] == "ok"
    assert [each.job for each in fast.claim()] == ["j2"]


@pytest.mark.parametrize("fields", [
    ("waiting", "many"), ("running", "9223372036854775807"), ("unlocked", "x"), ("retention", "1e308"),
    ("retention", "nan"), ("owner", "x" * 3000), ("message", "m" * 3000), ("names", "1e99"), ("bytes", "-1"),
    ("state", "?")])
def test_a_forged_field_stops_no_worker(fast, fields):
    fast.submit("j1", "pc1.example", "pc2.example")
    held = fast.claim_one()
    fast.ask(WEB, "HSET", "{amtu}:job:j1", *fields)
    fast.submit("j2", "vault.example", caller="bob")
    assert fast.intend(held) == "ok" and fast.finish(held) == "ok"
    assert "j2" in [task.job for task in fast.claim()]
    assert fast("list", "sha-alice", 0)[0] == "ok"
    fast.window("errors", "j1")


COUNTS = [("job:j1", "waiting"), ("job:j1", "running"), ("job:j1", "unlocked"), ("job:j1", "failed"),
          ("totals", "waiting"), ("totals", "refused"), ("totals", "items"), ("caller:sha-alice", "waiting"),
          ("caller:sha-alice", "unfinished"), ("caller:sha-alice", "kept"), ("caller:sha-alice", "names"),
          ("counters", "unlocked"), ("counters", "joined"), ("counters", "reaped"), ("counters", "jobs")]


@pytest.mark.parametrize("where, field", COUNTS)
@pytest.mark.parametrize("value", ["9223372036854775807", "-9223372036854775808", "-1"])
def test_a_count_at_the_end_of_its_range_stops_no_worker(fast, where, field, value):
    """A verb that adds to it would end in an error, each time, for all PCs."""
    fast.submit("j1", "pc1.example", "pc2.example", "pc3.example", retention=SECOND)
    lost = fast.claim_one(lease=1)
    held = fast.claim_one("w2")
    fast.ask(WEB, "HSET", "{amtu}:" + where, field, value)
    fast.reap(grace=0)
    tasks = fast.claim("w2")
    assert {task.system for task in tasks} >= {lost.system}
    for task in [held, *tasks]:
        assert fast.intend(task) == "ok" and fast.finish(task) == "ok"
    fast.reap()
    assert fast.submit("j2", "vault.example", caller="bob")[0] == "ok"
    assert [each.job for each in fast.claim()] == ["j2"]


@pytest.mark.parametrize("field", ["caller", "peer", "mechanism"])
def test_a_worker_is_told_a_little_of_what_is_too_long(fast, field):
    """It judges that itself; what matters here is that the answer stays small, and that the others are in it."""
    fast.submit("j1", "pc1.example")
    fast.submit("j2", "pc2.example", caller="bob")
    fast.ask(WEB, "HSET", "{amtu}:job:j1", field, "x" * 70_000)
    told = {task.job: len(getattr(task, field)) for task in fast.claim()}
    assert told["j1"] == 2048 and told["j2"] < 20
    for task in fast.claim("w2"):
        fast.release(task)


def test_a_task_of_an_id_that_is_none_is_passed_over(fast):
    fast.submit("j1", "pc1.example")
    long = "j" * 70_000
    fast.ask(WEB, "HSET", f"{{amtu}}:job:{long}:tasks", "pc2.example", "Q|||||||")
    fast.ask(WEB, "RPUSH", f"{{amtu}}:queue:{long}:floor1", "pc2.example")
    fast.ask(WEB, "ZADD", "{amtu}:turns:sha-alice", "0", f"{long}:floor1")
    assert [task.job for task in fast.claim()] == ["j1"]


def test_crowds_of_nothing_do_not_hold_a_claim_up(fast):
    """A ring full of owners that have no line, and an owner full of lines that are empty."""
    for first in range(0, 30_000, 2000):
        fast.ask(WEB, "ZADD", "{amtu}:ring", *(word for n in range(first, first + 2000) for word in ("0", f"ghost{n}")))
        fast.ask(WEB, "ZADD", "{amtu}:turns:sha-x", *(word for n in range(first, first + 2000) for word in ("0", f"g{n}:f")))
    fast.ask(WEB, "ZADD", "{amtu}:ring", "0", "sha-x")
    fast.submit("j1", "pc1.example")
    claimed, rounds = [], 0
    while not claimed:
        before = commands(fast)
        claimed = fast.claim()
        rounds += 1
        assert commands(fast) - before < 40_000 and rounds < 200
    assert claimed[0].job == "j1"


def test_a_job_with_more_tasks_than_any_is_ended_without_reading_them(fast):
    fast.submit("j1", "pc1.example", start_within=0)
    for first in range(0, 102_000, 2000):
        fast.ask(WEB, "HSET", "{amtu}:job:j1:tasks", *(word for n in range(first, first + 2000) for word in (f"s{n}", "Q")))
    fast.reap()
    assert fast.tester("EXISTS", "{amtu}:job:j1:tasks") == 0 and fast.read("j1")["state"] == COMPLETED


@pytest.mark.parametrize("words", [("j" * 65, "alice", "1"), ("j1", "a" * 1025, "1"), ("j1", "alice", "n" * 601)])
def test_a_submission_of_texts_that_are_too_long_is_an_error(fast, words):
    job, caller, name = words
    with pytest.raises(RedisError, match="too long"):
        fast("submit", job, caller, "sha-alice", "192.0.2.1", "krb5", "", 10**17, 1, 1, 0, 0, 0, 1, "*", name, name)
    assert fast.tester("EXISTS", f"{{amtu}}:job:{job}") == 0
