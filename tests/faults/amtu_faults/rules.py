# SPDX-License-Identifier: Apache-2.0
"""The promises, each a function from a History to the breaches of it.

A rule decides from records only; nothing here knows what a campaign meant to break.
"""

import hashlib
import hmac
from collections import Counter, defaultdict
from dataclasses import dataclass

from .history import ENDED

CLOCKS = 0.002   # two clocks of one host, one of them read over a connection
AT_GATE = 0.5     # between a gate and the simulator's event of the request, on a busy machine
STARTS = 5.0     # after lease and grace, verifying has begun within this
INTENDED = set("IPBLK")
NOT_NOW = {None, 2, 4099}  # results of power requests that did nothing, for now
# Results that Redis itself decides, without a worker.
BY_REDIS = {"indeterminate", "timeout", "cancelled", "not-available"}


@dataclass(frozen=True)
class Breach:
    rule: str
    subject: str
    text: str
    job: str = ""  # where it is about one

    def __str__(self):
        return f"{self.rule}: {self.subject}: {self.text}"


def _first_intents(history):
    """system -> [(at, job)]: when the first intent of each task was on disk, by time."""
    first = {}
    for (job, system), lines in history.of("intent").items():
        first[system, job] = min(line["at"] for line in lines)
    found = defaultdict(list)
    for (system, job), at in first.items():
        found[system].append((at, job))
    return {system: sorted(each) for system, each in found.items()}


def _owned(history, happened):
    """(job or None, event): the job whose intent came last before it."""
    intents = _first_intents(history)
    for system, events in history.events.items():
        for event in events:
            if happened(event):
                owners = [job for at, job in intents.get(system, ()) if at <= event["at"] + CLOCKS]
                yield owners[-1] if owners else None, event


def powers(history):
    """(job or None, power request) of every power request."""
    return _owned(history, lambda event: event["event"] == "power")


def is_secret(event):
    """A PC heard a passphrase, or a seal. An empty line at its prompt is none; what an image did with its seal neither."""
    if event["event"] == "passphrase":
        return "volume" in event or event.get("bytes", 0) > 0
    return event["event"] == "leak" or (event["event"] == "proof" and event["what"] in ("seal", "late-seal"))


def secrets(history):
    """(job or None, event) of every passphrase and seal that a PC heard."""
    return _owned(history, is_secret)


def _did_nothing(event):
    """The device said that it is not ready, or busy, or refused it before it looked."""
    return event.get("result", 0) in NOT_NOW


def never_twice(history):
    """At most one power request a task, and none without a durable intent before it. One that the device refused, for now,
    may be sent again; none may follow one that it did not refuse."""
    count = Counter()
    for job, event in powers(history):
        if job is None:
            yield Breach("intent-first", event["system"], f"a power request at t={event['t']:.3f} has no intent before it")
        elif count[job, event["system"]] or not _did_nothing(event):
            count[job, event["system"]] += 1
    for (job, system), times in sorted(count.items()):
        if times > 1:
            yield Breach("never-twice", f"{system} of job {job}", f"{times} power requests", job)


def typed_once(history):
    """At most one passphrase or seal a volume of a task, over all workers, and none without a durable intent before it."""
    count = Counter()
    for job, event in secrets(history):
        if job is None:
            yield Breach("intent-first", event["system"], f"a passphrase at t={event['t']:.3f} has no intent before it")
        else:
            count[job, event["system"], event.get("volume", "")] += 1
    for (job, system, volume), times in sorted(count.items()):
        if times > 1:
            yield Breach("typed-once", f"{system} of job {job}", f"{times} passphrases or seals {volume}".rstrip(), job)


LINES = 2  # of the three tries that a program allows as a rule


def keeps_a_try(history):
    """No empty line is sent to ask for a prompt that would leave no try for the passphrase, over all workers of a task."""
    count = Counter()
    for job, event in _owned(history, lambda one: one["event"] == "passphrase" and one.get("bytes") == 0):
        count[job, event["system"]] += 1
    for (job, system), times in sorted(count.items()):
        if times > LINES:
            yield Breach("keeps-a-try", f"{system} of job {job}", f"{times} empty lines", job)


