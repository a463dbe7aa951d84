# SPDX-License-Identifier: Apache-2.0
"""A client of the Network Block Device protocol, as strict as its specification lets one be."""

import struct

OPTION_MAGIC, REPLY_MAGIC = 0x49484156454F5054, 0x0003E889045565A9
REQUEST_MAGIC, SIMPLE_REPLY = 0x25609513, 0x67446698
LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY = 3, 5, 6, 7, 8
ACK, SERVER, INFORMATION = 1, 2, 3
UNSUPPORTED, INVALID, UNKNOWN = (1 << 31) + 1, (1 << 31) + 3, (1 << 31) + 6
READ, WRITE, DISCONNECT = range(3)


class Client:
    def __init__(self, stream):
        self.socket = stream
        self.socket.setblocking(True)
        self.stream = stream.makefile("rb")
        assert self.take(">QQH") == (0x4E42444D41474943, OPTION_MAGIC, 3), "fixed newstyle, and no zeroes"
        self.socket.sendall(struct.pack(">I", 3))
        self.handle = 0

    def take(self, layout):
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))

    def bytes(self, size):
        data = self.stream.read(size)
        if len(data) < size:
            raise EOFError("the server hung up")
        return data

    def option(self, option, data=b""):
        """What it answers, up to and with the last: (type, data)."""
        self.socket.sendall(struct.pack(">QII", OPTION_MAGIC, option, len(data)) + data)
        answers = []
        while not answers or answers[-1][0] in (SERVER, INFORMATION):
            magic, of, kind, size = self.take(">QIII")
            assert (magic, of) == (REPLY_MAGIC, option)
            answers.append((kind, self.bytes(size)))
        return answers

    @staticmethod
    def named(name=b"", wanted=(3,)):
        return struct.pack(">I", len(name)) + name + struct.pack(f">H{len(wanted)}H", len(wanted), *wanted)

    def go(self):
        """The size of the export, its smallest and its largest read."""
        *told, last = self.option(GO, self.named())
        assert last == (ACK, b"")
        told = {struct.unpack(">H", data[:2])[0]: data[2:] for kind, data in told}
        size, flags = struct.unpack(">QH", told[0])
        least, best, most = struct.unpack(">III", told[3])
        assert flags == 3, "it is read-only"
        assert least <= best <= most
        return size, least, most

    def ask(self, command, offset=0, length=0, data=b""):
        """Its handle; answers come in this order."""
        self.handle += 1
        self.socket.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, command, self.handle, offset, length) + data)
        return self.handle

    def answer(self, handle, length=0):
        """(error, data)"""
        magic, error, of = self.take(">IIQ")
        assert (magic, of) == (SIMPLE_REPLY, handle)
        return error, b"" if error else self.bytes(length)

    def read(self, offset, length):
        return self.answer(self.ask(READ, offset, length), length)

    def write(self, offset, length):
        """As read()."""
        return self.answer(self.ask(WRITE, offset, length, bytes(length)))

    def disconnect(self):
        self.ask(DISCONNECT)
        assert self.stream.read() == b"", "it hangs up, and says no word"
        self.stream.close()
        self.socket.close()
