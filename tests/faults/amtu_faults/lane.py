# SPDX-License-Identifier: Apache-2.0
"""A lane: one Redis, one simulated fleet, its workers and their failpoints, with everything written down that the
history wants. Lanes run side by side and share nothing."""

import shutil
import time
from collections import deque

from .around import Failure, Rig, collect, start, tail, wait_until
from .points import Points
from .records import Broken, Records, Wrong

QUIET = {"AMTUNLOCK_TEST_QUIET_MS": "500"}  # a console that is opened again is asked sooner than in the field
BUSY = {"AMTUNLOCK_TEST_BUSY_MS": "90000"}  # firmware that holds a session is waited for as in the field
COOL = 61.0      # a PC whose unlock was lost is left alone for a minute
OFF = 8
ON = 2
STOOD_STILL = "AMTU0540"
KEPT = 24 * 3600  # seconds: jobs stay until the history is written


class Lane(Records, Rig):
    """See above. The first PC is the clock: what it sees is never counted."""

    def __init__(self, name, systems=150, boot_seconds="0.3-0.8", **options):
        # One user: a failpoint may kill Redis, and the lane must read what all processes wrote.
        Rig.__init__(self, name, one_user=True, systems=systems + 1, boot_seconds=boot_seconds,
                     boot_timeout=options.pop("boot_timeout", 12), **options)
        Records.__init__(self)
        self.name = name
        self.prefix = ""  # of labels
        self.quiet = QUIET
        self.resting_workers = set()   # those that are meant to be away between rounds
        self.ready = deque()    # PCs that are off and cool
        self.resting = deque()  # (when, PC)

    # ---- up and down -------------------------------------------------------------------------------------

    def up(self):
        super().up()
        self.methods = {row["fqdn"]: row["method"] for row in self.fleet.systems()}
        self.clock_pc, *others = self.systems()
        self.ready.extend(others)
        self.read_clock(self.clock_pc)

    def down(self):
        try:
            if self.places.run and self.workers:
                self.revive_redis()
                self.write_history()
        finally:
            super().down()

    @property
    def folder(self):
        return self.places.dir

    # ---- workers -----------------------------------------------------------------------------------------

    def add_worker(self, environment=None, ready=True):
        """One more, with failpoints of its own."""
        return self.add_prepared(self.prepare_worker(), environment, ready)

    def add_prepared(self, worker, environment=None, ready=True):
        """One whose files are there."""
        points = Points(self.places.run / f"points-{worker.number}")
        self.environment = {**BUSY, **self.quiet, **(environment or {}), **points.environment()}
        self.start_worker(worker, self.environment, ready=False)
        worker.points = points
        worker.points_environment = self.environment
        self.note(worker.name, "started", worker.process.pid)
        if ready and not wait_until(lambda: self.redis_call("EXISTS", "{amtu}:inventory") == 1, 15):
            raise Failure(f"{worker.name} is not ready:\n{tail(worker.log)}\n{tail(self.places.log(worker.name))}")
        return worker

    def armed(self):
        return {worker.name: worker.points for worker in self.workers}

    def restart(self, worker):
        """Starts it again, once it is dead."""
        if not wait_until(lambda: not worker.process.alive(), 10, 0.005):
            raise Broken(f"{worker.name} did not die")
        self.note(worker.name, "died", worker.process.pid, self._died_at(worker))
        self.begin(worker)
        collect()

    def begin(self, worker):
        """Starts it, with the signals that it had before; it may die at once, if a failpoint says so."""
        self.start_worker(worker, worker.points_environment, ready=False)
        self.note(worker.name, "started", worker.process.pid)

    def await_started(self, worker):
        """Until it takes signals as a worker does."""
        mark = f" pid={worker.process.pid} "
        if not wait_until(lambda: self.heard(worker, mark) or not worker.process.alive(), 10):
            raise Broken(f"{worker.name} does not start\n{tail(worker.log)}")

    def revive_redis(self):
        missing = not self.redis_process.alive()
        if missing:
            self.start_redis()
        return missing

    def revive(self):
        """Nobody may be missing when a round begins."""
        if self.revive_redis():
            raise Broken("Redis had died and nobody knows of what")
        for worker in self.workers:
            if not worker.process.alive() and worker not in self.resting_workers:
                by_itself = self._ended_by_itself(worker)
                self.restart(worker)
                if by_itself:
                    raise Wrong("lives-on", f"{worker.name} ended by itself:\n{tail(worker.log)}")
                raise Broken(f"{worker.name} was left dead by the round before")

    def _ended_by_itself(self, worker):
        """Nothing was done to it that ends a worker, nor did its engine stand still: then it should, and on a machine that
        stands still it does."""
        last = [one["what"] for one in self.processes_seen if one["worker"] == worker.name][-1]
        return last != "died" and self._died_at(worker) is None and STOOD_STILL not in tail(worker.log)

    def _died_at(self, worker):
        """By the failpoint's own record, if it did it; else now."""
        mine = [hit.at for hit in worker.points.hits() if hit.pid == worker.process.pid and
                hit.action in ("kill", "later")]
        return mine[-1] if mine else None

    def end_worker(self, worker):
        self.await_started(worker)
        worker.process.stop(15)
        self.note(worker.name, "died", worker.process.pid)

    # ---- Redis -------------------------------------------------------------------------------------------

    def await_redis_dead(self):
        if not wait_until(lambda: not self.redis_process.alive(), 5, 0.002):
            raise Broken("Redis did not die")
        self.note("Redis", "died", self.redis_process.pid)
        collect()

    def start_redis(self, empty=False):
        """Again, with what is on its disk, or without."""
        folder = self.redis.socket.parent
        if empty:
            for path in (folder / "data").iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        log = self.places.log("redis")
        self.redis_process = self._keep(start("Redis", ["/usr/bin/redis-server", folder / "redis.conf"], log,
                                              self.redis.environment))
        if not wait_until(self.redis.answers, 10, 0.01):
            raise Failure(f"Redis does not come back:\n{tail(log)}")
        self.note("Redis", "started", self.redis_process.pid)

    # ---- PCs ---------------------------------------------------------------------------------------------

    def take(self, count, method=None):
        """PCs that are off and were left alone for long enough; all of this method, if one is named."""
        def fitting():
            return [system for system in self.ready if method in (None, self.methods[system])]

        def enough():
            while self.resting and self.resting[0][0] <= time.time():
                self.ready.append(self.resting.popleft()[1])
            return len(fitting()) >= count
        if not wait_until(enough, COOL + 30, 0.1):
            raise Broken("no PC is left to unlock")
        taken = fitting()[:count]
        for system in taken:
            self.ready.remove(system)
            self.fleet.tell(do="clear", system=system)
            if self.fleet.tell(do="state", system=system)["power"] != OFF:
                self.fleet.tell(do="power", system=system, to=OFF)
                if not wait_until(lambda s=system: self.is_off(s), 10):
                    raise Broken(f"{system} does not go off: {self.fleet.tell(do='state', system=system)}")
        return taken

    def is_off(self, system):
        return self.fleet.tell(do="state", system=system)["power"] != ON

    def give_back(self, systems):
        self.resting.extend((time.time() + COOL, system) for system in systems)

    def switch_on(self, systems):
        """Their users switch them on, so that verifying finds something and does not wait in vain."""
        for system in systems:
            if self.is_off(system):
                self.fleet.tell(do="power", system=system, to=ON)

    def switch_off(self, systems):
        for system in systems:
            if not self.is_off(system):
                self.fleet.tell(do="power", system=system, to=OFF)

    # ---- jobs --------------------------------------------------------------------------------------------

    def submit(self, systems, retention=KEPT, **more):
        return self.keep(super().submit(systems, retention=retention, **more))