def beyond_help(history, task):
    """Why no worker could have unlocked it any more once another was lost; None where one could. The firmware looked for
    its drive while nobody served it; or the worker was lost between its mark and the request that never left."""
    during = [event["event"] for event in history.events.get(task.system, ())
              if task.submitted <= event["at"] <= task.ended + CLOCKS]
    if history.methods.get(task.system) == "image" and "drive-left" in during and "image" not in during:
        return "its firmware found no drive"
    if task.reason == "indeterminate" and "power" not in during and _marks(history, task.job, task.system, "power"):
        return "marked and never powered"
    return None


def costs_no_unlock(history):
    """So large a share of the tasks of a job is unlocked whatever happened to workers, of those that still could be."""
    tasks = defaultdict(list)
    for task in history.tasks:
        if history.least and (task.state == "U" or beyond_help(history, task) is None):
            tasks[task.job].append(task.state)
    for job, each in tasks.items():
        if each.count("U") < history.least * len(each):
            yield Breach("costs-no-unlock", f"job {job}", f"{each.count('U')} of {len(each)} unlocked that could be, of "
                                                          f"which {100 * history.least:.0f} % must be", job)


def _marks(history, job, system, mark):
    """Lines of the record."""
    return [line for line in history.of("mark").get((job, system), ()) if line["mark"] == mark]


def _marked_acts(history):
    """(mark, job, event) of all that a PC heard and that is marked before."""
    for mark, heard in (("power", powers(history)), ("typed", secrets(history))):
        for job, event in heard:
            if job is not None:
                yield mark, job, event


def marked_first(history):
    """No power request, and no passphrase or seal, without a durable mark before it."""
    for mark, job, event in _marked_acts(history):
        if not any(line["at"] <= event["at"] + CLOCKS for line in _marks(history, job, event["system"], mark)):
            yield Breach("marked-first", f"{event['system']} of job {job}",
                         f"{event['event']} at t={event['t']:.3f} has no mark {mark!r} before it", job)


def obeys_marks(history):
    """Who took a task over does nothing that had been marked before, and marks it no second time; who was told of marks
    that are not known, or of one that a passphrase has left, does nothing at all."""
    for (job, system), lines in history.holders().items():
        for line, following in zip(lines, [*lines[1:], {"at": float("inf")}]):
            told = set(line.get("marks", "").split())
            never = told & {"line", "again"} | ({"power", "typed"} if told & {"typed", "unknown"} else told & {"power"})
            done = {act for at, worker, act in history.gates.get((job, system), ())
                    if worker == line["worker"] and line["at"] - CLOCKS <= at < following["at"]}
            marked = {mark for mark in never if any(one["fence"] == line["fence"] for one in _marks(history, job, system, mark))}
            for act in sorted(never & (done | marked)):
                yield Breach("obeys-marks", f"{system} of job {job}",
                             f"{act} though it was taken over with the marks {line['marks']!r}", job)


def _intents(history, key, at):
    """Those on the record by then, without what Redis did not take: by such a one nothing is done."""
    withdrawn = {line["fence"] for line in history.of("intent-withdrawn").get(key, ())}
    return [line for line in history.of("intent").get(key, ()) if line["at"] <= at and line["fence"] not in withdrawn]


def _boot_fence(history, job, event):
    """Of the intent by which an image was booted, which later ones name again; "" if there is none."""
    fences = [line["act"]["boot_fence"] for line in _intents(history, (job, event["system"]), event["at"] + CLOCKS)
              if "boot_fence" in line.get("act", {})]
    return fences[-1] if fences else ""


def _secret_of_boot(key, *names):
    """S by the page of the proof, section 2: HKDF-SHA256 without a salt, of one block."""
    info = b"".join(bytes([len(name)]) + name.encode() for name in ("amtunlock-proof-1 secret", *names))
    derived = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(derived, info + b"\x01", "sha256")


def own_secret(history):
    """What an image reads that was booted is the secret of its job, its system and the fence of that boot, and of no other."""
    for job, event in _owned(history, lambda one: one["event"] == "image" and one.get("secret")):
        names = job or "", event["system"], _boot_fence(history, job, event)
        if event["secret"] != hashlib.sha256(_secret_of_boot(history.proof_key, *names)).hexdigest():
            yield Breach("own-secret", f"{event['system']} of job {job}",
                         f"its image reads at t={event['t']:.3f} a secret that is not that of its boot, fence {names[-1]!r}", job)


