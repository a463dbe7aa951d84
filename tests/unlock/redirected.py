# SPDX-License-Identifier: Apache-2.0
"""What tests of redirecting methods share: a PC's events, another console, and that nothing of ours stays on a PC."""

from types import SimpleNamespace

import amtsim
import redirection
from rig import wait_until

SERVICE = amtsim.AMT + "AMT_RedirectionService"
BOTH = {"enabled_state": 32771, "listener": True}
OFF = {"enabled_state": 32768, "listener": True}
NO_OPTIONS = {"use_sol": False, "use_ider": False, "source": None, "role": 32768}
ON, RESET = 2, 10


def names(rig, system, *wanted):
    return [one["event"] for one in rig.events(system) if one["event"] in wanted]


def passphrases(rig, system):
    return [one["ok"] for one in rig.events(system, "passphrase")]


def state_of(rig, system):
    return rig.fleet.tell(do="state", system=system)


def row_of(rig, system):
    return next(row for row in rig.fleet.systems() if row["fqdn"] == system)


def another_console(rig, system):
    """An administrator with a console of their own."""
    fleet = SimpleNamespace(tls=True, dir=rig.fleet.folder)
    return amtsim.Console(fleet, row_of(rig, system), *rig.fleet.administrator())


def another_session(rig, system):
    """A Serial-over-LAN session of another console, to be used as a context."""
    fleet = SimpleNamespace(tls=True, dir=rig.fleet.folder)
    return redirection.Sol(fleet, row_of(rig, system))


def switch_redirection(rig, system, state):
    answer = another_console(rig, system).invoke(SERVICE, "RequestStateChange",
                                                 f"<r:RequestedState>{state}</r:RequestedState>")
    assert answer.result == 0


def _sessions_closed(rig, system):
    return all(len(rig.events(system, f"{kind}-open")) == len(rig.events(system, f"{kind}-close"))
               for kind in ("sol", "ider"))


def check_boot_is_clear(state):
    assert state["boot"] == NO_OPTIONS, state


def check_taken_back(rig, system, service=None, power=ON):
    """No session, no boot options, the redirection service as it was, and the PC asked for that one power state at most
    once, and for no other: never to go off or cycle, and to reset only where a test says so."""
    assert wait_until(lambda: _sessions_closed(rig, system), 5), names(rig, system, "sol-open", "sol-close",
                                                                      "ider-open", "ider-close")
    state = state_of(rig, system)
    check_boot_is_clear(state)
    assert state["redirection"] == (service or BOTH), state
    assert [one["request"] for one in rig.events(system, "power")] in ([], [power]) and not rig.events(system, "off")


class Broken:
    """A fleet with one fault a PC, and as many healthy PCs; one job over all of them."""

    def __init__(self, rig, faults, healthy=4):
        self.rig = rig
        systems = rig.systems()
        self.system = dict(zip(faults, systems))
        self.healthy = systems[len(faults):len(faults) + healthy]
        for fault, system in self.system.items():
            rig.break_pc(system, fault)
        self.worker = rig.add_worker()
        self.job = rig.submit(systems)

    def finish(self, seconds):
        self.results = self.job.await_end(seconds)
        self.tasks = self.job.tasks()
        return self
