# SPDX-License-Identifier: Apache-2.0
"""A fleet that was joined to a domain, and a worker with an account there: a real KDC, a simulator that wants a ticket
for HTTP/FQDN:PORT. Every worker here has a KRB5CCNAME that leads nowhere."""

import signal
import subprocess

import pytest

from rig import wait_until
from scene import Scene

ACCOUNT = "amtunlockd@AMTU.TEST"


def logins(fleet, system):
    """(mechanism, user, accepted) of each login that the PC saw."""
    return [(one["mech"], one["user"], one["ok"]) for one in fleet.events(system, "auth")]


def asked_for_granting(fleet):
    """How many ticket-granting tickets the KDC gave to the worker."""
    lines = fleet.places.log("kdc").read_text().splitlines()
    return sum("AS_REQ" in line and "ISSUE" in line and ACCOUNT in line for line in lines)


def administer(fleet, *commands):
    """kadmin.local's; the KDC takes note at once."""
    fleet.realm._administer(*commands)  # pylint: disable=protected-access


def failure(fleet, system, seconds=20):
    """The reason why this PC was not unlocked, and the sentence about it."""
    reason = fleet.submit([system]).await_end(seconds)[system]
    said = [line for line in fleet.worker_tail().splitlines() if "AMTU0607" in line and system in line]
    return reason, said[-1]


@pytest.mark.parametrize("method", ["wake", "sol", "image"])
def test_methods(rig, method):
    fleet = rig(systems=3, method=method, amt_auth="kerberos")
    fleet.add_worker()
    assert set(fleet.submit(fleet.systems()).await_end(60).values()) == {"unlocked"}
    for system in fleet.systems():
        seen = logins(fleet, system)
        assert set(seen) == {("negotiate", ACCOUNT, True)}
        # One for WS-Man, one for each session, and one more for WS-Man where it was hung up on while the PC booted: a
        # connection that was let in stays so.
        assert {"wake": 1, "sol": 3, "image": 4}[method] <= len(seen) <= len(fleet.events(system, "connection"))
        assert len(seen) < len(fleet.events(system, "request-seen"))
        assert fleet.power_requests(system) == 1
    assert asked_for_granting(fleet) == (2 if method == "image" else 1), "the process that serves drives has its own"


def test_without_tls(rig):
    fleet = rig(systems=2, amt_auth="kerberos", tls="none")
    fleet.add_worker()
    assert set(fleet.submit(fleet.systems()).await_end(20).values()) == {"unlocked"}
    for system in fleet.systems():
        seen = logins(fleet, system)
        assert set(seen) == {("negotiate", ACCOUNT, True)}
        assert len(seen) == len(fleet.events(system, "request-seen")), "each request has a token of its own"
        assert fleet.power_requests(system) == 1


def test_a_ticket_that_ends_soon_is_got_anew(rig):
    fleet = rig(systems=2, amt_auth="kerberos")
    fleet.add_worker()
    administer(fleet, "modprinc -maxlife 12seconds amtunlockd")
    for system in fleet.systems():
        assert fleet.submit([system]).await_end(20) == {system: "unlocked"}
    assert asked_for_granting(fleet) >= 2


def test_a_device_that_refuses_the_ticket_is_asked_twice(rig):
    fleet = rig(systems=1, amt_auth="kerberos")
    fleet.add_worker()
    system, = fleet.systems()
    fleet.break_pc(system, "auth-fails")
    reason, said = failure(fleet, system)
    assert reason == "auth-failed"
    assert f"refused the Kerberos ticket of {ACCOUNT}" in said
    assert logins(fleet, system) == [("negotiate", ACCOUNT, False)] * 2
    assert fleet.power_requests(system) == 0


def test_a_pc_that_the_domain_does_not_know(rig):
    fleet = rig(systems=2, amt_auth="kerberos")
    fleet.add_worker()
    unknown, known = fleet.systems()
    administer(fleet, f"delprinc -force HTTP/{unknown}:16993")
    reason, said = failure(fleet, unknown)
    assert reason == "auth-failed"
    assert f"HTTP/{unknown}:16993" in said and "with the port" in said
    assert not fleet.events(unknown, "request-seen"), "without a ticket nothing is said to it"
    assert fleet.submit([known]).await_end(20) == {known: "unlocked"}


def test_a_pc_whose_console_the_domain_does_not_know(rig):
    """WS-Man works: that the session's port has no name shows before anything is switched on."""
    fleet = rig(systems=1, method="sol", amt_auth="kerberos")
    fleet.add_worker()
    system, = fleet.systems()
    administer(fleet, f"delprinc -force HTTP/{system}:16995")
    reason, said = failure(fleet, system)
    assert reason == "auth-failed"
    assert f"HTTP/{system}:16995" in said
    assert fleet.power_requests(system) == 0


