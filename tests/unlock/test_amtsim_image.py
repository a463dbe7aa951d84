# SPDX-License-Identifier: Apache-2.0
"""The simulated unlock image: what it says on the serial port of a PC that booted it, to a worker's side that was
written from the same page and shares nothing with it."""

import contextlib
import hashlib
import re
import socket
import struct
import subprocess

import pytest

import amtsim
from amtsim import Digest, Wire, wait_for
from proof import FRAME, MARKER_PLACE, SECTOR, Line, Proof, image, pad, write_frame
from redirection import Ider, Sol

ROOT = amtsim.ROOT
IMAGE = image.content(160 * 1024)
PROMPT = b"Please unlock disk root: "


def fleet(haste, systems, *more):
    return amtsim.fleet("--systems", systems, "--method", "image", "--boot-seconds", "0.04-0.08", "--power-seconds",
                        "0.01-0.02", "--answer-ms", 1, "--haste", haste, *more)


@pytest.fixture(scope="module", name="sim")
def _sim():
    """PCs that say everything ten times as often."""
    with fleet(10, 80, "--tls", "none") as one:
        one.unused = iter(one.pcs)
        yield one


@pytest.fixture(scope="module", name="impatient")
def _impatient():
    """PCs that wait 1.2 s for a seal, 0.6 s for their disk, and 0.3 s for an ack."""
    with fleet(100, 6) as one:
        one.unused = iter(one.pcs)
        yield one


class OneConnection(amtsim.Console):
    """A console that asks for a challenge once and then sends everything over one connection."""

    def __init__(self, sim, pc):
        super().__init__(sim, pc, pc["user"], pc["password"])
        with Wire(sim, pc) as wire:
            challenge = wire.request("").headers["www-authenticate"]
        self.digest = Digest(challenge, self.user, self.password)
        self.wire = Wire(sim, pc)
        self.count = 0

    def post(self, body, *options):
        self.count += 1
        return self.wire.request(body, self.digest.header(nc=self.count))


@contextlib.contextmanager
def booted(sim, *faults, pc=None, content=None, proof=None):
    """A PC that boots the image, and the console's end of its serial port."""
    pc = pc or next(sim.unused)
    proof = proof or Proof(pc["fqdn"])
    for fault in faults:
        sim.fault(pc, fault)
    user = OneConnection(sim, pc)
    with user.wire, Sol(sim, pc) as sol, Ider(sim, pc, proof.served(IMAGE) if content is None else content) as ider:
        assert user.put_boot(UseIDER="true", IDERBootDevice="1").status == 200
        assert user.set_role(1) == 0
        assert user.power(2) == 0
        ider.serve(lambda: sim.events(pc, "image"))
        yield pc, Line(sol, proof)
    assert not [line for line in sim.events(pc, "ider-violation") if "another system" not in line["what"]]


def proofs(sim, pc):
    """What it said and heard: (what, outcome, reason)"""
    return [(line["what"], line.get("outcome"), line.get("reason")) for line in sim.events(pc, "proof")]


def restarted_locked(sim, pc):
    """Whatever happened: warm, once, and the user is asked as at any boot."""
    wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")
    assert [line["kind"] for line in sim.events(pc, "restart")] == ["warm"]
    assert [line["use_ider"] for line in sim.events(pc, "boot")] == [True, False]
    assert not sim.events(pc, "unlocked") and not sim.events(pc, "off")
    assert sim.state(pc)["disk"] == "locked"


# ---- the page -----------------------------------------------------------------------------------------------------

