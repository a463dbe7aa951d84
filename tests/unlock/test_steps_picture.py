# SPDX-License-Identifier: Apache-2.0
"""The picture of the steps in docs/ is what the program draws: "make steps" draws it again."""

import html
import re
import subprocess

from rig import build_folder
from amtu_stack.places import REPOSITORY

DOCS = REPOSITORY / "docs"
DOT = (DOCS / "steps.dot").read_text()


def test_the_graph_is_what_the_program_prints():
    drawn = subprocess.run([build_folder() / "amtunlockd", "steps"], capture_output=True, text=True, timeout=20, check=True)
    assert drawn.stdout == DOT


def test_the_picture_is_of_that_graph():
    """Where its parts stand differs between versions of Graphviz; which there are does not."""
    svg = html.unescape((DOCS / "steps.svg").read_text())
    nodes = dict(re.findall(r'<g id="node\d+" class="node">\n<title>(\w+)</title>\n(?:<polygon.*\n)?<text.*>(.*)</text>', svg))
    assert nodes == dict(re.findall(r'^ +(\w+) \[label="([^"]+)"', DOT, re.M))
    edges = re.findall(r"<title>(\w+)->(\w+)</title>", svg)
    assert sorted(edges) == sorted(re.findall(r"^ +(\w+) -> (\w+)", DOT, re.M))
