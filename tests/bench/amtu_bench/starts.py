# SPDX-License-Identifier: Apache-2.0
"""How a worker starts with a large inventory, and how long it looks at a fleet."""

import ipaddress
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from amtu_stack.httpd import Settings
from amtu_stack.process import Failure, wait_until

from .stacks import names_of, running
from .table import Gate, Value
from .watch import peak_kib

PATIENCE = 60  # seconds
CHECKS_AT_A_TIME = 16
PAPER_ADDRESS = ipaddress.ip_address("127.200.0.1")  # behind those of simulators
FIRST_UUID = 0x5eed << 96


def paper(count):
    """PCs that are in the inventory and nowhere else: at their addresses connections are refused."""
    return [{"fqdn": f"paper-{number:06d}.fleet.test", "address": str(PAPER_ADDRESS + number),
             "uuid": str(uuid.UUID(int=FIRST_UUID + number)), "method": "wake", "probe": "22022"} for number in range(count)]


def await_inventory(stack, count):
    """Until Redis has an inventory of that many systems; when it had."""
    with stack.redis.client() as client:
        if not wait_until(lambda: client.call("HGET", "{amtu}:inventory", "systems") == str(count), PATIENCE, 0.01):
            raise Failure(f"no inventory of {count} systems after {PATIENCE} s")
    return time.monotonic()


def check(systems):
    """`amtunlockd check FQDN` of every PC of a fleet, some at a time, as an operator's loop does it."""
    with running(systems=systems) as stack:
        worker = stack.workers[0]
        role = stack.places.roles["amtunlock"]
        who = {} if role.uid is None else {"user": role.uid, "group": role.gid, "extra_groups": []}

        def look(name):
            words = [stack.places.program("amtunlockd"), "-c", worker.config, "check", name]
            return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=PATIENCE, check=False, **who).returncode

        began = time.monotonic()
        with ThreadPoolExecutor(CHECKS_AT_A_TIME) as pool:
            found = list(pool.map(look, names_of(stack)))
        seconds = time.monotonic() - began
    return {"seconds": Value(seconds)}, [Gate(f"check finds nothing at all {systems} PCs", found == [0] * systems)]


def start(systems):
    """From the worker's start until Redis has its inventory, which it never saw."""
    with running(Settings(supervise=False), systems=1) as stack:
        worker = stack.workers[0]
        stack.state.process(worker.name).stop()
        worker.write_inventory(paper(systems))
        began = time.monotonic()
        process = worker.start()
        seconds = await_inventory(stack, systems) - began
        peak = peak_kib(process.pid)
    return {"seconds": Value(seconds), "memory": Value(peak / 1024)}, []
