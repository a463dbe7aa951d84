# SPDX-License-Identifier: Apache-2.0
"""How tests/run spreads the tests of an area over processes (pytest-xdist's --dist loadgroup)."""

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: the test measures time or brings up a crowd, and nothing runs beside it")


def module_fixtures(item):
    """What it uses that is made once for its module: {name: the parameter that it is made with}."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return {name: parameters.get(name) for name, definitions in item._fixtureinfo.name2fixturedefs.items()
            if any(one.scope == "module" for one in definitions)}


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items):
    """Tests that share a fixture of their module run in one process. They begin: making it takes longest."""
    for item in filter(module_fixtures, items):
        made_with = "-".join(sorted(str(one) for one in module_fixtures(item).values() if one is not None))
        item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {made_with}"))
    items.sort(key=lambda item: not module_fixtures(item))
