# SPDX-License-Identifier: Apache-2.0
"""Storage redirection of a simulated PC: its firmware boots from the console's drive, with everything a real one
asks, and tells on a console that breaks the protocol."""

import hashlib
import itertools
import struct
import time

import pytest

import amtsim
from amtsim import AMT, wait_for
from redirection import CD, COMMAND, FLOPPY, NOW, ON_RESET, RESET, Ider, Session, cd_image, floppy_image

IMAGE = cd_image()
DISABLE = 0x08


@pytest.fixture(scope="module", name="sim")
def _sim():
    with amtsim.fleet("--systems", 40, "--method", "image", *amtsim.QUICK) as one:
        one.unused = iter(one.pcs)
        yield one


@pytest.fixture(name="pc")
def _pc(sim):
    return next(sim.unused)


@pytest.fixture(name="user")
def _user(sim, pc):
    return sim.console(pc)


def ask_for_ider(user, drive=CD):
    """The order of an unlock: options, role; the session is opened by the caller, before power."""
    assert user.change_boot_order() == 0
    assert user.put_boot(UseIDER="true", IDERBootDevice="1" if drive == CD else "0").status == 200
    assert user.set_role(1) == 0
    assert user.change_boot_order() == 0


def violations(sim, pc):
    return [line["what"] for line in sim.events(pc, "ider-violation")]


@pytest.mark.parametrize("image, drive", [(IMAGE, CD), (floppy_image(), FLOPPY)], ids=["CD", "floppy"])
def test_the_firmware_reads_the_whole_image(sim, pc, user, image, drive):
    ask_for_ider(user, drive)
    with Ider(sim, pc, image, drive) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: sim.events(pc, "image"))
    assert not violations(sim, pc)
    line = sim.events(pc, "image")[0]
    assert (line["bytes"], line["sha256"]) == (len(image), hashlib.sha256(image).hexdigest())
    reads = sim.events(pc, "ider-read")
    assert sum(read["bytes"] for read in reads) >= len(image)
    assert {read["lba"] for read in reads} >= ({16, 17, 19, 0} if drive == CD else {0})
    assert {code for at, code in ider.commands if at == drive} >= {0x00, 0x25, 0x28, 0x43, 0x46, 0x4C}
    assert sim.events(pc, "boot")[0]["use_ider"] is True
    wait_for("the end of the session", lambda: sim.events(pc, "ider-close"))
    assert sim.names(pc)[0] == "ider-open"
    assert sim.state(pc)["os"] == "image"


def test_the_features(sim, pc):
    with Ider(sim, pc, IMAGE, enable=None) as ider:
        assert ider.features(1) == 0x19
        assert ider.features(2) == 0
        assert ider.features(3, NOW) == 1
        assert ider.features(2) == 2
        assert ider.features(3, DISABLE) == 1
        assert ider.features(2) == 0
        assert ider.features(3, ON_RESET) == 1
        assert ider.features(2) == 0, "only the next reset shows the drives"


def test_a_reset_shows_the_drives(sim, pc, user):
    with Ider(sim, pc, IMAGE) as ider:
        assert user.power(2) == 0
        assert ider.serve_one() == 0x46
        assert ider.features(2) == 2
        assert sim.events(pc, "boot")[0]["use_ider"] is False
    assert not sim.events(pc, "ider-read")


@pytest.mark.parametrize("prepare", ["no session", "not enabled"])
def test_without_a_drive_the_disk_is_booted(sim, pc, user, prepare):
    ask_for_ider(user)
    session = Ider(sim, pc, IMAGE, enable=None) if prepare == "not enabled" else None
    assert user.power(2) == 0
    wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")
    assert not sim.events(pc, "ider-read")
    if session:
        session.socket.close()


class Stopping(Ider):
    """Answers eight reads after the first reset, and all after the next one."""

    resets = reads = 0

    def serve_one(self):
        identifier = super().serve_one()
        self.resets += identifier == RESET
        return identifier

    def serve_command(self, drive, dma, cdb):
        self.reads += cdb[0] == 0x28
        if self.resets > 1 or self.reads <= 8:
            super().serve_command(drive, dma, cdb)


class Slow(Ider):
    """Answers a reset when the host has long been looking for its drive."""

    def serve_one(self):
        head = self.take(8)
        if len(head) == 8 and head[0] == RESET:
            self.take(1)
            self.check_sequence(head)
            wait_for("the host to be there", lambda: self.fleet.state(self.pc)["os"] == "image")
            self.send(self.head(0x47))
            return head[0]
        if len(head) < 8:
            return None
        self.check_sequence(head)
        self.obey(head + self.take(20))
        return head[0]


