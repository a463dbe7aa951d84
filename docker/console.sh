#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The main job, by an operator with a Kerberos ticket and the installed command. Its exit status is the test's.
set -eu
# shellcheck source=docker/common.sh
. /entry/common.sh

inventory_is_published() {
    curl -sS --cacert /ca/ca.pem https://httpd/amtunlock-metrics 2>/dev/null |
        awk -v systems="$1" '$1 == "amtunlock_inventory_systems" && $2 == systems { found = 1 } END { exit !found }'
}

wait_for 60 "the console's key" test -e /keys/console.keytab
wait_for 60 "the names of the PCs" test -e /names/systems
wait_for 60 "the certificate of httpd" test -e /ca/ca.pem
install -m 0600 -o console /keys/console.keytab /run/console.keytab
systems=$(wc -l </names/systems)
wait_for 60 "$systems systems in the inventory" inventory_is_published "$systems"

cut -d, -f1 /names/systems >/run/names
as_operator="setpriv --reuid console --regid console --clear-groups env KRB5CCNAME=FILE:/tmp/ticket"
$as_operator kinit -k -t /run/console.keytab console
export AMTU_URL=https://httpd/wsman AMTU_CA=/ca/ca.pem
echo "$systems systems to unlock"
exec $as_operator amtunlock unlock --wait --file /run/names
