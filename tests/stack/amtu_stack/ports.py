# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on loopback.

A port is tried by binding it, below the range that the kernel gives to outgoing connections, so that none of those
can take it between this trial and the server's own bind. Another server can: who uses a port must be ready to try
again: `attempts`.
"""

import random
import socket
from pathlib import Path

from .process import Failure

FIRST = 18000
ATTEMPTS = 5


def _end():
    """The first port of the kernel's own range."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return first if first > FIRST + 1000 else 32768


def _is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick(count):
    """That many different ports that are free now."""
    chosen = set()
    for _ in range(1000):
        port = random.randrange(FIRST, _end())
        if port not in chosen and _is_free(port):
            chosen.add(port)
        if len(chosen) == count:
            return sorted(chosen)
    raise Failure("no free ports on 127.0.0.1")


def attempts(count, start):
    """start(*ports) with that many free ports, and again with others where somebody else was quicker."""
    for left in reversed(range(ATTEMPTS)):
        ports = pick(count)
        try:
            return start(*ports)
        except Failure:
            if left == 0 or all(_is_free(port) for port in ports):
                raise


def connects(port):
    """Whether something listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
