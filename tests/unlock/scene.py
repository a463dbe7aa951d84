# SPDX-License-Identifier: Apache-2.0
"""A whole stack, started by the command that people use, and jobs over it by the command amtunlock."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from amtu_stack.places import build_folder  # noqa: E402

STACK = Path(__file__).resolve().parents[1] / "stack" / "stack"


class Scene:
    """Up when it is made."""

    def __init__(self, name, *options):
        self.directory = build_folder() / "unlock-tests" / name
        self.call("up", *options)
        self.known = dict(line.split("=", 1) for line in self.call("env").replace("'", "").splitlines())
        self.run = (self.directory / "run").resolve()
        self.systems = [line.split(",")[0] for line in Path(self.known["SYSTEMS"]).read_text().splitlines()]

    def call(self, *words):
        done = subprocess.run([STACK, words[0], "--dir", self.directory, *map(str, words[1:])], text=True, timeout=120,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def down(self):
        self.call("down")

    # ---- the fleet's side -------------------------------------------------------------------------------

    def rows(self):
        with open(self.run / "fleet" / "fleet.csv", newline="") as file:
            return list(csv.DictReader(file))

    def methods(self):
        return {row["fqdn"]: row["method"] for row in self.rows()}

    def tell(self, **request):
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(self.known["AMTSIM_CONTROL"])
            channel.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(channel.makefile().readline())
        assert answer["ok"], (request, answer)
        return answer

    def events(self):
        """{system: its events, in their order}"""
        found = {system: [] for system in self.systems}
        for line in Path(self.known["AMTSIM_LOG"]).read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                event = json.loads(line)
                found[event["system"]].append(event)
        return found

    # ---- a console's side -------------------------------------------------------------------------------

    def start_job(self, *more):
        """The command, over all systems and more names; its answer comes on its standard output as JSON."""
        console = {name: value for name, value in self.known.items() if name.startswith(("AMTU_", "KRB5"))}
        return subprocess.Popen([build_folder() / "amtunlock", "unlock", "--wait", "--json", *more, *self.systems],
                                env={**os.environ, **console}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    # ---- processes --------------------------------------------------------------------------------------

    def pids(self, name):
        return [int(pid) for pid in self.known[name].split()]

    def worker_log(self):
        return (self.run / "worker-1" / "worker.log").read_text()
