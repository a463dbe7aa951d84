# SPDX-License-Identifier: Apache-2.0
"""The command: runs what was asked for, prints the table, writes report.json."""

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from amtu_stack.places import REPOSITORY, build_folder
from amtu_stack.process import Failure

from . import rows, table
from .stacks import HERE, program

VERSIONS = {"httpd": ("/usr/sbin/apache2", "-v"), "redis": ("/usr/bin/redis-server", "--version"),
            "openssl": ("openssl", "version"), "curl": ("curl", "--version"), "compiler": ("gcc", "--version")}


def _first_line(words):
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    return done.stdout.split("\n")[0] if done.returncode == 0 else None


def _processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine():
    """What a figure belongs to."""
    memory = Path("/proc/meminfo").read_text().splitlines()[0].split()[1]
    in_clone = shutil.which("git") and (REPOSITORY / ".git").exists()
    return {"processors": len(os.sched_getaffinity(0)), "processor": _processor(), "memory_mib": int(memory) // 1024,
            "kernel": platform.release(), "load_before": os.getloadavg()[0],
            "commit": _first_line(["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]) if in_clone else None,
            "versions": {name: _first_line(words) for name, words in VERSIONS.items()}}


def _parser():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether all can be measured, in a minute and a half")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="measurements or rows whose names begin so")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="times; the table has medians (default: 1)")
    parser.add_argument("--list", action="store_true", help="names, and what each is")
    return parser


def measure(one, sizes, say):
    """({row name: Value}, gates) of one run; what could not be measured is missing, and said."""
    began = time.monotonic()
    try:
        values, gates = one.run(**sizes)
    except (Failure, OSError, subprocess.SubprocessError) as problem:
        say(f"{one.name} could not be measured: {problem}")
        return {}, []
    for gate in gates:
        if not gate.holds:
            say(f"NOT SO: {one.name}: {gate.sentence}")
    figures = ", ".join(f"{name} {table.number(value.figure)}{value.note and f' ({value.note})'}"
                        for name, value in values.items())
    say(f"{one.name}: {figures} ({time.monotonic() - began:.0f} s)")
    return {f"{one.name}.{name}": value for name, value in values.items()}, gates


def derived(outcomes):
    """Rows that follow from others, of runs that have both."""
    known = {one.row.name: one for one in outcomes}
    for row, above, below in rows.DERIVED:
        if above in known and below in known:
            pairs = zip(known[above].values, known[below].values)
            yield table.Outcome(row, row.what, [table.Value(high.figure, low.figure) for high, low in pairs])


def run(asked, say):
    """(outcomes, gates) of all that was asked for."""
    work = rows.chosen(asked.quick, asked.only)
    outcomes = [table.Outcome(row, row.what.format(**sizes)) for one, sizes in work for row in one.rows]
    by_name = {outcome.row.name: outcome for outcome in outcomes}
    gates = []
    for _ in range(asked.repeat):
        for one, sizes in work:
            values, held = measure(one, sizes, say)
            gates += held
            for row in one.rows:
                if row.name in values:
                    by_name[row.name].values.append(values[row.name])
    for outcome in outcomes:
        if len(outcome.values) < asked.repeat:
            outcome.values.clear()  # a figure of some of the runs is none
    return outcomes + list(derived(outcomes)), gates


def _list():
    for one in rows.MEASUREMENTS:
        for row in one.rows:
            print(f"{row.name:24}  {row.what.format(**one.full)}")


def _interrupted(number, _frame):
    """Not a Failure, behind which the next measurement would begin: the stack ends, and with it all of this."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(arguments=None):
    """Exit: 0 all was measured, 1 something was not, or a gate did not hold, 2 usage. A missed goal is no failure."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        _list()
        return 0
    if not rows.chosen(asked.quick, asked.only):
        print("tests/bench/run: no such row (--list names them)", file=sys.stderr)
        return 2
    missing = [name for name in ("load", "floor") if not program(name).exists()]
    if missing:
        print(f"tests/bench/run: {program(missing[0])} was not built: make bench builds it", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    began, of = time.monotonic(), machine()
    outcomes, gates = run(asked, lambda text: print(text, flush=True))
    report = build_folder() / HERE / "report.json"
    report.write_text(table.report(outcomes, gates, of, {
        "quick": asked.quick, "repeat": asked.repeat, "seconds": round(time.monotonic() - began, 1)}))
    closing, well = table.closing(outcomes, gates)
    missed = sum(one.verdict == table.MISSED for one in outcomes)
    print(f"\n{table.text(outcomes)}\n\n{missed} goals missed; {report.relative_to(REPOSITORY)}\n{closing}")
    return 0 if well else 1
