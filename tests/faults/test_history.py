# SPDX-License-Identifier: Apache-2.0
"""The checker against histories made by hand: a good one is accepted, and each that breaks a promise is not."""

import hashlib
import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from amtu_faults import rules  # noqa: E402
from amtu_faults.history import Unreadable, load  # noqa: E402

ZERO = 1_800_000_000.0  # wall clock of the simulator's t=0
PC, JOB, FIRST, SECOND = "pc-1.fleet.test", "job1", "100", "200"


def stamp(seconds, digits=6):
    text = datetime.fromtimestamp(ZERO + seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[:20 + digits] + "Z"


def micro(seconds):
    return f"{(ZERO + seconds) * 1e6:.0f}"


class Story:
    """A history: a PC is powered by worker-1, which then dies, and worker-2 verifies it and finds it open."""

    def __init__(self):
        self.frame = {"lease": 1.0, "grace": 0.5, "zero": ZERO, "within": 20.0, "least": 0.0,
                      "methods": {PC: "sol"}, "blind": []}
        self.task = {"state": "U", "fence": SECOND, "intent_fence": FIRST, "worker": "w2", "step": "probe",
                     "deadline": micro(60), "time": micro(5), "reason": ""}
        self.job = {"state": "7", "submitted": micro(0), "unlocked": "1", "failed": "0", "owner": "console",
                    "message": "first/names"}
        self.power = [1.1]
        self.results = {}  # when it was asked: ReturnValue, where it is not 0
        self.events = [(1.9, "unlocked"), (2.0, "os-up")]
        self.heard = []  # (when, event of a secret)
        self.audit = {"worker-1": [(1.0, "intent", {"fence": FIRST}), (1.05, "mark", {"fence": FIRST, "mark": "power"})],
                      "worker-2": [(4.9, "outcome", {"fence": SECOND, "result": "unlocked"})]}
        self.states = [(0.5, "Q", ""), (0.9, "C", FIRST), (1.05, "I", FIRST), (4.0, "K", SECOND), (5.0, "U", SECOND)]
        self.verified = [(4.0, SECOND)]
        self.told = "power"  # of which marks who took over was told
        self.processes = [(0, "worker-1", "started"), (0, "worker-2", "started"), (2.5, "worker-1", "died")]
        self.copied = 0.5  # of which moment a Redis is that was rolled back
        self.acknowledged = [{"t": ZERO, "job": JOB, "systems": [PC]}]
        self.refused = []  # (when, system)
        self.others = {}   # jobs that were acknowledged to nobody: their fields
        self.proof_key = ""
        self.gates = []  # (when, worker, step)
        self.steps = []  # (when, worker whose clock, offset)

    def shown(self, worker, t):
        """What the clock of that process showed then."""
        return t + ([0] + [offset for at, stepped, offset in self.steps if stepped == worker and at <= t])[-1]

    def by_redis(self, micros, then=None):
        """A time of Redis', written at that time or at another."""
        t = float(micros) / 1e6 - ZERO
        then = t if then is None else then
        return micro(t + self.shown("Redis", then) - then)

    def write(self, folder):
        def lines(name, objects):
            (folder / name).write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in objects))
        (folder / "history.json").write_text(json.dumps(self.frame))
        if self.job:
            self.job["submitted"] = self.by_redis(self.job["submitted"])
        if self.task:
            self.task["time"] = self.by_redis(self.task["time"])
            self.task["deadline"] = self.task["deadline"] and self.by_redis(self.task["deadline"], 1.05)
        tasks = {PC: "|".join(self.task.values())} if self.task else {}
        jobs = {JOB: {**self.job, "tasks": tasks}} if self.job else {}
        (folder / "redis.json").write_text(json.dumps({"jobs": jobs, "others": self.others}))
        events = [{"t": t, "system": PC, "event": "power", "request": 2, "result": self.results.get(t, 0)} for t in self.power]
        events += [{"t": t, "system": PC, "event": event} for t, event in self.events]
        events += [{"t": t, "system": PC, **event} for t, event in self.heard]
        lines("amtsim.jsonl", sorted(events, key=lambda one: one["t"]))
        lines("acknowledged.jsonl", self.acknowledged)
        if self.proof_key:
            (folder / "proof.key").write_text(self.proof_key + "\n")
        lines("refused.jsonl", [{"t": ZERO + t, "systems": [system]} for t, system in self.refused])
        lines("states.jsonl", [{"t": ZERO + t, "job": JOB, "system": PC, "state": state, "fence": fence}
                               for t, state, fence in self.states])
        lines("processes.jsonl", [{"t": ZERO + t, "worker": worker, "pid": 1, "what": what,
                                   **({"copied": ZERO + self.copied} if what == "rolled-back" else {})}
                                  for t, worker, what in self.processes] +
              [{"t": ZERO + t, "worker": worker, "what": "stepped", "offset": offset}
               for t, worker, offset in self.steps])
        for worker, lines_of in self.audit.items():
            lines(f"audit-{worker}.jsonl",
                  self.chain([one and (self.shown(worker, one[0]), *one[1:]) for one in lines_of]))
        for worker in {worker for _, worker, _ in self.gates}:
            (folder / f"gates-{worker}").write_text("".join(
                f"{step} 1 {ZERO + t:.6f} {JOB} {PC}\n" for t, who, step in self.gates if who == worker))
        (folder / "worker-worker-2.log").write_text("".join(
            f"{stamp(self.shown('worker-2', t), 3)} info AMTU0608 takes over from a predecessor system={PC} job={JOB} "
            f'fence={fence} marks="{self.told}"\n'
            for t, fence in self.verified))
        return load(folder)

    @staticmethod
    def chain(entries):
        before = "0" * 64
        for number, (t, event, fields) in enumerate(entries, 1):
            line = {"n": number, "t": stamp(t), "prev": before, "event": event, "system": PC, "job": JOB, **fields}
            before = hashlib.sha256(json.dumps(line, separators=(",", ":")).encode()).hexdigest()
            yield {**line, "hash": before}

    def set(self, **task):
        self.task.update(task)


