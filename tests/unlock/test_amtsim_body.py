# SPDX-License-Identifier: Apache-2.0
"""A simulated PC whose host is a machine under QEMU: what becomes of its power, its disk and its serial port.

QEMU itself is stood in for (fake_qemu.py); `make realdisk` has the real one.
"""

import os
import select
import signal
import socket

import pytest

import amtsim
from amtsim import wait_for
from redirection import Sol
from stand_in import machines, make_body

PROMPT = b"Please unlock disk root: "
NAME = "pc-0002.fleet.test"
SECRET = "a passphrase of 31 characters.."


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    return make_body(tmp_path, monkeypatch, "body, of one", SECRET)


@pytest.fixture(name="sim")
def _sim(folder):
    with amtsim.fleet("--systems", 2, "--answer-ms", 1, "--body", f"{NAME}={folder}") as one:
        yield one


@pytest.fixture(name="pc")
def _pc(sim):
    return sim.pcs[1]


def probe_answers(pc):
    try:
        with socket.create_connection((pc["address"], int(pc["probe"])), timeout=5) as stream:
            return stream.recv(10) == b"up\n"
    except (ConnectionRefusedError, ConnectionResetError):
        return False


def bring_up(sim, pc, sol):
    assert sim.console(pc).power(2) == 0
    sol.wait(PROMPT)
    sol.type(SECRET.encode() + b"\r")
    sol.wait(b"login: ")
    sim.wait_event(pc, "os-up")


def test_what_others_are_told_of_it(sim, pc):
    assert (pc["method"], pc["passphrase"]) == ("sol", SECRET)
    assert sim.pcs[0]["method"] == "wake"
    assert sim.state(pc)["disk"] == "locked"
    wait_for("the end of its machine", lambda: not machines(sim))


def test_the_whole_way(sim, pc):
    user = sim.console(pc)
    assert (user.put_boot(UseSOL="true").status, user.set_role(1)) == (200, 0)
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        assert b"SeaBIOS" in sol.wait(PROMPT), "its firmware shows itself because UseSOL was set"
        wait_for("the prompt", lambda: sim.state(pc)["os"] == "prompt")
        sol.type(b"something else\r")
        assert b"bad password" in sol.wait(PROMPT)
        assert not probe_answers(pc)
        assert sim.state(pc)["disk"] == "locked"
        sol.type(SECRET.encode() + b"\r")
        sol.wait(b"set up successfully")
        sim.wait_event(pc, "os-up")
        assert probe_answers(pc)
        sol.type(b"echo\r")
        sol.wait(b"echo\r\npc login: ")
        sol.send(0x12, 0, 0, 0)
    sim.wait_event(pc, "sol-close")
    assert sim.names(pc) == ["sol-open", "power", "boot", "unlocked", "os-up", "sol-close"]
    transcript = (sim.dir / f"{NAME}.serial").read_bytes()
    assert transcript.count(PROMPT) == 2
    assert SECRET.encode() not in transcript + sim.log.read_bytes()


def test_without_use_sol_its_firmware_is_silent(sim, pc):
    with Sol(sim, pc) as sol:
        assert sim.console(pc).power(2) == 0
        assert b"SeaBIOS" not in sol.wait(PROMPT)


def test_off_ends_the_machine_and_locks_the_disk(sim, pc):
    with Sol(sim, pc) as sol:
        bring_up(sim, pc, sol)
    wait_for("the end of the session", lambda: sim.events(pc, "sol-close"))
    assert len(machines(sim)) == 1
    assert sim.console(pc).power(8) == 0
    sim.wait_event(pc, "locked")
    wait_for("the end of its machine", lambda: not machines(sim))
    assert not probe_answers(pc)
    assert sim.state(pc)["power"] == 8
    with Sol(sim, pc) as sol:
        bring_up(sim, pc, sol)


