# SPDX-License-Identifier: Apache-2.0
"""amtunlockd check FQDN: what it finds of a PC, that an unlock then comes to the same, and that it touches nothing."""

import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from redirected import another_console, state_of, switch_redirection, OFF
from rig import TIMES, Rig, wait_until

LINE = re.compile(r"(ok|warning|failed) +([a-z]+) +(?:([a-z-]+): )?(.+)")
SUBJECTS = ["address", "login", "passphrase", "tls", "identity", "firmware", "account", "control", "redirection",
            "boot", "methods", "power", "probe"]
# All that a PC would have seen of a console that does more than look.
TOUCHES = ("power", "write", "sol-open", "ider-open", "passphrase", "boot")


@dataclass
class Checked:
    """What a check printed."""

    status: int
    lines: list  # (level, subject, reason or None, text)
    summary: str
    seconds: float
    text: str

    def of(self, subject):
        """(level, reason) of each finding about it."""
        return [(level, reason) for level, about, reason, _ in self.lines if about == subject]

    def words(self, subject):
        return "\n".join(text for _, about, _, text in self.lines if about == subject)

    def failed(self):
        return [(subject, reason) for level, subject, reason, _ in self.lines if level == "failed"]

    def warned(self):
        return {subject for level, subject, _, _ in self.lines if level == "warning"}


def run(rig, worker, *words):
    role = rig.places.roles["amtunlock"]
    who = {"user": role.uid, "group": role.gid, "extra_groups": []} if role.uid is not None else {}
    program = [rig.places.program("amtunlockd"), "-c", worker.config]
    return subprocess.run([*program, *words], capture_output=True, text=True, timeout=90, check=False,
                          env={"PATH": "/usr/bin:/bin", **TIMES, **worker.environment()}, **who)


def check(rig, worker, system):
    """Runs it, and looks at the form of what it says and that nothing was touched."""
    before = len(rig.events(system))
    begun = time.monotonic()
    done = run(rig, worker, "check", system)
    took = time.monotonic() - begun
    assert done.stderr == ""
    *findings, summary = done.stdout.splitlines()
    lines = []
    for line in findings:
        match = LINE.fullmatch(line)
        assert match, line
        level, subject, reason, text = match.groups()
        assert (reason is not None) == (level == "failed"), line
        lines.append((level, subject, reason, text))
    order = [SUBJECTS.index(subject) for _, subject, _, _ in lines]
    assert order == sorted(order), done.stdout
    failed = sum(level == "failed" for level, *_ in lines)
    assert summary.startswith(f"{system}: ") and f"{failed} failed" in summary
    assert done.returncode == (1 if failed else 0), done.stdout
    touched = [one for one in rig.events(system)[before:] if one["event"] in TOUCHES]
    assert touched == [], touched
    row = next(row for row in rig.fleet.systems() if row["fqdn"] == system)
    _, administrator = rig.fleet.administrator()
    for secret in (row["password"], row["passphrase"], administrator):
        assert not secret or secret not in done.stdout
    return Checked(done.returncode, lines, summary, took, done.stdout)


def use_login(rig, worker, user, password):
    """Gives the worker another login for every PC."""
    kept = [line for line in (worker.folder / "secrets").read_text().splitlines() if not line.startswith("amt ")]
    (worker.folder / "secrets").write_text("\n".join([f"amt * {user} {password}", *kept]) + "\n")


def use_inventory(worker, old, new):
    text = worker.inventory.read_text()
    assert old in text
    worker.inventory.write_text(text.replace(old, new))


