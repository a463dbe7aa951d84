# SPDX-License-Identifier: Apache-2.0
"""The simulated fleet itself: its spelling, its refusals, its power model, its faults. The product is measured
against it, so what it gets wrong nobody else would notice."""

import concurrent.futures
import itertools
import os
import pathlib
import re
import socket
import stat
import subprocess
import sys
import time
import uuid

import pytest

import amtsim
from amtsim import AMT, ASSOCIATED_POWER, BOOT_SETTINGS, CIM, IPS, WSEN, WXF, Digest, Fleet, Wire, envelope, wait_for

GENERAL = AMT + "AMT_GeneralSettings"
SETUP = AMT + "AMT_SetupAndConfigurationService"
REDIRECTION = AMT + "AMT_RedirectionService"
AUTHORIZATION = AMT + "AMT_AuthorizationService"
SOFTWARE = CIM + "CIM_SoftwareIdentity"
OPT_IN = IPS + "IPS_OptInService"
HARD_DISK = "Intel(r) AMT: Force Hard-drive Boot"
NOT_READY, INVALID, BUSY = 2, 5, 4099


@pytest.fixture(scope="module", name="sim")
def _sim():
    with amtsim.fleet("--systems", 90, *amtsim.QUICK, "--lockout-seconds", 1, "--wake-seconds", 1) as one:
        one.unused = iter(one.pcs)
        yield one


@pytest.fixture(name="pc")
def _pc(sim):
    """A PC that no other test has touched: switched off, no faults."""
    return next(sim.unused)


@pytest.fixture(name="user")
def _user(sim, pc):
    return sim.console(pc)


@pytest.fixture(name="admin")
def _admin(sim, pc):
    return sim.console(pc, admin=True)


def boot(sim, pc, user):
    assert user.power(2) == 0
    sim.wait_event(pc, "os-up")


