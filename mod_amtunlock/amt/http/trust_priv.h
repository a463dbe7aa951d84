/* SPDX-License-Identifier: Apache-2.0 */
/* What TLS with devices is built on: the CA bundle with its revocation lists, and the certificate of our own
 * that devices with mutual TLS ask for. Parsed once for each set of files that targets name, a handful;
 * shared by all connections of a loop. Not for other rooms.
 */
#ifndef AMTUNLOCK_AMT_HTTP_TRUST_PRIV_H
#define AMTUNLOCK_AMT_HTTP_TRUST_PRIV_H

#include <openssl/ssl.h>

#include "amt/amt.h"

typedef struct amt_trust_t amt_trust_t;

/* That of the files which a target names, parsed again after a minute: lists of revoked certificates are
 * replaced every day. The loop's, until the next call. NULL: one of the target's files cannot be used, which
 * is *file, and OpenSSL's error queue says why; or, *file NULL, memory is out. */
amt_trust_t *amt_trust_of(amt_loop_t *loop, const amt_target_t *target, const char **file);

/* Makes a client's context check by it, and show our certificate. Zero: memory is out. */
int amt_trust_use(const amt_trust_t *trust, SSL_CTX *ctx);

/* Where the context of sessions with this kind of trust is kept; NULL there: none was made yet. Freed with
 * the trust. */
SSL_CTX **amt_trust_context(amt_trust_t *trust, amt_tls_e tls);

/* Frees what the loop keeps. */
void amt_trust_forget(amt_loop_t *loop);

#endif
