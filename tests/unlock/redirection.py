# SPDX-License-Identifier: Apache-2.0
"""A console's side of the redirection protocol, spoken by hand: SOL and IDE-R sessions of a simulated PC."""

import contextlib
import hashlib
import os
import socket
import ssl
import struct
import threading

from amtsim import wait_for

START, START_REPLY, END, AUTHENTICATE, AUTHENTICATE_REPLY = range(0x10, 0x15)
DIGEST = 4
URI = "/RedirectionService"


def md5(*parts):
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


def texts(*values):
    return b"".join(bytes([len(value)]) + value.encode() for value in values)


class Session:
    """One connection to the redirection port, up to and with the authentication."""

    def __init__(self, fleet, pc, seconds=10):
        self.pc = pc
        self.socket = socket.create_connection((pc["address"], 16995 if fleet.tls else 16994), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # several messages answer one command
        if fleet.tls:
            context = ssl.create_default_context(cafile=fleet.dir / "ca.pem")
            self.socket = context.wrap_socket(self.socket, server_hostname=pc["fqdn"])
        self.stream = self.socket.makefile("rb")
        self.out_sequence = 0
        self.in_sequence = 0

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stream.close()
        self.socket.close()

    def send(self, *values):
        self.socket.sendall(b"".join(bytes([value]) if isinstance(value, int) else value for value in values))

    def take(self, size):
        """Exactly that many bytes; fewer when the device ended the connection."""
        return self.stream.read(size)

    def start(self, kind):
        """The status of the answer to StartRedirectionSession."""
        self.send(START, 0, 0, 0, kind)
        answer = self.take(4)
        assert answer[0] == START_REPLY
        if answer[1] == 0:
            rest = self.take(9)
            assert rest[4:8] == bytes([0x57, 1, 0, 0]), "Intel's enterprise number"
            self.take(rest[8])
        return answer[1]

    def authenticate_message(self, kind, data=b""):
        """(status, type, data) of the answer."""
        self.send(AUTHENTICATE, 0, 0, 0, kind, struct.pack("<I", len(data)), data)
        head = self.take(9)
        if len(head) < 9:
            return None
        assert head[0] == AUTHENTICATE_REPLY
        return head[1], head[4], self.take(struct.unpack("<I", head[5:])[0])

    def challenge(self, user):
        """realm, nonce, qop"""
        status, kind, data = self.authenticate_message(DIGEST, texts(user, "", "", URI, "", "", "", ""))
        assert (status, kind) == (1, DIGEST)
        values = []
        while data:
            values.append(data[1:data[0] + 1].decode())
            data = data[data[0] + 1:]
        return values

    def authenticate(self, user, password, uri=URI, qop=None):
        """The status: 0 is success."""
        realm, nonce, offered = self.challenge(user)
        cnonce, count = os.urandom(8).hex(), "00000002"
        qop = qop or offered
        response = md5(md5(user, realm, password), nonce, count, cnonce, qop, md5("POST", uri))
        return self.authenticate_message(DIGEST, texts(user, realm, nonce, uri, cnonce, count, response, qop))[0]

    def open(self, kind, password=None):
        assert self.start(kind) == 0
        assert self.authenticate(self.pc["user"], password or self.pc["password"]) == 0
        return self

    def head(self, identifier, attributes=0):
        head = struct.pack("<BBBBI", identifier, 0, 0, attributes, self.out_sequence)
        self.out_sequence += 1
        return head

    def check_sequence(self, head):
        assert struct.unpack("<I", head[4:8])[0] == self.in_sequence
        self.in_sequence += 1


class Sol(Session):
    """Serial over LAN."""

    def __init__(self, fleet, pc, receive_ms=10000, heartbeat_ms=0, **more):
        super().__init__(fleet, pc, **more)
        self.screen = b""
        self.powered = None
        self.heartbeats = 0
        self.open(b"SOL ")
        self.send(self.head(0x20), struct.pack("<HHHHHHI", 1000, 100, 0, receive_ms, 100, heartbeat_ms, 0))
        answer = self.take(23)
        assert answer[0] == 0x21
        self.check_sequence(answer)

    def read_message(self):
        """Its identifier, or None at the end of the connection."""
        head = self.take(8)
        if len(head) < 8 or head[0] == 0x12:
            return None
        self.check_sequence(head)
        if head[0] == 0x2A:
            self.screen += self.take(struct.unpack("<H", self.take(2))[0])
        elif head[0] == 0x29:
            self.powered = bool(self.take(2)[1] & 4)
        elif head[0] == 0x2B:
            self.heartbeats += 1
        return head[0]

    def wait(self, text):
        """Reads until the text is on the screen; returns and forgets everything up to it."""
        while text not in self.screen:
            assert self.read_message() is not None, f"the session ended before {text!r}: {self.screen!r}"
        before, _, self.screen = self.screen.partition(text)
        return before + text

    def type(self, text):
        self.send(self.head(0x28), struct.pack("<H", len(text)), text)


FLOPPY, CD = 0xA0, 0xB0
NOT_READY, ILLEGAL, ATTENTION = 2, 5, 6
NO_MEDIUM, UNKNOWN_COMMAND, OUT_OF_RANGE, CHANGED = 0x3A, 0x20, 0x21, 0x28
RESET, COMMAND = 0x46, 0x50
ON_RESET, NOW = 0x09, 0x19


class Ider(Session):
    """Storage redirection: serves one image as CD or floppy, the other drive is empty."""

    def __init__(self, fleet, pc, image, drive=CD, receive_ms=30000, heartbeat_ms=0, enable=ON_RESET, **more):
        super().__init__(fleet, pc, **more)
        self.image = image
        self.drive = drive
        self.block = 2048 if drive == CD else 512
        self.attention = True
        self.commands = []
        self.server = None
        self.open(b"IDER")
        self.send(self.head(0x40), struct.pack("<HHHI", receive_ms, 0, heartbeat_ms, 1))
        answer = self.take(30)
        assert (answer[0], answer[1], answer[21]) == (0x41, 0, 0)
        self.check_sequence(answer)
        self.buffer = struct.unpack("<H", answer[16:18])[0]
        if enable:
            assert self.features(3, enable) == 1

    def features(self, kind, value=None):
        """What the device answers to a question about its features."""
        self.send(self.head(0x48), kind, b"" if value is None else struct.pack("<I", value))
        answer = self.take(13)
        assert (answer[0], answer[8]) == (0x49, kind)
        self.check_sequence(answer)
        return struct.unpack("<I", answer[9:])[0]

    def end(self, drive, sense=None):
        """The end of a command: good, or with sense, ASC and ASCQ."""
        body = bytearray(23)
        if sense:
            body[12:15] = 0x87, sense[0] << 4, 3
            body[18:23] = drive, 0x51, *sense
        else:
            body[12:15] = 0xC5, 0, 3
            body[18:20] = drive, 0x50
        self.send(self.head(0x51, 2), bytes(body))

    def data(self, drive, data, dma, step=None):
        """Data in as many messages as the device's buffer asks for."""
        step = step or self.buffer
        for at in range(0, len(data), step):
            part = data[at:at + step]
            last = at + step >= len(data)
            body = bytearray(26)
            body[1:3] = struct.pack("<H", len(part))
            body[4] = 0xB4 if dma else 0xB5
            body[6] = 2
            body[8:10] = struct.pack("<H", 0 if dma else len(part))
            body[10:12] = drive, 0x58
            if last:
                body[12], body[14], body[18], body[19] = 0x85, 3, drive, 0x50
            self.send(self.head(0x54, (2 if last else 0) | (1 if dma else 0)), bytes(body), part)

    def obey(self, message):
        """Answers one COMMAND as a good drive does."""
        drive, dma, cdb = message[14], bool(message[9] & 1), message[16:28]
        self.commands.append((drive, cdb[0]))
        if drive != self.drive:
            self.end(drive, (NOT_READY, NO_MEDIUM, 0))
        elif self.attention:
            self.attention = False
            self.end(drive, (ATTENTION, CHANGED, 0))
        else:
            self.serve_command(drive, dma, cdb)

    def serve_command(self, drive, dma, cdb):
        blocks = len(self.image) // self.block
        if cdb[0] == 0x00:
            self.end(drive)
        elif cdb[0] == 0x25:
            self.data(drive, struct.pack(">II", blocks - 1, self.block), dma)
        elif cdb[0] == 0x43 and drive == CD:
            self.data(drive, struct.pack(">HBBBBBBI", 10, 1, 1, 0, 0x14, 1, 0, 0), dma)
        elif cdb[0] == 0x46 and drive == CD:
            self.data(drive, struct.pack(">IHH", 4, 0, 8), dma)
        elif cdb[0] == 0x28:
            first, count = struct.unpack(">I", cdb[2:6])[0], struct.unpack(">H", cdb[7:9])[0]
            if first + count > blocks:
                self.end(drive, (ILLEGAL, OUT_OF_RANGE, 0))
            else:
                self.data(drive, self.image[first * self.block:(first + count) * self.block], dma)
        else:
            self.end(drive, (ILLEGAL, UNKNOWN_COMMAND, 0))

    def serve_one(self):
        """One message from the device: its identifier, or None at the end."""
        head = self.take(8)
        if len(head) < 8:
            return None
        self.check_sequence(head)
        if head[0] == RESET:
            self.take(1)
            self.send(self.head(0x47))
        elif head[0] == COMMAND:
            self.obey(head + self.take(20))
        return head[0]

    def serve(self, until, seconds=10):
        """Serves from now on, in a thread of its own; returns when until() is true."""
        if not self.server:
            self.server = threading.Thread(target=self._serve_all)
            self.server.start()
        wait_for("what the drive is served for", until, seconds)

    def _serve_all(self):
        with contextlib.suppress(OSError, ValueError):  # the device, or the test, has ended the session
            while self.serve_one() is not None:
                pass

    def __exit__(self, *what):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if self.server:
            self.server.join()
        super().__exit__(*what)


def cd_image(size=200 * 2048):
    """An El Torito CD whose every block differs."""
    image = bytearray(b"".join(struct.pack("<I", block) * 512 for block in range(size // 2048)))
    image[16 * 2048:17 * 2048] = (b"\x01CD001\x01" + bytes(2048))[:2048]
    image[17 * 2048:18 * 2048] = (b"\x00CD001\x01EL TORITO SPECIFICATION" + bytes(2048))[:2048]
    image[17 * 2048 + 0x47:17 * 2048 + 0x4B] = struct.pack("<I", 19)
    entry = bytearray(64)
    entry[0], entry[30], entry[31] = 1, 0x55, 0xAA
    words = sum(struct.unpack("<16H", entry[:32]))
    entry[28:30] = struct.pack("<H", -words & 0xFFFF)
    entry[32], entry[38] = 0x88, 4
    entry[40:44] = struct.pack("<I", 20)
    image[19 * 2048:20 * 2048] = bytes(entry) + bytes(2048 - 64)
    return bytes(image)


def floppy_image(size=360 * 512):
    image = bytearray(b"".join(struct.pack("<I", block) * 128 for block in range(size // 512)))
    image[510:512] = b"\x55\xaa"
    return bytes(image)
