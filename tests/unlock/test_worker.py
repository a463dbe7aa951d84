# SPDX-License-Identifier: Apache-2.0
"""The worker end to end: real Redis, simulated PCs that are as strict as firmware, real amtunlockd processes.

Whatever happens, a PC gets at most one power request a task: the simulator counts.
"""

import os
import resource
import signal
import subprocess
import time

import pytest

from rig import TERMINATED, wait_until

# What each fault of a PC looks like from outside, and how many power requests it may have seen by then.
FAULTS = {
    "black-hole": ("unreachable", 0),
    "silent": ("unreachable", 0),
    "refused": ("unreachable", 0),
    "reset": ("unreachable", 0),
    "auth-fails": ("auth-failed", 0),
    "wrong-certificate": ("tls-untrusted", 0),
    "wrong-uuid": ("not-verified", 0),
    "garbage": ("amt-fault", 0),
    "endless": ("amt-fault", 0),
    "switched-on": ("unlocked", 1),
    "power-lost": ("unlocked", 1),
    "power-ignored": ("amt-fault", 1),
    "slow": ("unlocked", 1),
}


def state_of(rig, system):
    return rig.fleet.tell(do="state", system=system)


def test_twenty_pcs_are_woken(rig):
    fleet = rig(systems=20, boot_seconds="1-2")
    worker = fleet.add_worker()
    job = fleet.submit(fleet.systems())
    assert set(job.await_end(20).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1] * 20
    records = fleet.audit(worker)
    for system in fleet.systems():
        assert [one["event"] for one in records if one.get("system") == system] == ["intent", "mark", "outcome"]
    assert {one["mark"] for one in records if one["event"] == "mark"} == {"power"}
    intent = next(one for one in records if one["event"] == "intent")
    assert intent["caller"] == "console@FLEET.TEST" and intent["act"]["power"] == 2


def test_no_intent_is_recorded_after_its_power_request(rig):
    fleet = rig(systems=6)
    worker = fleet.add_worker()
    fleet.submit(fleet.systems()).await_end(20)
    clock = {one["system"]: one["t"] for one in fleet.audit(worker) if one["event"] == "intent"}
    assert len(clock) == 6 and all(stamp.endswith("Z") for stamp in clock.values())
    lines = worker.log.read_text()
    assert "error" not in lines, lines


@pytest.fixture(scope="module")
def faulty(request):
    """All faults side by side in one job, and healthy PCs among them."""
    from rig import Rig
    one = Rig("faults", systems=len(FAULTS) + 4, boot_seconds="1-1", boot_timeout=20)
    one.up()
    request.addfinalizer(one.down)
    systems = one.systems()
    one.broken = dict(zip(FAULTS, systems))
    one.healthy = systems[len(FAULTS):]
    for name, system in one.broken.items():
        one.break_pc(system, name)
    one.worker = one.add_worker()
    one.began = time.monotonic()
    one.job = one.submit(systems)
    wait_until(lambda: all(one.job.tasks()[system][0] == "U" for system in one.healthy), 20)
    one.healthy_after = time.monotonic() - one.began
    one.results = one.job.await_end(90)
    one.tasks = one.job.tasks()
    return one


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(faulty, fault):
    system = faulty.broken[fault]
    expected, power = FAULTS[fault]
    assert faulty.results[system] == expected, (faulty.tasks[system], faulty.worker_tail())
    assert faulty.power_requests(system) == power


def test_broken_pcs_do_not_hold_up_healthy_ones(faulty):
    assert {faulty.results[system] for system in faulty.healthy} == {"unlocked"}
    assert faulty.healthy_after < 8


def test_a_wrong_password_is_tried_once(faulty):
    refused = [one for one in faulty.events(faulty.broken["auth-fails"], "auth") if not one["ok"]]
    assert len(refused) == 1


def test_a_failure_names_the_step(faulty):
    assert faulty.tasks[faulty.broken["black-hole"]][2] == "identity"
    assert faulty.tasks[faulty.broken["power-ignored"]][2] == "watch"