def probe_answers(pc):
    try:
        socket.create_connection((pc["address"], int(pc["probe"])), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


# ---- the files and the command line ---------------------------------------------------------------------------

def test_files_are_private_and_every_pc_has_its_own_secrets(sim):
    for name in ("ca.pem", "fleet.csv", "admin", "systems"):
        assert stat.S_IMODE((sim.dir / name).stat().st_mode) == 0o600, name
    assert (sim.dir / "fleet.csv").read_text().splitlines()[0] == (
        "fqdn,address,uuid,method,user,password,passphrase,probe")
    for column in ("fqdn", "address", "uuid", "password", "passphrase"):
        assert len({pc[column] for pc in sim.pcs}) == len(sim.pcs), column
    assert (sim.dir / "systems").read_text().splitlines() == [f"{pc['fqdn']},{pc['address']}" for pc in sim.pcs]
    assert [pc["fqdn"] for pc in sim.pcs[:2]] == ["pc-0001.fleet.test", "pc-0002.fleet.test"]
    for secret in (sim.admin[1], *(pc["password"] for pc in sim.pcs)):
        assert all(re.search(kind, secret) for kind in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]")), "AMT's rule"


def test_no_secret_in_the_log(sim, user):
    user.get(GENERAL)
    text = sim.log.read_text()
    assert not [pc for pc in sim.pcs if pc["password"] in text or pc["passphrase"] in text]
    assert sim.admin[1] not in text


def test_the_log_has_what_requests_say_where_that_is_asked_for(sim, pc, user):
    user.get(GENERAL)
    assert all("body" not in event for event in sim.events(pc, "request-seen"))
    with amtsim.fleet("--systems", 1, "--log-bodies") as other:
        other.console(other.pcs[0]).get(GENERAL)
        seen = other.events(other.pcs[0], "request-seen")
        assert seen and all(len(event["body"].encode()) == event["bytes"] for event in seen)
        assert GENERAL in seen[-1]["body"]


def test_addresses_run_on_and_two_fleets_take_two_blocks(sim):
    with amtsim.fleet("--systems", 300, "--method", "mix") as other:
        blocks = [{pc["address"].split(".")[1] for pc in one.pcs} for one in (sim, other)]
        assert len(blocks[0]) == len(blocks[1]) == 1
        assert blocks[0] != blocks[1]
        ends = [".".join(pc["address"].split(".")[2:]) for pc in other.pcs]
        assert ends[0] == "0.1"
        assert ends[254:257] == ["0.255", "1.0", "1.1"]
        assert [pc["method"] for pc in other.pcs[:4]] == ["wake", "sol", "image", "wake"]
        assert other.console(other.pcs[299]).power_state() == 8


def test_a_block_has_one_owner(sim):
    block = sim.pcs[0]["address"].split(".")[1]
    second = Fleet("--systems", 1, "--block", f"127.{block}.0.0/16", ready=False)
    assert second.end() == (1, "amtsim: another simulator has this block\n")


def test_the_seed_repeats_everything_but_the_secrets():
    asked = ("--systems", 20, "--seed", 7, "--faults", "reset=0.2,wrong-uuid=0.1")
    with amtsim.fleet(*asked) as one, amtsim.fleet(*asked) as two:
        first, second = ([{**pc, "faults": fleet.state(pc)["faults"]} for pc in fleet.pcs] for fleet in (one, two))
        assert [(pc["uuid"], pc["faults"]) for pc in first] == [(pc["uuid"], pc["faults"]) for pc in second]
        assert sorted(sum((pc["faults"] for pc in first), [])) == ["reset"] * 4 + ["wrong-uuid"] * 2
        assert not {pc["password"] for pc in first} & {pc["password"] for pc in second}


@pytest.mark.parametrize("arguments, says", [
    (("--systems", 0), "--systems 0"),
    (("--systems", 3, "--method", "magic"), "--method magic"),
    (("--systems", 3, "--boot-seconds", "9-3"), "--boot-seconds 9-3"),
    (("--systems", 3, "--faults", "gremlins=0.5"), "--faults gremlins=0.5"),
    (("--systems", 3, "--faults", "reset=0.6,slow=0.6"), "--faults"),
    (("--systems", 3, "--auth", "basic"), "--auth basic"),
    (("--systems", 3, "--tls", "maybe"), "--tls maybe"),
    (("--systems", 3, "--block", "10.0.0.0/8"), "--block 10.0.0.0/8"),
    (("--systems", 9, "--bind-range", "127.99.0.0/29"), "room for 6"),
    (("--systems", 3, "--domain", "Fleet Test"), "--domain Fleet Test"),
    *((("--systems", 3, "--realms", realms), f"--realms {realms}")
      for realms in ("", "5,", ",5", "5,,2", "1", "25", "5,5", "five", "5;2", "00005")),
    (("--systems", 3, "more"), "more"),
])
def test_bad_command_lines_are_refused_with_the_word(arguments, says):
    status, errors = Fleet(*arguments, ready=False).end()
    assert status == 2
    assert says in errors


def test_bind_range_starts_at_the_address_given():
    with amtsim.fleet("--systems", 3, "--bind-range", "127.99.7.20/24") as one:
        assert [pc["address"] for pc in one.pcs] == ["127.99.7.20", "127.99.7.21", "127.99.7.22"]
        assert one.console(one.pcs[2]).power_state() == 8


# ---- TLS -------------------------------------------------------------------------------------------------------

def test_plain_ports_are_refused_where_tls_is_configured(pc):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((pc["address"], 16992), timeout=2)


def test_without_tls_the_plain_port_answers_and_the_other_does_not():
    with amtsim.fleet("--systems", 1, "--tls", "none") as one:
        assert one.console(one.pcs[0]).power_state() == 8
        assert not one.events(one.pcs[0], "tls")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((one.pcs[0]["address"], 16993), timeout=2)


@pytest.mark.parametrize("mode, option, status", [
    ("ca", "--tls-max", 35), ("ca", "--tlsv1.3", 35), ("ca", "--tlsv1.2", 0), ("legacy", "--tlsv1.2", 35)])
def test_tls_versions_are_those_of_the_firmware(mode, option, status):
    options = (option, "1.1") if option == "--tls-max" else (option,)
    with amtsim.fleet("--systems", 1, "--tls", mode) as one:
        user = one.console(one.pcs[0])
        assert user.curl(envelope(WXF + "/Get", GENERAL), *options)[0] == status


def test_rsa_keys_and_a_key_per_pc():
    with amtsim.fleet("--systems", 2, "--key", "rsa", "--key-per-pc") as one:
        keys = set()
        for pc in one.pcs:
            with Wire(one, pc) as wire:
                keys.add(wire.socket.getpeercert(True)[-600:-300])
                assert wire.socket.cipher()[0].startswith("ECDHE-RSA")
        assert len(keys) == 2


@pytest.mark.parametrize("kind", ["self-signed", "wrong-name", "expired"])
def test_wrong_certificate(sim, pc, user, kind):
    assert user.power_state() == 8
    sim.fault(pc, "wrong-certificate", kind=kind)
    assert user.curl(envelope(WXF + "/Get", GENERAL))[0] == 60, "curl: the certificate cannot be trusted"
    sim.control(do="clear", system=pc["fqdn"])
    assert user.power_state() == 8


# ---- HTTP and digest --------------------------------------------------------------------------------------------

def test_the_challenge_is_spelled_as_firmware_does(sim, pc):
    with Wire(sim, pc) as wire:
        answer = wire.request(envelope(WXF + "/Get", GENERAL))
        assert wire.is_closed()
    assert answer.status == 401
    assert answer.headers["connection"] == "close"
    assert answer.headers["server"] == "Intel(R) Active Management Technology 12.0.67"
    assert re.fullmatch(r'Digest realm="Digest:[0-9A-F]{32}", nonce="[A-Za-z0-9+/]{32}",stale="false",'
                        r'qop="auth-int, auth"', answer.headers["www-authenticate"])


def challenge(sim, pc, user):
    with Wire(sim, pc) as wire:
        return Digest(wire.request("").headers["www-authenticate"], user.user, user.password)


def test_the_realm_stays_and_the_nonce_changes(sim, pc, user):
    first, second = challenge(sim, pc, user), challenge(sim, pc, user)
    assert first.fields["realm"] == second.fields["realm"] == user.get(GENERAL).text("DigestRealm")
    assert first.fields["nonce"] != second.fields["nonce"]


@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_both_kinds_of_protection_are_accepted(sim, pc, user, qop):
    body = envelope(WXF + "/Get", GENERAL)
    digest = challenge(sim, pc, user)
    with Wire(sim, pc) as wire:
        assert wire.request(body, digest.header(body, qop=qop)).status == 200
    with Wire(sim, pc) as wire:
        other = wire.request(body + " ", digest.header(body, nc=2, qop=qop))
    assert other.status == (200 if qop == "auth" else 401), "auth-int covers the body"


def test_a_count_is_good_once_and_only_upwards(sim, pc, user):
    body = envelope(WXF + "/Get", GENERAL)
    digest = challenge(sim, pc, user)
    for nc, status in ((1, 200), (5, 200), (5, 401), (3, 401), (6, 200)):
        with Wire(sim, pc) as wire:
            answer = wire.request(body, digest.header(nc=nc))
            assert answer.status == status, nc
            assert status == 200 or 'stale="true"' in answer.headers["www-authenticate"]


def test_expired_nonces_are_stale(sim, pc, user):
    body = envelope(WXF + "/Get", GENERAL)
    digest = challenge(sim, pc, user)
    assert sim.control(do="expire-nonces", system=pc["fqdn"]) == {"ok": True}
    with Wire(sim, pc) as wire:
        answer = wire.request(body, digest.header())
    assert answer.status == 401
    assert 'stale="true"' in answer.headers["www-authenticate"]
    assert sim.events(pc, "auth")[-1]["stale"] is True
    assert sim.state(pc)["power"] == 8


@pytest.mark.parametrize("change", [{"uri": "/other"}, {"realm": "Digest:" + 32 * "0"}])
def test_a_digest_for_something_else_is_refused(sim, pc, user, change):
    digest = challenge(sim, pc, user)
    with Wire(sim, pc) as wire:
        answer = wire.request(envelope(WXF + "/Get", GENERAL), digest.header(**change))
    assert answer.status == 401
    assert 'stale="false"' in answer.headers["www-authenticate"]


def test_a_tls_connection_stays_authenticated(sim, pc, user):
    body = envelope(WXF + "/Get", GENERAL)
    digest = challenge(sim, pc, user)
    with Wire(sim, pc) as wire:
        assert wire.request(body, digest.header()).status == 200
        assert wire.request(body).status == 200
        assert wire.request(body, "Connection: close").status == 200
        assert wire.is_closed()
    with Wire(sim, pc) as wire:
        assert wire.request(body).status == 401


def test_a_plain_connection_does_not():
    with amtsim.fleet("--systems", 1, "--tls", "none") as one:
        body = envelope(WXF + "/Get", GENERAL)
        digest = challenge(one, one.pcs[0], one.console(one.pcs[0]))
        with Wire(one, one.pcs[0]) as wire:
            assert wire.request(body, digest.header()).status == 200
            assert wire.request(body).status == 401


def test_five_wrong_passwords_lock_the_door_for_a_while(sim, pc, user):
    wrong = amtsim.Console(sim, pc, user.user, "Wrong1@pass")
    for _ in range(5):
        assert wrong.post(envelope(WXF + "/Get", GENERAL)).status == 401
    assert user.get(GENERAL).status == 401
    assert sim.events(pc, "auth")[-1]["locked"] is True
    wait_for("the lock to open", lambda: user.get(GENERAL).status == 200, 3)


def test_four_wrong_ones_do_not(sim, pc, user):
    wrong = amtsim.Console(sim, pc, "nobody", user.password)
    for _ in range(2):
        for _ in range(4):
            wrong.post(envelope(WXF + "/Get", GENERAL))
        assert user.get(GENERAL).status == 200


def test_the_log_counts_what_a_401_hides(sim, pc, user):
    body = envelope(WXF + "/Get", GENERAL)
    with Wire(sim, pc) as wire:
        wire.request(body)
    user.post(body, "--anyauth")
    seen = sim.events(pc, "request-seen")
    assert [line["n"] for line in seen] == list(range(1, len(seen) + 1))
    assert seen[0]["bytes"] == seen[-1]["bytes"] == len(body)
    assert [line["n"] for line in sim.events(pc, "connection")] == [1, 2, 3]
    assert sim.events(pc, "tls")[0]["version"] == "TLSv1.2"
    accepted = [(line["mech"], line["user"], line["ok"]) for line in sim.events(pc, "auth")]
    assert accepted == [("digest", user.user, True)]


@pytest.mark.parametrize("request_text, status", [
    ("GET /wsman HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
    ("POST /wsman HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\n\r\n", 411),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\nx", 400),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", 413),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ("POST /wsman HTTP/1.1\r\nHost : x\r\nContent-Length: 0\r\n\r\n", 400),
    ("POST /wsman HTTP/1.1\nHost: x\r\nContent-Length: 0\r\n\r\n", 400),
    ("POST /wsman HTTP/2.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 505),
    ("POST /wsman\r\nHost: x\r\n\r\n", 400),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\nA: " + 9000 * "a", 431),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n", 415),
    ("POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 401),
])
def test_http_is_read_strictly(sim, request_text, status):
    with Wire(sim, sim.pcs[-1]) as wire:
        wire.send(request_text)
        assert wire.read().status == status


def test_answers_come_in_chunks_with_four_digit_sizes(sim, pc, user):
    digest = challenge(sim, pc, user)
    with Wire(sim, pc) as wire:
        answer = wire.request(envelope(WXF + "/Get", GENERAL), digest.header())
        assert len(wire.sizes) > 2
        assert all(re.fullmatch("[0-9A-F]{4}", size) for size in wire.sizes[:-1])
    assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?><a:Envelope xmlns:a="')
    assert answer.headers["content-type"] == "application/soap+xml; charset=UTF-8"


# ---- WS-Man -----------------------------------------------------------------------------------------------------

KEYS = ["CreationClassName", "ElementName", "EnabledState", "Name", "RequestedState", "SystemCreationClassName",
        "SystemName"]
SPELLING = {
    ASSOCIATED_POWER: ["AvailableRequestedPowerStates", "PowerState", "ServiceProvided", "UserOfService"],
    CIM + "CIM_PowerManagementService": KEYS,
    CIM + "CIM_BootConfigSetting": ["ElementName", "InstanceID"],
    CIM + "CIM_BootService": KEYS[:4] + ["OperationalStatus"] + KEYS[4:],
    AMT + "AMT_SetupAndConfigurationService": KEYS[:4] + [
        "PasswordModel", "ProvisioningMode", "ProvisioningServerOTP", "ProvisioningState"] + KEYS[4:] + [
            "ZeroTouchConfigurationEnabled"],
    REDIRECTION: KEYS[:3] + ["ListenerEnabled", "Name", "SystemCreationClassName", "SystemName"],
    AUTHORIZATION: ["AllowHttpQopAuthOnly"] + KEYS,
    OPT_IN: ["CanModifyOptInPolicy", "CreationClassName", "ElementName", "Name", "OptInCodeTimeout",
             "OptInDisplayTimeout", "OptInRequired", "OptInState", "SystemCreationClassName", "SystemName"],
    IPS + "IPS_HostBasedSetupService": ["AllowedControlModes", "AllowedControlModes", "CertChainStatus",
                                        "ConfigurationNonce", "CreationClassName", "CurrentControlMode",
                                        "ElementName", "Name", "SystemCreationClassName", "SystemName"],
}


@pytest.mark.parametrize("resource", SPELLING)
def test_instances_are_spelled_as_firmware_does(sim, resource):
    answer = sim.console(sim.pcs[-1]).get(resource)
    name = resource.rpartition("/")[2]
    prefixes = dict(re.findall(rb'xmlns:(\w)="([^"]*)"', answer.body))
    assert f"<g:{name}>".encode() in answer.body
    assert prefixes[b"g"].decode() == resource
    assert [prefixes[prefix] for prefix in (b"a", b"b", b"c")] == [
        amtsim.SOAP.encode(), amtsim.WSA.encode(), amtsim.WSMAN.encode()]
    assert [node.tag for node in answer.element(name)] == [f"{{{resource}}}{member}" for member in SPELLING[resource]]
    assert answer.text("Action") == WXF + "/GetResponse"
    assert answer.text("RelatesTo") == "1"
    assert re.fullmatch("uuid:00000000-8086-8086-8086-[0-9A-F]{12}", answer.text("MessageID"))


def test_boot_settings_come_in_alphabetical_order_with_the_status_twice(user):
    members = [node.tag.rpartition("}")[2] for node in user.get(BOOT_SETTINGS).element("AMT_BootSettingData")]
    assert members[:2] == ["BIOSLastStatus"] * 2
    assert members == sorted(members)
    assert len(members) == 33


def test_the_uuid_is_sent_as_smbios_stores_it(sim, pc, user):
    encoded = user.invoke(SETUP, "GetUuid").text("UUID")
    assert uuid.UUID(bytes_le=amtsim.base64.b64decode(encoded)) == uuid.UUID(pc["uuid"])
    sim.fault(pc, "wrong-uuid")
    assert user.invoke(SETUP, "GetUuid").text("UUID") != encoded


def test_consoles_find_the_power_service_by_its_base_class(user):
    items = enumerate_all(user, CIM + "CIM_ServiceAvailableToElement", 999)[0]
    assert [item.tag for item in items] == [f"{{{ASSOCIATED_POWER}}}CIM_AssociatedPowerManagementService"]
    assert items[0].find(f"{{{ASSOCIATED_POWER}}}PowerState").text == "8"


def test_the_platform_guid_is_the_uuid(sim, pc, user):
    guid = user.get(CIM + "CIM_ComputerSystemPackage").text("PlatformGUID")
    assert uuid.UUID(bytes_le=bytes.fromhex(guid)) == uuid.UUID(pc["uuid"])


def test_identify_names_the_firmware(user):
    body = (f'<s:Envelope xmlns:s="{amtsim.SOAP}" xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/'
            'wsmanidentity.xsd"><s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>')
    assert user.post(body).text("ProductVersion") == "AMT 12.0.67"


def enumerate_all(user, resource, at_once, mode=""):
    """Every item, one Pull after the other; how many Pulls it took."""
    context = user.post(envelope(WSEN + "/Enumerate", resource,
                                 f'<e:Enumerate xmlns:e="{WSEN}">{mode}</e:Enumerate>')).text("EnumerationContext")
    items, pulls = [], 0
    while True:
        answer = user.post(envelope(WSEN + "/Pull", resource,
                                    f'<e:Pull xmlns:e="{WSEN}"><e:EnumerationContext>{context}</e:EnumerationContext>'
                                    f"<e:MaxElements>{at_once}</e:MaxElements></e:Pull>"))
        assert answer.status == 200
        items += list(answer.element("Items"))
        pulls += 1
        if answer.texts("EndOfSequence"):
            return items, pulls, context
        context = answer.text("EnumerationContext")


def test_enumeration(user):
    items, pulls, context = enumerate_all(user, SOFTWARE, 999)
    assert re.fullmatch("[0-9A-F]{8}-0000-0000-0000-000000000000", context)
    assert (len(items), pulls) == (11, 1)
    versions = {item[0].text: item[2].text for item in items}
    assert versions["AMT"] == "12.0.67"
    assert enumerate_all(user, SOFTWARE, 4)[1] == 3
    again = user.post(envelope(WSEN + "/Pull", SOFTWARE, f'<e:Pull xmlns:e="{WSEN}"><e:EnumerationContext>{context}'
                                                         "</e:EnumerationContext></e:Pull>"))
    assert (again.status, again.subcode) == (400, "InvalidEnumerationContext")


def test_enumeration_of_references_and_release(user):
    items = enumerate_all(user, CIM + "CIM_BootSourceSetting", 9,
                          f'<w:EnumerationMode xmlns:w="{amtsim.WSMAN}">EnumerateEPR</w:EnumerationMode>')[0]
    assert [item.tag for item in items] == [f"{{{amtsim.WSA}}}EndpointReference"] * 3
    assert items[0][1][1][0].text == HARD_DISK
    context = user.post(envelope(WSEN + "/Enumerate", SOFTWARE,
                                 f'<e:Enumerate xmlns:e="{WSEN}"/>')).text("EnumerationContext")
    release = envelope(WSEN + "/Release", SOFTWARE, f'<e:Release xmlns:e="{WSEN}"><e:EnumerationContext>{context}'
                                                    "</e:EnumerationContext></e:Release>")
    assert [user.post(release).status for _ in range(2)] == [200, 400]


def test_selectors_choose_an_instance(user):
    assert user.get(SOFTWARE, InstanceID="AMT").text("VersionString") == "12.0.67"
    for selectors in ({}, {"InstanceID": "Nothing"}, {"Name": "AMT"}):
        assert user.get(SOFTWARE, **selectors).subcode == "InvalidSelectors"
    systems = CIM + "CIM_ComputerSystem"
    assert user.get(systems, CreationClassName="CIM_ComputerSystem", Name="ManagedSystem").text("EnabledState") == "3"


GET = envelope(WXF + "/Get", GENERAL)


@pytest.mark.parametrize("body, subcode", ids=itertools.count(), argvalues=[
    ("<nonsense", "SchemaValidationError"),
    ('<!DOCTYPE x [<!ENTITY e "e">]>' + GET.partition("?>")[2], "SchemaValidationError"),
    (GET.replace(amtsim.SOAP, "http://schemas.xmlsoap.org/soap/envelope/"), "SchemaValidationError"),
    (GET.replace("<a:To>/wsman</a:To>", ""), "MessageInformationHeaderRequired"),
    (GET.replace("<a:MessageID>1</a:MessageID>", ""), "MessageInformationHeaderRequired"),
    (re.sub("<a:ReplyTo>.*</a:ReplyTo>", "", GET), "MessageInformationHeaderRequired"),
    (GET.replace(amtsim.ANONYMOUS, "http://127.0.0.1/elsewhere"), "UnsupportedFeature"),
    (GET.replace("PT60S", "soon"), "InvalidMessageInformationHeader"),
    (GET.replace("</Header>", "<w:MaxEnvelopeSize>100</w:MaxEnvelopeSize></Header>"), "EncodingLimit"),
    (envelope(WXF + "/Get", AMT + "AMT_NoSuchClass"), "DestinationUnreachable"),
    (envelope(WXF + "/Delete", GENERAL), "ActionNotSupported"),
    (envelope(WXF + "/Put", GENERAL), "ActionNotSupported"),
    (envelope(GENERAL + "/NoSuchMethod", GENERAL), "ActionNotSupported"),
    (envelope(SETUP + "/GetUuid", SETUP), "SchemaValidationError"),
    (envelope(SETUP + "/GetUuid", GENERAL), "ActionNotSupported"),
])
def test_envelopes_are_read_strictly(sim, body, subcode):
    answer = sim.console(sim.pcs[-1]).post(body)
    assert (answer.status, answer.subcode) == (400, subcode)
    assert answer.text("Text")


def test_a_header_that_must_be_understood(sim):
    header = '<x:Strange xmlns:x="urn:x" xmlns:s="{}" s:mustUnderstand="{}"/>'
    user = sim.console(sim.pcs[-1])
    for must, status in (("true", 400), ("1", 400), ("false", 200)):
        answer = user.post(envelope(WXF + "/Get", GENERAL, headers=header.format(amtsim.SOAP, must)))
        assert answer.status == status
    assert "MustUnderstand" in user.post(
        envelope(WXF + "/Get", GENERAL, headers=header.format(amtsim.SOAP, "true"))).text("Value")


def test_realms_of_the_user_as_asked_for():
    with amtsim.fleet("--systems", 1, "--realms", "21,13") as one:
        pc, = one.pcs
        user = one.console(pc)
        assert user.invoke(AUTHORIZATION, "EnumerateUserAclEntries").texts("Handles") == ["1"]
        assert user.invoke(AUTHORIZATION, "GetUserAclEntryEx", "<r:Handle>1</r:Handle>").texts("Realms") == ["13", "21"]
        assert user.invoke(AUTHORIZATION, "GetAdminAclEntry").status == 400, "that takes an administrator"
        service = amtsim.AMT + "AMT_RedirectionService"
        assert user.get(service).status == 400
        assert one.events(pc, "write") == []
        user.invoke(service, "RequestStateChange", "<r:RequestedState>32768</r:RequestedState>")
        assert [line["action"] for line in one.events(pc, "write")] == ["RequestStateChange"], "though it was denied"


def test_realms_limit_the_user_and_not_the_administrator(user, admin):
    assert user.invoke(AUTHORIZATION, "EnumerateUserAclEntries").subcode == "AccessDenied"
    assert admin.invoke(AUTHORIZATION, "EnumerateUserAclEntries").texts("Handles") == ["1"]
    entry = admin.invoke(AUTHORIZATION, "GetUserAclEntryEx", "<r:Handle>1</r:Handle>")
    assert entry.text("DigestUsername") == user.user
    assert entry.texts("Realms") == ["2", "5", "13"]


def test_one_call_at_a_time():
    with amtsim.fleet("--systems", 1, "--answer-ms", 400) as one:
        user = one.console(one.pcs[0])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: user.get(GENERAL), range(2)))
        assert sorted(answer.status for answer in answers) == [200, 400]
        assert max(answers, key=lambda answer: answer.status).subcode == "Concurrency"
        assert user.get(GENERAL).status == 200


