"""Unlocking by the unlock image, end to end: a simulated firmware boots it through storage redirection, it proves
itself over Serial-over-LAN, and gets the passphrase sealed."""

import signal

import pytest

from redirected import check_taken_back, names, passphrases, state_of
from rig import wait_until


def test_twenty_pcs_are_unlocked(rig):
    fleet = rig(systems=20, method="image", boot_seconds="1-3", boot_timeout=60)
    worker = fleet.add_worker()
    assert set(fleet.submit(fleet.systems()).await_end(60).values()) == {"unlocked"}
    for system in fleet.systems():
        assert passphrases(fleet, system) == [True]
        assert names(fleet, system, "sol-open", "ider-open", "power", "boot", "image", "unlocked", "restart", "os-up") == \
            ["sol-open", "ider-open", "power", "boot", "image", "unlocked", "restart", "boot", "os-up"]
        first, second = fleet.events(system, "boot")
        assert first["use_sol"] is True and first["use_ider"] is True and first["source"] is None
        assert second["use_ider"] is False and second["by"] == "guest"
        assert fleet.events(system, "restart")[0]["kind"] == "warm"
        assert not fleet.events(system, "ider-violation")
        check_taken_back(fleet, system)
    intent = next(one for one in fleet.audit(worker) if one["event"] == "intent")
    assert intent["act"]["boot"] == "UseIDER,UseSOL"
    lines = worker.log.read_text()
    assert "error" not in lines and "warn" not in lines, lines
