# SPDX-License-Identifier: Apache-2.0
"""What a hostile PC sends, of the simulator: the product's bounds are measured against it."""

import re
import ssl
import subprocess
import time

import pytest

import amtsim
from redirection import Ider, Sol

TLS13 = ("--tls13",)


@pytest.fixture(scope="module", name="sim")
def _sim():
    with amtsim.fleet("--systems", 16, "--method", "sol", *TLS13, *amtsim.QUICK) as one:
        one.unused = iter(one.pcs)
        yield one


@pytest.fixture(name="pc")
def _pc(sim):
    return next(sim.unused)


def client(sim, pc, *options):
    """What openssl's own client says of a connection to a PC."""
    command = ["openssl", "s_client", "-connect", f"{pc['address']}:16993", "-CAfile", str(sim.dir / "ca.pem"), "-msg",
               *options]
    return subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=20).stdout


def count_pieces(session, at_least, seconds):
    """How many messages came, and how fast."""
    began = time.monotonic()
    messages = 0
    while messages < at_least and time.monotonic() < began + seconds:
        assert session.read_message() is not None
        messages += 1
    return messages, messages / (time.monotonic() - began)


def test_a_flood_of_text(sim, pc):
    sim.fault(pc, "flood")
    with Sol(sim, pc) as sol:
        messages, rate = count_pieces(sol, 5000, 10)
        assert messages == 5000 and 3000 < rate < 30000
        assert len(sol.screen) > 4900, "a byte a message"
        sim.fault(pc, "flood", on=False)


def test_a_flood_of_pings(sim, pc):
    sim.fault(pc, "flood")
    with Ider(sim, pc, b"", enable=None) as drive:
        pings = 0
        while pings < 1000:
            head = drive.take(8)
            drive.check_sequence(head)
            pings += head[0] == 0x44
            drive.take({0x49: 5}.get(head[0], 0))


def test_a_flood_of_unfinished_escapes(sim, pc):
    sim.fault(pc, "escapes")
    with Sol(sim, pc) as sol:
        messages, rate = count_pieces(sol, 2000, 10)
        assert messages == 2000 and rate > 1000 and sol.screen.count(b"\x1b") > 10000
        sim.fault(pc, "escapes", on=False)


def test_a_session_that_ends_at_once(sim, pc):
    sim.fault(pc, "drops-session")
    for _ in range(3):
        with Sol(sim, pc) as sol:
            while sol.read_message() is not None:
                pass
    sim.wait_event(pc, "sol-close", 3)


def test_answers_that_lead_nowhere(sim, pc):
    console, call = sim.console(pc), amtsim.envelope(amtsim.WXF + "/Get", amtsim.ASSOCIATED_POWER)
    sim.fault(pc, "redirects")
    status, answer = console.curl(call)
    assert (status, answer.status) == (0, 302) and answer.headers["location"] == f"https://{pc['fqdn']}:16993/wsman"
    assert console.curl(call, "--location", "--max-redirs", "20")[0] == 47, "too many"
    sim.control(do="clear", system=pc["fqdn"])
    sim.fault(pc, "challenges")
    status, answer = console.curl(call)
    assert (status, answer.status) == (47, 401), "curl asks again until it has had enough"
    assert "stale" in answer.headers["www-authenticate"]
    sim.control(do="clear", system=pc["fqdn"])
    sim.fault(pc, "half-answers")
    status, answer = console.curl(call)
    assert status != 0 or b"</html>" not in answer.body, "cut off, in its head or behind it"


def test_garbage_instead_of_tls(sim, pc):
    sim.fault(pc, "tls-garbage")
    assert sim.console(pc).curl("")[0] == 35, "no handshake"


def test_a_header_and_a_refusal_without_end(sim, pc):
    console = sim.console(pc)
    sim.fault(pc, "endless-head")
    assert console.curl(amtsim.envelope(amtsim.WXF + "/Get", amtsim.ASSOCIATED_POWER), seconds=3)[0] != 0
    sim.control(do="clear", system=pc["fqdn"])
    sim.fault(pc, "endless-challenge")
    status, _ = console.curl(amtsim.envelope(amtsim.WXF + "/Get", amtsim.ASSOCIATED_POWER), seconds=2)
    assert status == 28, "still going on"


def test_an_answer_that_drips(sim, pc):
    sim.fault(pc, "drip")
    began = time.monotonic()
    status, answer = sim.console(pc).curl(amtsim.envelope(amtsim.WXF + "/Get", amtsim.ASSOCIATED_POWER), seconds=2)
    assert status == 28 and answer.body == b"" and time.monotonic() - began > 1.9


def test_an_answer_of_very_many_elements(sim, pc):
    sim.fault(pc, "elements")
    answer = sim.console(pc).get(amtsim.ASSOCIATED_POWER)
    assert answer.body.count(b"<b/>") == 30000


def test_a_heavy_group(sim, pc):
    sim.fault(pc, "heavy-key")
    said = client(sim, pc, "-tls1_2")
    assert re.search(r"Server Temp Key: DH, 8192 bits", said), said


def test_a_heavy_chain(sim, pc):
    sim.fault(pc, "heavy-chain")
    assert client(sim, pc, "-showcerts").count("BEGIN CERTIFICATE") > 150


def test_hello_requests(sim, pc):
    sim.fault(pc, "hello-requests")
    assert client(sim, pc, "-ign_eof", "-tls1_2", "-no_renegotiation").count("HelloRequest") > 1


def test_key_updates(sim, pc):
    sim.fault(pc, "key-updates")
    context = ssl.create_default_context(cafile=sim.dir / "ca.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with amtsim.Wire(sim, pc) as wire:
        wire.socket.settimeout(10)
        assert wire.socket.version() == "TLSv1.3"
        assert wire.request("").status in (401, 400), "and all is well behind them"