def good(_story):
    """As it is."""


def failed_honestly(story):
    """Nobody powered it, and that is what is said."""
    story.power, story.events = [], []
    story.set(state="F", reason="indeterminate", time=micro(40))
    story.job.update(unlocked="0", failed="1")
    story.audit["worker-2"] = [(39.0, "outcome", {"fence": SECOND, "result": "failed", "reason": "indeterminate"})]


def a_late_word_that_was_refused(story):
    story.audit["worker-1"].append((6.0, "outcome", {"fence": FIRST, "result": "failed", "reason": "timeout"}))


def two_tasks_one_after_the_other(story):
    """Of two intents that were written down the first never came to Redis: its worker died in between."""
    story.audit["worker-1"].insert(0, (0.7, "intent", {"fence": "90"}))


def powered_twice(story):
    story.power = [1.1, 1.3]


def powered_when_it_was_ready(story):
    story.power = [1.1, 1.2, 1.3]
    story.results = {1.1: 2, 1.2: None}


def powered_though_it_was_obeyed(story):
    """The second was refused, for the first was being carried out."""
    story.power = [1.1, 1.3]
    story.results = {1.3: 4099}


def powered_though_it_was_refused_for_good(story):
    story.power = [1.1, 1.3]
    story.results = {1.1: 1}


def powered_by_the_successor(story):
    story.power = [1.1, 4.5]


PASSPHRASE = {"event": "passphrase", "ok": True, "bytes": 24}
SEAL = {"event": "proof", "what": "seal"}


def heard(story, *events):
    """By the PC, and marked before."""
    story.heard = list(events)
    story.audit["worker-1"].append((1.4, "mark", {"fence": FIRST, "mark": "typed"}))


