/* SPDX-License-Identifier: Apache-2.0 */
/* Which TLS peers are trusted, for libcurl's connections and for those of the redirection sessions alike. */
#ifndef AMTUNLOCK_AMT_HTTP_TLS_H
#define AMTUNLOCK_AMT_HTTP_TLS_H

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "amt/http/target.h"
#include "base/digest.h"

/* A loop's parsed files of TLS: trust_priv.h. */
typedef struct amt_trusts_t amt_trusts_t;

/* One peer: what it is checked against, and what its last handshake showed. Outlives its connections. */
typedef struct {
    amt_trusts_t *trusts;
    const amt_target_t *target;
    unsigned char pin[DIGEST_BYTES];  /* AMT_TLS_PIN */
    int alert;                        /* fatal alert of the handshake that failed, or -1 */
    char pin_seen[DIGEST_DIGITS + 1]; /* the certificate that was not the pinned one; "" */
    int asked;                        /* it asked for our certificate, and there is none */
    unsigned int messages;            /* of TLS itself that came on this connection */
    char excess[80];      /* what of it costs too much or is too weak, so that it was given up; "" */
    const char *bad_file; /* one of ours that cannot be used: nothing was begun; or NULL */
    const char *bad_why;
    /* Of the last handshake that completed: as OpenSSL numbers it; 0: none did */
    int version;
    char certificate[DIGEST_DIGITS + 1]; /* SHA-256 of the peer's; "" */
} amt_tls_peer_t;

apr_status_t amt_tls_library_init(void);

/* Trust and versions for a libcurl handle whose requests go to `peer`, which must live as long. */
CURLcode amt_tls_set_options(CURL *easy, amt_tls_peer_t *peer);

/* Forgets what the last handshake showed, but for what is said of one that completed. */
void amt_tls_begin(amt_tls_peer_t *peer);

/* A client's SSL without a socket, under the same rules. NULL: peer->bad_file says what cannot be used; where
 * it is NULL, memory is out. The caller frees it. */
SSL *amt_tls_session(amt_tls_peer_t *peer);

/* ---- error messages -------------------------------------------------------------------------- */

/* A file's name, "(none)" where there is none. */
const char *amt_tls_name_of(const char *file);

/* of (file, where, why) */
#define AMT_TLS_BAD_FILE "the file %s for %s cannot be used: %s; TLS needs it readable, and PEM"
/* of (where, digest) */
#define AMT_TLS_OTHER_PIN                                                                                    \
    "%s shows another certificate than the pinned one (SHA-256 %s): if it was renewed, pin the new one in "  \
    "the inventory; else somebody stands in between"
/* For a handshake that broke off: what to set where TLS 1.3 was offered; else "". */
const char *amt_tls_hint(const amt_tls_peer_t *peer);

/* of (where, alert, hint) */
#define AMT_TLS_ALERT                                                                                        \
    "TLS with %s failed: alert \"%s\"%s; firmware that speaks nothing newer than TLS 1.1 needs tls = "       \
    "legacy, and with mutual TLS it must trust tls-certificate"
/* of (where, what) */
#define AMT_TLS_EXCESS                                                                                       \
    "TLS with %s was given up: it brings %s; no AMT device needs that, so find out who answers at that address"
/* of (where) */
#define AMT_TLS_ASKED "%s has mutual TLS and wants a certificate of ours, but none is set (tls-certificate)"
/* of (where, why, bundle, list) */
#define AMT_TLS_BAD_CERTIFICATE                                                                              \
    "the certificate of %s is not trusted: %s; check its name, its issuer, ca-file %s and crl-file %s"
/* of (where, why, hint) */
#define AMT_TLS_NO_HANDSHAKE                                                                                 \
    "%s takes connections but did not complete a TLS handshake: %s%s; check that AMT has TLS switched on "   \
    "(else tls = none) and that nothing in between cuts it"

#endif
