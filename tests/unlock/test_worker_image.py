# SPDX-License-Identifier: Apache-2.0
"""Unlocking by the unlock image, end to end: a simulated firmware boots it through storage redirection, it proves
itself over Serial-over-LAN, and gets the passphrase sealed."""

import hashlib
import json
import re
import signal

import pytest

from amtu_stack import image
from redirected import OFF, Broken, check_taken_back, names, passphrases, state_of, switch_redirection
from rig import Rig, wait_until

# What each fault of a PC comes to, how many power requests it may have seen, and what was tried on the disk.
FAULTS = {
    "session-busy": ("busy", 0, []),
    "drive-busy": ("busy", 0, []),
    "consent": ("consent-required", 0, []),
    "babble": ("amt-fault", 0, []),
    "babble-console": ("amt-fault", 1, []),
    "babble-drive": ("amt-fault", 1, []),
    "no-boot-device": ("no-boot-device", 1, []),
    "half-ider": ("image-failed", 1, []),
    "read-error": ("image-failed", 1, []),
    "damaged-image": ("image-failed", 1, []),
    "no-prompt": ("image-failed", 1, []),
    "no-disk": ("image-failed", 1, []),
    "disk-error": ("image-failed", 1, []),
    "disk-hangs": ("image-failed", 1, []),
    "disk-foreign": ("image-failed", 1, []),
    "disk-locked-out": ("image-failed", 1, []),
    "disk-empty": ("image-failed", 1, []),
    "damaged-seal": ("image-failed", 1, []),
    "starts-again": ("image-failed", 1, []),
    "other-version": ("image-failed", 1, []),
    "forged-hello": ("image-failed", 1, []),
    "forged-result": ("image-failed", 1, []),
    "wrong-passphrase": ("wrong-passphrase", 1, [False]),
    "power-ignored": ("amt-fault", 1, []),
    "no-system": ("timeout", 1, [True]),
    "power-lost": ("unlocked", 1, [True]),
    "noise": ("unlocked", 1, [True]),
    "slow": ("unlocked", 1, [True]),
}


def check_key(file, intents, log):
    """The intents say by which key and under which fence each PC was booted; the key itself is in its file alone."""
    assert {intent["act"]["boot"] for intent in intents} == {"UseIDER,UseSOL"}
    assert [intent["act"]["boot_fence"] for intent in intents] == [intent["fence"] for intent in intents]
    said = re.search(r"AMTU0350 .*\bkey=([0-9a-f]{16})", log)[1]
    assert {intent["act"]["proof_key"] for intent in intents} == {said}
    assert file.read_text().strip() not in json.dumps(intents) + log


def test_twenty_pcs_are_unlocked(rig):
    fleet = rig(systems=20, method="image", boot_seconds="1-3", boot_timeout=60)
    worker = fleet.add_worker()
    assert set(fleet.submit(fleet.systems()).await_end(60).values()) == {"unlocked"}
    served = hashlib.sha256((fleet.places.run / "unlock.iso").read_bytes()).hexdigest()
    for system in fleet.systems():
        assert passphrases(fleet, system) == [True]
        assert names(fleet, system, "sol-open", "ider-open", "power", "boot", "image", "unlocked", "restart", "os-up") == \
            ["sol-open", "ider-open", "power", "boot", "image", "unlocked", "restart", "boot", "os-up"]
        first, second = fleet.events(system, "boot")
        assert first["use_sol"] is True and first["use_ider"] is True and first["source"] is None
        assert second["use_ider"] is False and second["by"] == "guest"
        assert fleet.events(system, "restart")[0]["kind"] == "warm"
        assert fleet.events(system, "image")[0]["sha256"] == served
        assert not fleet.events(system, "ider-violation")
        check_taken_back(fleet, system)
    intents = [one for one in fleet.audit(worker) if one["event"] == "intent"]
    lines = worker.log.read_text()
    check_key(fleet.places.run / "proof" / "proof.key", intents, lines)
    assert " error " not in lines and " warn " not in lines, lines


@pytest.fixture(name="broken", scope="module")
def _broken(request):
    """All faults side by side in one job, and healthy PCs among them."""
    one = Rig("image-faults", systems=len(FAULTS) + 4, method="image", boot_seconds="1-1", boot_timeout=20,
              amtsim=("--haste", "4"))
    request.addfinalizer(one.down)
    one.up()
    return Broken(one, FAULTS).finish(120)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(broken, fault):
    system = broken.system[fault]
    expected, power, tried = FAULTS[fault]
    assert broken.results[system] == expected, (broken.tasks[system], broken.rig.worker_tail())
    assert broken.rig.power_requests(system) == power
    assert passphrases(broken.rig, system) == tried
    check_taken_back(broken.rig, system)


