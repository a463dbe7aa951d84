# SPDX-License-Identifier: Apache-2.0
"""apxs/house on small made-up trees: it finds each fault, and is quiet where there is none."""

import re
import subprocess
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2] / "apxs" / "house"

CLEAN = {
    "base/text.h": "int text_length(const char *text);\n",
    "base/text.c": '#include "base/text.h"\n\nint text_length(const char *text)\n{\n    return text[0];\n}\n',
    "jobs/key_priv.h": "int key_make(int number);\n",
    "jobs/key.c": '#include "jobs/key_priv.h"\n#include "base/text.h"\n\nint key_make(int number)\n{\n'
                  '    return number + text_length("x");\n}\n',
    "jobs/jobs.h": "int jobs_ask(int number);\n",
    "jobs/jobs.c": '#include "jobs/jobs.h"\n#include "jobs/key_priv.h"\n\nint jobs_ask(int number)\n{\n'
                   '    return key_make(number);\n}\n',
    "httpd/handler.c": '#include "jobs/jobs.h"\n\nint handler(void);\n\nint handler(void)\n{\n    return jobs_ask(1);\n}\n',
}


def run(tree, files, *words):
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    result = subprocess.run([HOUSE, *words, tree], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return result.returncode, result.stdout


def faults(tree, **changed):
    """What --quiet says of the clean tree with other files in it, the continued lines left out."""
    changed = {name.replace("__", "/").replace("_c", ".c").replace("_h", ".h"): text for name, text in changed.items()}
    status, output = run(tree, CLEAN | changed, "--quiet")
    assert status == (1 if output else 0)
    return [line for line in output.splitlines() if not line.startswith(" ")]


def with_line(name, line):
    return line + "\n" + CLEAN[name]


def test_quiet_when_clean(tmp_path):
    assert run(tmp_path, CLEAN, "--quiet") == (0, "")


def test_the_report(tmp_path):
    status, output = run(tmp_path, CLEAN)
    assert status == 0
    assert re.search(r"^jobs +2 +16 +2 +4/4/4 ", output, re.M)
    assert re.search(r"^httpd +-> jobs 2$", output, re.M)
    assert output.endswith("---- faults\nnone\n")


def test_circle(tmp_path):
    back = with_line("jobs/key.c", '#include "jobs/jobs.h"').replace("number +", "jobs_ask(number) +")
    assert faults(tmp_path, jobs__key_c=back) == ["circle: jobs/jobs jobs/key"]


def test_what_is_no_reference(tmp_path):
    """A comment, a string, a member and a static function of the same name."""
    text = ('/* jobs_ask() */\nstatic int jobs_ask(int number)\n{\n    return number;\n}\n\n'
            'int key_make(int number)\n{\n    struct x x;\n    x.jobs_ask = "jobs_ask"[0];\n    return jobs_ask(1);\n}\n')
    assert faults(tmp_path, jobs__key_c='#include "base/text.h"\n#include "jobs/key_priv.h"\n' + text) == []


def test_circle_of_headers(tmp_path):
    there = with_line("jobs/key_priv.h", '#include "jobs/other_priv.h"')
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "other_priv.h").write_text('#include "jobs/key_priv.h"\n')
    (tmp_path / "jobs" / "key_priv.h").write_text(there)
    status, output = run(tmp_path, {name: text for name, text in CLEAN.items() if name != "jobs/key_priv.h"}, "--quiet")
    assert status == 1
    assert output.startswith("circle: jobs/key_priv.h jobs/other_priv.h\n")


def test_arrow_up(tmp_path):
    up = with_line("base/text.c", '#include "jobs/jobs.h"').replace("text[0]", "jobs_ask(text[0])")
    found = faults(tmp_path, base__text_c=up)
    assert "arrow: base/text.c uses jobs: jobs_ask" in found
    assert "arrow: base/text.c uses jobs: jobs/jobs.h" in found


def test_room_without_a_place(tmp_path):
    assert faults(tmp_path, attic__box_c='#include "base/text.h"\n') == [
        "arrow: attic is not in the list of rooms (BELOW)"]


def test_foreign_private_header(tmp_path):
    (tmp_path / "jobs").mkdir()
    foreign = with_line("httpd/handler.c", '#include "jobs/key_priv.h"')
    assert faults(tmp_path, httpd__handler_c=foreign) == ["private: httpd/handler.c includes jobs/key_priv.h"]


def test_public_header_includes_a_private_one(tmp_path):
    public = with_line("jobs/jobs.h", '#include "jobs/key_priv.h"')
    assert faults(tmp_path, jobs__jobs_h=public) == ["private: the public jobs/jobs.h includes jobs/key_priv.h"]


