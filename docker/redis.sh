#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The product's redis.conf and users; each user's password goes to its own volume.
set -eu
# shellcheck source=docker/common.sh
. /entry/common.sh

rights() {
    sed -n "s/^user $1 //p" /etc/amtunlock/redis-users.acl | tr ' ' '\n' | sed '/^[<>#!]/d; /^nopass$/d; /^resetpass$/d' |
        tr '\n' ' '
}
acl=/etc/amtunlock/redis-users.acl
lines=$(
    grep '^user default ' "$acl" # nobody can log in as it, but Redis replays its append-only file with its rights
    for user in amtunlock-web amtunlockd; do
        password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        echo "user $user resetpass >$password $(rights "$user")"
        (umask 077 && echo "$password" | publish "/passwords/$user/password")
    done
)
(umask 077 && echo "$lines" >"$acl.new")
mv "$acl.new" "$acl"
chown redis:redis /run/redis-amtunlock "$acl"
install -d -o redis -g redis /var/lib/redis/amtunlock
# Containers share the socket's volume but no group.
exec setpriv --reuid redis --regid redis --clear-groups redis-server /etc/amtunlock/redis.conf --unixsocketperm 666
