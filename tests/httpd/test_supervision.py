# SPDX-License-Identifier: Apache-2.0
"""The worker that httpd supervises outlives reloads, comes back after a crash, and ends with httpd; on every MPM."""

import os
import signal

import pytest
from amtu_stack import soap
from amtu_stack.process import Process, wait_until
from conftest import switch_off
from test_bad_input import BAD, QUICKLY

RESPAWN = 20  # seconds


def only(pids):
    assert len(pids) == 1, f"one worker is expected, not {pids}"
    return pids[0]


def generation_has_changed(stack, before):
    """The old children are on their way out once none of them is left beside a new one."""
    now = set(stack.httpd.children())
    return now and not now & before


@pytest.mark.ends_children
@pytest.mark.parametrize("how", ["graceful", "reload"])
def test_reload_in_the_middle_of_a_job(mpm_stack, how):
    stack = mpm_stack
    console = stack.console()
    names = [row["fqdn"] for row in stack.fleet.systems()]
    switch_off(stack, names)
    worker = only(stack.workers[0].pids())
    children = set(stack.httpd.children())
    job = console.unlock(names)
    assert wait_until(lambda: console.job(job)["JobState"] == "4", 10)
    getattr(stack.httpd, how)()
    assert wait_until(lambda: generation_has_changed(stack, children), 20), "httpd did not take new children"
    assert console.job(job)["JobState"] == "4", "the job must still run, or nothing was tested"
    assert only(stack.workers[0].pids()) == worker
    done = console.wait(job)
    assert done["JobStatus"] == f"{len(names)} of {len(names)} unlocked"
    assert only(stack.workers[0].pids()) == worker


@pytest.mark.may_log("AMTU0")
def test_killed_worker_comes_back(mpm_stack):
    stack = mpm_stack
    before = only(stack.workers[0].pids())
    Process.of("worker", before).signal(signal.SIGKILL)
    assert wait_until(lambda: stack.workers[0].pids() not in ([], [before]), RESPAWN), "no new worker was started"
    after = only(stack.workers[0].pids())
    assert after != before
    job = stack.console().unlock([stack.fleet.systems()[0]["fqdn"]])
    assert stack.console().wait(job)["JobState"] == "7"


@pytest.mark.parametrize("name", ["garbage", "truncated", "doctype", "200 KiB", "30,000 attributes",
                                  "brackets in quotes", "SOAP 1.1"])
def test_bad_bytes_on_every_mpm(mpm_stack, name):
    """The gate sees to it that no child ended; the second request goes to the child that got the first."""
    bad, good = mpm_stack.console().send_all([BAD[name][0], soap.IDENTIFY])
    assert bad.fault and bad.seconds < QUICKLY
    assert good.text("wsmid:ProtocolVersion") == soap.WSMAN


def test_worker_runs_as_its_own_user(mpm_stack):
    if os.geteuid() != 0:
        pytest.skip("only root can start processes of other users")
    worker = only(mpm_stack.workers[0].pids())
    status = open(f"/proc/{worker}/status").read()
    uids = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")][0]
    assert set(uids) == {str(mpm_stack.places.roles["amtunlock"].uid)}
    groups = [line.split()[1:] for line in status.splitlines() if line.startswith("Groups:")][0]
    assert "0" not in groups


def test_worker_leads_its_own_session(mpm_stack):
    """prefork signals its whole process group."""
    worker = only(mpm_stack.workers[0].pids())
    assert os.getsid(worker) == worker


@pytest.mark.ends_children
@pytest.mark.may_log("AMTU0")
def test_stop_leaves_no_worker_and_start_brings_one(mpm_stack):
    stack = mpm_stack
    assert stack.httpd.stop(), "httpd ends on its signal"
    assert stack.workers[0].pids() == []
    assert stack.httpd.pids() == []
    stack.start_httpd()
    assert wait_until(lambda: len(stack.workers[0].pids()) == 1, 10)
    assert wait_until(lambda: stack.httpd.answers(stack.kdc.cache("console")), 10)
