# SPDX-License-Identifier: Apache-2.0
"""The shipped ACL file against the library: each user has exactly what its verbs use."""

import re

import pytest

from redis_server import SCHEMA, USERS, WEB, WEB_VERBS, WORKER, WORKER_VERBS, RedisError, key_of, library


def whole(user):
    return next(line for line in USERS.read_text().splitlines() if line.startswith(f"user {user} "))


def rules(user):
    """Without the selectors."""
    return re.sub(r"\(.*\)", "", whole(user)).split()


def selectors(user):
    """{command: its keys}, of the selectors, each of which has one command."""
    words = [text.split() for text in re.findall(r"\(([^)]*)\)", whole(user))]
    assert len({command for command, *_ in words}) == len(words)
    return {command[1:]: keys for command, *keys in words}


def granted(user):
    return {rule[1:] for rule in rules(user) if rule.startswith("+")} | set(selectors(user)) - {"fcall"}


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
        assert sorted(selectors(user)["fcall"]) == sorted(f"~{key_of(verb)}" for verb in verbs)
        assert not [rule for rule in rules(user) if "{amtu}:verb" in rule or "fcall" in rule]


def test_no_right_is_of_a_kind_that_redis_8_takes_away():
    """A first argument of a command that has no subcommands."""
    subcommands = {"config|get", "function|load"}
    for user in (WEB, WORKER):
        assert {rule for rule in granted(user) if "|" in rule} <= subcommands


def test_the_commands_are_exactly_those_that_the_verbs_use():
    source = Source(library())
    # The last: a library of schema 6, until a worker has replaced it.
    outside = {WEB: set(), WORKER: {"blpop", "config|get", "function|load", "hgetall"}}
    for user, verbs in ((WEB, WEB_VERBS), (WORKER, WORKER_VERBS)):
        assert granted(user) == source.commands(verbs) | outside[user], user


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


# What httpd's verbs write, by the command, and so what a stolen child of httpd can write.
WRITES = {
    ("DEL",): "caller:o",
    ("UNLINK",): "job:j job:j:tasks job:j:names queue:j:g message:o:m context:c",
    ("EXPIRE", "9"): "context:c contexts:o",
    ("PEXPIRE", "9"): "job:j job:j:tasks job:j:names jobs:o message:o:m",
    ("PERSIST",): "job:j job:j:tasks job:j:names jobs:o",
    ("SET", "v"): "message:o:m",
    ("HSET", "f", "1"): "job:j job:j:tasks job:j:names caller:o totals counters context:c scopes",
    ("HINCRBY", "f", "1"): "job:j job:j:tasks job:j:names caller:o totals counters",
    ("LPUSH", "v"): "bell",
    ("RPUSH", "v"): "queue:j:g denied",
    ("ZADD", "1", "m"): "jobs jobs:o callers kept turns:o ring deadlines contexts:o",
    ("ZREM", "m"): "jobs jobs:o callers kept turns:o ring deadlines contexts:o",
    ("ZREMRANGEBYSCORE", "1", "1"): "contexts:o",
    **{words: "" for words in (
        ("GETDEL",), ("GETEX", "EX", "9"), ("EXPIREAT", "9"), ("PEXPIREAT", "9"), ("SETEX", "9", "v"), ("APPEND", "v"),
        ("INCR",), ("HDEL", "f"), ("LPOP",), ("RPOP",), ("LREM", "0", "v"), ("LTRIM", "1", "0"), ("LSET", "0", "v"), ("ZPOPMIN",),
        ("ZINCRBY", "1", "m"), ("ZREMRANGEBYRANK", "0", "-1"), ("COPY", "{amtu}:x"), ("RENAME", "{amtu}:x"), ("RESTORE", "0", "x"),
        ("SORT", "STORE", "{amtu}:x"), ("SADD", "m"), ("PFADD", "m"), ("SETRANGE", "0", "v"), ("XADD", "*", "f", "v"))},
}
FAMILIES = sorted({"inventory", "inventory:g", "system:s", "system:s:waiters", "device:u", "leases", "fence", "cool:s", "looks",
                   "retry", "ramp", "breaker:s", "worker:w", "worker:seal:r", "workers", "x",
                   *(key for keys in WRITES.values() for key in keys.split())})


