#!/bin/sh
# The product's redis.conf and users; each user's password goes to its own volume.
set -eu
# shellcheck source=docker/common.sh
. /entry/common.sh

rights() {
    sed -n "s/^user $1 //p" /etc/amtunlock/redis-users.acl | tr ' ' '\n' | sed '/^[<>#!]/d; /^nopass$/d; /^resetpass$/d' |
        tr '\n' ' '
}
{
    echo "user default off"
    for user in amtunlock-web amtunlockd; do
        password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        echo "user $user resetpass >$password $(rights "$user")"
        (umask 077 && echo "$password" | publish "/passwords/$user/password")
    done
} >/etc/amtunlock/users.acl
chown redis:redis /run/redis /etc/amtunlock/users.acl
chmod 0600 /etc/amtunlock/users.acl
install -d -o redis -g redis /var/lib/redis
cat /etc/amtunlock/redis.conf - >/etc/amtunlock/here.conf <<'C'
port 0
unixsocket /run/redis/amtunlock.sock
unixsocketperm 666
dir /var/lib/redis
aclfile /etc/amtunlock/users.acl
daemonize no
supervised no
logfile ""
pidfile ""
C
exec setpriv --reuid redis --regid redis --clear-groups redis-server /etc/amtunlock/here.conf