def typed_behind_an_empty_line(story):
    """Which is how a successor asks for the prompt; and it costs a try."""
    heard(story, (1.5, {**PASSPHRASE, "ok": False, "bytes": 0}), (1.8, PASSPHRASE))


def asked_by_two_lines(story):
    heard(story, *((1.3 + i / 10, {**PASSPHRASE, "ok": False, "bytes": 0}) for i in range(2)), (1.8, PASSPHRASE))


def asked_by_three_lines(story):
    heard(story, *((1.3 + i / 10, {**PASSPHRASE, "ok": False, "bytes": 0}) for i in range(3)))


def asked_by_a_line_once_more(story):
    goes_on(story, "line", 4.3, "acknowledge")
    story.told = "power line"


def typed_for_two_volumes(story):
    heard(story, (1.5, {"event": "passphrase", "ok": True, "volume": "root"}),
          (1.8, {"event": "passphrase", "ok": True, "volume": "home"}))


def sealed_and_tried(story):
    """What the image does with a seal is no second one."""
    heard(story, (1.5, SEAL), (1.8, {"event": "passphrase", "ok": True}))


def typed_twice(story):
    heard(story, (1.5, {**PASSPHRASE, "ok": False}), (1.8, PASSPHRASE))


def typed_twice_for_a_volume(story):
    typed_for_two_volumes(story)
    story.heard.append((1.85, {"event": "passphrase", "ok": True, "volume": "home"}))


def typed_when_nobody_asked_any_more(story):
    heard(story, (1.5, PASSPHRASE), (1.8, {"event": "leak", "to": "nobody"}))


def sealed_twice(story):
    heard(story, (1.5, SEAL), (1.7, {**SEAL, "what": "late-seal"}))


def typed_without_an_intent(story):
    story.heard = [(0.9, PASSPHRASE)]


def marked_and_never_powered(story):
    """Its worker was lost in between, and nobody may power it any more."""
    failed_honestly(story)
    story.frame["least"] = 0.99


def too_few_unlocked(story):
    marked_and_never_powered(story)
    story.audit["worker-1"].pop()


def without_its_drive(story):
    """Its firmware looked for the drive when nobody served it."""
    marked_and_never_powered(story)
    story.frame["methods"] = {PC: "image"}
    story.power = [1.1]
    story.events = [(1.9, "drive-left")]
    story.set(reason="image-failed")
    story.audit["worker-2"] = [(39.0, "outcome", {"fence": SECOND, "result": "failed", "reason": "image-failed"})]


def with_its_drive_and_not_unlocked(story):
    without_its_drive(story)
    story.events = [(1.9, "image")]


def goes_on(story, mark, at, act):
    """The successor writes its own intent and mark, and acts."""
    story.audit["worker-2"][:0] = [(4.1, "intent", {"fence": SECOND}), (at - 0.02, "mark", {"fence": SECOND, "mark": mark})]
    story.set(intent_fence=SECOND)
    story.gates = [(1.06, "worker-1", "power-on"), (at - 0.01, "worker-2", act)]


def powered_by_who_took_over_before_the_mark(story):
    story.told = ""
    story.audit["worker-1"].pop()
    goes_on(story, "power", 4.3, "power-on")
    story.power, story.events = [4.3], [(4.8, "unlocked")]
    story.gates = story.gates[1:]


def typed_by_who_took_over(story):
    goes_on(story, "typed", 4.3, "type")
    story.heard, story.events = [(4.4, PASSPHRASE)], [(4.4, "unlocked")]


def powered_though_it_was_marked(story):
    powered_by_who_took_over_before_the_mark(story)
    story.told = "power"


def marked_a_second_time(story):
    goes_on(story, "power", 4.3, "acknowledge")


def typed_though_it_was_marked(story):
    typed_by_who_took_over(story)
    story.told = "power typed"


