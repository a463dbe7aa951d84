# SPDX-License-Identifier: Apache-2.0
"""PCs in a DNS zone whose servers are silent, and PCs whose helper hangs, beside PCs with which all is well: those must
be unlocked as if the others were not there, and the others end with what is true of them.

A busy machine makes times longer, never shorter: of some jobs one after the other the quickest counts, and the dead ones must
not have ended before the last of these. Leases are those that are installed: a busy machine lets shorter ones run out.
"""

from pathlib import Path

from .around import Dns, Failure, wait_until
from .campaign import Kind
from .kills import REAL_TIMES, use_real_times
from .lane import Lane
from .records import Broken, Wrong

LABEL = "a silent zone, a helper that hangs"
ENDED = 100  # seconds in which also the dead ones have ended
MORE = 1.1   # the honest ones' p99 against theirs alone, the least of
TIMES = 3    # jobs of theirs each
POLL = 0.01

HELPER = """#!/bin/sh
while IFS='=' read -r key value; do
    if [ "$key" = fqdn ]; then name=$value; fi
done
if [ -e "{hanging}/$name" ]; then
    exec sleep 600
fi
exit 1
"""


class DeadZone(Lane):
    """PCs are known by their names only, and secrets come by a helper that leaves them to the file."""

    def __init__(self, name, counts, slack, times):
        self.counts, self.slack, self.times = counts, slack, times
        self.dns = Dns({})
        honest, silent, hanging = counts
        super().__init__(name, systems=2 * times * honest + silent + hanging, boot_seconds="0.5-0.5", boot_timeout=60)
        use_real_times(self)

    def prepare_worker(self):
        worker = super().prepare_worker()
        rows = self.fleet.systems()
        self.hanging = worker.folder / "hanging"
        self.hanging.mkdir(mode=0o755)
        helper = worker.folder / "helper"
        helper.write_text(HELPER.format(hanging=self.hanging))
        helper.chmod(0o755)
        self.mend_all()
        worker.write_inventory([{**row, "address": ""} for row in rows])
        secrets = f"secrets = file:{worker.folder}/secrets"
        text = worker.config.read_text()
        assert secrets in text
        worker.config.write_text(text.replace(secrets, f"secrets = exec:{helper}\n{secrets}"))
        return worker

    def mend_all(self):
        """No name is silent and no helper hangs."""
        self.dns.names.update((row["fqdn"], [row["address"]]) for row in self.fleet.systems())
        for file in self.hanging.iterdir():
            file.unlink()

    def down(self):
        super().down()
        self.dns.stop()

    def group_again(self, worker, hanging):
        """The PCs whose helper hangs are a group of their own."""
        lines = worker.inventory.read_text().splitlines()
        for number, line in enumerate(lines):
            fields = line.split(",")
            if fields[0] in hanging:
                lines[number] = ",".join([*fields[:3], "vault", *fields[4:]])
        worker.inventory.write_text("\n".join(lines) + "\n")


def seconds_of(lane, job):
    """{system: seconds from the job's begin to its unlock}"""
    return {one["system"]: one["t"] - job.began for one in lane.states if one["job"] == job.id and one["state"] == "U"}


def p99(seconds):
    return sorted(seconds)[int(0.99 * (len(seconds) - 1))]


def unlock_honest(lane):
    """The least over some jobs, one after the other, of the 99th percentile of seconds that a PC took."""
    found = []
    for _ in range(lane.times):
        job = lane.submit(lane.take(lane.counts[0]))
        if not lane.watch_end(job, ENDED):
            raise Broken(f"not ended: {job.tasks()}")
        if set(job.results().values()) != {"unlocked"}:
            raise Broken(f"honest PCs that were not unlocked: {job.results()}")
        found.append(p99(seconds_of(lane, job).values()))
    return min(found)


def check_dead(lane, job, reason, step):
    """How many ended as they should, none of them with a breaker."""
    well = 0
    for system, (state, why, where) in job.tasks().items():
        if (state, why, where) != ("F", reason, step):
            raise Wrong("own-reason", f"{system} ended {state} {why} at {where}, not {reason} at {step}")
        if lane.redis_call("EXISTS", "{amtu}:breaker:" + system):
            raise Wrong("no-breaker", f"{system} is left alone for what is not its fault")
        well += 1
    return well


def helpers_alive(lane):
    """Children of this lane's worker: it has no others."""
    parent = str(lane.workers[0].process.pid)
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has gone
            continue
        if fields[1] == parent and fields[0] != "Z":
            found.append(file.parent.name)
    return found


def dead_round(lane, _rng):
    lane.label = LABEL
    lane.poll = POLL
    _, silent, hanging = lane.counts
    lane.mend_all()
    no_zone, no_secret = lane.take(silent), lane.take(hanging)
    alone = unlock_honest(lane)
    lane.dns.names.update(dict.fromkeys(no_zone))
    for system in no_secret:
        (lane.hanging / system).touch()
    zone_job = lane.submit(no_zone, caller="zone@FLEET.TEST")
    secret_job = lane.submit(no_secret, caller="secret@FLEET.TEST")
    if not lane.watch_until(secret_job, lambda seen: set(seen.values()) == {"C"}, 10):
        raise Broken("not all that hang have begun")
    beside = unlock_honest(lane)
    for job in (zone_job, secret_job):
        if set(lane.watch(job).values()) <= set("UFX"):
            raise Broken(f"the dead ones had ended before the honest ones: {job.results()}")
    for job in (zone_job, secret_job):
        if not lane.watch_end(job, ENDED):
            raise Broken(f"not ended: {job.tasks()}")
    lane.counted[LABEL] += check_dead(lane, zone_job, "unreachable", "resolve")
    lane.counted[LABEL] += check_dead(lane, secret_job, "no-secret", "login")
    if not wait_until(lambda: not helpers_alive(lane), 5, 0.05):
        raise Broken(f"helpers outlived their limit: {helpers_alive(lane)}")
    figures = f"p99 alone {alone:.2f} s, beside {beside:.2f} s"
    print(f"{lane.name}: honest PCs: {figures}", flush=True)
    if beside > MORE * alone + lane.slack:
        raise Broken(f"the honest PCs were held up: {figures}")


def make_lane(name, counts, slack, times):
    lane = DeadZone(name, counts, slack, times)
    try:
        lane.up()
        worker = lane.prepare_worker()
        _, silent, hanging = counts
        lane.group_again(worker, set(list(lane.ready)[silent:silent + hanging]))
        lane.add_prepared(worker, {**REAL_TIMES, **lane.dns.environment()})
    except (Failure, OSError):
        lane.down()
        raise
    return lane


def kind(honest, silent, hanging, slack, alone=False):
    """slack: seconds that the honest ones may take longer besides; other lanes run on the same machine."""
    return Kind("dead-zone", lambda name: make_lane(name, (honest, silent, hanging), slack, TIMES if alone else 1),
                [(LABEL, dead_round)], 1, ("fail",), alone)
