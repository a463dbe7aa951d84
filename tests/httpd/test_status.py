# SPDX-License-Identifier: Apache-2.0
"""The status page and the metrics."""

import re

import pytest
from amtu_stack.console import Console

METRIC = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? -?[0-9.eE+-]+$")


@pytest.fixture
def visitor(stack):
    return Console(stack.httpd)


def test_status_page(visitor, stack):
    page = visitor.send(b"", path="/amtunlock-status", method="GET")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    assert str(len(stack.fleet.systems())) in text


def test_status_page_takes_no_post(visitor):
    assert visitor.send(b"x", path="/amtunlock-status").status == 405


def test_metrics_are_in_the_exposition_format(visitor, console):
    console.unlock(["unknown.example"])
    page = visitor.send(b"", path="/amtunlock-metrics", method="GET")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/plain")
    samples = [line for line in page.body.decode().splitlines() if line and not line.startswith("#")]
    assert samples
    assert [line for line in samples if not METRIC.match(line)] == []


def test_metrics_count(visitor, console):
    def count():
        page = visitor.send(b"", path="/amtunlock-metrics", method="GET").body.decode()
        return sum(float(line.split()[-1]) for line in page.splitlines()
                   if line.startswith("amtunlock_failed") and "not-available" in line)

    before = count()
    console.unlock(["unknown.example", "unknown-too.example"])
    assert count() == before + 2