def typed_though_nothing_is_known(story):
    typed_by_who_took_over(story)
    story.told = "unknown"


def typed_by_the_one_before(story):
    typed_by_who_took_over(story)
    story.gates[-1] = (4.29, "worker-1", "type")


def powered_without_a_mark(story):
    story.audit["worker-1"].pop()


def marked_after_it_was_powered(story):
    story.audit["worker-1"][-1] = (1.15, *story.audit["worker-1"][-1][1:])


def typed_without_a_mark(story):
    story.heard = [(1.8, PASSPHRASE)]


def typed_by_another_mark(story):
    typed_by_who_took_over(story)
    story.audit["worker-2"][1] = (4.28, "mark", {"fence": SECOND, "mark": "power"})


def indeterminate_where_nobody_could_ask(story):
    indeterminate_though_it_was_up(story)
    story.frame["blind"] = [PC]


# SHA-256 of the secrets of the boots with these fences, by the HKDF of OpenSSL.
SECRETS = {FIRST: "5905cb156d25e3d858ccf6e3f5b484608011566de50601ad6a004b2a690340f8",
           SECOND: "1bae8b3d9006c0b2542669fae054186aa903ae0e9e007ce5a27bd47f59f82e8e"}


def read_an_image(story, fence=FIRST, of=FIRST):
    """Of the boot with that fence, by its intent; the secret is of the other one."""
    story.proof_key = "11" * 32
    story.audit["worker-1"][0][2]["act"] = {"boot_fence": fence}
    story.heard.append((1.4, {"event": "image", "secret": SECRETS[of]}))


def read_an_image_whose_boot_was_taken_over(story):
    """The later intent names the boot of the earlier."""
    read_an_image(story)
    story.audit["worker-2"].insert(0, (4.2, "intent", {"fence": SECOND, "act": {"boot_fence": FIRST}}))
    story.heard.append((4.5, {"event": "image", "secret": SECRETS[FIRST]}))


def read_an_image_while_another_intent_was_refused(story):
    """The one who slept wakes and records an intent of its own, which Redis does not take."""
    read_an_image(story)
    story.audit["worker-2"][:0] = [(1.2, "intent", {"fence": SECOND, "act": {"boot_fence": SECOND}}),
                                   (1.21, "intent-withdrawn", {"fence": SECOND})]


def read_the_secret_of_another_boot(story):
    read_an_image(story, of=SECOND)


def read_a_secret_without_a_boot(story):
    read_an_image(story)
    del story.audit["worker-1"][0][2]["act"]


def powered_without_an_intent(story):
    story.power = [0.9]


def no_intent_at_all(story):
    story.audit["worker-1"] = []


def acknowledged_and_gone(story):
    story.job = story.task = None


def refused_and_powered(story):
    story.refused.append((0.9, PC))


def another_job(system, message):
    return {"state": "1", "owner": "console", "message": message, "tasks": {system: "Q|||||||"}}


def refused_and_a_job_waits(story):
    story.refused.append((0.9, "pc-2.fleet.test"))
    story.others["job2"] = another_job("pc-2.fleet.test", "second/names")


def refused_and_gone_but_on_record(story):
    """Redis was emptied since, or its job was deleted."""
    story.refused.append((0.9, PC))
    story.acknowledged, story.job, story.task, story.power = [], None, None, []


def one_message_twice(story):
    """Its console knows of the one that it was told of last."""
    story.others["job2"] = another_job(PC, "first/names")


def one_message_for_other_names(story):
    story.others["job2"] = another_job("pc-2.fleet.test", "first/others")


def others_that_nobody_refused(story):
    """Their consoles died before they heard of them; and one has no message."""
    story.refused.append((0.9, "pc-9.fleet.test"))
    story.others["job2"] = another_job("pc-2.fleet.test", "second/names")
    story.others["job3"] = another_job("pc-3.fleet.test", "")
    story.others["job4"] = another_job("pc-4.fleet.test", "")


