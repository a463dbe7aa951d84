# SPDX-License-Identifier: Apache-2.0
"""Our redirection sessions against the simulated fleet: two readings of the protocol that share no code."""

import hashlib

import pytest

from amt_fleet import Fleet, wait_until
from redirection import cd_image

MIB = 1024 * 1024
UNLOCKED = "await=set up successfully"
PROMPT = "await=^please unlock disk .*: $"


@pytest.fixture(scope="module")
def fleet():
    fleet = Fleet(24, "--tls", "ca", "--method", "sol", "--boot-seconds", "0.2-0.3", "--power-seconds", "0.03-0.06",
                  "--answer-ms", "1")
    yield fleet
    fleet.stop()


@pytest.fixture
def pc(fleet):
    """A PC that no other test has touched."""
    return fleet.pcs.pop(0)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A bootable CD image of 16 MiB."""
    file = tmp_path_factory.mktemp("image") / "cd.iso"
    file.write_bytes(cd_image(16 * MIB))
    return file


def run_all(fleet, pc, *calls, **more):
    """Results of calls of which none may be given twice; all as the service's own account."""
    return fleet.run_one(pc, more.pop("trust", fleet.ca), *calls, user=(pc["user"], pc["password"]), **more)


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_disk_is_unlocked_over_the_serial_console(fleet, pc):
    results = run_all(fleet, pc, "boot", "set-boot=1", "sol", "request-power=2", PROMPT, "type", UNLOCKED, "close-sol")
    assert [(one["status"], one["text"]) for one in results] == [("ok", "")] * 8
    assert results[1]["gate_asked"] == 3
    assert results[5]["gate_asked"] == 1
    [boot] = fleet.events(pc, "boot")
    assert (boot["use_sol"], boot["use_ider"], boot["source"], boot["role"]) == (True, False, None, 1)
    assert [event["ok"] for event in fleet.events(pc, "passphrase")] == [True]
    assert len(fleet.events(pc, "unlocked")) == 1
    assert [event["reason"] for event in fleet.events(pc, "sol-close")] == ["client"]


def test_a_wrong_passphrase_is_seen(fleet, pc):
    results = run_all(fleet, pc, "boot", "set-boot=1", "sol", "request-power=2", PROMPT, "type=wrong",
                      "await=(bad password|no key available)", "close-sol")
    assert {one["status"] for one in results} == {"ok"}
    assert [event["ok"] for event in fleet.events(pc, "passphrase")] == [False]


def test_a_closed_gate_types_nothing(fleet, pc):
    results = run_all(fleet, pc, "boot", "set-boot=1", "sol", "request-power=2", PROMPT, "fenced-type", "close-sol")
    assert [one["status"] for one in results] == ["ok"] * 5 + ["fenced", "ok"]
    assert results[-1]["acted"] == 0
    assert not fleet.events(pc, "passphrase")


def test_the_whole_image_is_read(fleet, pc, image):
    results = run_all(fleet, pc, "boot", "set-boot=2", f"ider={image}", "request-power=2", "booting",
                      f"served={image.stat().st_size}", "close-ider")
    assert [(one["status"], one["text"]) for one in results] == [("ok", "")] * 7
    wait_until(lambda: fleet.events(pc, "image"), "the firmware has read the image")
    assert not fleet.events(pc, "ider-violation")
    [event] = fleet.events(pc, "image")
    assert (event["bytes"], event["sha256"]) == (image.stat().st_size, sha256(image))
    [boot] = fleet.events(pc, "boot")
    assert (boot["use_sol"], boot["use_ider"], boot["source"], boot["role"]) == (False, True, None, 1)
    assert [event["reason"] for event in fleet.events(pc, "ider-close")] == ["client"]


def test_both_sessions_at_once(fleet, pc, image):
    results = run_all(fleet, pc, "boot", "set-boot=3", f"ider={image}", "sol", "request-power=2",
                      f"served={image.stat().st_size}", "close-sol", "close-ider")
    assert {one["status"] for one in results} == {"ok"}
    wait_until(lambda: fleet.events(pc, "image"), "the firmware has read the image")
    assert fleet.events(pc, "image")[0]["sha256"] == sha256(image)
    assert not fleet.events(pc, "ider-violation")


