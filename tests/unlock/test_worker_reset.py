# SPDX-License-Identifier: Apache-2.0
"""Running PCs whose system does not answer, end to end: left alone, or reset once where their group says so."""

import signal
import time

import pytest

from redirected import OFF, RESET, check_taken_back, names, passphrases, state_of, switch_redirection
from rig import wait_until

RESETS = ("reset-running = yes",)
ENDS = ("power", "boot", "passphrase", "unlocked", "os-up")


def switch_on(fleet, system, condition):
    """As its user does."""
    fleet.fleet.tell(do="power", system=system, to=2)
    assert wait_until(condition, 10)


def hang_at_prompt(fleet, system):
    """It runs and shows no prompt, nor will it; the next start is a healthy one."""
    fleet.break_pc(system, "no-prompt")
    switch_on(fleet, system, lambda: state_of(fleet, system)["os"] == "prompt")
    fleet.heal(system, "no-prompt")


def hang_without_system(fleet, system):
    """Its disk is open, and its system does not come up; the next start is a healthy one."""
    fleet.break_pc(system, "no-system")
    switch_on(fleet, system, lambda: fleet.events(system, "unlocked"))
    fleet.heal(system, "no-system")


def acts(fleet, worker):
    return [one["act"] for one in fleet.audit(worker) if one["event"] == "intent"]


def check_reset_once(fleet, system):
    requests = fleet.events(system, "power")
    assert [(one["request"], one["from"], one["result"]) for one in requests] == [(RESET, 2, 0)]
    assert [one["by"] for one in fleet.events(system, "boot") if one["by"] != "guest"] == ["user", "amt"]


def test_a_device_that_is_not_ready_is_asked_again(rig):
    fleet = rig(systems=2, method="sol", group=RESETS)
    fleet.add_worker({"AMTUNLOCK_TEST_NOT_NOW_MS": "100"})
    for system, fault in zip(fleet.systems(), ("not-ready", "not-now-fault")):
        hang_at_prompt(fleet, system)
        fleet.break_pc(system, fault)
    assert set(fleet.submit(fleet.systems()).await_end(60).values()) == {"unlocked"}
    for system in fleet.systems():
        requests = fleet.events(system, "power")
        assert [one["request"] for one in requests] == [RESET] * 3
        assert [one["result"] == 0 for one in requests] == [False, False, True]
        assert passphrases(fleet, system) == [True]


def test_a_dead_prompt_is_reset_once(rig):
    fleet = rig(systems=2, method="sol", group=RESETS)
    worker = fleet.add_worker()
    dead, closed = fleet.systems()
    for system in (dead, closed):
        hang_at_prompt(fleet, system)
    switch_redirection(fleet, closed, OFF["enabled_state"])
    assert fleet.submit([dead, closed]).await_end(60) == {dead: "unlocked", closed: "unlocked"}
    for system in (dead, closed):
        check_reset_once(fleet, system)
        assert passphrases(fleet, system) == [True]
        assert fleet.events(system, "boot")[1]["use_sol"] is True
    check_taken_back(fleet, dead, power=RESET)
    check_taken_back(fleet, closed, OFF, power=RESET)
    for act in acts(fleet, worker):
        assert (act["power"], act["power_before"], act["reset"]) == (10, 2, True)
        assert act["boot"] == "UseSOL" and act["passphrase"] is True


def test_a_dead_prompt_is_left_alone_where_nobody_said_otherwise(rig):
    fleet = rig(systems=1, method="sol", group=("reset-running = no",))
    worker = fleet.add_worker()
    system, = fleet.systems()
    hang_at_prompt(fleet, system)
    assert fleet.submit([system]).await_end(40) == {system: "already-on"}
    assert names(fleet, system, *ENDS) == ["boot"] and not acts(fleet, worker)
    check_taken_back(fleet, system)


