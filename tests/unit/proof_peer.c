/* SPDX-License-Identifier: Apache-2.0 */
#include "proof_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

static const char marker[] = "amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n";

static void must(int good)
{
    if (!good) {
        abort();
    }
}

const char *peer_hex(const unsigned char *bytes, size_t length, apr_pool_t *pool)
{
    char *text = apr_pcalloc(pool, 2 * length + 1);

    for (size_t i = 0; i < length; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return text;
}

/* Bytes written, or 0: not lower-case hexadecimal, or too long. */
static size_t from_hex(const char *text, unsigned char *bytes, size_t capacity)
{
    size_t digits = strspn(text, "0123456789abcdef");

    if (digits % 2 != 0 || digits / 2 > capacity || text[digits] != '\0') {
        return 0;
    }
    for (size_t i = 0; i < digits / 2; i++) {
        const char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return digits / 2;
}

const char *peer_frame(const char *body, apr_pool_t *pool)
{
    const char *inside = apr_pstrcat(pool, "AMTU,", body, NULL);
    unsigned char hash[32];

    SHA256((const unsigned char *)inside, strlen(inside), hash);
    return apr_pstrcat(pool, "$", inside, "*", peer_hex(hash, 4, pool), NULL);
}

/* What is hashed, one part behind the other. */
typedef struct {
    unsigned char bytes[1024];
    size_t length;
} text_t;

static void add(text_t *text, const void *bytes, size_t length)
{
    must(length <= sizeof(text->bytes) - text->length);
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static void add_text(text_t *text, const char *words)
{
    add(text, words, strlen(words));
}

static void add_id(text_t *text, const char *id)
{
    const unsigned char length = (unsigned char)strlen(id);

    add(text, &length, 1);
    add_text(text, id);
}

static void mac(const unsigned char key[32], const text_t *text, unsigned char out[32])
{
    unsigned int length = 32;

    must(HMAC(EVP_sha256(), key, 32, text->bytes, text->length, out, &length) != NULL && length == 32);
}

/* ---- booting ------------------------------------------------------------------------------------------- */

void peer_set_keys(peer_t *peer, const unsigned char nonce[32], const unsigned char private_key[32])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, 32);
    size_t length = 32;

    memcpy(peer->nonce, nonce, 32);
    memcpy(peer->private_key, private_key, 32);
    must(EVP_PKEY_get_raw_public_key(key, peer->public_key, &length) == 1);
    EVP_PKEY_free(key);
}

const char *peer_boot(peer_t *peer, const unsigned char sector[2048], apr_pool_t *pool)
{
    unsigned char hash[32], nonce[32], key[32];

    memset(peer, 0, sizeof(*peer));
    peer->pool = pool;
    SHA256(sector, 2016, hash);
    if (memcmp(sector, marker, 64) != 0 || memcmp(hash, sector + 2016, 32) != 0) {
        return "not the sector";
    }
    if (sector[64] != 1 || sector[65] != 1) {
        return sector[65] == 0 ? "the placeholder" : "another version";
    }
    memcpy(peer->s, sector + 68, 32);
    memcpy(peer->id, sector + 100, sector[66]);
    for (size_t i = 100U + sector[66]; i < 2016; i++) {
        if (sector[i] != 0) {
            return "zeros are missing";
        }
    }
    must(RAND_bytes(nonce, 32) == 1 && RAND_bytes(key, 32) == 1);
    peer_set_keys(peer, nonce, key);
    return NULL;
}

/* ---- saying -------------------------------------------------------------------------------------------- */

const char *peer_hello(peer_t *peer)
{
    text_t text = {.length = 0};
    unsigned char proof[32];

    add_text(&text, "amtunlock-proof-1 hello");
    add_id(&text, peer->id);
    add(&text, peer->nonce, 32);
    add(&text, peer->public_key, 32);
    mac(peer->s, &text, proof);
    return peer_frame(apr_pstrcat(peer->pool, "1,hello,", peer_hex(peer->nonce, 32, peer->pool), ",",
                                  peer_hex(peer->public_key, 32, peer->pool), ",",
                                  peer_hex(proof, 32, peer->pool), NULL),
                      peer->pool);
}

const char *peer_result(peer_t *peer, const char *outcome, const char *reason)
{
    text_t text = {.length = 0};

    add_text(&text, "amtunlock-proof-1 result");
    add(&text, peer->transcript, 32);
    add_text(&text, outcome);
    add_text(&text, ",");
    add_text(&text, reason);
    mac(peer->result_key, &text, peer->said);
    return peer_frame(apr_pstrcat(peer->pool, "1,result,", outcome, ",", reason, ",",
                                  peer_hex(peer->said, 32, peer->pool), NULL),
                      peer->pool);
}

const char *peer_refusal(peer_t *peer, const char *reason)
{
    text_t text = {.length = 0};

    add_text(&text, "amtunlock-proof-1 refusal");
    add_id(&text, peer->id);
    add(&text, peer->nonce, 32);
    add_text(&text, reason);
    mac(peer->s, &text, peer->said);
    return peer_frame(apr_pstrcat(peer->pool, "1,refusal,", peer_hex(peer->nonce, 32, peer->pool), ",",
                                  reason, ",", peer_hex(peer->said, 32, peer->pool), NULL),
                      peer->pool);
}

/* ---- hearing ------------------------------------------------------------------------------------------- */

/* The body of a line that is one frame with a right check and one CR, or NULL. */
static char *body_of(const char *line, apr_pool_t *pool)
{
    size_t length = strlen(line);
    const char *star = strchr(line, '*');
    char *body;

    if (length > 2049 || strncmp(line, "$AMTU,", 6) != 0 || !star || strlen(star) != 10 || star[9] != '\r') {
        return NULL;
    }
    body = apr_pstrmemdup(pool, line + 6, (size_t)(star - line) - 6);
    return strncmp(peer_frame(body, pool), line, length - 1) == 0 ? body : NULL;
}

/* HKDF by its definition (RFC 5869), for 64 bytes. */
static void derive_keys(peer_t *peer, const unsigned char shared[32])
{
    text_t first = {.length = 0}, second = {.length = 0};
    unsigned char prk[32];

    add(&first, shared, 32);
    mac(peer->s, &first, prk);
    first.length = 0;
    add_text(&first, "amtunlock-proof-1 keys");
    add(&first, peer->transcript, 32);
    add(&first, "\x01", 1);
    mac(prk, &first, peer->seal_key);
    add(&second, peer->seal_key, 32);
    add(&second, first.bytes, first.length - 1);
    add(&second, "\x02", 1);
    mac(prk, &second, peer->result_key);
}

static int agree(const peer_t *peer, const unsigned char worker_key[32], unsigned char shared[32])
{
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, peer->private_key, 32);
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, worker_key, 32);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    size_t length = 32;
    int good = EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, other) == 1 &&
               EVP_PKEY_derive(context, shared, &length) == 1;

    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(other);
    EVP_PKEY_free(own);
    return good;
}

