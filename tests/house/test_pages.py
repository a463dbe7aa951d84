# SPDX-License-Identifier: Apache-2.0
"""What the pages for newcomers name is there: files, identifiers, goals of make, files of pictures and examples."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/architecture.md", "docs/methods.md",
         "docs/scale.md")
SOURCES = [path for folder in ("mod_amtunlock", "tests") for path in (TOP / folder).rglob("*")
           if path.suffix in (".c", ".h", ".lua", ".py") and path != Path(__file__)]
WORDS = {path.stem for path in SOURCES}.union(*(re.findall(r"\w+", path.read_text()) for path in SOURCES))
GOALS = set(re.findall(r"^([a-z][\w.-]*):", (TOP / "Makefile").read_text() + (TOP / "apxs" / "goals.mk").read_text(), re.M))


def spans(page):
    """What stands between backquotes, and the words of indented blocks."""
    text = (TOP / page).read_text()
    return re.findall(r"`([^`\n]+)`", text), re.findall(r"^    (.+)$", text, re.M)


def paths(page):
    quoted, blocks = spans(page)
    files = (r"(?:[\w.*-]+/)+[\w.*-]*", r"[\w*-]+\.(?:c|h|lua|md|mk|py|dot|svg|sh)", r"\.[a-z]+/\w+")
    for span in quoted:
        if any(re.fullmatch(one, span) for one in files):
            yield span
    for line in blocks:
        yield from re.findall(r"(?<![\w/.<])(?:tests|docs|conf|apxs|mod_amtunlock)/[\w./-]+", line)


def exists(path):
    if path.startswith("build/"):
        return True
    path = path.rstrip("/")
    # A bare name may stand in any folder.
    return any(next(top.glob(path if "/" in path else f"**/{path}"), None) for top in (TOP / "mod_amtunlock", TOP / "docs", TOP))


@pytest.mark.parametrize("page", PAGES)
def test_files_exist(page):
    named = list(paths(page))
    assert named
    assert sorted({path for path in named if not exists(path)}) == []


@pytest.mark.parametrize("page", PAGES)
def test_identifiers_are_in_the_sources(page):
    quoted, _ = spans(page)
    named = {found[1] for span in quoted
             if (found := re.fullmatch(r"([a-z]\w*)\(\)", span) or re.fullmatch(r"([a-z][a-z0-9]*(?:_[a-z0-9]+)+)", span))}
    assert sorted(named - WORDS - {"apr_palloc", "mod_auth_gssapi"}) == []


@pytest.mark.parametrize("page", PAGES)
def test_goals_of_make_exist(page):
    quoted, blocks = spans(page)
    named = {found[1] for line in quoted + blocks if (found := re.match(r"make ([a-z][a-z._-]*)(?: |$)", line))}
    assert sorted(named - GOALS) == []


def test_links_of_the_pages():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", (TOP / page).read_text()):
            assert ((TOP / page).parent / target).exists(), f"{page}: {target}"


def test_the_table_of_rooms_has_all_rooms():
    house = (TOP / "apxs" / "house").read_text()
    rooms = set(re.findall(r'^    "([a-z/]+)": ', house.partition("BELOW = {")[2].partition("\n}")[0], re.M)) - {"amt"}
    page = (TOP / "docs" / "architecture.md").read_text()
    assert set(re.findall(r"^\| `([a-z/]+)/` \|", page, re.M)) == rooms
    assert {path.parent.relative_to(TOP / "mod_amtunlock").as_posix() for path in SOURCES
            if path.suffix == ".c" and "mod_amtunlock" in path.relative_to(TOP).parts} == rooms


def table_of(page, heading):
    """The names between backquotes in the first cells of the first table below a heading."""
    below = (TOP / page).read_text().partition(heading)[2]
    rows = re.search(r"(?:^\|.*\n)+", below, re.M)[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([\w-]+)`?", row.split("|")[1])]


def test_the_simulators_page_has_all_faults():
    faults = re.findall(r'^    \[FAULT_\w+\] = "([\w-]+)",$', (TOP / "tests" / "amtsim" / "faults.c").read_text(), re.M)
    assert faults
    assert set(table_of("tests/amtsim/README.md", "## Faults\n")) ^ set(faults) == set()


def test_the_readme_has_all_directives():
    table = (TOP / "mod_amtunlock" / "httpd" / "directives.c").read_text()
    directives = re.findall(r'\bAP_INIT_\w+\(\s*"(\w+)"', table)
    assert directives and len(directives) == table.count("AP_INIT_")
    documented = re.findall(r"`(AMTUnlock\w+)`", "".join(re.findall(r"^\| [^|]*\|", (TOP / "README.md").read_text(), re.M)))
    assert set(documented) ^ set(directives) == set()
