"""What tests of redirecting methods look at: events of one PC, and that nothing of ours stays on it."""

from rig import wait_until


def names(rig, system, *wanted):
    return [one["event"] for one in rig.events(system) if one["event"] in wanted]


def passphrases(rig, system):
    return [one["ok"] for one in rig.events(system, "passphrase")]


def state_of(rig, system):
    return rig.fleet.tell(do="state", system=system)


def _sessions_closed(rig, system):
    return all(len(rig.events(system, f"{kind}-open")) == len(rig.events(system, f"{kind}-close"))
               for kind in ("sol", "ider"))


def check_taken_back(rig, system, enabled=32771, listener=True):
    """No session, no boot options, the redirection service as it was, and the PC never power-cycled."""
    assert wait_until(lambda: _sessions_closed(rig, system), 5), names(rig, system, "sol-open", "sol-close",
                                                                      "ider-open", "ider-close")
    state = state_of(rig, system)
    assert state["boot"]["use_sol"] is False and state["boot"]["use_ider"] is False, state
    assert state["redirection"] == {"enabled_state": enabled, "listener": listener}, state
    assert len(rig.events(system, "power")) <= 1 and not rig.events(system, "off")
