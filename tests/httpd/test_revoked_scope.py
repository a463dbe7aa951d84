# SPDX-License-Identifier: Apache-2.0
"""A scope that is taken away while a system waits: it is not unlocked."""

import hashlib
import signal

import pytest
from amtu_stack import kdc, ports, soap
from amtu_stack.console import Console
from amtu_stack.httpd import Settings
from amtu_stack.process import Process, wait_until
from conftest import Gate, _bring_up, is_off, switch_off
from second_httpd import SecondHttpd, There

PLACE = """
<Location /lent>
    SetHandler amtunlock
    AuthType GSSAPI
    AuthName "AMT unlock"
    GssapiPublishMech On
    GssapiAllowedMech krb5
    Require valid-user
    {scope}
</Location>
"""
SCOPES = 'AMTUnlockScope floor-1 "%{REMOTE_USER} =~ /^con/"\n    AMTUnlockScope floor-2 true'
LEFT = "AMTUnlockScope floor-2 true"


@pytest.fixture(scope="module")
def _stack():
    stack = _bring_up("revoked", Settings(extra=PLACE.format(scope=SCOPES)), systems=2, boot_seconds="1-1")
    yield stack
    stack.down()


@pytest.fixture
def stack(_stack, request):
    gate = Gate(_stack)
    yield _stack
    gate.close(request)


def published(redis):
    return sorted(redis.call("HGETALL", "{amtu}:scopes"))


def revoked(stack, console, names, redis, after, **way):
    """The results of a job that was asked for (that way) before httpd read that configuration, and is begun after it."""
    switch_off(stack, names)
    worker = Process.of("worker", stack.workers[0].pids()[0])
    worker.signal(signal.SIGSTOP)
    try:
        job = console.send(soap.unlock(names), **way).job
        configure(stack, redis, after)
    finally:
        worker.signal(signal.SIGCONT)
    assert stack.console().wait(job)["JobState"] == "7"
    return stack.console().results(job)


def configure(stack, redis, extra):
    before = published(redis)
    stack.httpd.settings.extra = extra
    stack.httpd.configure()
    stack.httpd.graceful()
    assert wait_until(lambda: published(redis) != before, 10), before


@pytest.mark.ends_children
def test_a_directive_that_was_removed_holds_for_what_waits(stack, console, names, redis):
    configure(stack, redis, PLACE.format(scope=SCOPES))
    assert revoked(stack, console, names, redis, PLACE.format(scope=LEFT), path="/lent") == (names[1:], names[:1])
    assert is_off(stack, names[0])


@pytest.mark.ends_children
def test_a_servers_directive_where_a_section_has_its_own_now(stack, console, names, redis):
    configure(stack, redis, PLACE.format(scope=""))
    assert revoked(stack, console, names, redis, PLACE.format(scope=LEFT), path="/lent") == ([], names)


HOST = """
<VirtualHost 127.0.0.1:{port}>
    ServerName {name}
    %s
</VirtualHost>
""" % PLACE


@pytest.mark.ends_children
@pytest.mark.parametrize("differ", ["name", "port"])
def test_the_same_words_in_another_virtual_host(stack, names, redis, differ):
    """Of two hosts with the same Location and line, that of the caller loses its line."""
    one, two = ports.pick(2)
    others = ("one.example", one), ("two.example", one) if differ == "name" else ("one.example", two)

    def hosts(*scopes):
        return f"Listen 127.0.0.1:{one}\nListen 127.0.0.1:{two}\n" + "".join(
            HOST.format(name=name, port=port, scope=scope) for (name, port), scope in zip(others, scopes))

    configure(stack, redis, hosts(SCOPES, SCOPES))
    name, port = others[1]
    assert wait_until(lambda: ports.connects(port), 10)
    caller = Console(There(stack, port), stack.kdc.cache(kdc.CONSOLE))
    way = {"path": "/lent", "tls": False, "more": ("-H", f"Host: {name}")}
    assert revoked(stack, caller, names, redis, hosts(SCOPES, LEFT), **way) == (names[1:], names[:1])
    assert is_off(stack, names[0])


def test_every_child_says_the_same(stack, redis):
    """Whichever child was the last: one line for this httpd."""
    assert len(published(redis)) == 2


def test_a_httpd_is_known_by_its_name_and_not_by_its_hosts(stack, redis):
    """A container that is made anew replaces what it said before."""
    (port,) = ports.pick(1)
    before = set(published(redis))
    text = (f"ServerName unlock.example.com\nListen 127.0.0.1:{port}\n"
            f"LoadModule amtunlock_module {stack.places.program('mod_amtunlock.so')}\nAMTUnlockWorker Off\n"
            f"AMTUnlockRedis unix:{stack.redis.socket} user=amtunlock-web password-file={stack.redis.password_file('amtunlock-web')}\n")
    with SecondHttpd(stack, "named", ("mpm_event", "authn_core", "authz_core", "auth_gssapi", "socache_shmcb", "ssl"), text) as httpd:
        known = hashlib.sha256(f"unlock.example.com {httpd.root}".encode()).hexdigest()[:16]
        assert wait_until(lambda: known in published(redis), 10), published(redis)
        assert len(set(published(redis)) - before) <= 2
