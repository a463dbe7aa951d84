"""Unlocking by Serial-over-LAN, end to end: the passphrase typed at a simulated PC's prompt, once, and everything
taken back whatever came of it."""

import signal

import pytest

from rig import wait_until


def names(rig, system, *wanted):
    return [one["event"] for one in rig.events(system) if one["event"] in wanted]


def passphrases(rig, system):
    return [one["ok"] for one in rig.events(system, "passphrase")]


def state_of(rig, system):
    return rig.fleet.tell(do="state", system=system)


def check_taken_back(rig, system):
    """No session, no boot options, the redirection service as it was, and the PC never power-cycled."""
    assert wait_until(lambda: len(rig.events(system, "sol-open")) == len(rig.events(system, "sol-close")), 5)
    state = state_of(rig, system)
    assert state["boot"]["use_sol"] is False and state["boot"]["use_ider"] is False, state
    assert state["redirection"] == {"enabled_state": 32771, "listener": True}, state
    assert len(rig.events(system, "power")) <= 1 and not rig.events(system, "off")


def test_twenty_pcs_are_unlocked(rig):
    fleet = rig(systems=20, method="sol", boot_seconds="1-3")
    worker = fleet.add_worker()
    assert set(fleet.submit(fleet.systems()).await_end(30).values()) == {"unlocked"}
    for system in fleet.systems():
        assert passphrases(fleet, system) == [True]
        assert names(fleet, system, "sol-open", "power", "boot", "passphrase", "unlocked", "sol-close", "os-up") == \
            ["sol-open", "power", "boot", "passphrase", "unlocked", "sol-close", "os-up"]
        assert fleet.events(system, "boot")[0]["use_sol"] is True
        assert fleet.events(system, "sol-close")[0]["reason"] == "client"
        check_taken_back(fleet, system)
    intent = next(one for one in fleet.audit(worker) if one["event"] == "intent")
    assert intent["act"]["boot"] == "UseSOL" and intent["act"]["passphrase"] is True
    lines = worker.log.read_text()
    assert "error" not in lines and "warn" not in lines, lines
