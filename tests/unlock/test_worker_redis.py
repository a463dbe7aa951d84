# SPDX-License-Identifier: Apache-2.0
"""Redis that comes back as another process, with its data or without it: no PC gets a second power request, and what
is lost is said."""

import os
import shutil
import signal
import time

import pytest

from amtu_stack import ports
from amtu_stack.process import Failure
from amtu_stack.redis import Client, RedisError
from rig import wait_until

SHORT = {"AMTUNLOCK_TEST_LEASE_MS": "2000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}
HOLD = 3.0  # seconds: both together


@pytest.fixture
def fleet(rig):
    one = rig(systems=3, boot_seconds="5-5", boot_timeout=40)
    one.environment = dict(SHORT)
    return one


def stop_redis(fleet):
    fleet.redis_process.signal(signal.SIGKILL)
    assert wait_until(lambda: not fleet.redis_process.alive(), 5)


def start_redis(fleet):
    """Again, on what is in its folder, with the users it had."""
    process = fleet.places.start("Redis", ["/usr/bin/redis-server", fleet.redis.socket.parent / "redis.conf"],
                                 fleet.places.log("redis"), role=fleet.places.roles["redis"])
    fleet.processes.append(process)
    fleet.redis_process = process
    assert wait_until(fleet.redis.answers, 10)


def empty_redis(fleet):
    data = fleet.redis.socket.parent / "data"
    for path in data.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def records(fleet, worker, event):
    return [one for one in fleet.audit(worker) if one["event"] == event]


def told(fleet, worker, times):
    return wait_until(lambda: len(records(fleet, worker, "redis")) == times, 15)


def test_restarted_with_its_data_in_the_middle_of_an_unlock(fleet):
    worker = fleet.add_worker()
    job = fleet.submit(fleet.systems()[:2])
    job.await_states("PB", 10)
    stop_redis(fleet)
    began = time.monotonic()  # before a worker can find it: the hold begins there
    start_redis(fleet)
    late = fleet.submit(fleet.systems()[2:])
    assert told(fleet, worker, 2), fleet.worker_tail()
    assert records(fleet, worker, "redis")[1]["intents"] == 2
    assert records(fleet, worker, "redis")[1]["forgotten"] == 0
    assert wait_until(lambda: fleet.heard(worker, "AMTU0446"), 5)
    assert wait_until(lambda: "Q" not in [task[0] for task in late.tasks().values()], 10)
    assert time.monotonic() - began > HOLD - 0.5, "nothing is claimed until every lease has run out"
    assert set(job.await_end(30).values()) == {"unlocked"}
    assert set(late.await_end(30).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]
    assert len(records(fleet, worker, "outcome")) == 3


def test_restarted_empty_in_the_middle_of_an_unlock(fleet):
    worker = fleet.add_worker()
    systems = fleet.systems()[:2]
    job = fleet.submit(systems)
    job.await_states("PB", 10)
    stop_redis(fleet)
    empty_redis(fleet)
    start_redis(fleet)
    assert wait_until(lambda: len(records(fleet, worker, "outcome")) == 2, 15), fleet.worker_tail()
    assert {(one["system"], one["reason"]) for one in records(fleet, worker, "outcome")} == {
        (system, "indeterminate") for system in systems}
    assert told(fleet, worker, 2) and records(fleet, worker, "redis")[1]["forgotten"] == 2
    assert fleet.heard(worker, "AMTU0428") and fleet.heard(worker, "AMTU0430")
    # The caller asks again: what has been powered is found running, and is not powered again.
    assert wait_until(lambda: fleet.redis_call("EXISTS", "{amtu}:inventory") == 1, 10)
    assert all(wait_until(lambda one=system: fleet.events(one, "os-up"), 15) for system in systems)
    assert set(fleet.submit(fleet.systems()).await_end(30).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]


def submit_and_keep(fleet, worker):
    """A job, and Redis' data as it was before anybody had claimed of it."""
    data, kept = fleet.redis.socket.parent / "data", fleet.places.run / "kept"
    worker.process.signal(signal.SIGSTOP)
    job = fleet.submit(fleet.systems())
    shutil.copytree(data, kept)
    worker.process.signal(signal.SIGCONT)
    return job, kept


def put_back(fleet, kept):
    """What Redis acknowledged since is lost, as on a disk that lied."""
    empty_redis(fleet)
    shutil.copytree(kept, fleet.redis.socket.parent / "data", dirs_exist_ok=True)
    role = fleet.places.roles["redis"]
    for path in (fleet.redis.socket.parent / "data").rglob("*"):
        if role.uid is not None:
            os.chown(path, role.uid, role.gid)


@pytest.mark.parametrize("whose", ["of a living worker", "of a worker that was killed"])
def test_intents_that_redis_lost(fleet, whose):
    """The tasks wait in the queue again, and one PC is still off: everything invites to a second power request."""
    worker = fleet.add_worker()
    off, *others = fleet.systems()
    fleet.break_pc(off, "power-ignored")
    job, kept = submit_and_keep(fleet, worker)
    job.await_states("PB", 10)
    if whose == "of a worker that was killed":
        worker.process.signal(signal.SIGKILL)
        assert wait_until(lambda: not worker.process.alive(), 5)
    stop_redis(fleet)
    put_back(fleet, kept)
    start_redis(fleet)
    assert {task[0] for task in job.tasks().values()} <= {"Q", "C", "L"}, "no intent is known any more"
    if not worker.process.alive():
        fleet.start_worker(worker)
    assert wait_until(lambda: all(job.tasks()[system][0] == "U" for system in others), 30), fleet.worker_tail()
    assert job.tasks()[off][0] == "K", "it is looked at until it is sure that it does not start"
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]
    assert len(records(fleet, worker, "intent-handed-over")) == 3
    assert worker.log.read_text().count("takes over from a predecessor") == 3
    worker.process.signal(signal.SIGKILL)  # it would look on for as long as it may


