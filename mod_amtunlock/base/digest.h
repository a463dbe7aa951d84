/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by OpenSSL's EVP, the hashes of Digest authentication, and bytes as lower-case hex. Calls that return an int return 0 where OpenSSL
 * fails: it has no memory, or no SHA-256. */
#ifndef AMTUNLOCK_BASE_DIGEST_H
#define AMTUNLOCK_BASE_DIGEST_H

#include <apr.h>
#include <openssl/types.h>

#define DIGEST_BYTES 32
#define DIGEST_DIGITS 64 /* of hex */

int digest_sha256(const void *bytes, apr_size_t length, unsigned char digest[DIGEST_BYTES]);
int digest_sha256_hex(const void *bytes, apr_size_t length, char digits[DIGEST_DIGITS + 1]);

/* SHA-256 of bytes that come in parts. A failure stays until the end, so only digest_end() must be looked at;
 * one of digest_end() and digest_discard() frees what digest_begin() made. */
typedef struct {
    EVP_MD_CTX *context;
    int good;
} digest_t;

void digest_begin(digest_t *digest);
int digest_add(digest_t *digest, const void *bytes, apr_size_t length);
int digest_end(digest_t *digest, char digits[DIGEST_DIGITS + 1]);
void digest_discard(digest_t *digest);

typedef struct {
    const unsigned char *bytes;
    apr_size_t length;
} digest_part_t;

digest_part_t digest_part(const char *text);
/* Hex of the hash of parts with ':' between, as Digest authentication (RFC 7616) has it. `digits` has room for two a byte
 * of the hash and a NUL. */
int digest_parts_hex(const EVP_MD *hash, char *digits, const digest_part_t *parts, int count);

/* Two digits a byte, and a NUL behind them. */
void digest_write_hex(char *digits, const unsigned char *bytes, apr_size_t length);
/* The other way; 0 if `text` is anything but 2 * `length` digits. */
int digest_parse_hex(unsigned char *bytes, apr_size_t length, const char *text);

#endif
