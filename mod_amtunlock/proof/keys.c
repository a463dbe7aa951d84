/* SPDX-License-Identifier: Apache-2.0 */
/* What makes the proof: HMAC, X25519, HKDF and AES-GCM, as README.md puts them together. */
#include "proof/keys_priv.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/digest.h"

#define TAG_BYTES 16
#define NONCE_BYTES 12
#define PADDED_TO 128
#define PLAIN_MAX (PROOF_SEALED_MAX - TAG_BYTES)
#define KEYS_LABEL "amtunlock-proof-1 keys"

/* both keys come out of one derivation */
_Static_assert(sizeof(proof_keys_t) == 2UL * PROOF_BYTES, "the keys stand one behind the other");

/* ---- what is hashed ------------------------------------------------------------------------------------ */

void proof_words_begin(proof_words_t *words, const char *label)
{
    words->length = 0;
    proof_words_add(words, label, strlen(label));
}

void proof_words_add(proof_words_t *words, const void *bytes, apr_size_t length)
{
    OPENSSL_assert(length <= sizeof(words->bytes) - words->length);
    memcpy(words->bytes + words->length, bytes, length);
    words->length += length;
}

void proof_words_add_name(proof_words_t *words, const char *name)
{
    unsigned char length = (unsigned char)strlen(name);

    proof_words_add(words, &length, 1);
    proof_words_add(words, name, length);
}

int proof_hash(const proof_words_t *words, unsigned char hash[PROOF_BYTES])
{
    return digest_sha256(words->bytes, words->length, hash);
}

int proof_mac(const unsigned char key[PROOF_BYTES], const proof_words_t *words,
              unsigned char mac[PROOF_BYTES])
{
    size_t length = 0;

    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, PROOF_BYTES, words->bytes, words->length, mac,
                     PROOF_BYTES, &length) != NULL &&
           length == PROOF_BYTES;
}

/* ---- agreeing on keys ---------------------------------------------------------------------------------- */

EVP_PKEY *proof_key_pair(unsigned char public_key[PROOF_BYTES])
{
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    size_t length = PROOF_BYTES;

    if (pair != NULL &&
        (EVP_PKEY_get_raw_public_key(pair, public_key, &length) != 1 || length != PROOF_BYTES)) {
        EVP_PKEY_free(pair);
        pair = NULL;
    }
    return pair;
}

/* OpenSSL refuses a public key that makes the shared secret zero. */
static int derive_shared(EVP_PKEY *own, const unsigned char other[PROOF_BYTES],
                         unsigned char shared[PROOF_BYTES])
{
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, other, PROOF_BYTES);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    size_t length = PROOF_BYTES;
    int good = peer != NULL && context != NULL && EVP_PKEY_derive_init(context) == 1 &&
               EVP_PKEY_derive_set_peer(context, peer) == 1 &&
               EVP_PKEY_derive(context, shared, &length) == 1 && length == PROOF_BYTES;

    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    return good;
}

/* HKDF-SHA256 of a key of PROOF_BYTES. `salt`: the same length, or NULL. */
static int derive_bytes(const unsigned char *key, const unsigned char *salt, const proof_words_t *info,
                        unsigned char *bytes, size_t length)
{
    OSSL_PARAM parameters[5], *next = parameters;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int good;

    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, PROOF_BYTES);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info->bytes, info->length);
    if (salt != NULL) {
        *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, PROOF_BYTES);
    }
    *next = OSSL_PARAM_construct_end();
    good = context != NULL && EVP_KDF_derive(context, bytes, length, parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return good;
}

int proof_derive_secret(const proof_key_t *key, const proof_words_t *boot, unsigned char s[PROOF_BYTES])
{
    return derive_bytes(key->bytes, NULL, boot, s, PROOF_BYTES);
}

static int derive_keys(const unsigned char s[PROOF_BYTES], const unsigned char shared[PROOF_BYTES],
                       const unsigned char transcript[PROOF_BYTES], proof_keys_t *keys)
{
    proof_words_t info;

    proof_words_begin(&info, KEYS_LABEL);
    proof_words_add(&info, transcript, PROOF_BYTES);
    return derive_bytes(shared, s, &info, (unsigned char *)keys, sizeof(*keys));
}

int proof_agree(EVP_PKEY *own, const unsigned char other[PROOF_BYTES], const unsigned char s[PROOF_BYTES],
                const unsigned char transcript[PROOF_BYTES], proof_keys_t *keys)
{
    unsigned char *shared = OPENSSL_secure_zalloc(PROOF_BYTES);
    int good;

    good = shared != NULL && derive_shared(own, other, shared) && derive_keys(s, shared, transcript, keys);
    OPENSSL_secure_clear_free(shared, PROOF_BYTES);
    return good;
}

/* ---- the seal ------------------------------------------------------------------------------------------ */

static int encrypt_seal(const unsigned char *key, const unsigned char *transcript, const unsigned char *plain,
                        int length, unsigned char *sealed)
{
    static const unsigned char nonce[NONCE_BYTES]; /* zeros: the key serves for one message */
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int part;
    int good = context != NULL && EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
               EVP_EncryptUpdate(context, NULL, &part, transcript, PROOF_BYTES) == 1 &&
               EVP_EncryptUpdate(context, sealed, &part, plain, length) == 1 && part == length &&
               EVP_EncryptFinal_ex(context, sealed + length, &part) == 1 && part == 0 &&
               EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, sealed + length) == 1;

    EVP_CIPHER_CTX_free(context);
    return good;
}

apr_size_t proof_seal_bytes(const unsigned char key[PROOF_BYTES], const unsigned char transcript[PROOF_BYTES],
                            const char *passphrase, apr_size_t length, unsigned char sealed[PROOF_SEALED_MAX])
{
    apr_size_t padded = (2 + length + PADDED_TO - 1) / PADDED_TO * PADDED_TO;
    unsigned char *plain = padded <= PLAIN_MAX ? OPENSSL_secure_zalloc(PLAIN_MAX) : NULL;
    int good = 0;

    if (plain != NULL) {
        plain[0] = (unsigned char)(length >> 8);
        plain[1] = (unsigned char)length;
        memcpy(plain + 2, passphrase, length);
        good = encrypt_seal(key, transcript, plain, (int)padded, sealed);
    }
    OPENSSL_secure_clear_free(plain, PLAIN_MAX);
    return good ? padded + TAG_BYTES : 0;
}
