# SPDX-License-Identifier: Apache-2.0
"""The redirected drive of a simulated PC whose host is a machine under QEMU: each read of the machine is one of the
IDE-R session, and the drive is there as long as the session is.

QEMU itself is stood in for (fake_qemu.py), by a strict NBD client.
"""

import hashlib

import pytest

import amtsim
from amtsim import wait_for
from redirection import CD, Ider, Sol, cd_image
from stand_in import machines, make_body

IMAGE = cd_image()
PROMPT = b"Please unlock disk root: "
BOOTED = b"image " + hashlib.sha256(IMAGE).hexdigest().encode()
NAME = "pc-0002.fleet.test"
MEDIUM_ERROR = (3, 0x11, 0)
EPERM, EIO, EINVAL = 1, 5, 22


class BadSector(Ider):
    """A drive with a block that cannot be read."""

    bad = 150

    def serve_command(self, drive, dma, cdb):
        first, count = int.from_bytes(cdb[2:6], "big"), int.from_bytes(cdb[7:9], "big")
        if cdb[0] == 0x28 and first <= self.bad < first + count:
            self.end(drive, MEDIUM_ERROR)
        else:
            super().serve_command(drive, dma, cdb)


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    return make_body(tmp_path, monkeypatch, "body", "one")


@pytest.fixture(name="loader")
def _loader(request, folder):
    """Is there a boot loader on its disk? Then its machine is given no kernel."""
    loader = getattr(request, "param", False)
    if loader:
        (folder / "kernel").unlink()
    return loader


@pytest.fixture(name="sim")
def _sim(folder, loader):
    assert loader != (folder / "kernel").exists()
    with amtsim.fleet("--systems", 2, "--answer-ms", 1, "--method", "image", "--body", f"{NAME}={folder}") as one:
        yield one


@pytest.fixture(name="pc")
def _pc(sim):
    return sim.pcs[1]


def order(sim, pc, drive=CD):
    """What an unlock asks for before it switches on."""
    user = sim.console(pc)
    assert user.change_boot_order() == 0
    assert user.put_boot(UseIDER="true", UseSOL="true", IDERBootDevice="1" if drive == CD else "0").status == 200
    assert user.set_role(1) == 0
    return user


def story(sim, pc):
    return [name for name in sim.names(pc) if name != "ider-read" and not name.endswith(("-open", "-close"))]


def serve(ider):
    """From now on, in a thread of its own."""
    ider.serve(lambda: True)


def test_its_method_is_the_fleets(pc):
    assert pc["method"] == "image"


@pytest.mark.parametrize("loader", [False, True], ids=["kernel", "boot loader"], indirect=True)
def test_the_whole_way(sim, pc, loader):
    with Sol(sim, pc, receive_ms=0) as sol, Ider(sim, pc, IMAGE) as ider:
        serve(ider)
        assert order(sim, pc).power(2) == 0
        sol.wait(BOOTED)
        wait_for("the image", lambda: sim.state(pc)["os"] == "image")
        assert sim.names(pc).count("restart") == 0, "what the firmware did itself is no restart"
        before = machines(sim)
        sol.type(b"reboot\r")
        sol.wait(PROMPT)
        wait_for("the prompt", lambda: sim.state(pc)["os"] == "prompt")
        assert len(machines(sim)) == 1
        if loader:
            assert machines(sim) == before
    reads = sim.events(pc, "ider-read")
    assert sum(read["bytes"] for read in reads) == len(IMAGE)
    assert max(read["bytes"] for read in reads) == 65536
    assert story(sim, pc) == ["power", "boot", "image", "restart", "boot"]
    assert sim.events(pc, "image")[0]["bytes"] == len(IMAGE)
    assert [boot["use_ider"] for boot in sim.events(pc, "boot")] == [True, False]