def test_no_secret_is_written_anywhere(faulty):
    passwords = {row["password"] for row in faulty.fleet.systems()}
    places = [faulty.worker.log.read_text(), (faulty.worker.folder / "audit.jsonl").read_text(),
              faulty.places.log(faulty.worker.name).read_text()]
    data = b"".join(path.read_bytes() for path in (faulty.places.run / "redis" / "data").rglob("*") if path.is_file())
    for password in passwords:
        assert password and not any(password in text for text in places)
        assert password.encode() not in data


NO_UUID = "00000000-0000-0000-0000-000000000000"
BOARD_UUID = "03000200-0400-0500-0006-000700080009"


def has_intent(fleet, worker, system):
    return any(one["event"] == "intent" and one["system"] == system for one in fleet.audit(worker))


def test_a_pc_that_says_the_uuid_of_another_line_does_not_hold_it_up(rig):
    """Its own line has no UUID, so nothing else contradicts it; and it boots for longer than the other one waits."""
    fleet = rig(systems=2, boot_seconds="6-6")
    hostile, honest = fleet.fleet.systems()
    worker = fleet.prepare_worker()
    worker.write_inventory([{**hostile, "uuid": ""}, honest])
    fleet.start_worker(worker)
    fleet.fleet.tell(do="uuid", system=hostile["fqdn"], uuid=honest["uuid"])
    first = fleet.submit([hostile["fqdn"]])
    assert first.await_end(10) == {hostile["fqdn"]: "not-verified"}
    assert first.tasks()[hostile["fqdn"]][2] == "identity"
    assert fleet.power_requests(hostile["fqdn"]) == 0
    said = next(one["text"] for one in fleet.audit(worker) if one["event"] == "outcome")
    assert honest["uuid"] in said and honest["fqdn"] in said
    assert fleet.submit([honest["fqdn"]]).await_end(20) == {honest["fqdn"]: "unlocked"}


def test_a_pc_that_says_the_uuid_of_another_pc_does_not_hold_it_up(rig):
    """No line has a UUID, so only their keys in TLS tell them apart; two lines of one PC are still one."""
    fleet = rig(systems=3, boot_seconds="4-4")
    worker = fleet.prepare_worker()
    rows = [{**row, "uuid": ""} for row in fleet.fleet.systems()]
    worker.write_inventory(rows)
    fleet.start_worker(worker)
    hostile, honest, _ = fleet.systems()
    fleet.fleet.tell(do="uuid", system=hostile, uuid=fleet.fleet.systems()[1]["uuid"])
    first = fleet.submit([hostile])
    assert wait_until(lambda: has_intent(fleet, worker, hostile), 10)
    second = fleet.submit([honest])
    assert wait_until(lambda: has_intent(fleet, worker, honest), 4), second.tasks()
    assert first.await_end(20) == {hostile: "unlocked"} and second.await_end(20) == {honest: "unlocked"}
    acts = [one["act"] for one in fleet.audit(worker) if one["event"] == "intent"]
    assert [len({act[name] for act in acts}) for name in ("device", "certificate")] == [1, 2]


@pytest.mark.parametrize("uuid", [NO_UUID, BOARD_UUID])
def test_pcs_without_a_uuid_are_not_one_device(rig, uuid):
    fleet = rig(systems=2, boot_seconds="4-4")
    worker = fleet.prepare_worker()
    worker.write_inventory([{**row, "uuid": ""} for row in fleet.fleet.systems()])
    fleet.start_worker(worker)
    for system in fleet.systems():
        fleet.fleet.tell(do="uuid", system=system, uuid=uuid)
    job = fleet.submit(fleet.systems())
    assert wait_until(lambda: all(has_intent(fleet, worker, system) for system in fleet.systems()), 4), job.tasks()
    assert set(job.await_end(20).values()) == {"unlocked"}