# ---- power ------------------------------------------------------------------------------------------------------

def test_a_wake_pc_boots_and_unlocks_by_itself(sim, pc, user):
    assert (user.power_state(), probe_answers(pc)) == (8, False)
    assert user.power(2) == 0
    sim.wait_event(pc, "os-up")
    assert sim.names(pc) == ["power", "boot", "unlocked", "os-up"]
    power = sim.events(pc, "power")[0]
    assert {key: power[key] for key in ("request", "from", "to", "result")} == {
        "request": 2, "from": 8, "to": 2, "result": 0}
    boot_line = sim.events(pc, "boot")[0]
    assert [boot_line[key] for key in ("use_sol", "use_ider", "source", "role")] == [False, False, None, 32768]
    assert 0.1 <= sim.events(pc, "os-up")[0]["t"] - boot_line["t"] < 0.8
    assert (user.power_state(), probe_answers(pc)) == (2, True)


def test_a_running_pc_is_never_rebooted_by_on(sim, pc, user):
    boot(sim, pc, user)
    assert user.power(2) == NOT_READY
    assert sim.names(pc) == ["power", "boot", "unlocked", "os-up", "power"]
    assert sim.events(pc, "power")[1]["result"] == NOT_READY
    assert probe_answers(pc)


def test_what_an_off_pc_refuses(sim, pc, user):
    for state in (5, 8, 10, 4, 7, 12, 14):
        assert user.power(state) == NOT_READY, state
    assert [user.power(state) for state in (3, 6, 9)] == [1, 1, 1]
    assert [user.power(state) for state in (0, 17)] == [INVALID, INVALID]
    assert sim.names(pc) == ["power"] * 12
    assert sim.state(pc)["power_requests"] == 12


