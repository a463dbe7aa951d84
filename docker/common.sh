# SPDX-License-Identifier: Apache-2.0
# Shared by the entrypoints. Containers start in any order, so each waits for what it needs.
# shellcheck shell=sh

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; else says what was waited for, and fails
wait_for() {
    left=$(($1 * 5))
    what=$2
    shift 2
    until "$@"; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            echo "gave up waiting for $what" >&2
            exit 1
        fi
        sleep 0.2
    done
}

# publish FILE: standard input into FILE, which others see whole or not at all
publish() {
    cat >"$1.new"
    mv "$1.new" "$1"
}