# ---- a PC with which all is well --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["wake", "sol", "image"])
def test_well(rig, method):
    fleet = rig(systems=1, method=method)
    worker = fleet.prepare_worker()
    system, = fleet.systems()
    found = check(fleet, worker, system)
    wake = method == "wake"
    expected = [one for one in SUBJECTS if not wake or one not in ("passphrase", "redirection")]
    assert [subject for _, subject, _, _ in found.lines] == expected, found.text
    assert found.failed() == [] and found.warned() <= {"firmware", "probe"}, found.text
    assert "TLS 1.2" in found.words("tls") and "amt-ca.pem" in found.words("tls")
    assert found.words("login") == f"file:{worker.folder}/secrets knows one"
    assert "12.0.67" in found.words("firmware") and "INTEL-SA-00404 (fixed in 12.0.68)" in found.words("firmware")
    assert "INTEL-SA-00295" not in found.words("firmware")
    assert "not an administrator" in found.words("account") and "Remote Control" in found.words("account")
    assert ("Redirection" in found.words("account")) is not wake
    assert "admin control mode" in found.words("control")
    assert found.words("power") == "off (power state 8), and may be powered on"
    assert found.words("methods") == "this PC can have sol, image, wake"
    assert "an unlock now would go ahead" in found.summary
    # and so it does
    fleet.start_worker(worker)
    assert fleet.submit([system]).await_end(30) == {system: "unlocked"}
    assert fleet.events(system, "power") and fleet.events(system, "write"), "the log would have told"


def test_names_as_people_write_them(rig):
    fleet = rig(systems=1)
    worker = fleet.prepare_worker()
    system, = fleet.systems()
    done = run(fleet, worker, "check", f"{system.upper()}.")
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith(f"{system}: ")
    for name in ("pc-0099.fleet.test", "not a name", ""):
        done = run(fleet, worker, "check", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"amtunlockd: no system {name} in {worker.inventory}\n"
    worker.inventory.write_text("fqdn\nnot a name\n")
    done = run(fleet, worker, "check", system)
    assert (done.returncode, done.stdout) == (1, "") and "systems.csv:2: " in done.stderr


# ---- what is wrong, and that an unlock says the same ------------------------------------------------------------

# What an unlock of such a PC by Serial-over-LAN ends with, and the subject that the check names.
FAULTS = {
    "refused": ("unreachable", "address"),
    "black-hole": ("unreachable", "address"),
    "silent": ("unreachable", "address"),
    "reset": ("unreachable", "address"),
    "auth-fails": ("auth-failed", "login"),
    "wrong-certificate": ("tls-untrusted", "tls"),
    "wrong-uuid": ("not-verified", "identity"),
    "garbage": ("amt-fault", "identity"),
    "endless": ("amt-fault", "identity"),
    "consent": ("consent-required", "control"),
    "slow": ("unlocked", None),
    "asleep": ("unlocked", None),
    "breaks-tls13": ("unreachable", "address"),
}
SILENT = ("black-hole", "silent")


@pytest.fixture(name="broken", scope="module")
def _broken(request):
    """A PC for each fault, all checked at once; then all of them unlocked, as far as they can be."""
    one = Rig("check-faults", systems=len(FAULTS), method="sol", boot_seconds="1-1", boot_timeout=10,
              amtsim=("--wake-seconds", "2"))
    request.addfinalizer(one.down)
    one.up()
    system = dict(zip(FAULTS, one.systems()))
    for fault, name in system.items():
        one.break_pc(name, fault)
    worker = one.prepare_worker()
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        checked = dict(zip(system, pool.map(lambda name: check(one, worker, name), system.values())))
    one.start_worker(worker)
    results = one.submit(list(system.values())).await_end(90)
    return {fault: (checked[fault], results[name]) for fault, name in system.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(broken, fault):
    found, result = broken[fault]
    reason, subject = FAULTS[fault]
    assert result == reason
    assert found.failed() == ([(subject, reason)] if subject else []), found.text
    assert ("would fail" in found.summary) is bool(subject)
    assert found.seconds < 45, "however silent the PC is"
    assert ("needs tls-max = 1.2" in found.text) is (fault in ("reset", "breaks-tls13"))
    assert ("silent for 6 s, in which a sleeping ME wakes: " in found.text) is (fault in SILENT)


def test_a_black_hole_takes_little_time(broken):
    found, _ = broken["black-hole"]
    assert found.seconds < 15
    assert "account" not in [subject for _, subject, _, _ in found.lines], "what was not seen is not judged"


# ---- realms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method,realms,failed,missing", [
    ("sol", "5,13", [("account", "amt-fault")], ["Redirection"]),
    ("wake", "5,13", [], []),
    ("wake", "2,13", [("account", "amt-fault")], ["Remote Control"]),
    ("sol", "13", [("account", "amt-fault")] * 2, ["Redirection", "Remote Control"]),
    ("sol", "2,5", [("identity", "amt-fault")], ["General Info"]),
])
def test_fewer_realms(rig, method, realms, failed, missing):
    fleet = rig(systems=1, method=method, amtsim=("--realms", realms))
    worker = fleet.prepare_worker()
    system, = fleet.systems()
    found = check(fleet, worker, system)
    assert sorted(found.failed()) == sorted(failed), found.text
    for realm in missing:
        assert f"it lacks the realm {realm}, " in found.words("account")
    assert found.words("account").count("lacks") == len(missing)
    fleet.start_worker(worker)
    assert fleet.submit([system]).await_end(30) == {system: failed[0][1] if failed else "unlocked"}


