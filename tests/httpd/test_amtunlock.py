# SPDX-License-Identifier: Apache-2.0
"""The command `amtunlock` against the live service: what scripts rely on, exit statuses and --json."""

import json
import signal
import subprocess

import pytest

from amtu_stack import kdc, soap
from amtu_stack.process import wait_until

DONE, FAILED, USAGE, SERVICE, DENIED = range(5)


class Command:
    """amtunlock as a person with a ticket runs it."""

    def __init__(self, stack):
        self.program = stack.places.program("amtunlock")
        self.environment = stack.caller_environment()
        self.status = self.out = self.said = None

    def __call__(self, *words, ticket=None, **environment):
        more = {"KRB5CCNAME": str(ticket)} if ticket else {}
        done = subprocess.run([self.program, *map(str, words)], env={**self.environment, **more, **environment},
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.status, self.out, self.said = done.returncode, done.stdout, done.stderr
        return self.status

    def json(self):
        return json.loads(self.out)


@pytest.fixture
def amtunlock(stack):
    return Command(stack)


def test_all_are_unlocked(amtunlock, switched_off):
    assert amtunlock("unlock", "--wait", "--json", *switched_off) == DONE, amtunlock.said
    answer = amtunlock.json()
    assert sorted(answer["unlocked"]) == sorted(switched_off)
    assert (answer["state"], answer["failed"]) == ("Completed", [])
    assert amtunlock("status", "--json", answer["job"]) == DONE
    assert amtunlock.json() == answer


def test_who_failed_is_named(amtunlock, switched_off, tmp_path):
    """An unknown name is refused alone; case and a final dot are kept as the caller wrote them."""
    file = tmp_path / "names"
    file.write_text(f"# tonight\n{switched_off[0].upper()}.\nnobody.fleet.test\n")
    assert amtunlock("unlock", "--wait", "--json", "--file", file) == FAILED, amtunlock.said
    answer = amtunlock.json()
    assert answer["unlocked"] == [f"{switched_off[0].upper()}."]
    assert [(one["system"], one["reason"]) for one in answer["failed"]] == [("nobody.fleet.test", "not-available")]
    assert all(one["message"] for one in answer["failed"])
    assert amtunlock("errors", answer["job"]) == DONE
    assert "nobody.fleet.test" in amtunlock.out


def test_a_job_that_is_not_waited_for(amtunlock, names):
    assert amtunlock("unlock", names[0]) == DONE
    job = amtunlock.out.strip()
    assert amtunlock("jobs") == DONE and job in amtunlock.out
    assert amtunlock("status", "--wait", job) == DONE
    assert amtunlock("cancel", job) == SERVICE, "it has ended"
    assert "ended already" in amtunlock.said


@pytest.mark.may_log("AMTU0081")
def test_who_polls_too_often_goes_on_waiting(amtunlock, stack, console, names, idle_worker, tmp_path):
    """The service says when to come again; the command does, by itself."""
    said = tmp_path / "said"
    assert amtunlock("unlock", names[0]) == DONE
    job = amtunlock.out.strip()
    url = amtunlock.environment["AMTU_URL"].replace("/wsman", "/slower")
    with open(said, "w") as error, subprocess.Popen(
            [amtunlock.program, "status", "--wait", job], env={**amtunlock.environment, "AMTU_URL": url},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=error) as waiting:
        assert wait_until(lambda: stack.places.log("httpd-access").read_text().count("POST /slower") >= 4, 20)
        assert wait_until(lambda: console.send_all([soap.get(soap.SERVICE)] * 60, path="/slower", seconds=60)
                          and "trying again" in said.read_text(), 20, 0.1)
        assert waiting.poll() is None and amtunlock("cancel", job) == DONE
        assert waiting.wait(30) == FAILED, "it saw the end"
    assert "requests a second" in said.read_text()


def at(amtunlock, place):
    return amtunlock.environment["AMTU_URL"].replace("/wsman", place)


def begin(amtunlock, tmp_path, place, *words):
    """The command, as a process; what it says is in the files `said` and `out`."""
    with open(tmp_path / "said", "w") as error, open(tmp_path / "out", "w") as output:
        return subprocess.Popen([amtunlock.program, *words], env={**amtunlock.environment, "AMTU_URL": at(amtunlock, place)},
                                stdin=subprocess.DEVNULL, stdout=output, stderr=error)


def test_more_names_than_one_request_takes(amtunlock, switched_off, idle_worker, tmp_path):
    """As many jobs as it takes, also where the caller may not have all of them waiting at once."""
    twice = [name.upper() for name in switched_off[:3]]
    said, out = tmp_path / "said", tmp_path / "out"
    with begin(amtunlock, tmp_path, "/few", "unlock", "--wait", *switched_off, *twice) as command:
        assert wait_until(lambda: "wait until earlier ones have gone on" in said.read_text(), 20), said.read_text()
        idle_worker()
        assert command.wait(60) == DONE, said.read_text()
    *lines, summary = out.read_text().splitlines()
    assert sorted(lines) == sorted(f"unlocked  {name}" for name in switched_off)
    assert summary == "8 of 8 unlocked"
    jobs = [line.removeprefix("job ") for line in said.read_text().splitlines() if line.startswith("job ")]
    assert len(set(jobs)) == 3
    assert amtunlock("status", "--json", *jobs) == DONE
    assert (amtunlock.json()["jobs"], sorted(amtunlock.json()["unlocked"])) == (jobs, sorted(switched_off))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_ended_between_the_parts(amtunlock, names, idle_worker, tmp_path, number):
    """What was started is named and goes on; what was not is in no job, and a second call asks for all."""
    said, out = tmp_path / "said", tmp_path / "out"
    with begin(amtunlock, tmp_path, "/few", "unlock", *names) as command:
        assert wait_until(lambda: "wait until earlier ones" in said.read_text(), 20), said.read_text()
        command.send_signal(number)
        assert command.wait(20) == -number
    (job,) = out.read_text().split()
    if number == signal.SIGINT:
        assert f"5 of 8 systems were not asked for to the end, {names[3]} to {names[-1]}" in said.read_text()
        assert f"go on with: amtunlock status --wait {job}" in said.read_text()
    assert amtunlock("cancel", "--json", job) == DONE, amtunlock.said
    assert [one["system"] for one in amtunlock.json()["failed"]] == names[:3]


def test_a_part_with_a_bad_name(amtunlock, names):
    wanted = [*names[:3], "no name", *names[3:5], names[5]]
    assert amtunlock("unlock", "--wait", "--json", *wanted, AMTU_URL=at(amtunlock, "/few")) == SERVICE, amtunlock.said
    answer = amtunlock.json()
    assert sorted(answer["unlocked"]) == sorted([*names[:3], names[5]])
    assert answer["not_started"] == wanted[3:6] and "unknown" not in answer
    assert "3 of 7 systems are not started, no name to pc-0005.fleet.test: the service refused: name 1" in amtunlock.said


def test_cancel(amtunlock, names, idle_worker):
    assert amtunlock("unlock", *names[:2]) == DONE
    job = amtunlock.out.strip()
    assert amtunlock("cancel", "--json", job) == DONE, amtunlock.said
    assert amtunlock("status", "--json", job) == FAILED
    assert {one["reason"] for one in amtunlock.json()["failed"]} == {"cancelled"}


def test_info(amtunlock):
    assert amtunlock("info", "--json") == DONE
    assert amtunlock.json()["max_systems"] >= 8


def test_anothers_job(amtunlock, stack, names):
    assert amtunlock("unlock", names[0]) == DONE
    job = amtunlock.out.strip()
    for command in ("status", "errors", "cancel"):
        assert amtunlock(command, job, ticket=f"FILE:{stack.kdc.cache(kdc.CONSOLE2)}") == SERVICE
        assert "no such job" in amtunlock.said
    assert amtunlock("status", "--wait", job) == DONE


@pytest.mark.parametrize("ticket", ["FILE:/nonexistent", "FILE:/dev/null", "KEYRING:nothing:here"])
def test_without_a_ticket(amtunlock, names, ticket):
    """With any mechanisms of GSS-API on the machine: a caller without a ticket gets a message that says so."""
    assert amtunlock("unlock", names[0], ticket=ticket) == DENIED, (amtunlock.status, amtunlock.said)
    assert "kinit" in amtunlock.said and amtunlock.out == ""


@pytest.mark.parametrize("words", [[], ["unlock"], ["explode"], ["status"], ["status", "nonsense"],
                                   ["unlock", "--file", "/nonexistent"]])
def test_usage(amtunlock, words):
    assert amtunlock(*words) == USAGE
    assert amtunlock.said and amtunlock.out == ""


def test_nobody_serves(amtunlock, names):
    assert amtunlock("unlock", names[0], AMTU_URL="https://127.0.0.1:1/wsman") == SERVICE
    assert "127.0.0.1:1" in amtunlock.said


def test_a_certificate_of_somebody_else(amtunlock, tmp_path):
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", tmp_path / "key", "-out", other, "-subj", "/CN=somebody else"],
                   check=True, capture_output=True)
    assert amtunlock("info", AMTU_CA=str(other)) == SERVICE
    assert "--cacert" in amtunlock.said
