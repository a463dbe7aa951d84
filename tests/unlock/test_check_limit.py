# SPDX-License-Identifier: Apache-2.0
"""amtunlockd check FQDN on a PC that answers each call just in time: the check as a whole ends all the same. In a file of
its own, since that is a matter of a minute."""

from test_check import check


def test_a_check_ends_within_a_minute(rig):
    fleet = rig(systems=1, method="sol", amtsim=("--answer-ms", "9000"))
    worker = fleet.prepare_worker()
    found = check(fleet, worker, *fleet.systems())
    assert 45 < found.seconds < 60
    reasons = {reason for _, reason in found.failed()}
    assert reasons == {"timeout"}, found.text
    assert "it took longer than a check may" in found.text
    assert found.of("identity") == [("ok", None)], "what was seen is told"