def test_the_numbers_of_the_page():
    """This worker's side computes what the page prints."""
    page = (ROOT / "mod_amtunlock" / "proof" / "README.md").read_text()
    frames = {line.split(",")[2]: line.strip() for line in page.splitlines() if line.startswith("    $AMTU,1,")}
    proof = Proof("pc1.example.com", bytes(range(32)), bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x60)))
    fields = [bytes.fromhex(word) for word in frames["hello"].partition("*")[0].split(",")[3:]]
    assert proof.hello(*fields)
    assert proof.seal(b"correct horse battery staple").decode().strip() == frames["seal"]
    outcome, reason, mac = frames["result"].partition("*")[0].split(",")[3:]
    assert proof.result(outcome, reason, bytes.fromhex(mac))
    assert proof.ack().decode().strip() == frames["ack"]
    nonce, reason, mac = frames["refusal"].partition("*")[0].split(",")[3:]
    assert proof.refusal(bytes.fromhex(nonce), reason, bytes.fromhex(mac))
    assert proof.sector()[-32:].hex() in page and image.placeholder()[-32:].hex() in page


# ---- as it should go ----------------------------------------------------------------------------------------------

def test_the_whole_way(sim):
    with booted(sim) as (pc, line):
        first = line.frame()
        assert first == line.frame(), "the very same hello again"
        assert first[:2] == ["1", "hello"] and line.proof.hello(*first[2:])
        line.say(line.proof.seal(pc["passphrase"].encode()))
        assert line.result() == ["unlocked", "none"]
        again = line.frame()
        assert again == ["1", "result", "unlocked", "none", line.proof.heard], "and the very same result"
        line.say(line.proof.ack())
        line.sol.wait(b"login: ")
        sim.wait_event(pc, "os-up")
        socket.create_connection((pc["address"], int(pc["probe"])), timeout=5).close()
    assert proofs(sim, pc) == [("hello", None, None), ("seal", None, None), ("result", "unlocked", "none"),
                               ("ack", None, None)]
    names = [name for name in sim.names(pc) if name in ("power", "boot", "image", "passphrase", "unlocked", "restart",
                                                        "os-up", "off", "locked")]
    assert names == ["power", "boot", "image", "passphrase", "unlocked", "restart", "boot", "os-up"]
    assert sim.events(pc, "passphrase")[0]["ok"] is True
    assert sim.events(pc, "image")[0]["sha256"] == hashlib.sha256(IMAGE).hexdigest(), "as in the file"
    assert sim.events(pc, "image")[0]["checksum"] == "right"
    for secret in (pc["passphrase"], line.proof.secret.hex(), line.proof.seal_key.hex()):
        assert secret not in sim.log.read_text()
    assert pc["passphrase"].encode() not in line.noise


def test_each_boot_has_its_own_nonce_and_key(sim):
    said = []
    for _ in range(2):
        with booted(sim) as (_, line):
            said += line.next("hello")[:2]
    assert len(set(said)) == 4


def test_byte_by_byte_and_among_noise(sim):
    """Bytes in any portions; echoes, an ack before its time and a second seal are noise."""
    with booted(sim) as (pc, line):
        line.hello()
        seal = line.proof.seal(pc["passphrase"].encode())
        line.say(b"\x00\xff\x1b[2J$AMTU,1,$$AMT" + write_frame(1, "hello", bytes(32), bytes(32), bytes(32)) +
                 write_frame(1, "result", "unlocked", "none", bytes(32)) + write_frame(1, "ack", bytes(32)))
        for at in range(len(seal)):
            line.say(seal[at:at + 1])
        line.say(line.proof.seal(b"another one") + write_frame(1, "ack", bytes(32)))
        assert line.result() == ["unlocked", "none"]
        line.say(write_frame(1, "ack", bytes(32)))
        assert line.result() == ["unlocked", "none"], "an ack for something else is noise"
        line.say(line.proof.ack())
        sim.wait_event(pc, "os-up")
    assert len(sim.events(pc, "passphrase")) == 1
    assert [one["what"] for one in sim.events(pc, "proof") if "seal" in one["what"]] == ["seal", "late-seal"]