def test_what_may_not_be_read_is_refused(sim, pc):
    with Sol(sim, pc, receive_ms=0) as sol, Ider(sim, pc, IMAGE) as ider:
        serve(ider)
        assert order(sim, pc).power(2) == 0
        sol.wait(BOOTED + b"\r\n")
        for offset, length, error in ((0, 1, EINVAL), (512, 2048, EINVAL), (len(IMAGE), 2048, EINVAL),
                                      (len(IMAGE) - 2048, 4096, EINVAL), (0, 131072, EINVAL), (0, 0, EINVAL),
                                      (2**63, 2048, EINVAL), (4096, 2048, 0)):
            sol.type(f"read {offset} {length}\r".encode())
            data = b"" if error else IMAGE[offset:offset + length]
            sol.wait(f"error {error}, {hashlib.sha256(data).hexdigest()}\r\n".encode())
        sol.type(b"write 0 200000\r")
        sol.wait(f"error {EPERM}, ".encode())
        sol.type(b"read 0 2048\r")
        sol.wait(b"error 0, ")
    assert not sim.events(pc, "ider-violation")


def test_sense_is_an_error_of_the_drive(sim, pc):
    with Sol(sim, pc, receive_ms=0) as sol, BadSector(sim, pc, IMAGE) as ider:
        serve(ider)
        assert order(sim, pc).power(2) == 0
        sol.wait(f"Boot failed: error {EIO}\r\n".encode())
        sol.wait(PROMPT)


@pytest.mark.parametrize("fault", ["read-error", "half-ider"])
def test_faults_strike_halfway(sim, pc, fault):
    assert sim.control(do="fault", system=NAME, fault=fault)["ok"]
    with Sol(sim, pc, receive_ms=0) as sol, Ider(sim, pc, IMAGE) as ider:
        serve(ider)
        assert order(sim, pc).power(2) == 0
        if fault == "read-error":
            sol.wait(f"Boot failed: error {EIO}\r\n".encode())
        else:
            wait_for("half of it", lambda: sum(x["bytes"] for x in sim.events(pc, "ider-read")) >= len(IMAGE) // 2)
            assert BOOTED not in sol.screen
    assert sum(read["bytes"] for read in sim.events(pc, "ider-read")) < len(IMAGE)


def test_the_drive_goes_with_the_session(sim, pc):
    with Sol(sim, pc, receive_ms=0) as sol:
        with Ider(sim, pc, IMAGE) as ider:
            serve(ider)
            assert order(sim, pc).power(2) == 0
            sol.wait(BOOTED)
        sim.wait_event(pc, "ider-close")
        sol.type(b"read 0 2048\r")
        assert b"error 0" not in sol.wait(b"no drive\r\n")
        assert len(machines(sim)) == 1, "its machine lives on"


def test_without_a_session_it_boots_its_disk(sim, pc):
    with Sol(sim, pc, receive_ms=0) as sol:
        assert order(sim, pc).power(2) == 0
        sol.wait(PROMPT)
    assert story(sim, pc) == ["power", "boot", "drive-left"]


def test_firmware_that_does_not_find_the_drive_boots_the_disk(sim, pc):
    assert sim.control(do="fault", system=NAME, fault="no-boot-device")["ok"]
    with Sol(sim, pc, receive_ms=0) as sol, Ider(sim, pc, IMAGE) as ider:
        serve(ider)
        assert order(sim, pc).power(2) == 0
        sol.wait(PROMPT)
    assert story(sim, pc) == ["power", "boot", "drive-left"]
    assert not sim.events(pc, "ider-read")


def test_a_reset_boots_the_drive_of_a_pc_that_is_on(sim, pc):
    with Sol(sim, pc, receive_ms=0) as sol:
        assert sim.console(pc).power(2) == 0
        sol.wait(PROMPT)
        with Ider(sim, pc, IMAGE) as ider:
            serve(ider)
            assert order(sim, pc).power(10) == 0
            sol.wait(BOOTED)
    assert len(machines(sim)) == 1


def test_power_that_goes_takes_a_read_along(sim, pc):
    assert sim.control(do="fault", system=NAME, fault="half-ider")["ok"]
    with Sol(sim, pc, receive_ms=0) as sol, Ider(sim, pc, IMAGE) as ider:
        serve(ider)
        assert order(sim, pc).power(2) == 0
        wait_for("a read", lambda: sim.events(pc, "image"))
        assert sim.control(do="power", system=NAME, to=8)["ok"]
        wait_for("the end of its machine", lambda: not machines(sim))
        assert sim.control(do="clear", system=NAME)["ok"]
        assert order(sim, pc).power(2) == 0
        sol.wait(BOOTED)
