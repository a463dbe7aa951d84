"""A console's side of the redirection protocol, spoken by hand: SOL and IDE-R sessions of a simulated PC."""

import hashlib
import os
import socket
import ssl
import struct

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