def test_header_that_nobody_else_needs(tmp_path):
    own = with_line("jobs/jobs.c", '#include "jobs/more.h"')
    assert faults(tmp_path, jobs__more_h="int more(void);\n", jobs__jobs_c=own) == [
        "header: only jobs/ includes jobs/more.h: it would be a _priv.h"]


def test_header_that_a_public_one_needs(tmp_path):
    assert faults(tmp_path, jobs__more_h="int more(void);\n", jobs__jobs_h=with_line("jobs/jobs.h", '#include "jobs/more.h"')) == []


def test_lengths(tmp_path):
    function = "int long_one(void)\n{\n" + "    ;\n" * 40 + "}\n"
    assert faults(tmp_path, jobs__long_c=function) == ["length: jobs/long.c:1: long_one() has 43 lines"]
    assert faults(tmp_path, jobs__long_c=function.replace("    ;\n", "", 1)) == []
    assert faults(tmp_path, jobs__long_c="\n" * 601) == ["length: jobs/long.c has 601 lines"]
    assert faults(tmp_path, jobs__long_c="\n" * 600) == []


def functions(count, lines, head="int {}(void)", name="function"):
    return "".join(head.format(f"{name}_{i}") + "\n{\n" + "    ;\n" * (lines - 3) + "}\n\n" for i in range(count))


def test_most_functions_are_short(tmp_path):
    """With the four of the clean tree: three in thirty may be long, and three in twenty-nine may not."""
    long = functions(3, 22, name="long")
    assert faults(tmp_path, jobs__one_c=long + functions(23, 21)) == []
    assert faults(tmp_path, jobs__one_c=long + functions(22, 21)) == ["length: 3 of 29 functions have more than 21 lines"]
    assert faults(tmp_path, jobs__one_c=functions(3, 22)) == [], "few functions have no share"


def test_bare_name_in_two_files(tmp_path):
    text = "static int {}(void)\n{{\n    return 0;\n}}\n"
    assert faults(tmp_path, jobs__one_c=text.format("run"), base__two_c=text.format("run")) == [
        "name: run() is static in base/two.c, jobs/one.c"]
    assert faults(tmp_path, jobs__one_c=text.format("run_this"), base__two_c=text.format("run_this")) == []


def test_word_that_has_another_one(tmp_path):
    text = '/* Their chores. */\nint seat_count(void);\nconst char *key(void);\n'
    assert faults(tmp_path, jobs__one_c=text) == ["word: jobs/one.c:1: chores (here: work)", "word: jobs/one.c:2: seat (here: slot)"]
    assert faults(tmp_path, jobs__one_c='const char one[] = "seat"; /* a kind */\n') == []


def test_small_functions_that_are_used_once(tmp_path):
    """One that is called once counts, a callback does not, and neither does one with more statements."""
    small = "static int {0}(int x)\n{{\n    x++;\n    x++;\n    return x;\n}}\n\n"
    large = small.format("large").replace("    return", "    x++;\n    return")
    user = "int use(int x)\n{\n    take(callback);\n    return called(x) + large(x);\n}\n"
    _, output = run(tmp_path, CLEAN | {"jobs/one.c": small.format("called") + small.format("callback") + large + user})
    assert re.search(r"^jobs .* 1 +17 %$", output, re.M)


def test_a_room_of_small_functions_that_are_used_once(tmp_path):
    """With the two of the clean room and the caller: two in twenty-one are allowed, and two in twenty are not."""
    small = functions(2, 4, "static int {}(void)", "small")
    user = "int use(void)\n{\n    return small_0() + small_1();\n}\n\n"
    assert faults(tmp_path, jobs__one_c=small + user + functions(16, 4)) == []
    assert faults(tmp_path, jobs__one_c=small + user + functions(15, 4)) == [
        "small: 2 of 20 functions of jobs are called once and have at most 3 statements"]
    assert faults(tmp_path, jobs__one_c=small + user) == [], "few functions have no share"
    assert run(tmp_path, {"jobs/one.c": small + user + functions(15, 4)}, "--quiet")[1].endswith(
        "\n    jobs/one.c:1: small_0()\n    jobs/one.c:6: small_1()\n")


def test_the_record_of_the_module_is_exempt(tmp_path):
    module = "#include <httpd.h>\nAP_DECLARE_MODULE(amtunlock) = {\n    0\n};\n"
    header = "extern int amtunlock_module;\nint other(void);\n"
    other = '#include "httpd/config_priv.h"\n\nint other(void)\n{\n    return amtunlock_module;\n}\n'
    (tmp_path / "httpd").mkdir()
    (tmp_path / "httpd" / "config_priv.h").write_text(header)
    module = '#include "httpd/config_priv.h"\nint use(void)\n{\n    return other();\n}\n' + module
    assert faults(tmp_path, httpd__module_c=module, httpd__other_c=other) == []