def the_message_of_another(story):
    story.others["job2"] = {**another_job(PC, "first/names"), "owner": "somebody"}


def another_was_refused(story):
    story.refused.append((0.9, "pc-2.fleet.test"))


def a_system_gone(story):
    story.acknowledged[0]["systems"].append("pc-2.fleet.test")


def never_ended(story):
    story.set(state="P")
    story.job["state"] = "4"


def miscounted(story):
    story.job["unlocked"] = "2"


def ended_too_late(story):
    story.set(deadline=micro(5), time=micro(12))
    story.audit["worker-2"] = [(11.9, "outcome", {"fence": SECOND, "result": "unlocked"})]


def ended_too_late_though_another_came_and_went(story):
    ended_too_late(story)
    story.processes += [(6.0, "worker-1", "started"), (11.8, "worker-3", "started")]


def ended_when_somebody_lived_again(story):
    """Late, and nobody could have done it sooner."""
    ended_too_late(story)
    story.processes += [(4.5, "worker-2", "died"), (11.8, "worker-2", "started")]


def without_an_intent_ended_too_late(story):
    story.power = []
    story.audit["worker-1"] = []
    story.audit["worker-2"] = [(29.0, "outcome", {"fence": SECOND, "result": "unlocked"})]
    story.set(intent_fence="", deadline="", time=micro(30))


def begun_too_late(story):
    """Nobody took it for long; then everything went well."""
    story.frame["within"] = 0.8


def verified_too_late(story):
    story.states[3] = (2.5 + 6.6, "K", SECOND)
    story.states[4] = (9.5, "U", SECOND)
    story.verified = [(9.1, SECOND)]
    story.set(time=micro(9.5))


def a_lower_fence_for_the_successor(story):
    story.states[0:0] = [(0.2, "Q", ""), (0.4, "C", SECOND)]


def back_to_the_queue(story):
    story.states.insert(3, (3.0, "Q", FIRST))


def unlocked_but_locked(story):
    story.events = [(1.9, "unlocked"), (2.0, "os-up"), (3.0, "off"), (3.0, "locked")]


def unlocked_but_never_opened(story):
    story.events = []


def unlocked_afterwards(story):
    story.events = [(7.0, "unlocked"), (7.1, "os-up")]


def the_late_word_was_taken(story):
    """worker-1 woke up and said `timeout`; worker-2, whose task it was, spoke after that."""
    story.audit["worker-1"].append((4.4, "outcome", {"fence": FIRST, "result": "failed", "reason": "timeout"}))
    story.set(state="F", reason="timeout", time=micro(4.5))
    story.job.update(unlocked="0", failed="1")


def nobody_said_so(story):
    story.audit["worker-2"] = []


def acted_after_verifying_began(story):
    story.power = [4.2]


def acted_after_its_sleep(story):
    story.processes += [(1.05, "worker-1", "stopped"), (3.0, "worker-1", "continued")]
    story.power = [3.2]
    story.events = [(3.4, "unlocked"), (3.5, "os-up")]


def fell_asleep_behind_its_gate(story):
    """No code was left between gate and request that could have checked a clock."""
    acted_after_its_sleep(story)
    story.power = [3.1]
    story.gates = [(1.04, "worker-1", "power-on")]


def passed_its_gate_after_its_sleep(story):
    fell_asleep_behind_its_gate(story)
    story.gates.append((3.05, "worker-1", "power-on"))


def fell_asleep_behind_another_gate(story):
    fell_asleep_behind_its_gate(story)
    story.gates = [(1.04, "worker-1", "clear-boot")]


def asked_its_gate_long_before(story):
    fell_asleep_behind_its_gate(story)
    story.processes[-2] = (1.6, "worker-1", "stopped")


def another_passed_that_gate(story):
    fell_asleep_behind_its_gate(story)
    story.gates = [(1.04, "worker-2", "power-on")]


