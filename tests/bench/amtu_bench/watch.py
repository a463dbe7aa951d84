# SPDX-License-Identifier: Apache-2.0
"""Processes from outside: what they use of processors and memory, and what Redis holds."""

import threading
import time
from pathlib import Path
from statistics import median

EVERY = 0.05  # seconds
REDIS_EVERY = 20  # looks: each costs Redis something


def family(pids):
    """These processes and all that they started: a worker's work is not all in one process."""
    found, new = [], [int(pid) for pid in pids]
    while new:
        pid = new.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                new += map(int, children.read_text().split())
            except OSError:  # that thread has ended
                continue
    return found


def cpu_seconds(pid):
    """Of all its threads, ended ones with them; 0 for a process that is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # its own clock, as clock_getcpuclockid() makes it
    except OSError:
        return 0.0


def memory_kib(pid, names=("RssAnon", "RssShmem")):
    """What is resident and its own, which a mapped file is not; 0 for a process that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.partition(":")[0] in names)


def peak_kib(pid):
    return memory_kib(pid, ("VmHWM",))


def redis_bytes(client):
    """What Redis holds, without what is on its way to and from clients and the disk."""
    told = dict(line.split(":", 1) for line in client.call("INFO", "memory").splitlines() if ":" in line)
    return int(told["used_memory"]) - int(told["mem_clients_normal"]) - int(told["mem_aof_buffer"])


class Watch(threading.Thread):
    """Looks at the workers and at Redis until it is left; what it says is of the time in between."""

    def __init__(self, stack):
        super().__init__()
        self.stack = stack
        self.redis_pid = int(stack.environment()["REDIS_PID"])
        self.looks = []  # (seconds of the monotonic clock, KiB)
        self.over = threading.Event()

    def _pids(self):
        """Its drive process is no child of a worker, and may begin later."""
        return family(pid for worker in self.stack.workers for pid in worker.pids() + worker.drive_pids())

    def __enter__(self):
        self.pids = self._pids()
        self.memory_before = sum(map(memory_kib, self.pids))
        self.cpu_before = {pid: cpu_seconds(pid) for pid in self.pids}
        self.redis_before = cpu_seconds(self.redis_pid)
        self.client = self.stack.redis.client()
        self.redis_bytes_before = self.redis_bytes_most = redis_bytes(self.client)
        self.start()
        return self

    def run(self):
        count = 0
        while not self.over.wait(EVERY):
            self.pids = list(dict.fromkeys(self.pids + family(self.pids)))
            self.looks.append((time.monotonic(), sum(map(memory_kib, self.pids))))
            count += 1
            if count % REDIS_EVERY == 0:
                self.pids = list(dict.fromkeys(self.pids + self._pids()))
                self.redis_bytes_most = max(self.redis_bytes_most, redis_bytes(self.client))

    def worker_cpu(self):
        """Seconds since it began."""
        return sum(max(0.0, cpu_seconds(pid) - self.cpu_before.get(pid, 0.0)) for pid in self.pids)

    def __exit__(self, *unused):
        self.pids = list(dict.fromkeys(self.pids + self._pids()))
        self.cpu = self.worker_cpu()
        self.redis_cpu = cpu_seconds(self.redis_pid) - self.redis_before
        self.over.set()
        self.join()
        self.redis_bytes_most = max(self.redis_bytes_most, redis_bytes(self.client))
        self.client.__exit__()

    def most_kib(self):
        return max((kib for _, kib in self.looks), default=self.memory_before)

    def grown_kib(self):
        """The most that the workers grew by."""
        return self.most_kib() - self.memory_before

    def usually_grown_kib(self, begin, end):
        """What they had grown by for half of that time, of the monotonic clock."""
        return median([kib for at, kib in self.looks if begin <= at <= end] or [self.memory_before]) - self.memory_before
