# SPDX-License-Identifier: Apache-2.0
"""A fleet, a Redis and workers without httpd: jobs are submitted as the module does it, by the function library."""

import hashlib
import json
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from amtu_stack.fleet import Fleet  # noqa: E402
from amtu_stack.kdc import Kdc  # noqa: E402
from amtu_stack.places import ROLE_IDS, Places, Role, build_folder  # noqa: E402
from amtu_stack.process import Failure, Process, collect, start, tail, wait_until  # noqa: E402
from amtu_stack.redis import Redis, RedisError  # noqa: E402
from amtu_stack.worker import Worker  # noqa: E402

import shutil  # noqa: E402

CALLER = "console@FLEET.TEST"
IN_PARTS = 7  # the first schema that takes a request in parts
NAMES_A_CALL = 500  # VALUES_A_CALL of jobs/lua/core.lua
COMPLETED, TERMINATED = "7", "8"
# A silent PC has as long to wake: a second try, no more.
TIMES = {"AMTUNLOCK_TEST_WAKE_MS": "6000", "AMTUNLOCK_TEST_NEXT_MS": "3000",
         "AMTUNLOCK_TEST_BUSY_MS": "3000"}


@dataclass
class Options:
    """What amtu_stack's parts ask for."""

    systems: int = 4
    method: str = "wake"
    tls: str = "ca"
    amt_auth: str = "digest"
    boot_seconds: str = "1-1"
    faults: str = ""
    seed: int | None = None
    body: str = ""
    threads: int = 2
    slots: int = 0  # 0: more than enough
    blind: int = 0  # every so many-th PC of method sol has no probe; 0: all have one
    boot_timeout: int = 20
    group: tuple = ()  # more lines for [group default] of amtunlockd.conf
    amtsim: tuple = ()  # more options of amtsim


class BarePlaces(Places):
    """The folders of a rig: only the programs it needs."""

    programs = ("amtunlockd", "amtsim")


class Job:
    """A submitted job and what Redis says of it."""

    def __init__(self, rig, job, systems):
        self.rig, self.id, self.systems = rig, job, systems

    def _hash(self, *more):
        flat = self.rig.redis_call("HGETALL", ":".join(("{amtu}:job", self.id, *more)))
        return dict(zip(flat[::2], flat[1::2]))

    def state(self):
        return self._hash().get("state")

    def tasks(self):
        """{system: (state, reason, step)}"""
        found = {}
        for system, packed in self._hash("tasks").items():
            fields = packed.split("|")
            found[system] = (fields[0], fields[7], fields[4])
        return found

    def results(self):
        """{system: 'unlocked' or the reason}"""
        return {system: "unlocked" if state == "U" else reason or state
                for system, (state, reason, _) in self.tasks().items()}

    def await_end(self, seconds):
        """Results when the job has ended; an error that shows where it stands when it has not by then."""
        if not wait_until(lambda: self.state() in (COMPLETED, TERMINATED), seconds, 0.05):
            raise AssertionError(f"job not ended after {seconds} s: {self.tasks()}\n{self.rig.worker_tail()}")
        return self.results()

    def await_states(self, states, seconds):
        if not wait_until(lambda: all(task[0] in states for task in self.tasks().values()), seconds, 0.02):
            raise AssertionError(f"not all in {states} after {seconds} s: {self.tasks()}\n{self.rig.worker_tail()}")


