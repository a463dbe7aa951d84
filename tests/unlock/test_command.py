# SPDX-License-Identifier: Apache-2.0
"""amtunlockd as an operator types it: what it checks, what it says, and how it exits."""

import os
import re
import shutil
import subprocess

import pytest

from rig import build_folder
from amtu_stack.places import REPOSITORY

PROGRAM = build_folder() / "amtunlockd"
HEADER = "fqdn,address,uuid,group,method,auth,tls,probe\n"
GOOD = HEADER + "pc-1.example.com,192.0.2.1,,default,wake,digest,none,22\n"


@pytest.fixture
def place(tmp_path):
    """Settings, secrets and inventory that are well."""
    (tmp_path / "secrets").write_text("amt * admin P@ssw0rd\n")
    (tmp_path / "secrets").chmod(0o600)
    (tmp_path / "systems.csv").write_text(GOOD)
    (tmp_path / "amtunlockd.conf").write_text(
        f"[redis]\naddress = unix:{tmp_path}/none.sock\npassword-file =\n[worker]\ninventory = {tmp_path}/systems.csv\n"
        f"secrets = file:{tmp_path}/secrets\naudit = {tmp_path}/audit.jsonl\nstate-dir = {tmp_path}\n")
    return tmp_path


def amtunlockd(*words):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=20, check=False)


def check(place):
    return amtunlockd("-c", place / "amtunlockd.conf", "check", "--offline")


def test_a_uuid_of_many_boards_is_a_warning(place):
    (place / "systems.csv").write_text(GOOD + "pc-2.example.com,192.0.2.2,03000200-0400-0500-0006-000700080009,"
                                              "default,wake,digest,none,22\n")
    for words in (("check", "--offline"), ("inventory", "check", place / "systems.csv")):
        result = amtunlockd("-c", place / "amtunlockd.conf", *words)
        assert result.returncode == 0 and "well; 2 systems" in result.stdout, result.stderr
        assert f"{place}/systems.csv:3: warning: uuid 03000200-0400-0500-0006-000700080009 is what many boards" \
            in result.stderr


def test_version_and_help():
    assert amtunlockd("--version").stdout.startswith("amtunlockd ")
    helped = amtunlockd("--help")
    assert helped.returncode == 0
    for command in ("check", "check FQDN", "inventory check", "audit verify", "steps", "--version"):
        assert command in helped.stdout


@pytest.mark.parametrize("words", [["nonsense"], ["check", "too", "many"], ["inventory"], ["steps", "x"], ["inventory", "check"],
                                   ["check", "--head", "x:1", "a.test"],
                                   ["audit", "verify"], ["--no-such-option"], ["-c"], ["a", "b", "c", "d", "e"],
                                   ["--head", "x:1", "check"]])
def test_usage(words):
    result = amtunlockd(*words)
    assert result.returncode == 2
    assert result.stderr and not result.stdout


def test_steps_are_a_graph():
    drawn = amtunlockd("steps")
    assert (drawn.returncode, drawn.stderr) == (0, "")
    nodes = re.findall(r"^ +(\w+) \[label=", drawn.stdout, re.M)
    edges = re.findall(r"^ +(\w+) -> (\w+)", drawn.stdout, re.M)
    assert len(nodes) == len(set(nodes)) and {node for edge in edges for node in edge} == set(nodes)
    assert drawn.stdout.count("{") == drawn.stdout.count("}")
    if shutil.which("dot"):
        picture = subprocess.run(["dot", "-Tsvg"], input=drawn.stdout, capture_output=True, text=True, timeout=20,
                                 check=False)
        assert (picture.returncode, picture.stderr) == (0, "")
        assert picture.stdout.count('class="node"') == len(nodes)


def test_all_is_well(place):
    result = check(place)
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 systems" in result.stdout
    assert sorted(os.listdir(place)) == ["amtunlockd.conf", "secrets", "systems.csv"], "it changes nothing"