def test_busy(fleet, pc, image):
    fleet.fault(pc, "session-busy")
    sol, ider = run_all(fleet, pc, "sol", f"ider={image}")
    for one in (sol, ider):
        assert one["status"] == "busy"
        assert "another console" in one["text"]


def test_a_second_console_is_busy(fleet, pc):
    first = fleet.client([pc], fleet.ca, "sol", "wait", "close-sol")
    assert '"ok"' in first.stdout.readline()
    [second] = run_all(fleet, pc, "sol")
    assert second["status"] == "busy"
    first.communicate("\n", timeout=20)
    [third] = run_all(fleet, pc, "sol")
    assert third["status"] == "ok"


def test_wrong_password(fleet, pc):
    [sol] = fleet.run_one(pc, fleet.ca, "sol", user=(pc["user"], "wrong"))
    assert sol["status"] == "auth-failed"
    assert f'"{pc["user"]}" or its password' in sol["text"]
    assert len(fleet.events(pc, "auth")) == 1  # no second try


def test_another_certificate(fleet, pc):
    fleet.fault(pc, "wrong-certificate")
    [sol] = run_all(fleet, pc, "sol")
    assert sol["status"] == "tls-untrusted"
    assert not fleet.events(pc, "auth")


@pytest.mark.parametrize("fault", ["refused", "reset", "black-hole"])
def test_nobody_to_talk_to(fleet, pc, fault):
    fleet.fault(pc, fault)
    [sol] = run_all(fleet, pc, "sol", seconds=1)
    assert (sol["status"], bool(sol["text"])) == ("unreachable", True), sol


def test_redirection_that_is_off(fleet, pc):
    """The ports are shut until the listener is on; putting it back shuts them again."""
    admin = fleet.administrator
    results = fleet.run_one(pc, fleet.ca, "redirection", "set-redirection=32768", user=admin)
    assert {one["status"] for one in results} == {"ok"}
    [sol] = run_all(fleet, pc, "sol")
    assert sol["status"] == "unreachable"
    results = fleet.run_one(pc, fleet.ca, "redirection", "set-redirection=32770+listener", "sol", "close-sol", user=admin)
    assert [one["status"] for one in results] == ["ok"] * 4
    assert (results[0]["state"], results[0]["listener"]) == (32768, 0)


def test_consent(fleet, pc):
    fleet.fault(pc, "consent")
    results = run_all(fleet, pc, "consent", "boot", "set-boot=1")
    assert [one["status"] for one in results] == ["ok", "ok", "consent"]
    assert (results[0]["control_mode"], results[0]["needed"]) == (1, 1)
    assert "consent" in results[2]["text"]


def test_half_a_session(fleet, pc, image):
    """The firmware hangs half-way; we notice that nothing moves, and close."""
    fleet.fault(pc, "half-ider")
    results = run_all(fleet, pc, "boot", "set-boot=2", f"ider={image}", "request-power=2", "booting",
                      f"served={image.stat().st_size // 4}", "close-ider")
    assert {one["status"] for one in results} == {"ok"}
    assert not fleet.events(pc, "image")
    assert [event["reason"] for event in fleet.events(pc, "ider-close")] == ["client"]


@pytest.mark.alone
def test_fifty_pcs_at_once(tmp_path):
    """One image for all: a PC costs its buffers, and nothing that grows with the image."""
    size = 2 * MIB
    file = tmp_path / "cd.iso"
    file.write_bytes(cd_image(size))
    fleet = Fleet(50, "--tls", "ca", "--method", "sol", "--boot-seconds", "0.2-0.3", "--answer-ms", "1")
    try:
        _, without = fleet.run(fleet.pcs, fleet.ca, "boot")
        results, with_sessions = fleet.run(fleet.pcs, fleet.ca, "boot", "set-boot=2", f"ider={file}", "request-power=2",
                                           f"served={size}", "close-ider")
        assert {one["status"] for one in results.values()} == {"ok"}
        for pc in fleet.pcs:
            wait_until(lambda pc=pc: fleet.events(pc, "image"), "the firmware has read the image")
            assert fleet.events(pc, "image")[0]["sha256"] == sha256(file)
    finally:
        fleet.stop()
    assert with_sessions["peak_each"] - without["bytes_each"] - size / 50 < 128 * 1024, (with_sessions, without)
