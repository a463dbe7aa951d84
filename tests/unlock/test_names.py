# SPDX-License-Identifier: Apache-2.0
"""PCs that are known by their names: all addresses of a name are tried, one is kept; a name that nobody answers for is
that PC's trouble only; and a helper that hangs is no trouble of those beside it."""

import re
import time

import pytest
from dns import SILENT, Dns
from rig import wait_until

DEAD = "127.255.255.1"  # nobody listens there


@pytest.fixture
def dns():
    server = Dns({})
    yield server
    server.stop()


def by_name(fleet, server, probe=True):
    """A worker whose inventory has no addresses; its name leads to each PC, until a test says otherwise."""
    worker = fleet.prepare_worker()
    rows = fleet.fleet.systems()
    server.names.update((row["fqdn"], [row["address"]]) for row in rows)
    worker.write_inventory([{**row, "address": "", "probe": row["probe"] if probe else ""} for row in rows])
    return worker


def start(fleet, worker, server):
    fleet.start_worker(worker, server.environment())


def address_of(fleet, system):
    return next(row["address"] for row in fleet.fleet.systems() if row["fqdn"] == system)


def breaker(fleet, system):
    return fleet.redis_call("HGETALL", "{amtu}:breaker:" + system)


@pytest.mark.parametrize("method", ["wake", "sol"])
def test_the_second_address_where_the_first_is_dead(rig, dns, method):
    fleet = rig(systems=1, method=method)
    worker = by_name(fleet, dns)
    system, = fleet.systems()
    dns.names[system] = [DEAD, address_of(fleet, system)]
    start(fleet, worker, dns)
    assert fleet.submit([system]).await_end(30) == {system: "unlocked"}
    assert dns.asked.count(system) <= 4, "once a task, an A and an AAAA question; more only if it was not answered"
    line, = [one for one in fleet.audit(worker) if one["event"] == "outcome"]
    assert line["address"] == address_of(fleet, system)


def test_an_address_that_has_become_another_pcs(rig, dns):
    """Its record in DNS is old. The other PC is shown no login, and stays as it is."""
    fleet = rig(systems=2, method="sol")
    worker = by_name(fleet, dns)
    system, other = fleet.systems()
    dns.names[system] = [address_of(fleet, other), address_of(fleet, system)]
    start(fleet, worker, dns)
    assert fleet.submit([system]).await_end(30) == {system: "unlocked"}
    assert fleet.power_requests(system) == 1 and fleet.power_requests(other) == 0
    assert not fleet.events(other, "auth") and not fleet.events(other, "request-seen")


def test_without_tls_the_uuid_says_which(rig, dns):
    fleet = rig(systems=2, tls="none")
    worker = by_name(fleet, dns)
    system, other = fleet.systems()
    # A login that both take: that the other lets us in does not make it this PC.
    (worker.folder / "secrets").write_text("amt * %s %s\n" % fleet.fleet.administrator())
    dns.names[system] = [address_of(fleet, other), address_of(fleet, system)]
    start(fleet, worker, dns)
    assert fleet.submit([system]).await_end(30) == {system: "unlocked"}
    assert fleet.power_requests(system) == 1 and fleet.power_requests(other) == 0


def test_a_name_without_address_is_not_held_against_its_pc(rig, dns):
    """What a silent one does to others: the kind dead-zone of the fault campaign."""
    fleet = rig(systems=3)
    worker = by_name(fleet, dns)
    silent, unknown, well = fleet.systems()
    dns.names[silent] = SILENT
    del dns.names[unknown]
    start(fleet, worker, dns)
    job = fleet.submit([silent, unknown, well])
    assert wait_until(lambda: job.results()[unknown] == "unreachable" and job.results()[well] == "unlocked", 20)
    assert job.tasks()[unknown][2] == "resolve" and job.tasks()[silent][0] == "C"
    assert f"{unknown} has no address: there is no such name" in worker.log.read_text()
    assert not breaker(fleet, unknown)


HELPER = """#!/bin/sh
while IFS='=' read -r key value; do
    if [ "$key" = fqdn ] && [ "$value" != "{well}" ]; then exec sleep 600; fi
done
exit 1
"""


def test_a_helper_that_hangs_for_others_of_the_same_group(rig):
    fleet = rig(systems=41, group=("reset-running = no",))
    worker = fleet.prepare_worker()
    *hanging, well = fleet.systems()
    helper = worker.folder / "helper"
    helper.write_text(HELPER.format(well=well))
    helper.chmod(0o755)
    own = f"secrets = file:{worker.folder}/secrets"
    worker.config.write_text(worker.config.read_text().replace(own, f"secrets = exec:{helper}\n{own}"))
    text = worker.inventory.read_text()
    worker.inventory.write_text(re.sub(r",floor-\d,", ",floor-1,", text))
    fleet.start_worker(worker)
    job = fleet.submit(hanging, caller="others@FLEET.TEST")
    job.await_states("C", 10)
    began = time.monotonic()
    assert fleet.submit([well]).await_end(9) == {well: "unlocked"}
    assert time.monotonic() - began < 9
    assert set(job.await_end(40).values()) == {"no-secret"}
    assert {task[2] for task in job.tasks().values()} == {"login"}
    assert "did not answer in time" in worker.log.read_text()
    assert not any(breaker(fleet, system) for system in hanging)
