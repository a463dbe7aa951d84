# SPDX-License-Identifier: Apache-2.0
"""A simulated fleet and the program that drives the AMT client against it."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("AMTU_BUILD", "build")).resolve()
SECONDS = 60


def wait_until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.02)


class Fleet:
    """amtsim in a folder of its own."""

    def __init__(self, systems, *options):
        self.folder = Path(tempfile.mkdtemp(prefix="amtc-"))
        self.log = self.folder / "log"
        self.output = open(self.folder / "output", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [BUILD / "amtsim", "--systems", str(systems), "--dir", self.folder, "--log", self.log,
             "--control", self.folder / "control", "--boot-seconds", "1-1", *options],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)
        try:
            wait_until(self._is_ready, "the simulator is ready")
        except BaseException:
            self.stop()
            raise
        with open(self.folder / "fleet.csv", encoding="utf-8") as file:
            self.pcs = list(csv.DictReader(file))
        self.administrator = (self.folder / "admin").read_text(encoding="utf-8").split("\n")[:2]

    def _is_ready(self):
        text = (self.folder / "output").read_text(encoding="utf-8")
        assert self.process.poll() is None, text
        return "ready" in text

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.output.close()
            shutil.rmtree(self.folder)

    def control(self, **line):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "control"))
            connection.sendall(json.dumps(line).encode() + b"\n")
            answer = json.loads(connection.makefile().readline())
        assert answer["ok"], answer
        return answer

    def fault(self, pc, name, **more):
        self.control(do="fault", system=pc["fqdn"], fault=name, **more)

    def events(self, pc, kind):
        lines = (json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line["system"] == pc["fqdn"] and line["event"] == kind]

    @property
    def ca(self):
        return f"ca:{self.folder / 'ca.pem'}"

    def client(self, pcs, trust, *calls, user=None, seconds=15):
        """The driver, started; its standard input stays open for `wait`."""
        number = len(list(self.folder.glob("targets-*")))
        targets = self.folder / f"targets-{number}"
        targets.write_text("".join(f"{pc['fqdn']},{pc['address']},{pc['passphrase']}\n" for pc in pcs), encoding="utf-8")
        client = subprocess.Popen([BUILD / "amt_client", str(seconds), trust, targets, *calls], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        client.stdin.write("".join(f"{word}\n" for word in user or self.administrator))
        client.stdin.flush()
        return client

    def run(self, pcs, trust, *calls, **more):
        """Results by (fqdn, call), and what the run cost."""
        client = self.client(pcs, trust, *calls, **more)
        output, _ = client.communicate(timeout=SECONDS)
        assert client.returncode == 0, output
        lines = [json.loads(line) for line in output.splitlines()]
        assert not any("ended" in line for line in lines), lines  # a session that nobody closed
        return {(line["system"], line["call"]): line for line in lines[:-1]}, lines[-1]

    def run_one(self, pc, trust, *calls, **more):
        results, _ = self.run([pc], trust, *calls, **more)
        return [results[pc["fqdn"], call] for call in calls]