@pytest.mark.parametrize("length", [1, 125, 126, 127, 512])
def test_a_passphrase_of_any_length(sim, length):
    """None of these is the PC's, but each is taken out of its seal and tried."""
    with booted(sim) as (pc, line):
        line.hello()
        line.say(line.proof.seal(b"x" * length))
        assert line.result() == ["wrong-passphrase", "none"]
        line.say(line.proof.ack())
        restarted_locked(sim, pc)
    assert [one["ok"] for one in sim.events(pc, "passphrase")] == [False]


# ---- refusals and results -----------------------------------------------------------------------------------------

def test_the_disk_refuses(sim):
    with booted(sim, "wrong-passphrase") as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode()))
        assert line.result() == ["wrong-passphrase", "none"]
        line.say(line.proof.ack())
        line.sol.wait(PROMPT)
        restarted_locked(sim, pc)
    assert [one["ok"] for one in sim.events(pc, "passphrase")] == [False]


@pytest.mark.parametrize("fault,reason", [("disk-error", "disk-error"), ("disk-locked-out", "locked-out"),
                                          ("disk-empty", "no-system")])
def test_the_disk_does_not_answer_right(sim, fault, reason):
    with booted(sim, fault) as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode()))
        assert line.result() == ["failed", reason]
        line.say(line.proof.ack())
        restarted_locked(sim, pc)
    assert not sim.events(pc, "passphrase")


@pytest.mark.parametrize("fault,reason", [("no-disk", "no-disk"), ("disk-foreign", "unsupported-disk")])
def test_no_disk(sim, fault, reason):
    with booted(sim, fault) as (pc, line):
        assert line.refusal() == reason
        assert line.refusal() == reason, "until it is heard"
        line.say(line.proof.ack())
        restarted_locked(sim, pc)
    assert proofs(sim, pc) == [("refusal", None, reason), ("ack", None, None)]


@pytest.mark.parametrize("damage", [
    lambda seal: seal.replace(b"*", b"0*"), lambda seal: seal[:200] + b"\x00" + seal[200:],
    lambda seal: seal[:200] + b"\r", lambda seal: seal[:100] + seal, lambda seal: seal[:-2] + b"F\r",
    lambda seal: seal.partition(b"*")[0] + b"0" * 2048], ids=["check", "NUL", "short", "anew", "upper", "endless"])
def test_a_seal_that_was_damaged(sim, damage):
    with booted(sim) as (pc, line):
        line.hello()
        line.say(damage(line.proof.seal(pc["passphrase"].encode())))
        assert line.refusal() == "seal-damaged"
        line.say(line.proof.ack())
        restarted_locked(sim, pc)


def test_a_line_that_damages_the_seal(sim):
    with booted(sim, "damaged-seal") as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode()))
        assert line.refusal() == "seal-damaged"
        line.say(line.proof.ack())
        restarted_locked(sim, pc)


@pytest.mark.parametrize("seal", [
    lambda proof, _: proof.seal(b"", key=bytes(32), plain=pad(b"x")),
    lambda proof, _: proof.seal(b"", plain=bytes(128)),
    lambda proof, _: proof.seal(b"", plain=struct.pack(">H", 127) + b"x" * 126),
    lambda proof, _: proof.seal(b"", plain=struct.pack(">H", 513) + b"x" * 513 + bytes(125)),
    lambda proof, right: proof.seal(right + b"\0"),
    lambda proof, right: proof.seal(right, plain=pad(right)[:-1] + b"x"),
    lambda proof, _: proof.seal(b"", plain=pad(b"x" * 126) + bytes(128)),
], ids=["key", "empty", "longer than it is", "too long", "NUL", "padding", "more padding"])
def test_a_seal_that_holds_no_passphrase(sim, seal):
    with booted(sim) as (pc, line):
        line.hello()
        line.say(seal(line.proof, pc["passphrase"].encode()))
        assert line.refusal() == "seal-invalid"
        line.say(line.proof.ack())
        restarted_locked(sim, pc)
    assert not sim.events(pc, "passphrase")


