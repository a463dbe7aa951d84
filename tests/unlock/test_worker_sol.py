# SPDX-License-Identifier: Apache-2.0
"""Unlocking by Serial-over-LAN, end to end: the passphrase typed at a simulated PC's prompt, once, and everything
taken back whatever came of it."""

import signal

import pytest

from redirected import (BOTH, OFF, Broken, another_console, another_session, check_taken_back, names, passphrases,
                        state_of, switch_redirection)
from rig import Rig, wait_until

# What each fault of a PC comes to, how many power requests it may have seen, and what was typed.
FAULTS = {
    "session-busy": ("busy", 0, []),
    "consent": ("consent-required", 0, []),
    "babble": ("amt-fault", 0, []),
    "babble-console": ("amt-fault", 1, []),
    "no-prompt": ("no-prompt", 1, []),
    "no-system": ("timeout", 1, [True]),
    "wrong-passphrase": ("wrong-passphrase", 1, [False]),
    "power-ignored": ("amt-fault", 1, []),
    "power-lost": ("unlocked", 1, [True]),
    "switched-on": ("unlocked", 1, [True]),
    "slow": ("unlocked", 1, [True]),
    "garbage": ("amt-fault", 0, []),
    "auth-fails": ("auth-failed", 0, []),
    "wrong-certificate": ("tls-untrusted", 0, []),
}


def test_twenty_pcs_are_unlocked(rig):
    fleet = rig(systems=20, method="sol", boot_seconds="1-3")
    worker = fleet.add_worker()
    assert set(fleet.submit(fleet.systems()).await_end(30).values()) == {"unlocked"}
    for system in fleet.systems():
        assert passphrases(fleet, system) == [True]
        assert names(fleet, system, "sol-open", "power", "boot", "passphrase", "unlocked", "os-up") == \
            ["sol-open", "power", "boot", "passphrase", "unlocked", "os-up"]
        assert fleet.events(system, "boot")[0]["use_sol"] is True
        assert fleet.events(system, "sol-close")[0]["reason"] == "client"
        check_taken_back(fleet, system)
    intent = next(one for one in fleet.audit(worker) if one["event"] == "intent")
    assert intent["act"]["boot"] == "UseSOL" and intent["act"]["passphrase"] is True
    lines = worker.log.read_text()
    assert " error " not in lines and " warn " not in lines, lines


@pytest.fixture(name="broken", scope="module")
def _broken(request):
    """All faults side by side in one job, and healthy PCs among them."""
    one = Rig("sol-faults", systems=len(FAULTS) + 4, method="sol", boot_seconds="1-1", boot_timeout=10)
    request.addfinalizer(one.down)
    one.up()
    return Broken(one, FAULTS).finish(90)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(broken, fault):
    system = broken.system[fault]
    expected, power, typed = FAULTS[fault]
    assert broken.results[system] == expected, (broken.tasks[system], broken.rig.worker_tail())
    assert broken.rig.power_requests(system) == power
    assert passphrases(broken.rig, system) == typed
    check_taken_back(broken.rig, system)


def test_broken_pcs_do_not_hold_up_healthy_ones(broken):
    assert {broken.results[system] for system in broken.healthy} == {"unlocked"}


def test_another_consoles_session_is_not_disturbed(rig):
    fleet = rig(systems=1, method="sol")
    fleet.add_worker()
    system, = fleet.systems()
    with another_session(fleet, system):
        assert fleet.submit([system]).await_end(20) == {system: "busy"}
        assert names(fleet, system, "sol-open", "sol-close", "power") == ["sol-open"], "the other's, and it goes on"
        assert state_of(fleet, system)["boot"]["use_sol"] is False


def test_a_session_that_is_held_for_a_while_is_waited_for(rig):
    """Of a worker that died with an earlier job, for all that this one knows."""
    fleet = rig(systems=1, method="sol")
    fleet.add_worker({"AMTUNLOCK_TEST_BUSY_MS": "90000"})
    system, = fleet.systems()
    with another_session(fleet, system):
        before = sum(one["port"] == 16995 for one in fleet.events(system, "connection"))
        job = fleet.submit([system])
        assert wait_until(lambda: sum(one["port"] == 16995 for one in fleet.events(system, "connection")) > before, 20, 0.05)
    assert job.await_end(60) == {system: "unlocked"}


