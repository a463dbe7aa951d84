/* SPDX-License-Identifier: Apache-2.0 */
/* Ids and digests. */
#include "jobs/id_priv.h"

#include <string.h>

#include <apr_encode.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/rand.h>

#include "base/digest.h"

const char *jobs_new_id(apr_pool_t *pool)
{
    unsigned char bits[16];
    char *id;

    if (RAND_bytes(bits, sizeof(bits)) != 1) {
        return NULL;
    }
    id = apr_palloc(pool, APR_ALIGN_DEFAULT(JOBS_ID_LENGTH + 8));
    apr_encode_base32_binary(id, bits, sizeof(bits), APR_ENCODE_NOPADDING, NULL);
    for (char *c = id; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    return id;
}

int jobs_is_id(const char *id)
{
    return strlen(id) == JOBS_ID_LENGTH && strspn(id, "abcdefghijklmnopqrstuvwxyz234567") == JOBS_ID_LENGTH;
}

const char *jobs_sha256(const char *text, apr_pool_t *pool)
{
    char digits[DIGEST_DIGITS + 1];

    return digest_sha256_hex(text, strlen(text), digits) ? apr_pstrdup(pool, digits) : NULL;
}

const char *jobs_sha256_all(const apr_array_header_t *texts, apr_pool_t *pool)
{
    char digits[DIGEST_DIGITS + 1];
    digest_t digest;

    digest_begin(&digest);
    for (int i = 0; i < texts->nelts; i++) {
        const char *text = APR_ARRAY_IDX(texts, i, const char *);

        digest_add(&digest, text, strlen(text) + 1);
    }
    return digest_end(&digest, digits) ? apr_pstrdup(pool, digits) : NULL;
}