def test_a_request_that_means_the_device_itself_is_refused(sim, pc, user):
    itself = amtsim.reference(CIM + "CIM_ComputerSystem", Name="Intel(r) AMT")
    for element in ("", f"<r:ManagedElement>{itself}</r:ManagedElement>"):
        assert user.invoke(amtsim.POWER_SERVICE, "RequestPowerStateChange",
                           f"<r:PowerState>2</r:PowerState>{element}").result == INVALID
    assert sim.state(pc)["power"] == 8


def test_a_second_request_before_the_first_completed_is_refused(sim, pc, user):
    body = amtsim.invocation(amtsim.POWER_SERVICE, "RequestPowerStateChange",
                             f"<r:PowerState>2</r:PowerState><r:ManagedElement>{amtsim.HOST}</r:ManagedElement>")
    digest = challenge(sim, pc, user)
    with Wire(sim, pc) as wire:
        assert wire.request(body, digest.header()).result == 0
        assert wire.request(body).result == BUSY
    sim.wait_event(pc, "os-up")
    assert sim.state(pc)["boots"] == 1


def test_off_locks_and_reset_does_not(sim, pc, user):
    boot(sim, pc, user)
    assert user.power(10) == 0
    sim.wait_event(pc, "os-up", 2)
    assert sim.names(pc)[4:] == ["power", "boot", "os-up"]
    assert user.power(8) == 0
    sim.wait_event(pc, "locked")
    assert sim.names(pc)[7:] == ["power", "off", "locked"]
    assert (sim.state(pc)["disk"], user.power_state(), probe_answers(pc)) == ("locked", 8, False)


