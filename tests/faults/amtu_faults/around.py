# SPDX-License-Identifier: Apache-2.0
"""What this folder takes from its neighbours: the stack's parts, and the rig of the unlock tests."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
for folder in ("stack", "unlock"):
    if str(TESTS / folder) not in sys.path:
        sys.path.insert(0, str(TESTS / folder))

from amtu_stack import soap  # noqa: E402
from amtu_stack.httpd import Settings  # noqa: E402
from amtu_stack.places import build_folder  # noqa: E402
from amtu_stack.process import Failure, Process, collect, start, tail, wait_until  # noqa: E402
from amtu_stack.redis import Client, RedisError  # noqa: E402
from amtu_stack.slow_disk import SlowDisk  # noqa: E402
from amtu_stack.stack import Options as StackOptions  # noqa: E402
from amtu_stack.stack import Stack  # noqa: E402
from dns import Dns  # noqa: E402
from rig import COMPLETED, TERMINATED, Job, Rig  # noqa: E402

__all__ = ["COMPLETED", "TERMINATED", "Client", "Dns", "Failure", "Job", "Process", "RedisError", "Rig", "Settings",
           "SlowDisk", "Stack", "StackOptions", "build_folder", "collect", "soap", "start", "tail", "wait_until"]
