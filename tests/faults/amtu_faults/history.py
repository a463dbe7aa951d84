# SPDX-License-Identifier: Apache-2.0
"""What happened, read from a folder of records.

    history.json        {"lease": s, "grace": s, "zero": wall clock of the simulator's t=0, "within": s,
                         "least": the share of its tasks that is unlocked whatever happens, "methods": {SYSTEM: its
                         method}, "blind": [the systems without a probe]}
    amtsim.jsonl        the simulator's log
    redis.json          {"jobs": {ID: {fields of the job, "tasks": {SYSTEM: packed task}}}, "others": the same of jobs that
                        were acknowledged to nobody}: Redis at the end
    acknowledged.jsonl  {"t", "job", "systems"}: what was acknowledged to a caller
    states.jsonl        {"t", "job", "system", "state", "fence"}: changes of a task, as seen in Redis
    processes.jsonl     {"t", "worker", "pid", "what": started | died | stopped | continued; of Redis: emptied too,
                         and rolled-back, with "copied": the time of its data}
                         and {"t", "worker", "what": "stepped", "offset": s}: its wall clock, from the host's
    audit-WORKER.jsonl  audit records
    worker-WORKER.log   logs
    proof.key           of the workers: what the secret of an image's boot is derived from
    gates-WORKER        gates that let an act pass (mod_amtunlock/base/failpoint.h), if it has failpoints

All times become the host's wall clock, in seconds.
"""

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

# Redis' clock and the logs' are this host's, but for those that were stepped; a log line is written to the millisecond.
ENDED = ("7", "8")
NEAR = 250.0       # seconds from a known time within which another must be; steps are more than twice that
# What is marked right before it is done, and the steps that do it.
ACTS = {"power-on": "power", "type": "typed", "seal": "typed"}
TASK = ("state", "fence", "intent_fence", "worker", "step", "deadline", "time", "reason")


class Unreadable(Exception):
    """The history is not whole: nothing can be decided from it."""


@dataclass
class Task:
    """One system of one job, as Redis has it at the end."""

    job: str
    system: str
    submitted: float
    state: str
    fence: str
    intent_fence: str
    worker: str
    step: str
    deadline: float  # 0: none
    ended: float
    reason: str
    overdue: bool    # when it ended, Redis' clock was past its deadline

    @property
    def name(self):
        return f"{self.system} of job {self.job}"

    @property
    def result(self):
        return "unlocked" if self.state == "U" else self.reason


@dataclass
class History:
    """Everything that the rules read."""

    lease: float
    grace: float
    within: float
    least: float
    methods: dict = field(default_factory=dict)
    blind: set = field(default_factory=set)        # systems without a probe
    acknowledged: list = field(default_factory=list)
    refused: list = field(default_factory=list)    # requests of which a console was told that nothing was done
    jobs: dict = field(default_factory=dict)
    others: dict = field(default_factory=dict)     # jobs in Redis that were acknowledged to nobody
    tasks: list = field(default_factory=list)
    events: dict = field(default_factory=dict)     # system -> [event], by time; "at" is wall clock
    audit: list = field(default_factory=list)      # by time; "at" is wall clock, "file" its file
    states: list = field(default_factory=list)
    processes: list = field(default_factory=list)
    proof_key: bytes = b""
    changed: list = field(default_factory=list)    # audit lines that are not what was hashed: (file, number)
    lines: list = field(default_factory=list)      # of logs: {"at", "worker", "number", and its pairs}
    found: dict = field(default_factory=dict)      # what of() gave
    gates: dict = field(default_factory=dict)      # (job, system) -> [(at, worker, act)]: before the gates of acts

    def of(self, event):
        """Audit lines of one kind, by (job, system)."""
        if event not in self.found:
            self.found[event] = _by_task(line for line in self.audit if line["event"] == event)
        return self.found[event]

    def holders(self):
        """(job, system) -> log lines by time, of who began with it or took it over."""
        if "holders" not in self.found:
            self.found["holders"] = _by_task(self.log("AMTU0608"))
        return self.found["holders"]

    def log(self, number):
        return [line for line in self.lines if line["number"] == number]

    def seen(self, system, event):
        return [one for one in self.events.get(system, ()) if one["event"] == event]


def _by_task(lines):
    found = defaultdict(list)
    for line in lines:
        found[line.get("job"), line.get("system")].append(line)
    return found


class Clocks:
    """What the wall clocks of processes showed, as the host's time. A clock is stepped by minutes, and each time is
    near another that is known: so only one of the offsets that the clock ever had can be meant."""

    def __init__(self, processes):
        self.offsets = defaultdict(lambda: {0.0})
        for one in processes:
            if one["what"] == "stepped":
                self.offsets[one["worker"]].add(one["offset"])

    def host(self, worker, shown, near):
        """The host's time when this clock showed that, about then."""
        if worker not in self.offsets:
            return shown
        found = [shown - offset for offset in self.offsets[worker] if abs(shown - offset - near) < NEAR]
        if len(found) != 1:
            raise Unreadable(f"{worker}: a clock that was stepped showed {shown:.3f}, and it is not known when that was")
        return found[0]

    def place(self, worker, lines, began, since):
        """Lines that it stamped with its clock, with the host's time: near the submission of their job, or of no job soon
        after the line before. began: job -> when; since: before the first."""
        for line in lines:
            since = self.host(worker, line["at"], began.get(line.get("job"), since))
            yield {**line, "at": since}


