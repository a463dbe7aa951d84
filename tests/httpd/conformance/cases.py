#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance list: every case with its number. Run as a program it prints conformance.md.

A number stays with its case: new cases go to the end of their table, and each table has a hundred numbers.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stack"))

import addressing  # noqa: E402
import cim  # noqa: E402
import control  # noqa: E402
import enumeration  # noqa: E402
import interface  # noqa: E402
import transport  # noqa: E402

TABLES = (addressing, control, enumeration, cim, interface, transport)
LIST = Path(__file__).resolve().parents[1] / "conformance.md"


def numbered():
    for hundred, table in enumerate(TABLES, 1):
        assert len(table.CASES) < 100, f"{table.__name__} needs more numbers"
        for number, case in enumerate(table.CASES, 1):
            case.number = f"C{hundred}{number:02}"
            yield case


CASES = list(numbered())


def expectation(case):
    expected = case.expected
    if hasattr(expected, "code"):
        detail = f" / {expected.detail}" if expected.detail else ""
        return f"{expected.code}{detail}, {expected.status}"
    return f"HTTP {expected.status}" if hasattr(expected, "status") else "answered"


def markdown():
    yield "# Conformance list"
    yield ""
    yield (f"{len(CASES)} cases, each one rule, run against a real httpd by `tests/run httpd`. Made by "
           "`tests/httpd/conformance/cases.py`;")
    yield "a test compares. Rules without a clause's own number are named by their clause."
    for table in TABLES:
        yield f"\n## {table.__doc__.strip().rstrip('.')}\n"
        yield "| number | rule | what is checked | answer |"
        yield "|---|---|---|---|"
        for case in table.CASES:
            title = re.sub(r"(.)\1{40,}", r"\1...", case.title).replace("|", "\\|")
            yield f"| {case.number} | {case.rule} | {title} | {expectation(case)} |"


if __name__ == "__main__":
    print("\n".join(markdown()))
