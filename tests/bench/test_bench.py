# SPDX-License-Identifier: Apache-2.0
"""The benches' own arithmetic and the form of what they say; nothing is measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stack"), str(HERE.parent / "httpd")]

from amtu_bench import cli, fleets, rows, sharing, stacks, table, watch  # noqa: E402
from amtu_bench.table import Gate, Outcome, Row, Value  # noqa: E402
from amtu_stack.process import Failure  # noqa: E402


def outcome(*values, **row):
    return Outcome(Row("one.row", "what", "ms", **row), "what", [Value(*value) for value in values])


@pytest.mark.parametrize("values, row, verdict", [
    ([(5,)], {"goal": 5}, "ok"), ([(5.1,)], {"goal": 5}, "missed"), ([(0,)], {"goal": 0}, "ok"),
    ([(5,)], {"goal": 5, "least": True}, "ok"), ([(4.9,)], {"goal": 5, "least": True}, "missed"),
    ([(9, 10)], {"goal": 0.9, "least": True, "of": "ratio"}, "ok"),
    ([(9, 5)], {"goal": 1.5, "of": "ratio"}, "missed"), ([(7, 5)], {"goal": 1.5, "of": "ratio"}, "ok"),
    ([(9,)], {}, "-"), ([], {"goal": 1}, "broken"), ([], {}, "broken"),
    ([(9,)], {"goal": 1, "of": "ratio"}, "broken"), ([(9, 0)], {"goal": 1, "of": "ratio"}, "broken"),
    ([(1,), (9,), (2,)], {"goal": 2}, "ok"), ([(3,), (9,), (2,)], {"goal": 2}, "missed")])
def test_verdicts(values, row, verdict):
    assert outcome(*values, **row).verdict == verdict


def test_the_ratio_is_that_of_the_same_run():
    """Two runs in which the machine was slow say nothing about the third."""
    one = outcome((10, 10), (40, 20), (9, 3))
    assert (one.figure, one.floor, one.ratio) == (10, 10, 2)


@pytest.mark.parametrize("value, text", [(None, ""), (0, "0"), (0.0938, "0.0938"), (12.345, "12.3"), (1278.4, "1278"),
                                         (0.00001234, "0.000012"), (99.96, "100"), (1, "1")])
def test_numbers(value, text):
    assert table.number(value) == text


def test_the_table_has_a_row_for_each_figure():
    lines = table.text([outcome((10, 4), goal=2, of="ratio"), outcome((3,), goal=5), outcome()]).splitlines()
    assert lines[0].split() == ["name", "what", "figure", "floor", "ratio", "goal"]
    assert [line.split() for line in lines[1:]] == [
        ["one.row", "what", "10", "ms", "4", "2.5", "<=", "2", "x", "missed"],
        ["one.row", "what", "3", "ms", "<=", "5", "ok"], ["one.row", "what", "ms", "broken"]]


def test_the_report_says_the_same():
    told = json.loads(table.report([outcome((10, 4), goal=2, of="ratio"), outcome(goal=1)], [Gate("it holds", True)],
                                   {"processors": 2}, {"quick": True}))
    assert (told["schema"], told["quick"], told["machine"]) == (1, True, {"processors": 2})
    first, second = told["rows"]
    assert (first["figure"], first["floor"], first["ratio"], first["goal"], first["goal_of"], first["verdict"]) == (
        10, 4, 2.5, 2, "ratio", "missed")
    assert (second["figure"], second["runs"], second["verdict"]) == (None, [], "broken")
    assert told["gates"] == [{"sentence": "it holds", "holds": True}]


@pytest.mark.parametrize("outcomes, gates, line, well", [
    ([outcome((9,), goal=1)], [], "1 passed, 0 failed", True),  # a missed goal is no failure
    ([outcome((9,)), outcome()], [], "1 passed, 1 failed", False),
    ([outcome((9,))], [Gate("it does not hold", False)], "1 passed, 1 failed", False), ([], [], "0 passed, 0 failed", False)])
def test_what_fails(outcomes, gates, line, well):
    assert table.closing(outcomes, gates) == (line, well)


@pytest.mark.parametrize("part, value", [(0.5, 51), (0.99, 100), (0, 1), (1, 100)])
def test_shares(part, value):
    assert table.share(range(100, 0, -1), part) == value


def test_most_in_flight():
    events = [{"event": "power", "result": 0, "t": 1}, {"event": "power", "result": 0, "t": 2},
              {"event": "power", "result": 2, "t": 2.5}, {"event": "os-up", "t": 3},
              {"event": "power", "result": 0, "t": 3}, {"event": "os-up", "t": 4}, {"event": "os-up", "t": 5}]
    assert fleets.most_in_flight(events) == 2


def test_durations():
    assert sharing.durations({"a": 12.5, "b": 11}, 10) == [2.5, 1]


def test_a_record_is_read_as_it_grows(tmp_path):
    file = tmp_path / "record"
    with open(file, "w") as out, open(file) as lines:
        for written, read in (("one\ntw", ["one\n"]), ("", []), ("o\nthree\n", ["two\n", "three\n"])):
            out.write(written)
            out.flush()
            assert list(stacks.whole_lines(lines)) == read


def test_a_process_and_what_it_started_is_watched():
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True)
    try:
        while len(watch.family([child.pid])) < 2:
            assert child.poll() is None
        assert watch.family([child.pid])[0] == child.pid
    finally:
        os.killpg(child.pid, 9)
        child.wait()
    assert watch.cpu_seconds(os.getpid()) > 0 and watch.memory_kib(os.getpid()) > 1000
    assert (watch.cpu_seconds(child.pid), watch.memory_kib(child.pid)) == (0, 0), "it is gone"


# ---- the command -----------------------------------------------------------------------------------------------------

def measurement(run, name="one", quick=None):
    return rows.Measurement(name, run, {"size": 5}, quick, (Row(f"{name}.row", "of {size}", "s", 1),))


def asked(repeat=1, quick=False):
    return cli._parser().parse_args(["--repeat", str(repeat), *(["--quick"] if quick else [])])


@pytest.fixture
def work(monkeypatch):
    """work(measurements...): what there is to measure."""
    return lambda *measurements: monkeypatch.setattr(rows, "MEASUREMENTS", measurements)


def test_medians_of_three(work):
    figures = iter((3, 1, 2))
    work(measurement(lambda size: ({"row": Value(next(figures))}, [])))
    outcomes, _ = cli.run(asked(3), lambda text: None)
    assert (outcomes[0].figure, outcomes[0].what, len(outcomes[0].values)) == (2, "of 5", 3)


def test_a_row_that_was_not_measured_each_time_is_broken(work):
    figures = iter((3, None, 2))

    def run(size):
        figure = next(figures)
        if figure is None:
            raise Failure("no")
        return {"row": Value(figure)}, []

    said = []
    work(measurement(run))
    outcomes, _ = cli.run(asked(3), said.append)
    assert outcomes[0].verdict == table.BROKEN
    assert "one could not be measured: no" in said


def test_the_quick_form_has_sizes_of_its_own(work):
    sizes = []
    work(measurement(lambda size: sizes.append(size) or ({"row": Value(1)}, []), quick={"size": 2}),
         measurement(lambda size: pytest.fail("it is not in the quick form"), "two"))
    assert [one.row.name for one in cli.run(asked(quick=True), lambda text: None)[0]] == ["one.row"]
    assert sizes == [2]


def test_growth_follows_from_two_rows():
    known = [Outcome(Row(name, "", "ms"), "", [Value(figure)]) for name, figure in (("fleet.cpu", 4), ("fleet-8000.cpu", 5))]
    row, = cli.derived(known)
    assert (row.row.name, row.ratio, row.verdict) == ("growth-8000", 1.25, table.MISSED)


def test_names_are_unique_and_texts_complete():
    known = [row for one in rows.MEASUREMENTS for row in one.rows]
    assert len({row.name for row in known}) == len(known)
    for one in rows.MEASUREMENTS:
        for row in one.rows:
            assert row.name.startswith(f"{one.name}.")
            assert row.what.format(**one.full)
        assert one.quick is None or set(one.quick) <= set(one.full)
    names = {row.name for row in known}
    assert all({above, below} <= names for _, above, below in rows.DERIVED)


def test_the_page_has_all_rows():
    page = (HERE.parents[1] / "docs" / "performance.md").read_text()
    for row in [row for one in rows.MEASUREMENTS for row in one.rows] + [row for row, _, _ in rows.DERIVED]:
        name = row.name.replace("fleet-8000.", "fleet.").replace("fleet-20000.", "fleet.").replace("fleet-20.", "fleet.")
        assert f"| `{name}` |" in page, row.name
