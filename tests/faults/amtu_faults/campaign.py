# SPDX-License-Identifier: Apache-2.0
"""Rounds dealt to lanes, the judgement on each lane, and the table."""

import json
import queue
import random
import threading
import time
import traceback
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from . import rules
from .around import Failure, RedisError
from .history import Unreadable, load
from .records import STOP, Broken, Wrong
from .story import story


WIDE = 34  # the first column
LAST = 6   # lines of what went wrong in a round


@dataclass
class Row:
    """What the table says of one boundary."""

    strikes: int = 0
    wanted: int = 0
    jobs: int = 0
    tasks: int = 0
    twice: int = 0
    lost: int = 0
    other: int = 0
    intended: int = 0
    indeterminate: int = 0
    unlocked: int = 0
    broken: int = 0  # rounds that did not do what they meant to
    results: dict = field(default_factory=lambda: defaultdict(Counter))  # {method: of its tasks}

    @property
    def passed(self):
        return self.strikes >= self.wanted > 0 and not self.twice + self.lost + self.other + self.broken


@dataclass
class Kind:
    """One kind of breaking: how its lane is made and what rounds there are: (label, round(lane, rng))."""

    name: str
    make_lane: object                 # (name) -> a lane that is up, with its workers
    rounds: list = field(default_factory=list)
    lanes: int = 1
    actions: tuple = ("kill",)        # which strikes are counted
    alone: bool = False               # it needs the whole machine
    named: list = field(default_factory=list)  # rounds that are played only where they are asked for by name

    def deal(self):
        """Its rounds as a queue: each lane takes the next. On a busy machine a round may not get where it should; it is
        played once more, and counts as broken when that does not help either."""
        dealt = queue.SimpleQueue()
        for label, play in self.rounds:
            dealt.put((label, play, False))
        return dealt


def say_if_heard(text):
    """Nobody may listen any more: what was started has to be ended all the same."""
    with suppress(BrokenPipeError):
        print(text, flush=True)


def share(part, whole):
    return f"{part} ({100 * part / whole:.1f} %)" if whole else "-"


