# SPDX-License-Identifier: Apache-2.0
"""The library under random work (model.py), and the model under libraries that are wrong on purpose."""

import os
import random
import time

import pytest

from model import Broken, run
from redis_server import TESTER, library

STEPS = 250
SECONDS = 6
MUTANT_SECONDS = 20  # far more than any of them lives


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(redis_server):
    redis_server.cli(TESTER, "CONFIG", "SET", "appendfsync", "no")
    yield
    redis_server.cli(TESTER, "CONFIG", "SET", "appendfsync", "always")


def test_the_promises_hold_under_random_work(redis_server):
    """For a while, with seeds of its own; AMTUNLOCK_MODEL_SEED repeats one."""
    seed = os.environ.get("AMTUNLOCK_MODEL_SEED")
    if seed is not None:
        run(redis_server, library(), int(seed), STEPS)
        return
    ends = time.monotonic() + SECONDS
    lives = 0
    while time.monotonic() < ends or not lives:
        seed = random.SystemRandom().randrange(10**9)
        try:
            run(redis_server, library(), seed, STEPS)
        except Broken as broken:
            raise Broken(f"AMTUNLOCK_MODEL_SEED={seed}: {broken}") from None
        lives += 1
    print(f"{lives} lives of {STEPS} steps")


# Each with the seed of a life in which it soon shows; if the library changes, later ones are tried.
MUTANTS = {
    "fences are not compared": (11,
        "holder[1] ~= id or holder[2] ~= fence or",
        "holder[1] ~= id or"),
    "workers are not compared": (1,
        " or holder[3] ~= worker then",
        " then"),
    "fences keep 14 digits": (3,
        "local fence = text(math.max(previous + 1, now))",
        "local fence = tostring(math.max(previous + 1, now))"),
    "an intent goes back to the queue": (2,
        "        move_task(now, id, system, task, 'L')\n",
        "        free_system(system)\n"
        "        requeue(now, id, system, task)\n"
        "        do return end\n"),
    "a task to be verified goes back to the queue": (10,
        "local INTENDED = { I = true, P = true, B = true, K = true }",
        "local INTENDED = { I = true, P = true, B = true }"),
    "renew keeps what it does not name": (1,
        "worker and expired < REAPED_A_CALL then\n"
        "            expire_lease(now, system)",
        "worker and expired < REAPED_A_CALL then\n"
        "            call('ZADD', key('leases'), text(now + 30000000), system)"),
    "a second request does not join": (7,
        "elseif call('EXISTS', key('system', system)) == 1 then",
        "elseif false then"),
    "only the owner gets the result": (10,
        "        elseif task and task.state == 'J' then",
        "        elseif false then"),
    "waiters are not sent back": (11,
        "    tell_joined(now, free_system(system), system, 'Q', '', '')\n",
        "    free_system(system)\n"),
    "an intent is written after a passphrase has left": (2,
        " and not marks:find('typed', 1, true)\n",
        "\n"),
    "a second intent forgets the marks": (2,
        "local marks = task.state == 'K' and marks_of(system) or ''",
        "local marks = ''"),
    "a mark is taken twice": (2,
        "if more ~= UNKNOWN and not more:find(mark, 1, true) then",
        "if more ~= UNKNOWN then"),
    "the device of an older intent stays locked": (1,
        "    free_device(system) -- that of an intent before\n",
        ""),
    "keys get their TTL early": (7,
        "    call('ZADD', key('jobs'), text(now), s.id)\n",
        "    call('ZADD', key('jobs'), text(now), s.id)\n"
        "    call('PEXPIRE', key('job', s.id), '3600000')\n"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_model_catches(redis_server, mutant):
    first, right, wrong = MUTANTS[mutant]
    text = library()
    assert text.count(right) == 1, "the mutant no longer fits the library"
    ends = time.monotonic() + MUTANT_SECONDS
    seed = first
    while time.monotonic() < ends:
        try:
            run(redis_server, text.replace(right, wrong), seed, STEPS)
        except Broken:
            return
        seed += 1
    pytest.fail(f"{seed - first} lives and nothing noticed")
