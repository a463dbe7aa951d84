# SPDX-License-Identifier: Apache-2.0
"""The whole stack: what is started in which order, what shows that it answers, and how all of it ends."""

import os
import resource
import shutil
from dataclasses import asdict, dataclass

from . import kdc
from .console import Console
from .fleet import Fleet
from .httpd import Httpd, Settings
from .kdc import Kdc
from .places import Places
from .process import Failure, Process, collect, tail, wait_until
from .redis import Redis, RedisError
from .state import State, exclusive
from .worker import Worker

# Who is stopped before whom: nobody loses what he still needs to end in order.
STOP_ORDER = ("httpd", "worker", "amtsim", "Redis", "KDC")


@dataclass
class Options:
    """The options of `stack up`."""

    systems: int = 20
    method: str = "wake"
    tls: str = "ca"
    amt_auth: str = "digest"
    mpm: str = "event"
    workers: int = 1
    boot_seconds: str = "3-8"
    faults: str = ""
    seed: int | None = None
    body: str = ""
    image: str = ""  # the unlock image; "": one for simulated PCs is made
    threads: int = 0
    group: tuple = ()  # more lines for [group default] of amtunlockd.conf
    blind: int = 0  # every so many-th PC of method sol has no probe; 0: all have one
    boot_timeout: int = 0  # seconds that a PC may take

    def __post_init__(self):
        """Far more than the slowest takes, far less than a person waits for a test."""
        self.boot_timeout = self.boot_timeout or int(float(self.boot_seconds.rpartition("-")[2])) * 2 + 30