def test_an_account_that_may_read_the_list_of_users(rig):
    fleet = rig(systems=1, method="sol", amtsim=("--realms", "2,5,13,19,21"))
    worker = fleet.prepare_worker()
    found = check(fleet, worker, *fleet.systems())
    assert found.of("account") == [("ok", None), ("warning", None)]
    assert "its realms: Redirection, Remote Control, General Info, Event Log Reader, ACL" in found.words("account")
    assert "more than is needed: take the realms Event Log Reader, ACL from it" in found.words("account")


def test_a_list_of_users_that_tells_what_is_missing(rig):
    fleet = rig(systems=1, method="sol", amtsim=("--realms", "5,13,21"))
    worker = fleet.prepare_worker()
    found = check(fleet, worker, *fleet.systems())
    assert found.failed() == [("account", "amt-fault")]
    assert found.words("account").count("lacks the realm Redirection") == 1


def test_pt_administration(rig):
    fleet = rig(systems=1, method="sol", amtsim=("--realms", "2,3,5,13"))
    worker = fleet.prepare_worker()
    found = check(fleet, worker, *fleet.systems())
    assert found.failed() == [] and "account" in found.warned()
    assert "more than is needed: take the realms PT Administration from it" in found.words("account")


def test_the_administrator(rig):
    fleet = rig(systems=1, method="sol")
    worker = fleet.prepare_worker()
    use_login(fleet, worker, *fleet.fleet.administrator())
    found = check(fleet, worker, *fleet.systems())
    assert found.failed() == [] and found.of("account") == [("warning", None)]
    assert "AMT's own administrator" in found.words("account")


# ---- login and secrets ------------------------------------------------------------------------------------------


def test_a_wrong_password(rig):
    fleet = rig(systems=1, method="sol")
    worker = fleet.prepare_worker()
    use_login(fleet, worker, "unlock-service", "wrong-Passw0rd")
    system, = fleet.systems()
    found = check(fleet, worker, system)
    assert found.failed() == [("login", "auth-failed")]
    assert "wrong-Passw0rd" not in found.text
    assert len([one for one in fleet.events(system, "auth") if not one["ok"]]) == 1, "firmware locks accounts"


def test_no_passphrase(rig):
    fleet = rig(systems=1, method="sol")
    worker = fleet.prepare_worker()
    kept = [line for line in (worker.folder / "secrets").read_text().splitlines() if not line.startswith("disk ")]
    (worker.folder / "secrets").write_text("\n".join(kept) + "\n")
    found = check(fleet, worker, *fleet.systems())
    assert found.failed() == [("passphrase", "no-secret")]
    assert "would begin, and then fail" in found.summary


def use_volume(worker, system):
    """Only a passphrase of a volume is left: `disk VOLUME@FQDN`."""
    kept = [line for line in (worker.folder / "secrets").read_text().splitlines() if not line.startswith("disk ")]
    (worker.folder / "secrets").write_text("\n".join([*kept, f"disk luks-6f@{system} correct-horse"]) + "\n")


@pytest.mark.parametrize("method,failed", [("sol", []), ("image", [("passphrase", "no-secret")])])
def test_a_passphrase_of_a_volume_only(rig, method, failed):
    fleet = rig(systems=1, method=method)
    worker = fleet.prepare_worker()
    system, = fleet.systems()
    use_volume(worker, system)
    found = check(fleet, worker, system)
    assert found.failed() == failed
    assert "correct-horse" not in found.text
    if not failed:
        assert found.of("passphrase") == [("ok", None)] and "a volume's own" in found.words("passphrase")
    use_volume(worker, "pc-of-another.example.com")
    assert check(fleet, worker, system).failed() == [("passphrase", "no-secret")]


