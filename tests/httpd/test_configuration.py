# SPDX-License-Identifier: Apache-2.0
"""What httpd -t says of a configuration."""

import os
import re

import pytest
from amtu_stack.httpd import MODULES
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
    ("AMTUnlockCallerLimits requests=-1", "AMTUnlockCallerLimits"), ("AMTUnlockCallerLimits kept=", "AMTUnlockCallerLimits"),
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
    "AMTUnlockCallerLimits kept=10 names=1000 requests=5", "AMTUnlockCallerLimits kept=0 names=0 requests=0",
    'AMTUnlockTrustedProxy X-User proxy.example "CN=proxy,O=Example"'])
def test_right_lines(check, line):
    status, text = check(line=line)
    assert status == 0, text


def test_password_file_that_is_missing(check, stack):
    status, text = check({str(stack.redis.password_file("amtunlock-web")): "/nonexistent/password"})
    assert "/nonexistent/password" in text
    # An ordinary user may test a configuration whose password file only root can read.
    assert status != 0 or os.geteuid() != 0


@pytest.mark.parametrize("systems, more, warns", [
    (100, "", False), (40000, "", True), (40000, "SecRequestBodyNoFilesLimit 33554432", False),
    (40000, "SecRuleEngine DetectionOnly", False), (40000, "SecRequestBodyAccess Off", False)])
def test_mod_security_that_refuses_what_may_be_asked_is_warned_of(check, systems, more, warns):
    lines = {"SecRuleEngine": "On", "SecRequestBodyAccess": "On", "SecRequestBodyNoFilesLimit": "131072"}
    name, _, value = more.partition(" ")
    lines.update({name: value} if name else {})
    status, text = check(line="\n".join([f"LoadModule {each}_module {MODULES}/mod_{file}.so" for each, file in (
        ("unique_id", "unique_id"), ("security2", "security2"))] + [f"{name} {value}" for name, value in lines.items()] +
        [f"AMTUnlockMaxSystems {systems}"]))
    assert status == 0, text
    assert ("AMTU0109" in text and "SecRequestBodyNoFilesLimit 20480000" in text) is warns, text


TAKES = 'SetHandler "proxy:http://127.0.0.1:9/"'


@pytest.mark.parametrize("later, warns", [
    (f'<Location "/">\n{TAKES}\n</Location>', True), (f'<Location "/pl*">\n{TAKES}\n</Location>', True),
    (f'<LocationMatch "^/(?!static)">\n{TAKES}\n</LocationMatch>', True), (f'<Location "/place">\n{TAKES}\n</Location>', True),
    (f'<VirtualHost *:9>\n<Location "/">\n{TAKES}\n</Location>\n</VirtualHost>', True),
    (f'<Location "/pla">\n{TAKES}\n</Location>', False), (f'<Location "/place/in">\n{TAKES}\n</Location>', False),
    ('<Location "/">\nRequire all granted\n</Location>', False)])
def test_a_section_behind_ours_that_takes_its_path_is_warned_of(check, later, warns):
    """httpd applies Locations in their order, those of a virtual host behind the server's."""
    text = check(line="<Location /place>\nSetHandler amtunlock\n</Location>\n" + later)[1]
    assert ('AMTU0640' in text and '"SetHandler amtunlock" of "/place"' in text) is warns, text


def test_sections_before_ours_take_nothing(check):
    text = check(line=f'<Location "/">\n{TAKES}\n</Location>\n<Location /place>\nSetHandler amtunlock\n</Location>')[1]
    assert '"SetHandler amtunlock" of "/place"' not in text


def test_without_a_scope_nobody_may_unlock_and_it_says_so(check):
    status, text = check({"AMTUnlockScope": "#AMTUnlockScope"})
    assert "AMTUnlockScope" in text, f"{status}: {text}"


SECTION = """<Location /place>
    SetHandler amtunlock
    AuthType GSSAPI
    GssapiConnectionBound {bound}
    GssapiPublishMech On
    {mech}
    Require valid-user
</Location>"""


@pytest.mark.parametrize("bound, mech, warns", [
    ("On", "", True), ("On", "AMTUnlockMech krb5", True), ("On", "AMTUnlockMech krb5 ntlm", False),
    ("On", "AMTUnlockMech ntlm", False), ("Off", "AMTUnlockMech krb5", False), ("Off", "", False)])
def test_kerberos_on_bound_connections_is_warned_of(check, bound, mech, warns):
    status, text = check({"GssapiConnectionBound On": "GssapiConnectionBound Off"}, SECTION.format(bound=bound, mech=mech))
    assert status == 0
    assert ("AMTU0057" in text) is warns, text


def test_bound_connections_where_ntlm_is_accepted_around(check):
    around = "<Location />\nAMTUnlockMech krb5 ntlm\n</Location>\n"
    assert "AMTU0057" not in check({"GssapiConnectionBound On": "GssapiConnectionBound Off"},
                                   around + SECTION.format(bound="On", mech=""))[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the worker another user")
@pytest.mark.parametrize("user", ["www-data", "#33"])
def test_a_worker_with_httpds_user_is_refused(check, user):
    status, text = check(line=f"AMTUnlockWorker On\nAMTUnlockWorkerUser {user}")
    assert status != 0
    assert "AMTU0058" in text


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