def test_another_consoles_boot_options_stay(rig):
    fleet = rig(systems=1, method="sol")
    fleet.add_worker()
    system, = fleet.systems()
    assert another_console(fleet, system).put_boot(UseSOL="true").status == 200
    assert fleet.submit([system]).await_end(20) == {system: "busy"}
    assert names(fleet, system, "sol-open", "power") == []
    assert state_of(fleet, system)["boot"]["use_sol"] is True


def test_redirection_that_was_off_is_off_again(rig):
    fleet = rig(systems=2, method="sol")
    worker = fleet.add_worker()
    good, bad = fleet.systems()
    for system in (good, bad):
        switch_redirection(fleet, system, OFF["enabled_state"])
    fleet.break_pc(bad, "wrong-passphrase")
    assert fleet.submit([good, bad]).await_end(30) == {good: "unlocked", bad: "wrong-passphrase"}
    for system in (good, bad):
        check_taken_back(fleet, system, OFF)
    act = next(one for one in fleet.audit(worker) if one["event"] == "intent")["act"]
    assert act["redirection"]["state"] == 32770 and act["redirection_before"]["state"] == 32768


def test_no_passphrase_to_a_pc_without_tls(rig):
    fleet = rig(systems=1, method="sol", tls="none")
    fleet.add_worker()
    system, = fleet.systems()
    assert fleet.submit([system]).await_end(20) == {system: "tls-untrusted"}
    assert names(fleet, system, "sol-open", "power", "passphrase") == []


def test_no_passphrase_is_known(rig):
    fleet = rig(systems=1, method="sol")
    worker = fleet.add_worker()
    secrets = worker.folder / "secrets"
    secrets.write_text("".join(line for line in secrets.read_text().splitlines(keepends=True)
                               if not line.startswith("disk ")))
    system, = fleet.systems()
    assert fleet.submit([system]).await_end(20) == {system: "no-secret"}
    assert passphrases(fleet, system) == []
    check_taken_back(fleet, system)


def test_a_running_pc_at_its_prompt(rig):
    fleet = rig(systems=2, method="sol", group=(r"redraw = \x15\r", "type-running = yes"))
    fleet.add_worker()
    asks, does_not = fleet.systems()
    fleet.break_pc(does_not, "no-prompt")
    for system in (asks, does_not):
        fleet.fleet.tell(do="power", system=system, to=2)
        assert wait_until(lambda one=system: state_of(fleet, one)["os"] == "prompt", 10)
    results = fleet.submit([asks, does_not]).await_end(40)
    assert results[does_not] == "already-on"
    assert names(fleet, does_not, "power", "passphrase") == []
    # Nothing was redrawn before the session was open: the simulated prompt answers an empty line as a wrong one.
    assert results[asks] == "unlocked"
    assert passphrases(fleet, asks) == [False, True] and fleet.power_requests(asks) == 0
    for system in (asks, does_not):
        check_taken_back(fleet, system)


def play(fleet, system, folder, text):
    """Gives a PC this console."""
    script = folder / "console.script"
    script.write_text(text)
    answer = fleet.fleet.tell(do="console", system=system, script=str(script), cut=80)
    assert answer["ok"], answer


def test_what_was_typed_is_not_written_down(rig, tmp_path):
    """By a PC that shows it again: echoed, in the next start, in pieces, and as the name of a volume that asks."""
    fleet = rig(systems=1, method="sol", boot_timeout=5)
    system, = fleet.systems()
    worker = fleet.prepare_worker()
    secret = next(line.split()[-1] for line in (worker.folder / "secrets").read_text().splitlines()
                  if line.startswith("disk "))
    fleet.start_worker(worker)
    letters = "".join(filter(str.isalnum, secret))
    question = 'expect unlocked typed 1\nsend "Please unlock disk root: "\nread root\n'
    for text, ending in (
            (f'{question}good "{secret}\\r\\ncryptsetup: root: set up successfully\\r\\nPlease unlock disk {letters}: "\n'
             "read root never\n", "no-secret"),
            (f'expect no-prompt typed 0\nsend "lab login: {secret}"\npause 60\n', "no-prompt"),
            (f'expect no-prompt typed 0\nsend "{"*".join(secret)}: command not found"\npause 60\n', "no-prompt"),
            (f'expect no-prompt typed 0\nsend "{secret.upper()[:-2]}"\npause 60\n', "no-prompt")):
        fleet.fleet.tell(do="power", system=system, to=8)
        play(fleet, system, tmp_path, text)
        assert fleet.submit([system]).await_end(30) == {system: ending}, fleet.worker_tail()
    for file in (worker.log, worker.folder / "audit.jsonl"):
        letters = "".join(filter(str.isalnum, file.read_text())).lower()
        assert letters and "".join(filter(str.isalnum, secret)).lower()[:-2] not in letters, file