def test_a_reset_starts_with_what_was_set_and_a_power_on_is_none(sim, pc, user):
    """Of a PC that runs, and once: the start after that is a plain one."""
    boot(sim, pc, user)
    assert user.put_boot(UseSOL="true").status == 200
    assert user.set_role(1) == 0
    assert user.power(2) == NOT_READY
    assert sim.state(pc)["boot"]["use_sol"] is True, "a request that was refused takes nothing"
    for use_sol in (True, False):
        assert user.power(10) == 0
        assert user.power_state() == 2, "it is on all the time"
        sim.wait_event(pc, "os-up", 2 if use_sol else 3)
        assert sim.events(pc, "boot")[-1]["use_sol"] is use_sol
    assert (sim.state(pc)["disk"], sim.names(pc)[-2:]) == ("unlocked", ["boot", "os-up"])


def test_sleep_keeps_the_disk_open_and_hibernation_does_not(sim, pc, user):
    boot(sim, pc, user)
    assert user.power(4) == 0
    wait_for("sleep", lambda: user.power_state() == 4)
    assert (sim.state(pc)["disk"], probe_answers(pc)) == ("unlocked", False)
    assert user.power(2) == 0
    sim.wait_event(pc, "os-up", 2)
    assert sim.state(pc)["boots"] == 1
    assert user.power(7) == 0
    sim.wait_event(pc, "locked")
    assert user.power_state() == 7


