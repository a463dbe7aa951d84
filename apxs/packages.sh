#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian 12 packages that a goal needs and that are missing.
#
#   apxs/packages.sh build|image|test|lint|fuzz|faults|simulate|realdisk|interop|steps|distros ...
#
# Run by "make demo", "make test" and their like. As root it installs; as an ordinary user it names what is missing
# and fails. Daemons that come with a package are neither started nor enabled: what is installed here
# serves a build or a test, which start their own on ports and in folders of their own.
set -eu

build="gcc make pkg-config libc6-dev apache2-bin apache2-dev libxml2-dev libhiredis-dev libcurl4-openssl-dev
       libevent-dev libssl-dev libjansson-dev libcsv-dev libinih-dev libkrb5-dev libc-ares-dev"
image="$build libcryptsetup-dev binutils kmod cpio xz-utils zstd xorriso mtools python3"
test="$build libapache2-mod-auth-gssapi libapache2-mod-security2 modsecurity-crs libapache2-mod-evasive gss-ntlmssp
      redis-server krb5-kdc krb5-admin-server krb5-user libcmocka-dev python3
      python3-pytest python3-pytest-xdist python3-cryptography curl openssl iproute2 procps systemd"
fuzz="$build clang libclang-rt-dev"
lint="$build libcryptsetup-dev clang clang-format clang-tidy cppcheck shellcheck libcmocka-dev liblua5.1-0-dev python3"
interop="$test python3-winrm python3-requests-kerberos python3-requests-ntlm wsl uuid-runtime golang-go
         golang-github-masterzen-winrm-dev nodejs nginx-light haproxy"
faults="$test patch"
simulate="$test liblua5.1-0-dev patch"
steps="$build graphviz"
distros="debootstrap git"
realdisk="$test debootstrap qemu-system-x86 qemu-utils cryptsetup-bin e2fsprogs"

wanted=
for goal in "$@"; do
    case $goal in
    build) wanted="$wanted $build" ;;
    image) wanted="$wanted $image" ;;
    test) wanted="$wanted $test" ;;
    lint) wanted="$wanted $lint" ;;
    fuzz) wanted="$wanted $fuzz" ;;
    faults) wanted="$wanted $faults" ;;
    simulate) wanted="$wanted $simulate" ;;
    realdisk) wanted="$wanted $realdisk" ;;
    interop) wanted="$wanted $interop" ;;
    steps) wanted="$wanted $steps" ;;
    distros) wanted="$wanted $distros" ;;
    *)
        echo "packages.sh: no such goal: $goal (build, image, test, lint, fuzz, faults, simulate, realdisk, interop, steps or distros)" >&2
        exit 2
        ;;
    esac
done

missing=
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "These Debian packages are missing:$missing" >&2
    echo "Install them as root:  apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# Where the machine has no policy of its own, this one says "no" to starting any daemon while we install.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
fi
# A package enables its daemon for the next start of the machine. What was not enabled before is switched off again.
units="redis-server krb5-kdc krb5-admin-server apache2 apache-htcacheclean"
enabled_before=
for unit in $units; do
    [ -e "/etc/systemd/system/multi-user.target.wants/$unit.service" ] && enabled_before="$enabled_before $unit"
done

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # the list is meant to be split
apt-get install -y -q --no-install-recommends $missing

for unit in $units; do
    case " $enabled_before " in *" $unit "*) continue ;; esac
    link="/etc/systemd/system/multi-user.target.wants/$unit.service"
    [ ! -L "$link" ] || rm -f "$link"
done