def acted_before_it_could_know(story):
    """A step of Redis' clock ended the lease, and the next renewal would have said so."""
    acted_after_verifying_began(story)
    story.gates = [(4.19, "worker-1", "power-on")]
    story.steps = [(3.5, "Redis", 3600.0)]


def acted_though_it_could_know(story):
    acted_before_it_could_know(story)
    story.steps = [(3.1, "Redis", 3600.0)]


def clocks_that_were_stepped(story):
    """The same story by clocks of which none is right for long."""
    story.steps = [(1.02, "Redis", 3600.0), (4.5, "Redis", 0.0), (0.5, "worker-1", -3600.0),
                   (4.2, "worker-2", 600.0), (4.95, "worker-2", 0.0)]


def stepped_and_powered_twice(story):
    clocks_that_were_stepped(story)
    story.power = [1.1, 1.3]


def stepped_and_ended_too_late(story):
    clocks_that_were_stepped(story)
    without_an_intent_ended_too_late(story)


def stepped_and_the_late_word_was_taken(story):
    the_late_word_was_taken(story)
    clocks_that_were_stepped(story)


def ended_by_a_clock_that_was_set(story):
    """Redis' clock went past the deadline for verifying, whatever could be seen at the PC."""
    indeterminate_though_it_was_up(story)
    story.steps = [(29.0, "Redis", 3600.0)]
    story.audit["worker-2"] = []


def indeterminate_though_it_was_up(story):
    story.set(state="F", reason="indeterminate", time=micro(30))
    story.job.update(unlocked="0", failed="1")


def a_torn_chain(story):
    chained = list(story.chain([(0.5, "intent", {"fence": "50"}), (1.0, "intent", {"fence": FIRST})]))
    chained[1]["prev"] = "1" * 64
    story.chain = lambda each: chained if len(each) == 2 else Story.chain(each)
    story.audit["worker-1"] = [None, None]


def emptied(story):
    """Redis forgot the job after the intent; the worker that had it says so."""
    story.job = story.task = None
    story.power = []
    story.processes.append((1.5, "Redis", "emptied"))
    story.audit["worker-1"].append((1.6, "outcome", {"fence": FIRST, "result": "failed", "reason": "indeterminate"}))


def emptied_and_nobody_says(story):
    emptied(story)
    story.audit["worker-1"].pop()


def forgotten_after_it_was_emptied(story):
    emptied(story)
    story.processes[-1] = (-1, "Redis", "emptied")


def rolled_back(story):
    """Redis came back as it was before the claim, and the result was restored when the PC was off again."""
    story.events += [(6.0, "off"), (6.0, "locked")]
    story.processes.append((7.0, "Redis", "rolled-back"))
    story.states += [(7.1, "Q", ""), (7.5, "U", SECOND)]
    story.set(time=micro(7.5))


def rolled_back_in_the_middle(story):
    """And nobody says that anything was back in the queue, but for the past itself."""
    rolled_back(story)
    story.processes[-1] = (4.5, "Redis", "rolled-back")
    story.states[4:] = [(4.6, "Q", ""), (5.0, "U", SECOND)]
    story.set(time=micro(5))


def taken_after_the_copy(story):
    """It is gone, and its end is on record."""
    story.job = story.task = None
    story.processes.append((7.0, "Redis", "rolled-back"))
    story.copied = -1
    story.audit["worker-1"].append((3.0, "intent-handed-over", {"fence": FIRST}))


def rolled_back_and_powered_again(story):
    rolled_back(story)
    story.power.append(7.3)


def taken_before_the_copy_and_gone(story):
    taken_after_the_copy(story)
    story.copied = 0.5


def taken_after_it_came_back_and_gone(story):
    taken_after_the_copy(story)
    story.processes[-1] = (-0.5, "Redis", "rolled-back")


def rolled_back_and_nobody_says(story):
    taken_after_the_copy(story)
    story.audit["worker-1"].pop()