@pytest.mark.parametrize("frame", [
    write_frame(2, "seal", bytes(32)), write_frame("01", "ack", bytes(32)), write_frame(1, "key", bytes(32)),
    write_frame(1), write_frame(1, "seal", bytes(32), bytes(32)), write_frame(1, "ack", bytes(31)),
    write_frame(1, "ack", bytes(32), bytes(32)), write_frame(1, "seal", bytes(32), bytes(32), bytes(143)),
    write_frame(1, "seal", bytes(32), bytes(32), bytes(784)), write_frame(1, "seal", "g" * 64, bytes(32), bytes(144)),
    write_frame(1, "seal", bytes(32), bytes(32), bytes(144))],
    ids=["version", "zero", "kind", "bare", "two", "short", "many", "143", "784", "hex", "weak"])
def test_a_frame_that_ends_the_session(sim, frame):
    with booted(sim) as (pc, line):
        line.hello()
        line.say(frame)
        restarted_locked(sim, pc)
        assert proofs(sim, pc)[-1][0] == "ended"
        line.sol.wait(PROMPT)
    assert {what for what, _, _ in proofs(sim, pc)} <= {"hello", "seal", "ended"}, "without another word"


def test_nothing_ends_the_session_after_the_seal(sim):
    """It owes a result: what would have ended it before, and a second seal, are noise while the disk takes its try."""
    with booted(sim) as (pc, line):
        line.hello()
        right = pc["passphrase"].encode()
        line.say(line.proof.seal(right) + write_frame(2, "seal", bytes(32)) + write_frame(1, "key") +
                 write_frame(1, "seal", bytes(32)) + line.proof.seal(right)[:200] + b"\r" + line.proof.seal(right))
        assert line.result() == ["unlocked", "none"]
        line.say(write_frame(1, "ack", bytes(31)) + line.proof.ack())
        sim.wait_event(pc, "os-up")
    assert proofs(sim, pc) == [("hello", None, None), ("seal", None, None), ("late-seal", None, None),
                               ("result", "unlocked", "none"), ("ack", None, None)]
    assert len(sim.events(pc, "passphrase")) == 1


@pytest.mark.parametrize("before", [b"$AMTU,1,hel", b"$AMTU,1,sea\r", b"$AMTU,$AMTU,1,", b"$AMTU,1,ack,00*0"],
                         ids=["cut by a frame", "a seal that was none yet", "twice", "in its check"])
def test_a_false_beginning_hides_nothing(sim, before):
    with booted(sim) as (pc, line):
        line.hello()
        line.say(before + line.proof.seal(pc["passphrase"].encode()))
        assert line.result() == ["unlocked", "none"]


# ---- waiting ------------------------------------------------------------------------------------------------------

def test_no_seal(impatient):
    with booted(impatient) as (pc, line):
        assert line.refusal() == "no-seal"
        restarted_locked(impatient, pc)
    assert proofs(impatient, pc) == [("hello", None, None), ("refusal", None, "no-seal")], "nobody acknowledged it"


def test_a_seal_that_stops(impatient):
    """What is not followed by anything was not cut; it is no seal either."""
    with booted(impatient) as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode())[:200])
        assert line.refusal() == "no-seal"
        restarted_locked(impatient, pc)


def test_a_seal_that_comes_too_late(impatient):
    """It crosses the image's refusal on the line: noise."""
    with booted(impatient) as (pc, line):
        line.hello()
        assert line.refusal() == "no-seal"
        line.say(line.proof.seal(pc["passphrase"].encode()))
        restarted_locked(impatient, pc)
    assert not impatient.events(pc, "passphrase")
    assert proofs(impatient, pc) == [("hello", None, None), ("refusal", None, "no-seal"), ("late-seal", None, None)]


def test_a_disk_that_hangs(impatient):
    with booted(impatient, "disk-hangs") as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode()))
        assert line.result() == ["failed", "time-out"]
        restarted_locked(impatient, pc)


