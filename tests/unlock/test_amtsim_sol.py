# SPDX-License-Identifier: Apache-2.0
"""The simulated PC's serial port over the network: who gets a session, and what the prompt behind it does."""

import struct
import time

import pytest

import amtsim
from amtsim import AMT, wait_for
from redirection import AUTHENTICATE, DIGEST, Session, Sol, texts

PROMPT = b"Please unlock disk root: "
REDIRECTION = AMT + "AMT_RedirectionService"


@pytest.fixture(scope="module", name="sim")
def _sim():
    with amtsim.fleet("--systems", 40, "--method", "sol", *amtsim.QUICK, "--lockout-seconds", 1) as one:
        one.unused = iter(one.pcs)
        yield one


@pytest.fixture(name="pc")
def _pc(sim):
    return next(sim.unused)


@pytest.fixture(name="user")
def _user(sim, pc):
    return sim.console(pc)


def passphrase(pc):
    return pc["passphrase"].encode() + b"\r"


# ---- sessions ---------------------------------------------------------------------------------------------------

def test_the_whole_way(sim, pc, user):
    assert (user.put_boot(UseSOL="true").status, user.set_role(1)) == (200, 0)
    with Sol(sim, pc) as sol:
        sol.read_message()
        assert sol.powered is False
        assert user.power(2) == 0
        shown = sol.wait(PROMPT)
        assert b"GRUB" in shown, "the BIOS redirects the screen because UseSOL was set"
        assert sol.powered is True
        sol.type(passphrase(pc))
        assert pc["passphrase"].encode() not in sol.wait(b"cryptsetup: root: set up successfully"), "no echo"
        sol.wait(b"login: ")
        sim.wait_event(pc, "os-up")
        sol.send(0x12, 0, 0, 0)
        sim.wait_event(pc, "sol-close")
    assert sim.names(pc) == ["sol-open", "power", "boot", "passphrase", "unlocked", "os-up", "sol-close"]
    assert [(one["ok"], one["bytes"]) for one in sim.events(pc, "passphrase")] == [(True, len(pc["passphrase"]))]
    assert not sim.events(pc, "leak")
    assert sim.events(pc, "sol-close")[0]["reason"] == "client"
    assert sim.events(pc, "boot")[0]["use_sol"] is True
    assert pc["passphrase"] not in sim.log.read_text()


def test_without_use_sol_only_the_operating_system_is_seen(sim, pc, user):
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        assert b"GRUB" not in sol.wait(PROMPT)


def test_output_that_nobody_read_is_lost(sim, pc, user):
    assert user.power(2) == 0
    wait_for("the prompt", lambda: sim.state(pc)["os"] == "prompt")
    with Sol(sim, pc, seconds=0.5) as sol:
        sol.read_message()
        assert sol.powered is True
        with pytest.raises(TimeoutError):
            sol.read_message()
    with Sol(sim, pc) as sol:
        sol.type(passphrase(pc))
        sol.wait(b"set up successfully")


def test_the_start_is_answered_as_firmware_does(sim, pc):
    with Session(sim, pc) as session:
        assert session.start(b"KVMR") == 3
        assert session.start(b"SOL ") == 0
        assert session.authenticate_message(0) == (0, 0, bytes([DIGEST]))
        realm, nonce, qop = session.challenge(pc["user"])
        assert (len(nonce), qop) == (32, "auth")
        assert realm == sim.console(pc).get(AMT + "AMT_GeneralSettings").text("DigestRealm")
        assert session.authenticate_message(1, texts(pc["user"], pc["password"]))[0] == 1, "no plain ones"


def test_one_session_of_a_kind(sim, pc):
    with Sol(sim, pc):
        with Session(sim, pc) as second:
            assert second.start(b"SOL ") == 2
        with Session(sim, pc) as other:
            assert other.start(b"IDER") == 0
    wait_for("the end of the first", lambda: sim.events(pc, "sol-close"))
    with Sol(sim, pc):
        pass


def test_noise_before_the_prompt(sim, pc, user):
    sim.fault(pc, "noise")
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        assert len(set(sol.wait(PROMPT))) > 128, "bytes of all kinds"
        sol.type(passphrase(pc))
        sol.wait(b"set up successfully")


def test_babble(sim, pc):
    sim.fault(pc, "babble")
    with Sol(sim, pc) as sol:
        assert sol.take(39).startswith(b"What is this?")
        sol.read_message()
        assert sol.powered is False, "and the session goes on"


