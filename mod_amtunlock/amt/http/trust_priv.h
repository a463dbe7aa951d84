/* SPDX-License-Identifier: Apache-2.0 */
/* The files that TLS with devices is built on: the CA bundle with its revocation lists, and our own
 * certificate, which devices with mutual TLS ask for. Parsed once for each set of files that targets name (a
 * handful), and shared by all connections of a loop. The loop's thread only.
 */
#ifndef AMTUNLOCK_AMT_HTTP_TRUST_PRIV_H
#define AMTUNLOCK_AMT_HTTP_TRUST_PRIV_H

#include "amt/http/tls.h"

typedef struct amt_trust_t amt_trust_t;

/* Destroyed with `pool`. */
amt_trusts_t *amt_trusts_create(apr_pool_t *pool);

/* The files that a target names; parsed again after a minute, as lists of revoked certificates are replaced
 * every day. While one of them cannot be used, or was written two seconds ago, what was parsed last by any loop counts,
 * and they are tried again every second. Valid until the next call. NULL: the target's file *file cannot be used and
 * never could, and OpenSSL's error queue says why; or, *file NULL, memory is out. */
amt_trust_t *amt_trust_find(amt_trusts_t *trusts, const amt_target_t *target, const char **file);

/* Makes a client's context check by it, and show our certificate. Zero: memory is out. */
int amt_trust_use(const amt_trust_t *trust, SSL_CTX *ctx);

/* Where the context of sessions with this kind of trust is kept: NULL until the caller puts one there. Freed
 * with the trust. */
SSL_CTX **amt_trust_context(amt_trust_t *trust, amt_tls_e tls);

#endif
