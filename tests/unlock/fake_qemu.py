#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for qemu-system-x86_64, so that a body can be tested where there is none, and in seconds.

It takes the words that the simulator gives QEMU and behaves as QEMU with an encrypted Debian does, as far as the
simulator can see: QMP on one socket, a serial port on the other, forwarding that answers before the system does. Its
system obeys `reboot`, `poweroff` and `echo` at its login, which asks for no password.
"""

import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path

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
        self.answer({"QMP": {"version": {}, "capabilities": []}})
        self.restart()

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
        if any("graphics=off" in word for word in sys.argv):
            self.show(b"\x1b[2JSeaBIOS\r\n")
        # in two pieces, as a serial port would have it
        self.show(PROMPT[:9])
        self.show(PROMPT[9:])

    def on_serial(self, stream):
        self.typed += stream.recv(4096).replace(b"\n", b"\r")
        while b"\r" in self.typed:
            line, _, self.typed = self.typed.partition(b"\r")
            self.obey(line) if self.open else self.unlock(line)

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
    for name in ("kernel", "initrd", "disk"):
        os.stat(name)
    Machine().run()