def test_babble_when_it_boots(sim, pc, user):
    sim.fault(pc, "babble-console")
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        while sol.powered is not True:
            sol.read_message()
        assert sol.take(39).startswith(b"What is this?")


def test_a_system_that_never_comes_up(sim, pc, user):
    sim.fault(pc, "no-system")
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        sol.wait(PROMPT)
        sol.type(passphrase(pc))
        sol.wait(b"cryptsetup: root: set up successfully")
        time.sleep(0.3)  # it would be up three times meanwhile
    assert (sim.state(pc)["disk"], sim.state(pc)["os"]) == ("unlocked", "starting")
    assert not sim.events(pc, "os-up")


def test_session_busy(sim, pc):
    sim.fault(pc, "session-busy")
    with Session(sim, pc) as session:
        assert session.start(b"SOL ") == 2


@pytest.mark.parametrize("mistake", [
    {"user": "nobody"}, {"password": "Wrong1@pass"}, {"uri": "/wsman"}, {"qop": "auth-int"}])
def test_a_wrong_digest_is_refused(sim, pc, mistake):
    with Session(sim, pc) as session:
        assert session.start(b"SOL ") == 0
        assert session.authenticate(**{"user": pc["user"], "password": pc["password"], **mistake}) == 1
        assert session.authenticate(pc["user"], pc["password"]) == 0
    assert [line["ok"] for line in sim.events(pc, "auth")] == [False, True]


def test_the_web_server_and_the_redirection_share_the_lock(sim, pc, user):
    with Session(sim, pc) as session:
        assert session.start(b"SOL ") == 0
        for _ in range(5):
            assert session.authenticate(pc["user"], "Wrong1@pass") == 1
        assert session.authenticate(pc["user"], pc["password"]) == 1
    assert user.get(AMT + "AMT_GeneralSettings").status == 401


def test_a_challenge_is_good_once(sim, pc):
    with Session(sim, pc) as session:
        assert session.start(b"SOL ") == 0
        realm, nonce, _ = session.challenge(pc["user"])
        replay = texts(pc["user"], realm, nonce, "/RedirectionService", "c", "00000002", "0" * 32, "auth")
        assert session.authenticate_message(DIGEST, replay)[0] == 1
        assert session.authenticate_message(DIGEST, replay)[0] == 1


@pytest.mark.parametrize("data", [
    b"\x28" + bytes(9), b"\x13" + bytes(8), b"\xff", bytes([0x10, 0, 0, 0]) + b"SOL " + b"\x20" + bytes(23)])
def test_messages_out_of_turn_end_the_session(sim, pc, data):
    with Session(sim, pc) as session:
        session.send(data)
        received = session.take(100)
        assert received == b"" or received[0] == 0x11


@pytest.mark.parametrize("data", [
    bytes([AUTHENTICATE, 0, 0, 0, DIGEST]) + struct.pack("<I", 20000),
    bytes([AUTHENTICATE, 0, 0, 0, DIGEST]) + struct.pack("<I", 3) + b"\x09ab",
    bytes([AUTHENTICATE, 0, 0, 0, DIGEST]) + struct.pack("<I", 9) + bytes(9)])
def test_lengths_that_lie_end_the_session(sim, pc, data):
    with Session(sim, pc) as session:
        assert session.start(b"SOL ") == 0
        session.send(data)
        assert session.take(1) == b""


def test_disabled_redirection_is_refused_and_ends_what_is_open(sim, pc, user):
    change = "<r:RequestedState>{}</r:RequestedState>"
    with Sol(sim, pc) as sol:
        assert user.invoke(REDIRECTION, "RequestStateChange", change.format(32769)).result == 0
        while sol.read_message() is not None:
            pass
    assert sim.events(pc, "sol-close")[0]["reason"] == "disabled"
    with Session(sim, pc) as session:
        assert session.start(b"SOL ") == 3
        assert session.start(b"IDER") == 0
    assert user.invoke(REDIRECTION, "RequestStateChange", change.format(32770)).result == 0
    with Sol(sim, pc):
        pass


def test_the_listener_can_be_closed_and_opened(sim, pc, user):
    def put(enabled):
        body = f'<r:AMT_RedirectionService xmlns:r="{REDIRECTION}"><r:ListenerEnabled>{enabled}</r:ListenerEnabled>'
        return user.post(amtsim.envelope(amtsim.WXF + "/Put", REDIRECTION, body + "</r:AMT_RedirectionService>"))
    assert put("false").status == 200
    with pytest.raises(ConnectionRefusedError):
        Session(sim, pc)
    assert put("true").status == 200
    with Sol(sim, pc):
        pass


