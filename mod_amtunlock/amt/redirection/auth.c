/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/auth_priv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

/* What firmware hashes and compares. */
static const char uri[] = "/RedirectionService";
static const char method[] = "POST";
static const char count[] = "00000002"; /* the question was the first */
static const char qop_auth[] = "auth";

enum { HEX = 32 }; /* an MD5 in hex */

/* ---- reading --------------------------------------------------------------------------------- */

/* A length byte and as many bytes. */
static int take_field(digest_part_t *field, const unsigned char **at, const unsigned char *end)
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
static int offers_auth(const digest_part_t *qop)
{
    apr_size_t start = 0;

    for (apr_size_t i = 0; i <= qop->length; i++) {
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

static int compute_response(char response[HEX + 1], const amt_auth_challenge_t *challenge, const char *user,
                            const char *password, const char *cnonce)
{
    char login_hash[HEX + 1] = "";
    char request_hash[HEX + 1] = "";
    const digest_part_t login_parts[] = {digest_part(user), challenge->realm, digest_part(password)};
    const digest_part_t request_parts[] = {digest_part(method), digest_part(uri)};
    int ok = digest_parts_hex(EVP_md5(), login_hash, login_parts, 3) &&
             digest_parts_hex(EVP_md5(), request_hash, request_parts, 2);
    const digest_part_t all[] = {digest_part(login_hash), challenge->nonce,      digest_part(count),
                                 digest_part(cnonce),     digest_part(qop_auth), digest_part(request_hash)};

    ok = ok && digest_parts_hex(EVP_md5(), response, all, 6);
    OPENSSL_cleanse(login_hash, sizeof(login_hash));
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The eight fields in their order, each behind its length. */
static apr_size_t write_fields(unsigned char *data, const digest_part_t fields[8])
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
    const digest_part_t fields[8] = {[0] = digest_part(user), [3] = digest_part(uri)};

    return write_fields(data, fields);
}

apr_status_t amt_auth_answer(unsigned char data[AMT_AUTH_DATA], apr_size_t *length,
                             const amt_auth_challenge_t *challenge, const char *user, const char *password,
                             const char *cnonce)
{
    char response[HEX + 1];
    digest_part_t fields[8] = {
        digest_part(user),
        challenge->realm,
        challenge->nonce,
        digest_part(uri),
        digest_part(cnonce),
        digest_part(count),
        [7] = digest_part(qop_auth),
    };

    if (!offers_auth(&challenge->qop)) {
        return APR_ENOTIMPL;
    }
    if (!compute_response(response, challenge, user, password, cnonce)) {
        return APR_EGENERAL;
    }
    fields[6] = digest_part(response);
    *length = write_fields(data, fields);
    return APR_SUCCESS;
}
