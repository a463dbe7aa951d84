# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md keeps up with the code: every number of a log line, and every reason, stands there."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "operations.md").read_text()
SOURCES = [path.read_text() for path in sorted((TOP / "mod_amtunlock").rglob("*.[ch]"))]


def numbers_in_code():
    return {int(number) for text in SOURCES for number in re.findall(r'"AMTU(\d{4})', text)}


def ranges_on_page():
    """First and last of each in the last table's first column; a single number is both."""
    table = PAGE.partition("## Numbers in the logs")[2]
    cells = "\n".join(re.findall(r"^\| (\d.*?\|)", table, re.M))
    return [(int(first), int(last or first)) for first, last in re.findall(r"\b(\d{4})(?: to (\d{4}))?(?=[, |])", cells)]


def numbers_on_page():
    return {number for first, last in ranges_on_page() for number in range(first, last + 1)}


def test_every_number_is_explained():
    assert len(numbers_in_code()) > 80
    assert sorted(numbers_in_code() - numbers_on_page()) == []


def test_every_number_is_a_literal():
    """grep AMTU0022 finds the line that says it: no number is put together, and the page names none that is not there."""
    assert [text for text in SOURCES if re.search(r'"AMTU(?:%|")', text)] == []
    named = {number for pair in ranges_on_page() for number in pair}
    assert sorted(named - numbers_in_code()) == []


def test_no_number_is_used_for_two_things():
    lines = [number for text in SOURCES for number in re.findall(r'"AMTU(\d{4})', text)]
    assert sorted(number for number in set(lines) if lines.count(number) > 1) == []


def test_every_reason_is_explained():
    table = (TOP / "mod_amtunlock" / "jobs" / "reason.c").read_text()
    codes = set(re.findall(r'\{"([a-z][a-z-]+)",', table))
    assert len(codes) >= 18
    assert codes == set(re.findall(r"^\| `([a-z-]+)` \|", PAGE.partition("## Reasons")[2].partition("\n## ")[0], re.M))


def test_metrics_of_the_alarms_exist():
    served = (TOP / "mod_amtunlock" / "httpd" / "metrics.c").read_text()
    for name in set(re.findall(r"amtunlock_([a-z_]+)", PAGE.partition("Worth an alarm")[2].partition("\n## ")[0])):
        assert f'"{name}"' in served or name == "failed_total" and "failed_total" in served, name
