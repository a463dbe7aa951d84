/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP Digest (RFC 7616) where libcurl's own would fail: a device that offers several challenges, or one with
 * qop="auth-int" only. libcurl answers the first challenge that it meets, and fails where it does not know that one.
 * Here one of MD5 is answered rather than another: all AMT firmware takes it, also some that announces SHA-256.
 */
#ifndef AMTUNLOCK_AMT_HTTP_DIGEST_PRIV_H
#define AMTUNLOCK_AMT_HTTP_DIGEST_PRIV_H

#include "amt/http/http.h"

enum { AMT_DIGEST_AUTH = 1, AMT_DIGEST_AUTH_INT = 2 };

/* A challenge, as the device wrote it. */
struct amt_digest_t {
    char realm[256], nonce[256], opaque[256], algorithm[32]; /* "": none */
    int hash;                                                /* which one; -1: unknown */
    int session;                                             /* "-sess" */
    int qop;                                                 /* AMT_DIGEST_...; 0: none was said */
    int stale;
    unsigned int count; /* times that its nonce was used */
};

/* Remembers what a header line offers. */
void amt_digest_take_header(amt_exchange_t *exchange, const char *line, apr_size_t length);
/* The challenge to answer, in the exchange's pool; NULL: there is none. *plain: libcurl answers just that. */
amt_digest_t *amt_digest_choose(const amt_exchange_t *exchange, int *plain);
/* Sets http->authorized for the next request by http->digest. Zero: memory is out, or OpenSSL lacks the hash. */
int amt_digest_authorize(amt_http_t *http);

#endif
