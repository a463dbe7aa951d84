#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Twenty PCs on addresses of their own, added to the container's interface: from .200 on in its /24, where neither
# docker nor podman begins to hand out addresses.
set -eu
# shellcheck source=docker/common.sh
. /entry/common.sh

own=$(ip -4 -o address show dev eth0 | awk '{ split($4, part, "/"); print part[1]; exit }')
net=${own%.*}
first=200
last=$((first + SYSTEMS - 1))
for host in $(seq "$first" "$last"); do
    ip address add "$net.$host/32" dev eth0
done

mkdir -p /run/amtsim
amtsim --systems "$SYSTEMS" --domain fleet.test --bind-range "$net.$first/24" --boot-seconds "$BOOT_SECONDS" \
    --method wake --tls ca --auth digest --dir /run/amtsim --log /run/amtsim/log --control /run/amtsim/control \
    >/run/amtsim/output &
fleet=$!
trap 'kill "$fleet"' TERM INT
wait_for 20 "amtsim" grep -q ready /run/amtsim/output

# What an administrator would type by hand: the inventory and the passwords go to the workers, the names to consoles.
publish /fleet/ca.pem </run/amtsim/ca.pem
(umask 077 && publish /fleet/fleet.csv </run/amtsim/fleet.csv)
publish /names/systems </run/amtsim/systems
wait "$fleet"