def test_silence_ends_a_session_and_heartbeats_keep_it(sim, pc):
    with Sol(sim, pc, receive_ms=300, heartbeat_ms=100) as sol:
        while sol.heartbeats < 5:
            assert sol.read_message() is not None
            sol.send(sol.head(0x2B))
        while sol.read_message() is not None:
            pass
    assert sim.events(pc, "sol-close")[0]["reason"] == "timeout"


def test_ping(sim, pc):
    with Sol(sim, pc) as sol:
        sol.send(sol.head(0x24))
        while (message := sol.read_message()) != 0x25:
            assert message is not None


def test_power_off_is_refused_while_redirected(sim, pc, user):
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        sol.wait(PROMPT)
        assert (user.power(8), user.power(5)) == (4097, 4097)
        assert user.power(10) == 0
        sol.wait(PROMPT)
    wait_for("the end of the session", lambda: sim.events(pc, "sol-close"))
    assert user.power(8) == 0
    sim.wait_event(pc, "off")


def test_plain_without_tls():
    with amtsim.fleet("--systems", 1, "--method", "sol", "--tls", "none", "--boot-seconds", "0.2-0.2") as one:
        with Sol(one, one.pcs[0]) as sol:
            assert one.console(one.pcs[0]).power(2) == 0
            sol.wait(PROMPT)


# ---- the prompt -------------------------------------------------------------------------------------------------

def test_three_tries(sim, pc, user):
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        for _ in range(3):
            sol.wait(PROMPT)
            sol.type(b"not it\r")
            sol.wait(b"cryptsetup: ERROR: root: cryptsetup failed, bad password or options?")
        sol.wait(b"maximum number of tries exceeded")
        sol.type(passphrase(pc))
    assert [line["ok"] for line in sim.events(pc, "passphrase")] == [False] * 3
    assert sim.state(pc)["disk"] == "locked"


def test_the_second_try_may_be_right(sim, pc, user):
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        sol.wait(PROMPT)
        sol.type(b"\r")
        sol.wait(PROMPT)
        sol.type(passphrase(pc))
        sol.wait(b"set up successfully")
    assert [line["ok"] for line in sim.events(pc, "passphrase")] == [False, True]


def test_editing_the_line(sim, pc, user):
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        sol.wait(PROMPT)
        sol.type(b"rubbish\x15x\x7f")
        for character in passphrase(pc):
            sol.type(bytes([character]))
        sol.wait(b"set up successfully")


def test_typing_before_the_prompt_is_lost(sim, pc, user):
    with Sol(sim, pc) as sol:
        sol.type(passphrase(pc))
        assert user.power(2) == 0
        sol.wait(PROMPT)
        assert sim.state(pc)["disk"] == "locked"
        assert not sim.events(pc, "passphrase")
    assert [one["to"] for one in sim.events(pc, "leak")] == ["nobody"], "lost, and not unseen"


def test_wrong_passphrase(sim, pc, user):
    sim.fault(pc, "wrong-passphrase")
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        sol.wait(PROMPT)
        sol.type(passphrase(pc))
        sol.wait(b"bad password or options?")
    assert sim.events(pc, "passphrase")[0]["ok"] is False


def test_no_prompt(sim, pc, user):
    sim.fault(pc, "no-prompt")
    with Sol(sim, pc, seconds=1) as sol:
        assert user.power(2) == 0
        wait_for("the initramfs", lambda: sim.state(pc)["os"] == "prompt")
        with pytest.raises(TimeoutError):
            sol.wait(PROMPT)
        assert b"Run /init" in sol.screen


def test_a_warm_reset_leaves_the_disk_open_and_asks_nothing(sim, pc, user):
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        sol.wait(PROMPT)
        sol.type(passphrase(pc))
        sol.wait(b"login: ")
        assert user.power(10) == 0
        assert PROMPT not in sol.wait(b"login: ")
    assert len(sim.events(pc, "unlocked")) == 1


def test_power_loss_during_the_check_unlocks_nothing(sim, pc, user):
    with Sol(sim, pc) as sol:
        assert user.power(2) == 0
        sol.wait(PROMPT)
        sol.type(passphrase(pc))
        sol.wait(b"\r\n")
        assert sim.control(do="power", system=pc["fqdn"], to=8)["ok"]
        while sol.powered:
            sol.read_message()
    time.sleep(0.4)  # longer than the check takes
    assert sim.state(pc)["disk"] == "locked"
    assert not sim.events(pc, "passphrase")
