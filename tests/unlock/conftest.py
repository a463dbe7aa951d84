# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the unlock tests: a rig of Redis, a simulated fleet and workers of the test's own."""

import pytest

from rig import Rig


@pytest.fixture
def rig(request):
    """Makes rigs: rig(systems=4, ...). They are gone after the test, whatever became of it."""
    made = []
    name = f"{request.module.__name__}-{request.node.name}"  # files run side by side, and may have a test of one name

    def make(**options):
        one = Rig(name.replace("[", "-").replace("]", "")[:80], **options)
        made.append(one)
        one.up()
        return one

    yield make
    for one in made:
        one.down()
