/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/auth_priv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/digest.h"

/* What firmware hashes and compares. */
static const char uri[] = "/RedirectionService";
static const char method[] = "POST";
static const char count[] = "00000002"; /* the question was the first */
static const char qop_auth[] = "auth";

enum { HEX = 32 }; /* an MD5 in hex */

/* ---- reading --------------------------------------------------------------------------------- */

/* A length byte and as many bytes. */
static int take_field(amt_auth_field_t *field, const unsigned char **at, const unsigned char *end)
{
    if (*at == end || (apr_size_t)(end - *at) < 1U + **at) {
        return 0;
    }
    field->length = **at;
    field->bytes = *at + 1;
    *at += 1 + field->length;
    return 1;
}

apr_status_t amt_auth_parse(amt_auth_challenge_t *challenge, const unsigned char *bytes, apr_size_t length)
{
    const unsigned char *at = bytes;
    const unsigned char *end = bytes + length;

    if (!take_field(&challenge->realm, &at, end) || !take_field(&challenge->nonce, &at, end) ||
        !take_field(&challenge->qop, &at, end) || !challenge->realm.length || !challenge->nonce.length) {
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* "auth" as a word of "auth-int, auth". */
static int offers_auth(const amt_auth_field_t *qop)
{
    unsigned int start = 0;

    for (unsigned int i = 0; i <= qop->length; i++) {
        if (i < qop->length && qop->bytes[i] != ',' && qop->bytes[i] != ' ') {
            continue;
        }
        if (i - start == strlen(qop_auth) && !memcmp(qop->bytes + start, qop_auth, strlen(qop_auth))) {
            return 1;
        }
        start = i + 1;
    }
    return 0;
}

/* ---- hashing --------------------------------------------------------------------------------- */

static amt_auth_field_t field_of(const char *text)
{
    return (amt_auth_field_t){(const unsigned char *)text, (unsigned int)strlen(text)};
}

static int hash_digest(EVP_MD_CTX *ctx, const amt_auth_field_t *parts, apr_size_t parts_count,
                       unsigned char *digest)
{
    int ok = EVP_DigestInit_ex(ctx, EVP_md5(), NULL);

    for (apr_size_t i = 0; ok && i < parts_count; i++) {
        ok = (i == 0 || EVP_DigestUpdate(ctx, ":", 1)) &&
             EVP_DigestUpdate(ctx, parts[i].bytes, parts[i].length);
    }
    return ok && EVP_DigestFinal_ex(ctx, digest, NULL);
}

/* Hex MD5 of the parts with ':' between. */
static int hash_parts(char hex[HEX + 1], const amt_auth_field_t *parts, apr_size_t parts_count)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    int ok = ctx != NULL && hash_digest(ctx, parts, parts_count, digest);

    digest_write_hex(hex, digest, HEX / 2);
    OPENSSL_cleanse(digest, sizeof(digest));
    EVP_MD_CTX_free(ctx); /* wipes its state */
    return ok;
}

static int compute_response(char response[HEX + 1], const amt_auth_challenge_t *challenge, const char *user,
                            const char *password, const char *cnonce)
{
    char login_hash[HEX + 1] = "";
    char request_hash[HEX + 1] = "";
    const amt_auth_field_t login_parts[] = {field_of(user), challenge->realm, field_of(password)};
    const amt_auth_field_t request_parts[] = {field_of(method), field_of(uri)};
    int ok = hash_parts(login_hash, login_parts, 3) && hash_parts(request_hash, request_parts, 2);
    const amt_auth_field_t all[] = {field_of(login_hash), challenge->nonce,   field_of(count),
                                    field_of(cnonce),     field_of(qop_auth), field_of(request_hash)};

    ok = ok && hash_parts(response, all, 6);
    OPENSSL_cleanse(login_hash, sizeof(login_hash));
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The eight fields in their order, each behind its length. */
static apr_size_t write_fields(unsigned char *data, const amt_auth_field_t fields[8])
{
    unsigned char *at = data;

    for (int i = 0; i < 8; i++) {
        *at++ = (unsigned char)fields[i].length;
        if (fields[i].length) {
            memcpy(at, fields[i].bytes, fields[i].length);
            at += fields[i].length;
        }
    }
    return (apr_size_t)(at - data);
}

apr_size_t amt_auth_ask(unsigned char data[AMT_AUTH_DATA], const char *user)
{
    const amt_auth_field_t fields[8] = {[0] = field_of(user), [3] = field_of(uri)};

    return write_fields(data, fields);
}

apr_status_t amt_auth_answer(unsigned char data[AMT_AUTH_DATA], apr_size_t *length,
                             const amt_auth_challenge_t *challenge, const char *user, const char *password,
                             const char *cnonce)
{
    char response[HEX + 1];
    amt_auth_field_t fields[8] = {
        field_of(user),   challenge->realm, challenge->nonce,         field_of(uri),
        field_of(cnonce), field_of(count),  [7] = field_of(qop_auth),
    };

    if (!offers_auth(&challenge->qop)) {
        return APR_ENOTIMPL;
    }
    if (!compute_response(response, challenge, user, password, cnonce)) {
        return APR_EGENERAL;
    }
    fields[6] = field_of(response);
    *length = write_fields(data, fields);
    return APR_SUCCESS;
}
