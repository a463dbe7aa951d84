#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sourced by what makes a Debian: sets `mirror`, and the proxy that debootstrap uses, to where this machine has its own
# packages from. apt knows, in whatever way its sources are written down. `mirror` is empty where apt has no source.
mirror_of_apt() {
    # shellcheck disable=SC2016 # $(REPO_URI) is apt's
    apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Codename: bookworm' 'Component: main' \
        "Architecture: $(dpkg --print-architecture)" 2>/dev/null | head -n 1
}

mirror=$(mirror_of_apt)
if [ -z "$mirror" ]; then
    apt-get update -q >&2 || true # its lists tell the code names
    mirror=$(mirror_of_apt)
fi
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "${proxy:-}" ] || export http_proxy="$proxy"