@pytest.mark.parametrize("words", WRITES, ids=lambda words: words[0])
def test_httpds_user_writes_a_key_only_as_its_verbs_do(web, tester, words):
    """Each command that writes, with each key that there is."""
    for key in FAMILIES:
        try:
            web(words[0], f"{{amtu}}:{key}", *words[1:])
            allowed = True
        except RedisError as error:
            allowed = "NOPERM" not in str(error)
        assert allowed == (key in WRITES[words].split()), key
    tester("FLUSHALL")


def test_this_table_has_every_command_of_the_user(web):
    assert {words[0].lower() for words, keys in WRITES.items() if keys} == set(selectors(WEB)) - {"fcall"}
    readers = {rule[1:].upper() for rule in rules(WEB) if rule.startswith("+")}
    assert not [rule for rule in rules(WEB) if rule.startswith(("~", "%W", "%RW"))], "readers read"
    assert not readers & {words[0] for words in WRITES}


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


def refused(wire, verb, *keys):
    for command in ("FCALL", "FCALL_RO"):
        with pytest.raises(RedisError, match="NOPERM"):
            wire(command, f"amtunlock_{verb}", len(keys), *keys, SCHEMA)


@pytest.mark.parametrize("user, own, others", [(WEB, WEB_VERBS, WORKER_VERBS), (WORKER, WORKER_VERBS, WEB_VERBS)])
def test_each_user_has_none_of_the_others_verbs(redis_server, tester, user, own, others):
    """By whichever key it is called: that of the function, those that the user has, or none."""
    wire = redis_server.wire(user)
    before = tester("DBSIZE")
    for verb in others:
        refused(wire, verb, key_of(verb))
        refused(wire, verb)
        refused(wire, verb, "{amtu}:counters")
        refused(wire, verb, "{amtu}:verb:")
        refused(wire, verb, "{amtu}:verb:schema")
        refused(wire, verb, f"amtunlock_{verb}")
        refused(wire, verb, key_of(own[0]), key_of(verb))
        for mine in own:
            refused(wire, verb, key_of(mine))
            refused(wire, verb, key_of(mine), key_of(mine))
    wire.close()
    assert tester("DBSIZE") == before


@pytest.mark.parametrize("user, verbs", [(WEB, WEB_VERBS), (WORKER, WORKER_VERBS)])
def test_a_user_calls_its_verbs_with_their_keys_only(redis_server, user, verbs):
    wire = redis_server.wire(user)
    for verb in verbs:
        try:
            assert wire("FCALL", f"amtunlock_{verb}", 1, key_of(verb), SCHEMA)[0] == "ok"
        except RedisError as error:  # the verb looked at its arguments
            assert "too few arguments" in str(error)
        refused(wire, verb)
        refused(wire, verb, key_of(verb), key_of(verb))
        for other in verbs:
            if other != verb:
                refused(wire, verb, key_of(other))
    assert wire("FCALL", "amtunlock_schema", 0) == ["ok", SCHEMA]
    wire.close()


@pytest.mark.parametrize("user", [WEB, WORKER])
def test_the_keys_of_verbs_hold_nothing(redis_server, user):
    wire = redis_server.wire(user)
    for verb in WEB_VERBS + WORKER_VERBS:
        for words in (("SET", key_of(verb), "x"), ("HGETALL", key_of(verb)), ("DEL", key_of(verb))):
            with pytest.raises(RedisError, match="NOPERM"):
                wire(*words)
    wire.close()


def test_a_web_verb_cannot_be_led_to_a_workers_key(verbs, tester):
    """A forged job may name what it likes: the keys that end with it stay inside what httpd's user may write."""
    verbs.submit("j1", "pc1.example")
    task = verbs.claim_one()
    tester("HSET", "{amtu}:job:j1", "message", "../{amtu}:fence", "owner", "sha-alice", "retention", "nonsense")
    assert verbs.finish(task) == "ok"
    assert tester("TTL", "{amtu}:fence") == -1