@pytest.mark.parametrize("method, hang", [("wake", hang_without_system), ("image", hang_at_prompt)])
def test_a_system_that_never_came_up_is_reset_once(rig, method, hang):
    fleet = rig(systems=1, method=method, group=RESETS)
    worker = fleet.add_worker()
    system, = fleet.systems()
    hang(fleet, system)
    assert fleet.submit([system]).await_end(40) == {system: "unlocked"}
    check_reset_once(fleet, system)
    check_taken_back(fleet, system, power=RESET)
    assert [act.get("reset") for act in acts(fleet, worker)] == [True]


def test_a_pc_in_use_is_not_reset(rig):
    fleet = rig(systems=1, group=RESETS)
    worker = fleet.add_worker()
    system, = fleet.systems()
    switch_on(fleet, system, lambda: fleet.events(system, "os-up"))
    assert fleet.submit([system]).await_end(10) == {system: "unlocked"}
    assert not fleet.events(system, "power") and not acts(fleet, worker)


def test_a_pc_in_standby_is_not_reset(rig):
    """AMT says that it is on, and its probe is closed, as if it hung: but somebody's work is on it."""
    fleet = rig(systems=1, group=RESETS)
    worker = fleet.add_worker()
    system, = fleet.systems()
    fleet.break_pc(system, "standby")
    switch_on(fleet, system, lambda: fleet.events(system, "os-up"))
    job = fleet.submit([system])
    assert job.await_end(20) == {system: "already-on"}
    assert job.tasks()[system][2] == "saving-state"
    assert not fleet.events(system, "power") and not acts(fleet, worker)


def test_a_pc_that_comes_up_before_its_turn_is_not_reset(rig):
    """Its intent is written, and it waits in its group's ramp as if behind others; meanwhile its user was there."""
    fleet = rig(systems=1, group=(*RESETS, "power-per-second = 1"))
    worker = fleet.add_worker()
    system, = fleet.systems()
    hang_without_system(fleet, system)
    fleet.redis_call("HSET", "{amtu}:ramp", "power:floor-1", int((time.time() + 8) * 1000000))
    job = fleet.submit([system])
    job.await_states("I", 10)
    assert fleet.fleet.tell(do="power", system=system, to=RESET)["ok"]
    assert job.await_end(20) == {system: "unlocked"}
    assert job.tasks()[system][2] == "probe-again"
    assert not fleet.events(system, "power")
    act = acts(fleet, worker)[-1]
    assert act["reset"] is True and act["power"] == 10


def test_a_reset_whose_answer_is_lost_is_not_asked_for_again(rig):
    fleet = rig(systems=2, method="sol", boot_timeout=8, group=RESETS)
    fleet.add_worker()
    lost, ignored = fleet.systems()
    for system in (lost, ignored):
        hang_at_prompt(fleet, system)
        fleet.break_pc(system, "power-lost")
    fleet.break_pc(ignored, "power-ignored")
    assert fleet.submit([lost, ignored]).await_end(60) == {lost: "unlocked", ignored: "indeterminate"}
    for system in (lost, ignored):
        assert [one["request"] for one in fleet.events(system, "power")] == [RESET]
        check_taken_back(fleet, system, power=RESET)
    assert passphrases(fleet, ignored) == []


def test_killed_after_the_reset(rig):
    """Whoever looks after it sees that the system came up, and asks for no power."""
    fleet = rig(systems=1, boot_seconds="6-6", group=RESETS)
    fleet.environment = {"AMTUNLOCK_TEST_LEASE_MS": "3000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}
    system, = fleet.systems()
    hang_without_system(fleet, system)
    first = fleet.add_worker()
    job = fleet.submit([system])
    fleet.add_worker()
    assert wait_until(lambda: len(fleet.events(system, "boot")) == 2, 20, 0.01), fleet.worker_tail()
    first.process.signal(signal.SIGKILL)
    assert job.await_end(60) == {system: "unlocked"}
    check_reset_once(fleet, system)
    told = [[one["event"] for one in fleet.audit(worker) if one.get("system") == system] for worker in fleet.workers]
    assert told == [["intent", "mark"], ["outcome"]]
