# SPDX-License-Identifier: Apache-2.0
"""Runs the conformance list against the stack that the httpd tests share."""

import itertools
import re
import uuid
from dataclasses import replace

import pytest
from amtu_stack import kdc, soap
from amtu_stack.console import Console
from amtu_stack.process import wait_until
from cases import CASES, LIST, markdown
from conftest import switch_off
from rules import Fault, Result, enumerate_, get_job, mode

LEAST = 120
_turns = itertools.count()


class Scene:
    """What the {names} in a case stand for; each is made when it is first used in a case."""

    def __init__(self, stack, names, console, who):
        self.stack = stack
        self.systems = names
        self.console = console
        self.who = who
        self.made = {}
        self.answers = []  # to what was sent before the case itself

    def text(self, template):
        return re.sub(r"\{(\w+)\}", lambda found: self.value(found[1]), template)

    def value(self, name):
        if name not in self.made:
            self.made[name] = getattr(self, name)()
        return self.made[name]

    def other(self):
        return self.stack.console(kdc.CONSOLE2)

    def unknown(self):
        return f"unknown-{uuid.uuid4().hex[:8]}.example"

    def uuid(self):
        return str(uuid.uuid4())

    def job_name(self):
        return self.value("unknown")

    def off(self):
        """A PC that will take a while, when earlier jobs have ended."""
        with self.stack.redis.client() as redis:
            assert wait_until(lambda: redis.call("ZCARD", "{amtu}:jobs") == 0, 20)
        return self._next_system()

    def _next_system(self):
        """A PC that is off. None is taken twice: one that is switched off while it boots keeps its job waiting."""
        system = self.systems[next(_turns)]
        switch_off(self.stack, [system])
        return system

    def job(self):
        """Finished: its one system is unknown."""
        return self.console.unlock([self.value("unknown")])

    def fresh(self):
        return self.console.unlock(["fresh.example"])

    def large(self):
        """Its results take more than 32 KiB."""
        return self.console.unlock([f"{'x' * 60}.{'y' * 60}.{'z' * 60}.{'w' * 55}.{number:03}" for number in range(100)])

    def running(self):
        return self.console.unlock([self._next_system()])

    def pending(self):
        return self.value("running")

    def foreign(self):
        return self.other().unlock(["foreign.example"])

    def first_job(self):
        return self.answers[-1].job

    def _context(self, console, resource=soap.JOB, inside=""):
        for number in range(3):
            console.unlock([f"listed-{number}.example"])
        answer = console.send(enumerate_(resource, inside))
        return answer.text("wsen:EnumerationContext")

    def context(self):
        return self._context(self.console)

    def reference_context(self):
        return self._context(self.console, inside=mode("EnumerateEPR"))

    def service_context(self):
        return self._context(self.console, soap.SERVICE)

    def foreign_context(self):
        return self._context(self.other())


    # ---- running a case -----------------------------------------------------------------------------------

    def send(self, case, body):
        """Sends a body in the case's encoding; the answer, turned into UTF-8, and what was sent as text."""
        text = self.text(body) if isinstance(body, str) else None
        data = body if text is None else case.mark + text.encode(case.encoding)
        answer = self.who.send(data, path=case.path, method=case.method, content_type=case.content_type)
        assert answer.body.startswith(case.mark), "answered without the caller's byte order mark"
        answer.body = answer.body[len(case.mark):].decode(case.encoding).encode()
        return answer, text

    def fill(self, expected):
        """The expectation with its {names} filled in."""
        if not isinstance(expected, Result):
            return expected
        return replace(expected, texts=self._filled(expected.texts), unlike=self._filled(expected.unlike))

    def _filled(self, texts):
        return {path: self.text(text) if isinstance(text, str) else text for path, text in texts.items()}


