# SPDX-License-Identifier: Apache-2.0
"""What readers of a job rely on: pages of one answer fit together, a version stands for one answer, and no call costs more
for a larger job."""

import re

import pytest

from redis_server import JOBS, LOOK, PAGE, TESTER, WEB, WORKER, Verbs


@pytest.fixture(name="changes")
def _changes(tester):
    return lambda job="j1": int(tester("HGET", f"{{amtu}}:job:{job}", "changes") or 0)


def test_every_change_is_counted(verbs, tester, changes):
    """Not only its time is kept: two changes within one microsecond must not look alike."""
    verbs.submit("j1", "pc1.example", "pc2.example", "pc3.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    one, two, three = verbs.claim()
    steps = [
        lambda: verbs.intend(one), lambda: verbs.progress(one, "P"), lambda: verbs.progress(one, "B"),
        lambda: verbs.finish(one), lambda: verbs.finish(two, "F", "busy"), lambda: verbs.release(three),
        verbs.claim, lambda: verbs.cancel("j1")]
    seen = [changes()]
    for step in steps:
        step()
        seen.append(changes())
    assert seen == sorted(set(seen)), seen
    assert changes("j2") > 0, "it got the result of the task that it had joined"
    verbs.submit("j3", "pc2.example", start_within=0)
    before = changes("j3")
    verbs.reap()
    assert changes("j3") > before


# ---- versions ----------------------------------------------------------------------------------------------


def version(verbs, job="j1", **more):
    return verbs.window("results", job, **more)[2]


def test_what_the_reader_knows_is_not_listed_again(verbs):
    verbs.submit("j1", "pc1.example", "nosuch.example")
    for verb, lists in (("results", [[], ["nosuch.example"]]), ("errors", [["nosuch.example", "", "not-available"]])):
        word, job, known, names, _, *first = verbs.window(verb, "j1")
        assert (word, job, names, first) == ("ok", "j1", "2", lists)
        assert verbs.window(verb, "j1", known=known)[5:] == [[] for _ in lists]
        assert verbs.window(verb, "", known=known)[5:] == [[] for _ in lists], "it is the latest, too"
        assert verbs.window(verb, "j1", known=known, caller="bob") == ["none"], "to know it is no right"
        assert verbs.window(verb, "j1", known=known, caller="root", reads_all=1)[5:] == [[] for _ in lists]
    known = version(verbs)
    verbs.submit("j2", "nosuch.example")
    assert verbs.window("results", "", known=known)[5:] == [[], ["nosuch.example"]], "another job is the latest now"
    assert verbs.finish(verbs.claim_one()) == "ok"
    assert verbs.window("results", "j1", known=known)[5:] == [["pc1.example"], ["nosuch.example"]]


@pytest.mark.parametrize("known", ["", "x", "j1 0", "j1 many 1 0 0", "|", "%d+", "j1 1e999 1 0 0"])
def test_what_no_look_has_given_is_no_version(verbs, known):
    verbs.submit("j1", "pc1.example", "nosuch.example")
    assert verbs.window("results", "j1", known=known)[5:] == [[], ["nosuch.example"]]
    assert verbs.window("results", "j1", known=known, as_of=1)[5:] == [[], ["nosuch.example"]]


def test_time_alone_makes_a_job_overdue(verbs, tester):
    """Nobody writes anything: the version differs all the same."""
    verbs.submit("j1", "pc1.example")
    known = version(verbs)
    tester("HSET", "{amtu}:job:j1", "start_by", "1")
    assert verbs.window("results", "j1", known=known)[5:] == [[], ["pc1.example"]]


# ---- pages -------------------------------------------------------------------------------------------------


@pytest.fixture(name="many")
def _many(redis):
    """A job of more names than a page has, over connections that stay."""
    wires = {user: redis.wire(user) for user in (WEB, WORKER, TESTER)}
    wires[TESTER]("CONFIG", "SET", "appendfsync", "no")
    verbs = Verbs(lambda user, *words: wires[user](*words))
    verbs.systems = [f"s{number}.example" for number in range(2 * PAGE + 20)]
    assert verbs.publish({system: ("floor1", []) for system in verbs.systems}, digest="many", written=2000) == ["ok"]
    assert verbs.submit("j1", *verbs.systems)[0] == "ok"
    verbs.tester = wires[TESTER]
    yield verbs
    wires[TESTER]("CONFIG", "SET", "appendfsync", "always")
    for wire in wires.values():
        wire.close()


def claim_all(verbs):
    tasks = []
    while len(tasks) < len(verbs.systems):
        tasks += verbs.claim(most=200, digest="many")
    return {task.system: task for task in tasks}


class Reader:
    """Who reads a job in pages, with something done before each page."""

    def __init__(self, verbs, verb="results"):
        self.verbs, self.verb = verbs, verb
        _, self.job, self.known, names, self.as_of, *self.lists = verbs.window(verb, "j1")
        assert self.lists == ([[], []] if verb == "results" else [[]]), "so many names are read in pages"
        self.pages = list(range(0, int(names), PAGE))

    def page(self):
        answer = self.verbs.window(self.verb, self.job, self.pages.pop(0), PAGE, known=self.known, as_of=self.as_of)
        assert answer[0] == "ok"
        self.lists = [whole + page for whole, page in zip(self.lists, answer[5:])]

    def rest(self, before=lambda: None):
        while self.pages:
            before()
            self.page()
        return self.lists


def test_pages_show_one_state_while_the_job_goes_on(many):
    tasks = claim_all(many)
    order = [*many.systems[1::2], *many.systems[::2]]
    for system in order[:100]:
        many.finish(tasks[system])
    ended = iter(order[100:])

    def go_on():
        for number in range(40):
            system = next(ended)
            many.finish(tasks[system], *(("F", "busy") if number % 2 else ()))

    assert sorted(Reader(many).rest(go_on)[0]) == sorted(order[:100])
    reader, errors = Reader(many), Reader(many, "errors")
    seen = Reader(many).rest()
    assert reader.rest(go_on) == seen and errors.rest(go_on)[0][::3] == seen[1]
    assert len(many.results("j1")[0] + many.results("j1")[1]) > len(seen[0] + seen[1])


@pytest.mark.parametrize("end", ["cancelled", "overdue"])
@pytest.mark.parametrize("when", ["before", "between"])
def test_pages_of_a_job_that_is_ended_as_a_whole(many, end, when):
    claimed = []
    while len(claimed) < 10:
        claimed += many.claim(most=10 - len(claimed), digest="many")
    for task in claimed[:5]:
        many.finish(task)

    def stop():
        if end == "cancelled":
            assert many.cancel("j1") == "ok"
        else:
            many.tester("HSET", "{amtu}:job:j1", "start_by", "1")

    def write():
        for task in claimed[5:]:
            many.finish(task)
        many.tester("ZADD", "{amtu}:deadlines", "1", "j1")
        many.reap()

    if when == "before":
        stop()
        expected = many.results("j1")
        reader = Reader(many)
        reader.page()
        write()
    else:
        expected = many.results("j1")
        reader = Reader(many)
        reader.page()
        stop()
        write()
    unlocked, failed = reader.rest()
    assert (sorted(unlocked), sorted(failed)) == tuple(map(sorted, expected))
    assert len(failed) == (0 if when == "between" else len(many.systems) - (5 if end == "cancelled" else 10))


def test_a_clock_that_was_set_back_hides_nothing(many):
    """What ended before is not left out because its time is yet to come."""
    tasks = claim_all(many)
    for system in many.systems[:PAGE + 5]:
        many.finish(tasks[system])
        record = many.tester("HGET", "{amtu}:job:j1:tasks", system).split("|")
        record[6] = str(int(record[6]) + 3600 * 10**6)
        many.tester("HSET", "{amtu}:job:j1:tasks", system, "|".join(record))
    reader = Reader(many)
    many.finish(tasks[many.systems[PAGE + 5]])
    assert reader.rest()[0] == many.systems[:PAGE + 5]


def test_pages_of_two_histories_are_not_put_together(many):
    """Redis came back with an older copy between two pages."""
    tasks = claim_all(many)
    many.finish(tasks[many.systems[0]])
    reader = Reader(many)
    many.tester("HINCRBY", "{amtu}:job:j1", "changes", -2)
    assert many.window("results", "j1", 0, PAGE, known=reader.known, as_of=reader.as_of)[0] == "refused"
    many.tester("DEL", "{amtu}:job:j1")
    assert many.window("results", "j1", 0, PAGE, known=reader.known, as_of=reader.as_of) == ["none"]


# ---- what it costs -----------------------------------------------------------------------------------------


def test_the_sizes_of_pages_are_those_of_the_programs():
    header = (JOBS / "jobs.h").read_text()
    lua = (JOBS / "lua" / "read.lua").read_text()
    for here, there in (("NAMES_A_PAGE", "JOBS_NAMES_A_PAGE"), ("READ_A_CALL", "JOBS_READ_MOST")):
        size = re.search(rf"^#define {there} (\d+)$", header, re.M).group(1)
        assert f"local {here} = {size} -- {there} of jobs.h" in lua
    assert f"#define JOBS_NAMES_A_PAGE {PAGE}\n" in header and f"#define JOBS_NAMES_A_LOOK {LOOK}\n" in header


def commands(verbs):
    stats = verbs.tester("INFO", "commandstats")
    return {name: int(calls) for name, calls in re.findall(r"cmdstat_([\w|]+):calls=(\d+)", stats)}


def test_a_call_costs_no_more_for_a_larger_job(many):
    """Neither a look, nor a page, whatever is asked for."""
    _, _, known, _, as_of, *_ = many.window("results", "j1")
    for words in ((0, -1), (0, 10**6), (5, 400)):
        for verb in ("results", "errors"):
            assert sum(map(len, many.window(verb, "j1", *words)[5:])) == 0
            assert sum(map(len, many.window(verb, "j1", *words, known=known, as_of=as_of)[5:])) == 0
    many.tester("CONFIG", "RESETSTAT")
    many.window("results", "j1", known=known)
    look = commands(many)
    assert look["hmget"] == 1 and sum(look.values()) <= 5, look
    many.tester("CONFIG", "RESETSTAT")
    many.window("results", "j1", PAGE, PAGE, known=known, as_of=as_of)
    page = commands(many)
    assert page["hmget"] == 3 and sum(page.values()) <= 7, page


def test_an_enumeration_asks_once_who_works(redis, verbs):
    verbs.renew("w1")
    for number in range(5):
        verbs.submit(f"j{number}", "nosuch.example")
    redis.ask(TESTER, "CONFIG", "RESETSTAT")
    assert len(verbs("read_page", "sha-alice", 0, *(f"j{number}" for number in range(5)))[1]) == 5
    stats = redis.ask(TESTER, "INFO", "commandstats")
    assert re.search(r"cmdstat_zrangebyscore:calls=(\d+)", stats).group(1) == "1"