def change_settings(worker):
    worker.config.write_text(worker.config.read_text().replace("boot-timeout = 20", "boot-timeout = 21"))
    worker.process.signal(signal.SIGHUP)


def change_bundle(worker):
    """As an administrator does, by renaming; it is read again while the worker runs."""
    bundle = worker.folder / "amt-ca.pem"
    new = bundle.with_suffix(".new")
    new.write_text("a new bundle\n" + bundle.read_text())
    new.rename(bundle)


def change_uuid(worker):
    rows = worker.inventory.read_text().splitlines()
    worker.inventory.write_text("\n".join([rows[0], rows[1].replace(rows[1].split(",")[2], ""), *rows[2:]]) + "\n")
    worker.process.signal(signal.SIGHUP)


def intents_of(fleet, worker):
    return [one["system"] for one in fleet.audit(worker) if one["event"] == "intent"]


@pytest.mark.parametrize("change", [change_settings, change_bundle, change_uuid])
def test_workers_of_two_minds_do_not_claim_together(rig, change):
    """Both are reloaded, one after the other: no task is lost, and none is done as the settings were before."""
    fleet = rig(systems=6)
    first, second = fleet.add_worker(), fleet.add_worker()
    systems = fleet.systems()
    assert set(fleet.submit(systems[:2]).await_end(20).values()) == {"unlocked"}
    before = len(intents_of(fleet, second))
    change(first)
    assert wait_until(lambda: fleet.heard(second, "AMTU0450"), 10), fleet.worker_tail()
    assert set(fleet.submit(systems[2:4]).await_end(20).values()) == {"unlocked"}
    assert len(intents_of(fleet, second)) == before, "it went on as before"
    change(second)
    assert wait_until(lambda: fleet.redis_call("ZCARD", "{amtu}:inventory:workers") == 2, 15), fleet.worker_tail()
    digest = fleet.redis_call("HGET", "{amtu}:inventory", "digest")
    first.process.signal(signal.SIGSTOP)
    try:
        assert set(fleet.submit(systems[4:]).await_end(30).values()) == {"unlocked"}, fleet.worker_tail()
    finally:
        first.process.signal(signal.SIGCONT)
    assert set(intents_of(fleet, second)) >= set(systems[4:])
    assert fleet.redis_call("HGET", "{amtu}:inventory", "digest") == digest, "they agree"
    assert first.log.read_text().count("AMTU0450") == 0


def test_running_pcs(rig):
    fleet = rig(systems=2)
    fleet.add_worker()
    up, stuck = fleet.systems()
    fleet.fleet.tell(do="power", system=up, to=2)
    assert wait_until(lambda: fleet.events(up, "os-up"), 10)
    before = {system: fleet.power_requests(system) for system in (up, stuck)}
    assert fleet.submit([up]).await_end(10) == {up: "unlocked"}
    assert fleet.power_requests(up) == before[up]


def test_a_pc_that_runs_without_its_system_is_left_alone(rig):
    fleet = rig(systems=1, boot_seconds="60-60")
    fleet.add_worker()
    system, = fleet.systems()
    fleet.fleet.tell(do="power", system=system, to=2)
    assert fleet.submit([system]).await_end(10) == {system: "already-on"}
    assert fleet.power_requests(system) == 0


def test_a_second_job_joins_the_first(rig):
    fleet = rig(systems=1, boot_seconds="3-3")
    fleet.add_worker()
    first = fleet.submit(fleet.systems())
    first.await_states("IPB", 10)
    second = fleet.submit(fleet.systems(), caller="other@FLEET.TEST")
    second.await_states("J", 10)
    assert first.await_end(15) == second.await_end(5) == {fleet.systems()[0]: "unlocked"}
    assert fleet.power_requests(fleet.systems()[0]) == 1


