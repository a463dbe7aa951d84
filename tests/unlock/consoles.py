# SPDX-License-Identifier: Apache-2.0
"""Scripts of consoles (tests/consoles) played by a simulated fleet, one PC a script and cut, all in one job. None has a
probe, so that the console's word is all there is."""

import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from redirected import check_taken_back, state_of
from rig import Rig, wait_until

FOLDER = Path(__file__).resolve().parents[1] / "consoles"
CUTS = (1, 7, 80, 4000)
LATE_CUTS = (1, 80)

# Knows the secrets of @FILE@, first those of volumes that have their own, and thinks before it tells a passphrase.
LATE_HELPER = """#!/bin/sh
while IFS='=' read -r key value && [ -n "$key" ]; do
    case $key in need) need=$value ;; fqdn) fqdn=$value ;; volume) volume=$value ;; esac
done
[ "$need" = amt ] || sleep 1.5
for whose in "$volume@$fqdn" "$fqdn"; do
    while read -r kind system first second; do
        [ "$kind $system" = "$need $whose" ] || continue
        case $kind in
        amt) printf 'username=%s\\npassword=%s\\n' "$first" "$second" ;;
        disk) printf 'passphrase=%s\\n' "$first"
            [ "$whose" = "$fqdn" ] || printf 'volume=%s\\n' "$volume" ;;
        esac
        exit
    done <@FILE@
done
"""


@dataclass
class Script:
    path: Path
    verdicts: frozenset  # one of these, or, where `denied`, none of these
    denied: bool
    typed: int
    running: str  # "", "up" or "locked": where a PC stands that is on before the job begins
    late: bool    # its passphrase comes late
    system: str = ""

    def agrees(self, verdict):
        return (verdict in self.verdicts) != self.denied


def read_script(path):
    """The lines of a script that are for its test."""
    heads = {words[0]: words[1:] for words in map(str.split, path.read_text().splitlines())
             if words and words[0] in ("expect", "running", "late")}
    *verdict, word, count = heads["expect"]
    assert word == "typed", path
    return Script(path, frozenset(verdict[-1].split(",")), verdict[0] == "not", int(count),
                  heads.get("running", [""])[0], "late" in heads)


def pending():
    """Scripts that the product does not pass yet: {name: is it sure to fail}."""
    lines = [line.split() for line in (FOLDER / "pending").read_text().splitlines() if line and line[0] != "#"]
    return {words[0]: words[1:] != ["sometimes"] for words in lines}


def cases(late):
    """Script and cut of each, as parameters of a test."""
    waited_for = pending()
    scripts = {path.stem: read_script(path) for path in sorted(FOLDER.glob("*.script"))}
    assert set(waited_for) <= set(scripts), f"tests/consoles/pending: no such script: {set(waited_for) - set(scripts)}"
    for name, script in scripts.items():
        for cut in (LATE_CUTS if late else CUTS) if script.late == late else ():
            marks = [pytest.mark.xfail(strict=waited_for[name], reason="tests/consoles/pending")] \
                if name in waited_for else ()
            yield pytest.param(name, cut, id=f"{name}-{cut}", marks=marks)


class Consoles:
    """The fleet, its worker and its one job."""

    def __init__(self, name, keys, late):
        self.rig = Rig(name, systems=len(keys), method="sol", boot_seconds="4-4", boot_timeout=15,
                       amtsim=("--power-seconds", "0.03-0.06", "--answer-ms", 1))
        self.rig.environment = {"AMTUNLOCK_TEST_CONSOLE_MS": "8000"}
        self.keys = keys
        self.late = late

    def play(self):
        self.rig.up()
        self.scripts = {}
        own = []
        for key, system in zip(self.keys, self.rig.systems()):
            self.scripts[key] = script = read_script(FOLDER / f"{key[0]}.script")
            script.system = system
            own += self._give(script, key[1])
        self._switch_on()
        self._start_worker(own)
        self.job = self.rig.submit(self.rig.systems())
        self.results = self.job.await_end(120)
        self.tasks = self.job.tasks()
        self._read_events()
        return self

    def _give(self, script, cut):
        """Hands a PC its script; the passphrases of volumes that have their own, as the worker's file has them."""
        answer = self.rig.fleet.tell(do="console", system=script.system, script=str(script.path), cut=cut)
        assert answer["ok"], answer
        return [f"disk {volume}@{script.system} {key}\n" for volume, key in answer["volumes"].items()]

    def _switch_on(self):
        on = [script for script in self.scripts.values() if script.running]
        for script in on:
            assert self.rig.fleet.tell(do="power", system=script.system, to=2)["ok"]
        for script in on:
            stands = "up" if script.running == "up" else "prompt"
            assert wait_until(lambda one=script, at=stands: state_of(self.rig, one.system)["os"] == at, 10), script

    def _start_worker(self, own):
        self.worker = self.rig.prepare_worker()
        self.worker.write_inventory([{**row, "probe": ""} for row in self.rig.fleet.systems()])
        self.secrets = self.worker.folder / "secrets"
        with open(self.secrets, "a") as secrets:
            secrets.writelines(own)
        if self.late:
            self._ask_late()
        self.rig.start_worker(self.worker)

    def _ask_late(self):
        role, known = self.rig.places.roles["amtunlock"], self.worker.folder / "known-to-the-helper"
        shutil.move(self.secrets, known)
        role.own(known)
        helper = self.rig.places.write(self.worker.folder / "helper", LATE_HELPER.replace("@FILE@", str(known)),
                                       role="amtunlock", mode=0o700)
        text = self.worker.config.read_text()
        self.worker.config.write_text(text.replace(f"secrets = file:{self.secrets}", f"secrets = exec:{helper}"))
        self.secrets = known

    def _read_events(self):
        """Once, when all is over: the simulator's log is long."""
        assert wait_until(lambda: len(self.rig.events(event="sol-open")) == len(self.rig.events(event="sol-close")), 10)
        found = defaultdict(list)
        for event in self.rig.events():
            found[event["system"]].append(event)
        self.rig.events = lambda system, event=None: [one for one in found[system] if event in (None, one["event"])]

    def typed(self, script, kind):
        return [one["to"] for one in self.rig.events(script.system, "typed") if one["kind"] == kind]

    def check(self, name, cut):
        """That it ended as its script says, and nobody was told a passphrase but the disks."""
        script = self.scripts[name, cut]
        told = self.tasks[script.system]
        assert self.rig.events(script.system, "leak") == []
        assert self.typed(script, "nobody") == [] and self.typed(script, "other") == []
        assert len(self.typed(script, "disk")) == script.typed, told
        assert script.agrees(self.results[script.system]), told
        if self.results[script.system] == "unlocked":
            assert self.rig.events(script.system, "unlocked"), "it says unlocked, and the disk is locked"
        check_taken_back(self.rig, script.system)

    def passphrases(self):
        return [line.split()[-1] for line in self.secrets.read_text().splitlines() if line.startswith("disk ")]
