"""What httpd -t says of a configuration."""

import os
import re

import pytest
from amtu_stack.places import REPOSITORY


@pytest.fixture
def check(stack):
    """check(old, new): httpd -t of the stack's configuration with one thing replaced (or added at its end)."""

    def run(old=None, new=""):
        text = stack.httpd.text()
        changed = text.replace(old, new) if old else text + "\n" + new + "\n"
        assert changed != text
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
    status, text = check(new=line)
    assert status != 0
    assert names in text
    assert re.search(r"line \d+", text)


@pytest.mark.parametrize("line", [
    "AMTUnlockRetention PT30M", "AMTUnlockRetention PT2H", "AMTUnlockStartWithin PT5M", "AMTUnlockMech krb5 ntlm",
    "AMTUnlockJobStarted 0", "AMTUnlockMaxBody 262144", "AMTUnlockCallerLimits jobs=1 systems=100 contexts=2",
    'AMTUnlockTrustedProxy X-User proxy.example "CN=proxy,O=Example"'])
def test_right_lines(check, line):
    status, text = check(new=line)
    assert status == 0, text


def test_password_file_that_is_missing(check, stack):
    status, text = check(str(stack.redis.password_file("amtunlock-web")), "/nonexistent/password")
    assert "/nonexistent/password" in text
    # An ordinary user may rehearse a configuration whose password only root can read.
    assert status != 0 or os.geteuid() != 0


def test_without_a_scope_nobody_may_unlock_and_it_says_so(check):
    status, text = check("AMTUnlockScope", "#AMTUnlockScope")
    assert "AMTUnlockScope" in text, f"{status}: {text}"


def test_without_redis(check):
    status, text = check("AMTUnlockRedis", "#AMTUnlockRedis")
    assert status != 0
    assert "AMTUnlockRedis" in text


def test_installed_build_keeps_jobs_half_an_hour(check, stack):
    """A test build may forget sooner; what is installed may not."""
    installed = REPOSITORY / "build" / "mod_amtunlock.so"
    assert installed.exists(), "make all"
    here, there = f"LoadModule amtunlock_module {stack.places.program('mod_amtunlock.so')}", \
        f"LoadModule amtunlock_module {installed}"
    status, text = check(here, there + "\nAMTUnlockRetention PT29M59S")
    assert status != 0
    assert "PT30M" in text
    assert check(here, there + "\nAMTUnlockRetention PT30M")[0] == 0


def test_documented_directives_are_the_modules(stack):
    """conf/amtunlock.conf describes each directive that the module has, and no other."""
    import subprocess
    listed = subprocess.run(["/usr/sbin/apache2", "-d", stack.httpd.root, "-f", stack.httpd.config, "-L"],
                            capture_output=True, text=True, env=stack.httpd.environment(), check=True)
    ours = {match[1] for match in re.finditer(r"^(AMTUnlock\w+) \(mod_amtunlock", listed.stdout, re.M)}
    reference = (REPOSITORY / "conf" / "amtunlock.conf").read_text()
    described = {}
    for section in re.split(r"^# (?=AMTUnlock\w+$)", reference, flags=re.M)[1:]:
        described[section.split()[0]] = section
    assert ours
    assert ours == set(described)
    for name, section in described.items():
        missing = [field for field in ("Description", "Syntax", "Default", "Context")
                   if not re.search(rf"^#   {field}: +\S", section, re.M)]
        assert not missing, f"{name}: {missing}"