def test_broken_pcs_do_not_hold_up_healthy_ones(broken):
    assert {broken.results[system] for system in broken.healthy} == {"unlocked"}


def test_redirection_that_was_off_is_off_again(rig):
    fleet = rig(systems=1, method="image")
    fleet.add_worker()
    system, = fleet.systems()
    switch_redirection(fleet, system, OFF["enabled_state"])
    assert fleet.submit([system]).await_end(30) == {system: "unlocked"}
    check_taken_back(fleet, system, OFF)


def test_no_passphrase_to_a_pc_without_tls(rig):
    fleet = rig(systems=1, method="image", tls="none")
    fleet.add_worker()
    system, = fleet.systems()
    assert fleet.submit([system]).await_end(20) == {system: "tls-untrusted"}
    assert names(fleet, system, "sol-open", "ider-open", "power", "passphrase") == []


def test_a_running_pc_is_left_alone(rig):
    fleet = rig(systems=1, method="image")
    fleet.add_worker()
    system, = fleet.systems()
    fleet.fleet.tell(do="power", system=system, to=2)
    assert fleet.submit([system]).await_end(20) == {system: "already-on"}
    assert names(fleet, system, "sol-open", "ider-open", "power") == []


def test_killed_while_the_firmware_reads(rig):
    fleet = rig(systems=1, method="image")
    fleet.environment = {"AMTUNLOCK_TEST_LEASE_MS": "3000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}
    system, = fleet.systems()
    switch_redirection(fleet, system, OFF["enabled_state"])
    fleet.break_pc(system, "half-ider")
    first = fleet.add_worker()
    fleet.submit([system])
    fleet.add_worker()
    assert wait_until(lambda: fleet.events(system, "ider-read"), 20, 0.01)
    first.process.signal(signal.SIGKILL)
    assert wait_until(lambda: state_of(fleet, system)["redirection"] == OFF, 30), fleet.worker_tail()
    check_taken_back(fleet, system, OFF)
    assert names(fleet, system, "power", "passphrase") == ["power"]
    fleet.workers[1].process.signal(signal.SIGKILL)


def test_killed_after_the_seal(rig):
    fleet = rig(systems=1, method="image", boot_seconds="4-4", amtsim=("--haste", "6"))
    fleet.environment = {"AMTUNLOCK_TEST_LEASE_MS": "3000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}
    system, = fleet.systems()
    switch_redirection(fleet, system, OFF["enabled_state"])
    first = fleet.add_worker()
    job = fleet.submit([system])
    fleet.add_worker()
    assert wait_until(lambda: any(one["what"] == "seal" for one in fleet.events(system, "proof")), 20, 0.01)
    first.process.signal(signal.SIGKILL)
    # Nobody acknowledges its result: the image says it for its time, then restarts all the same.
    assert job.await_end(60) == {system: "unlocked"}
    assert passphrases(fleet, system) == [True] and fleet.power_requests(system) == 1
    check_taken_back(fleet, system, OFF)


def test_the_image_is_read_anew_at_sighup(rig):
    fleet = rig(systems=2, method="image")
    worker = fleet.add_worker()
    disc = fleet.places.run / "unlock.iso"
    before, after = fleet.systems()
    assert fleet.submit([before]).await_end(30) == {before: "unlocked"}
    first = hashlib.sha256(disc.read_bytes()).hexdigest()
    image.make(disc, 2)
    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0316"), 10), fleet.worker_tail()
    assert fleet.submit([after]).await_end(30) == {after: "unlocked"}
    seen = [fleet.events(system, "image")[0]["sha256"] for system in (before, after)]
    assert seen == [first, hashlib.sha256(disc.read_bytes()).hexdigest()] and seen[0] != seen[1]


def test_an_image_that_is_none_is_refused(rig):
    fleet = rig(systems=1, method="image")
    worker = fleet.add_worker()
    disc = fleet.places.run / "unlock.iso"
    disc.rename(disc.with_suffix(".old"))
    disc.write_bytes(bytes(4096))
    disc.chmod(0o644)
    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0315"), 10), fleet.worker_tail()
    assert "unlock.iso" in worker.log.read_text()
    system, = fleet.systems()
    assert fleet.submit([system]).await_end(30) == {system: "unlocked"}, "the last good image stays"
