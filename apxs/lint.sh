#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every checker over the sources and prints what they find: quiet means clean.
#
#   apxs/lint.sh FLAGS-FILE SOURCES-FILE      (run by "make lint")
#
# The first file holds the compiler flags as a shell would read them, the second the C sources and headers, one a
# line. clang-tidy takes most of the time, so a source that was found clean is looked at again only after it, a
# header, the flags or the rules changed.
set -eu

flags=$1
sources=$2
stamps=build/lint/clean
mkdir -p "$stamps" build/lint/cppcheck
bad=0

# ---- formatting: file names of this project hold no blanks
# shellcheck disable=SC2046
clang-format --dry-run -Werror $(cat "$sources") || bad=1

# ---- the licence: one of the first lines of each file that can hold a comment
git ls-files -co --exclude-standard |
    grep -vE '^LICENSE$|(^|/)\.gitignore$|\.(md|patch|csv|acl|mof|wsdl|json|dot|svg|script)$|^tests/fuzz/corpus/|^tests/consoles/pending$' |
    while read -r file; do
        [ ! -f "$file" ] || head -n 3 "$file" | grep -qa 'SPDX-License-Identifier: Apache-2\.0' || echo "$file"
    done >build/lint/unlicensed
if [ -s build/lint/unlicensed ]; then
    sed 's/$/: no line "SPDX-License-Identifier: Apache-2.0" at its head/' build/lint/unlicensed
    bad=1
fi

# ---- the rooms: what uses what, and how long
apxs/house --quiet || bad=1

# ---- clang-tidy: a stamp is named after everything that a source's verdict depends on
# shellcheck disable=SC2046
common=$(cat .clang-tidy mod_amtunlock/.clang-tidy "$flags" $(grep '\.h$' "$sources" || true) | sha256sum)
tidy() {
    stamp=$stamps/$( (echo "$common $1" && cat "$1") | sha256sum | cut -c 1-64)
    [ ! -e "$stamp" ] || return 0
    if eval "found=\$(clang-tidy --quiet '$1' -- $(cat "$flags") 2>/dev/null)" && [ -z "$found" ]; then
        touch "$stamp"
        return 0
    fi
    printf '%s\n' "${found:-$1: clang-tidy failed}"
    return 1
}
# The sources are dealt to as many workers as there are processors.
workers=$(nproc)
pids=
for worker in $(seq "$workers"); do
    grep '\.c$' "$sources" | awk -v n="$workers" -v w="$worker" 'NR % n == w % n' | {
        bad=0
        while read -r source; do
            tidy "$source" </dev/null || bad=1
        done
        exit "$bad"
    } &
    pids="$pids $!"
done
for pid in $pids; do
    wait "$pid" || bad=1
done

# ---- cppcheck
# shellcheck disable=SC2046
cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
    --suppress=missingIncludeSystem --std=c11 -Imod_amtunlock -D_GNU_SOURCE -DAMTUNLOCK_TEST=1 \
    --cppcheck-build-dir=build/lint/cppcheck -j "$workers" $(grep '\.c$' "$sources") || bad=1

# ---- shellcheck: every shell script that git knows or would take, by its first line
scripts=$(git ls-files -co --exclude-standard | while read -r file; do
    if [ -f "$file" ] && head -n 1 "$file" | grep -qaE '^#!/bin/(ba)?sh'; then
        echo "$file"
    fi
done)
# shellcheck disable=SC2086
[ -z "$scripts" ] || shellcheck -x $scripts || bad=1

exit "$bad"