class Stack:
    """One stack in one --dir."""

    def __init__(self, directory, options=None, state=None, settings=None):
        self.places = Places(directory, state.run if state else None)
        self.options = options or Options()
        self.state = state or State(self.places.state)
        self.kdc = Kdc(self.places)
        self.redis = Redis(self.places)
        self.fleet = Fleet(self.places, self.options)
        self.workers = [Worker(self.places, number + 1, self.redis, self.fleet, self.options, self.kdc)
                        for number in range(self.options.workers)]
        # httpd gives its worker no environment, so a worker of a realm of our own is started by hand.
        settings = settings or Settings(mpm=self.options.mpm, max_systems=max(100, self.options.systems),
                                        supervise=self.options.amt_auth == "digest")
        self.httpd = Httpd(self.places, self.kdc, self.redis, self.workers[0], settings)
        self.places.record = self.state.add
        self._adopt()

    @classmethod
    def load(cls, directory):
        """The stack that is up in this --dir, or None."""
        places = Places(directory)
        state = State.load(places.state)
        return cls(directory, Options(**state.options), state) if state else None

    def _adopt(self):
        self.httpd.http = self.state.ports.get("http")
        self.httpd.https = self.state.ports.get("https")
        self.httpd.process = self.state.process("httpd")

    # ---- up ---------------------------------------------------------------------------------------------

    def up(self):
        """Starts everything and returns when each part answers; else stops it again and says which did not."""
        with exclusive(self.places.dir):
            self._make_room()
            try:
                self._start()
            except BaseException:
                self._stop()
                raise

    def _make_room(self):
        """Refuses a --dir whose stack is still up; clears what a crash left of one that is not."""
        earlier = State.load(self.places.state)
        if earlier and any(process.alive() for process in earlier.processes):
            raise Failure(f"a stack is already up in {self.places.dir}. End it with: stack down")
        if earlier:
            Stack(self.places.dir, Options(**earlier.options), earlier)._stop()

    def _start(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            self.places.create()
            self.state.run = self.places.run
            self.state.options = asdict(self.options)
            self.state.save()
            self.kdc.start()
            self.redis.start()
            self.fleet.start(self._fleet_keys())
            for worker in self.workers:
                worker.prepare()
            self.httpd.prepare()
            self.start_httpd()
            for worker in self.workers[1:] if self.httpd.settings.supervise else self.workers:
                worker.start()
            self._log_in()
            self._await_answers()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self._link()

    def _fleet_keys(self):
        """With Kerberos at AMT, every PC has a principal for each of its ports."""
        if self.options.amt_auth != "kerberos":
            return None
        keytab = self.kdc.service_keytab(self.places.run / "krb5" / "fleet.keytab", *self.fleet.services())
        return {**self.kdc.environment(), "KRB5_KTNAME": f"FILE:{keytab}"}

    def start_httpd(self):
        """Starts httpd (again) and notes where it is."""
        process = self.httpd.start()
        self.state.ports = {"http": self.httpd.http, "https": self.httpd.https}
        self.state.save()
        return process

    def _log_in(self):
        for principal in (kdc.CONSOLE, kdc.CONSOLE2):
            self.kdc.login(principal)

    def _await_answers(self):
        """The parts work together: SPNEGO through the module, and workers whose inventory Redis has."""
        ticket = self.kdc.cache(kdc.CONSOLE)
        if not wait_until(lambda: self.httpd.answers(ticket), 10, 0.2):
            raise Failure(f"httpd did not answer an authenticated Identify at {self.httpd.url()}. "
                          f"The end of {self.httpd.error_log}:\n{tail(self.httpd.error_log)}")
        for worker in self.workers:
            if not wait_until(worker.pids, 10):
                raise Failure(f"{worker.name} is not running. The end of its log:\n{self._tail(worker)}")
        if not wait_until(self._workers_answer, 15, 0.05):
            ends = "\n".join(self._tail(worker) for worker in self.workers)
            raise Failure(f"{', '.join(worker.name for worker in self.workers)} did not publish the inventory. "
                          f"The end of the log:\n{ends}")

    def _tail(self, worker):
        """A worker that cannot read its settings has no log yet and writes to whoever started it."""
        own = [log for log in (worker.log, self.places.log(worker.name)) if log.exists()]
        return tail(own[0] if own else self.httpd.error_log)

    def _workers_answer(self):
        try:
            with self.redis.client() as client:
                alive = client.call("KEYS", "{amtu}:worker:*")
                return len(alive) >= len(self.workers) and client.call("EXISTS", "{amtu}:inventory") == 1
        except (OSError, RedisError):
            return False

    def _link(self):
        self.places.link("run", self.places.run)
        self.places.link("httpd.conf", self.httpd.config)

    def console(self, principal=kdc.CONSOLE):
        """A caller with a ticket."""
        return Console(self.httpd, self.kdc.cache(principal))

    # ---- env --------------------------------------------------------------------------------------------

    def environment(self):
        """The variables of `stack env`; process ids are looked up at each call."""
        user, password = self.fleet.administrator()
        return {
            "AMTU_URL": self.httpd.url(),
            "AMTU_URL_HTTP": self.httpd.url(tls=False),
            "AMTU_STATUS_URL": self.httpd.url("/amtunlock-status"),
            "AMTU_METRICS_URL": self.httpd.url("/amtunlock-metrics"),
            "AMTU_CA": self.httpd.ca,
            "KRB5_CONFIG": self.kdc.config,
            "KRB5CCNAME": f"FILE:{self.kdc.cache(kdc.CONSOLE)}",
            "CONSOLE2_KRB5CCNAME": f"FILE:{self.kdc.cache(kdc.CONSOLE2)}",
            "NTLM_USER_FILE": self.httpd.ntlm_users or "",
            "REDIS_SOCKET": self.redis.socket,
            "HTTPD_PID": self._pid("httpd"),
            "WORKER_PIDS": " ".join(str(pid) for worker in self.workers for pid in worker.pids()),
            "REDIS_PID": self._pid("Redis"),
            "AMTSIM_PID": self._pid("amtsim"),
            "AMTSIM_LOG": self.fleet.log,
            "AMTSIM_CONTROL": self.fleet.control,
            "AMTSIM_USER": user,
            "AMTSIM_PASSWORD": password,
            "SYSTEMS": self.fleet.list,
            "LOGS": self.places.logs,
        }

    def caller_environment(self):
        """What a program of a caller runs with: this process's environment, and the stack's."""
        return {**os.environ, **{name: str(value) for name, value in self.environment().items()}}

    def _pid(self, name):
        process = self.state.process(name)
        return process.pid if process and process.alive() else ""

    # ---- down -------------------------------------------------------------------------------------------

    def down(self):
        """Stops what this stack started, and nothing else; harmless when nothing is up."""
        with exclusive(self.places.dir):
            self._stop()

    def _stop(self):
        for name in STOP_ORDER:
            for process in [one for one in self.state.processes if one.name.startswith(name)]:
                process.stop()
        self._stop_strays()
        collect()
        self._keep_logs()
        self.places.remove()
        self.state.processes = []

    def _stop_strays(self):
        """A worker, drive process or httpd child that outlived its killed parent; known by the path that it was given."""
        if not self.places.run:
            return
        for worker in self.workers:
            for pid in worker.pids() + worker.drive_pids():
                Process.of(worker.name, pid).stop()
        for pid in self.httpd.pids():
            Process.of("httpd child", pid).stop()

    def _keep_logs(self):
        """The workers write theirs in the run folder, which goes."""
        for worker in self.workers if self.places.run else ():
            for name in ("worker.log", "audit.jsonl"):
                source = worker.folder / name
                if source.exists() and self.places.logs.is_dir():
                    shutil.copy(source, self.places.logs / f"{worker.name}-{name}")