def never_open_and_rolled_back(story):
    rolled_back(story)
    story.events = [(7.2, "unlocked"), (7.3, "os-up")]


def back_to_the_queue_after_it_came_back(story):
    story.processes.append((0.2, "Redis", "rolled-back"))
    back_to_the_queue(story)


ACCEPTED = (good, rolled_back, rolled_back_in_the_middle, taken_after_the_copy, emptied, failed_honestly,
            a_late_word_that_was_refused, two_tasks_one_after_the_other, fell_asleep_behind_its_gate,
            acted_before_it_could_know, clocks_that_were_stepped, ended_by_a_clock_that_was_set,
            marked_and_never_powered, without_its_drive, powered_by_who_took_over_before_the_mark, typed_by_who_took_over,
            typed_behind_an_empty_line, typed_for_two_volumes, sealed_and_tried, indeterminate_where_nobody_could_ask,
            ended_when_somebody_lived_again, another_was_refused, powered_when_it_was_ready,
            others_that_nobody_refused, the_message_of_another, asked_by_two_lines, read_an_image,
            read_an_image_whose_boot_was_taken_over, read_an_image_while_another_intent_was_refused)
REJECTED = {
    typed_twice: "typed-once", typed_twice_for_a_volume: "typed-once", typed_when_nobody_asked_any_more: "typed-once",
    with_its_drive_and_not_unlocked: "costs-no-unlock",
    powered_without_a_mark: "marked-first", marked_after_it_was_powered: "marked-first",
    asked_by_three_lines: "keeps-a-try", asked_by_a_line_once_more: "obeys-marks",
    read_the_secret_of_another_boot: "own-secret", read_a_secret_without_a_boot: "own-secret",
    typed_without_a_mark: "marked-first", typed_by_another_mark: "marked-first",
    powered_though_it_was_marked: "obeys-marks", marked_a_second_time: "obeys-marks",
    typed_though_it_was_marked: "obeys-marks", typed_though_nothing_is_known: "obeys-marks",
    typed_by_the_one_before: "no-act-after-lease",
    sealed_twice: "typed-once", typed_without_an_intent: "intent-first", too_few_unlocked: "costs-no-unlock",
    refused_and_powered: "refused-is-not-done", refused_and_a_job_waits: "refused-is-not-done",
    refused_and_gone_but_on_record: "refused-is-not-done",
    one_message_twice: "one-job-a-message", one_message_for_other_names: "one-job-a-message",
    rolled_back_and_powered_again: "never-twice", taken_before_the_copy_and_gone: "never-lost",
    taken_after_it_came_back_and_gone: "never-lost", rolled_back_and_nobody_says: "losses-said",
    never_open_and_rolled_back: "true-result", back_to_the_queue_after_it_came_back: "no-way-back",
    powered_though_it_was_obeyed: "never-twice", powered_though_it_was_refused_for_good: "never-twice",
    powered_twice: "never-twice", powered_by_the_successor: "never-twice", powered_without_an_intent: "intent-first",
    no_intent_at_all: "intent-first", acknowledged_and_gone: "never-lost", a_system_gone: "never-lost",
    emptied_and_nobody_says: "losses-said", forgotten_after_it_was_emptied: "never-lost", never_ended: "never-lost",
    miscounted: "never-lost", ended_too_late: "in-time", ended_too_late_though_another_came_and_went: "in-time",
    without_an_intent_ended_too_late: "in-time", begun_too_late: "in-time",
    verified_too_late: "verify-begins", back_to_the_queue: "no-way-back",
    a_lower_fence_for_the_successor: "fences-grow",
    unlocked_but_locked: "true-result", unlocked_but_never_opened: "true-result", unlocked_afterwards: "true-result",
    the_late_word_was_taken: "owners-decide", nobody_said_so: "owners-decide",
    acted_after_verifying_began: "no-act-after-lease", acted_after_its_sleep: "no-act-after-lease",
    passed_its_gate_after_its_sleep: "no-act-after-lease", fell_asleep_behind_another_gate: "no-act-after-lease",
    asked_its_gate_long_before: "no-act-after-lease", another_passed_that_gate: "no-act-after-lease",
    acted_though_it_could_know: "no-act-after-lease", stepped_and_powered_twice: "never-twice",
    stepped_and_ended_too_late: "in-time", stepped_and_the_late_word_was_taken: "owners-decide",
    indeterminate_though_it_was_up: "verify-sees", a_torn_chain: "record-whole",
}


