# SPDX-License-Identifier: Apache-2.0
"""amtunlockd check: everything that a start needs, as the worker's user; and what a worker says of a Redis that forgets."""

import os
import re
import subprocess

import pytest

from rig import Rig, wait_until


@pytest.fixture(scope="module")
def rig():
    one = Rig("check-start", systems=1, boot_seconds="1-1")
    one.up()
    one.worker = one.add_worker()
    # Redis knows its host by its first beat, which finds no functions before the inventory is published.
    assert wait_until(lambda: one.redis_call("ZCARD", "{amtu}:workers") == 1, 10)
    yield one
    one.down()


@pytest.fixture(name="check")
def _check(rig):
    """check(old=new, ...): what `amtunlockd check` says to the worker's settings with these texts put in, as the worker's
    user, or as another who is root."""
    config = rig.worker.config.read_text()

    def check(changes=None, as_root=False, words=()):
        text = config
        for old, new in (changes or {}).items():
            assert re.search(old, text, re.M), old
            text = re.sub(old, new, text, flags=re.M)
        other = rig.places.write(rig.worker.folder / "other.conf", text, "amtunlock", 0o600)
        role = rig.places.roles["amtunlock"]
        who = {"user": role.uid, "group": role.gid, "extra_groups": []} if role.uid is not None and not as_root else {}
        return subprocess.run([rig.places.program("amtunlockd"), "-c", other, *words, "check"], capture_output=True,
                              text=True, timeout=60, check=False,
                              env={"PATH": "/usr/bin:/bin", **rig.worker.environment()}, **who)
    return check


@pytest.fixture(name="redis_setting")
def _redis_setting(rig):
    """redis_setting(name, value), until the test ends."""
    before = []

    def put(name, value):
        before.append((name, rig.redis_call("CONFIG", "GET", name)[1]))
        rig.redis_call("CONFIG", "SET", name, value)
    yield put
    for name, value in reversed(before):
        rig.redis_call("CONFIG", "SET", name, value)


def test_all_is_well(check):
    done = check()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "well; 1 systems" in done.stdout


def folder_of(rig, name, mode, role="amtunlock"):
    folder = rig.worker.folder / name
    if not folder.exists():
        folder.mkdir()
        rig.places.roles[role].own(folder)
    folder.chmod(mode)
    return folder


@pytest.mark.parametrize("setting, sentence", [
    ("audit = {}/closed/audit.jsonl", "audit: user {uid} may not write there"),
    ("audit = {}/nowhere/audit.jsonl", "audit: No such file or directory"),
    ("log = {}/closed/log", "log: user {uid} may not write there"),
    ("state-dir = {}/nowhere", "state-dir: No such file or directory"),
    ("state-dir = {}/closed", "state-dir: user {uid} may not write there"),
    ("state-dir = {}/other.conf", "state-dir is no folder")])
def test_what_it_writes(rig, check, setting, sentence):
    role = rig.places.roles["amtunlock"]
    if role.uid is None:
        pytest.skip("only root can be somebody else")
    folder_of(rig, "closed", 0o500)
    done = check({rf"^{setting.partition(' ')[0]} = .*$": setting.format(rig.worker.folder)})
    assert done.returncode == 1
    assert sentence.format(uid=role.uid) in done.stderr, done.stderr


def test_files_that_a_worker_would_not_open(rig, check):
    """What others may write is no record, nor is a link to one; and a lock that root once left is in the way."""
    folder, own = folder_of(rig, "left", 0o700), rig.places.roles["amtunlock"].uid or os.getuid()
    for name, mode in (("open", 0o666), ("mine", 0o600), ("worker.lock", 0o400)):
        rig.places.write(folder / name, "", "amtunlock", mode)
        (folder / name).chmod(mode)
    (folder / "link").symlink_to("mine")
    for name in ("open", "link", "."):
        done = check({r"^audit = .*$": f"audit = {folder / name}"})
        assert done.returncode == 1 and f"audit: must be a regular file of user {own}" in done.stderr, done.stderr
    assert check({r"^audit = .*$": f"audit = {folder / 'mine'}"}).returncode == 0
    if own != 0:
        done = check({r"^state-dir = .*$": f"state-dir = {folder}"})
        assert done.returncode == 1 and f"worker.lock: state-dir: user {own} may not write it" in done.stderr, done.stderr


def password_copy(rig, text, mode=0o600):
    return rig.places.write(rig.worker.folder / "copy.password", text, "amtunlock", mode)


def test_redis_password(rig, check):
    setting = r"^password-file = .*$"
    right = rig.redis.password_file("amtunlockd").read_text()
    done = check({setting: f"password-file = {password_copy(rig, 'wrong')}"})
    assert done.returncode == 1 and "redis: Redis refuses the user or the password" in done.stderr
    done = check({setting: f"password-file = {password_copy(rig, right, 0o644)}"})
    assert done.returncode == 1 and "may be used by others than its owner (mode 0644): chmod 0600" in done.stderr
    done = check({setting: f"password-file = {password_copy(rig, right)}"})
    assert done.returncode == 0, done.stderr


