# SPDX-License-Identifier: Apache-2.0
"""The AMT client against the simulated fleet: two readings of the protocol that share no code."""

import hashlib
import json
import socket
import ssl
import subprocess
import time

import pytest

from amt_fleet import Fleet, SECONDS, wait_until


@pytest.fixture(scope="module")
def fleet():
    fleet = Fleet(16, "--tls", "ca")
    yield fleet
    fleet.stop()


@pytest.fixture
def pc(fleet):
    """A PC that no other test has touched."""
    fresh = fleet.pcs.pop(0)
    assert not fleet.events(fresh, "connection")
    return fresh


def test_a_pc_is_switched_on(fleet, pc):
    """The whole way of `wake`, with the rights that the service's own account has."""
    calls = ("identity", "power", "boot", "clear-boot", "request-power=2")
    identity, power, boot, clear, request = fleet.run_one(pc, fleet.ca, *calls, user=(pc["user"], pc["password"]))
    assert [one["status"] for one in (identity, power, boot, clear, request)] == ["ok"] * 5
    assert [one["text"] for one in (identity, power, boot, clear, request)] == [""] * 5
    assert identity["uuid"] == pc["uuid"]
    assert identity["major"] == int(identity["version"].split(".")[0]) >= 6
    assert (power["state"], power["on_available"], power["reset_available"]) == (8, 1, 0)
    assert (boot["overridden"], boot["summary"]) == (0, "")
    assert (clear["acted"], clear["gate_asked"]) == (1, 3)
    assert (request["acted"], request["return_value"], request["gate_asked"]) == (1, 0, 1)
    [event] = fleet.events(pc, "power")
    assert (event["request"], event["from"], event["to"], event["result"]) == (2, 8, 2, 0)
    # one challenge, then one connection for everything
    assert len(fleet.events(pc, "connection")) == 2
    assert all(event["ok"] for event in fleet.events(pc, "auth"))
    wait_until(lambda: fleet.control(do="state", system=pc["fqdn"])["power"] == 2, "the PC is on")


def test_a_closed_gate_sends_nothing(fleet, pc):
    _, request = fleet.run_one(pc, fleet.ca, "power", "fenced-power=2")
    assert (request["status"], request["acted"], request["gate_asked"]) == ("fenced", 0, 1)
    assert not fleet.events(pc, "power")


def test_what_the_pc_refuses(fleet, pc):
    """A reset needs a PC that is on."""
    [request] = fleet.run_one(pc, fleet.ca, "request-power=10")
    assert (request["status"], request["acted"]) == ("not-now", 1)
    assert request["return_value"] == fleet.events(pc, "power")[0]["result"] != 0
    assert f"ReturnValue {request['return_value']}" in request["text"]


def test_a_pc_that_runs_is_reset(fleet, pc):
    fleet.control(do="power", system=pc["fqdn"], to=2)
    power, saving, request = fleet.run_one(pc, fleet.ca, "power", "saving", "request-power=10")
    assert (saving["status"], saving["saving"]) == ("ok", 2)
    assert (power["state"], power["on_available"], power["reset_available"]) == (2, 0, 1)
    assert (request["status"], request["return_value"], request["gate_asked"]) == ("ok", 0, 1)
    [event] = fleet.events(pc, "power")
    assert (event["request"], event["from"], event["to"], event["result"]) == (10, 2, 2, 0)
    wait_until(lambda: fleet.control(do="state", system=pc["fqdn"])["boots"] == 2, "the PC started anew")


def test_nonces_that_expire_before_the_power_request(fleet, pc):
    """The body meets a 401 and goes out once more; the PC is told once."""
    client = fleet.client([pc], fleet.ca, "power", "wait", "request-power=2")
    assert json.loads(client.stdout.readline())["status"] == "ok"
    fleet.control(do="expire-nonces", system=pc["fqdn"])
    output, _ = client.communicate("\n", timeout=SECONDS)
    request = json.loads(output.splitlines()[0])
    assert (request["status"], request["acted"], request["gate_asked"]) == ("ok", 1, 2)
    assert len(fleet.events(pc, "power")) == 1