@pytest.mark.parametrize("change", ACCEPTED, ids=lambda change: change.__name__)
def test_accepted(tmp_path, change):
    story = Story()
    change(story)
    assert [str(breach) for breach in rules.judge(story.write(tmp_path))] == []


@pytest.mark.parametrize("change", REJECTED, ids=lambda change: change.__name__)
def test_rejected(tmp_path, change):
    story = Story()
    change(story)
    breaches = rules.judge(story.write(tmp_path))
    assert REJECTED[change] in {breach.rule for breach in breaches}, [str(breach) for breach in breaches]


def test_every_rule_has_a_history_that_breaks_it():
    # Rules are functions, breaches have names: each name that can be given is asked for above.
    source = Path(rules.__file__).read_text()
    names = {part.split('"')[1] for part in source.split("Breach(")[1:] if part.startswith('"')}
    assert names == set(REJECTED.values())


def test_figures(tmp_path):
    story = Story()
    figures = rules.figures(story.write(tmp_path))
    assert (figures.jobs, figures.tasks, figures.intended, figures.powered, figures.unlocked, figures.verified) == (1,) * 6
    assert figures.indeterminate == 0


@pytest.mark.parametrize("change, gated", [(good, 0), (fell_asleep_behind_its_gate, 1), (acted_before_it_could_know, 1)])
def test_what_left_late_is_counted(tmp_path, change, gated):
    story = Story()
    change(story)
    assert rules.figures(story.write(tmp_path)).gated == gated


def test_a_time_that_no_step_explains_is_no_proof(tmp_path):
    story = Story()
    clocks_that_were_stepped(story)
    story.audit["worker-1"][0] = (2000.0, *story.audit["worker-1"][0][1:])
    with pytest.raises(Unreadable):
        story.write(tmp_path)


@pytest.mark.parametrize("missing", ["amtsim.jsonl", "redis.json", "acknowledged.jsonl", "audit-worker-1.jsonl"])
def test_what_is_missing_is_no_proof(tmp_path, missing):
    Story().write(tmp_path)
    (tmp_path / missing).unlink()
    (tmp_path / "audit-worker-2.jsonl").unlink()
    with pytest.raises(Unreadable):
        load(tmp_path)


def test_a_changed_word_in_the_record_shows(tmp_path):
    Story().write(tmp_path)
    record = tmp_path / "audit-worker-2.jsonl"
    record.write_text(record.read_text().replace("unlocked", "locked"))
    assert "record-whole" in {breach.rule for breach in rules.judge(load(tmp_path))}


def test_a_torn_last_line_of_the_record_is_no_fault(tmp_path):
    Story().write(tmp_path)
    with open(tmp_path / "audit-worker-1.jsonl", "a") as record:
        record.write('{"n":2,"t":"20')
    assert rules.judge(load(tmp_path)) == []


@pytest.mark.parametrize("change, status", [(good, 0), (powered_twice, 1)])
def test_the_program(tmp_path, change, status):
    story = Story()
    change(story)
    story.write(tmp_path)
    done = subprocess.run([HERE / "history", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert f"{status} breaches" in done.stdout
    assert status == 0 or f"never-twice: {PC} of job {JOB}: 2 power requests" in done.stdout


def test_the_program_does_not_accept_nothing(tmp_path):
    done = subprocess.run([HERE / "history", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
