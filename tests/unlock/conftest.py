"""Fixtures of the unlock tests: a rig of Redis, a simulated fleet and workers of the test's own."""

import pytest

from rig import Rig


@pytest.fixture
def rig(request):
    """Makes rigs: rig(systems=4, ...). They are gone after the test, whatever became of it."""
    made = []

    def make(**options):
        one = Rig(request.node.name.replace("[", "-").replace("]", "")[:60], **options)
        made.append(one)
        one.up()
        return one

    yield make
    for one in made:
        one.down()
