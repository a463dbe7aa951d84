# SPDX-License-Identifier: Apache-2.0
"""The simulated PCs: one amtsim process."""

import csv
import json
import socket

from .process import await_answer

DOMAIN = "fleet.test"
# Of an AMT device: WS-Man and redirection, each plain and in TLS.
PORTS = (16992, 16993, 16994, 16995)


class Fleet:
    """amtsim with its files in the run folder."""

    # What another fleet beside it has its own of.
    process, kept_in, domain = "amtsim", "fleet", DOMAIN

    def __init__(self, places, options):
        self.places = places
        self.options = options

    @property
    def folder(self):
        return self.places.run / self.kept_in

    @property
    def ca(self):
        return self.folder / "ca.pem"

    @property
    def control(self):
        return self.folder / "control.sock"

    @property
    def log(self):
        """One JSON object a line: what each PC saw."""
        return self.places.logs / f"{self.process}.jsonl"

    @property
    def list(self):
        """fqdn,address a line."""
        return self.folder / "systems"

    def administrator(self):
        """User and password that every PC accepts."""
        user, password = (self.folder / "admin").read_text().split("\n")[:2]
        return user, password

    def systems(self):
        """The rows of fleet.csv."""
        with open(self.folder / "fleet.csv", newline="") as lines:
            return list(csv.DictReader(lines))

    def services(self):
        """The Kerberos names of the PCs: AMT has the port in them. Named as amtsim will name the PCs."""
        return [f"HTTP/pc-{number:04d}.{self.domain}:{port}" for number in range(1, self.options.systems + 1)
                for port in PORTS]

    def start(self, environment=None):
        self.places.folder(self.kept_in)
        output = self.places.log(self.process)
        process = self.places.start(self.process, self._command(), output, environment)
        await_answer(process, lambda: "ready" in output.read_text().split(), 20 + self.options.systems / 500, output)
        return process

    def _command(self):
        asked = self.options
        words = [self.places.program("amtsim"), "--systems", asked.systems, "--domain", self.domain, "--block", "auto",
                 "--method", asked.method, "--tls", asked.tls, "--auth", asked.amt_auth,
                 "--boot-seconds", asked.boot_seconds, "--dir", self.folder, "--log", self.log,
                 "--control", self.control]
        if asked.faults:
            words += ["--faults", asked.faults]
        if asked.body:
            words += ["--body", asked.body]
        if asked.seed is not None:
            words += ["--seed", asked.seed]
        return [*words, *getattr(asked, "amtsim", ())]

    def tell(self, **request):
        """One request on the control socket; its answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(10)
            channel.connect(str(self.control))
            channel.sendall(json.dumps(request).encode() + b"\n")
            with channel.makefile("r") as answers:
                return json.loads(answers.readline())

    def fault(self, system, name):
        return self.tell(do="fault", system=system, fault=name)

    def events(self):
        """What the PCs saw so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
