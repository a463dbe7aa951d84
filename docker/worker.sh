#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker with the fleet's inventory and passwords, which nobody else in its container can read.
set -eu
# shellcheck source=docker/common.sh
. /entry/common.sh

wait_for 60 "the fleet" test -e /fleet/fleet.csv
wait_for 60 "the Redis password" test -e /password/password

etc=/etc/amtunlock
# fleet.csv: fqdn,address,uuid,method,user,password,passphrase,probe
awk -F, -v OFS=, 'BEGIN { print "fqdn,address,uuid,group,method,auth,tls,probe" }
    NR > 1 { print $1, $2, $3, "", $4, "", "", $8 }' /fleet/fleet.csv >"$etc/systems.csv"
umask 077
awk -F, 'NR > 1 { print "amt", $1, $5, $6 }' /fleet/fleet.csv >"$etc/secrets"
install -m 0600 -o amtunlock -g amtunlock /password/password "$etc/redis-worker.password"
install -m 0644 /fleet/ca.pem "$etc/amt-ca.pem"
chown amtunlock:amtunlock "$etc/secrets"
install -d -m 0750 -o amtunlock -g amtunlock /run/amtunlock /var/lib/amtunlock
exec setpriv --reuid amtunlock --regid amtunlock --clear-groups amtunlockd -c "$etc/amtunlockd.conf"