def test_reset_restarts_the_same_machine_and_locks_the_disk(sim, pc):
    with Sol(sim, pc) as sol:
        bring_up(sim, pc, sol)
        before = machines(sim)
        assert sim.console(pc).power(10) == 0
        sol.wait(PROMPT)
        assert machines(sim) == before
        assert sim.names(pc)[-3:] == ["power", "locked", "boot"]
    assert not probe_answers(pc)
    assert sim.state(pc)["disk"] == "locked"


def test_it_restarts_by_itself(sim, pc):
    with Sol(sim, pc) as sol:
        bring_up(sim, pc, sol)
        sol.type(b"reboot\r")
        sol.wait(PROMPT)
        wait_for("the prompt", lambda: sim.state(pc)["os"] == "prompt")
        assert not probe_answers(pc)
        sol.type(SECRET.encode() + b"\r")
        sim.wait_event(pc, "os-up", 2)
    assert [name for name in sim.names(pc) if not name.startswith("sol")] == [
        "power", "boot", "unlocked", "os-up", "restart", "locked", "boot", "unlocked", "os-up"]
    assert sim.events(pc, "boot")[1]["by"] == "guest"


def test_it_switches_itself_off(sim, pc):
    with Sol(sim, pc) as sol:
        bring_up(sim, pc, sol)
        sol.type(b"poweroff\r")
        sim.wait_event(pc, "off")
        while sol.powered:
            assert sol.read_message() is not None
    wait_for("the end of its machine", lambda: not machines(sim))
    assert sim.state(pc)["power"] == 8
    assert sim.events(pc, "locked")


def test_a_machine_that_dies_is_a_pc_without_power(sim, pc):
    assert sim.console(pc).power(2) == 0
    wait_for("the prompt", lambda: sim.state(pc)["os"] == "prompt")
    os.kill(machines(sim)[0], signal.SIGKILL)
    sim.wait_event(pc, "off")
    assert sim.console(pc).power(2) == 0
    wait_for("the prompt", lambda: sim.state(pc)["os"] == "prompt")


def test_its_system_is_not_asked_to_go_down(sim, pc):
    with Sol(sim, pc) as sol:
        bring_up(sim, pc, sol)
    for request in (4, 7, 12, 14):
        assert sim.console(pc).power(request) != 0
    assert len(machines(sim)) == 1


def test_a_simulator_that_is_killed_takes_the_machine_along(folder):
    sim = amtsim.Fleet("--systems", 2, "--answer-ms", 1, "--body", f"{NAME}={folder}")
    pc = sim.pcs[1]
    assert sim.console(pc).power(2) == 0
    wait_for("the prompt", lambda: sim.state(pc)["os"] == "prompt")
    machine = os.pidfd_open(machines(sim)[0])
    try:
        sim.process.kill()
        assert sim.end()[0] == -signal.SIGKILL
        assert select.select([machine], [], [], 10)[0], "it still runs"
    finally:
        os.close(machine)


def test_without_an_emulator_it_has_no_power(folder, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    sim = amtsim.Fleet("--systems", 2, "--answer-ms", 1, "--body", f"{NAME}={folder}")
    pc = sim.pcs[1]
    assert sim.control(do="power", system=NAME, to=2) == {"ok": True}
    sim.wait_event(pc, "off")
    assert sim.state(pc)["power"] == 8
    status, errors = sim.stop()
    assert status == 0
    assert "qemu-system-x86_64" in errors


@pytest.mark.parametrize("value, says", [
    ("pc-0009.fleet.test={folder}", "no such PC"),
    (NAME + "={folder}/nowhere", "No such file"),
    (NAME, "FQDN=DIR"),
    (NAME + "=", "FQDN=DIR"),
])
def test_a_body_that_cannot_be_given_is_refused(folder, value, says):
    sim = amtsim.Fleet("--systems", 2, "--body", value.format(folder=folder), ready=False)
    status, errors = sim.end()
    assert status != 0
    assert says in errors


def test_a_pc_has_one_body(folder):
    sim = amtsim.Fleet("--systems", 2, "--body", f"{NAME}={folder}", "--body", f"{NAME}={folder}", ready=False)
    status, errors = sim.end()
    assert status != 0
    assert "one body" in errors