static int decrypt(const peer_t *peer, unsigned char *sealed, int length, unsigned char *plain)
{
    static const unsigned char zeros[12];
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int part, good;

    EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, peer->seal_key, zeros);
    EVP_DecryptUpdate(context, NULL, &part, peer->transcript, 32);
    EVP_DecryptUpdate(context, plain, &part, sealed, length - 16);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, sealed + length - 16);
    good = EVP_DecryptFinal_ex(context, plain + part, &part) == 1;
    EVP_CIPHER_CTX_free(context);
    return good;
}

static void make_transcript(peer_t *peer, const unsigned char nonce[32], const unsigned char key[32])
{
    text_t text = {.length = 0};

    add_text(&text, "amtunlock-proof-1 transcript");
    add_id(&text, peer->id);
    add(&text, peer->nonce, 32);
    add(&text, peer->public_key, 32);
    add(&text, nonce, 32);
    add(&text, key, 32);
    SHA256(text.bytes, text.length, peer->transcript);
}

static const char *unpad(const peer_t *peer, const unsigned char *plain, size_t size, const char **wrong)
{
    size_t length = ((size_t)plain[0] << 8) + plain[1];

    *wrong = "the padding";
    if (length < 1 || length > 512 || size != (length + 2 + 127) / 128 * 128) {
        return NULL;
    }
    for (size_t i = 2 + length; i < size; i++) {
        if (plain[i] != 0) {
            return NULL;
        }
    }
    *wrong = NULL;
    return apr_pstrmemdup(peer->pool, (const char *)plain + 2, length);
}

const char *peer_open_seal(peer_t *peer, const char *line, const char **wrong)
{
    unsigned char nonce[32], key[32], shared[32], sealed[656], plain[656];
    char *body = body_of(line, peer->pool), *rest;
    size_t length;

    *wrong = "the frame";
    if (!body || strncmp(body, "1,seal,", 7) != 0) {
        return NULL;
    }
    *wrong = "the fields";
    if (from_hex(apr_strtok(body + 7, ",", &rest), nonce, 32) != 32 ||
        from_hex(apr_strtok(NULL, ",", &rest), key, 32) != 32) {
        return NULL;
    }
    length = from_hex(apr_strtok(NULL, ",", &rest), sealed, sizeof(sealed));
    if (length < 144 || (length - 16) % 128 != 0 || apr_strtok(NULL, ",", &rest)) {
        return NULL;
    }
    make_transcript(peer, nonce, key);
    *wrong = "the key";
    if (!agree(peer, key, shared)) {
        return NULL;
    }
    derive_keys(peer, shared);
    *wrong = "the seal";
    return decrypt(peer, sealed, (int)length, plain) ? unpad(peer, plain, length - 16, wrong) : NULL;
}

int peer_is_acknowledged(peer_t *peer, const char *line)
{
    const char *body = body_of(line, peer->pool);
    text_t text = {.length = 0};
    unsigned char proof[32];

    add_text(&text, "amtunlock-proof-1 ack");
    add(&text, peer->said, 32);
    mac(peer->s, &text, proof);
    return body &&
           strcmp(body, apr_pstrcat(peer->pool, "1,ack,", peer_hex(proof, 32, peer->pool), NULL)) == 0;
}
