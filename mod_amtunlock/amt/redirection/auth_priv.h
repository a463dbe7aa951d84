/* SPDX-License-Identifier: Apache-2.0 */
/* Digest authentication of a redirection session (RFC 2617, as firmware frames it). Pure. */
#ifndef AMTUNLOCK_AMT_REDIRECTION_AUTH_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_AUTH_PRIV_H

#include <apr_errno.h>

#include "base/digest.h"

/* The kinds of authentication that a device may list. */
enum { AMT_AUTH_QUERY = 0, AMT_AUTH_KERBEROS = 2, AMT_AUTH_DIGEST = 4 };

/* Longest user name: its length travels in a byte. */
#define AMT_AUTH_USER 255
/* Longest data of a device's answer that is read, and of one of ours. */
#define AMT_AUTH_ANSWER 1024
#define AMT_AUTH_DATA 1536

/* Its members lie inside an answer. */
typedef struct {
    digest_part_t realm;
    digest_part_t nonce;
    digest_part_t qop; /* one word or a list */
} amt_auth_challenge_t;

/* Takes a challenge apart. APR_EINVAL if a field is missing, empty or cut. */
apr_status_t amt_auth_parse(amt_auth_challenge_t *challenge, const unsigned char *bytes, apr_size_t length);

/* The data that asks for a challenge; returns its length. */
apr_size_t amt_auth_ask(unsigned char data[AMT_AUTH_DATA], const char *user);
/* The data that answers it. `cnonce`: 32 hex digits. APR_ENOTIMPL: qop has no "auth"; APR_EGENERAL: OpenSSL
 * has no MD5 here. */
apr_status_t amt_auth_answer(unsigned char data[AMT_AUTH_DATA], apr_size_t *length,
                             const amt_auth_challenge_t *challenge, const char *user, const char *password,
                             const char *cnonce);

#endif
