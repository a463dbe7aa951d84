/* SPDX-License-Identifier: Apache-2.0 */
#include "image_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#define LABEL "amtunlock-proof-1 "

/* Bytes joined: the longest is a transcript with a long system id. */
struct joined {
    uint8_t data[1024];
    size_t size;
};

static void join(struct joined *joined, const void *data, size_t size)
{
    if (size > sizeof(joined->data) - joined->size)
        return; /* nothing that is joined here comes near */
    memcpy(joined->data + joined->size, data, size);
    joined->size += size;
}

static void join_text(struct joined *joined, const char *text)
{
    join(joined, text, strlen(text));
}

static void prove(const uint8_t key[KEY_SIZE], const struct joined *what, uint8_t mac[MAC_SIZE])
{
    HMAC(EVP_sha256(), key, KEY_SIZE, what->data, what->size, mac, NULL);
}

bool keys_make(struct image_keys *keys, const struct proof_sector *sector)
{
    size_t size = PUBLIC_SIZE;

    memset(keys, 0, sizeof(*keys));
    memcpy(keys->secret, sector->secret, SECRET_SIZE);
    keys->id[0] = (uint8_t)sector->id_length;
    memcpy(keys->id + 1, sector->id, sector->id_length);
    keys->id_size = sector->id_length + 1;
    keys->own = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    return keys->own && EVP_PKEY_get_raw_public_key(keys->own, keys->public_key, &size) &&
           RAND_bytes(keys->nonce, NONCE_SIZE) == 1;
}

void keys_wipe(struct image_keys *keys)
{
    EVP_PKEY_free(keys->own);
    OPENSSL_cleanse(keys, sizeof(*keys));
}

/* ---- proofs -------------------------------------------------------------------------------------------- */

void keys_prove_hello(const struct image_keys *keys, uint8_t mac[MAC_SIZE])
{
    struct joined what = {.size = 0};

    join_text(&what, LABEL "hello");
    join(&what, keys->id, keys->id_size);
    join(&what, keys->nonce, NONCE_SIZE);
    join(&what, keys->public_key, PUBLIC_SIZE);
    prove(keys->secret, &what, mac);
}

void keys_prove_refusal(const struct image_keys *keys, const char *reason, uint8_t mac[MAC_SIZE])
{
    struct joined what = {.size = 0};

    join_text(&what, LABEL "refusal");
    join(&what, keys->id, keys->id_size);
    join(&what, keys->nonce, NONCE_SIZE);
    join_text(&what, reason);
    prove(keys->secret, &what, mac);
}

void keys_prove_result(const struct image_keys *keys, const char *outcome, const char *reason,
                       uint8_t mac[MAC_SIZE])
{
    struct joined what = {.size = 0};

    join_text(&what, LABEL "result");
    join(&what, keys->transcript, sizeof(keys->transcript));
    join_text(&what, outcome);
    join_text(&what, ",");
    join_text(&what, reason);
    prove(keys->result_key, &what, mac);
}

bool keys_ack_is_right(const struct image_keys *keys, const uint8_t ack[MAC_SIZE],
                       const uint8_t heard[MAC_SIZE])
{
    struct joined what = {.size = 0};
    uint8_t mac[MAC_SIZE];

    join_text(&what, LABEL "ack");
    join(&what, heard, MAC_SIZE);
    prove(keys->secret, &what, mac);
    return CRYPTO_memcmp(mac, ack, MAC_SIZE) == 0;
}

/* ---- the seal ------------------------------------------------------------------------------------------ */

static void make_transcript(struct image_keys *keys, const struct seal *seal)
{
    struct joined what = {.size = 0};

    join_text(&what, LABEL "transcript");
    join(&what, keys->id, keys->id_size);
    join(&what, keys->nonce, NONCE_SIZE);
    join(&what, keys->public_key, PUBLIC_SIZE);
    join(&what, seal->nonce, NONCE_SIZE);
    join(&what, seal->public_key, PUBLIC_SIZE);
    EVP_Digest(what.data, what.size, keys->transcript, NULL, EVP_sha256(), NULL);
}

