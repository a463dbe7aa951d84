# SPDX-License-Identifier: Apache-2.0
"""The examples of "How to add" in docs/architecture.md, as far as that can be seen without a build: "make walk" walks them."""

import importlib.machinery
import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def load_walk():
    loader = importlib.machinery.SourceFileLoader("walk", str(HERE / "walk"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("walk", loader))
    loader.exec_module(module)
    return module


walk = load_walk()
SECTIONS = walk.sections()


def test_each_thing_that_can_be_added_has_a_section():
    assert set(SECTIONS) == {"method", "step", "reason", "directive", "simulator profile"}
    named = [patch for section in SECTIONS.values() for patch in walk.example(section)[0]]
    assert sorted(named) == sorted(f"tests/house/add/{path.name}" for path in (HERE / "add").iterdir())


@pytest.mark.parametrize("name", SECTIONS)
def test_the_section_names_all_that_its_example_touches(name):
    patches, commands = walk.example(SECTIONS[name])
    assert len(patches) == 1 and commands
    assert walk.unnamed(walk.TOP / patches[0], SECTIONS[name]) == []


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")
@pytest.mark.parametrize("name", SECTIONS)
def test_the_example_applies(name):
    (patch,), _ = walk.example(SECTIONS[name])
    with open(walk.TOP / patch, "rb") as text:
        tried = subprocess.run(["patch", "--dry-run", "-p1"], cwd=walk.TOP, stdin=text, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stdout