def test_killed_while_booting_a_second_worker_looks(rig):
    fleet = rig(systems=3, boot_seconds="6-6", boot_timeout=60)
    fleet.environment = {"AMTUNLOCK_TEST_LEASE_MS": "3000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}
    first = fleet.add_worker()
    job = fleet.submit(fleet.systems())
    job.await_states("PB", 10)
    fleet.add_worker()
    first.process.signal(signal.SIGKILL)
    assert set(job.await_end(30).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]
    looks = fleet.workers[1].log.read_text().count("takes over from a predecessor")
    assert looks == 3


def test_a_frozen_worker_touches_nothing_after_its_lease(rig):
    fleet = rig(systems=2, boot_seconds="1-1", faults="")
    fleet.environment = {"AMTUNLOCK_TEST_LEASE_MS": "2000", "AMTUNLOCK_TEST_GRACE_MS": "1000"}
    for system in fleet.systems():
        fleet.break_pc(system, "black-hole")
    first = fleet.add_worker()
    job = fleet.submit(fleet.systems())
    # Both are in its hands: frozen any earlier, it would never learn that it had claimed them.
    assert wait_until(lambda: first.log.read_text().count("AMTU0608") == 2, 10)
    first.process.signal(signal.SIGSTOP)
    for system in fleet.systems():
        fleet.heal(system, "black-hole")
    fleet.add_worker()
    assert set(job.await_end(30).values()) == {"unlocked"}
    requests = [fleet.power_requests(system) for system in fleet.systems()]
    first.process.signal(signal.SIGCONT)
    assert wait_until(lambda: fleet.heard(first, "AMTU0609"), 20), first.log.read_text()
    assert [fleet.power_requests(system) for system in fleet.systems()] == requests == [1, 1]


def test_sighup_in_the_middle_of_a_job(rig):
    fleet = rig(systems=4, boot_seconds="3-3")
    worker = fleet.add_worker()
    job = fleet.submit(fleet.systems())
    job.await_states("PB", 10)
    kept = fleet.fleet.systems()[:2]
    os.rename(worker.log, worker.folder / "worker.log.1")
    worker.write_inventory(kept)
    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0316") and fleet.heard(worker, "AMTU0445"), 10)
    assert set(job.await_end(15).values()) == {"unlocked"}, "what was running runs on"
    assert worker.process.alive()
    assert fleet.redis_call("HGET", "{amtu}:inventory", "systems") == "2"


def test_a_bad_reload_changes_nothing(rig):
    fleet = rig(systems=2)
    worker = fleet.add_worker()
    before = fleet.redis_call("HGET", "{amtu}:inventory", "digest")
    with open(worker.inventory, "a") as inventory:
        inventory.write("pc-9.fleet.test,127.0.0.9,,default,no-such-method,,,22\n")
    worker.process.signal(signal.SIGHUP)
    assert wait_until(lambda: fleet.heard(worker, "AMTU0315"), 10)
    assert "line=4" in worker.log.read_text()
    assert fleet.redis_call("HGET", "{amtu}:inventory", "digest") == before
    assert set(fleet.submit(fleet.systems()).await_end(15).values()) == {"unlocked"}


@pytest.mark.parametrize("supervised", ["1", "0"])
def test_sigterm_before_the_intent_gives_back(rig, supervised):
    fleet = rig(systems=2)
    for system in fleet.systems():
        fleet.break_pc(system, "black-hole")
    worker = fleet.add_worker({"AMTUNLOCK_SUPERVISED": supervised})
    job = fleet.submit(fleet.systems())
    job.await_states("C", 10)
    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 2.9)
    assert {task[0] for task in job.tasks().values()} == {"Q"}
    for system in fleet.systems():
        fleet.heal(system, "black-hole")
    fleet.start_worker(worker)
    assert set(job.await_end(15).values()) == {"unlocked"}


