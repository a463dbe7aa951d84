# SPDX-License-Identifier: Apache-2.0
"""Who gets what: PCs beside dead ones, a small job behind a large one, workers beside each other."""

import time
from statistics import mean

from amtu_stack import kdc
from amtu_stack.httpd import GROUPS

from .stacks import await_ends, names_of, records, running, times_of, unlock
from .table import Gate, Value, share

PATIENCE = 120  # seconds
DEAD = ("silent", "black-hole")
SMALL = 20  # PCs of the small job


def durations(ends, began):
    return [end - began for end in ends.values()]


def black_holes(systems, boot_seconds):
    """Two jobs of as many PCs: of the second every tenth is at an address that takes no connection, or answers nothing."""
    with running(systems=2 * systems, boot_seconds=f"{boot_seconds}-{boot_seconds}") as stack:
        names = names_of(stack)
        alone, mixed = names[:systems], names[systems:]
        began = time.time()
        unlock(stack, alone, wait=False)
        before = durations(await_ends(stack, alone, PATIENCE), began)
        dead = mixed[::10]
        for number, name in enumerate(dead):
            stack.fleet.fault(name, DEAD[number % len(DEAD)])
        began = time.time()
        unlock(stack, mixed, wait=False)
        beside = durations(await_ends(stack, [name for name in mixed if name not in dead], PATIENCE), began)
    return {"p99": Value(share(beside, 0.99), share(before, 0.99))}, []


def behind(systems, boot_seconds, slots=0):
    """A job of 20 alone, and one that comes right behind another caller's large one."""
    with running(systems=systems + 4 * SMALL, slots=slots, boot_seconds=f"{boot_seconds}-{boot_seconds}") as stack:
        rows = stack.fleet.systems()
        # The second caller may unlock the first group only, and groups take turns in the inventory.
        mine = [row["fqdn"] for row in rows[:4 * SMALL:len(GROUPS)]]
        others = [row["fqdn"] for row in rows[4 * SMALL:]]
        took = []
        for small in (mine[:SMALL], mine[SMALL:2 * SMALL]):
            if took:
                unlock(stack, others, wait=False)
            began = time.time()
            unlock(stack, small, wait=False, ticket=f"{kdc.CONSOLE2.upper()}_KRB5CCNAME")
            took.append(max(durations(await_ends(stack, small, PATIENCE), began)))
    return {"seconds": Value(took[1], took[0])}, []


def workers(boot_seconds, rounds):
    """Jobs of 20, one after the other, with two workers: who did how many, and when the last PC was begun. The first job
    does not count: the workers have just started."""
    parts, begun = [], []
    with running(systems=(1 + rounds) * SMALL, workers=2, boot_seconds=f"{boot_seconds}-{boot_seconds}") as stack:
        names = names_of(stack)
        for number in range(1 + rounds):
            job = names[number * SMALL:(number + 1) * SMALL]
            began = time.time()
            unlock(stack, job)
            parts.append([sum(record["event"] == "outcome" and record["system"] in job for record in records(worker))
                          for worker in stack.workers])
            begun.append(max(durations(times_of(stack, "intent", job), began)))
    told = ", ".join("+".join(map(str, part)) for part in parts)
    return ({"share": Value(mean(min(part) / SMALL for part in parts[1:]), note=f"first {told}"),
             "begun": Value(max(begun[1:]))},
            [Gate("each PC was done by one worker", all(sum(part) == SMALL for part in parts))])
