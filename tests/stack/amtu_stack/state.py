# SPDX-License-Identifier: Apache-2.0
"""What `stack up` leaves for `stack env` and `stack down`: state.json in --dir."""

import fcntl
import json
from contextlib import contextmanager

from .process import Failure, Process


class State:
    """The run folder, the ports, the options and each process; written whole after every change."""

    def __init__(self, path, run=None, options=None, ports=None, processes=()):
        self.path = path
        self.run = run
        self.options = options or {}
        self.ports = ports or {}
        self.processes = list(processes)

    @classmethod
    def load(cls, path):
        """None where no stack was started, or it was stopped."""
        try:
            raw = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as problem:
            raise Failure(f"{path} cannot be read: {problem}") from problem
        return cls(path, raw["run"], raw["options"], raw["ports"], [Process(**one) for one in raw["processes"]])

    def save(self):
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps({
            "run": str(self.run), "options": self.options, "ports": self.ports,
            "processes": [vars(one) for one in self.processes]}, indent=1))
        scratch.replace(self.path)

    def add(self, process):
        """In the file at once: whatever happens next, `down` will find it. A part that was started again is known by
        its new process."""
        self.processes = [one for one in self.processes if one.name != process.name]
        self.processes.append(process)
        self.save()
        return process

    def process(self, name):
        return next((one for one in self.processes if one.name == name), None)


@contextmanager
def exclusive(directory):
    """One `up` or `down` at a time for a --dir."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
