# SPDX-License-Identifier: Apache-2.0
"""Random work through the real library, and a small model that holds it to its promises.

The model believes nothing that Redis says of itself but the tasks' records; after every step it compares them with
the records before the step. Time passes by moving what Redis remembers as times, so nothing here waits."""

import random

from redis_server import GRACE, LEASE, SCHEMA, SECOND, TESTER, Verbs

SYSTEMS = ["pc1.example", "pc2.example", "pc3.example"]
CALLERS = ["alice", "bob", "carol"]
HELD = set("CIPBK")
OWNING = HELD | {"L"}
FINAL = set("UFX")
# What one step may make of a task. An end is final, and what may have been acted on never waits again.
NEXT = {
    "Q": set("QCJFX"), "C": set("CQIUFX"), "J": set("JQUFX"), "I": set("IPBLUF"), "P": set("PBLUF"), "B": set("BLUF"),
    "L": set("LKUF"), "K": set("KILUF"), "U": {"U"}, "F": {"F"}, "X": {"X"},
}


class Broken(AssertionError):
    """A promise was broken."""


class Worker:
    def __init__(self, name):
        self.name = name
        self.known = []


class Model:
    def __init__(self, verbs, tester, seed):
        self.verbs, self.tester = verbs, tester
        self.random = random.Random(seed)
        self.jobs = {}  # id: caller
        self.refused = {}  # id: names that are in no inventory
        self.charged = {}  # id: names that count against its caller's limit
        self.shown = {}  # (verb, version): what it showed
        self.ended = set()
        self.before = {}  # (job, system): (state, fence, intent fence)
        self.intents = {}  # (job, system): the marks of its intent
        self.fences = {}  # system: the newest fence
        self.all_fences = set()
        self.workers = [Worker("w0"), Worker("w1")]
        self.stale = []  # what a stuck thread or a paused process still believes to hold
        self.count = 0
        self.trace = []

    # ---- the promises --------------------------------------------------------------------------------------

    def promise(self, holds, what):
        if not holds:
            raise Broken(f"{what}; the last steps: {self.trace[-12:]}")

    def records(self, jobs):
        now = {}
        for job in jobs:
            flat = self.tester("HGETALL", f"{{amtu}}:job:{job}:tasks")
            for system, record in zip(flat[::2], flat[1::2]):
                fields = record.split("|")
                now[job, system] = (fields[0], fields[1], fields[2])
            lost = {task for task in self.before if task[0] == job} - now.keys()
            self.promise(not lost, f"{lost} are lost")
        return now

    def check(self, all_jobs=False):
        """What has ended and was right is looked at again only at the end of the life."""
        jobs = [job for job in self.jobs if all_jobs or job not in self.ended]
        now = {**self.before, **self.records(jobs)}
        for task, (state, _, intent) in self.before.items():
            self.promise(now[task][0] in NEXT[state], f"{task} went from {state} to {now[task][0]}")
            self.promise(intent in ("", now[task][2]) or (state, now[task][0]) == ("K", "I"),
                         f"the intent of {task} was changed")
        owners = [system for (_, system), (state, _, _) in now.items() if state in OWNING]
        self.promise(len(owners) == len(set(owners)), f"a system has two owners: {owners}")
        for job in jobs:
            states = [state for (each, name), (state, _, _) in now.items() if each == job and name[0] != "!"]
            self.check_job(job, states)
        self.check_counts([state for state, _, _ in now.values()].count("Q"))
        self.before = now

    def check_counts(self, waiting):
        """What the limits are measured by. An older library keeps no totals, and its jobs are charged to nobody."""
        counted = self.tester("HGET", "{amtu}:totals", "waiting")
        self.promise(counted in (None, str(waiting)), f"{counted} systems are said to wait, not {waiting}")
        for caller in CALLERS:
            kept, names = self.tester("HMGET", f"{{amtu}}:caller:sha-{caller}", "kept", "names")
            mine = [job for job in self.charged if self.jobs[job] == caller]
            charged = (len(mine), sum(self.charged[job] for job in mine))
            self.promise((int(kept or 0), int(names or 0)) == charged, f"{caller} is charged {kept}, {names}: {charged}")

    def check_job(self, job, states):
        read = self.verbs.read(job, caller=self.jobs[job])
        counted = (read["waiting"], read["running"], read["unlocked"], read["failed"])
        failed = sum(map(states.count, "FX")) + self.refused[job]
        real = (states.count("Q"), sum(map(states.count, "CIPBJLK")), states.count("U"), failed)
        self.promise(counted == real or read["waiting"] == 0, f"{job} counts {counted}, not {real}")
        ended = self.tester("HGET", f"{{amtu}}:job:{job}", "state") in ("7", "8")
        self.promise(ended == (set(states) <= FINAL), f"{job} has ended: {ended}, with {states}")
        for key in (f"job:{job}", f"job:{job}:names", *([f"job:{job}:tasks"] if states else [])):
            self.promise((self.tester("TTL", "{amtu}:" + key) > 0) == ended, f"{key} has a wrong TTL")
        self.check_versions(job)
        if ended:
            self.ended.add(job)

    def check_versions(self, job):
        """Who has read a version of a job before does not read it again."""
        if self.verbs.schema != SCHEMA:
            return
        for verb in ("results", "errors"):
            _, _, version, _, _, *lists = self.verbs.window(verb, job, caller=self.jobs[job])
            shown = self.shown.setdefault((verb, version), lists)
            self.promise(shown == lists, f"version {version} shows {shown} and {lists}")

    # ---- the steps -----------------------------------------------------------------------------------------

    def submit(self):
        self.count += 1
        job, caller = f"j{self.count}", self.random.choice(CALLERS)
        names = self.random.sample([*SYSTEMS, "nosuch.example"], self.random.randint(1, 3))
        self.jobs[job], self.refused[job] = caller, names.count("nosuch.example")
        if self.verbs.schema == SCHEMA:
            self.charged[job] = len(names)
        self.promise(self.verbs.submit(job, *names, caller=caller)[0] == "ok", "a submission failed")
        return job, names

    def running_jobs(self):
        return sorted({job for (job, _), (state, _, _) in self.before.items() if state not in FINAL})

    def cancel(self):
        jobs = self.running_jobs()
        if not jobs:
            return None
        job = self.random.choice(jobs)
        return job, self.verbs.cancel(job, caller=self.jobs[job])

    def overdue(self):
        jobs = self.running_jobs()
        if not jobs:
            return None
        job = self.random.choice(jobs)
        self.tester("HSET", f"{{amtu}}:job:{job}", "start_by", 1)
        if self.tester("ZSCORE", "{amtu}:deadlines", job):
            self.tester("ZADD", "{amtu}:deadlines", 1, job)
        return job

    def claim(self):
        worker = self.random.choice(self.workers)
        tasks = self.verbs.claim(worker.name, self.random.randint(1, 3))
        for task in tasks:
            self.promise(task.fence.isdigit() and task.fence not in self.all_fences, "a fence was given twice")
            self.promise(int(task.fence) > int(self.fences.get(task.system, 0)), "a fence is not newer")
            known = self.intents.get((task.job, task.system))
            self.promise(task.taken_over == (known is not None), f"{task.ref} was taken over: {task.taken_over}")
            self.promise(self.verbs.schema != SCHEMA or task.marks == " ".join(known or []),
                         f"{task.ref} was claimed with the marks '{task.marks}', not {known}")
            self.all_fences.add(task.fence)
            self.fences[task.system] = task.fence
        if self.random.random() < 0.8:  # else the answer is lost on its way
            worker.known += tasks
        return worker.name, [task.ref for task in tasks]

    def renew(self):
        worker = self.random.choice(self.workers)
        lost = self.verbs.renew(worker.name, *worker.known)
        for task in worker.known:
            if task.ref in lost:
                self.stale.append(task)
        worker.known = [task for task in worker.known if task.ref not in lost]
        return worker.name, lost

    def forget(self):
        """A thread of a worker hangs with a task in its hands; its process no longer names it."""
        worker = self.random.choice(self.workers)
        if worker.known:
            self.stale.append(worker.known.pop(self.random.randrange(len(worker.known))))

    def kill(self):
        """A process dies, or seems to: it may be paused and wake later. Another comes."""
        at = self.random.randrange(len(self.workers))
        self.stale += self.workers[at].known
        self.count += 1
        self.workers[at] = Worker(f"w{self.count}")
        return self.workers[at].name

    def change(self, task, verb):
        if self.verbs.schema != SCHEMA and verb in ("power", "typed"):
            return None
        answer = {
            "intend": lambda: self.verbs.intend(task, device=self.random.choice(["", f"uuid-{task.system}"])),
            "power": lambda: self.verbs.mark(task),
            "typed": lambda: self.verbs.mark(task, "typed"),
            "powered": lambda: self.verbs.progress(task, "P"),
            "booting": lambda: self.verbs.progress(task, "B"),
            "unlocked": lambda: self.verbs.finish(task),
            "failed": lambda: self.verbs.finish(task, "F", "no-prompt"),
            "release": lambda: self.verbs.release(task),
        }[verb]()
        if answer == "ok":
            state = self.before[task.job, task.system][0]
            self.promise(task.fence == self.fences[task.system], f"{verb} was taken with an old fence")
            self.promise(state in HELD or (state == "X" and verb == "release"), f"{verb} was taken in {state}")
            marks = self.intents.get((task.job, task.system))
            if verb == "intend":
                self.promise(marks is None or task.taken_over, "a task got a second intent, and was not taken over")
                self.promise(not marks or marks == ["power"], f"a task got an intent with the marks {marks}")
                self.intents[task.job, task.system] = marks or ([] if self.verbs.schema == SCHEMA else ["unknown"])
            elif verb in ("power", "typed"):
                self.promise(verb not in marks, f"{verb} was marked twice")
                marks.append(verb)
        return answer

    def act(self):
        worker = self.random.choice(self.workers)
        if not worker.known:
            return None
        task = self.random.choice(worker.known)
        verb = self.random.choice(["intend", "intend", "power", "typed", "powered", "booting", "unlocked", "failed",
                                   "release"])
        answer = self.change(task, verb)
        if answer == "ok" and verb in ("unlocked", "failed", "release"):
            worker.known.remove(task)
        return task.ref, verb, answer

    def act_stale(self):
        if not self.stale:
            return None
        # most likely to break a promise: the same worker holds the same system again, or none has it since
        held = {(worker.name, task.system) for worker in self.workers for task in worker.known}
        likely = [task for task in self.stale
                  if (task.worker, task.system) in held or task.fence == self.fences[task.system]]
        task = self.random.choice(likely[-4:] or self.stale[-4:])
        verb = self.random.choice(["intend", "power", "typed", "powered", "booting", "unlocked", "failed", "release"])
        return task.ref, verb, self.change(task, verb)

    def restore_result(self):
        """A result comes from a record, of a task that had its intent: in time, late, or again."""
        intended = [task for task in [*self.stale, *(each for worker in self.workers for each in worker.known)]
                    if (task.job, task.system) in self.intents]
        if not intended:
            return None
        task = self.random.choice(intended[-6:])
        state, fence, _ = self.before[task.job, task.system]
        answer = self.verbs.restore_result(task)
        if answer == "ok":
            self.promise(state in "IPBLK" and int(task.fence) >= int(fence), f"an end was taken in {state}")
        return task.ref, answer

    def time_passes(self):
        """A lease's time, and the grace, pass at once; live workers have renewed meanwhile."""
        flat = self.tester("ZRANGE", "{amtu}:leases", 0, -1, "WITHSCORES")
        for system, score in zip(flat[::2], flat[1::2]):
            self.tester("ZADD", "{amtu}:leases", float(score) - LEASE - GRACE - SECOND, system)
        for system in SYSTEMS:
            self.tester("DEL", f"{{amtu}}:cool:{system}")
        for entry in self.tester("ZRANGE", "{amtu}:retry", 0, -1):
            self.tester("ZADD", "{amtu}:retry", 1, entry)
        for worker in self.workers:
            if worker.known:
                self.verbs.renew(worker.name, *worker.known)

    def reap(self):
        return self.verbs.reap(self.random.choice(self.workers).name)

    STEPS = {submit: 4, cancel: 2, overdue: 1, claim: 8, renew: 3, forget: 3, kill: 1, act: 10, act_stale: 8,
             restore_result: 1, time_passes: 3, reap: 3}

    def step(self):
        chosen = self.random.choices(list(self.STEPS), list(self.STEPS.values()))[0]
        self.trace.append([chosen.__name__])
        self.trace[-1].append(chosen(self))
        self.check()

    def settle(self):
        """Nobody asks for more, and workers behave: everything ends."""
        for _ in range(40):
            if not self.running_jobs() and not self.tester("EXISTS", "{amtu}:leases"):
                break
            self.trace.append(["settle"])
            for worker in self.workers:
                worker.known = [
                    task for task in worker.known
                    if self.change(task, self.random.choice(["unlocked", "failed"])) not in ("ok", "refused")]
            self.check()
            self.time_passes()
            for worker in self.workers:
                lost = self.verbs.renew(worker.name, *worker.known)
                worker.known = [task for task in worker.known if task.ref not in lost]
            self.reap()
            self.check()
            self.claim()
            self.check()
        self.promise(not self.running_jobs(), f"these never end: {self.running_jobs()}")
        self.check(all_jobs=True)
        for key in ("jobs", "leases", "looks", "deadlines"):
            self.promise(self.tester("EXISTS", "{amtu}:" + key) == 0, f"{key} is left when all has ended")
        for system in SYSTEMS:
            self.promise(self.tester("EXISTS", f"{{amtu}}:system:{system}", f"{{amtu}}:device:uuid-{system}") == 0,
                         f"{system} is owned when all has ended")


def run(server, library, seed, steps, older=None):
    """One life of a Redis under random work, from empty to all ended. With an older library (its text and its schema)
    the life begins under that one; in the middle the other replaces it."""
    wires = {}

    def ask(user, *words):
        if user not in wires:
            wires[user] = server.wire(user)
        return wires[user](*words)

    try:
        ask(TESTER, "FLUSHALL")
        text, schema = older or (library, SCHEMA)
        ask(TESTER, "FUNCTION", "LOAD", "REPLACE", text)
        verbs = Verbs(ask, schema)
        verbs.publish({system: ("g", []) for system in SYSTEMS})
        model = Model(verbs, lambda *words: ask(TESTER, *words), seed)
        for number in range(steps):
            if number == steps // 2:
                ask(TESTER, "FUNCTION", "LOAD", "REPLACE", library)
                verbs.schema = SCHEMA
            model.step()
        model.settle()
    finally:
        for wire in wires.values():
            wire.close()