def test_no_redis(rig, check):
    done = check({r"^address = .*$": f"address = unix:{rig.worker.folder}/none.sock"})
    assert done.returncode == 1
    assert f"unix:{rig.worker.folder}/none.sock: redis: " in done.stderr
    done = check({r"^address = .*$": f"address = unix:{rig.worker.folder}/none.sock"}, words=("--offline",))
    assert done.returncode == 0 and "Redis was not asked" in done.stdout


def test_user_of_redis_without_rights(rig, check):
    """As before the rights of conf/redis-users.acl were put in."""
    rig.redis_call("ACL", "SETUSER", "lame", "on", ">lame", "+info")
    done = check({r"^password-file = .*$": f"password-file = {password_copy(rig, 'lame')}", r"^user = .*$": "user = lame"})
    rig.redis_call("ACL", "DELUSER", "lame")
    assert done.returncode == 1 and "Redis' ACL forbids this to the user" in done.stderr


def of_an_older_version(rig, user):
    """Makes `user` what the worker's was before the function `mark` came."""
    users = [line.split() for line in (rig.redis.socket.parent / "users.acl").read_text().splitlines()]
    rules = " ".join(next(words for words in users if words[1] == "amtunlockd")[2:])
    rules = re.sub(r"([>#])\S+ ", "", rules.replace(" ~{amtu}:verb:mark", ""))
    selectors = re.findall(r"\([^)]*\)", rules)
    plain = re.sub(r"\([^)]*\)", "", rules).split()
    rig.redis_call("ACL", "SETUSER", user, "reset", *plain, f">{user}", *selectors)


def test_users_of_redis_of_an_older_version(rig, check):
    """A worker would begin unlocks and stop before each power request."""
    of_an_older_version(rig, "older")
    done = check({r"^password-file = .*$": f"password-file = {password_copy(rig, 'older')}", r"^user = .*$": "user = older"})
    rig.redis_call("ACL", "DELUSER", "older")
    assert done.returncode == 1
    assert "amtunlock_mark: Redis' ACL forbids this to the user: compare it with conf/redis-users.acl" in done.stderr


@pytest.mark.parametrize("name, value, says", [
    ("appendonly", "no", "appendonly is no, and must be yes"),
    ("appendfsync", "everysec", "appendfsync is everysec, and must be always"),
    ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru, and must be noeviction")])
def test_redis_that_forgets(check, redis_setting, name, value, says):
    redis_setting(name, value)
    done = check()
    assert done.returncode == 1
    assert says in done.stderr


def test_root_checks_as_the_workers_user(rig, check):
    """Root may read everything, and files that are right are not root's."""
    role = rig.places.roles["amtunlock"]
    if role.uid is None:
        pytest.skip("only root can be somebody else")
    state = folder_of(rig, "state", 0o700)
    done = check({r"^state-dir = .*$": f"state-dir = {state}"}, as_root=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    folder_of(rig, "closed", 0o500)
    done = check({r"^state-dir = .*$": f"state-dir = {state}", r"^audit = .*$": f"audit = {rig.worker.folder}/closed/a"},
                 as_root=True)
    assert done.returncode == 1 and f"audit: user {role.uid} may not write there" in done.stderr
    done = check(as_root=True, words=("-u", "no-such-user"))
    assert done.returncode == 1 and "there is no user no-such-user" in done.stderr


def test_files_that_are_older_than_what_another_host_serves(rig, check):
    """A worker with them would claim nothing; those of this host would be loaded anew."""
    changed = {"boot-timeout = 20": "boot-timeout = 21"}
    written = rig.redis_call("HGET", "{amtu}:inventory", "written")
    rig.redis_call("HSET", "{amtu}:inventory", "written", rig.redis_time() + 10**9)
    try:
        assert check(changed).returncode == 0
        rig.redis_call("ZADD", "{amtu}:inventory:workers", rig.redis_time(), "other")
        rig.redis_call("SET", "{amtu}:worker:other", "host=elsewhere pid=1", "EX", 60)
        assert check().returncode == 0, "the same files"
        done = check(changed)
        assert done.returncode == 1
        assert ("another inventory is published: worker other of host elsewhere serves it, and this one's files were "
                "not written later; a worker with these files claims nothing") in done.stderr
    finally:
        rig.redis_call("ZREM", "{amtu}:inventory:workers", "other")
        rig.redis_call("DEL", "{amtu}:worker:other")
        rig.redis_call("HSET", "{amtu}:inventory", "written", written)


def test_only_root_checks_as_another(check):
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    done = check(words=("-u", "root"))
    assert done.returncode == 1 and "only root can check as another user" in done.stderr


def test_worker_says_it_at_its_start(rig, redis_setting):
    redis_setting("appendfsync", "everysec")
    worker = rig.add_worker()
    assert wait_until(lambda: rig.heard(worker, "AMTU0452"), 10)
    assert "appendfsync is everysec, and must be always" in worker.log.read_text()
    assert wait_until(lambda: any("redis=may-forget" in rig.redis_call("GET", key) for key in
                                  rig.redis_call("KEYS", "{amtu}:worker:*")), 10), "the status page shows it"