def never_lost(history):
    """Every acknowledged job is there, whole, and has ended; except jobs of a Redis that was emptied since, and jobs
    that one which was rolled back had taken after its copy."""
    emptied = _emptied(history)
    for one in history.acknowledged:
        job = history.jobs.get(one["job"])
        if job is None and (one["t"] < emptied or _is_rolled_back(history, one["t"])):
            continue
        if job is None:
            yield Breach("never-lost", f"job {one['job']}", "acknowledged, and Redis does not know it", one["job"])
            continue
        missing = sorted(set(one["systems"]) - set(job["tasks"]))
        if missing:
            yield Breach("never-lost", f"job {one['job']}", f"without {', '.join(missing)}", one["job"])
    for task in history.tasks:
        if task.state not in "UFX":
            yield Breach("never-lost", task.name, f"left in state {task.state}", task.job)
    for job, fields in history.jobs.items():
        counts = Counter("unlocked" if packed[0] == "U" else "failed" for packed in fields["tasks"].values())
        if fields["state"] not in ENDED:
            yield Breach("never-lost", f"job {job}", f"its state is {fields['state']}, no end", job)
        for name in ("unlocked", "failed"):
            if int(fields[name]) != counts[name]:
                yield Breach("never-lost", f"job {job}", f"says {fields[name]} {name}, its tasks say {counts[name]}",
                             job)


def _untold(history):
    """{job: its PCs} of the jobs that Redis holds, or the record, and that were acknowledged to nobody."""
    found = defaultdict(set)
    for job, fields in history.others.items():
        found[job].update(fields["tasks"])
    for job, system in history.of("intent"):
        found[job].add(system)
    for one in history.acknowledged:
        found.pop(one["job"], None)
    return found


def refused_is_not_done(history):
    """A request of which its console was told that nothing was done, and which it did not send again, made no job, and no
    PC of it is powered afterwards."""
    untold = _untold(history)
    for one in history.refused:
        for job, systems in untold.items():
            if systems & set(one["systems"]):
                yield Breach("refused-is-not-done", f"job {job}", f"is there for {', '.join(one['systems'])}, whose console "
                                                                  "was told that nothing was done", job)
        for system in one["systems"]:
            for event in history.seen(system, "power"):
                if event["at"] > one["t"] - history.within:
                    yield Breach("refused-is-not-done", system, f"powered {event['at'] - one['t']:+.3f} s after its console "
                                                                "was told that nothing was done")


def one_job_a_message(history):
    """However often a message is sent, it makes one job."""
    made = defaultdict(set)
    for job, fields in {**history.jobs, **history.others}.items():
        if fields.get("message"):
            made[fields["owner"], fields["message"].split("/")[0]].add(job)
    for jobs in made.values():
        if len(jobs) > 1:
            yield Breach("one-job-a-message", f"job {min(jobs)}", f"its message made {', '.join(sorted(jobs))}", min(jobs))


def _emptied(history):
    return max((one["t"] for one in history.processes if one["what"] == "emptied"), default=0)


def _rollbacks(history):
    """(when the copy was taken, when it came back)"""
    return [(one["copied"], one["t"]) for one in history.processes if one["what"] == "rolled-back"]


def _is_rolled_back(history, at):
    return any(copied <= at < back for copied, back in _rollbacks(history))


def losses_are_said(history):
    """If Redis lost a job, the record has the end of each of its intents."""
    emptied = max([_emptied(history), *(back for _, back in _rollbacks(history))])
    closed = {(line["job"], line["system"], line["fence"]) for line in history.audit
              if line["event"] in ("outcome", "intent-withdrawn", "intent-handed-over")}
    for (job, system), lines in history.of("intent").items():
        for line in lines:
            if job not in history.jobs and line["at"] < emptied and (job, system, line["fence"]) not in closed:
                yield Breach("losses-said", f"{system} of job {job}", "its intent has no end on the record", job)


