# SPDX-License-Identifier: Apache-2.0
"""A DNS server on loopback, for workers whose PCs are known by their names."""

import ipaddress
import socket
import struct
import threading

SILENT = None  # no answer at all
QUESTION, KINDS = 12, {4: 1, 6: 28}


class Dns:
    """names: {name: its addresses, or SILENT}; any other: there is no such name. May be changed while it serves."""

    def __init__(self, names):
        self.names = names
        self.asked = []  # names, one a question
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def environment(self):
        """What points a worker of a test build here."""
        return {"AMTUNLOCK_TEST_DNS": "127.0.0.1:%d" % self.socket.getsockname()[1]}

    def stop(self):
        self.socket.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while True:
            message, sender = self.socket.recvfrom(512)
            if not message:
                return
            answer = self._answer(message)
            if answer:
                self.socket.sendto(answer, sender)

    def _answer(self, message):
        labels, at = [], QUESTION
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode("ascii"))
            at += 1 + message[at]
        name = ".".join(labels).lower()
        kind = struct.unpack_from("!H", message, at + 1)[0]
        self.asked.append(name)
        addresses = self.names.get(name, ())
        if addresses is SILENT:
            return None
        found = [one for one in map(ipaddress.ip_address, addresses) if KINDS[one.version] == kind]
        flags = 0x8180 if name in self.names else 0x8183
        head = message[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        records = [struct.pack("!HHHIH", 0xc000 | QUESTION, kind, 1, 60, len(one.packed)) + one.packed for one in found]
        return head + message[QUESTION:at + 5] + b"".join(records)
