# SPDX-License-Identifier: Apache-2.0
"""The short form of the campaign (make mutate is the long one), and proof that the campaign can fail."""

import os
import signal
import subprocess
import sys

import pytest
from amtu_stack import soap
from amtu_stack.httpd import Settings
from amtu_stack.process import wait_until
from campaign import CONFIGURATION, GROWTH, Campaign, Memory, Wrong, check
from certificates import make_certificate
from conftest import _bring_up
from mutator import Mutant, mutant

COUNT = 500
SEED = "tests"
TYPE = "application/soap+xml;charset=UTF-8"
FAULT = ('<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing">'
         '<s:Header><wsa:Action>urn:x/fault</wsa:Action></s:Header><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode>'
         '<s:Value>wsman:AccessDenied</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">no</s:Text></s:Reason></s:Fault>'
         "</s:Body></s:Envelope>")


@pytest.fixture(scope="module")
def _stack():
    """A stack of its own with programs built with AddressSanitizer."""
    before = os.environ.get("AMTU_BUILD")
    os.environ["AMTU_BUILD"] = "build/asan"
    try:
        stack = _bring_up("mutated", Settings(extra=CONFIGURATION), systems=1, boot_seconds="1-1")
    finally:
        os.environ.pop("AMTU_BUILD")
        os.environ.update({"AMTU_BUILD": before} if before else {})
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def pem(_stack):
    return make_certificate(_stack, _stack.httpd.root / "tls" / "mutator.pem", "/CN=mutator", "DNS:mutator.fleet.test")


def test_mutated_envelopes(_stack, pem):
    campaign = Campaign(_stack, pem, SEED).run(COUNT)
    wrong = list(campaign.problems())
    assert not wrong, "\n".join([*wrong, campaign.figures()])
    assert sum(campaign.kinds.values()) == COUNT
    assert campaign.kinds["answered"] > COUNT // 50, "some go all the way through"
    assert len(campaign.kinds) > 10, campaign.figures()


def test_an_envelope_can_be_made_again():
    seeds = ['<a xmlns="urn:x"><b>1</b><c d="2"/></a>', "<a", FAULT]
    made = [mutant("x", number, seeds) for number in range(200)]
    assert made == [mutant("x", number, seeds) for number in range(200)]
    assert len({one.body for one in made}) > 100
    assert made != [mutant("y", number, seeds) for number in range(200)]


def sent(body=b"x"):
    return Mutant(body, TYPE, False, [])


def test_right_answers_are_right():
    assert check(400, TYPE, FAULT.encode(), sent()) == "wsman:AccessDenied"
    assert check(200, "", b"", sent(b"")) == "empty"


@pytest.mark.parametrize("status, body", [
    (500, FAULT), (200, FAULT), (400, FAULT.replace("</s:Fault>", "")), (400, FAULT.replace("s:Sender", "s:Client")),
    (400, FAULT.replace(">no<", "><")), (400, FAULT.replace("urn:x/fault", "urn:x")), (400, "<a/>"), (200, ""), (502, "x"),
    (400, FAULT.replace("wsman:AccessDenied", "wsman:InternalError")), (400, FAULT.replace("s:Header", "s:Body"))])
def test_wrong_answers_are_wrong(status, body):
    with pytest.raises(Wrong):
        check(status, TYPE, body.encode(), sent())


# ---- that the campaign can fail, beside the answers -------------------------------------------------------------

def test_a_lost_child_is_found(_stack, pem):
    campaign = Campaign(_stack, pem, SEED)
    (child,) = campaign.children
    campaign.run(10)
    assert not list(campaign.problems())
    os.kill(child, signal.SIGABRT)  # as AddressSanitizer does
    assert wait_until(lambda: _stack.httpd.children() not in ([], [child]), 20)
    found = "\n".join(campaign.problems())
    assert "children of httpd were" in found
    assert "AH00052" in found, "and its parent's log says how it ended"


def test_a_server_that_closes_without_an_answer_is_found(_stack, pem):
    """As one does whose child dies over an envelope."""
    campaign = Campaign(_stack, pem, SEED)
    sender = campaign.senders[0]
    sender.send(sent(soap.IDENTIFY.encode()))
    (child,) = _stack.httpd.children()
    os.kill(child, signal.SIGKILL)
    campaign.one(sender, 7)
    assert len(campaign.wrong) == 1 and campaign.wrong[0].startswith("number 7 (")
    assert wait_until(lambda: _stack.httpd.children() not in ([], [child]), 20)


@pytest.mark.parametrize("line", ["==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1", "x.c:7:1: runtime error: overflow"])
def test_what_a_sanitizer_says_is_found(_stack, pem, line):
    campaign = Campaign(_stack, pem, SEED)
    assert not list(campaign.problems())
    with open(_stack.httpd.error_log, "a") as log:
        log.write(line + "\n")
    assert line in "\n".join(campaign.problems())


@pytest.mark.parametrize("each, found", [(GROWTH // 4, True), (0, False)], ids=["leaks", "does not"])
def test_growth_is_found(each, found):
    """A process that keeps `each` KiB of every request."""
    program = f"import sys\nkept = []\nfor line in sys.stdin:\n    kept.append(b'x' * {each} * 1024)\n    print(flush=True)"
    memory = Memory()
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as leaky:
        for _ in range(12):
            leaky.stdin.write("\n")
            leaky.stdin.flush()
            leaky.stdout.readline()
            memory.sample([leaky.pid])
        leaky.stdin.close()
    assert bool(list(memory.problems(12))) == found, memory.samples
