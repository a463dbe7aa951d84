# SPDX-License-Identifier: Apache-2.0
"""One UnlockSystems of a whole fleet that boots at the same time: processors and memory, a PC."""

import time

from .stacks import bare, names_of, recorded_calls, running, unlock
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


def fleet(systems, boot_seconds, within=None):
    """Figures of one job, and of the bare client's same calls to the same PCs behind it (which run by then: a power
    request is refused, and costs the same)."""
    total = min(systems + WARM, SYSTEMS_MOST)
    with running(systems=total, boot_seconds=f"{boot_seconds}-{boot_seconds}", amtsim=("--log-bodies",)) as stack:
        names = names_of(stack)
        unlock(stack, names[:WARM])
        with Watch(stack) as watch:
            began = time.monotonic()
            answer = unlock(stack, names[WARM:])
            seconds = time.monotonic() - began
        events = [event for event in stack.fleet.events() if event["system"] in set(names[WARM:])]
        calls, count = recorded_calls(stack, names[WARM])
        floor = bare(stack, stack.fleet.systems()[WARM:], calls, BARE_CONNECTIONS)
    pcs = total - WARM
    powered = [event["system"] for event in events if event["event"] == "power"]
    most = most_in_flight(events)
    gates = [Gate(f"all {pcs} PCs are unlocked", len(answer["unlocked"]) == pcs and not answer["failed"]),
             Gate("each was powered once", len(powered) == len(set(powered)) == pcs),
             Gate(f"all were in flight at once (not {most})", most == pcs),
             Gate("the bare client's calls were answered", floor["failed"] == 0 and floor["requests"] == pcs * count)]
    if within:
        gates.append(Gate(f"in under {within} s, not {seconds:.1f}", seconds < within))
    return {"seconds": Value(seconds, boot_seconds),
            "cpu": Value(1000 * watch.cpu / pcs, 1000 * floor["cpu"] / pcs),
            "memory": Value(watch.grown_kib() / pcs),
            "redis-cpu": Value(1e6 * watch.redis_cpu / pcs),
            "redis-memory": Value((watch.redis_bytes_most - watch.redis_bytes_before) / pcs)}, gates
