/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* ---- SHA-256 ------------------------------------------------------------------------------------------- */

int digest_sha256(const void *bytes, apr_size_t length, unsigned char digest[DIGEST_BYTES])
{
    return EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL) == 1;
}

int digest_sha256_hex(const void *bytes, apr_size_t length, char digits[DIGEST_DIGITS + 1])
{
    unsigned char digest[DIGEST_BYTES];
    int good = digest_sha256(bytes, length, digest);

    if (good) {
        digest_write_hex(digits, digest, sizeof(digest));
    }
    return good;
}

void digest_begin(digest_t *digest)
{
    digest->context = EVP_MD_CTX_new();
    digest->good = digest->context != NULL && EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) == 1;
}

int digest_add(digest_t *digest, const void *bytes, apr_size_t length)
{
    digest->good = digest->good && EVP_DigestUpdate(digest->context, bytes, length) == 1;
    return digest->good;
}

int digest_end(digest_t *digest, char digits[DIGEST_DIGITS + 1])
{
    unsigned char bytes[DIGEST_BYTES];
    int good = digest->good && EVP_DigestFinal_ex(digest->context, bytes, NULL) == 1;

    if (good) {
        digest_write_hex(digits, bytes, sizeof(bytes));
    }
    digest_discard(digest);
    return good;
}

void digest_discard(digest_t *digest)
{
    EVP_MD_CTX_free(digest->context);
    digest->context = NULL;
    digest->good = 0;
}

/* ---- Digest authentication ------------------------------------------------------------------------------ */

digest_part_t digest_part(const char *text)
{
    return (digest_part_t){(const unsigned char *)text, strlen(text)};
}

int digest_parts_hex(const EVP_MD *hash, char *digits, const digest_part_t *parts, int count)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char bytes[EVP_MAX_MD_SIZE] = {0};
    int good = context != NULL && EVP_DigestInit_ex(context, hash, NULL);

    for (int i = 0; good && i < count; i++) {
        good = (i == 0 || EVP_DigestUpdate(context, ":", 1)) &&
               EVP_DigestUpdate(context, parts[i].bytes, parts[i].length);
    }
    good = good && EVP_DigestFinal_ex(context, bytes, NULL);
    digest_write_hex(digits, bytes, (apr_size_t)EVP_MD_get_size(hash));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    EVP_MD_CTX_free(context); /* wipes its state */
    return good;
}

/* ---- hex ----------------------------------------------------------------------------------------------- */

static const char hex_digits[] = "0123456789abcdef";

void digest_write_hex(char *digits, const unsigned char *bytes, apr_size_t length)
{
    for (apr_size_t i = 0; i < length; i++) {
        *digits++ = hex_digits[bytes[i] >> 4];
        *digits++ = hex_digits[bytes[i] & 15];
    }
    *digits = '\0';
}

int digest_parse_hex(unsigned char *bytes, apr_size_t length, const char *text)
{
    if (strlen(text) != 2 * length || strspn(text, hex_digits) != 2 * length) {
        return 0;
    }
    for (apr_size_t i = 0; i < length; i++) {
        apr_size_t high = (apr_size_t)(strchr(hex_digits, text[2 * i]) - hex_digits);
        apr_size_t low = (apr_size_t)(strchr(hex_digits, text[2 * i + 1]) - hex_digits);

        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}