def wall(stamp):
    """2026-11-21T19:12:52.123456Z in seconds."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def _json_lines(path, torn_end=False):
    """torn_end: the writer may have died in the middle of the last line, or of one before a restart."""
    found = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            found.append(json.loads(line))
        except ValueError as problem:
            if not torn_end:
                raise Unreadable(f"{path}, line {number}: {problem}") from problem
    return found


def unpack(packed):
    values = packed.split("|")
    if len(values) != len(TASK):
        raise Unreadable(f"no task: {packed!r}")
    return dict(zip(TASK, values))


def _began(acknowledged):
    return {one["job"]: one["t"] for one in acknowledged}


def _tasks(jobs, acknowledged, clocks):
    began = _began(acknowledged)
    for job, fields in jobs.items():
        submitted = float(fields["submitted"]) / 1e6
        near = began.get(job, submitted)
        for system, packed in fields["tasks"].items():
            if system.startswith("!"):
                continue
            task = unpack(packed)
            deadline, ended = float(task.pop("deadline") or 0) / 1e6, float(task.pop("time")) / 1e6
            yield Task(job=job, system=system, submitted=clocks.host("Redis", submitted, near),
                       deadline=deadline and clocks.host("Redis", deadline, near),
                       ended=clocks.host("Redis", ended, near), overdue=0 < deadline < ended, **task)


LINE = re.compile(r"(\S+Z) (\w+) (AMTU\d{4}) (.*)")
PAIR = re.compile(r' ([a-z]+)=("(?:[^"\\]|\\.)*"|\S+)')


def _log_lines(path, worker):
    for line in path.read_text(errors="replace").splitlines():
        found = LINE.fullmatch(line)
        if found:
            pairs = {name: value.strip('"') for name, value in PAIR.findall(" " + found[4])}
            yield {"at": wall(found[1]), "worker": worker, "number": found[3], "text": found[4], **pairs}


def _events(path, zero):
    events = defaultdict(list)
    for event in _json_lines(path):
        event["at"] = zero + event["t"]
        events[event["system"]].append(event)
    return events


HASHED = re.compile(r'(\{.*),"hash":"([0-9a-f]{64})"\}')


def _changed(path):
    """The whole lines of an audit file whose hash is not that of the rest of the line: (file, number)."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        found = HASHED.fullmatch(line)
        if found and hashlib.sha256(f"{found[1]}}}".encode()).hexdigest() != found[2]:
            yield path.name, number


def _gates(path, worker):
    for line in path.read_text().splitlines():
        step, _, at, job, system = line.split()
        if step in ACTS:
            yield (job, system), (float(at), worker, ACTS[step])


def _optional(folder, name):
    path = folder / name
    return _json_lines(path) if path.exists() else []


def load(folder):
    """The History in this folder; Unreadable where something is missing that every run has."""
    folder = Path(folder)
    processes = sorted(_optional(folder, "processes.jsonl"), key=lambda one: one["t"])
    clocks = Clocks(processes)
    try:
        frame = json.loads((folder / "history.json").read_text())
        redis = json.loads((folder / "redis.json").read_text())
        jobs, others = redis["jobs"], redis["others"]
        acknowledged = _json_lines(folder / "acknowledged.jsonl")
        history = History(lease=frame["lease"], grace=frame["grace"], within=frame["within"], least=frame["least"],
                          methods=frame["methods"], blind=set(frame["blind"]),
                          acknowledged=acknowledged, jobs=jobs, others=others, processes=processes,
                          tasks=sorted(_tasks(jobs, acknowledged, clocks), key=lambda task: task.submitted),
                          events=_events(folder / "amtsim.jsonl", frame["zero"]))
    except (OSError, KeyError, ValueError) as problem:
        raise Unreadable(f"{folder}: {problem!r}") from problem
    history.states = _optional(folder, "states.jsonl")
    history.refused = _optional(folder, "refused.jsonl")
    _load_workers(folder, history, clocks)
    if (folder / "proof.key").exists():
        history.proof_key = bytes.fromhex((folder / "proof.key").read_text())
    elif any(event.get("secret") for events in history.events.values() for event in events):
        raise Unreadable(f"{folder}: an image was read, and there is no proof key")
    return history


def _load_workers(folder, history, clocks):
    """What each worker wrote: its audit record, its log, and the gates that it passed."""
    audits = sorted(folder.glob("audit-*.jsonl"))
    if not audits:
        raise Unreadable(f"{folder}: no audit record")
    began = _began(history.acknowledged)
    born = {one["worker"]: one["t"] for one in reversed(history.processes)}
    for path in audits:
        worker = path.stem.removeprefix("audit-")
        lines = [{**line, "at": wall(line["t"]), "file": path.name} for line in _json_lines(path, torn_end=True)]
        history.audit += clocks.place(worker, lines, began, born.get(worker, 0))
        history.changed += _changed(path)
    history.audit.sort(key=lambda line: line["at"])
    for path in sorted(folder.glob("worker-*.log")):
        worker = path.stem.removeprefix("worker-")
        history.lines += clocks.place(worker, _log_lines(path, worker), began, born.get(worker, 0))
    history.lines.sort(key=lambda line: line["at"])
    for path in sorted(folder.glob("gates-*")):
        for key, gate in _gates(path, path.name.removeprefix("gates-")):
            history.gates.setdefault(key, []).append(gate)
    for each in history.gates.values():
        each.sort()