def test_no_secrets(rig):
    fleet = rig(systems=1, method="sol")
    worker = fleet.prepare_worker()
    (worker.folder / "secrets").write_text("# none\n")
    system, = fleet.systems()
    found = check(fleet, worker, system)
    assert found.failed() == [("login", "no-secret"), ("passphrase", "no-secret")]
    assert fleet.events(system) == [], "nobody is asked without a login"


def test_kerberos(rig):
    fleet = rig(systems=1, method="sol", amt_auth="kerberos")
    worker = fleet.prepare_worker()
    system, = fleet.systems()
    found = check(fleet, worker, system)
    assert found.failed() == []
    assert "amtunlockd@AMTU.TEST" in found.words("login")
    assert {one["mech"] for one in fleet.events(system, "auth")} == {"negotiate"}
    fleet.realm_process.stop()
    found = check(fleet, worker, system)
    assert found.failed() == [("login", "auth-failed")] and "KDC" in found.words("login")


def test_a_kdc_that_hangs(rig):
    fleet = rig(systems=1, method="sol", amt_auth="kerberos")
    worker = fleet.prepare_worker()
    fleet.realm_process.signal(signal.SIGSTOP)
    try:
        found = check(fleet, worker, *fleet.systems())
    finally:
        fleet.realm_process.signal(signal.SIGCONT)
    assert found.failed() == [("login", "auth-failed")], found.text
    assert found.seconds < 22, "it does not wait until the look-up has ended"


def test_kerberos_with_too_much(rig):
    fleet = rig(systems=1, method="sol", amt_auth="kerberos", amtsim=("--realms", "2,3,5,13"))
    worker = fleet.prepare_worker()
    found = check(fleet, worker, *fleet.systems())
    assert found.failed() == [] and "account" in found.warned()
    assert "by SID" in found.words("account")


# ---- TLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method,tls,failed", [
    ("sol", "none", [("tls", "tls-untrusted")]),
    ("wake", "none", []),
    ("sol", "legacy", [("tls", "tls-untrusted")]),
    ("wake", "legacy", []),
])
def test_tls_that_is_none_or_old(rig, method, tls, failed):
    fleet = rig(systems=1, method=method, tls=tls)
    worker = fleet.prepare_worker()
    system, = fleet.systems()
    found = check(fleet, worker, system)
    assert found.failed() == failed, found.text
    assert "tls" in found.warned()
    if tls == "legacy":
        assert "TLS 1.1" in found.words("tls")
    fleet.start_worker(worker)
    assert fleet.submit([system]).await_end(20) == {system: "tls-untrusted" if failed else "unlocked"}


def test_legacy_that_is_not_needed(rig):
    fleet = rig(systems=1)
    worker = fleet.prepare_worker()
    use_inventory(worker, ",,,", ",,legacy,")
    found = check(fleet, worker, *fleet.systems())
    assert found.failed() == [] and "does not need tls legacy" in found.words("tls")


def test_a_pin(rig):
    fleet = rig(systems=1)
    worker = fleet.prepare_worker()
    use_inventory(worker, ",,,", f",,pin:{'0' * 64},")
    system, = fleet.systems()
    found = check(fleet, worker, system)
    assert found.failed() == [("tls", "tls-untrusted")]
    seen = re.search(r"SHA-256 ([0-9a-f]{64})", found.words("tls")).group(1)
    use_inventory(worker, "0" * 64, seen)
    found = check(fleet, worker, system)
    assert found.failed() == [] and "pinned" in found.words("tls")


def test_a_name_that_means_nothing(rig):
    fleet = rig(systems=1)
    worker = fleet.prepare_worker()
    use_inventory(worker, fleet.fleet.systems()[0]["address"], "")
    found = check(fleet, worker, *fleet.systems())
    assert found.failed() == [("address", "unreachable")] and "has no address" in found.words("address")
    assert found.seconds < 55, "whatever the resolver does"


# ---- what the PC is and does ------------------------------------------------------------------------------------


