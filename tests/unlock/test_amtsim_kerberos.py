# SPDX-License-Identifier: Apache-2.0
"""Simulated devices that were joined to a domain: Negotiate beside digest, and the port in the service's name."""

import base64
import os

import pytest

import amtsim
from amtsim import AMT, WXF, Wire, envelope
from redirection import Session
from ticket import realm, token

GET = envelope(WXF + "/Get", AMT + "AMT_GeneralSettings")
PC = "pc-0001.fleet.test"
WHOLE_NAMES = [f"HTTP/{PC}:{port}" for port in (16993, 16995)] + ["HTTP/pc-0002.fleet.test:16993"]


@pytest.fixture(scope="module", name="sim")
def _sim():
    before = dict(os.environ)
    with realm(*WHOLE_NAMES, f"HTTP/{PC}") as environment:
        os.environ.update(environment)
        try:
            with amtsim.fleet("--systems", 3, "--auth", "kerberos") as one:
                yield one
        finally:
            os.environ.clear()
            os.environ.update(before)


def header(service):
    return "Authorization: Negotiate " + base64.b64encode(token("HTTP", service)).decode()


def test_both_mechanisms_are_offered(sim):
    with Wire(sim, sim.pcs[0]) as wire:
        wire.send(f"POST /wsman HTTP/1.1\r\nHost: {PC}\r\nContent-Length: 0\r\n\r\n")
        lines = []
        while (line := wire.stream.readline().strip()):
            lines.append(line.decode())
    offered = [line.split(": ")[1].split(" ")[0] for line in lines if line.startswith("WWW-Authenticate")]
    assert offered == ["Negotiate", "Digest"]


def test_a_ticket_for_this_port_of_this_pc_is_accepted(sim):
    with Wire(sim, sim.pcs[0]) as wire:
        answer = wire.request(GET, header(f"{PC}:16993"))
        assert answer.status == 200
        assert answer.headers["www-authenticate"].startswith("Negotiate ")
        assert wire.request(GET).status == 200, "the connection stays authenticated"
    line = sim.events(sim.pcs[0], "auth")[-1]
    assert (line["mech"], line["user"], line["ok"]) == ("negotiate", "console@FLEET.TEST", True)


@pytest.mark.parametrize("service", [PC, f"{PC}:16995", "pc-0002.fleet.test:16993"])
def test_a_ticket_for_anything_else_is_not(sim, service):
    with Wire(sim, sim.pcs[0]) as wire:
        assert wire.request(GET, header(service)).status == 401
        assert wire.is_closed()


def test_a_token_is_good_once(sim):
    again = header(f"{PC}:16993")
    for status in (200, 401):
        with Wire(sim, sim.pcs[0]) as wire:
            assert wire.request(GET, again).status == status


@pytest.mark.parametrize("value", ["Negotiate", "Negotiate !!!!", "Negotiate AAAA", "Negotiate YIIB"])
def test_nonsense_is_refused(sim, value):
    with Wire(sim, sim.pcs[0]) as wire:
        assert wire.request(GET, f"Authorization: {value}").status == 401


def test_the_domain_user_has_the_realms_of_the_service_account(sim):
    with Wire(sim, sim.pcs[0]) as wire:
        resource = AMT + "AMT_AuthorizationService"
        answer = wire.request(amtsim.invocation(resource, "EnumerateUserAclEntries"), header(f"{PC}:16993"))
    assert answer.subcode == "AccessDenied"


def test_digest_still_works(sim):
    assert sim.console(sim.pcs[0]).get(AMT + "AMT_GeneralSettings").status == 200


def test_auth_fails(sim):
    sim.fault(sim.pcs[0], "auth-fails")
    with Wire(sim, sim.pcs[0]) as wire:
        assert wire.request(GET, header(f"{PC}:16993")).status == 401
    sim.control(do="clear")


def test_redirection_takes_a_ticket_for_its_own_port(sim):
    with Session(sim, sim.pcs[0]) as session:
        assert session.start(b"SOL ") == 0
        assert session.authenticate_message(0) == (0, 0, bytes([4, 2]))
        assert session.authenticate_message(2, token("HTTP", f"{PC}:16993"))[0] == 1
        status, kind, reply = session.authenticate_message(2, token("HTTP", f"{PC}:16995"))
        assert (status, kind) == (0, 2)
        assert reply


def test_without_a_keytab_it_does_not_start():
    before = os.environ.get("KRB5_KTNAME")
    os.environ["KRB5_KTNAME"] = "FILE:/nonexistent/keytab"
    try:
        status, errors = amtsim.Fleet("--systems", 1, "--auth", "kerberos", ready=False).end()
    finally:
        if before is None:
            del os.environ["KRB5_KTNAME"]
        else:
            os.environ["KRB5_KTNAME"] = before
    assert status == 1
    assert "keytab" in errors
