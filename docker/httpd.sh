#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# httpd with the installed module; its certificate's CA goes to the consoles.
set -eu
# shellcheck source=docker/common.sh
. /entry/common.sh

tls=/etc/amtunlock/tls
install -d -m 0700 "$tls"
new="openssl req -config /etc/amtunlock/openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
$new -x509 -days 30 -extensions ca -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
$new -subj /CN=httpd -keyout "$tls/server.key" -out "$tls/server.csr" 2>/dev/null
openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
    -extfile /etc/amtunlock/openssl.cnf -extensions server -out "$tls/server.pem" 2>/dev/null
publish /ca/ca.pem <"$tls/ca.pem"

wait_for 60 "the web service's key" test -e /keys/http.keytab
wait_for 60 "the Redis password" test -e /password/password
install -m 0600 -o www-data -g www-data /keys/http.keytab /etc/amtunlock/http.keytab
install -d /run/apache2
export KRB5_KTNAME=FILE:/etc/amtunlock/http.keytab
exec apache2 -f /etc/amtunlock/httpd.conf -D FOREGROUND
