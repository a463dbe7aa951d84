# SPDX-License-Identifier: Apache-2.0
"""The directives' reference says what the table says, and the check that finds out can fail."""

import check_directives
import pytest

TABLE = check_directives.TABLE.read_text(encoding="utf-8")
REFERENCE = check_directives.REFERENCE.read_text(encoding="utf-8")
NAMES = sorted(check_directives.read_table(TABLE)[0])


def problems(table=TABLE, reference=REFERENCE):
    return list(check_directives.check(table, reference))


def test_reference_and_table_agree():
    assert problems() == []
    assert len(NAMES) >= 14


@pytest.mark.parametrize("name", NAMES)
def test_a_directive_that_is_not_documented_is_found(name):
    entry = [text for text in REFERENCE.split("\n\n") if f"# {name}\n" in text]
    assert len(entry) == 1
    assert f"{name} is in the table but not in the reference" in problems(reference=REFERENCE.replace(entry[0], ""))


@pytest.mark.parametrize("name", NAMES)
def test_a_directive_that_is_no_more_is_found(name):
    assert any(name in problem for problem in problems(table=TABLE.replace(f'"{name}"', f'"{name}Renamed"')))


@pytest.mark.parametrize("field", check_directives.FIELDS)
def test_a_missing_field_is_found(field):
    assert len(problems(reference=REFERENCE.replace(f"#   {field}:", f"#   {field}x:"))) >= len(NAMES)


def test_another_context_is_found():
    assert problems(table=TABLE.replace("RSRC_CONF,\n", "IN_LOCATION,\n"))


def test_a_check_without_input_fails():
    assert problems(table="")
    assert problems(reference="")
