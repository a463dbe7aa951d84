# SPDX-License-Identifier: Apache-2.0
"""The worker's side of the image's proof (mod_amtunlock/proof/README.md, version 1), written from that page for the
tests of the simulated image: it checks all that is said, and can say things that no worker should."""

import hashlib
import hmac
import os
import re
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from amtu_stack import image  # noqa: E402

SECTOR = image.SECTOR
MARKER_PLACE = image.PROOF * SECTOR
# A frame whose check is still to be computed, found among noise.
FRAME = re.compile(rb"\$AMTU,([a-z0-9,-]*)\*([0-9a-f]{8})")


def check(inside):
    return hashlib.sha256(inside).hexdigest()[:8].encode()


def write_frame(*words):
    inside = ",".join(("AMTU", *(word.hex() if isinstance(word, bytes) else str(word) for word in words))).encode()
    return b"$" + inside + b"*" + check(inside) + b"\r"


def raw(key):
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def pad(passphrase):
    """The plaintext of a seal."""
    plain = struct.pack(">H", len(passphrase)) + passphrase
    return plain + bytes(-len(plain) % 128)


class Proof:
    """What a worker knows of one session."""

    def __init__(self, system, secret=None, private=None, nonce=None):
        self.id = bytes([len(system)]) + system.encode()
        self.secret = secret or os.urandom(32)
        self.private = X25519PrivateKey.from_private_bytes(private) if private else X25519PrivateKey.generate()
        self.nonce = nonce or os.urandom(32)
        self.other_nonce = self.transcript = self.seal_key = self.result_key = self.heard = None

    def mac(self, key, label, *parts):
        return hmac.digest(key, b"amtunlock-proof-1 " + label + b"".join(parts), "sha256")

    # ---- the sector -------------------------------------------------------------------------------------

    def sector(self):
        """What stands in the placeholder's place."""
        head = image.MARKER + bytes([1, 1, len(self.id) - 1, 0]) + self.secret + self.id[1:]
        head = head.ljust(SECTOR - 32, b"\0")
        return head + hashlib.sha256(head).digest()

    def served(self, content):
        return content.replace(image.placeholder(), self.sector())

    # ---- what is heard ----------------------------------------------------------------------------------

    def hello(self, nonce, public, mac):
        """Is it a right one? Then the keys follow from it."""
        if mac != self.mac(self.secret, b"hello", self.id, nonce, public):
            return False
        self.other_nonce = nonce
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(public))
        self.transcript = hashlib.sha256(b"amtunlock-proof-1 transcript" + self.id + nonce + public + self.nonce +
                                         raw(self.private.public_key())).digest()
        keys = HKDF(hashes.SHA256(), 64, self.secret, b"amtunlock-proof-1 keys" + self.transcript).derive(shared)
        self.seal_key, self.result_key = keys[:32], keys[32:]
        return True

    def result(self, outcome, reason, mac):
        self.heard = mac
        return mac == self.mac(self.result_key, b"result", self.transcript, f"{outcome},{reason}".encode())

    def refusal(self, nonce, reason, mac):
        self.heard = mac
        return mac == self.mac(self.secret, b"refusal", self.id, nonce, reason.encode())

    # ---- what is said -----------------------------------------------------------------------------------

    def seal(self, passphrase, plain=None, key=None):
        sealed = AESGCM(key or self.seal_key).encrypt(bytes(12), plain or pad(passphrase), self.transcript)
        return write_frame(1, "seal", self.nonce, raw(self.private.public_key()), sealed)

    def ack(self):
        return write_frame(1, "ack", self.mac(self.secret, b"ack", self.heard))


class Line:
    """The console's end of the serial port."""

    def __init__(self, sol, proof):
        self.sol = sol
        self.proof = proof
        self.noise = b""  # what was no frame

    def frame(self):
        """The next whole frame as [version, kind, field...]; hexadecimal fields as bytes."""
        while True:
            found = FRAME.search(self.sol.screen)
            if found:
                self.noise += self.sol.screen[:found.start()]
                self.sol.screen = self.sol.screen[found.end():]
                if check(b"AMTU," + found[1]) == found[2]:
                    return [bytes.fromhex(word) if re.fullmatch("([0-9a-f]{2}){32}", word) else word
                            for word in found[1].decode().split(",")]
            elif self.sol.read_message() is None:
                raise AssertionError(f"the session ended: {self.sol.screen!r}")

    def next(self, kind):
        """The fields of the first frame of this kind; others are repetitions of what went before."""
        while True:
            version, said, *fields = self.frame()
            assert version == "1"
            if said == kind:
                return fields
            assert (said, kind) in (("hello", "result"), ("hello", "refusal")), f"{said} where {kind} was due"

    def hello(self):
        assert self.proof.hello(*self.next("hello"))

    def result(self):
        """outcome, reason"""
        fields = self.next("result")
        assert self.proof.result(*fields)
        return fields[:2]

    def refusal(self):
        nonce, reason, mac = self.next("refusal")
        assert self.proof.refusal(nonce, reason, mac)
        return reason

    def say(self, data):
        self.sol.type(data)