@pytest.mark.parametrize("caller", ["x" * 70_000, "a\x1b[2J", ""], ids=["too long", "control characters", "none"])
def test_a_task_that_cannot_be_recorded_ends_alone(fleet, caller):
    """httpd's user may write whatever it likes into a job. The worker starts with that task in front of the others."""
    first, *others = fleet.systems()
    worker = fleet.prepare_worker()
    fleet.start_worker(worker)
    worker.process.signal(signal.SIGSTOP)
    spoilt, job = fleet.submit([first]), fleet.submit(others)
    fleet.redis_call("HSET", f"{{amtu}}:job:{spoilt.id}", "caller", caller)
    worker.process.signal(signal.SIGCONT)
    assert spoilt.await_end(10) == {first: "internal"}
    assert set(job.await_end(30).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [0, 1, 1]
    assert fleet.heard(worker, "AMTU0621") and not fleet.heard(worker, "AMTU0423")


def test_a_job_that_was_spoilt_holds_up_no_reconciling(fleet):
    """What is replayed to a Redis that came back may meet what no function wrote: the other tasks go on."""
    worker = fleet.add_worker()
    first, second, _ = fleet.systems()
    job = fleet.submit([first])
    assert job.await_end(30) == {first: "unlocked"}
    key = f"{{amtu}}:job:{job.id}:tasks"
    fleet.redis_call("DEL", key)
    fleet.redis_call("SET", key, "x")
    stop_redis(fleet)
    start_redis(fleet)
    assert told(fleet, worker, 2), fleet.worker_tail()
    assert fleet.submit([second]).await_end(30) == {second: "unlocked"}


def switch_off(fleet, systems):
    """Evening: whoever unlocks them again has to power them again."""
    for system in systems:
        assert wait_until(lambda one=system: fleet.fleet.tell(do="power", system=one, to=8)["ok"], 5)
        assert wait_until(lambda one=system: fleet.fleet.tell(do="state", system=one)["power"] == 8, 10)


@pytest.mark.parametrize("then", ["it stays", "its record is moved", "it is started anew",
                                  "it is frozen while another comes for the first time"])
def test_ended_tasks_that_redis_lost(fleet, then):
    """They wait in the queue again, and another worker is there that knows nothing of them."""
    worker = fleet.add_worker()
    job, kept = submit_and_keep(fleet, worker)
    assert set(job.await_end(30).values()) == {"unlocked"}
    frozen = "frozen" in then
    other = None if frozen else fleet.add_worker()
    switch_off(fleet, fleet.systems())
    if then == "it is started anew":
        worker.process.signal(signal.SIGTERM)
        assert wait_until(lambda: not worker.process.alive(), 10)
    if frozen:
        worker.process.signal(signal.SIGSTOP)
    stop_redis(fleet)
    put_back(fleet, kept)
    if then == "its record is moved":  # and the worker has not been told yet
        os.rename(worker.folder / "audit.jsonl", worker.folder / "audit.jsonl.1")
    start_redis(fleet)
    assert {task[0] for task in job.tasks().values()} <= {"Q", "U"}, "no end is known any more"
    if not worker.process.alive():
        fleet.start_worker(worker)
    if frozen:
        other = fleet.add_worker({"AMTUNLOCK_TEST_LEASE_MS": "6000"})
        assert wait_until(lambda: fleet.heard(other, "AMTU0446"), 5), "it does not wait"
        worker.process.signal(signal.SIGCONT)
    assert set(job.await_end(HOLD).values()) == {"unlocked"}, "told at once, not when claims may begin"
    if then == "its record is moved":
        os.rename(worker.folder / "audit.jsonl.1", worker.folder / "audit.jsonl")
    assert wait_until(lambda: any(one["restored"] == 3 for one in records(fleet, worker, "redis")), 5)
    late = fleet.submit(fleet.systems()[:1])
    assert set(late.await_end(30).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [2, 1, 1], fleet.worker_tail()
    assert not records(fleet, other, "intent-handed-over") and not records(fleet, worker, "outcome-refused")


def test_a_task_that_came_back_is_refused_by_who_acted_on_it(fleet):
    """The same process of Redis is given older data, as a replica is that was the primary for a while: nobody tells it
    anything, and the worker that claims the task anew knows better."""
    worker = fleet.add_worker()
    system = fleet.systems()[0]
    job = fleet.submit(fleet.systems()[:2])
    job.await_states("U", 30)
    switch_off(fleet, job.systems)
    go_back(fleet, job, system)
    assert wait_until(lambda: records(fleet, worker, "intent-repeated"), 15), fleet.worker_tail()
    assert set(job.await_end(10).values()) == {"unlocked"}
    assert fleet.power_requests(system) == 1
    assert fleet.heard(worker, "AMTU0434")


def go_back(fleet, job, system):
    """This task waits, as it did; and its job goes on."""
    key, line = f"{{amtu}}:job:{job.id}", f"{job.id}:default"
    owner = fleet.redis_call("HGET", key, "owner")
    packed = fleet.redis_call("HGET", f"{key}:tasks", system).split("|")
    fleet.redis_call("HSET", f"{key}:tasks", system, "|".join(["Q", "", "", "", "", "", packed[6], ""]))
    fleet.redis_call("HINCRBY", key, "unlocked", -1)
    fleet.redis_call("HINCRBY", key, "waiting", 1)
    fleet.redis_call("HSET", key, "state", "4")
    for each in ("", ":tasks", ":names"):
        fleet.redis_call("PERSIST", key + each)
    fleet.redis_call("RPUSH", f"{{amtu}}:queue:{line}", system)
    fleet.redis_call("ZADD", f"{{amtu}}:turns:{owner}", 1, line)
    fleet.redis_call("ZADD", "{amtu}:ring", 1, owner)


def test_a_killed_worker_tells_its_intents_also_after_a_rotation(fleet):
    """Its next life does not wait for the lease, and does not tell twice what it has told."""
    worker = fleet.add_worker({"AMTUNLOCK_TEST_LEASE_MS": "60000"})
    job = fleet.submit(fleet.systems())
    job.await_states("PB", 10)
    worker.process.signal(signal.SIGKILL)
    assert wait_until(lambda: not worker.process.alive(), 5)
    os.rename(worker.folder / "audit.jsonl", worker.folder / "audit.jsonl.1")
    fleet.start_worker(worker)
    assert set(job.await_end(20).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]
    assert len(records(fleet, worker, "intent-handed-over")) == 3
    assert not fleet.heard(worker, "AMTU0446"), "it is the same Redis: no reason to wait"
    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 10)
    fleet.start_worker(worker)
    assert told(fleet, worker, 2)
    assert len(records(fleet, worker, "intent-handed-over")) == 3


def test_a_worker_that_comes_back_with_another_redis_waits_too(fleet):
    """Both were restarted, with the machine: that Redis is another is known from the audit record."""
    worker = fleet.add_worker()
    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 10)
    stop_redis(fleet)
    start_redis(fleet)
    began = time.monotonic()
    fleet.start_worker(worker)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0446"), 5)
    job = fleet.submit(fleet.systems()[:1])
    assert wait_until(lambda: job.tasks()[job.systems[0]][0] != "Q", 10)
    assert time.monotonic() - began > HOLD / 2


