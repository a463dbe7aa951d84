# SPDX-License-Identifier: Apache-2.0
"""A scope that is gone when a system is claimed: it is not unlocked, whatever it was when it was asked for."""

import pytest

from redis_server import INVENTORY


def moved(system, group):
    return {**INVENTORY, system: (group, INVENTORY[system][1])}


def claimed(verbs, **more):
    return [task.system for task in verbs.claim(**more)]


def reasons(verbs, job="j1"):
    return {name: reason for name, _, reason in verbs.errors(job)}


def test_a_system_that_moved_out_of_the_scope(verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example", groups=("floor1", "floor2"))
    verbs.publish(moved("pc1.example", "safe"), digest="digest-2", written=2000)
    assert claimed(verbs, digest="digest-2") == ["pc2.example"]
    assert reasons(verbs) == {"pc1.example": "not-available"}
    assert tester("HGET", "{amtu}:counters", "revoked") == "1"


def test_a_system_that_moved_within_the_scope(verbs):
    verbs.submit("j1", "pc1.example", groups=("floor1", "floor2"))
    verbs.publish(moved("pc1.example", "floor2"), digest="digest-2", written=2000)
    assert claimed(verbs, digest="digest-2") == ["pc1.example"]


@pytest.mark.parametrize("groups, has, goes_on", [
    (["floor1 web/aa"], "aa bb", True), (["floor1 web/aa"], "bb", False), (["floor1 web/aa"], "", False),
    (["* web/aa"], "bb", False), (["* web/aa", "floor1 web/bb"], "bb", True), (["floor2 web/bb", "floor1 web/aa"], "bb", False),
    (["floor1 other/aa"], "bb", True), (["floor1"], "bb", True)],
    ids=["is there", "is gone", "none left", "of all groups", "another one", "of another group", "another httpd", "no directive"])
def test_a_directive_that_is_gone(verbs, groups, has, goes_on):
    """(one of another httpd, which has not said what it has, holds)"""
    assert verbs("scopes", "web", 1000, "aa", "bb") == ["ok"]
    verbs.submit("j1", "pc1.example", groups=groups)
    assert verbs("scopes", "web", 2000, *has.split()) == ["ok"]
    assert claimed(verbs) == (["pc1.example"] if goes_on else [])


def test_an_older_reading_does_not_replace_a_newer_one(verbs):
    assert verbs("scopes", "web", 2000, "bb") == ["ok"]
    assert verbs("scopes", "web", 1000, "aa") == ["already"]
    verbs.submit("j1", "pc1.example", groups=("floor1 web/aa",))
    assert claimed(verbs) == []


def test_a_reading_of_the_future_is_replaced(verbs):
    """The httpd's clock was ahead, and has been set back since: what it says now is what it has."""
    assert verbs("scopes", "web", 4000000000000000, "aa") == ["ok"]
    verbs.submit("j1", "pc1.example", groups=("floor1 web/aa",))
    assert verbs("scopes", "web", 1000, "bb") == ["ok"]
    assert claimed(verbs) == []


def test_what_a_worker_gave_back_is_asked_again(verbs):
    verbs.submit("j1", "pc1.example", groups=("floor1 web/aa",))
    (task,) = verbs.claim()
    assert verbs.release(task) == "ok"
    verbs("scopes", "web", 1000, "bb")
    assert claimed(verbs) == []


def test_it_does_not_join_another_callers_unlock(verbs):
    verbs.submit("k1", "pc1.example", caller="bob")
    assert claimed(verbs) == ["pc1.example"]
    verbs.submit("j1", "pc1.example", groups=("floor1 web/aa",))
    verbs("scopes", "web", 1000)
    assert claimed(verbs) == []
    assert reasons(verbs) == {"pc1.example": "not-available"}


def test_a_job_of_an_older_library(verbs, tester):
    verbs.submit("j1", "pc1.example", groups=("floor1",))
    tester("HDEL", "{amtu}:job:j1", "scope")
    assert claimed(verbs) == ["pc1.example"]


def test_what_is_published_is_bounded(verbs, tester):
    for number in range(260):
        assert verbs("scopes", f"web{number}", 1000, "aa") == ["ok"]
    verbs.reap()
    assert int(tester("HLEN", "{amtu}:scopes")) <= 256
    assert verbs("scopes", "web", 1000, *(["a" * 32] * 3000))[0] == "refused"


# ---- what was denied -----------------------------------------------------------------------------------------------

def denied(verbs):
    word, entries = verbs("denied")
    assert word == "ok"
    return [entry.split("\n")[1:] for entry in entries]


def test_what_was_denied_is_told_once(verbs):
    """Systems that are there: to the caller they look like those that are not."""
    answer = verbs.submit("j1", "pc1.example", "VAULT.example", "nosuch.example", "10.0.0.9", groups=("floor1",))
    assert answer == ["ok", "j1", "0", "2 vault.example 10.0.0.9"]
    assert denied(verbs) == [["j1", "krb5", "192.0.2.1", "alice", "2 vault.example 10.0.0.9"]]
    assert denied(verbs) == []


def test_what_is_unknown_is_not_denied(verbs):
    assert verbs.submit("j1", "pc1.example", "nosuch.example", groups=("floor1",))[3] == ""
    assert verbs.submit("j2", "nosuch.example", groups=())[3] == ""
    assert denied(verbs) == []


def test_what_was_denied_is_bounded(verbs, tester):
    for number in range(30):
        verbs.submit(f"j{number}", "vault.example", groups=())
    assert len(denied(verbs)) == 20
    tester("RPUSH", "{amtu}:denied", *["x" * 10000, *["x"] * 999])
    verbs.submit("k", "vault.example", groups=())
    assert int(tester("LLEN", "{amtu}:denied")) == 1010
    assert tester("HGET", "{amtu}:counters", "denied") == "31"
    assert len(verbs("denied")[1][10]) == 4096


def test_a_list_of_names_has_an_end(verbs):
    systems = {f"v{number}.example": ("safe", []) for number in range(20)}
    verbs.publish(systems, digest="digest-2", written=2000)
    told = verbs.submit("j1", *systems, groups=())[3].split()
    assert told == ["20", *[f"v{number}.example" for number in range(10)]]