def test_a_cycle_locks_and_boots(sim, pc, user):
    boot(sim, pc, user)
    assert user.power(5) == 0
    sim.wait_event(pc, "os-up", 2)
    assert sim.names(pc)[4:] == ["power", "off", "locked", "boot", "unlocked", "os-up"]


def test_graceful_requests_need_the_operating_system(sim, pc, user):
    boot(sim, pc, user)
    available = user.get(ASSOCIATED_POWER).texts("AvailableRequestedPowerStates")
    assert available == ["10", "8", "5", "11", "4", "7", "14", "12"]
    assert user.power(12) == 0
    sim.wait_event(pc, "off")
    assert user.get(ASSOCIATED_POWER).texts("AvailableRequestedPowerStates") == ["2"]


def test_modern_standby_looks_like_a_pc_that_hangs(sim, pc, user):
    sim.fault(pc, "standby")
    boot(sim, pc, user)
    saving = amtsim.IPS + "IPS_PowerManagementService"
    assert (user.power_state(), user.get(saving).texts("OSPowerSavingState"), probe_answers(pc)) == (2, ["3"], False)


def test_its_user_acts_through_the_control_socket(sim, pc, user):
    assert sim.control(do="power", system=pc["fqdn"], to=8)["ok"] is False
    assert sim.control(do="power", system=pc["fqdn"], to=2) == {"ok": True}
    sim.wait_event(pc, "os-up")
    assert sim.events(pc, "boot")[0]["by"] == "user"
    assert not sim.events(pc, "power")
    assert user.power_state() == 2


def test_other_methods_stay_locked_at_their_prompt():
    with amtsim.fleet("--systems", 2, "--method", "sol", "--boot-seconds", "0.2-0.2") as one:
        pc = one.pcs[0]
        assert one.console(pc).power(2) == 0
        wait_for("the prompt", lambda: one.state(pc)["os"] == "prompt")
        time.sleep(0.3)  # longer than its boot would take: it must not go on by itself
        assert (one.state(pc)["disk"], probe_answers(pc)) == ("locked", False)
        assert one.names(pc) == ["power", "boot"]


def test_os_power_saving_state_is_there_only_while_the_pc_runs(sim, pc, user):
    saving = IPS + "IPS_PowerManagementService"
    assert user.get(saving).texts("OSPowerSavingState") == []
    boot(sim, pc, user)
    assert user.get(saving).texts("OSPowerSavingState") == ["2"]


# ---- boot options -----------------------------------------------------------------------------------------------

def test_boot_options_last_one_boot(sim, pc, user):
    assert user.change_boot_order() == 0
    assert user.put_boot(UseSOL="true", UseIDER="true", IDERBootDevice="1").text("UseIDER") == "true"
    assert user.set_role(1) == 0
    assert sim.state(pc)["boot"] == {"use_sol": True, "use_ider": True, "source": None, "role": 1}
    boot(sim, pc, user)
    line = sim.events(pc, "boot")[0]
    assert [line[key] for key in ("use_sol", "use_ider", "source", "role")] == [True, True, None, 1]
    assert sim.state(pc)["boot"] == {"use_sol": False, "use_ider": False, "source": None, "role": 32768}
    assert user.get(BOOT_SETTINGS).text("OptionsCleared") == "true"
    assert user.power(10) == 0
    sim.wait_event(pc, "boot", 2)
    assert sim.events(pc, "boot")[1]["use_sol"] is False


def test_boot_options_without_the_role_are_not_used(sim, pc, user):
    assert user.put_boot(UseSOL="true").status == 200
    boot(sim, pc, user)
    assert sim.events(pc, "boot")[0]["use_sol"] is False


def test_a_boot_source_is_used_once(sim, pc, user):
    assert (user.change_boot_order(HARD_DISK), user.set_role(1)) == (0, 0)
    boot(sim, pc, user)
    assert sim.events(pc, "boot")[0]["source"] == HARD_DISK
    assert sim.state(pc)["boot"]["source"] is None


def test_source_and_redirection_exclude_each_other(user):
    assert user.change_boot_order(HARD_DISK) == 0
    for member in ("UseSOL", "UseIDER", "BIOSSetup", "ReflashBIOS"):
        assert user.put_boot(**{member: "true"}).subcode == "InvalidRepresentation", member
    assert user.change_boot_order() == 0
    assert user.put_boot(UseIDER="true").status == 200
    assert user.change_boot_order(HARD_DISK) == INVALID
    assert user.put_boot(UseIDER="false").status == 200
    assert user.change_boot_order(HARD_DISK) == 0


@pytest.mark.parametrize("member", [
    "BIOSLastStatus", "BootguardStatus", "OptionsCleared", "RPEEnabled", "SecureBootControlEnabled",
    "UEFIHTTPSBootEnabled", "UEFILocalPBABootEnabled", "WinREBootEnabled"])
