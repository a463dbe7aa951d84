# SPDX-License-Identifier: Apache-2.0
"""One UnlockSystems of a whole fleet that boots at the same time: processors and memory, a PC."""

import json
import time
from contextlib import contextmanager

from .stacks import bare, recorded_calls, running, times_of, unlock
from .table import Gate, Value
from .watch import Watch

WARM = 20  # PCs that are unlocked before: what they leave is no other PC's share
SYSTEMS_MOST = 20000  # of a simulator
BARE_CONNECTIONS = 1000


def most_in_flight(events):
    """How many PCs were between their power request and their system's start at the same time."""
    changes = [(event["t"], 1) for event in events if event["event"] == "power" and event["result"] == 0]
    changes += [(event["t"], -1) for event in events if event["event"] == "os-up"]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def boots(stack, names):
    """What the simulator logged of the starts of these systems; its log has far more."""
    wanted = set(names)
    with open(stack.fleet.log) as log:
        events = [json.loads(line) for line in log if '"event":"power"' in line or '"event":"os-up"' in line]
    return [event for event in events if event["system"] in wanted]


def job(stack, systems):
    """(Watch, seconds, most in flight, gates) of one job over all PCs but those that were unlocked before."""
    names = [row["fqdn"] for row in systems]
    with Watch(stack) as watch:
        began = time.time()
        answer = unlock(stack, names)
    # The command asks in steps that grow; when the last PC was through is on the record.
    seconds = max(times_of(stack, "outcome", names).values(), default=began) - began
    events = boots(stack, names)
    powered = [event["system"] for event in events if event["event"] == "power"]
    return watch, seconds, most_in_flight(events), [
        Gate(f"all {len(names)} PCs are unlocked", len(answer["unlocked"]) == len(names) and not answer["failed"]),
        Gate("each was powered once", len(powered) == len(set(powered)) == len(names))]


@contextmanager
def warm(systems, boot_seconds, slots=0):
    """(stack, the PCs that are left for the job)"""
    with running(systems=min(systems + WARM, SYSTEMS_MOST), slots=slots, boot_seconds=f"{boot_seconds}-{boot_seconds}",
                 amtsim=("--log-bodies",)) as stack:
        rows = stack.fleet.systems()
        unlock(stack, [row["fqdn"] for row in rows[:WARM]])
        yield stack, rows[WARM:]


def fleet(systems, boot_seconds, slots=0, within=None):
    """Figures of one job, and of the bare client's same calls to the same PCs behind it (which run by then: a power
    request is refused, and costs the same)."""
    with warm(systems, boot_seconds, slots) as (stack, rows):
        watch, seconds, most, gates = job(stack, rows)
        calls, count = recorded_calls(stack, rows[0]["fqdn"])
        floor = bare(stack, rows, calls, BARE_CONNECTIONS)
    pcs = len(rows)
    gates.append(Gate("the bare client's calls were answered", floor["failed"] == 0 and floor["requests"] == pcs * count))
    if within:
        gates += [Gate(f"all were in flight at once, not {most}", most == pcs),
                  Gate(f"in under {within} s, not {seconds:.1f}", seconds < within)]
    return {"seconds": Value(seconds, boot_seconds),
            "cpu": Value(1000 * watch.cpu / pcs, 1000 * floor["cpu"] / pcs),
            "memory": Value(watch.grown_kib() / max(most, 1)),
            "redis-cpu": Value(1e6 * watch.redis_cpu / pcs),
            "redis-memory": Value((watch.redis_bytes_most - watch.redis_bytes_before) / pcs)}, gates


def flight(systems, boot_seconds):
    """As many as one worker has slots for, with a boot that is longer than it takes to begin them all."""
    with warm(systems, boot_seconds) as (stack, rows):
        watch, _, most, gates = job(stack, rows)
    return ({"memory": Value(watch.grown_kib() / len(rows)), "whole": Value(watch.most_kib() / 1024)},
            [*gates, Gate(f"all were in flight at once, not {most}", most == len(rows))])