def test_the_firmware_waits_for_a_console_that_is_slow_to_see_a_reset(sim, pc, user):
    ask_for_ider(user)
    with Slow(sim, pc, IMAGE) as ider:
        ider.fleet = sim
        assert user.power(2) == 0
        ider.serve(lambda: sim.events(pc, "image"))
    assert not violations(sim, pc)


def test_a_console_that_does_not_answer_a_reset_is_told_on(sim, pc, user):
    ask_for_ider(user)
    with Ider(sim, pc, IMAGE):
        assert user.power(2) == 0
        wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")
    assert violations(sim, pc) == ["the console does not answer the host's reset"]
    assert not sim.events(pc, "ider-read")


def test_a_session_that_ends_halfway_leaves_the_disk(sim, pc, user):
    ask_for_ider(user)
    with Stopping(sim, pc, IMAGE) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: len(sim.events(pc, "ider-read")) > 5)
    wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")
    assert not sim.events(pc, "image")


def test_a_reset_in_the_middle_starts_again(sim, pc, user):
    ask_for_ider(user)
    with Stopping(sim, pc, IMAGE) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: len(sim.events(pc, "ider-read")) > 5)
        ask_for_ider(user)
        assert user.power(10) == 0
        ider.serve(lambda: sim.events(pc, "image"))
    assert len(sim.events(pc, "boot")) == 2
    assert not violations(sim, pc)


def test_half_ider_stops_asking_and_says_nothing(sim, pc, user):
    sim.fault(pc, "half-ider")
    ask_for_ider(user)
    with Ider(sim, pc, IMAGE) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: sum(line["bytes"] for line in sim.events(pc, "ider-read")) > len(IMAGE) / 2)
        asked = len(ider.commands)
        time.sleep(0.3)  # it would ask a hundred times meanwhile
        assert len(ider.commands) == asked
        read = sum(line["bytes"] for line in sim.events(pc, "ider-read"))
        assert len(IMAGE) / 3 < read < len(IMAGE)
        assert sim.state(pc)["os"] == "image"
        assert not sim.events(pc, "ider-close")


class Listening(Ider):
    """Keeps what the device says that is no message."""

    babbled = b""

    def serve_one(self):
        head = self.take(8)
        if head.startswith(b"What"):
            self.babbled = head
            return None
        self.check_sequence(head)
        if head[0] == RESET:
            self.take(1)
            self.send(self.head(0x47))
        elif head[0] == COMMAND:
            self.obey(head + self.take(20))
        return head[0] if head else None


def test_babble_in_the_middle_of_the_image(sim, pc, user):
    sim.fault(pc, "babble-drive")
    ask_for_ider(user)
    with Listening(sim, pc, IMAGE) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: ider.babbled)
    read = sum(line["bytes"] for line in sim.events(pc, "ider-read"))
    assert len(IMAGE) / 3 < read < len(IMAGE) and not sim.events(pc, "image")


def test_a_read_that_fails_leads_to_the_disk(sim, pc, user):
    sim.fault(pc, "read-error")
    ask_for_ider(user)
    with Ider(sim, pc, IMAGE) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: sim.state(pc)["os"] == "prompt")
    assert len(IMAGE) / 3 < sum(line["bytes"] for line in sim.events(pc, "ider-read")) < len(IMAGE)
    assert not sim.events(pc, "image") and not violations(sim, pc)


def test_a_drive_that_is_busy(sim, pc):
    sim.fault(pc, "drive-busy")
    with Session(sim, pc) as session:
        assert session.start(b"IDER") == 2
    with Session(sim, pc) as session:
        assert session.start(b"SOL ") == 0


def test_a_firmware_takes_its_time():
    with amtsim.fleet("--systems", 1, "--method", "image", *amtsim.QUICK, "--drive-ms", 20) as sim:
        pc, = sim.pcs
        user = sim.console(pc)
        ask_for_ider(user)
        with Ider(sim, pc, IMAGE) as ider:
            assert user.power(2) == 0
            ider.serve(lambda: sim.events(pc, "image"))
        times = [line["t"] for line in sim.events(pc, "ider-read")]
        assert all(later - earlier >= 0.019 for earlier, later in zip(times, times[1:])) and len(times) > 10


def damaged(offset, data):
    image = bytearray(IMAGE)
    image[offset:offset + len(data)] = data
    return bytes(image)


@pytest.mark.parametrize("image, says", ids=itertools.count(), argvalues=[
    (damaged(16 * 2048, b"\x02"), "no ISO 9660 volume"),
    (damaged(17 * 2048 + 7, b"X"), "no El Torito boot record"),
    (damaged(17 * 2048 + 0x47, b"\xff\xff"), "a boot catalog behind the last block"),
    (damaged(19 * 2048 + 4, b"X"), "a boot catalog that is not valid"),
    (damaged(19 * 2048 + 32, b"\x00"), "a boot catalog without a bootable entry"),
    (damaged(19 * 2048 + 40, b"\xff\xff\xff\xff"), "a boot image behind the last block")])