class Rig:
    """Redis, a simulated fleet, and any number of workers."""

    def __init__(self, name, one_user=False, **options):
        """one_user: everything runs as whoever tests, who may then change the limits of a process."""
        self.options = Options(**options)
        self.places = BarePlaces(build_folder() / "unlock-tests" / name)
        if one_user:
            self.places.roles = {role: Role(role) for role in ROLE_IDS}
        self.redis = Redis(self.places)
        self.fleet = Fleet(self.places, self.options)
        self.realm = Kdc(self.places)  # started with Kerberos at AMT
        self.workers = []
        self.processes = []
        self.environment = {}

    def up(self):
        try:
            self.places.create()
            self.redis_process = self._keep(self.redis.start())
            self._keep(self.fleet.start(self._fleet_keys()))
            self.fleet.ca.chmod(0o644)  # a certificate; the workers run as another user
        except BaseException:
            self.down()
            raise

    def _fleet_keys(self):
        if self.options.amt_auth != "kerberos":
            return None
        self.realm_process = self._keep(self.realm.start())
        keytab = self.realm.service_keytab(self.places.run / "krb5" / "fleet.keytab", *self.fleet.services())
        return {**self.realm.environment(), "KRB5_KTNAME": f"FILE:{keytab}"}

    def down(self):
        for process in reversed(self.processes):
            process.stop()
        for worker in self.workers:
            for pid in worker.drive_pids():
                Process.of(worker.name, pid).stop()
        collect()
        for worker in self.workers:
            for name in ("worker.log", "audit.jsonl"):
                kept = worker.folder / name
                # Only what is a file in truth: a test may have put a link to a device here, and that never ends.
                if kept.is_file() and not kept.is_symlink():
                    shutil.copy(kept, self.places.logs / f"{worker.name}-{name}")
        self.places.remove()

    def _keep(self, process):
        self.processes.append(process)
        return process

    # ---- workers ----------------------------------------------------------------------------------------

    def prepare_worker(self):
        """The files of one more worker, as on a host of its own; nothing is started."""
        worker = Worker(self.places, len(self.workers) + 1, self.redis, self.fleet, self.options, self.realm)
        worker.prepare()
        self.workers.append(worker)
        return worker

    def add_worker(self, environment=None, ready=True):
        """One more worker with files of its own, started."""
        worker = self.prepare_worker()
        self.start_worker(worker, environment, ready)
        return worker

    def start_worker(self, worker, environment=None, ready=True):
        program = [self.places.program("amtunlockd"), "-c", worker.config]
        before = worker.log.stat().st_size if worker.log.is_file() else 0  # lines of a life before say nothing of this one
        worker.process = self._keep(start(worker.name, program, self.places.log(worker.name),
                                          env={**TIMES, **worker.environment(), **self.environment, **(environment or {})},
                                          role=self.places.roles["amtunlock"]))
        if ready and not wait_until(lambda: self._is_ready(worker, before), 10, 0.05):
            raise Failure(f"{worker.name} is not ready:\n{tail(worker.log)}\n{tail(self.places.log(worker.name))}")
        return worker.process

    def _is_ready(self, worker, before=0):
        if not worker.process.alive():
            raise Failure(f"{worker.name} ended:\n{tail(self.places.log(worker.name))}\n{tail(worker.log)}")
        said = worker.log.read_text()[before:] if worker.log.exists() else ""
        return (self.redis_call("EXISTS", "{amtu}:inventory") == 1 and "AMTU0301" in said
                and self._has_met_redis(said))

    def _has_met_redis(self, said):
        """It serves the inventory, or has said why it claims nothing: jobs from now on are none that it finds."""
        if any(number in said for number in ("AMTU0443", "AMTU0445", "AMTU0446", "AMTU0450")):
            return True
        name = re.search(r"AMTU0301 .* worker=(\S+)", said)[1]
        return self.redis_call("ZSCORE", "{amtu}:inventory:workers", name) is not None

    def heard(self, worker, number):
        return number in worker.log.read_text() if worker.log.exists() else False

    def worker_tail(self):
        return "\n".join(tail(worker.log) for worker in self.workers)

    def audit(self, worker):
        return [json.loads(line) for line in (worker.folder / "audit.jsonl").read_text().splitlines()]

    # ---- jobs -------------------------------------------------------------------------------------------

    def redis_call(self, *words):
        with self.redis.client() as client:
            return client.call(*words)

    def systems(self):
        return [row["fqdn"] for row in self.fleet.systems()]

    def submit(self, systems, caller=CALLER, start_within=3600, retention=1800):
        job = secrets.token_hex(13)
        owner = hashlib.sha256(caller.encode()).hexdigest()
        head = [self.schema(), job, caller, owner, "127.0.0.1", "krb5", "", self.redis_time() + 10_000_000,
                retention * 1000000, start_within * 1000000, 0, 0]
        for first in range(0, len(systems), NAMES_A_CALL):
            verb = "submit" if first + NAMES_A_CALL >= len(systems) else "submit_part"
            names = [word for name in systems[first:first + NAMES_A_CALL] for word in (name, name)]
            place = [f"{first}/{len(systems)}"] if int(head[0]) >= IN_PARTS else []
            answer = self.redis_call("FCALL", f"amtunlock_{verb}", 1, f"{{amtu}}:verb:{verb}", *head, *place, 1, "*", *names)
            if answer[0] != "ok":
                raise RedisError(answer)
        return Job(self, answer[1], systems)

    def cancel(self, job, caller=CALLER):
        owner = hashlib.sha256(caller.encode()).hexdigest()
        return self.redis_call("FCALL", "amtunlock_cancel", 1, "{amtu}:verb:cancel", self.schema(), owner, job.id,
                               self.redis_time() + 10_000_000)

    def redis_time(self):
        """Microseconds by Redis' clock, which is what Redis judges by."""
        seconds, micro = self.redis_call("TIME")
        return int(seconds) * 1_000_000 + int(micro)

    def schema(self):
        return self.redis_call("FCALL_RO", "amtunlock_schema", 0)[1]

    # ---- the fleet's side -------------------------------------------------------------------------------

    def break_pc(self, system, fault):
        self._tell(system, fault, True)

    def heal(self, system, fault):
        self._tell(system, fault, False)

    def _tell(self, system, fault, on):
        answer = self.fleet.tell(do="fault", system=system, fault=fault, on=on)
        if not answer.get("ok"):
            raise Failure(f"amtsim does not take {fault}: {answer}")

    def events(self, system=None, event=None):
        return [one for one in self.fleet.events()
                if (system is None or one.get("system") == system) and (event is None or one["event"] == event)]

    def power_requests(self, system):
        return len(self.events(system, "power"))