def test_a_keytab_that_is_out_of_date(rig):
    fleet = rig(systems=1, amt_auth="kerberos")
    worker = fleet.add_worker()
    system, = fleet.systems()
    administer(fleet, "cpw -randkey amtunlockd")
    reason, said = failure(fleet, system)
    assert reason == "auth-failed"
    assert ACCOUNT in said and "export the keytab anew" in said
    assert not fleet.heard(worker, "AMTU0603"), "trying again does not help"
    worker.keytab.unlink()
    fleet.realm.service_keytab(worker.keytab, "amtunlockd")
    fleet.places.roles["amtunlock"].own(worker.keytab)
    assert fleet.submit([system]).await_end(20) == {system: "unlocked"}, "it is read at each login"


def test_a_kdc_that_is_not_there(rig):
    fleet = rig(systems=1, amt_auth="kerberos")
    fleet.add_worker()
    system, = fleet.systems()
    fleet.realm_process.stop()
    reason, said = failure(fleet, system, 40)
    assert reason == "auth-failed"
    assert "KDC" in said and "check the KDC" in said
    assert not fleet.events(system, "request-seen")


def test_a_kdc_that_comes_back_in_time(rig):
    fleet = rig(systems=1, amt_auth="kerberos")
    worker = fleet.add_worker()
    system, = fleet.systems()
    fleet.realm_process.signal(signal.SIGSTOP)
    try:
        job = fleet.submit([system])
        assert wait_until(lambda: fleet.heard(worker, "AMTU0603"), 30), fleet.worker_tail()
    finally:
        fleet.realm_process.signal(signal.SIGCONT)
    assert job.await_end(40) == {system: "unlocked"}
    assert fleet.power_requests(system) == 1


# ---- what is refused before anything runs -------------------------------------------------------------


@pytest.fixture(scope="module", name="prepared")
def _prepared(request):
    from rig import Rig
    one = Rig("kerberos-check", systems=2, amt_auth="kerberos", one_user=True)
    one.up()
    request.addfinalizer(one.down)
    one.worker = one.add_worker()
    return one


def check(prepared, change):
    """What `amtunlockd check` says when the settings are changed so."""
    worker = prepared.worker
    other = worker.folder / "other.conf"
    text = change(worker.config.read_text())
    assert text != worker.config.read_text()
    other.write_text(text)
    done = subprocess.run([prepared.places.program("amtunlockd"), "-c", other, "check"], capture_output=True, text=True,
                          env=worker.environment(), check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_check_without_a_keytab(prepared):
    said = check(prepared, lambda text: text.replace("kerberos-keytab", "# kerberos-keytab"))
    assert said.count("auth kerberos needs kerberos-keytab = PATH in [worker]") == 2
    assert "systems.csv:2: pc-0001.fleet.test" in said


@pytest.mark.parametrize("mode, owner", [(0o644, "chmod 0600"), (0o640, "chmod 0600")])
def test_check_of_a_keytab_that_others_may_read(prepared, mode, owner):
    copy = prepared.worker.folder / "copy.keytab"
    copy.write_bytes(prepared.worker.keytab.read_bytes())
    copy.chmod(mode)
    said = check(prepared, lambda text: text.replace(str(prepared.worker.keytab), str(copy)))
    assert str(copy) in said and owner in said


def test_check_of_another_principal(prepared):
    said = check(prepared, lambda text: text.replace("kerberos-principal = amtunlockd", "kerberos-principal = other"))
    assert "has no key of other" in said


def test_check_of_a_keytab_that_is_not_there(prepared):
    said = check(prepared, lambda text: text.replace("amt.keytab", "no.keytab"))
    assert "no.keytab cannot be opened" in said


# ---- the stack ----------------------------------------------------------------------------------------


def test_a_whole_stack(request):
    scene = Scene("kerberos-stack", "--systems", 6, "--method", "mix", "--amt-auth", "kerberos", "--boot-seconds", "1-2")
    request.addfinalizer(scene.down)
    job = scene.start_job()
    output, errors = job.communicate(timeout=90)
    assert job.returncode == 0, errors + scene.worker_log()
    assert '"failed":[]' in output.replace(" ", "")
    for system, events in scene.events().items():
        seen = {(one["mech"], one["user"], one["ok"]) for one in events if one["event"] == "auth"}
        assert seen == {("negotiate", ACCOUNT, True)}, system
