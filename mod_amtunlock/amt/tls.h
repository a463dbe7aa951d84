/* Which TLS peer is believed, for libcurl's connections and for those of the redirection sessions alike. Not
 * for other rooms.
 */
#ifndef AMTUNLOCK_AMT_TLS_H
#define AMTUNLOCK_AMT_TLS_H

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "amt/amt.h"

/* One peer: what it is checked against, and what its last handshake showed. Outlives its connections. */
typedef struct {
    unsigned char pin[32]; /* AMT_TLS_PIN */
    int alert;             /* fatal alert of the handshake that failed, or -1 */
    char pin_seen[65];     /* the certificate that was not the pinned one; "" */
    int version;           /* as OpenSSL numbers it, of the handshake that was done last; 0: none was */
} amt_tls_peer_t;

/* A parsed CA bundle, shared by all sessions of a loop. */
typedef struct amt_tls_context_t amt_tls_context_t;

apr_status_t amt_tls_library_init(void);
/* 64 lower-case hex digits to bytes; else APR_EINVAL. */
apr_status_t amt_tls_parse_pin(unsigned char pin[32], const char *text);

/* Trust and versions of a device's libcurl handle, as its target says. */
CURLcode amt_tls_set_options(amt_device_t *device);

/* A client's SSL without a socket, under the same rules. NULL: APR_ENOENT in *rv if the CA bundle cannot be
 * used, else APR_ENOMEM. The caller frees it. */
SSL *amt_tls_session(amt_loop_t *loop, const amt_target_t *target, amt_tls_peer_t *peer, apr_status_t *rv);
/* Frees what amt_tls_session() keeps. */
void amt_tls_forget(amt_loop_t *loop);

/* ---- sentences ------------------------------------------------------------------------------- */

/* "the CA bundle ... cannot be used", of (bundle, where, why) */
#define AMT_TLS_BAD_BUNDLE "the CA bundle %s for %s cannot be used: %s; name a readable PEM file"
/* of (where, digest) */
#define AMT_TLS_OTHER_PIN                                                                                    \
    "%s shows another certificate than the pinned one (SHA-256 %s): if it was renewed, pin the new one in "  \
    "the "                                                                                                   \
    "inventory; else somebody stands in between"
/* of (where, alert) */
#define AMT_TLS_ALERT                                                                                        \
    "TLS with %s failed: alert \"%s\"; firmware that speaks nothing newer than TLS 1.1 needs tls = legacy"
/* of (where, why, bundle) */
#define AMT_TLS_BAD_CERTIFICATE                                                                              \
    "the certificate of %s is not trusted: %s; check its name, its issuer and the CA bundle %s"
/* of (where, why) */
#define AMT_TLS_NO_HANDSHAKE                                                                                 \
    "%s takes connections but did not complete a TLS handshake: %s; check that AMT has TLS switched on "     \
    "(else "                                                                                                 \
    "tls = none) and that nothing in between cuts it"

#endif
