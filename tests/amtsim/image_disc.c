/* SPDX-License-Identifier: Apache-2.0 */
#include "image_disc.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define HASH_SIZE 32
#define VERSION 1

/* where things are in the proof sector */
enum {
    AT_VERSION = 64,
    AT_SESSION = 65,
    AT_ID_LENGTH = 66,
    AT_SECRET = 68,
    AT_ID = 100,
    AT_REST = 356,
    AT_HASH = 2016
};

static const char marker[] = "amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n";
#define MARKER_SIZE (sizeof(marker) - 1)

/* The last sector of an image that knows its checksum: this, 64 hexadecimal digits, a line feed. The digits
 * are the SHA-256 of everything before that sector, as it is in the file. */
static const char checksum_text[] = "amtsim test image sha256 ";
#define CHECKSUM_TEXT_SIZE (sizeof(checksum_text) - 1)

static void to_hex(const unsigned char hash[HASH_SIZE], char hex[65])
{
    for (size_t i = 0; i < HASH_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

/* ---- the proof sector ---------------------------------------------------------------------------------- */

static bool hash_is_right(const uint8_t *sector)
{
    unsigned char hash[EVP_MAX_MD_SIZE];

    return EVP_Digest(sector, AT_HASH, hash, NULL, EVP_sha256(), NULL) &&
           memcmp(sector + AT_HASH, hash, HASH_SIZE) == 0;
}

static bool is_zero(const uint8_t *from, const uint8_t *to)
{
    while (from < to && !*from)
        from++;
    return from == to;
}

static bool id_is_good(const uint8_t *sector)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    size_t length = sector[AT_ID_LENGTH];

    if (length == 0 || length > SYSTEM_ID_MAX || !is_zero(sector + AT_ID + length, sector + AT_REST))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!memchr(allowed, sector[AT_ID + i], sizeof(allowed) - 1))
            return false;
    }
    return true;
}

/* Of a sector that has the marker. */
static enum proof judge(const uint8_t *sector)
{
    if (sector[AT_VERSION] != VERSION || !hash_is_right(sector) || sector[AT_ID_LENGTH + 1] ||
        !is_zero(sector + AT_REST, sector + AT_HASH))
        return PROOF_DAMAGED;
    if (sector[AT_SESSION] == 0)
        return is_zero(sector + AT_SESSION, sector + AT_REST) ? PROOF_PLACEHOLDER : PROOF_DAMAGED;
    return sector[AT_SESSION] == 1 && id_is_good(sector) ? PROOF_SESSION : PROOF_DAMAGED;
}

static void keep(struct proof_sector *proof, const uint8_t *sector)
{
    memcpy(proof->secret, sector + AT_SECRET, SECRET_SIZE);
    proof->id_length = sector[AT_ID_LENGTH];
    memcpy(proof->id, sector + AT_ID, proof->id_length);
}

static void make_placeholder(uint8_t *sector)
{
    memset(sector + AT_SESSION, 0, AT_HASH - AT_SESSION);
    EVP_Digest(sector, AT_HASH, sector + AT_HASH, NULL, EVP_sha256(), NULL);
}

/* A sector that only begins like one does not hide a better one: a program may hold the marker. */
static void look_for_proof(struct disc *disc, uint8_t *sector)
{
    enum proof kind;

    if (memcmp(sector, marker, MARKER_SIZE) != 0)
        return;
    kind = judge(sector);
    if (kind > disc->proof.kind) {
        disc->proof.kind = kind;
        if (kind == PROOF_SESSION)
            keep(&disc->proof, sector);
    }
    if (kind == PROOF_SESSION)
        make_placeholder(sector);
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

/* Its own checksum counts only in the last sector: whatever follows takes the judgement back. */
static void look_for_checksum(struct disc *disc, const uint8_t *sector)
{
    EVP_MD_CTX *copy;
    unsigned char hash[EVP_MAX_MD_SIZE];
    char hex[65];

    disc->checksum = CHECKSUM_NONE;
    if (memcmp(sector, checksum_text, CHECKSUM_TEXT_SIZE) != 0)
        return;
    disc->checksum = CHECKSUM_WRONG;
    copy = EVP_MD_CTX_new();
    if (copy && EVP_MD_CTX_copy_ex(copy, disc->hash) && EVP_DigestFinal_ex(copy, hash, NULL)) {
        to_hex(hash, hex);
        if (!memcmp(sector + CHECKSUM_TEXT_SIZE, hex, 64) && sector[CHECKSUM_TEXT_SIZE + 64] == '\n')
            disc->checksum = CHECKSUM_RIGHT;
    }
    EVP_MD_CTX_free(copy);
}

bool disc_begin(struct disc *disc)
{
    memset(disc, 0, sizeof(*disc));
    disc->hash = EVP_MD_CTX_new();
    return disc->hash && EVP_DigestInit_ex(disc->hash, EVP_sha256(), NULL);
}

void disc_take(struct disc *disc, const uint8_t *data, size_t size, bool spoil)
{
    uint8_t sector[SECTOR_SIZE];

    while (size > 0) {
        size_t part = size < SECTOR_SIZE ? size : SECTOR_SIZE;
        memcpy(sector, data, part);
        if (spoil)
            sector[part - 1] ^= 1;
        spoil = false;
        if (part == SECTOR_SIZE) {
            look_for_proof(disc, sector);
            look_for_checksum(disc, sector);
        }
        EVP_DigestUpdate(disc->hash, sector, part);
        data += part;
        size -= part;
    }
    OPENSSL_cleanse(sector, sizeof(sector));
}

void disc_sha256(const struct disc *disc, char hex[65])
{
    unsigned char hash[EVP_MAX_MD_SIZE];

    EVP_DigestFinal_ex(disc->hash, hash, NULL);
    to_hex(hash, hex);
}

void disc_secret_sha256(const struct disc *disc, char hex[65])
{
    unsigned char hash[EVP_MAX_MD_SIZE];

    hex[0] = '\0';
    if (disc->proof.kind == PROOF_SESSION &&
        EVP_Digest(disc->proof.secret, SECRET_SIZE, hash, NULL, EVP_sha256(), NULL))
        to_hex(hash, hex);
}

void disc_end(struct disc *disc)
{
    EVP_MD_CTX_free(disc->hash);
    OPENSSL_cleanse(disc, sizeof(*disc));
}