def kill_when(fleet, first, condition):
    """Kills the first worker as soon as the condition holds; a second one is there already."""
    fleet.add_worker()
    assert wait_until(condition, 30, 0.01), fleet.worker_tail()
    first.process.signal(signal.SIGKILL)


def end_now(fleet):
    """Without waiting for what the second worker has yet to look at."""
    fleet.workers[1].process.signal(signal.SIGKILL)


def short_leases(fleet):
    fleet.environment = {"AMTUNLOCK_TEST_LEASE_MS": "3000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}


def test_killed_with_boot_options_set(rig):
    fleet = rig(systems=1, method="sol", amtsim=("--answer-ms", "500"))
    short_leases(fleet)
    system, = fleet.systems()
    switch_redirection(fleet, system, OFF["enabled_state"])
    first = fleet.add_worker()
    job = fleet.submit([system])
    kill_when(fleet, first, lambda: state_of(fleet, system)["boot"]["use_sol"])
    assert state_of(fleet, system)["redirection"] == {**BOTH, "enabled_state": 32770}
    assert job.await_end(40) == {system: "unlocked"}, fleet.worker_tail()
    check_taken_back(fleet, system, OFF)
    assert names(fleet, system, "power", "passphrase") == ["power", "passphrase"]


def test_killed_while_it_waits_for_the_prompt(rig):
    fleet = rig(systems=1, method="sol")
    short_leases(fleet)
    system, = fleet.systems()
    switch_redirection(fleet, system, OFF["enabled_state"])
    fleet.break_pc(system, "no-prompt")
    first = fleet.add_worker()
    fleet.submit([system])
    kill_when(fleet, first, lambda: state_of(fleet, system)["os"] == "prompt")
    assert wait_until(lambda: state_of(fleet, system)["redirection"] == OFF, 30), fleet.worker_tail()
    check_taken_back(fleet, system, OFF)
    assert names(fleet, system, "power", "passphrase") == ["power"]
    end_now(fleet)


def test_killed_at_the_prompt(rig):
    """What it showed is gone with the console. An empty line makes it ask again, and then it is answered once."""
    fleet = rig(systems=1, method="sol")
    short_leases(fleet)
    fleet.environment["AMTUNLOCK_TEST_QUIET_MS"] = "500"
    system, = fleet.systems()
    fleet.break_pc(system, "console-cut")  # nobody answers before the first is killed
    first = fleet.add_worker()
    job = fleet.submit([system])
    kill_when(fleet, first, lambda: state_of(fleet, system)["os"] == "prompt")
    assert job.await_end(40) == {system: "unlocked"}, fleet.worker_tail()
    assert [(one["ok"], one["bytes"] > 0) for one in fleet.events(system, "passphrase")] == [(False, False), (True, True)]
    assert fleet.power_requests(system) == 1
    check_taken_back(fleet, system)


def test_killed_after_the_passphrase(rig):
    fleet = rig(systems=1, method="sol", boot_seconds="6-6")
    short_leases(fleet)
    system, = fleet.systems()
    switch_redirection(fleet, system, OFF["enabled_state"])
    first = fleet.add_worker()
    job = fleet.submit([system])
    kill_when(fleet, first, lambda: state_of(fleet, system)["os"] == "starting")
    assert job.await_end(40) == {system: "unlocked"}
    assert passphrases(fleet, system) == [True] and fleet.power_requests(system) == 1
    check_taken_back(fleet, system, OFF)
