/* SPDX-License-Identifier: Apache-2.0 */
/* Ids that cannot be guessed, and digests that stand for names in keys. */
#include "jobs/redis_priv.h"

#include <string.h>

#include <apr_encode.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

const char *jobs_new_id(apr_pool_t *pool)
{
    unsigned char bits[16];

    if (RAND_bytes(bits, sizeof(bits)) != 1) {
        return NULL;
    }
    char *id = apr_palloc(pool, APR_ALIGN_DEFAULT(JOBS_ID_LENGTH + 8));
    apr_encode_base32_binary(id, bits, sizeof(bits), APR_ENCODE_NOPADDING, NULL);
    for (char *c = id; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    return id;
}

static const char *hex(const unsigned char *digest, unsigned int length, apr_pool_t *pool)
{
    return apr_pencode_base16_binary(pool, digest, length, APR_ENCODE_LOWER, NULL);
}

const char *jobs_sha256(const char *text, apr_pool_t *pool)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    int good = EVP_Digest(text, strlen(text), digest, &length, EVP_sha256(), NULL);

    return good ? hex(digest, length, pool) : NULL;
}

const char *jobs_sha256_all(const apr_array_header_t *texts, apr_pool_t *pool)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);

    for (int i = 0; good && i < texts->nelts; i++) {
        const char *text = APR_ARRAY_IDX(texts, i, const char *);

        good = EVP_DigestUpdate(context, text, strlen(text) + 1);
    }
    good = good && EVP_DigestFinal_ex(context, digest, &length);
    EVP_MD_CTX_free(context);
    return good ? hex(digest, length, pool) : NULL;
}
