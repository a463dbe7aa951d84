#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The realm, the web service's key and the console's; each key goes where its owner alone reads it.
set -eu
# shellcheck source=docker/common.sh
. /entry/common.sh

cat >/etc/krb5kdc/kdc.conf <<'C'
[realms]
    AMTU.TEST = {
        supported_enctypes = aes256-cts-hmac-sha1-96:normal
    }
C
kdb5_util -r AMTU.TEST -P "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" create -s
kadmin.local -q "addprinc -randkey HTTP/httpd"
kadmin.local -q "addprinc -randkey console"
kadmin.local -q "ktadd -k /keys/httpd/new HTTP/httpd"
kadmin.local -q "ktadd -k /keys/console/new console"
mv /keys/httpd/new /keys/httpd/http.keytab
mv /keys/console/new /keys/console/console.keytab
exec krb5kdc -n