def _nobody_before(history):
    """When a worker, or Redis, started after there had been none."""
    there, found = set(), []
    for one in history.processes:
        name = one["worker"]
        if one["what"] in ("started", "continued"):
            if name == "Redis" or not there - {"Redis"}:
                found.append(one["t"])
            there.add(name)
        elif one["what"] in ("died", "stopped"):
            there.discard(name)
    return found


def in_time(history):
    """A task has its intent, or ends, within the time that the campaign gives it; after its intent it ends by its step
    deadline, or when a worker runs again that can end it."""
    slack = history.lease + history.grace + STARTS
    alive_again = _nobody_before(history)
    intents = {key: min(line["at"] for line in lines) for key, lines in history.of("intent").items()}
    for task in history.tasks:
        begun = intents.get((task.job, task.system), task.submitted) if task.intent_fence else task.ended
        if begun > task.submitted + history.within:
            yield Breach("in-time", task.name, f"not begun for {begun - task.submitted:.1f} s", task.job)
        due = max([task.deadline, *(at for at in alive_again if at <= task.ended)])
        if task.intent_fence and task.deadline and task.ended > due + slack:
            yield Breach("in-time", task.name, f"ended {task.ended - task.submitted:.1f} s after its submission, "
                                               f"{task.ended - due - slack:.1f} s too late", task.job)


def _verifications(history):
    """(job, system) -> [at]: when a later worker began to verify the task."""
    found = defaultdict(list)
    for line in history.log("AMTU0608"):
        if not line["text"].startswith("begins"):
            found[line["job"], line["system"]].append(line["at"])
    return found


def verify_begins(history):
    """A task with an intent is verified within lease, grace and 5 s of its worker's death, or of the moment when a
    worker runs again, or after its worker has given it back."""
    most = history.lease + history.grace + STARTS
    moments = [one["t"] for one in history.processes]
    given_back = defaultdict(list)
    for line in history.log("AMTU0604"):
        given_back[line.get("job"), line.get("system")].append(line["at"])
    # Redis is polled, so a change is seen late; the log has the time.
    begun = {line["fence"]: line["at"] for line in history.log("AMTU0608")}
    for (job, system), states in _by_task(history).items():
        for before, after in zip(states, states[1:]):
            if before["state"] not in "IPBK" or after["fence"] == before["fence"] or after["state"] != "K":
                continue
            verified = begun.get(after["fence"], after["t"])
            since = begun.get(before["fence"], before["t"])
            last = max((at for at in [*moments, *given_back[job, system]] if since < at <= verified), default=None)
            # None: its worker lives, and lost the lease because the machine is too busy for so short a lease.
            if last is not None and verified - last > most:
                yield Breach("verify-begins", f"{system} of job {job}",
                             f"verified {verified - last:.1f} s after the last death or start", job)


def _by_task(history):
    found = defaultdict(list)
    for one in history.states:
        if one["state"] != "L":  # between two holders, and mostly too short to be seen
            found[one["job"], one["system"]].append(one)
    return found


def _states(history):
    """(state, whether Redis was rolled back since the state before, which alone may lead back to an earlier one)."""
    seen = 0
    for one in history.states:
        yield one, any(seen < back <= one["t"] for _, back in _rollbacks(history))
        seen = one["t"]


def fences_grow(history):
    """A later holder of a task has a higher fence, whatever the clocks showed."""
    last = {}
    for one, was_rolled_back in _states(history):
        key, fence = (one["job"], one["system"]), int(one["fence"] or 0)
        if was_rolled_back:
            last = {}
        if fence < last.get(key, 0):
            yield Breach("fences-grow", f"{key[1]} of job {key[0]}", f"fence {fence} after {last[key]}", key[0])
        last[key] = fence


def no_way_back(history):
    """Nothing leads from an intent back to the queue."""
    after = {}
    for one, was_rolled_back in _states(history):
        key = one["job"], one["system"]
        if was_rolled_back:
            after = {}
        if one["state"] in INTENDED:
            after[key] = one["state"]
        elif one["state"] in "QCJ" and key in after:
            yield Breach("no-way-back", f"{key[1]} of job {key[0]}", f"from {after.pop(key)} back to {one['state']}",
                         key[0])


