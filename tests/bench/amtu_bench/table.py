# SPDX-License-Identifier: Apache-2.0
"""Rows of the table, what was measured for them, and how both are told to people and to programs."""

import json
from dataclasses import dataclass, field
from statistics import median

OK, MISSED, BROKEN, TOLD = "ok", "missed", "broken", "-"
SCHEMA = 1  # of report.json


@dataclass(frozen=True)
class Row:
    """One figure and what is wanted of it."""

    name: str
    what: str  # for people; {systems} and the like are what this run was asked for
    unit: str
    goal: float | None = None
    least: bool = False  # the goal is the least that is wanted, not the most
    of: str = "figure"  # what the goal is of: the figure, or its ratio to the floor


@dataclass(frozen=True)
class Value:
    """What one run measured for a row; floor: what the least that could do it took in the same run."""

    figure: float
    floor: float | None = None
    note: str = ""  # what else a person wants to know of it

    @property
    def ratio(self):
        return self.figure / self.floor if self.floor else None


@dataclass(frozen=True)
class Gate:
    """What must hold, or what was measured is not worth a figure."""

    sentence: str
    holds: bool


@dataclass
class Outcome:
    """A row after all runs; without values it could not be measured."""

    row: Row
    what: str
    values: list = field(default_factory=list)

    def _median(self, name):
        known = [getattr(one, name) for one in self.values]
        return median(known) if known and None not in known else None

    @property
    def figure(self):
        return self._median("figure")

    @property
    def floor(self):
        return self._median("floor")

    @property
    def ratio(self):
        return self._median("ratio")

    @property
    def verdict(self):
        reached = self.ratio if self.row.of == "ratio" else self.figure
        if reached is None:
            return BROKEN
        if self.row.goal is None:
            return TOLD
        return OK if (reached >= self.row.goal if self.row.least else reached <= self.row.goal) else MISSED

    def goal(self):
        """As people read it."""
        if self.row.goal is None:
            return ""
        sign = ">=" if self.row.least else "<="
        return f"{sign} {number(self.row.goal)}{' x' if self.row.of == 'ratio' else ''}"

    def record(self):
        return {"name": self.row.name, "what": self.what, "unit": self.row.unit, "figure": self.figure,
                "floor": self.floor, "ratio": self.ratio, "goal": self.row.goal, "goal_of": self.row.of,
                "goal_is": "least" if self.row.least else "most", "verdict": self.verdict,
                "runs": [{"figure": one.figure, "floor": one.floor, "note": one.note} for one in self.values]}


def number(value):
    """Three digits that count, and no exponent."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


HEAD = ("name", "what", "figure", "floor", "ratio", "goal", "")


def text(outcomes):
    """The table as lines of equal columns."""
    rows = [HEAD] + [(one.row.name, one.what, f"{number(one.figure)} {one.row.unit}".strip(), number(one.floor),
                      number(one.ratio), one.goal(), one.verdict) for one in outcomes]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    right = (2, 3, 4, 5)
    return "\n".join("  ".join(cell.rjust(width) if column in right else cell.ljust(width)
                               for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def report(outcomes, gates, machine, how):
    """report.json; how: what the run was asked for."""
    return json.dumps({"schema": SCHEMA, **how, "machine": machine, "rows": [one.record() for one in outcomes],
                       "gates": [{"sentence": one.sentence, "holds": one.holds} for one in gates]}, indent=1) + "\n"


def closing(outcomes, gates):
    """("N passed, N failed", whether none failed): a goal that was missed is no failure, a row without a figure is."""
    failed = sum(one.verdict == BROKEN for one in outcomes) + sum(not one.holds for one in gates)
    passed = len(outcomes) + len(gates) - failed
    return f"{passed} passed, {failed} failed", failed == 0 and passed > 0


def share(values, part):
    """The value below which that part (0 to 1) of the values are: the nearest rank."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
