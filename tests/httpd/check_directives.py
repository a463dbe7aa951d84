#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the table of directives and its reference against each other: check_directives.py [TABLE REFERENCE]

Every directive in mod_amtunlock/httpd/directives.c must be documented in conf/amtunlock.conf with all of httpd's
fields, in the context that the table gives it, and the reference must hold no other. Every name that any
configuration file of this folder uses must be in the table. A check that cannot find its input fails.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "mod_amtunlock" / "httpd" / "directives.c"
REFERENCE = ROOT / "conf" / "amtunlock.conf"
FIELDS = ("Description", "Syntax", "Default", "Context", "Module", "Compatibility")
CONTEXTS = {"RSRC_CONF": "server config", "IN_LOCATION": "server config, virtual host, directory"}

ROW = re.compile(r"AP_INIT_\w+\(\s*\"(?P<name>\w+)\",\s*(?P<setter>\w+),\s*(?P<info>(?:\(.*?\)\S+|\w+(?:\(\w+\))?)),\s*"
                 r"(?P<where>\w+),\s*(?P<help>(?:\"[^\"]*\"\s*)+)\)", re.S)
ENTRY = re.compile(r"^# (AMTUnlock\w+)\n((?:#   .*\n)+)", re.M)
FIELD = re.compile(r"^#   (\w+): +(\S.*)$", re.M)
USED = re.compile(r"^\s*#?\s*(AMTUnlock\w+)(?:\s|$)", re.M)


def read_table(text):
    """{directive: what its row's context is called in the reference}"""
    rows = {row["name"]: CONTEXTS.get(row["where"], row["where"]) for row in ROW.finditer(text)}
    written = len(re.findall(r"\bAP_INIT_\w+\(", text))
    return rows, written


def read_reference(text):
    """{directive: {field: value}}"""
    return {name: dict(FIELD.findall(fields)) for name, fields in ENTRY.findall(text)}


def problems_of(name, context, fields):
    for field in FIELDS:
        if field not in fields:
            yield f"{name}: the reference has no {field}"
    if not fields.get("Syntax", "").startswith(name + " "):
        yield f"{name}: its Syntax does not begin with its name"
    if fields.get("Module") != "mod_amtunlock":
        yield f"{name}: its Module is mod_amtunlock"
    if fields.get("Context") != context:
        yield f"{name}: the table says \"{context}\", the reference \"{fields.get('Context')}\""


def check(table, reference):
    """Yields an error message for each thing that is wrong."""
    rows, written = read_table(table)
    documented = read_reference(reference)
    if not rows or len(rows) != written:
        yield f"the table has {written} rows, of which {len(rows)} can be read, each once"
    for name in sorted(rows.keys() - documented.keys()):
        yield f"{name} is in the table but not in the reference"
    for name in sorted(documented.keys() - rows.keys()):
        yield f"{name} is in the reference but not in the table"
    for name in sorted(set(USED.findall(reference)) - rows.keys()):
        yield f"{name} is used in the reference but is no directive"
    for name in sorted(rows.keys() & documented.keys()):
        yield from problems_of(name, rows[name], documented[name])


def main(arguments):
    table, reference = (Path(path) for path in arguments) if len(arguments) == 2 else (TABLE, REFERENCE)
    wrong = list(check(table.read_text(encoding="utf-8"), reference.read_text(encoding="utf-8")))
    for message in wrong:
        print(f"check_directives: {message}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
