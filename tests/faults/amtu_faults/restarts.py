# SPDX-License-Identifier: Apache-2.0
"""httpd is restarted while jobs are submitted and run, with the worker that it supervises: one that lives on, and one that
is replaced since its settings file changed; or the worker dies, and httpd's clock is set back while it waits to start
another."""

import os
import signal
import time
from dataclasses import dataclass

from .around import soap, wait_until
from .campaign import Kind
from .clocks import WallClock
from .lane import COOL
from .records import Broken, Wrong
from .web import WebLane

PCS = 3
WITHIN = 20      # seconds for a restart, and for another worker
PATIENCE = 60    # for a worker that httpd gave up for a while; it looks every ten seconds
HOUR = 3600
MOMENTS = (-0.3, 1.5)  # seconds of the restart, from the submission


class RestartLane(WebLane):
    """A whole stack, the worker in the hands of httpd."""

    def __init__(self, name, mpm, systems=121, **options):
        super().__init__(name, systems, options, mpm=mpm, supervise=True)
        self.prefix = f"{mpm}: "
        self.cool = {}
        self.clock = None

    def points_environment(self):
        """And a clock that can be set, for httpd; its worker gets none of this."""
        if self.clock is None:
            self.clock = WallClock(self.stack.places.run / "httpd-clock")
        return {**super().points_environment(), **self.clock.environment()}

    def take(self, count):
        """PCs that were left alone for long enough: what a replaced worker lost is."""
        systems = [self.ready.pop(0) for _ in range(count)]
        if not wait_until(lambda: max(self.cool.get(system, 0) for system in systems) <= time.time(), COOL + 5, 0.1):
            raise Broken("no PC is left to unlock")
        return systems

    def give_back(self, systems):
        super().give_back(systems)
        self.cool.update(dict.fromkeys(systems, time.time() + COOL))

    def graceful(self):
        self._restart(self.stack.httpd.graceful)

    def hard(self):
        self._restart(self.stack.httpd.reload)

    def _restart(self, ask):
        times = self._resumptions()
        ask()
        if not wait_until(lambda: self._resumptions() > times, WITHIN):
            raise Broken("httpd was not restarted")

    def _resumptions(self):
        return self.stack.httpd.error_log.read_text(errors="replace").count("resuming normal operations")

    def stopped(self):
        """Down, and up again."""
        if not self.stack.httpd.stop():
            raise Broken("httpd had to be killed")
        self.stack.start_httpd()

    def deserted(self):
        """Its worker dies until httpd waits before it starts another; then the clock is set back."""
        def waits():
            return self.stack.httpd.error_log.read_text(errors="replace").count("it is started again in about")
        worker, = self.workers
        before = waits()
        while waits() == before:
            pids = worker.pids()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            if not wait_until(lambda gone=pids: waits() > before or worker.pids() not in ([], gone), WITHIN):
                raise Broken("httpd does not see that its worker died")
        self.clock.set(-HOUR)
        try:
            if not wait_until(worker.pids, PATIENCE):
                raise Broken("httpd starts no other worker")
        finally:
            self.clock.set(0)

    def change_settings(self):
        """Another size is enough."""
        with open(self.workers[0].config, "a") as config:
            config.write("\n")


@dataclass(frozen=True)
class Way:
    """A method of RestartLane, and what becomes of the worker."""

    restart: str
    replaces: bool = False
    settings: bool = False  # its settings file is changed before


WAYS = {
    "graceful restart": Way("graceful"),
    "graceful, the worker replaced": Way("graceful", replaces=True, settings=True),
    "hard restart": Way("hard"),
    "hard, the worker replaced": Way("hard", replaces=True, settings=True),
    "stopped and started": Way("stopped", replaces=True),
    "the worker dies, the clock is set": Way("deserted", replaces=True),
}
SHORT = ("graceful restart", "graceful, the worker replaced", "hard restart")


def restart_round(lane, name, rng):
    """One job, one restart right before it or at some moment of it."""
    lane.label = lane.prefix + name
    systems, message = lane.take(PCS), soap.message_id()
    moment = rng.uniform(*MOMENTS)
    if moment < 0:
        restart(lane, WAYS[name])
    job = lane.submit_again(systems, message)
    if moment >= 0:
        lane.watch_until(job, lambda _: time.time() > job.began + moment, 2 * MOMENTS[1])
        restart(lane, WAYS[name])
    lane.counted[lane.label] += 1
    if not lane.watch_end(job):
        raise Broken(f"the job did not end: {job.tasks()}")


def restart(lane, way):
    """And what became of the worker is what was meant to."""
    worker, = lane.workers
    before = worker.pids()
    if way.settings:
        lane.change_settings()
    getattr(lane, way.restart)()
    if not way.replaces:
        if worker.pids() != before:
            raise Wrong("worker-lives-on", f"{before} was the worker, now {worker.pids()}")
        return
    if not wait_until(lambda: len(worker.pids()) == 1 and worker.pids() != before, WITHIN):
        raise Broken(f"{before} was not replaced: {worker.pids()}")
    lane.note(worker.name, "died", before[0])
    lane.note(worker.name, "started", worker.pids()[0])


def make_lane(name, mpm):
    lane = RestartLane(name, mpm)
    lane.up()
    return lane


def kinds(each, mpms, only=tuple(WAYS)):
    """One for each MPM."""
    return [Kind(f"restarts-{mpm}", lambda name, m=mpm: make_lane(name, m),
                 [(f"{mpm}: {way}", lambda lane, rng, w=way: restart_round(lane, w, rng))
                  for _ in range(each) for way in only], 1, ()) for mpm in mpms]
