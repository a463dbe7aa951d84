# SPDX-License-Identifier: Apache-2.0
"""The shipped ACL file against the library: each user has exactly what its verbs use."""

import re

import pytest

from redis_server import SCHEMA, USERS, WEB, WEB_VERBS, WORKER, WORKER_VERBS, RedisError, library


def rules(user):
    line = next(line for line in USERS.read_text().splitlines() if line.startswith(f"user {user} "))
    return line.split()


def granted(user):
    return {rule[1:] for rule in rules(user) if rule.startswith("+")}


class Source:
    """Which functions of the library call which, and which commands they use."""

    def __init__(self, text):
        self.bodies = {}
        for part in re.split(r"^(?=(?:local )?function )", text, flags=re.M)[1:]:
            name = re.match(r"(?:local )?function ([\w.]+)", part).group(1)
            self.bodies[name] = part[:part.index("\nend") + 4]

    def reached(self, name, seen=None):
        seen = set() if seen is None else seen
        seen.add(name)
        for other in self.bodies:
            if other not in seen and re.search(rf"(?<![\w.:]){re.escape(other)}(?!\w)", self.bodies[name]):
                self.reached(other, seen)
        return seen

    def commands(self, verbs):
        used = {"time"}  # the frame of every verb
        for verb in verbs:
            for name in self.reached(f"verbs.{verb_of(verb)}"):
                used |= {word.lower() for word in re.findall(r"(?:p?call|write_many)\('(\w+)'", self.bodies[name])}
        return used


def registered():
    table = re.search(r"local VERBS = \{(.*?)\n\}", library(), re.S).group(1)
    return re.findall(r"\{ '(\w+)'(?:, '([\w-]+)')?(?:, '(\w+)')? \}", table)


def verb_of(function):
    """The verb's name in the library, of a function's name in Redis."""
    return next(verb or name for name, _, verb in registered() if name == function)


def test_every_verb_is_registered_and_belongs_to_one_user():
    assert sorted(name for name, _, _ in registered()) == sorted(WEB_VERBS + WORKER_VERBS)
    for user, verbs in ((WEB, WEB_VERBS), (WORKER, WORKER_VERBS)):
        allowed = {rule for rule in granted(user) if rule.startswith("fcall|")}
        assert allowed == {f"fcall|amtunlock_{verb}" for verb in [*verbs, "schema"]}


def test_the_commands_are_exactly_those_that_the_verbs_use():
    source = Source(library())
    outside = {WEB: set(), WORKER: {"blpop", "config|get", "function|load"}}
    for user, verbs in ((WEB, WEB_VERBS), (WORKER, WORKER_VERBS)):
        allowed = {rule for rule in granted(user) if not rule.startswith("fcall|")}
        assert allowed == source.commands(verbs) | outside[user], user


def test_every_command_of_the_library_is_seen_by_this_test():
    """No call is made with a command that the pattern above cannot read."""
    calls = re.findall(r"(?<![\w.])(?:call|write_many)\(([^,)]*)", library())
    assert {each for each in calls if not re.fullmatch(r"'[A-Z]+'", each)} <= {"...", "command", "command, at"}


def test_flags():
    flags = {name: flag for name, flag, _ in registered()}
    for verb in "renew intend progress finish release reap cancel".split():
        assert flags[verb] == "allow-oom"
    for verb in "read list results errors overview".split():
        assert flags[verb] == "no-writes"


def test_the_default_user_is_off(redis_server):
    """It has rights, since Redis 7.0 replays its append-only file as this user, but nobody can be it."""
    assert rules("default")[2:4] == ["off", "resetpass"]
    with pytest.raises(RedisError, match="WRONGPASS"):
        redis_server.wire("default")
    for words in (("AUTH", ""), ("AUTH", "default", ""), ("AUTH", "x")):
        wire = redis_server.wire(WEB)
        with pytest.raises(RedisError, match="WRONGPASS|AUTH <password> called without any password"):
            wire(*words)
        wire.close()
    bare = redis_server.wire(None)
    with pytest.raises(RedisError, match="NOAUTH"):
        bare("PING")
    bare.close()


def test_what_was_acknowledged_is_there_after_a_kill(redis, verbs, tester):
    verbs.submit("j1", "pc1.example", "pc2.example")
    task = verbs.claim_one()
    verbs.intend(task)
    before = tester("DBSIZE"), tester("HGETALL", "{amtu}:job:j1:tasks"), tester("GET", "{amtu}:fence")
    redis.kill()
    redis.start()
    assert before == (tester("DBSIZE"), tester("HGETALL", "{amtu}:job:j1:tasks"), tester("GET", "{amtu}:fence"))
    assert verbs.intend(task) == "already"
    assert verbs.finish(task) == "ok"


def test_as_shipped_nobody_can_log_in():
    for user in (WEB, WORKER):
        assert not [rule for rule in rules(user) if rule[0] in "<>#" or rule == "nopass"]


FORBIDDEN_KEYS = ["{amtu}:system:pc1.example", "{amtu}:leases", "{amtu}:fence", "{amtu}:worker:w1", "{amtu}:workers",
                  "{amtu}:inventory", "{amtu}:inventory:g-digest-1", "{amtu}:device:u", "{amtu}:cool:pc1.example",
                  "{amtu}:looks", "{amtu}:retry", "other", "{amtu}"]


@pytest.fixture(name="web", scope="module")
def _web(redis_server):
    wire = redis_server.wire(WEB)
    yield wire
    wire.close()


@pytest.mark.parametrize("key", FORBIDDEN_KEYS)
def test_httpds_user_cannot_write_what_is_the_workers(web, key):
    for command in (("HSET", "f", "v"), ("SET", "v"), ("DEL",), ("UNLINK",), ("PEXPIRE", "1"), ("ZADD", "1", "m")):
        with pytest.raises(RedisError, match="NOPERM"):
            web(command[0], key, *command[1:])


@pytest.mark.parametrize("words", [
    ("EVAL", "return 1", "0"), ("FUNCTION", "LOAD", "x"), ("FUNCTION", "LIST"), ("FUNCTION", "FLUSH"),
    ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("ACL", "WHOAMI"), ("KEYS", "*"), ("SCAN", "0"), ("FLUSHALL",),
    ("DBSIZE",), ("SHUTDOWN",), ("INFO",), ("INFO", "server"), ("MONITOR",), ("CLIENT", "LIST"),
    ("PUBLISH", "c", "m"), ("BLPOP", "{amtu}:bell", "1"), ("LPOP", "{amtu}:queue:x"),
    ("RENAME", "{amtu}:job:a", "{amtu}:job:b"), ("SAVE",), ("REPLICAOF", "NO", "ONE")])
def test_httpds_user_has_no_other_command(web, words):
    with pytest.raises(RedisError, match="NOPERM"):
        web(*words)


def test_each_user_has_none_of_the_others_verbs(redis_server):
    for user, verbs in ((WEB, WORKER_VERBS), (WORKER, WEB_VERBS)):
        wire = redis_server.wire(user)
        for verb in verbs:
            with pytest.raises(RedisError, match="NOPERM"):
                wire("FCALL", f"amtunlock_{verb}", 0, SCHEMA)
        wire.close()


def test_a_web_verb_cannot_be_led_to_a_workers_key(verbs, tester):
    """A forged job may name what it likes: the keys that end with it stay inside what httpd's user may write."""
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    tester("HSET", "{amtu}:job:j1", "message", "../{amtu}:fence", "owner", "sha-alice", "retention", "nonsense")
    assert verbs.finish(task) == "ok"
    assert tester("TTL", "{amtu}:fence") == -1