/* OpenSSL refuses to derive zeros; whatever else it may refuse is as bad. */
static bool agree(const struct image_keys *keys, const uint8_t other[PUBLIC_SIZE], uint8_t shared[KEY_SIZE])
{
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, other, PUBLIC_SIZE);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(keys->own, NULL);
    size_t size = KEY_SIZE;
    bool good = peer && context && EVP_PKEY_derive_init(context) > 0 &&
                EVP_PKEY_derive_set_peer(context, peer) > 0 && EVP_PKEY_derive(context, shared, &size) > 0 &&
                size == KEY_SIZE;

    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    return good;
}

static bool derive_keys(struct image_keys *keys, uint8_t shared[KEY_SIZE])
{
    EVP_KDF *kind = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kind ? EVP_KDF_CTX_new(kind) : NULL;
    struct joined info = {.size = 0};
    uint8_t both[2 * KEY_SIZE];
    char hash[] = "SHA256";
    bool good;

    join_text(&info, LABEL "keys");
    join(&info, keys->transcript, sizeof(keys->transcript));
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, keys->secret, SECRET_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, shared, KEY_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data, info.size),
        OSSL_PARAM_construct_end(),
    };
    good = context && EVP_KDF_derive(context, both, sizeof(both), parameters) > 0;
    if (good) {
        memcpy(keys->seal_key, both, KEY_SIZE);
        memcpy(keys->result_key, both + KEY_SIZE, KEY_SIZE);
    }
    OPENSSL_cleanse(both, sizeof(both));
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kind);
    return good;
}

static bool decrypt(const struct image_keys *keys, const struct seal *seal, uint8_t *plain)
{
    static const uint8_t nonce[12]; /* the key serves once */
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int size = (int)(seal->size - TAG_SIZE), done = 0;
    uint8_t tag[TAG_SIZE];
    bool good;

    memcpy(tag, seal->sealed + size, TAG_SIZE);
    good = context && EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, keys->seal_key, nonce) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) &&
           EVP_DecryptUpdate(context, NULL, &done, keys->transcript, sizeof(keys->transcript)) &&
           EVP_DecryptUpdate(context, plain, &done, seal->sealed, size) &&
           EVP_DecryptFinal_ex(context, plain + done, &done) > 0;
    EVP_CIPHER_CTX_free(context);
    return good;
}

static bool take_passphrase(const uint8_t *plain, size_t size, uint8_t *passphrase, size_t *length)
{
    size_t n = (size_t)plain[0] << 8 | plain[1];

    if (n == 0 || n > PASSPHRASE_MAX || n + 2 > size || size - n - 2 >= PLAIN_STEP ||
        memchr(plain + 2, 0, n) != NULL)
        return false;
    for (size_t i = n + 2; i < size; i++) {
        if (plain[i])
            return false;
    }
    memcpy(passphrase, plain + 2, n);
    *length = n;
    return true;
}

enum opened keys_open(struct image_keys *keys, const struct seal *seal, uint8_t passphrase[PASSPHRASE_MAX],
                      size_t *length)
{
    uint8_t shared[KEY_SIZE], plain[PLAIN_MAX];
    enum opened opened = SEAL_WEAK_KEY;

    make_transcript(keys, seal);
    if (agree(keys, seal->public_key, shared))
        opened = derive_keys(keys, shared) && decrypt(keys, seal, plain) &&
                         take_passphrase(plain, seal->size - TAG_SIZE, passphrase, length)
                     ? SEAL_OPEN
                     : SEAL_INVALID;
    OPENSSL_cleanse(shared, sizeof(shared));
    OPENSSL_cleanse(plain, sizeof(plain));
    return opened;
}
