# SPDX-License-Identifier: Apache-2.0
"""What readers of a job rely on."""

import pytest


@pytest.fixture(name="changes")
def _changes(tester):
    return lambda job="j1": int(tester("HGET", f"{{amtu}}:job:{job}", "changes") or 0)


def test_every_change_is_counted(verbs, tester, changes):
    """Not only its time is kept: two changes within one microsecond must not look alike."""
    verbs.submit("j1", "pc1.example", "pc2.example", "pc3.example")
    verbs.submit("j2", "pc1.example", caller="bob")
    one, two, three = verbs.claim()
    steps = [
        lambda: verbs.intend(one), lambda: verbs.progress(one, "P"), lambda: verbs.progress(one, "B"),
        lambda: verbs.finish(one), lambda: verbs.finish(two, "F", "busy"), lambda: verbs.release(three),
        verbs.claim, lambda: verbs.cancel("j1")]
    seen = [changes()]
    for step in steps:
        step()
        seen.append(changes())
    assert seen == sorted(set(seen)), seen
    assert changes("j2") > 0, "it got the result of the task that it had joined"
    verbs.submit("j3", "pc2.example", start_within=0)
    before = changes("j3")
    verbs.reap()
    assert changes("j3") > before
