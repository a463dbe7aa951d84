# SPDX-License-Identifier: Apache-2.0
"""What real boot chains show on a serial port, as scripts (tests/consoles): each ends as it says of itself, however AMT cuts
the text into messages. One PC a script and cut, all in one job; none has a probe, so the console's word is all there is."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from redirected import check_taken_back, passphrases, state_of
from rig import Rig, wait_until

FOLDER = Path(__file__).resolve().parents[1] / "consoles"
CUTS = (1, 7, 80, 4000)


@dataclass
class Script:
    path: Path
    verdicts: frozenset  # one of these, or, where `denied`, none of these
    denied: bool
    typed: int
    running: str  # "", "up" or "locked": where a PC stands that is on before the job begins
    system: str = ""

    def agrees(self, verdict):
        return (verdict in self.verdicts) != self.denied


def read_script(path):
    """The lines of a script that are for its test."""
    heads = {words[0]: words[1:] for words in map(str.split, path.read_text().splitlines())
             if words and words[0] in ("expect", "running")}
    *verdict, word, count = heads["expect"]
    assert word == "typed", path
    return Script(path, frozenset(verdict[-1].split(",")), verdict[0] == "not", int(count),
                  heads.get("running", [""])[0])


def pending():
    """Scripts that the product does not pass yet: {name: is it sure to fail}."""
    lines = [line.split() for line in (FOLDER / "pending").read_text().splitlines() if line and line[0] != "#"]
    return {words[0]: words[1:] != ["sometimes"] for words in lines}


def cases():
    waited_for = pending()
    names = sorted(path.stem for path in FOLDER.glob("*.script"))
    assert set(waited_for) <= set(names), f"tests/consoles/pending: no such script: {set(waited_for) - set(names)}"
    for name in names:
        for cut in CUTS:
            marks = [pytest.mark.xfail(strict=waited_for[name], reason="tests/consoles/pending")] \
                if name in waited_for else ()
            yield pytest.param(name, cut, id=f"{name}-{cut}", marks=marks)


CASES = list(cases())


class Consoles:
    """The fleet, its worker and its one job."""

    def __init__(self):
        keys = [(name, cut) for name, cut in (case.values for case in CASES)]
        self.rig = Rig("consoles", systems=len(keys), method="sol", boot_seconds="4-4", boot_timeout=15,
                       amtsim=("--power-seconds", "0.03-0.06", "--answer-ms", 1))
        self.rig.environment = {"AMTUNLOCK_TEST_CONSOLE_MS": "8000"}
        self.keys = keys

    def play(self):
        self.rig.up()
        self.scripts = {}
        own = []
        for key, system in zip(self.keys, self.rig.systems()):
            self.scripts[key] = script = read_script(FOLDER / f"{key[0]}.script")
            script.system = system
            own += self.give(script, key[1])
        self.switch_on()
        self.worker = self.rig.prepare_worker()
        self.worker.write_inventory([{**row, "probe": ""} for row in self.rig.fleet.systems()])
        with open(self.worker.folder / "secrets", "a") as secrets:
            secrets.writelines(own)
        self.rig.start_worker(self.worker)
        self.job = self.rig.submit(self.rig.systems())
        self.results = self.job.await_end(120)
        self.tasks = self.job.tasks()
        self.read_events()
        return self

    def read_events(self):
        """Once, when all is over: the simulator's log is long."""
        assert wait_until(lambda: len(self.rig.events(event="sol-open")) == len(self.rig.events(event="sol-close")), 10)
        found = defaultdict(list)
        for event in self.rig.events():
            found[event["system"]].append(event)
        self.rig.events = lambda system, event=None: [one for one in found[system] if event in (None, one["event"])]

    def give(self, script, cut):
        """Hands a PC its script; the passphrases of volumes that have their own, as the worker's file has them."""
        answer = self.rig.fleet.tell(do="console", system=script.system, script=str(script.path), cut=cut)
        assert answer["ok"], answer
        return [f"disk {volume}@{script.system} {key}\n" for volume, key in answer["volumes"].items()]

    def switch_on(self):
        on = [script for script in self.scripts.values() if script.running]
        for script in on:
            assert self.rig.fleet.tell(do="power", system=script.system, to=2)["ok"]
        for script in on:
            stands = "up" if script.running == "up" else "prompt"
            assert wait_until(lambda one=script, at=stands: state_of(self.rig, one.system)["os"] == at, 10), script


@pytest.fixture(name="consoles", scope="module")
def _consoles(request):
    one = Consoles()
    request.addfinalizer(one.rig.down)
    return one.play()


def typed(consoles, script, kind):
    return [one["to"] for one in consoles.rig.events(script.system, "typed") if one["kind"] == kind]


@pytest.mark.parametrize("name,cut", CASES)
def test_console(consoles, name, cut):
    script = consoles.scripts[name, cut]
    told = consoles.tasks[script.system]
    assert consoles.rig.events(script.system, "leak") == []
    assert typed(consoles, script, "nobody") == [] and typed(consoles, script, "other") == []
    assert len(typed(consoles, script, "disk")) == script.typed, told
    assert script.agrees(consoles.results[script.system]), told
    if consoles.results[script.system] == "unlocked":
        assert consoles.rig.events(script.system, "unlocked"), "it says unlocked, and the disk is locked"
    check_taken_back(consoles.rig, script.system)


def test_a_right_passphrase_is_never_called_wrong(consoles):
    """Of all PCs: where each line that was typed did fit, the verdict is not wrong-passphrase."""
    fitted = {script.system for (name, _), script in consoles.scripts.items() if name not in pending()
              and (answers := passphrases(consoles.rig, script.system)) and all(answers)}
    assert len(fitted) > len(CASES) // 4
    assert not {system for system in fitted if consoles.results[system] == "wrong-passphrase"}


def test_no_passphrase_is_written_down(consoles):
    """Not even of the consoles that echo it."""
    secrets = [line.split()[-1] for line in (consoles.worker.folder / "secrets").read_text().splitlines()
               if line.startswith("disk ")]
    assert len(secrets) >= len(CASES)
    for file in (consoles.worker.log, consoles.worker.folder / "audit.jsonl"):
        text = file.read_text()
        assert os.path.getsize(file) > 0 and not [secret for secret in secrets if secret in text], file