def test_a_put_with_a_read_only_member_is_refused_whole(sim, user, pc, member):
    value = user.get(BOOT_SETTINGS).text(member)
    answer = user.put_boot(UseSOL="true", **{member: value})
    assert (answer.status, answer.subcode) == (400, "InvalidRepresentation")
    assert sim.state(pc)["boot"]["use_sol"] is False


@pytest.mark.parametrize("members", [
    {"UseSOL": "yes"}, {"SecureErase": "true"}, {"PlatformErase": "true"}, {"ConfigurationDataReset": "true"},
    {"FirmwareVerbosity": "4"}, {"IDERBootDevice": "2"}, {"BootMediaIndex": "-1"}, {"NoSuchMember": "1"},
    {"InstanceID": "Intel(r) AMT:BootSettingData 1"}])
def test_a_put_with_a_bad_member_is_refused(sim, members):
    answer = sim.console(sim.pcs[-1]).put_boot(**members)
    assert (answer.status, answer.subcode) == (400, "InvalidRepresentation")


def test_what_get_said_can_be_put_back_without_the_read_only_members(user):
    read_only = ("BIOSLastStatus", "BootguardStatus", "OptionsCleared", "RPEEnabled", "SecureBootControlEnabled",
                 "UEFIHTTPSBootEnabled", "UEFILocalPBABootEnabled", "WinREBootEnabled")
    members = {node.tag.rpartition("}")[2]: node.text or ""
               for node in user.get(BOOT_SETTINGS).element("AMT_BootSettingData")}
    assert user.put_boot(**{name: text for name, text in members.items() if name not in read_only}).status == 200


def test_wrong_references_are_refused(user):
    assert user.change_boot_order("Intel(r) AMT: Force Nothing Boot") == 4
    assert user.set_role(2) == INVALID


# ---- redirection settings and consent ---------------------------------------------------------------------------

def put_redirection(user, **members):
    body = "".join(f"<r:{name}>{value}</r:{name}>" for name, value in members.items())
    return user.post(envelope(WXF + "/Put", REDIRECTION,
                              f'<r:AMT_RedirectionService xmlns:r="{REDIRECTION}">{body}</r:AMT_RedirectionService>'))


def test_redirection_settings(sim, pc, user):
    assert user.get(REDIRECTION).text("EnabledState") == "32771"
    change = "<r:RequestedState>{}</r:RequestedState>"
    assert user.invoke(REDIRECTION, "RequestStateChange", change.format(32768)).result == 0
    assert user.invoke(REDIRECTION, "RequestStateChange", change.format(32772)).result == INVALID
    assert sim.state(pc)["redirection"] == {"enabled_state": 32768, "listener": True}
    assert put_redirection(user, EnabledState=32768, ListenerEnabled="false").text("ListenerEnabled") == "false"
    assert put_redirection(user, EnabledState=32771, ListenerEnabled="true").status == 400
    assert put_redirection(user, ListenerEnabled="perhaps").status == 400
    assert sim.state(pc)["redirection"]["listener"] is False


def test_consent_is_needed_for_boot_options_and_not_for_power(sim, pc, user):
    sim.fault(pc, "consent")
    assert user.get(IPS + "IPS_HostBasedSetupService").text("CurrentControlMode") == "1"
    assert user.get(SETUP).text("ProvisioningMode") == "4"
    assert user.get(OPT_IN).text("OptInRequired") == str(0xffffffff)
    assert user.put_boot(UseSOL="true").subcode == "AccessDenied"
    assert user.invoke(CIM + "CIM_BootConfigSetting", "ChangeBootOrder").subcode == "AccessDenied"
    assert user.invoke(OPT_IN, "SendOptInCode", "<r:OptInCode>000000</r:OptInCode>").result == 2
    assert user.invoke(OPT_IN, "StartOptIn").result == 0
    code = sim.state(pc)["opt_in_code"]
    assert user.invoke(OPT_IN, "SendOptInCode", f"<r:OptInCode>{code}</r:OptInCode>").result == 0
    assert user.get(OPT_IN).text("OptInState") == "3"
    assert user.put_boot(UseSOL="true").status == 200
    assert user.invoke(OPT_IN, "CancelOptIn").result == 0
    assert user.put_boot(UseSOL="false").subcode == "AccessDenied"
    assert user.power(2) == 0


# ---- faults -----------------------------------------------------------------------------------------------------

CURL_REFUSED, CURL_TIMEOUT, CURL_GOT_NOTHING, CURL_RECEIVE, CURL_TLS = 7, 28, 52, 56, 35


@pytest.mark.parametrize("fault, ends", [
    ("black-hole", (CURL_TIMEOUT,)), ("silent", (CURL_TIMEOUT,)), ("refused", (CURL_REFUSED,)),
    ("reset", (CURL_TLS, CURL_RECEIVE)), ("endless", (CURL_TIMEOUT,))])
def test_connection_faults_strike_and_clear(sim, pc, user, fault, ends):
    sim.fault(pc, fault)
    before = len(sim.events(pc, "connection"))
    assert user.curl(GET, seconds=1)[0] in ends
    accepted = len(sim.events(pc, "connection")) - before
    assert accepted == {"silent": 0, "refused": 0, "black-hole": 1, "reset": 1, "endless": 2}[fault]
    assert sim.control(do="clear", system=pc["fqdn"]) == {"ok": True}
    assert user.get(GENERAL).status == 200
    assert user.get(GENERAL).status == 200


def test_a_silent_pc_hangs_every_connect(sim, pc, user):
    sim.fault(pc, "silent")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            socket.create_connection((pc["address"], 16993), timeout=0.3)
    sim.fault(pc, "silent", on=False)
    assert user.get(GENERAL).status == 200


def test_a_pc_that_breaks_off_where_tls13_is_offered(sim, pc, user):
    sim.fault(pc, "breaks-tls13")
    assert user.curl(GET, "--tlsv1.2", seconds=2)[0] in (CURL_TLS, CURL_RECEIVE)
    assert user.curl(GET, "--tls-max", "1.2", seconds=2)[0] == 0


def test_a_pc_that_sleeps_wakes_by_the_packet_that_it_loses(sim, pc, user):
    sim.fault(pc, "silent")
    sim.fault(pc, "silent", on=False)
    sim.fault(pc, "asleep")
    time.sleep(1.2)
    assert sim.state(pc)["faults"] == ["asleep"], "nobody asked for it yet"
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        socket.create_connection((pc["address"], 16993), timeout=0.3)
    wait_for("it is awake", lambda: not sim.state(pc)["faults"])
    assert 1 <= time.monotonic() - began < 3
    assert user.get(GENERAL).status == 200
    assert len(sim.events(pc, "first-packet")) == 1


