# SPDX-License-Identifier: Apache-2.0
"""Devices that are not ready at first, say so, and do nothing, and those that sleep and say nothing: each is asked again,
and its PC is powered once. Firmware that does not bear TLS 1.3, in a group whose PCs are offered none; and that announces
a digest which it does not take: no login fails. And consoles that are cut off while their PCs boot: they are opened again, and the passphrase is typed once."""

from itertools import product

import pytest

from redirected import BOTH, ON, check_boot_is_clear, names, passphrases, state_of
from rig import Rig, wait_until

METHODS = ("wake", "sol", "image")
REFUSE = ("not-now-400", "not-now-503", "not-now-fault", "not-ready")
FAULTS = (*REFUSE, "stale-power-list", "asleep", "breaks-tls13", "two-digests")
# Of method sol: of a console that is cut, whether the question comes later or stands already.
CUT = ("console-cut", "console-cut-at-prompt")
CASES = (*product(FAULTS, METHODS), *((cut, "sol") for cut in CUT))
OFF = 8


@pytest.fixture(name="fleet", scope="module")
def _fleet(request):
    """Each fault on a PC of each method, in one job."""
    one = Rig("not-now", systems=3 * (len(FAULTS) + len(CUT)), method="mix", boot_seconds="4-4", boot_timeout=30,
              amtsim=("--wake-seconds", "4"), group=("tls-max = 1.2",))
    request.addfinalizer(one.down)
    one.up()
    free = {method: [row["fqdn"] for row in one.fleet.systems() if row["method"] == method] for method in METHODS}
    one.system = {case: free[case[1]].pop() for case in CASES}
    for (fault, _), system in one.system.items():
        one.break_pc(system, fault)
    one.add_worker({"AMTUNLOCK_TEST_NOT_NOW_MS": "100"})
    for (fault, _), system in one.system.items():
        if fault == "stale-power-list":
            for state in (ON, OFF):
                assert one.fleet.tell(do="power", system=system, to=state)["ok"]
    one.results = one.submit(list(one.system.values())).await_end(90)
    return one


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_is_unlocked_and_powered_once(fleet, case):
    system = fleet.system[case]
    assert fleet.results[system] == "unlocked", fleet.worker_tail()
    requests = fleet.events(system, "power")
    assert [one["request"] for one in requests] == [ON] * len(requests)
    refused = 2 if case[0] in REFUSE else 0
    assert [one["result"] == 0 for one in requests] == [False] * refused + [True]
    assert all(one["ok"] or one["stale"] for one in fleet.events(system, "auth"))
    assert passphrases(fleet, system) == ([] if case[1] == "wake" else [True])


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_nothing_is_left(fleet, case):
    state = state_of(fleet, fleet.system[case])
    assert (state["power"], state["redirection"]) == (ON, BOTH)
    check_boot_is_clear(state)


@pytest.mark.parametrize("cut", CUT)
def test_the_console_is_opened_again(fleet, cut):
    system = fleet.system[cut, "sol"]
    assert wait_until(lambda: len(fleet.events(system, "sol-close")) == 2, 5)
    assert names(fleet, system, "sol-open", "sol-close") == ["sol-open", "sol-close"] * 2
    assert [one["reason"] for one in fleet.events(system, "sol-close")] == ["cut", "client"]
