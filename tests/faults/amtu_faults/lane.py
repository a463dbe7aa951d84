"""A lane: one Redis, one simulated fleet, its workers and their fault points, with everything written down that the
history wants. Lanes run side by side and share nothing."""

import json
import os
import shutil
import socket
import threading
import time
from collections import Counter, deque

from .around import COMPLETED, TERMINATED, Client, Failure, RedisError, Rig, collect, tail, wait_until
from .history import unpack
from .points import Points, read_hits

LEASE, GRACE = 1.0, 0.5  # of VARIANT=faults
LOOK = 90.0              # the longest that somebody may look
COOL = 61.0              # a PC whose unlock was lost is left alone for a minute
OFF = 8
KEPT = 24 * 3600         # seconds: jobs stay until the history is written
POLL = 0.03
WITHIN = float(os.environ.get("AMTU_FAULTS_WITHIN", "45"))  # seconds for a task that has no intent


STOP = threading.Event()  # the campaign is being ended


class Broken(Exception):
    """The campaign could not do what it meant to: nothing was proved."""


class Lane(Rig):
    """See above. The first PC is the clock: what it sees is never counted."""

    def __init__(self, name, systems=60, boot_seconds="0.3-0.8", **options):
        # One user: a fault point may kill Redis, and the lane must read what everybody wrote.
        super().__init__(name, one_user=True, systems=systems + 1, boot_seconds=boot_seconds,
                         boot_timeout=options.pop("boot_timeout", 12), **options)
        self.name = name
        self.within = WITHIN
        self.label = ""        # what the jobs submitted now are for
        self.labels = {}        # (worker, order) -> what a strike of it counts as, where that is not its point
        self.counted = Counter()       # strikes that no fault point counts, by label
        self.resting_workers = set()   # those that are meant to be away between rounds
        self.acknowledged = []
        self.jobs = []
        self.states = []
        self.last_state = {}
        self.processes_seen = []
        self.ready = deque()    # PCs that are off and cool
        self.resting = deque()  # (when, PC)

    # ---- up and down -------------------------------------------------------------------------------------

    def up(self):
        super().up()
        self.clock_pc, *others = self.systems()
        self.ready.extend(others)
        self.zero = self._read_clock()

    def _read_clock(self):
        """Wall clock of the simulator's t=0: the narrowest of a few connections, whose time it writes down."""
        address = {row["fqdn"]: row["address"] for row in self.fleet.systems()}[self.clock_pc]
        best = None
        for number in range(1, 8):
            before = time.time()
            with socket.create_connection((address, 16993), 5):
                after = time.time()
            if not wait_until(lambda n=number: len(self.events(self.clock_pc, "connection")) >= n, 5):
                raise Failure("the simulator does not write down a connection")
            seen = self.events(self.clock_pc, "connection")[-1]["t"]
            if best is None or after - before < best[0]:
                best = (after - before, (before + after) / 2 - seen)
        return best[1]

    def down(self):
        try:
            if self.places.run and self.redis_process.alive():
                self.write_history()
        finally:
            super().down()

    @property
    def folder(self):
        return self.places.dir

    # ---- workers -----------------------------------------------------------------------------------------

    def add_worker(self, environment=None, ready=True):
        """One more, with fault points of its own."""
        worker_number = len(self.workers) + 1
        points = Points(self.places.run / f"points-{worker_number}")
        self.environment = {**(environment or {}), **points.environment()}
        worker = super().add_worker(self.environment, ready=False)
        worker.points = points
        worker.environment = self.environment
        self.note(worker, "started", worker.process.pid)
        if ready and not wait_until(lambda: self.redis_call("EXISTS", "{amtu}:inventory") == 1, 15):
            raise Failure(f"{worker.name} is not ready:\n{tail(worker.log)}\n{tail(self.places.log(worker.name))}")
        return worker

    def restart(self, worker):
        """Starts it again, once it is dead."""
        if not wait_until(lambda: not worker.process.alive(), 10, 0.005):
            raise Broken(f"{worker.name} did not die")
        self.note(worker, "died", worker.process.pid, self._died_at(worker))
        self.begin(worker)
        collect()

    def begin(self, worker):
        """Starts it, with the signals that it had before; it may die at once, if a fault point says so."""
        self.start_worker(worker, worker.environment, ready=False)
        self.note(worker, "started", worker.process.pid)

    def await_started(self, worker):
        """Until it takes signals as a worker does."""
        mark = f" pid={worker.process.pid} "
        if not wait_until(lambda: self.heard(worker, mark) or not worker.process.alive(), 10):
            raise Broken(f"{worker.name} does not start\n{tail(worker.log)}")

    def revive(self):
        """Nobody may be missing when a round begins."""
        for worker in self.workers:
            if not worker.process.alive() and worker not in self.resting_workers:
                self.restart(worker)
                raise Broken(f"{worker.name} had died and nobody knows of what")

    def _died_at(self, worker):
        """By the fault point's own word, where that did it; else now."""
        mine = [hit.at for hit in worker.points.hits() if hit.pid == worker.process.pid and
                hit.action in ("kill", "later")]
        return mine[-1] if mine else None

    def end_worker(self, worker):
        self.await_started(worker)
        worker.process.stop(15)
        self.note(worker, "died", worker.process.pid)

    def note(self, worker, what, pid, at=None):
        self.processes_seen.append({"t": at or time.time(), "worker": worker.name, "pid": pid, "what": what})

    # ---- Redis -------------------------------------------------------------------------------------------

    def redis_call(self, *words):
        """On a connection that is kept; a new one where Redis was started anew."""
        for attempt in (1, 2):
            try:
                if getattr(self, "_client", None) is None:
                    self._client = Client(self.redis.socket)
                return self._client.call(*words)
            except OSError:
                self._client = None
                if attempt == 2:
                    raise
        return None

    # ---- PCs ---------------------------------------------------------------------------------------------

    def take(self, count):
        """PCs that are off and were left alone for long enough."""
        def enough():
            while self.resting and self.resting[0][0] <= time.time():
                self.ready.append(self.resting.popleft()[1])
            return len(self.ready) >= count
        if not wait_until(enough, COOL + 30, 0.1):
            raise Broken("no PC is left to unlock")
        taken = [self.ready.popleft() for _ in range(count)]
        for system in taken:
            self.fleet.tell(do="clear", system=system)
            if self.fleet.tell(do="state", system=system)["power"] != OFF:
                self.fleet.tell(do="power", system=system, to=OFF)
                if not wait_until(lambda s=system: self.is_off(s), 10):
                    raise Broken(f"{system} does not go off: {self.fleet.tell(do='state', system=system)}")
        return taken

    def is_off(self, system):
        return self.fleet.tell(do="state", system=system)["power"] != 2

    def give_back(self, systems):
        self.resting.extend((time.time() + COOL, system) for system in systems)

    def switch_on(self, systems):
        """Their users do: so that who looks finds something, and no time is spent on waiting that it may not."""
        for system in systems:
            if self.is_off(system):
                self.fleet.tell(do="power", system=system, to=2)

    def switch_off(self, systems):
        for system in systems:
            if not self.is_off(system):
                self.fleet.tell(do="power", system=system, to=OFF)

    # ---- jobs --------------------------------------------------------------------------------------------

    def submit(self, systems, retention=KEPT, **more):
        job = super().submit(systems, **more)
        self.redis_call("HSET", f"{{amtu}}:job:{job.id}", "retention", retention * 1000000)
        self.acknowledged.append({"t": time.time(), "job": job.id, "systems": list(systems)})
        self.jobs.append(job)
        job.given_back = False
        job.label = self.label
        return job

    def watch(self, job):
        """Looks once at a job and writes down what changed; {system: state}."""
        seen = {}
        for system, packed in job._hash("tasks").items():
            task = unpack(packed)
            seen[system] = task["state"]
            known = task["state"], task["fence"]
            if self.last_state.get((job.id, system)) != known:
                self.last_state[job.id, system] = known
                self.states.append({"t": time.time(), "job": job.id, "system": system, "state": known[0],
                                    "fence": known[1]})
        return seen

    def watch_until(self, job, condition, seconds):
        """Whether condition({system: state}) came true. Jobs that were left to themselves are watched too."""
        def look():
            if STOP.is_set():
                raise Broken("interrupted")
            try:
                for other in self.jobs:
                    if other is not job and not other.given_back:
                        self.watch(other)
                return condition(self.watch(job))
            except (OSError, RedisError):
                return False  # Redis is away, as it may be
        return wait_until(look, seconds, POLL)

    def watch_end(self, job, seconds=None):
        """Until the job has ended and been given back; whether it has."""
        ended = self.watch_until(job, lambda seen: not set("".join(seen.values())) - set("UFX"),
                                 seconds or self.within)
        if ended and job.state() in (COMPLETED, TERMINATED) and not job.given_back:
            job.given_back = True
            self.give_back(job.systems)
        return ended

    def finish(self):
        """Waits for what still runs; what does not end will be in the history."""
        for job in self.jobs:
            if not job.given_back and not STOP.is_set():
                self.watch_end(job, self.within + LOOK)

    # ---- the history -------------------------------------------------------------------------------------

    def write_history(self):
        """Everything that rules.py judges by, into self.folder/history."""
        folder = self.folder / "history"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        frame = {"lease": LEASE, "grace": GRACE, "zero": self.zero, "within": self.within, "probed": True}
        (folder / "history.json").write_text(json.dumps(frame))
        (folder / "redis.json").write_text(json.dumps({"jobs": self._jobs_in_redis()}))
        for name, lines in (("acknowledged", self.acknowledged), ("states", self.states),
                            ("processes", self.processes_seen)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "labels.json").write_text(json.dumps({job.id: job.label for job in self.jobs}))
        shutil.copy(self.fleet.log, folder / "amtsim.jsonl")
        for worker in self.workers:
            for source, name in ((worker.folder / "audit.jsonl", f"audit-{worker.name}.jsonl"),
                                 (worker.log, f"worker-{worker.name}.log"),
                                 (worker.points.folder / "hits", f"hits-{worker.name}")):
                if source.exists():
                    shutil.copy(source, folder / name)
        return folder

    def _jobs_in_redis(self):
        jobs = {}
        for job in self.jobs:
            fields = job._hash()
            if fields:
                jobs[job.id] = {**fields, "tasks": job._hash("tasks")}
        return jobs

    def strikes(self, actions):
        """How often fault points struck, by point; random ones under the name of their label. From the points' own
        files, as they were kept with the history."""
        found = Counter(self.counted)
        for worker in self.workers:
            kept = self.folder / "history" / f"hits-{worker.name}"
            for hit in read_hits(kept):
                if hit.action in actions:
                    found[self.labels.get((worker.name, hit.id), hit.point)] += 1
        return found