def test_a_result_that_nobody_hears(impatient):
    with booted(impatient) as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode()))
        assert line.result() == ["unlocked", "none"]
        impatient.wait_event(pc, "os-up")
    assert [one["kind"] for one in impatient.events(pc, "restart")] == ["warm"]
    assert ("ack", None, None) not in proofs(impatient, pc)


def test_a_reset_in_the_middle(sim):
    """Power does away with the image: nothing more is said, nothing it was told opens the disk."""
    with booted(sim) as (pc, line):
        line.hello()
        assert sim.control(do="power", system=pc["fqdn"], to=10) == {"ok": True}
        line.say(line.proof.seal(pc["passphrase"].encode()))
        line.sol.wait(PROMPT)
        wait_for("the disk's prompt", lambda: sim.state(pc)["os"] == "prompt")
    assert proofs(sim, pc) == [("hello", None, None)]
    assert [one["by"] for one in sim.events(pc, "boot")] == ["amt", "user"]


# ---- what a worker must see through -------------------------------------------------------------------------------

def test_a_hello_of_another_session(sim):
    with booted(sim, "forged-hello") as (_, line):
        assert not line.proof.hello(*line.next("hello"))


def test_a_result_that_is_made_up(sim):
    with booted(sim, "forged-result") as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode()))
        outcome, reason, mac = line.next("result")
        assert (outcome, reason) == ("unlocked", "none")
        assert not line.proof.result(outcome, reason, mac)
        assert sim.state(pc)["disk"] == "locked"
    assert not sim.events(pc, "passphrase")


def test_an_image_of_another_version(sim):
    with booted(sim, "other-version") as (_, line):
        assert line.frame()[:2] == ["2", "hello"]


def test_an_image_that_starts_again_after_the_seal(sim):
    with booted(sim, "starts-again") as (pc, line):
        first = line.next("hello")
        assert line.proof.hello(*first)
        line.say(line.proof.seal(pc["passphrase"].encode()))
        wait_for("a second hello", lambda: len(proofs(sim, pc)) == 3)
        while (second := line.next("hello")) == first:
            pass
        assert not set(second) & set(first)
        assert line.proof.hello(*second), "it is a right one"
    assert not sim.events(pc, "passphrase")


def test_noise_on_the_line(sim):
    """The first frame of a kind is always cut: saying it again is what helps."""
    with booted(sim, "noise") as (pc, line):
        line.hello()
        line.say(line.proof.seal(pc["passphrase"].encode()))
        assert line.result() == ["unlocked", "none"]
        line.say(line.proof.ack())
        sim.wait_event(pc, "os-up")
    assert line.noise.count(b"$AMTU,1,hello,") >= 1 and line.noise.count(b"random: crng init done") == 2
    assert len(set(line.noise)) > 128, "bytes of all kinds"


# ---- the image and its sector -------------------------------------------------------------------------------------

def nothing_said(sim, pc, line, reason):
    wait_for("its decision", lambda: proofs(sim, pc))
    assert proofs(sim, pc) == [("nothing", None, reason)]
    assert not FRAME.search(line.noise + line.sol.screen)


def replaced(content, offset, data):
    """The image with other bytes in its proof sector, whose checksum is right again."""
    sector = bytearray(content[MARKER_PLACE:MARKER_PLACE + SECTOR])
    sector[offset:offset + len(data)] = data
    sector[-32:] = hashlib.sha256(sector[:-32]).digest()
    return content[:MARKER_PLACE] + bytes(sector) + content[MARKER_PLACE + SECTOR:]


def test_an_image_that_no_worker_served(sim):
    with booted(sim, content=IMAGE) as (pc, line):
        restarted_locked(sim, pc)
        nothing_said(sim, pc, line, "placeholder")


@pytest.mark.parametrize("offset, data", [
    (64, b"\x02"), (65, b"\x02"), (66, b"\x00"), (66, b"\xfe"), (67, b"\x01"), (100, b"P"), (150, b"x"), (400, b"x")],
    ids=["version", "kind", "no id", "id too long", "67", "upper case", "behind the id", "rest"])
