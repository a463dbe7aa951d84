# SPDX-License-Identifier: Apache-2.0
"""The table: what is measured, at which size, and what is wanted of each figure."""

from dataclasses import dataclass

from . import calls, fleets, images, sharing, starts
from .table import Row


@dataclass(frozen=True)
class Measurement:
    """One function that measures some rows: run(**full) or run(**quick) returns ({row's last word: Value}, [Gate]).
    Without quick it is no part of the quick form."""

    name: str
    run: object
    full: dict
    quick: dict | None
    rows: tuple


def _rows(measurement, *rows):
    """Rows whose names begin with their measurement's."""
    return tuple(Row(f"{measurement}.{name}", *rest, **how) for name, rest, how in rows)


def _row(name, what, unit, goal=None, **how):
    return name, (what, unit, goal), how


def _fleet(name, systems, boot_seconds, rows, quick=None, within=None, slots=0):
    known = {
        "cpu": _row("cpu", "CPU of the worker, of {systems} PCs; floor: a bare client's same calls", "ms/PC"),
        "memory": _row("memory", "resident memory a PC in flight, of {systems} by wake", "KiB/PC", 48),
        "redis-cpu": _row("redis-cpu", "CPU of Redis, of {systems} PCs", "us/PC", 100),
        "redis-memory": _row("redis-memory", "memory of Redis, of {systems} PCs", "B/PC", 400),
        "seconds": _row("seconds", "{systems} PCs by wake; floor: their boot", "s"),
    }
    full = {"systems": systems, "boot_seconds": boot_seconds, "within": within, "slots": slots}
    return Measurement(name, fleets.fleet, full, quick, _rows(name, *(known[row] for row in rows)))


ALL_OF_A_FLEET = ("seconds", "cpu", "memory", "redis-cpu", "redis-memory")

MEASUREMENTS = (
    Measurement("calls", calls.calls, {"submitted": 20000, "large": 8000, "seconds": 6},
                {"submitted": 4000, "large": 2000, "seconds": 1}, _rows(
                    "calls",
                    _row("submit", "UnlockSystems of {submitted}", "s", 1),
                    _row("submit-taken", "... of which were answered with a job", "", 1, least=True),
                    _row("submit-others", "... 99th of 100 other calls meanwhile; floor: alone", "ms", 2, of="ratio"),
                    _row("submit-refusals", "... other calls that were refused", "", 0),
                    _row("results-redis", "Redis' CPU, GetUnlockedSystems of {large}; floor: HMGET", "ms/call", 2),
                    _row("refusals", "refused, 1,000 calls/s beside pollers of {large}", "", 0),
                    _row("results", "GetUnlockedSystems of 20; floor: a static file", "/s", 0.5, least=True, of="ratio"),
                    _row("get-job", "Get of a job; floor: a static file", "/s", 0.5, least=True, of="ratio"),
                    _row("slowest", "the longest that one function held Redis", "ms", 2))),
    _fleet("fleet", 1000, 20, ALL_OF_A_FLEET, {"systems": 300, "boot_seconds": 5, "within": 20}, within=40),
    _fleet("fleet-20", 20, 20, ("cpu",)),
    _fleet("fleet-8000", 8000, 20, ALL_OF_A_FLEET),
    _fleet("fleet-20000", 20000, 20, ALL_OF_A_FLEET, slots=8000),
    Measurement("flight", fleets.flight, {"systems": 8000, "boot_seconds": 75}, None, _rows(
        "flight",
        _row("memory", "resident memory, {systems} PCs in flight at once in one worker", "KiB/PC", 48),
        _row("whole", "... and of all of that worker", "MiB", 512))),
    Measurement("image", images.paced, {"systems": 50, "mebibytes": 16, "boot_seconds": 6},
                {"systems": 50, "mebibytes": 4, "boot_seconds": 2}, _rows(
        "image",
        _row("memory", "resident memory with redirection, of {systems} PCs, while all connect", "KiB/PC", 96),
        _row("memory-reading", "... while all read", "KiB/PC", 96))),
    Measurement("image-serving", images.unpaced, {"systems": 50, "mebibytes": 16, "boot_seconds": 6},
                {"systems": 30, "mebibytes": 4, "boot_seconds": 2}, _rows(
        "image-serving",
        _row("rate", "image served by a core; floor: a plain copy in TLS", "MB/s", 0.9, least=True, of="ratio"),
        _row("asked", "... floor: a bare server that is asked for it", "MB/s"))),
    Measurement("black-holes", sharing.black_holes, {"systems": 400, "boot_seconds": 5}, {"systems": 60, "boot_seconds": 1},
                _rows("black-holes", _row("p99", "99th of 100 of {systems}, a tenth dead; floor: none dead", "s", 1.05, of="ratio"))),
    Measurement("behind", sharing.behind, {"systems": 8000, "boot_seconds": 20, "slots": 8000},
                {"systems": 120, "boot_seconds": 1}, _rows(
                    "behind", _row("seconds", "20 PCs behind another's {systems}; floor: alone", "s", 1.5, of="ratio"))),
    Measurement("workers", sharing.workers, {"boot_seconds": 5, "rounds": 3}, {"boot_seconds": 1, "rounds": 2}, _rows(
        "workers",
        _row("share", "the smaller part of a job of 20, two workers", "", 0.4, least=True),
        _row("begun", "... until all are begun", "s"))),
    Measurement("check", starts.check, {"systems": 2000}, {"systems": 100}, _rows(
        "check", _row("seconds", "amtunlockd check, of {systems} PCs", "s", 60))),
    Measurement("start", starts.start, {"systems": 100000}, {"systems": 20000}, _rows(
        "start",
        _row("seconds", "start with an inventory of {systems}", "s", 3),
        _row("memory", "... the most that was resident", "MiB", 200))),
)

# What is one figure over another: row, above, below.
DERIVED = tuple((Row(f"growth-{size}", "CPU a PC against that of 1,000", "ms/PC", 1.1, of="ratio"), f"fleet-{size}.cpu",
                 "fleet.cpu") for size in (8000, 20000))


def chosen(quick, only):
    """(measurement, its sizes) of this run. Only: begins of names of measurements or rows; none: all."""
    def wanted(one):
        return not only or any(name.startswith(part) for part in only
                               for name in (one.name, *(row.name for row in one.rows)))
    return [(one, one.quick if quick else one.full) for one in MEASUREMENTS
            if wanted(one) and not (quick and one.quick is None)]