def test_no_uuid_to_compare(rig):
    fleet = rig(systems=1)
    worker = fleet.prepare_worker()
    system, = fleet.systems()
    uuid = fleet.fleet.systems()[0]["uuid"]
    use_inventory(worker, uuid, "")
    found = check(fleet, worker, system)
    assert found.of("identity") == [("ok", None)] and uuid in found.words("identity")


def test_a_running_pc_that_would_be_reset(rig):
    """And one that is in modern standby, and would not."""
    fleet = rig(systems=2, method="wake", group=("reset-running = yes",))
    worker = fleet.prepare_worker()
    hung, asleep = fleet.systems()
    for system, fault, event in ((hung, "no-system", "unlocked"), (asleep, "standby", "os-up")):
        fleet.break_pc(system, fault)
        fleet.fleet.tell(do="power", system=system, to=2)
        assert wait_until(lambda s=system, e=event: fleet.events(s, e), 10)
    found = check(fleet, worker, hung)
    assert found.failed() == [] and "would reset it" in found.words("power")
    assert found.summary.endswith("an unlock now would reset it")
    assert check(fleet, worker, asleep).failed() == [("power", "already-on")]


def test_a_running_pc(rig):
    fleet = rig(systems=3, method="mix", group=("type-running = yes",))
    worker = fleet.prepare_worker()
    wake, sol, _ = fleet.systems()
    for system in (wake, sol):
        fleet.fleet.tell(do="power", system=system, to=2)
    assert wait_until(lambda: state_of(fleet, sol)["os"] == "prompt", 10)
    found = check(fleet, worker, sol)
    assert found.failed() == [] and "look whether it stands at its prompt" in found.words("power")
    assert "would look at its console" in found.summary
    # Whoever works at a running PC may have another program ask there: its group must allow it.
    settings = worker.folder / "amtunlockd.conf"
    settings.write_text(settings.read_text().replace("type-running = yes", "type-running = no"))
    found = check(fleet, worker, sol)
    assert found.failed() == [("power", "already-on")] and "type-running" in found.words("power"), found.text
    # One that wakes for network-bound encryption runs now, and its probe answers.
    assert wait_until(lambda: state_of(fleet, wake)["os"] == "up", 10)
    found = check(fleet, worker, wake)
    assert found.failed() == [] and "would find it unlocked already" in found.summary
    assert found.words("power") == "running (power state 2)" and found.words("probe").startswith("open at ")
    # Were its probe another port, an unlock would leave it alone.
    use_inventory(worker, fleet.fleet.systems()[0]["probe"], "9")
    found = check(fleet, worker, wake)
    assert found.failed() == [("power", "already-on")]


def test_a_probe_of_another_pc(rig):
    fleet = rig(systems=2)
    worker = fleet.prepare_worker()
    off, runs = fleet.systems()
    fleet.fleet.tell(do="power", system=runs, to=2)
    assert wait_until(lambda: state_of(fleet, runs)["os"] == "up", 10)
    row_off, row_runs = fleet.fleet.systems()
    worker.write_inventory([{**row_off, "probe": f"{row_runs['address']}:{row_runs['probe']}"}])
    found = check(fleet, worker, off)
    assert found.failed() == [("probe", "not-verified")], found.text
    fleet.start_worker(worker)
    assert fleet.submit([off]).await_end(20) == {off: "not-verified"}


def test_what_others_have_set(rig):
    fleet = rig(systems=3, method="mix")
    worker = fleet.prepare_worker()
    wake, sol, image = fleet.systems()
    for system in (wake, sol):
        assert another_console(fleet, system).put_boot(BIOSSetup="true").status == 200
    switch_redirection(fleet, image, OFF["enabled_state"])
    found = check(fleet, worker, sol)
    assert found.failed() == [("boot", "busy")] and "BIOSSetup" in found.words("boot")
    found = check(fleet, worker, wake)
    assert found.failed() == [] and found.of("boot") == [("warning", None)] and "clears" in found.words("boot")
    found = check(fleet, worker, image)
    assert found.failed() == []
    assert found.words("redirection") == ("off, ports open; an unlock sets Serial-over-LAN and storage, ports open, "
                                          "and takes it back in the end")
    assert state_of(fleet, image)["redirection"] == OFF, "the check has not"
