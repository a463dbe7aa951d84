# SPDX-License-Identifier: Apache-2.0
"""A graceful restart replaces the worker where what it was started from changed, and only there."""

import datetime
import os
import re
import signal

import pytest
from amtu_stack.process import wait_until
from conftest import _bring_up

WITHIN = 20  # seconds


@pytest.fixture(scope="module")
def stack():
    stack = _bring_up("replacement", systems=1, boot_seconds="4-4")
    yield stack
    stack.down()


def only(stack, but=None):
    """The one worker, once it is another than `but`. A process that is being started has no arguments for a moment."""
    seen = []

    def alone():
        seen[:] = stack.workers[0].pids()
        return len(seen) == 1 and seen != [but]

    assert wait_until(alone, WITHIN), seen
    return seen[0]


def graceful(stack):
    """Restarts, and waits until new children serve."""
    before = set(stack.httpd.children())
    stack.httpd.graceful()
    assert wait_until(lambda: set(stack.httpd.children()) - before, WITHIN)


def configured(stack, old, new):
    text = stack.httpd.config.read_text()
    assert old in text
    stack.httpd.config.write_text(text.replace(old, new))


def zombies(stack):
    """Zombies of httpd."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == stack.httpd.process.pid:
            found.append(int(entry))
    return found


def test_unchanged(stack):
    before = only(stack)
    graceful(stack)
    assert only(stack) == before


def test_changed_settings(stack):
    before = only(stack)
    stack.workers[0].config.write_text(stack.workers[0].config.read_text() + "\n")
    graceful(stack)
    after = only(stack, but=before)
    graceful(stack)
    assert only(stack) == after, "once is enough"


def moment(text, number):
    """When a worker wrote the line of that number, last."""
    at = re.findall(r"^(\S+)Z \S+ " + number + " ", text, re.M)[-1]
    return datetime.datetime.fromisoformat(at).timestamp()


def test_the_next_worker_goes_on_with_the_job(stack):
    """Its PC boots when the worker is replaced: it is handed over, and powered once."""

    def requests():
        return sum(one["event"] == "power" for one in stack.fleet.events() if one.get("system") == system)

    before, system = only(stack), stack.fleet.systems()[0]["fqdn"]
    log = stack.workers[0].log
    start = log.stat().st_size
    console = stack.console()
    job = console.unlock([system])
    assert wait_until(lambda: requests() == 1, 10, 0.02)
    stack.workers[0].config.write_text(stack.workers[0].config.read_text() + "\n")
    graceful(stack)
    only(stack, but=before)
    assert console.wait(job)["JobStatus"] == "1 of 1 unlocked"
    said = log.read_text()[start:]
    assert "AMTU0318" in said and "takes over" in said, said
    assert moment(said, "AMTU0608") - moment(said, "AMTU0304") < 2, said
    assert requests() == 1


def reloaded(log, worker):
    """Has the worker read its settings again: whether it says so in this file."""
    start = log.stat().st_size
    os.kill(worker, signal.SIGHUP)
    return wait_until(lambda: b"AMTU0316" in log.read_bytes()[start:], WITHIN)


def test_rotated_error_log(stack):
    """The worker that runs on writes where httpd's errors go now, and holds nothing that logrotate moved away."""
    config, log = stack.workers[0].config, stack.httpd.error_log
    before, text = only(stack), config.read_text()
    config.write_text(re.sub(r"^log = .*$", "log = -", text, flags=re.M))
    graceful(stack)
    worker = only(stack, but=before)
    assert wait_until(lambda: f"pid={worker}" in log.read_text(), WITHIN), "it writes to httpd's error log"
    assert reloaded(log, worker)
    for number in range(2):
        moved = log.rename(log.with_suffix(f".{number}"))
        graceful(stack)
        assert wait_until(lambda: os.readlink(f"/proc/{worker}/fd/2") == str(log.resolve()), WITHIN)
        assert reloaded(log, worker)
        held = {os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")}
        assert str(moved) not in held
    assert only(stack) == worker
    config.write_text(text)
    graceful(stack)
    only(stack, but=worker)


def test_children_cannot_tell_the_worker_where_to_log(stack):
    """The channel is the parent's alone."""
    def sockets(pid):
        found = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        return {one for one in found if one.startswith("socket:")}

    def datagrams():
        lines = (line.split() for line in open("/proc/net/unix").read().splitlines()[1:])
        return {f"socket:[{fields[6]}]" for fields in lines if fields[4] == "0002"}

    known = datagrams()
    assert sockets(stack.httpd.process.pid) & known
    assert sockets(only(stack)) & known
    assert not [child for child in stack.httpd.children() if sockets(child) & known]


def test_changed_program(stack):
    before = only(stack)
    program = stack.places.program("amtunlockd")
    copy = program.with_suffix(".new")
    copy.write_bytes(program.read_bytes())
    copy.chmod(0o755)
    copy.rename(program)
    graceful(stack)
    only(stack, but=before)


def test_off_ends_it_and_on_starts_it(stack):
    before = only(stack)
    configured(stack, "AMTUnlockWorker On", "AMTUnlockWorker Off")
    graceful(stack)
    assert wait_until(lambda: stack.workers[0].pids() == [], WITHIN)
    configured(stack, "AMTUnlockWorker Off", "AMTUnlockWorker On")
    graceful(stack)
    assert only(stack) != before


def test_program_that_cannot_be_run(stack):
    """httpd serves on, says what is wrong, and does not try without a pause."""
    program = stack.places.program("amtunlockd")
    configured(stack, f"AMTUnlockWorkerProgram {program}", f"AMTUnlockWorkerProgram {program}.none")
    start = stack.httpd.error_log.stat().st_size
    graceful(stack)

    def text():
        with open(stack.httpd.error_log, errors="replace") as log:
            log.seek(start)
            return log.read()

    assert wait_until(lambda: text().count("AMTU0103") >= 2, WITHIN)
    assert "AMTU0028" in text() and "AMTU0100" in text()
    assert text().count("AMTU0105") <= 3
    assert wait_until(lambda: stack.httpd.answers(stack.kdc.cache("console")), 10)
    assert wait_until(lambda: zombies(stack) == [], 10)
    configured(stack, f"AMTUnlockWorkerProgram {program}.none", f"AMTUnlockWorkerProgram {program}")
    graceful(stack)
    only(stack)