def check_headers(answer, sent, expected):
    """What holds for every SOAP answer: where it goes, what it answers, which action it is."""
    assert answer.headers["content-type"].lower().startswith("application/soap+xml")
    if getattr(expected, "action", None) == "":
        return
    asked = {name: re.search(f"<wsa:{name}[^>]*>([^<]*)</wsa:{name}>", sent or "") for name in ("MessageID", "Action")}
    assert answer.text("s:Header/wsa:To") == soap.ANONYMOUS
    assert answer.text("s:Header/wsa:MessageID") not in (None, "", asked["MessageID"] and asked["MessageID"][1])
    if isinstance(expected, Result):
        assert answer.text("s:Header/wsa:RelatesTo") == asked["MessageID"][1]
        assert answer.text("s:Header/wsa:Action") == (expected.action or asked["Action"][1] + "Response")
    elif answer.find("s:Header/wsa:RelatesTo") is not None:
        assert answer.text("s:Header/wsa:RelatesTo") == asked["MessageID"][1]


@pytest.fixture
def scene(stack, names, console, redis):
    """Callers with jobs to see and no enumeration left open."""
    for left in redis.call("KEYS", "{amtu}:context*"):
        redis.call("DEL", left)
    if len(redis.call("KEYS", "{amtu}:job:*:names")) > 40 and redis.call("ZCARD", "{amtu}:jobs") == 0:
        for left in redis.call("KEYS", "{amtu}:job:*") + redis.call("KEYS", "{amtu}:jobs:*"):
            redis.call("DEL", left)  # so that an enumeration of everything, three items a job, fits into one answer of 200
    if len(redis.call("KEYS", "{amtu}:job:*:names")) < 3:
        for number in range(3):
            console.unlock([f"earlier-{number}.example"])
    return lambda who: Scene(stack, names, console, who)


@pytest.mark.may_log("AMTU0060", "AMTU0061")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}-{case.rule}-{case.title}".replace("/", "|")[:90])
def test_rule(stack, console, console2, scene, case):
    who = {"console": console, "console2": console2, "nobody": Console(stack.httpd)}[case.who]
    here = scene(who)
    for body in case.first:
        answer, _ = here.send(case, body)
        assert (answer.fault is not None) == case.first_refused, answer
        here.answers.append(answer)
    answer, sent = here.send(case, case.body)
    expected = here.fill(case.expected)
    expected.check(answer)
    if isinstance(expected, (Fault, Result)):
        check_headers(answer, sent, expected)


# ---- the list itself ------------------------------------------------------------------------------------------

def test_list_is_long_enough_and_names_each_rule():
    assert len(CASES) >= LEAST
    assert len({case.number for case in CASES}) == len(CASES)
    assert len({(case.rule, case.title) for case in CASES}) == len(CASES)
    assert all(re.match("DSP02(26|27|30) |SOAP |MS-WSMV |interface: |order of faults", case.rule) for case in CASES)


def test_list_that_people_read_is_this_list():
    """make it again by: tests/httpd/conformance/cases.py >tests/httpd/conformance.md"""
    assert LIST.read_text(encoding="utf-8") == "\n".join(markdown()) + "\n"


@pytest.mark.parametrize("wrong", [Fault("wsman:InternalError"), Fault("wsa:DestinationUnreachable", "InvalidResourceURI", 500),
                                   Fault("wsa:DestinationUnreachable"), Result()], ids=["code", "status", "detail", "kind"])
def test_a_wrong_answer_is_found(console, wrong):
    answer = console.send(get_job("nobody:7"))
    with pytest.raises(AssertionError):
        wrong.check(answer)


@pytest.mark.parametrize("wrong", [Result(has=("p:Nothing",)), Result(lacks=("p:Name",)), Result(texts={"p:Name": "x"}),
                                   Result(counts={"p:Name": 2}), Result(unlike={"p:Started": "true"}), Fault("x")],
                         ids=["has", "lacks", "texts", "counts", "unlike", "kind"])
def test_a_wrong_instance_is_found(console, wrong):
    answer = console.send(soap.get(soap.SERVICE))
    with pytest.raises(AssertionError):
        wrong.check(answer)
