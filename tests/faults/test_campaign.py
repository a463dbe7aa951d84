# SPDX-License-Identifier: Apache-2.0
"""The campaign against lanes made by hand: what a round saw is never forgotten because the round is played again."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from amtu_faults import rules, slowdisk  # noqa: E402
from amtu_faults.campaign import Campaign, Kind  # noqa: E402
from amtu_faults.history import load  # noqa: E402
from amtu_faults.lane import Lane  # noqa: E402
from amtu_faults.records import Broken, Records, Wrong  # noqa: E402

LABEL = "a round"


class Store:
    """What a lane asks of Redis."""

    def __init__(self):
        self.hashes = {}

    def add(self, job, systems, message):
        fields = {"state": "7", "submitted": "1800000000000000", "unlocked": "0", "failed": "0", "owner": "console",
                  "message": message}
        self.hashes["{amtu}:job:" + job] = fields
        self.hashes["{amtu}:job:" + job + ":tasks"] = dict.fromkeys(systems, "Q|||||||")
        self.hashes["{amtu}:job:" + job + ":names"] = {"0": "!|"}

    def call(self, word, name):
        if word == "KEYS":
            return [key for key in self.hashes if key.startswith(name.removesuffix("*"))]
        return [part for pair in self.hashes.get(name, {}).items() for part in pair]


class BareLane(Records):
    """No process runs; its history is written as a lane's is."""

    def __init__(self, folder):
        super().__init__()
        self.name, self.folder, self.workers, self.store = "lane", folder, [], Store()
        self.clock_pc, self.ready = "pc-0", [f"pc-{number}" for number in range(1, 1000)]
        self.fleet = SimpleNamespace(log=folder / "amtsim.jsonl", systems=lambda: [])
        self.fleet.log.write_text("")
        self.disk = SimpleNamespace(set=lambda _: None)
        self.redis = SimpleNamespace(answers=lambda: True)

    def read_clock(self, _system):
        """No simulator runs."""

    def redis_call(self, *words):
        return self.store.call(*words)

    def armed(self):
        return {}

    def revive(self):
        """Nothing dies here."""

    def down(self):
        folder = self.write_history()
        (folder / "audit-worker-1.jsonl").write_text("")

    def refuse(self, systems):
        slowdisk.SlowDiskLane.refuse(self, systems)


def campaign_of(lane, *plays):
    campaign = Campaign(60, "1", say=lambda _: None)
    campaign.run([Kind("kind", lambda _: lane, [(LABEL, play) for play in plays])])
    return campaign


def test_what_is_wrong_is_not_played_again(tmp_path):
    played = []

    def play(_lane, _rng):
        played.append(1)
        if len(played) == 1:
            raise Wrong("some-promise", "was broken")
    campaign = campaign_of(BareLane(tmp_path), play)
    assert len(played) == 1
    assert campaign.breaches == [f"lane: breach of some-promise: was broken ({LABEL})"]
    assert (campaign.rows[LABEL].other, campaign.rows[LABEL].broken) == (1, 0)


@pytest.mark.parametrize("times, broken", [(1, 0), (2, 1)])
def test_what_did_not_work_is_played_once_more(tmp_path, times, broken):
    played = []

    def play(_lane, _rng):
        played.append(1)
        if len(played) <= times:
            raise Broken("the machine is busy")
    campaign = campaign_of(BareLane(tmp_path), play)
    assert len(played) == 2
    assert (campaign.rows[LABEL].broken, campaign.breaches) == (broken, [])


class Refusing(BareLane):
    """httpd tells every console that nothing was done; of some requests that is not so."""

    def __init__(self, folder, done):
        super().__init__(folder)
        self.done = done  # which of the requests

    def ask(self, systems, message):
        if systems == ["nobody.example"]:
            return "done", None
        self.done -= 1
        if self.done == 0:
            self.store.add("secretly", systems, message)
        return "refused", None


def slow_round(lane, rng):
    slowdisk.slow_round(lane, "300-400 ms", rng)


@pytest.mark.parametrize("done", [1, slowdisk.CONSOLES, slowdisk.CONSOLES * slowdisk.TRIES + 1])
def test_a_refused_request_that_made_a_job_is_a_breach_however_often_it_is_played(tmp_path, done):
    campaign = campaign_of(Refusing(tmp_path, done), slow_round)
    assert any("breach of refused-is-not-done: job secretly" in line for line in campaign.breaches)


def test_requests_that_were_refused_in_truth_only_did_not_work(tmp_path):
    campaign = campaign_of(Refusing(tmp_path, -1), slow_round)
    assert (campaign.breaches, campaign.rows[LABEL].broken) == ([], 1)


def test_refusals_are_written_down_before_anything_else_may_fail(tmp_path):
    lane = BareLane(tmp_path)

    def broken(*_):
        raise Broken("httpd does not answer any more")
    lane.submit_again = broken
    with pytest.raises(Broken):
        slowdisk.settle_all(lane, [("one", ["pc-1"]), ("two", ["pc-2"])], ["unknown", "refused"])
    assert [one["systems"] for one in lane.refused] == [["pc-2"]]


class DeadWorker:
    """A worker whose process has gone, and what its failpoints did."""

    def __init__(self, log, hits):
        self.name, self.log = "worker-1", log
        self.process = SimpleNamespace(pid=7, alive=lambda: False)
        self.points = SimpleNamespace(hits=lambda: hits)


@pytest.mark.parametrize("last, hits, said, wanted", [
    ("started", [], "", Wrong), ("continued", [(7, "stop")], "", Wrong), ("started", [(6, "kill")], "", Wrong),
    ("started", [(7, "kill")], "", Broken), ("started", [(7, "later")], "", Broken), ("died", [], "", Broken),
    ("started", [], "AMTU0540 an engine stands still", Broken)])
def test_a_worker_that_ends_by_itself_is_not_forgotten(last, hits, said, wanted, tmp_path):
    (tmp_path / "log").write_text(said)
    restarted = []
    worker = DeadWorker(tmp_path / "log", [SimpleNamespace(pid=pid, action=action, at=1.0) for pid, action in hits])
    lane = Lane.__new__(Lane)
    lane.workers, lane.resting_workers = [worker], set()
    lane.processes_seen = [{"worker": "worker-1", "what": last}]
    lane.revive_redis, lane.restart = lambda: False, restarted.append
    with pytest.raises(wanted):
        lane.revive()
    assert restarted == [worker]


class Warming(BareLane):
    """httpd takes a slow Redis for one that is away, and looks again later."""

    def __init__(self, folder):
        super().__init__(folder)
        self.delay = self.resting = 0
        self.disk = SimpleNamespace(set=lambda delay: setattr(self, "delay", delay))

    def ask(self, _systems, _message):
        self.resting = 3 if self.delay > 20 else max(0, self.resting - 1)
        return ("refused" if self.resting else "done"), None


def test_a_disk_is_slow_only_when_httpd_has_its_connections(tmp_path):
    lane = Warming(tmp_path)
    slowdisk.warm_up(lane, SimpleNamespace(map=map))
    assert (lane.delay, lane.resting) == (0, 0)


def test_jobs_that_were_acknowledged_to_nobody_are_in_the_history(tmp_path):
    lane = BareLane(tmp_path)
    lane.store.add("secretly", ["pc-1"], "id/names")
    lane.down()
    history = load(tmp_path / "history")
    assert (set(history.jobs), set(history.others)) == (set(), {"secretly"})
    assert json.loads((tmp_path / "history" / "redis.json").read_text())["others"]["secretly"]["tasks"] == {"pc-1": "Q|||||||"}
    assert rules.judge(history) == []