@pytest.mark.parametrize("supervised", ["1", "0"])
def test_sigterm_leaves_what_has_an_intent_for_others_at_once(rig, supervised):
    fleet = rig(systems=2, boot_seconds="4-4", boot_timeout=60)
    worker = fleet.add_worker({"AMTUNLOCK_SUPERVISED": supervised})
    job = fleet.submit(fleet.systems())
    job.await_states("PB", 10)
    began = time.monotonic()
    worker.process.signal(signal.SIGTERM)
    assert wait_until(lambda: not worker.process.alive(), 2.9)
    assert {task[0] for task in job.tasks().values()} == {"L"}
    fleet.start_worker(worker)
    assert set(job.await_end(15).values()) == {"unlocked"}
    assert time.monotonic() - began < 15
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1]


def test_cancelled_before_its_intent_a_pc_stays_off(rig):
    fleet = rig(systems=1)
    fleet.environment = {"AMTUNLOCK_TEST_LEASE_MS": "2000"}
    system, = fleet.systems()
    fleet.break_pc(system, "black-hole")
    worker = fleet.add_worker()
    job = fleet.submit([system])
    job.await_states("C", 10)
    fleet.cancel(job)
    assert job.state() == TERMINATED
    assert wait_until(lambda: fleet.heard(worker, "AMTU0609"), 10)
    assert fleet.power_requests(system) == 0


def test_redis_that_stops_answering_loses_no_result(rig):
    fleet = rig(systems=3, boot_seconds="2-2")
    worker = fleet.add_worker()
    job = fleet.submit(fleet.systems())
    job.await_states("PB", 10)
    fleet.redis_process.signal(signal.SIGSTOP)
    try:
        assert wait_until(lambda: fleet.heard(worker, "AMTU0426"), 15), fleet.worker_tail()
    finally:
        fleet.redis_process.signal(signal.SIGCONT)
    assert set(job.await_end(15).values()) == {"unlocked"}
    assert [fleet.power_requests(system) for system in fleet.systems()] == [1, 1, 1]


def test_without_an_audit_record_no_pc_is_touched(rig):
    fleet = rig(systems=2, one_user=True)
    worker = fleet.add_worker()
    first, second = fleet.systems()
    assert fleet.submit([first]).await_end(10) == {first: "unlocked"}
    _, most = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE)
    size = (worker.folder / "audit.jsonl").stat().st_size
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (size, most))
    job = fleet.submit([second])
    # Its login is fetched and its power state read, and the intent is turned down.
    assert wait_until(lambda: fleet.events(second, "auth"), 10)
    assert wait_until(lambda: job.tasks()[second][0] == "Q", 10), job.tasks()
    time.sleep(1.5)  # more than a round of the intake: a worker that cannot write does not claim again
    assert job.tasks()[second][0] == "Q"
    assert fleet.power_requests(second) == 0
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (most, most))
    assert job.await_end(15) == {second: "unlocked"}
    assert fleet.power_requests(second) == 1
    verify = subprocess.run([fleet.places.program("amtunlockd"), "audit", "verify", worker.folder / "audit.jsonl"],
                            capture_output=True, text=True, check=False)
    assert verify.returncode == 0, verify.stderr


def test_only_one_worker_on_a_host(rig):
    fleet = rig(systems=1)
    worker = fleet.add_worker()
    second = fleet.start_worker(worker, ready=False)
    assert wait_until(lambda: not second.alive(), 15)
    assert "another worker runs on this host" in worker.log.read_text() + fleet.places.log(worker.name).read_text()


def test_a_task_for_a_system_that_no_inventory_has(rig):
    fleet = rig(systems=1)
    worker = fleet.add_worker()
    generation = fleet.redis_call("HGET", "{amtu}:inventory", "generation")
    fleet.redis_call("HSET", "{amtu}:inventory:" + generation, "s:forged.fleet.test", "default|wake",
                     "n:forged.fleet.test", "forged.fleet.test")
    assert fleet.submit(["forged.fleet.test"]).await_end(10) == {"forged.fleet.test": "not-available"}
    assert fleet.heard(worker, "AMTU0448")