def test_what_cannot_be_booted_is_told(sim, pc, user, image, says):
    ask_for_ider(user)
    with Ider(sim, pc, image) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: violations(sim, pc))
    assert violations(sim, pc) == [says]
    wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")


class Deaf(Ider):
    """Serves only the drive with the medium, as if the other one did not exist."""

    def obey(self, message):
        if message[14] != self.drive:
            self.end(message[14], (ILLEGAL_REQUEST, 0x25, 0))
        else:
            super().obey(message)


ILLEGAL_REQUEST = 5


class Short(Ider):
    """Gives one block less than was asked for."""

    def data(self, drive, data, dma, step=None):
        super().data(drive, data[:-self.block] if len(data) > self.block else data, dma, step)


class Generous(Ider):
    """Answers with more than the allocation length."""

    def data(self, drive, data, dma, step=None):
        super().data(drive, data + bytes(64), dma, step)


class Careless(Ider):
    """Answers what it does not know with success."""

    def end(self, drive, sense=None):
        super().end(drive, None if sense and sense[1] == 0x20 else sense)


class Mumbling(Ider):
    """Forgets to say which message is the last."""

    def head(self, identifier, attributes=0):
        return super().head(identifier, attributes & ~2)


class Repeating(Ider):
    """Does not count its messages."""

    def head(self, identifier, attributes=0):
        head = super().head(identifier, attributes)
        if identifier == 0x51:
            self.out_sequence -= 1
        return head


class Swollen(Ider):
    """Sends more at once than the device can take."""

    def data(self, drive, data, dma, step=None):
        super().data(drive, data, dma, step=16384)


@pytest.mark.parametrize("console, says, survives", [
    (Deaf, "the other drive says neither that it is ready nor that it is empty", True),
    (Short, "READ(10) does not give the blocks asked for", True),
    (Careless, "an unknown command is not refused with 05/20/00", True),
    (Generous, "more data than the command asked for", False),
    (Mumbling, "the end of a command without the attribute that says so", False),
    (Repeating, "a sequence number that does not follow", False),
    (Swollen, "a message larger than the device's buffer", False)])
def test_a_console_that_breaks_the_protocol_is_told_on(sim, pc, user, console, says, survives):
    ask_for_ider(user)
    with console(sim, pc, IMAGE) as ider:
        assert user.power(2) == 0
        ider.serve(lambda: violations(sim, pc))
        assert violations(sim, pc) == [says]
        wait_for("its end", lambda: survives or sim.events(pc, "ider-close"))
        assert bool(sim.events(pc, "ider-close")) is not survives
    wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")


@pytest.mark.parametrize("body", [
    struct.pack("<HHHI", 30000, 0, 0, 2), struct.pack("<HHHI", 10, 0, 0, 1)], ids=["version", "time-out"])
def test_an_open_that_cannot_be_served_is_refused(sim, pc, body):
    with Session(sim, pc) as session:
        session.open(b"IDER")
        session.send(session.head(0x40), body)
        assert session.take(30)[:2] == bytes([0x41, 1])
        assert session.take(1) == b""
    assert not sim.events(pc, "ider-open")


def test_a_command_that_is_never_answered_does_not_stop_the_pc(sim, pc, user):
    ask_for_ider(user)
    with Ider(sim, pc, IMAGE, receive_ms=1500) as ider:
        assert user.power(2) == 0
        assert ider.serve_one() == 0x46
        assert ider.take(28)[0] == COMMAND
        assert ider.take(1) == b"", "the device heard nothing for too long"
    assert sim.events(pc, "ider-close")[0]["reason"] == "timeout"
    wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")


def test_heartbeats_ping_and_close(sim, pc):
    with Ider(sim, pc, IMAGE, heartbeat_ms=100) as ider:
        assert [ider.serve_one(), ider.serve_one()] == [0x4B, 0x4B]
        ider.send(ider.head(0x44))
        while (message := ider.serve_one()) == 0x4B:
            pass
        assert message == 0x45
        ider.send(ider.head(0x42))
        while (message := ider.serve_one()) == 0x4B:
            pass
        assert message == 0x43


def test_disabling_the_interface_ends_the_session(sim, pc, user):
    resource = AMT + "AMT_RedirectionService"
    with Ider(sim, pc, IMAGE) as ider:
        assert user.invoke(resource, "RequestStateChange", "<r:RequestedState>32770</r:RequestedState>").result == 0
        assert ider.serve_one() is None
    assert sim.events(pc, "ider-close")[0]["reason"] == "disabled"


def test_consent_is_needed(sim, pc):
    sim.fault(pc, "consent")
    with Session(sim, pc) as session:
        assert session.start(b"IDER") == 3
        assert session.start(b"SOL ") == 0
