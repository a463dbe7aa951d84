# SPDX-License-Identifier: Apache-2.0
"""What httpd -t says of a configuration."""

import os
import re

import pytest
from amtu_stack.places import REPOSITORY


@pytest.fixture
def check(stack):
    """check({old: new}, line): httpd -t of the stack's configuration with some things replaced and a line added."""

    def run(changes=(), line=""):
        changed = stack.httpd.text()
        for old, new in dict(changes).items():
            assert old in changed
            changed = changed.replace(old, new)
        changed += f"\n{line}\n"
        return stack.httpd.check(stack.places.write(stack.httpd.root / "tried.conf", changed))

    return run


@pytest.mark.parametrize("line, names", [
    ("AMTUnlockMaxSystems 0", "AMTUnlockMaxSystems"),
    ("AMTUnlockMaxSystems many", "AMTUnlockMaxSystems"),
    ("AMTUnlockMaxSystems -1", "AMTUnlockMaxSystems"),
    ("AMTUnlockMaxSystems 99999999999", "AMTUnlockMaxSystems"),
    ("AMTUnlockRetention soon", "AMTUnlockRetention"),
    ("AMTUnlockStartWithin PT0S", "AMTUnlockStartWithin"),
    ("AMTUnlockMech basic", "AMTUnlockMech"),
    ("AMTUnlockJobStarted 1", "AMTUnlockJobStarted"),
    ("AMTUnlockScope floor-1", "AMTUnlockScope"),
    ('AMTUnlockScope floor-1 "%{REMOTE_USER"', "AMTUnlockScope"),
    ("AMTUnlockRedis rediss://elsewhere user=a", "AMTUnlockRedis"),
    ("AMTUnlockRedis unix:/run/redis.sock secret=a", "AMTUnlockRedis"),
    ("AMTUnlockWorker Maybe", "AMTUnlockWorker"),
    ("AMTUnlockCallerLimits pages=1", "AMTUnlockCallerLimits"),
    ("AMTUnlockMaxBody 1", "AMTUnlockMaxBody"),
    ("AMTUnlockTrustedProxy X-User", "AMTUnlockTrustedProxy"),
    ("AMTUnlockNoSuch On", "AMTUnlockNoSuch"),
])
def test_wrong_lines(check, line, names):
    """Each is refused with the name of the directive and the line it is on."""
    status, text = check(line=line)
    assert status != 0
    assert names in text
    assert re.search(r"line \d+", text)


@pytest.mark.parametrize("line", [
    "AMTUnlockRetention PT30M", "AMTUnlockRetention PT2H", "AMTUnlockStartWithin PT5M", "AMTUnlockMech krb5 ntlm",
    "AMTUnlockJobStarted 0", "AMTUnlockMaxBody 262144", "AMTUnlockCallerLimits jobs=1 systems=100 contexts=2",
    'AMTUnlockTrustedProxy X-User proxy.example "CN=proxy,O=Example"'])
def test_right_lines(check, line):
    status, text = check(line=line)
    assert status == 0, text


def test_password_file_that_is_missing(check, stack):
    status, text = check({str(stack.redis.password_file("amtunlock-web")): "/nonexistent/password"})
    assert "/nonexistent/password" in text
    # An ordinary user may test a configuration whose password file only root can read.
    assert status != 0 or os.geteuid() != 0


def test_without_a_scope_nobody_may_unlock_and_it_says_so(check):
    status, text = check({"AMTUnlockScope": "#AMTUnlockScope"})
    assert "AMTUnlockScope" in text, f"{status}: {text}"


def test_without_redis(check):
    status, text = check({"AMTUnlockRedis": "#AMTUnlockRedis"})
    assert status != 0
    assert "AMTUnlockRedis" in text


def test_installed_build_keeps_jobs_half_an_hour(check, stack):
    """A test build may forget sooner; what is installed may not."""
    installed = REPOSITORY / "build" / "mod_amtunlock.so"
    assert installed.exists(), "make all"
    swap = {str(stack.places.program("mod_amtunlock.so")): str(installed)}
    for short in ("PT29M59S", "PT2S"):
        status, text = check({**swap, "AMTUnlockRetention PT2S": f"AMTUnlockRetention {short}"})
        assert status != 0
        assert "PT30M" in text
    status, text = check({**swap, "AMTUnlockRetention PT2S": "AMTUnlockRetention PT30M"})
    assert status == 0, text
