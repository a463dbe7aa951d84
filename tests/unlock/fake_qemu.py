#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for qemu-system-x86_64, so that a body can be tested where there is none, and in seconds.

It takes the words that the simulator gives QEMU and behaves as QEMU with an encrypted Debian does, as far as the
simulator can see: QMP on one socket, a serial port on the other, forwarding that answers before the system does. Its
system obeys `reboot`, `poweroff` and `echo` at its login, which asks for no password.

With a CD drive it boots from that, by NBD: it reads all of it, shows its SHA-256 on the serial port, and obeys there
`reboot`, `read OFFSET LENGTH` and `write OFFSET LENGTH`.
"""

import hashlib
import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path

import nbd_client

NAMED = nbd_client.Client.named
REFUSALS = (  # what a client may ask first, and has to be told
    (nbd_client.STARTTLS, b"", [(nbd_client.UNSUPPORTED, b"")]),
    (nbd_client.STRUCTURED_REPLY, b"", [(nbd_client.UNSUPPORTED, b"")]),
    (nbd_client.INFO, NAMED(b"other"), [(nbd_client.UNKNOWN, b"")]),
    (nbd_client.GO, bytes(5), [(nbd_client.INVALID, b"")]),
    (nbd_client.GO, NAMED()[:-1], [(nbd_client.INVALID, b"")]),
    (nbd_client.GO, b"\xff" * 4 + bytes(2), [(nbd_client.INVALID, b"")]),
    (nbd_client.LIST, b"", [(nbd_client.SERVER, bytes(4)), (nbd_client.ACK, b"")]),
)
PROMPT = b"Please unlock disk root: "
BOOT_SECONDS = 0.5
NOT_READY = 2  # so many connections to the probe port are closed before the system answers one


def chardev(name):
    words = [word for word in sys.argv if word.startswith(f"socket,id={name},fd=")]
    return socket.socket(fileno=int(words[0].rpartition("=")[2]))


class Machine:
    def __init__(self):
        self.serial = chardev("serial")
        self.monitor = chardev("monitor")
        self.streams = selectors.DefaultSelector()
        self.streams.register(self.serial, selectors.EVENT_READ, self.on_serial)
        self.streams.register(self.monitor, selectors.EVENT_READ, self.on_monitor)
        self.typed = self.asked = b""
        self.open = False
        self.forwarded = {}
        self.connections = 0
        self.drive = self.find_drive()
        self.boots_drive = self.drive is not None
        self.image = False
        self.answer({"QMP": {"version": {}, "capabilities": []}})
        self.restart()

    def find_drive(self):
        """As QEMU: there is no machine before the drive has been opened."""
        words = [word for word in sys.argv if "file.driver=nbd" in word]
        if not words:
            return None
        client = nbd_client.Client(socket.socket(fileno=int(words[0].rpartition("file.server.str=")[2])))
        for option, data, answers in REFUSALS:
            assert client.option(option, data) == answers, option
        self.size, _, self.most = client.go()
        return client

    def pull_drive(self):
        if self.drive:
            self.drive.disconnect()
        self.drive = None

    def show(self, data):
        self.serial.sendall(data)

    def answer(self, message):
        self.monitor.sendall(json.dumps(message).encode() + b"\r\n")

    def restart(self):
        """Nothing is seen of it for a while: so a restart is told on the monitor before it shows on the serial port."""
        self.open = False
        self.boots_at = time.monotonic() + BOOT_SECONDS

    def boot(self):
        self.boots_at = None
        self.image = False
        if any("graphics=off" in word for word in sys.argv):
            self.show(b"\x1b[2JSeaBIOS\r\n")
        if self.boots_drive and self.drive and self.boot_drive():
            return
        # in two pieces, as a serial port would have it
        self.show(PROMPT[:9])
        self.show(PROMPT[9:])

    def boot_drive(self):
        """False: the firmware cannot read it, and goes on with the disk."""
        self.answer({"event": "RESET", "data": {"guest": True, "reason": "guest-reset"}})  # the firmware's own
        sha256 = hashlib.sha256()
        for offset in range(0, self.size, self.most):
            length = min(self.most, self.size - offset)
            error, data = self.drive.read(offset, length)
            if error:
                self.show(f"Boot failed: error {error}\r\n".encode())
                return False
            sha256.update(data)
        self.image = True
        self.show(f"image {sha256.hexdigest()}\r\n".encode())
        return True

    def obey_image(self, line):
        if line == b"reboot":
            self.answer({"event": "RESET", "data": {"guest": True, "reason": "guest-reset"}})
            self.restart()
        elif self.drive is None:
            self.show(b"no drive\r\n")
        else:
            command, offset, length = line.split()
            error, data = (self.drive.read if command == b"read" else self.drive.write)(int(offset), int(length))
            self.show(f"error {error}, {hashlib.sha256(data).hexdigest()}\r\n".encode())

    def on_serial(self, stream):
        self.typed += stream.recv(4096).replace(b"\n", b"\r")
        while b"\r" in self.typed:
            line, _, self.typed = self.typed.partition(b"\r")
            (self.obey_image if self.image else self.obey if self.open else self.unlock)(line)

    def unlock(self, line):
        if line != Path("passphrase").read_bytes().strip():
            self.show(b"\r\ncryptsetup: ERROR: root: cryptsetup failed, bad password or options?\r\n" + PROMPT)
            return
        self.open = True
        self.show(b"\r\ncryptsetup: root: set up successfully\r\n\r\npc login: ")

    def obey(self, line):
        if line == b"reboot":
            for _ in range(3):  # the firmware resets it twice more
                self.answer({"event": "RESET", "data": {"guest": True, "reason": "guest-reset"}})
            self.restart()
        elif line == b"poweroff":
            self.answer({"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}})
            sys.exit(0)
        else:
            self.show(b"\r\n" + line + b"\r\npc login: ")

    def on_monitor(self, stream):
        data = stream.recv(4096)
        if not data:
            sys.exit(1)
        self.asked += data
        while b"\n" in self.asked:
            line, _, self.asked = self.asked.partition(b"\n")
            self.execute(json.loads(line))

    def execute(self, request):
        text = {}
        if request["execute"] == "system_reset":
            self.answer({"event": "RESET", "data": {"guest": False, "reason": "host-qmp-system-reset"}})
            self.restart()
        elif request["execute"] == "qom-set":
            assert request["arguments"] == {"path": "/machine/peripheral/redirected", "property": "bootindex", "value": -1}
            self.boots_drive = False
        elif request["execute"] == "device_del":
            assert request["arguments"] == {"id": "redirected"}
            self.pull_drive()
        elif request["execute"] == "human-monitor-command":
            verb, _, rule = request["arguments"]["command-line"].split(" ")
            text = self.forward(rule) if verb == "hostfwd_add" else self.forward_no_more(rule)
        self.answer({"return": text})

    def forward(self, rule):
        _, address, port, _ = rule.replace("-", ":", 1).split(":", 3)
        listener = socket.create_server((address, int(port)))
        self.forwarded[f"tcp:{address}:{port}"] = listener
        self.connections = 0
        self.streams.register(listener, selectors.EVENT_READ, self.on_connection)
        return ""

    def forward_no_more(self, rule):
        listener = self.forwarded.pop(rule)
        self.streams.unregister(listener)
        listener.close()
        return f"host forwarding rule for {rule} removed\r\n"

    def on_connection(self, listener):
        client, _ = listener.accept()
        self.connections += 1
        if self.connections > NOT_READY:
            client.sendall(b"up\n")
        client.close()

    def run(self):
        while True:
            for key, _ in self.streams.select(self.boots_at and max(0, self.boots_at - time.monotonic())):
                key.data(key.fileobj)
            if self.boots_at and time.monotonic() >= self.boots_at:
                self.boot()


if __name__ == "__main__":
    for name in ("kernel", "initrd", "disk") if "-kernel" in sys.argv else ("disk",):
        os.stat(name)
    Machine().run()