def unlocked_means_unlocked(history):
    """A PC whose result is `unlocked` had an open disk in the simulator at that moment."""
    for task in history.tasks:
        if task.state != "U":
            continue
        is_open = False
        ended = _ended(history, task)
        for event in history.events.get(task.system, ()):
            if event["event"] == "unlocked" and event["at"] <= ended + CLOCKS:
                is_open = True
            elif event["event"] == "locked" and event["at"] < ended - CLOCKS:
                is_open = False
        if not is_open:
            yield Breach("true-result", task.name, "said to be unlocked, and its disk is locked", task.job)


def _ended(history, task):
    """When it ended; if its result was restored in a Redis that was rolled back, when that was recorded."""
    recorded = [line["at"] for line in history.of("outcome").get((task.job, task.system), ())
                if line["fence"] == task.fence]
    restored = recorded and any(recorded[0] < back <= task.ended for _, back in _rollbacks(history))
    return recorded[0] if restored else task.ended


def owners_decide(history):
    """A result is that of the task's last holder, recorded before Redis took it; late results are refused."""
    outcomes = history.of("outcome")
    for task in history.tasks:
        recorded = outcomes.get((task.job, task.system), [])
        if not task.fence or (task.state != "U" and task.reason in BY_REDIS and not recorded):
            continue
        if task.state == "X":
            continue
        own = [line for line in recorded if line["fence"] == task.fence and line["at"] <= task.ended + CLOCKS]
        words = {line.get("reason") if line.get("result") == "failed" else line.get("result") for line in own}
        if task.result not in words and task.reason != "indeterminate":
            yield Breach("owners-decide", task.name,
                         f"ended {task.result!r} with fence {task.fence}, whose holder recorded {sorted(words)}",
                         task.job)


def no_act_after_lease(history):
    """No power request, passphrase or seal by another than who took the task over last, nor a power request by a worker
    that was stopped past its lease. A request that had passed its gate before its worker could know is sent late, and is
    counted."""
    for job, event, text in _late_acts(history):
        if not _had_passed(history, job, event):
            yield Breach("no-act-after-lease", f"{event['system']} of job {job}", text, job)
    for (job, system), gates in history.gates.items():
        for at, worker, act in gates:
            holder = _holder(history, job, system, at)
            if act == "typed" and holder is not None and holder["worker"] != worker:
                yield Breach("no-act-after-lease", f"{system} of job {job}",
                             f"{worker} passed its gate to type when {holder['worker']} had it", job)


def _holder(history, job, system, at):
    """Who had taken the task over then, in a log line; None: the first to begin with it still had it."""
    before = [line for line in history.holders().get((job, system), ()) if line["at"] + CLOCKS < at]
    return before[-1] if before and not before[-1]["text"].startswith("begins") else None


def _is_holders(history, holder, job, event):
    """Whether a power request is that of who took the task over: by its gate, or, where no gates are known, by its intent."""
    key = job, event["system"]
    gates = [gate for gate in history.gates.get(key, ()) if gate[2] == "power" and gate[0] <= event["at"] + CLOCKS]
    if gates:
        return gates[-1][1] == holder["worker"] and gates[-1][0] >= holder["at"]
    return any(line["fence"] == holder["fence"] for line in _intents(history, key, event["at"] + CLOCKS))


def _late_acts(history):
    """(job, power request, what is late about it)"""
    stops = _stops(history)
    for job, event in powers(history):
        holder = _holder(history, job, event["system"], event["at"])
        if holder is not None and not _is_holders(history, holder, job, event):
            yield job, event, "a power request by another than who had taken it over"
        intents = _intents(history, (job, event["system"]), event["at"])
        for worker, begin, end in stops:
            mine = intents and intents[-1]["file"] == f"audit-{worker}.jsonl" and intents[-1]["at"] < begin
            if mine and end - begin > history.lease and event["at"] > end:
                yield job, event, f"a power request by {worker} {event['at'] - end:.3f} s after it had slept past its lease"