def test_a_power_request_takes_no_connection_that_idled(fleet, pc):
    """Firmware may be closing such a one just now, and a close that crosses the body hides what became of it."""
    client = fleet.client([pc], fleet.ca, "power", "wait", "power", "wait", "request-power=2")
    connections = []
    for _ in range(2):
        assert json.loads(client.stdout.readline())["status"] == "ok"
        connections.append(len(fleet.events(pc, "connection")))
        time.sleep(4.2)  # the idle time itself is what is tested: more than 3 whole seconds
        client.stdin.write("\n")
        client.stdin.flush()
    output, _ = client.communicate(timeout=SECONDS)
    assert json.loads(output.splitlines()[0])["status"] == "ok"
    connections.append(len(fleet.events(pc, "connection")))
    assert connections == [2, 2, 3]
    assert len(fleet.events(pc, "power")) == 1


def test_a_wrong_password_is_tried_once(fleet, pc):
    [power] = fleet.run_one(pc, fleet.ca, "power", user=(pc["user"], "not " + pc["password"]))
    assert power["status"] == "auth-failed"
    assert [event["ok"] for event in fleet.events(pc, "auth")] == [False]
    assert pc["user"] in power["text"] and pc["password"] not in power["text"]


def test_overrides_of_another_console(fleet, pc):
    """Another console's options for the next start are seen, and gone after clear-boot."""
    settings = "http://intel.com/wbem/wscim/1/amt-schema/1/AMT_BootSettingData"
    envelope = f"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
      xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
      xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header>
      <a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Put</a:Action><a:To>/wsman</a:To>
      <w:ResourceURI>{settings}</w:ResourceURI><a:MessageID>1</a:MessageID>
      <a:ReplyTo><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>
      </s:Header><s:Body><h:AMT_BootSettingData xmlns:h="{settings}"><h:BIOSSetup>true</h:BIOSSetup>
      <h:ElementName>Intel(r) AMT Boot Configuration Settings</h:ElementName>
      <h:InstanceID>Intel(r) AMT:BootSettingData 0</h:InstanceID><h:UseSOL>true</h:UseSOL>
      </h:AMT_BootSettingData></s:Body></s:Envelope>"""
    user, password = fleet.administrator
    (fleet.folder / "put.xml").write_text(envelope, encoding="utf-8")
    configuration = "\n".join([
        f'url = "https://{pc["fqdn"]}:16993/wsman"', f'connect-to = "::{pc["address"]}:16993"', "digest",
        f'user = "{user}:{password}"', f'cacert = "{fleet.folder / "ca.pem"}"', "silent", "fail",
        'header = "Content-Type: application/soap+xml;charset=UTF-8"', f'data-binary = "@{fleet.folder / "put.xml"}"'])
    subprocess.run(["curl", "--config", "-"], input=configuration, text=True, check=True, capture_output=True,
                   timeout=SECONDS)
    results, _ = fleet.run([pc], fleet.ca, "boot", "clear-boot")
    boot = results[pc["fqdn"], "boot"]
    assert (boot["overridden"], boot["summary"]) == (1, "BIOSSetup,UseSOL")
    assert results[pc["fqdn"], "clear-boot"]["status"] == "ok"
    [after] = fleet.run_one(pc, fleet.ca, "boot")
    assert (after["overridden"], after["summary"]) == (0, "")


def test_pin(fleet, pc):
    with socket.create_connection((pc["address"], 16993), timeout=SECONDS) as plain:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(plain, server_hostname=pc["fqdn"]) as secure:
            pin = hashlib.sha256(secure.getpeercert(binary_form=True)).hexdigest()
    other = ("0" if pin[0] != "0" else "1") + pin[1:]
    before = len(fleet.events(pc, "request-seen"))
    [refused] = fleet.run_one(pc, f"pin:{other}", "power")
    assert refused["status"] == "tls-untrusted"
    assert pin in refused["text"]
    assert len(fleet.events(pc, "request-seen")) == before
    [power] = fleet.run_one(pc, f"pin:{pin}", "power")
    assert power["text"] == "" and power["status"] == "ok"
    fleet.fault(pc, "wrong-certificate", kind="wrong-name")
    [refused] = fleet.run_one(pc, f"pin:{pin}", "power")
    assert refused["status"] == "tls-untrusted"


@pytest.mark.parametrize("kind", ["self-signed", "wrong-name", "expired"])
def test_wrong_certificates(fleet, pc, kind):
    fleet.fault(pc, "wrong-certificate", kind=kind)
    power, request = fleet.run_one(pc, fleet.ca, "power", "request-power=2")
    assert [power["status"], request["status"]] == ["tls-untrusted"] * 2
    assert request["acted"] == 0
    assert not fleet.events(pc, "request-seen")


# What the client says about each fault, when it looks and when it acts; "acted" is what a successor must reckon with,
# and how many power requests the PC really took.
FAULTS = {
    "black-hole": ("unreachable", "unreachable", 0, 0),
    "refused": ("unreachable", "unreachable", 0, 0),
    "reset": ("unreachable", "unreachable", 0, 0),
    "auth-fails": ("auth-failed", "auth-failed", 0, 0),
    "garbage": ("garbage", "garbage", 1, 1),
    "endless": ("garbage", "garbage", 1, 0),
    "slow": ("ok", "ok", 1, 1),
}


def test_faults():
    """All at once: what one PC does wrong is nothing to its neighbours."""
    fleet = Fleet(len(FAULTS) + 1, "--tls", "ca")
    try:
        for one, name in zip(fleet.pcs, FAULTS):
            fleet.fault(one, name)
        results, _ = fleet.run(fleet.pcs, fleet.ca, "power", "request-power=2")
        for one, (name, (looking, acting, acted, taken)) in zip(fleet.pcs, FAULTS.items()):
            power = results[one["fqdn"], "power"]
            request = results[one["fqdn"], "request-power=2"]
            assert (power["status"], power["acted"]) == (looking, 0), (name, power)
            assert (request["status"], request["acted"]) == (acting, acted), (name, request)
            assert len(fleet.events(one, "power")) == taken, name
            if looking != "ok":
                assert one["fqdn"] in power["text"], name
        healthy = fleet.pcs[-1]["fqdn"]
        assert results[healthy, "power"]["status"] == results[healthy, "request-power=2"]["status"] == "ok"
    finally:
        fleet.stop()


def test_a_power_request_whose_answer_is_lost(fleet, pc):
    fleet.fault(pc, "power-lost")
    _, request = fleet.run_one(pc, fleet.ca, "power", "request-power=2", seconds=2)
    assert request["status"] in ("timeout", "broken")
    assert request["acted"] == 1
    assert len(fleet.events(pc, "power")) == 1


@pytest.mark.parametrize("tls", ["none", "legacy"])
def test_firmware_that_cannot_do_better(tls):
    fleet = Fleet(1, "--tls", tls)
    try:
        trust = "none" if tls == "none" else f"legacy:{fleet.folder / 'ca.pem'}"
        power, request = fleet.run_one(fleet.pcs[0], trust, "power", "request-power=2")
        assert [power["status"], request["status"]] == ["ok"] * 2
        if tls == "legacy":
            [refused] = fleet.run_one(fleet.pcs[0], fleet.ca, "power")
            assert refused["status"] == "tls-untrusted"
    finally:
        fleet.stop()


@pytest.mark.alone
def test_many_at_once():
    count = 200
    fleet = Fleet(count, "--tls", "ca")
    try:
        results, cost = fleet.run(fleet.pcs, fleet.ca, "identity", "power", "boot", "clear-boot", "request-power=2")
        assert {one["status"] for one in results.values()} == {"ok"}
        assert {results[one["fqdn"], "identity"]["uuid"] == one["uuid"] for one in fleet.pcs} == {True}
        assert all(len(fleet.events(one, "power")) == 1 for one in fleet.pcs[:3])
        assert cost["systems"] == count
        assert cost["seconds"] < 30
    finally:
        fleet.stop()
