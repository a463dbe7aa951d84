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
static size_t from_hex(const char *text, unsigned char *bytes, size_t room)
{
    size_t digits = strspn(text, "0123456789abcdef");

    if (digits % 2 != 0 || digits / 2 > room || text[digits] != '\0') {
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

/* HMAC over a label, the id where asked for, and parts of given lengths. */
typedef struct {
    const void *bytes;
    size_t length;
} part_t;

static void mac(const peer_t *peer, const unsigned char key[32], const char *label, int with_id,
                const part_t *parts, size_t count, unsigned char out[32])
{
    unsigned char text[1024];
    size_t at = strlen(label);
    unsigned int length = 32;

    memcpy(text, label, at);
    if (with_id) {
        text[at++] = (unsigned char)strlen(peer->id);
        memcpy(text + at, peer->id, strlen(peer->id));
        at += strlen(peer->id);
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(text + at, parts[i].bytes, parts[i].length);
        at += parts[i].length;
    }
    must(HMAC(EVP_sha256(), key, 32, text, at, out, &length) != NULL && length == 32);
}

/* ---- booting --------------------------------------------------------------------------------------------
 */

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

/* ---- saying ---------------------------------------------------------------------------------------------
 */

const char *peer_hello(peer_t *peer)
{
    const part_t parts[] = {{peer->nonce, 32}, {peer->public_key, 32}};
    unsigned char proof[32];

    mac(peer, peer->s, "amtunlock-proof-1 hello", 1, parts, 2, proof);
    return peer_frame(apr_pstrcat(peer->pool, "1,hello,", peer_hex(peer->nonce, 32, peer->pool), ",",
                                  peer_hex(peer->public_key, 32, peer->pool), ",",
                                  peer_hex(proof, 32, peer->pool), NULL),
                      peer->pool);
}

const char *peer_result(peer_t *peer, const char *outcome, const char *reason)
{
    const part_t parts[] = {
        {peer->transcript, 32}, {outcome, strlen(outcome)}, {",", 1}, {reason, strlen(reason)}};

    mac(peer, peer->result_key, "amtunlock-proof-1 result", 0, parts, 4, peer->said);
    return peer_frame(apr_pstrcat(peer->pool, "1,result,", outcome, ",", reason, ",",
                                  peer_hex(peer->said, 32, peer->pool), NULL),
                      peer->pool);
}

const char *peer_refusal(peer_t *peer, const char *reason)
{
    const part_t parts[] = {{peer->nonce, 32}, {reason, strlen(reason)}};

    mac(peer, peer->s, "amtunlock-proof-1 refusal", 1, parts, 2, peer->said);
    return peer_frame(apr_pstrcat(peer->pool, "1,refusal,", peer_hex(peer->nonce, 32, peer->pool), ",",
                                  reason, ",", peer_hex(peer->said, 32, peer->pool), NULL),
                      peer->pool);
}

/* ---- hearing --------------------------------------------------------------------------------------------
 */

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
    unsigned char prk[32], info[128];
    const char *label = "amtunlock-proof-1 keys";
    size_t at = strlen(label);

    HMAC(EVP_sha256(), peer->s, 32, shared, 32, prk, NULL);
    memcpy(info, label, at);
    memcpy(info + at, peer->transcript, 32);
    info[at + 32] = 1;
    HMAC(EVP_sha256(), prk, 32, info, at + 33, peer->seal_key, NULL);
    memmove(info + 32, info, at + 32);
    memcpy(info, peer->seal_key, 32);
    info[32 + at + 32] = 2;
    HMAC(EVP_sha256(), prk, 32, info, 32 + at + 33, peer->result_key, NULL);
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
    unsigned char text[512];
    const char *label = "amtunlock-proof-1 transcript";
    size_t at = strlen(label), id = strlen(peer->id);

    memcpy(text, label, at);
    text[at++] = (unsigned char)id;
    memcpy(text + at, peer->id, id);
    at += id;
    memcpy(text + at, peer->nonce, 32);
    memcpy(text + at + 32, peer->public_key, 32);
    memcpy(text + at + 64, nonce, 32);
    memcpy(text + at + 96, key, 32);
    SHA256(text, at + 128, peer->transcript);
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
    const part_t parts[] = {{peer->said, 32}};
    const char *body = body_of(line, peer->pool);
    unsigned char proof[32];

    mac(peer, peer->s, "amtunlock-proof-1 ack", 0, parts, 1, proof);
    return body &&
           strcmp(body, apr_pstrcat(peer->pool, "1,ack,", peer_hex(proof, 32, peer->pool), NULL)) == 0;
}
