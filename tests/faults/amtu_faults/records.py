# SPDX-License-Identifier: Apache-2.0
"""What a lane writes down of what it sees and of what it did, for the history and for the table."""

import json
import os
import shutil
import socket
import threading
import time
from collections import Counter

from .around import COMPLETED, TERMINATED, Client, Job, RedisError, wait_until
from .history import unpack
from .points import read_hits

LEASE, GRACE = 1.0, 0.5  # of VARIANT=faults
VERIFY = 90.0            # the longest that verifying may take
POLL = 0.03
CONNECTIONS = 12         # to read the simulator's clock by
WITHIN = float(os.environ.get("AMTU_FAULTS_WITHIN", "45"))  # seconds for a task that has no intent

STOP = threading.Event()  # the campaign is being ended


class Broken(Exception):
    """The campaign could not do what it meant to: nothing was proved. Never for what a promise forbids: a round that did not
    work is played again, and what it saw would be forgotten."""


class Wrong(Exception):
    """A round saw the product break a promise, of which no record tells."""

    def __init__(self, rule, text):
        super().__init__(f"{rule}: {text}")


class Records:
    """To be mixed into what has a name, a folder, a fleet, a redis and workers, says give_back(systems), and names
    its failpoints: armed() -> {process: Points}."""

    def __init__(self):
        self.lease, self.grace, self.within = LEASE, GRACE, WITHIN
        self.zero = 0.0                # wall clock of the simulator's t=0
        self.least = 0.0               # the share of the tasks that is unlocked, whatever happens
        self.label = ""                # what the jobs submitted now are for
        self.labels = {}               # (worker, order) -> what a strike of it counts as, where that is not its point
        self.counted = Counter()       # strikes that no failpoint counts, by label
        self.acknowledged = []
        self.refused = []              # PCs of requests of which a console was told that nothing was done
        self.jobs = []
        self.states = []
        self.last_state = {}
        self.processes_seen = []
        self.client = None
        self.poll = POLL

    def note(self, who, what, pid, at=None, **more):
        """Something happened to a process."""
        self.processes_seen.append({"t": at or time.time(), "worker": who, "pid": pid, "what": what, **more})

    def keep(self, job):
        """A job that was acknowledged."""
        self.acknowledged.append({"t": time.time(), "job": job.id, "systems": list(job.systems)})
        self.jobs.append(job)
        job.over = False
        job.began = time.time()
        job.seen = dict.fromkeys(job.systems, "Q")
        job.label = self.label
        return job

    def redis_call(self, *words):
        """On a connection that is kept; a new one if Redis was restarted."""
        for attempt in (1, 2):
            try:
                if self.client is None:
                    self.client = Client(self.redis.socket)
                return self.client.call(*words)
            except OSError:
                self.client = None
                if attempt == 2:
                    raise
        return None

    def read_clock(self, system):
        """Wall clock of the simulator's t=0. It writes a connection down when it takes it, sooner or later after it was
        made: the soonest says best. What this PC sees is not counted."""
        address = {row["fqdn"]: row["address"] for row in self.fleet.systems()}[system]
        for _ in range(CONNECTIONS):
            known = len(self.connections(system))
            before = time.time()
            with socket.create_connection((address, 16993), 5):
                if not wait_until(lambda n=known: len(self.connections(system)) > n, 5, 0.005):
                    raise Broken("the simulator does not write down a connection")
            self.zero = max(self.zero, before - self.connections(system)[known]["t"])

    def connections(self, system):
        return [one for one in self.fleet.events() if one["system"] == system and one["event"] == "connection"]

    # ---- watching ----------------------------------------------------------------------------------------

    def watch(self, job):
        """Looks once at a job and writes down what changed; {system: state}, the last that is known while Redis is
        away."""
        try:
            tasks = job._hash("tasks")
        except (OSError, RedisError):
            return job.seen
        for system, packed in tasks.items():
            task = unpack(packed)
            job.seen[system] = task["state"]
            known = task["state"], task["fence"]
            if self.last_state.get((job.id, system)) != known:
                self.last_state[job.id, system] = known
                self.states.append({"t": time.time(), "job": job.id, "system": system, "state": known[0],
                                    "fence": known[1]})
        return job.seen

    def watch_until(self, job, condition, seconds):
        """Whether condition({system: state}) came true. Jobs that were left to themselves are watched too."""
        def seen():
            if STOP.is_set():
                raise Broken("interrupted")
            for other in self.jobs:
                if other is not job and not other.over:
                    self.watch(other)
            return condition(self.watch(job))
        return wait_until(seen, seconds, self.poll)

    def watch_end(self, job, seconds=None):
        """Until the job has ended and been given back; whether it has."""
        ended = self.watch_until(job, lambda seen: not set("".join(seen.values())) - set("UFX"),
                                 seconds or self.within)
        if ended and job.state() in (COMPLETED, TERMINATED) and not job.over:
            job.over = True
            self.give_back(job.systems)
        return ended

    def finish(self):
        """Waits for what still runs, longer if a task may be verified; what does not end will be in the history."""
        for job in self.jobs:
            if not job.over and not STOP.is_set() and not self.watch_end(job) and set(job.seen.values()) & set("IPBLK"):
                self.watch_end(job, VERIFY)

    # ---- the history -------------------------------------------------------------------------------------

    def write_history(self):
        """Everything that rules.py judges by, into self.folder/history."""
        self.read_clock(self.clock_pc)
        folder = self.folder / "history"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        frame = {"lease": self.lease, "grace": self.grace, "zero": self.zero, "within": self.within,
                 "least": self.least, "methods": {row["fqdn"]: row["method"] for row in self.fleet.systems()},
                 "blind": sorted(set().union(*(worker.blind() for worker in self.workers)))}
        (folder / "history.json").write_text(json.dumps(frame))
        known = self._jobs_in_redis(self.jobs)
        others = self._jobs_in_redis(Job(self, job, ()) for job in self._ids_in_redis() - set(known))
        (folder / "redis.json").write_text(json.dumps({"jobs": known, "others": others}))
        for name, lines in (("acknowledged", self.acknowledged), ("refused", self.refused), ("states", self.states),
                            ("processes", self.processes_seen)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "labels.json").write_text(json.dumps({job.id: job.label for job in self.jobs}))
        shutil.copy(self.fleet.log, folder / "amtsim.jsonl")
        for worker in self.workers:
            for source, name in ((worker.folder / "audit.jsonl", f"audit-{worker.name}.jsonl"),
                                 (worker.log, f"worker-{worker.name}.log"), (worker.proof_key, "proof.key")):
                if source.exists():
                    shutil.copy(source, folder / name)
        for who, points in self.armed().items():
            for name in ("hits", "gates"):
                if (points.folder / name).exists():
                    shutil.copy(points.folder / name, folder / f"{name}-{who}")
        return folder

    def _ids_in_redis(self):
        """Of all jobs, whoever knows of them."""
        return {name.split(":")[2] for name in self.redis_call("KEYS", "{amtu}:job:*")}

    @staticmethod
    def _jobs_in_redis(jobs_of):
        jobs = {}
        for job in jobs_of:
            fields = job._hash()
            if fields:
                jobs[job.id] = {**fields, "tasks": job._hash("tasks")}
        return jobs

    def strikes(self, actions):
        """How often failpoints struck, by point; random ones under the name of their label. From the points' own
        files, as they were kept with the history."""
        found = Counter(self.counted)
        for who in self.armed():
            for hit in read_hits(self.folder / "history" / f"hits-{who}"):
                if hit.action in actions:
                    found[self.labels.get((who, hit.id), hit.point)] += 1
        return found
