# SPDX-License-Identifier: Apache-2.0
"""The simulation by itself: a seed runs the same way each time, and parts of its plan can be run alone."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIMULATE = ROOT / os.environ.get("AMTU_SIMULATE", "build/simulate") / "simulate"

# Plans that showed something, in the product or in the simulation, when they were first run.
SEEDS = (8, 10, 25, 36, 46, 221, 1002431, 510154, 530059, 2001638, 2002320, 2002558, 3000111, 3000461,
         10000515, 20008036, 20008718)


def simulate(*words):
    return subprocess.run([str(SIMULATE), "--tasks", "1", "--no-shrink", *map(str, words)], capture_output=True, text=True,
                          check=False)


def trace(done):
    return re.search(r"^trace ([0-9a-f]{16}), (\d+) events", done.stdout, re.MULTILINE).groups()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_runs_the_same_way_again(seed):
    one, other = simulate("--seed", seed, "--tell"), simulate("--seed", seed, "--tell")
    assert one.returncode == 0, one.stdout[-2000:]
    assert trace(one) == trace(other)
    assert int(trace(one)[1]) > 1000


def test_another_seed_runs_another_way():
    assert trace(simulate("--seed", 1, "--tell")) != trace(simulate("--seed", 2, "--tell"))


def test_what_is_told_does_not_change_what_happens():
    told = simulate("--seed", 3, "--tell").stdout.splitlines()[-1]
    quiet = simulate("--seed", 3).stdout.splitlines()[-1]
    assert re.sub(r" in .*? an hour of a core\)", "", told) == re.sub(r" in .*? an hour of a core\)", "", quiet)


def test_parts_of_a_plan_run_alone():
    done = simulate("--seed", 221, "--keep", "f1 t2.0", "--tell")
    assert done.returncode == 0
    assert re.findall(r"^  ([ft]\d+) ", done.stdout, re.MULTILINE) == ["f1", "t2"]
    assert "1 seeds, 1 tasks" in done.stdout


@pytest.mark.parametrize("kept", ["f99", "t0.99", "t99.0", "x1", "f"])
def test_parts_that_there_are_not_are_refused(kept):
    assert simulate("--seed", 1, "--keep", kept).returncode == 2


def test_without_faults_everything_is_unlocked():
    done = simulate("--seed", 1, "--calm", "--tasks", 1000)
    assert done.returncode == 0
    assert " 0 failed " in done.stdout


def test_every_method_acts():
    done = simulate("--seed", 1, "--calm", "--tell")
    assert done.returncode == 0
    for act in ("power", "type", "seal"):
        assert f": {act}\n" in done.stdout, act