# ---- a replica that takes over -----------------------------------------------------------------------------


class Replica:
    """A second Redis that follows the fleet's, by a user who may do no more than that takes."""

    def __init__(self, fleet):
        self.fleet = fleet
        primary, folder = fleet.redis.socket.parent, fleet.places.folder("replica", "redis")
        port = ports.attempts(1, self._listen)
        fleet.redis_call("ACL", "SETUSER", "replica", "on", ">secret", "resetkeys", "-@all", "+psync", "+replconf", "+ping")
        own = {"dir": fleet.places.folder("replica/data", "redis"), "unixsocket": folder / "redis.sock"}
        kept = [line for line in (primary / "redis.conf").read_text().splitlines() if line.partition(" ")[0] not in own]
        more = [f"replicaof 127.0.0.1 {port}", "masteruser replica", "masterauth secret", "repl-diskless-sync-delay 0"]
        file = fleet.places.write(folder / "redis.conf",
                                  "\n".join([*kept, *(f"{name} {value}" for name, value in own.items()), *more]) + "\n", "redis")
        self.socket = own["unixsocket"]
        self.process = fleet.places.start("Replica", ["/usr/bin/redis-server", file], fleet.places.log("replica"),
                                          role=fleet.places.roles["redis"])
        fleet.processes.append(self.process)
        assert wait_until(lambda: self.socket.exists() and "master_link_status:up" in self.call("INFO", "replication"), 20)

    def _listen(self, port):
        try:
            self.fleet.redis_call("CONFIG", "SET", "port", port)
        except RedisError as error:
            raise Failure(str(error)) from error
        return port

    def call(self, *words):
        with Client(self.socket) as client:
            return client.call(*words)

    def has_all(self):
        """What the primary has acknowledged by now."""
        return self.fleet.redis_call("WAIT", 1, 5000) == 1

    def cut_off(self):
        """The link breaks; what is acknowledged from now on, it does not get."""
        self.fleet.redis_call("CONFIG", "SET", "port", 0)
        self.fleet.redis_call("CLIENT", "KILL", "TYPE", "replica")

    def task_states(self, job):
        flat = self.call("HGETALL", f"{{amtu}}:job:{job.id}:tasks")
        return {packed[0] for packed in flat[1::2]}

    def take_over(self, killed):
        """What an operator, or Sentinel and its script, does: promote it, and then move the address that everybody has. A
        primary that lives on becomes a replica, and keeps its connections."""
        if killed:
            stop_redis(self.fleet)
        else:
            assert self.fleet.redis_call("REPLICAOF", "127.0.0.1", ports.pick(1)[0]) == "OK"
        assert self.call("REPLICAOF", "NO", "ONE") == "OK"

    def take_address(self):
        self.socket.rename(self.fleet.redis.socket)
        self.fleet.redis_process = self.process


@pytest.mark.parametrize("killed", [True, False], ids=["which has lost what was done", "from one that lives on"])
def test_failover_to_a_replica(fleet, killed):
    """No PC is powered twice, whatever it knows; and the workers need nobody to tell them."""
    worker = fleet.add_worker()
    replica = Replica(fleet)
    worker.process.signal(signal.SIGSTOP)
    job = fleet.submit(fleet.systems())
    assert replica.has_all()
    if killed:
        replica.cut_off()
    worker.process.signal(signal.SIGCONT)
    job.await_states("PB", 10)
    assert killed or replica.has_all()
    replica.take_over(killed)
    states = replica.task_states(job)  # before a worker finds it, and gives back what it has lost
    replica.take_address()
    assert states == {"Q"} if killed else "Q" not in states, states
    assert told(fleet, worker, 2), fleet.worker_tail()
    assert set(job.await_end(40).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]
    assert set(fleet.submit(fleet.systems()).await_end(40).values()) == {"unlocked"}, "and it goes on with new jobs"