def test_slow_answers_trickle(sim, pc, user):
    sim.fault(pc, "slow")
    start = time.monotonic()
    assert user.get(GENERAL).text("DigestRealm")
    assert time.monotonic() - start > 1.8, "a challenge and an answer, 1.2 seconds each"


def test_garbage_is_not_xml(sim, pc, user):
    sim.fault(pc, "garbage")
    answer = user.post(GET)
    assert answer.status == 200
    with pytest.raises(amtsim.ElementTree.ParseError):
        assert answer.xml


def test_auth_fails_whatever_the_password(sim, pc, user):
    sim.fault(pc, "auth-fails")
    for _ in range(7):
        assert user.post(GET).status == 401
    assert {line["ok"] for line in sim.events(pc, "auth")} == {False}
    sim.control(do="clear", system=pc["fqdn"])
    assert user.get(GENERAL).status == 200, "the device was not locked by it"


def test_switched_on_strikes_between_the_look_and_the_act(sim, pc, user):
    sim.fault(pc, "switched-on")
    assert user.power_state() == 8
    assert user.power(2) == NOT_READY
    sim.wait_event(pc, "os-up")
    assert [name for name in sim.names(pc) if name in ("boot", "power")] == ["boot", "power"]
    assert user.power(8) == 0
    sim.wait_event(pc, "off")
    assert (user.power_state(), user.power(2)) == (8, 0), "once is enough"


def test_power_lost_is_obeyed_and_not_answered(sim, pc, user):
    sim.fault(pc, "power-lost")
    body = amtsim.invocation(amtsim.POWER_SERVICE, "RequestPowerStateChange",
                             f"<r:PowerState>2</r:PowerState><r:ManagedElement>{amtsim.HOST}</r:ManagedElement>")
    assert user.curl(body)[0] in (CURL_GOT_NOTHING, CURL_RECEIVE)
    sim.wait_event(pc, "os-up")
    assert len(sim.events(pc, "power")) == 1


def test_power_ignored_is_accepted_and_not_obeyed(sim, pc, user):
    sim.fault(pc, "power-ignored")
    assert user.power(2) == 0
    time.sleep(0.5)  # longer than a request takes to complete
    assert user.power_state() == 8
    assert sim.names(pc) == ["power"]


def test_a_fault_dealt_at_the_start_strikes_at_once():
    with amtsim.fleet("--systems", 4, "--faults", "refused=0.5,silent=0.25") as one:
        def outcome(pc):
            try:
                socket.create_connection((pc["address"], 16993), timeout=0.5).close()
            except OSError as error:
                return type(error).__name__
            return "open"
        assert sorted(map(outcome, one.pcs)) == ["ConnectionRefusedError"] * 2 + ["TimeoutError", "open"]
        assert one.control(do="clear") == {"ok": True}
        assert [outcome(pc) for pc in one.pcs] == ["open"] * 4


# ---- the control socket -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("line", [
    b"nonsense\n", b"[]\n", b"{}\n", b'{"do":"dance"}\n', b'{"do":"state"}\n', b'{"do":"state","system":"pc-1"}\n',
    b'{"do":"state","system":"pc-9999.fleet.test"}\n', b'{"do":"state","system":7}\n',
    b'{"do":"fault","system":"pc-0001.fleet.test","fault":"gremlins"}\n',
    b'{"do":"fault","system":"pc-0001.fleet.test","fault":"slow","kind":"expired"}\n',
    b'{"do":"power","system":"pc-0001.fleet.test","to":"on"}\n',
    b'{"do":"clear","system":"nobody"}\n', b"\xff\xfe\n"])
def test_bad_control_lines_get_a_sentence(sim, line):
    answer = sim.control_text(line)
    assert answer["ok"] is False
    assert answer["error"]


def test_state_tells_everything(sim, pc, user):
    boot(sim, pc, user)
    sim.fault(pc, "slow")
    state = sim.state(pc)
    assert state["ok"] is True
    assert (state["system"], state["power"], state["disk"], state["os"]) == (pc["fqdn"], 2, "unlocked", "up")
    assert (state["power_requests"], state["connections"], state["boots"]) == (1, 2, 1)
    assert state["faults"] == ["slow"]
    assert stat.S_IMODE(sim.socket.stat().st_mode) == 0o600


def test_too_few_files_are_told():
    drop = ["setpriv", "--bounding-set=-sys_resource"] if os.getuid() == 0 else []  # root could raise the limit
    command = f"ulimit -n 300; exec {amtsim.PROGRAM} --systems 300 --dir /nonexistent --log x --control y"
    done = subprocess.run([*drop, "sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "300 PCs need" in done.stderr


def test_connections_beyond_the_limit_are_turned_away_and_told():
    drop = ["setpriv", "--bounding-set=-sys_resource"] if os.getuid() == 0 else []
    one = Fleet("--systems", 4, prefix=[*drop, "sh", "-c", 'ulimit -n 300; exec "$0" "$@"'])
    held = []
    try:
        for _ in range(310):
            held.append(socket.create_connection((one.pcs[0]["address"], 16993), timeout=5))
        wait_for("one that is turned away", lambda: any(is_closed(client) for client in held))
    finally:
        for client in held:
            client.close()
        assert one.console(one.pcs[1]).power_state() == 8
        status, errors = one.stop()
    assert status == 0
    assert "too many open files" in errors


def is_closed(client):
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


# ---- one socket a port for all ----------------------------------------------------------------------------------

def in_own_network(script):
    """Runs the script where nobody else listens on anything."""
    for unshare in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            command = [*unshare, "sh", "-c", 'ip link set lo up && exec "$0" "$@"', sys.executable, script]
            return subprocess.run(command, capture_output=True, text=True, check=False)
    pytest.skip("neither root nor users may make a network of their own here")


def test_the_wide_fleet():
    done = in_own_network(pathlib.Path(__file__).parent / "wide_fleet.py")
    assert done.returncode == 0, done.stdout + done.stderr