def _had_passed(history, job, event):
    """Whether its gate had checked the lease before its worker was stopped, or before a renewal could have shown that
    Redis' clock was set. Apart from that, no time may have passed between gate and request."""
    gates = [gate for gate in history.gates.get((job, event["system"]), ())
             if gate[2] == "power" and gate[0] <= event["at"] + CLOCKS]
    if not gates:
        return False
    asked, gate_worker, _ = gates[-1]
    for worker, begin, end in _stops(history):
        if worker == gate_worker and asked < end < event["at"] + CLOCKS and max(0, begin - asked) + event["at"] - end < AT_GATE:
            return True
    verified = min((at for at in _verifications(history).get((job, event["system"]), ())), default=0)
    return event["at"] - asked < AT_GATE and any(
        one["what"] == "stepped" and one["worker"] == "Redis" and asked - history.lease < one["t"] < verified + CLOCKS
        for one in history.processes)


def _stops(history):
    """(worker, from, until) of every time a worker was stopped."""
    began = {}
    found = []
    for one in history.processes:
        if one["what"] == "stopped":
            began[one["worker"]] = one["t"]
        elif one["what"] == "continued" and one["worker"] in began:
            found.append((one["worker"], began.pop(one["worker"]), one["t"]))
    return found


def verify_sees(history):
    """`indeterminate` is no answer where the PC came up in time and its probe could be asked."""
    for task in history.tasks:
        if task.reason != "indeterminate" or task.system in history.blind or (task.overdue and task.ended < task.deadline):
            continue  # Redis' clock was set past its deadline
        up = [one["at"] for one in history.seen(task.system, "os-up") if task.submitted <= one["at"] <= task.ended - 2]
        gone = [one["at"] for one in history.seen(task.system, "off") if up and one["at"] >= up[-1]]
        if up and not (gone and gone[0] < task.ended):
            yield Breach("verify-sees", task.name, f"indeterminate, but its system was up {task.ended - up[-1]:.1f} s before",
                         task.job)


def record_is_whole(history):
    """Every audit record is one chain, of unchanged lines."""
    for name, number in history.changed:
        yield Breach("record-whole", name, f"line {number} is not what was hashed")
    last = {}
    for line in sorted(history.audit, key=lambda each: (each["file"], each["n"])):
        before = last.get(line["file"])
        if before is not None and (line["prev"] != before["hash"] or line["n"] != before["n"] + 1):
            yield Breach("record-whole", line["file"], f"line {line['n']} does not follow line {before['n']}")
        last[line["file"]] = line


RULES = (never_twice, typed_once, marked_first, obeys_marks, own_secret, keeps_a_try, costs_no_unlock, never_lost, refused_is_not_done,
         one_job_a_message, losses_are_said, in_time, verify_begins, fences_grow, no_way_back,
         unlocked_means_unlocked, owners_decide, no_act_after_lease, verify_sees, record_is_whole)


def judge(history):
    """Every breach of every promise."""
    return [breach for rule in RULES for breach in rule(history)]


@dataclass
class Figures:
    """What is counted besides the breaches."""

    jobs: int = 0
    tasks: int = 0
    intended: int = 0
    powered: int = 0
    typed: int = 0      # passphrases and seals that PCs heard
    unlocked: int = 0
    indeterminate: int = 0
    verified: int = 0
    late: int = 0       # results that came too late and were refused
    abandoned: int = 0  # tasks that a worker gave up as it found its lease gone
    gated: int = 0      # late power requests that had passed their gate in time

    def __add__(self, other):
        return Figures(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values())))


def figures(history):
    return Figures(
        jobs=len(history.jobs), tasks=len(history.tasks),
        intended=sum(1 for task in history.tasks if task.intent_fence),
        powered=sum(1 for _ in powers(history)),
        typed=sum(1 for _ in secrets(history)),
        unlocked=sum(1 for task in history.tasks if task.state == "U"),
        indeterminate=sum(1 for task in history.tasks if task.reason == "indeterminate"),
        verified=sum(len(each) for each in _verifications(history).values()),
        late=len(history.log("AMTU0605")), abandoned=len(history.log("AMTU0609")),
        gated=len({(job, event["system"]) for job, event, _ in _late_acts(history) if _had_passed(history, job, event)}))
