# SPDX-License-Identifier: Apache-2.0
"""The simulated PC that plays a script on its serial port: what it shows, and what it notices of what is typed."""

import pytest

import amtsim
from redirection import Sol

TWO = """\
volume data own
send "first: "
read root
good "root is open\\r\\n"
bad "again: "
send "second: "
read data
good "data is open\\r\\n"
login "pc login: "
"""


@pytest.fixture(scope="module", name="sim")
def _sim():
    with amtsim.fleet("--systems", 40, "--method", "sol", *amtsim.QUICK) as one:
        one.unused = iter(one.pcs)
        yield one


@pytest.fixture(name="pc")
def _pc(sim):
    return next(sim.unused)


def give(sim, pc, text, cut=0):
    script = sim.folder / f"{pc['fqdn']}.script"
    script.write_text(text)
    answer = sim.control(do="console", system=pc["fqdn"], script=str(script), cut=cut)
    assert answer["ok"], answer
    return answer["volumes"]


def typed(sim, pc):
    return [(one["to"], one["kind"], one["times"]) for one in sim.events(pc, "typed")]


@pytest.mark.parametrize("cut,sizes", [(0, [5, 4]), (1, [1] * 9), (7, [7, 2]), (4000, [9])])
def test_messages(sim, pc, cut, sizes):
    give(sim, pc, 'send "12345"\nsend "6789"\nread\n', cut)
    with Sol(sim, pc) as sol:
        assert sim.console(pc).power(2) == 0
        seen = []
        while sum(seen) < 9:
            before = len(sol.screen)
            sol.read_message()
            seen += [len(sol.screen) - before] if len(sol.screen) > before else []
    assert seen == sizes and sol.screen == b"123456789"


def test_two_volumes(sim, pc):
    own = give(sim, pc, TWO)["data"]
    with Sol(sim, pc) as sol:
        assert sim.console(pc).power(2) == 0
        sol.wait(b"first: ")
        sol.type(b"no such\r")
        sol.wait(b"again: ")
        sol.type(pc["passphrase"].encode() + b"\r")
        sol.wait(b"root is open\r\nsecond: ")
        assert not sim.events(pc, "unlocked")
        sol.type(own.encode() + b"\r")
        sol.wait(b"data is open\r\npc login: ")
        sim.wait_event(pc, "os-up")
        sol.type(b"alice\r")
        sol.wait(b"alice\r\n")
    assert [(one["ok"], one["volume"]) for one in sim.events(pc, "passphrase")] == [(False, "root"), (True, "root"),
                                                                                  (True, "data")]
    assert typed(sim, pc) == [("root", "disk", 1), ("root", "disk", 2), ("data", "disk", 1), ("login", "other", 1)]
    assert not sim.events(pc, "leak")


def test_another_volumes_passphrase_is_wrong(sim, pc):
    give(sim, pc, 'tries 1\nvolume data own\nsend "Q: "\nread data\nlast "no\\r\\n"\n')
    with Sol(sim, pc) as sol:
        assert sim.console(pc).power(2) == 0
        sol.wait(b"Q: ")
        sol.type(pc["passphrase"].encode() + b"\r")
        sol.wait(b"no\r\n")
        sol.type(b"x")
        sim.wait_event(pc, "typed", 2)
    assert [one["ok"] for one in sim.events(pc, "passphrase")] == [False]
    assert typed(sim, pc) == [("data", "disk", 1), ("nobody", "nobody", 2)]


@pytest.mark.parametrize("reader,kind", [("other sudo\n", "other"), ("", "nobody")])
def test_a_leak_is_noticed(sim, pc, reader, kind):
    give(sim, pc, f'{reader}echo on\nsend "Password: "\npause 60\n')
    with Sol(sim, pc) as sol:
        assert sim.console(pc).power(2) == 0
        sol.wait(b"Password: ")
        for part in (pc["passphrase"][:5], pc["passphrase"][5:] + "\r"):
            sol.type(part.encode())
        sim.wait_event(pc, "leak")
    assert {one["kind"] for one in sim.events(pc, "typed")} <= {kind}
    assert [one["to"] for one in sim.events(pc, "leak")] == ["sudo" if kind == "other" else "nobody"]


def test_another_key_and_frames(sim, pc):
    give(sim, pc, 'send "Q: "\nread root within 1\ndraw 0.05 "one"\ndraw 0.05 "two"\ngone "by itself"\n')
    with Sol(sim, pc) as sol:
        assert sim.console(pc).power(2) == 0
        assert b"Q: onetwoone" in sol.wait(b"by itself")
        sim.wait_event(pc, "os-up")
    assert sim.events(pc, "unlocked") and not sim.events(pc, "typed")


def test_a_running_pc(sim, pc):
    give(sim, pc, 'running up\nother shell\nsend "$ "\n')
    assert sim.control(do="power", system=pc["fqdn"], to=2)["ok"]
    sim.wait_event(pc, "os-up")
    for _ in range(2):
        with Sol(sim, pc) as sol:
            sol.wait(b"$ ")


@pytest.mark.parametrize("line", ["sing", "send text", 'send "\\q"', "pause", "pause x", "read a b", "echo loud",
                                  "running away", 'send "a" b', "open"])
def test_no_script(sim, pc, line):
    script = sim.folder / f"{pc['fqdn']}.script"
    script.write_text(f"# a comment\n{line}\n")
    answer = sim.control(do="console", system=pc["fqdn"], script=str(script))
    assert not answer["ok"] and "line 2" in answer["error"]