def test_the_words_of_a_problem(place):
    (place / "systems.csv").write_text(GOOD + "pc-2.example.com,192.0.2.1,,default,wake,,none,22\n")
    result = check(place)
    assert result.returncode == 1
    assert result.stderr.startswith(f"{place}/systems.csv:3: ")


def test_resets_are_refused_without_a_probe(place):
    """A PC in use and one that hangs are told apart by the probe alone."""
    with open(place / "amtunlockd.conf", "a") as settings:
        settings.write("[group lab]\nmethod = sol\nreset-running = yes\n")
    (place / "systems.csv").write_text(GOOD + "pc-2.example.com,192.0.2.2,,lab,,,ca,\n")
    result = check(place)
    assert result.returncode == 1
    assert result.stderr.startswith(f"{place}/systems.csv:3: group lab has reset-running = yes, so it needs a probe")
    (place / "systems.csv").write_text(GOOD + f"pc-2.example.com,192.0.2.2,,lab,,,pin:{'0' * 64},22\n")
    assert (check(place).returncode, check(place).stderr) == (0, "")


@pytest.mark.parametrize("method", ["https-boot"])
def test_a_method_that_this_worker_has_not(place, method):
    (place / "systems.csv").write_text(HEADER + f"pc-1.example.com,192.0.2.1,,default,{method},digest,ca,22\n")
    result = check(place)
    assert result.returncode == 1
    assert f"systems.csv:2: pc-1.example.com: this worker has no method {method}; it has: wake" in result.stderr


def test_a_ca_file_is_asked_for_where_it_is_needed(place):
    (place / "systems.csv").write_text(GOOD.replace(",none,", ",ca,"))
    with open(place / "amtunlockd.conf", "a") as settings:
        settings.write(f"ca-file = {place}/nowhere.pem\n")
    result = check(place)
    assert result.returncode == 1
    assert f"ca-file {place}/nowhere.pem cannot be used" in result.stderr


@pytest.mark.parametrize("key", ["tls-key", "tls-certificate"])
def test_half_a_certificate_of_its_own(place, key):
    with open(place / "amtunlockd.conf", "a") as settings:
        settings.write(f"{key} = {place}/nowhere.pem\n")
    result = check(place)
    assert result.returncode == 1
    assert "tls-certificate and tls-key are set together, or neither is" in result.stderr


def test_secrets_that_others_may_read(place):
    (place / "secrets").chmod(0o644)
    result = check(place)
    assert result.returncode == 1
    assert "secrets" in result.stderr and "P@ssw0rd" not in result.stderr


def test_settings_that_are_wrong(place):
    with open(place / "amtunlockd.conf", "a") as settings:
        settings.write("slots = many\nsolts = 3\n")
    result = check(place)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2
    assert ":9: slots must be a whole number" in result.stderr


def test_the_sample_inventory(place):
    result = amtunlockd("-c", place / "amtunlockd.conf", "inventory", "check", REPOSITORY / "conf" / "systems.csv")
    assert result.returncode == 0, result.stderr


def test_another_inventory(place):
    other = place / "other.csv"
    other.write_text(HEADER + "not a name,,,,wake,,,22\n")
    result = amtunlockd("-c", place / "amtunlockd.conf", "inventory", "check", other)
    assert result.returncode == 1
    assert result.stderr.startswith(f"{other}:2: ")


def test_an_audit_file_that_is_none(place):
    (place / "audit").write_text("{}\n")
    result = amtunlockd("audit", "verify", place / "audit")
    assert result.returncode == 1
    assert str(place / "audit") in result.stderr


def test_serving_with_bad_settings_says_why_and_ends(place):
    (place / "systems.csv").unlink()
    result = amtunlockd("-c", place / "amtunlockd.conf")
    assert result.returncode == 1
    assert "AMTU0311" in result.stderr and "systems.csv" in result.stderr