def test_a_sector_that_is_not_what_the_page_says(sim, offset, data):
    pc = next(sim.unused)
    proof = Proof(pc["fqdn"])
    with booted(sim, pc=pc, proof=proof, content=strip(replaced(proof.served(IMAGE), offset, data))) as (_, line):
        restarted_locked(sim, pc)
        nothing_said(sim, pc, line, "sector-damaged")


def strip(content):
    """Without the checksum of the image, which a sector that is no session's spoils."""
    return content[:-SECTOR] + bytes(SECTOR)


def test_a_sector_whose_sum_is_wrong(sim):
    pc = next(sim.unused)
    proof = Proof(pc["fqdn"])
    content = bytearray(strip(proof.served(IMAGE)))
    content[MARKER_PLACE + 70] ^= 1
    with booted(sim, pc=pc, proof=proof, content=bytes(content)) as (_, line):
        restarted_locked(sim, pc)
        nothing_said(sim, pc, line, "sector-damaged")


def test_a_program_that_has_the_marker_is_passed_over(sim):
    pc = next(sim.unused)
    proof = Proof(pc["fqdn"])
    content = bytearray(strip(proof.served(IMAGE)))
    for number in (MARKER_PLACE // SECTOR - 1, MARKER_PLACE // SECTOR + 1):
        content[number * SECTOR:number * SECTOR + len(image.MARKER)] = image.MARKER
    with booted(sim, pc=pc, proof=proof, content=bytes(content)) as (_, line):
        line.hello()


def test_the_sector_of_another_system_is_told(sim):
    pc = next(sim.unused)
    with booted(sim, pc=pc, proof=Proof("pc1.example.com")) as (_, line):
        line.hello()
    assert [one["what"] for one in sim.events(pc, "ider-violation")] == ["the proof sector is another system's"]


@pytest.mark.parametrize("damage", ["wire", "served"])
def test_an_image_that_was_not_read_right(sim, damage):
    """Whether the console served another byte or the wire changed it: the image notices and stops."""
    pc = next(sim.unused)
    proof = Proof(pc["fqdn"])
    content = bytearray(proof.served(IMAGE))
    content[-SECTOR - 1] ^= damage == "served"
    with booted(sim, *(["damaged-image"] if damage == "wire" else []), pc=pc, proof=proof,
                content=bytes(content)) as (_, line):
        line.sol.wait(b"The image is damaged")
        nothing_said(sim, pc, line, "checksum")
        assert sim.state(pc)["os"] == "image"
    read = sim.events(pc, "image")[0]
    assert read["checksum"] == "wrong" and read["sha256"] != hashlib.sha256(IMAGE).hexdigest()


def test_an_image_that_is_none(sim):
    """Some other CD: the PC stays in it, and says nothing."""
    content = strip(IMAGE.replace(image.MARKER, bytes(len(image.MARKER))))
    with booted(sim, content=content) as (pc, line):
        line.sol.wait(b"Run /init")
        assert sim.state(pc)["os"] == "image"
    assert not proofs(sim, pc)
    assert sim.events(pc, "image")[0]["checksum"] == "none"


def test_no_prompt_is_no_hello(sim):
    with booted(sim, "no-prompt") as (pc, line):
        line.sol.wait(b"Run /init")
        assert sim.state(pc)["os"] == "image"
    assert not proofs(sim, pc)


def test_the_test_image_is_the_same_each_time(tmp_path):
    one = tmp_path / "one.iso"
    subprocess.run([ROOT / "tests" / "stack" / "make-image", one, "1"], check=True, stdout=subprocess.DEVNULL)
    assert one.read_bytes() == image.content(1024 * 1024)
    assert one.read_bytes().count(image.placeholder()) == 1
    assert re.search(rb"amtsim test image sha256 [0-9a-f]{64}\n\0+$", one.read_bytes()[-SECTOR:])
    for size in (2048, 1024 * 1024 + 1):
        with pytest.raises(ValueError):
            image.content(size)
