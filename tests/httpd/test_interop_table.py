# SPDX-License-Identifier: Apache-2.0
"""The table of tests/interop without its runs: it names every client, and a client that learned wrong would show."""

import importlib.machinery
import importlib.util
import sys
from types import SimpleNamespace

import pytest
from amtu_stack.places import REPOSITORY

PROGRAM = REPOSITORY / "tests" / "interop" / "run"
SYSTEMS = ["pc-1.example", "pc-2.example", "unknown.example"]
STACK = SimpleNamespace(httpd=SimpleNamespace(settings=SimpleNamespace(max_systems=100)))
RIGHT = {"product": "mod_amtunlock", "service": "AMT_RemoteEncryptionService", "maximum": "100", "job": "amtunlock:" + "a" * 26,
         "state": "7", "unlocked": "pc-1.example pc-2.example", "failed": "unknown.example",
         "error": "unknown.example not-available", "gone": "wsa:DestinationUnreachable InvalidResourceURI"}


@pytest.fixture(scope="module")
def interop():
    loader = importlib.machinery.SourceFileLoader("interop_run", str(PROGRAM))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("interop_run", loader))
    sys.modules["interop_run"] = module  # which its dataclasses look for
    loader.exec_module(module)
    yield module
    del sys.modules["interop_run"]


def output(learned):
    return "".join(f"{name}\t{value}\n" for name, value in learned.items())


def test_the_table_names_every_client(interop):
    """Without running them: all but the versions."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")]
            for row in interop.table_of(interop.README.read_text(encoding="utf-8")).splitlines()[2:]]
    assert [(row[0], *row[2:]) for row in rows] == [(one.name, one.mechanism, one.done, one.result) for one in interop.TABLE]


def test_right_is_right(interop):
    assert not list(interop.compare(STACK, interop.TABLE[0], SYSTEMS, output(RIGHT)))


@pytest.mark.parametrize("name, value", [
    ("product", ""), ("maximum", "99"), ("job", "amtunlock:x"), ("state", "8"), ("unlocked", "pc-1.example"), ("failed", ""),
    ("error", "unknown.example internal"), ("gone", "it is still there"), ("more", "x")])
def test_wrong_is_wrong(interop, name, value):
    assert len(list(interop.compare(STACK, interop.TABLE[0], SYSTEMS, output({**RIGHT, name: value})))) == 1


def test_missing_is_wrong(interop):
    for name in RIGHT:
        left = {other: value for other, value in RIGHT.items() if other != name}
        assert len(list(interop.compare(STACK, interop.TABLE[0], SYSTEMS, output(left)))) == 1


def test_a_row_that_changed_is_told(interop):
    before = interop.table_of(interop.README.read_text(encoding="utf-8"))
    assert interop.make_table({}, before) == before
    assert interop.make_table({1: ("failed", "")}, before) == before, "who failed leaves its row: the failure is told"
