# SPDX-License-Identifier: Apache-2.0
"""A fleet in which every method occurs, and one job over all of it, as a console sends it: what each PC saw."""

import json
import time

import pytest

from redirected import wait_until
from scene import Scene

SYSTEMS = 30  # ten of each method
# No PC takes longer than 8 s to boot, and the image's boot twice; the rest is what this machine needs.
SECONDS = 60

# What happened to a PC, in this order; between these, and after, its sessions are closed.
STORIES = {
    "wake": ["power", "boot", "unlocked", "os-up"],
    "sol": ["sol-open", "power", "boot", "passphrase", "unlocked", "os-up"],
    "image": ["sol-open", "ider-open", "power", "boot", "image", "passphrase", "unlocked", "restart", "boot", "os-up"],
}
# use_sol and use_ider of its boot
OPTIONS = {"wake": (False, False), "sol": (True, False), "image": (True, True)}
CLOSES = {"wake": [], "sol": ["sol-close"], "image": ["ider-close", "sol-close"]}


@pytest.fixture(name="job", scope="module")
def _job(request):
    scene = Scene("mixed", "--systems", SYSTEMS, "--method", "mix")
    request.addfinalizer(scene.down)
    began = time.monotonic()
    with scene.start_job() as command:
        scene.answer = json.loads(command.communicate(timeout=300)[0])
    scene.seconds = time.monotonic() - began
    # The last bytes of a session reach the simulator a moment after the worker has done.
    wait_until(lambda: all(closed(events) for events in scene.events().values()), 5)
    scene.stories = scene.events()
    return scene


def named(events, *names):
    return [one for one in events if one["event"] in names]


def closed(events):
    return len(named(events, "sol-open", "ider-open")) == len(named(events, "sol-close", "ider-close"))


def test_all_are_unlocked_in_time(job):
    assert job.answer["failed"] == [] and sorted(job.answer["unlocked"]) == sorted(job.systems), job.worker_log()
    assert sorted(job.methods().values()) == sorted(["wake", "sol", "image"] * (SYSTEMS // 3))
    assert job.seconds < SECONDS


@pytest.mark.parametrize("number", range(SYSTEMS))
def test_what_a_pc_saw(job, number):
    system = job.systems[number]
    method = job.methods()[system]
    events = job.stories[system]
    assert [one["event"] for one in named(events, *STORIES[method])] == STORIES[method]
    assert [(one["request"], one["result"]) for one in named(events, "power")] == [(2, 0)]
    assert all(one["ok"] for one in named(events, "passphrase"))
    boot = named(events, "boot")[0]
    assert (boot["use_sol"], boot["use_ider"], boot["source"]) == (*OPTIONS[method], None)
    assert boot["role"] == (1 if method != "wake" else 32768)
    assert sorted(one["event"] for one in named(events, "sol-close", "ider-close")) == CLOSES[method]
    assert {one["reason"] for one in named(events, "sol-close", "ider-close")} <= {"client"}
    assert not named(events, "ider-violation", "off", "locked")


@pytest.mark.parametrize("number", range(SYSTEMS))
def test_nothing_is_left_on_a_pc(job, number):
    state = job.tell(do="state", system=job.systems[number])
    assert (state["power"], state["disk"], state["os"]) == (2, "unlocked", "up")
    assert (state["boot"]["use_sol"], state["boot"]["use_ider"], state["boot"]["role"]) == (False, False, 32768)
    assert state["boot"]["source"] is None
    assert state["redirection"] == {"enabled_state": 32771, "listener": True}


def test_an_image_restarts_its_pc_warm(job):
    images = [system for system, method in job.methods().items() if method == "image"]
    for system in images:
        assert [one["kind"] for one in named(job.stories[system], "restart")] == ["warm"]
        assert [one["by"] for one in named(job.stories[system], "boot")] == ["amt", "guest"]
        assert named(job.stories[system], "image")[0]["checksum"] == "right"
