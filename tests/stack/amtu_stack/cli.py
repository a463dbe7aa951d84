# SPDX-License-Identifier: Apache-2.0
"""The command: stack up, stack env, stack down."""

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from .places import REPOSITORY, build_folder, missing_programs
from .process import Failure
from .stack import Options, Stack


def _range(text):
    if not re.fullmatch(r"\d+(\.\d+)?-\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"MIN-MAX is wanted, such as 3-8, not {text!r}")
    low, _, high = text.partition("-")
    if float(low) > float(high):
        raise argparse.ArgumentTypeError(f"{low} is more than {high}")
    return text


def _count(low, high):
    def parse(text):
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"a number from {low} to {high} is wanted, not {text!r}")
        return int(text)
    return parse


def _parser():
    parser = argparse.ArgumentParser(prog="stack", description=__doc__)
    calls = parser.add_subparsers(dest="call", required=True)
    up = calls.add_parser("up", help="start KDC, Redis, httpd with the module, workers and simulated PCs")
    env = calls.add_parser("env", help="print NAME='value' lines for a shell")
    down = calls.add_parser("down", help="stop exactly what was started")
    for call in (up, env, down):
        call.add_argument("--dir", type=Path, default=build_folder() / "stack", help="default: %(default)s")
    known = Options()
    up.add_argument("--systems", type=_count(1, 20000), default=known.systems)
    up.add_argument("--method", choices=("wake", "sol", "image", "mix"), default=known.method)
    up.add_argument("--tls", choices=("ca", "none"), default=known.tls)
    up.add_argument("--amt-auth", choices=("digest", "kerberos"), default=known.amt_auth)
    up.add_argument("--mpm", choices=("event", "worker", "prefork"), default=known.mpm)
    up.add_argument("--workers", type=_count(1, 16), default=known.workers)
    up.add_argument("--boot-seconds", type=_range, default=known.boot_seconds, metavar="MIN-MAX")
    up.add_argument("--faults", default=known.faults, metavar="NAME=SHARE,...")
    up.add_argument("--body", default=known.body, metavar="FQDN=DIR",
                    help="this PC is a QEMU with the disk that tests/realdisk/build made in DIR")
    up.add_argument("--seed", type=int, default=None, help="of the simulated PCs' own randomness")
    up.add_argument("--threads", type=_count(0, 64), default=known.threads,
                    help="event loops of a worker; 0: one a core")
    return parser


def _build():
    """What is missing of what is installed. Who names a build folder has a build of their own in mind."""
    if "AMTU_BUILD" in os.environ or not missing_programs():
        return
    words = ["make", "--no-print-directory", "-C", REPOSITORY, "stack-programs"]
    if subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode != 0:
        raise Failure("what it starts could not be built")


def _up(asked):
    _build()
    options = {name: value for name, value in vars(asked).items() if name not in ("call", "dir")}
    stack = Stack(asked.dir, Options(**options))
    stack.up()
    print(f"The stack is up: {stack.httpd.url()}, {stack.options.systems} systems. Logs: {stack.places.logs}")


def _env(asked):
    stack = Stack.load(asked.dir)
    if stack is None:
        raise Failure(f"no stack is up in {asked.dir}")
    for name, value in stack.environment().items():
        quoted = str(value).replace("'", "'\\''")
        print(f"{name}='{quoted}'")


def _down(asked):
    stack = Stack.load(asked.dir)
    if stack is not None:
        stack.down()


def _interrupted(number, _frame):
    raise Failure(f"interrupted by {signal.Signals(number).name}")


def main(arguments=None):
    """Exit: 0 done, 1 a part failed (said on standard error), 2 usage."""
    asked = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        {"up": _up, "env": _env, "down": _down}[asked.call](asked)
    except Failure as problem:
        print(f"stack {asked.call}: {problem}", file=sys.stderr)
        return 1
    return 0