class Campaign:
    """Runs kinds, nearly all of them side by side, until their rounds are done or the time is up."""

    def __init__(self, seconds, seed, say=say_if_heard):
        self.deadline = time.monotonic() + seconds
        self.seed = seed
        self.say = say
        self.rows = defaultdict(Row)
        self.breaches = []
        self.troubles = []  # what else failed, said again at the end
        self.figures = rules.Figures()
        self.lock = threading.Lock()

    def run(self, kinds):
        for kind in kinds:
            if kind.alone:
                self._together([kind])
        self._together([kind for kind in kinds if not kind.alone])

    def _together(self, kinds):
        threads = []
        for kind in kinds:
            dealt = kind.deal()
            for label, _ in kind.rounds:
                self.rows[label]  # noqa: B018 - a boundary that is never reached has a row too
            for number in range(kind.lanes):
                name = f"faults-{kind.name}-{number + 1}"
                threads.append(threading.Thread(target=self._lane, args=(kind, name, dealt)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _lane(self, kind, name, dealt):
        """One lane's life. Nothing that goes wrong in it goes unseen."""
        lane, began = None, time.monotonic()
        with self._seen(kind.name, name):
            lane = kind.make_lane(name)
            self._rounds(lane, dealt, random.Random(f"{self.seed} {name}"))
            lane.finish()
        if lane is not None:
            with self._seen(kind.name, name):
                lane.down()
            self._judge(kind, lane)
        self.say(f"{name} took {time.monotonic() - began:.1f} s")

    @contextmanager
    def _seen(self, label, name):
        try:
            yield
        except Exception:
            self._broken(label, f"{name}: {traceback.format_exc()}")

    def _rounds(self, lane, dealt, rng):
        while time.monotonic() < self.deadline and not STOP.is_set():
            try:
                label, play, again = dealt.get_nowait()
            except queue.Empty:
                return
            try:
                lane.revive()
                play(lane, rng)
            except Wrong as wrong:
                self._wrong(lane, label, wrong)
            except (Broken, Failure, RedisError, OSError) as problem:
                if again:
                    self._broken(label, f"{lane.name}: {label}: {problem!r}")
                else:
                    self.say(f"{lane.name}: {label}, to be played again: {problem!r}")
                    dealt.put((label, play, True))

    def _wrong(self, lane, label, wrong):
        """No other try makes that good."""
        with self.lock:
            self.rows[label].other += 1
            self.breaches.append(f"{lane.name}: breach of {wrong} ({label})")

    def _broken(self, label, text):
        with self.lock:
            self.rows[label].broken += 1
            self.troubles.append(text)
            self.say(text)

    # ---- judgement ---------------------------------------------------------------------------------------

    def _judge(self, kind, lane):
        folder = lane.folder / "history"
        try:
            history = load(folder)
            labels = json.loads((folder / "labels.json").read_text())
        except (Unreadable, OSError, ValueError) as problem:
            self._broken(kind.name, f"{lane.name}: {problem}")
            return
        breaches = rules.judge(history)
        with self.lock:
            for breach in breaches:
                self.breaches += [f"{lane.name}: breach of {breach}", *story(history, breach)]
            self.figures += rules.figures(history)
            for label, strikes in lane.strikes(kind.actions).items():
                self.rows[label].strikes += strikes
            self._count(history, labels, breaches)

    def _count(self, history, labels, breaches):
        for job in history.jobs:
            self.rows[labels[job]].jobs += 1
        for task in history.tasks:
            row = self.rows[labels[task.job]]
            row.tasks += 1
            row.intended += bool(task.intent_fence)
            row.indeterminate += task.reason == "indeterminate"
            row.unlocked += task.state == "U"
            row.results[history.methods.get(task.system, "no PC")][task.result] += 1
        columns = {"never-twice": "twice", "never-lost": "lost"}
        for breach in breaches:
            row = self.rows[labels.get(breach.job, "elsewhere")]
            column = columns.get(breach.rule, "other")
            setattr(row, column, getattr(row, column) + 1)

    # ---- the table ---------------------------------------------------------------------------------------

    def want(self, wanted):
        """{label: how many strikes it takes}"""
        for label, count in wanted.items():
            self.rows[label].wanted = count

    def table(self):
        yield (f"{'boundary':{WIDE}} {'strikes':>7} {'jobs':>6} {'tasks':>6} {'twice':>6} {'lost':>6} {'other':>6} "
               f"{'unlocked':>15} {'indeterminate':>14}")
        total = Counter()
        for label, row in self.rows.items():
            yield self._line(label, row)
            total.update({name: value for name, value in vars(row).items() if isinstance(value, int)})
        yield (f"{'all':{WIDE}} {total['strikes']:7} {total['jobs']:6} {total['tasks']:6} {total['twice']:6} "
               f"{total['lost']:6} {total['other']:6} {share(total['unlocked'], total['tasks']):>15} "
               f"{total['indeterminate']:>14}")

    def lost_unlocks(self):
        """Of each boundary where not all were unlocked: how each method fared there, and why."""
        for label, row in self.rows.items():
            if row.unlocked < row.tasks:
                for method, results in sorted(row.results.items()):
                    rest = ", ".join(f"{count} {result}" for result, count in results.most_common() if result != "unlocked")
                    yield f"{label:{WIDE}} {method:6} {share(results['unlocked'], results.total()):>15} {rest}".rstrip()

    def failures(self):
        """What went wrong, once more: the boundaries that failed, and why."""
        yield from (self._line(label, row) for label, row in self.rows.items() if not row.passed)
        for text in self.troubles:
            yield from text.splitlines()[-LAST:]
        yield from self.breaches

    @staticmethod
    def _line(label, row):
        verdict = "" if row.passed else "  FAILED"
        verdict += f" ({row.broken} rounds did not work)" if row.broken else ""
        verdict += f" ({row.wanted} wanted)" if row.strikes < row.wanted else ""
        return (f"{label:{WIDE}} {row.strikes:7} {row.jobs:6} {row.tasks:6} {row.twice:6} {row.lost:6} {row.other:6} "
                f"{share(row.unlocked, row.tasks):>15} {share(row.indeterminate, row.intended):>14}{verdict}")

    def verdict(self):
        """(passed, failed) boundaries."""
        passed = sum(row.passed for row in self.rows.values())
        return passed, len(self.rows) - passed
