/* SPDX-License-Identifier: Apache-2.0 */
#include "image/keys_priv.h"

#include <string.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define MARKER "amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n"
#define VERSION_AT 64
#define SESSION_AT 65
#define ID_LENGTH_AT 66
#define ZERO_AT 67
#define S_AT 68
#define ID_AT 100
#define HASH_AT 2016

#define TAG_BYTES 16
#define NONCE_BYTES 12
#define PADDED_TO 128
#define PLAIN_MAX (KEYS_SEALED_MAX - TAG_BYTES)

/* both keys come out of one derivation */
_Static_assert(sizeof(((keys_t *)NULL)->derived) == 2UL * KEYS_BYTES, "the keys stand one behind the other");

void keys_wipe(void *bytes, size_t length)
{
    OPENSSL_cleanse(bytes, length);
}

int keys_same(const unsigned char one[KEYS_BYTES], const unsigned char other[KEYS_BYTES])
{
    return CRYPTO_memcmp(one, other, KEYS_BYTES) == 0;
}

int keys_hash(const void *bytes, size_t length, unsigned char hash[KEYS_BYTES])
{
    return EVP_Digest(bytes, length, hash, NULL, EVP_sha256(), NULL) == 1;
}

/* ---- the sector ---------------------------------------------------------------------------------------- */

static int all_zero(const unsigned char *bytes, size_t length)
{
    unsigned char any = 0;

    for (size_t i = 0; i < length; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

static int is_id(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\0' || strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", bytes[i]) == NULL) {
            return 0;
        }
    }
    return length >= 1 && length <= KEYS_ID_MAX;
}

int keys_take_sector(keys_t *keys, const unsigned char sector[KEYS_SECTOR])
{
    unsigned char hash[KEYS_BYTES];
    size_t length = sector[ID_LENGTH_AT];
    int good = memcmp(sector, MARKER, VERSION_AT) == 0 && sector[VERSION_AT] == 1 &&
               sector[SESSION_AT] == 1 && sector[ZERO_AT] == 0 && is_id(sector + ID_AT, length) &&
               all_zero(sector + ID_AT + length, HASH_AT - ID_AT - length) &&
               keys_hash(sector, HASH_AT, hash) && memcmp(hash, sector + HASH_AT, KEYS_BYTES) == 0;

    if (good) {
        memcpy(keys->s, sector + S_AT, KEYS_BYTES);
        memcpy(keys->id, sector + ID_AT, length);
        keys->id[length] = '\0';
    }
    return good;
}

/* ---- what is hashed ------------------------------------------------------------------------------------ */

/* Room for the longest: a label, the id with its length, two nonces, two public keys. */
typedef struct {
    unsigned char bytes[512];
    size_t length;
} words_t;

static void words_add(words_t *words, const void *bytes, size_t length)
{
    OPENSSL_assert(length <= sizeof(words->bytes) - words->length);
    memcpy(words->bytes + words->length, bytes, length);
    words->length += length;
}

static void words_add_text(words_t *words, const char *text)
{
    words_add(words, text, strlen(text));
}

static void words_add_id(words_t *words, const keys_t *keys)
{
    unsigned char length = (unsigned char)strlen(keys->id);

    words_add(words, &length, 1);
    words_add(words, keys->id, length);
}

static int mac_of(const unsigned char key[KEYS_BYTES], const words_t *words, unsigned char mac[KEYS_BYTES])
{
    size_t length = 0;

    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, KEYS_BYTES, words->bytes, words->length, mac,
                     KEYS_BYTES, &length) != NULL &&
           length == KEYS_BYTES;
}

int keys_hello(const keys_t *keys, unsigned char mac[KEYS_BYTES])
{
    words_t words = {.length = 0};

    words_add_text(&words, "amtunlock-proof-1 hello");
    words_add_id(&words, keys);
    words_add(&words, keys->nonce, KEYS_BYTES);
    words_add(&words, keys->public_key, KEYS_BYTES);
    return mac_of(keys->s, &words, mac);
}

int keys_refusal(const keys_t *keys, const char *reason, unsigned char mac[KEYS_BYTES])
{
    words_t words = {.length = 0};

    words_add_text(&words, "amtunlock-proof-1 refusal");
    words_add_id(&words, keys);
    words_add(&words, keys->nonce, KEYS_BYTES);
    words_add_text(&words, reason);
    return mac_of(keys->s, &words, mac);
}

int keys_result(const keys_t *keys, const char *outcome, const char *reason, unsigned char mac[KEYS_BYTES])
{
    words_t words = {.length = 0};

    words_add_text(&words, "amtunlock-proof-1 result");
    words_add(&words, keys->transcript, KEYS_BYTES);
    words_add_text(&words, outcome);
    words_add_text(&words, ",");
    words_add_text(&words, reason);
    return mac_of(keys->derived.result, &words, mac);
}

int keys_acknowledgement(const keys_t *keys, const unsigned char heard[KEYS_BYTES],
                         unsigned char mac[KEYS_BYTES])
{
    words_t words = {.length = 0};

    words_add_text(&words, "amtunlock-proof-1 ack");
    words_add(&words, heard, KEYS_BYTES);
    return mac_of(keys->s, &words, mac);
}

/* ---- agreeing on keys ---------------------------------------------------------------------------------- */

int keys_make_public(keys_t *keys)
{
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, keys->private_key, KEYS_BYTES);
    size_t length = KEYS_BYTES;
    int good = own != NULL && EVP_PKEY_get_raw_public_key(own, keys->public_key, &length) == 1 &&
               length == KEYS_BYTES;

    EVP_PKEY_free(own);
    return good;
}

int keys_make(keys_t *keys)
{
    return getrandom(keys->nonce, KEYS_BYTES, 0) == KEYS_BYTES &&
           getrandom(keys->private_key, KEYS_BYTES, 0) == KEYS_BYTES && keys_make_public(keys);
}

/* OpenSSL refuses a public key that makes the shared secret zero. */
static int derive_shared(const keys_t *keys, const unsigned char other[KEYS_BYTES],
                         unsigned char shared[KEYS_BYTES])
{
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, keys->private_key, KEYS_BYTES);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, other, KEYS_BYTES);
    EVP_PKEY_CTX *context = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    size_t length = KEYS_BYTES;
    int good = peer != NULL && context != NULL && EVP_PKEY_derive_init(context) == 1 &&
               EVP_PKEY_derive_set_peer(context, peer) == 1 &&
               EVP_PKEY_derive(context, shared, &length) == 1 && length == KEYS_BYTES;

    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return good;
}

static int derive_keys(keys_t *keys, unsigned char shared[KEYS_BYTES])
{
    words_t info = {.length = 0};
    OSSL_PARAM parameters[5], *next = parameters;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int good;

    words_add_text(&info, "amtunlock-proof-1 keys");
    words_add(&info, keys->transcript, KEYS_BYTES);
    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, keys->s, KEYS_BYTES);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, shared, KEYS_BYTES);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.bytes, info.length);
    *next = OSSL_PARAM_construct_end();
    good = context != NULL &&
           EVP_KDF_derive(context, (unsigned char *)&keys->derived, sizeof(keys->derived), parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return good;
}

static int agree(keys_t *keys, const unsigned char nonce[KEYS_BYTES],
                 const unsigned char public_key[KEYS_BYTES])
{
    unsigned char shared[KEYS_BYTES];
    words_t words = {.length = 0};
    int good;

    words_add_text(&words, "amtunlock-proof-1 transcript");
    words_add_id(&words, keys);
    words_add(&words, keys->nonce, KEYS_BYTES);
    words_add(&words, keys->public_key, KEYS_BYTES);
    words_add(&words, nonce, KEYS_BYTES);
    words_add(&words, public_key, KEYS_BYTES);
    good = derive_shared(keys, public_key, shared) &&
           keys_hash(words.bytes, words.length, keys->transcript) && derive_keys(keys, shared);
    keys_wipe(shared, sizeof(shared));
    return good;
}

/* ---- the seal ------------------------------------------------------------------------------------------ */

static int decrypt(const keys_t *keys, const unsigned char *sealed, size_t length, unsigned char *plain)
{
    static const unsigned char nonce[NONCE_BYTES]; /* zeros: the key serves for one message */
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    unsigned char tag[TAG_BYTES];
    int part, size = (int)(length - TAG_BYTES), good;

    memcpy(tag, sealed + size, TAG_BYTES);
    good = context != NULL &&
           EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, keys->derived.seal, nonce) == 1 &&
           EVP_DecryptUpdate(context, NULL, &part, keys->transcript, KEYS_BYTES) == 1 &&
           EVP_DecryptUpdate(context, plain, &part, sealed, size) == 1 && part == size &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(context, plain + size, &part) == 1;
    EVP_CIPHER_CTX_free(context);
    return good;
}

/* True if the plaintext is a passphrase with no more padding than it needs. */
static int take_passphrase(const unsigned char *plain, size_t size, image_passphrase_t *passphrase)
{
    size_t length = (size_t)plain[0] << 8 | plain[1];
    size_t padded = (2 + length + PADDED_TO - 1) / PADDED_TO * PADDED_TO;

    if (length == 0 || length > IMAGE_PASSPHRASE_MAX || padded != size ||
        memchr(plain + 2, 0, length) != NULL || !all_zero(plain + 2 + length, size - 2 - length)) {
        return 0;
    }
    memcpy(passphrase->bytes, plain + 2, length);
    passphrase->length = length;
    return 1;
}

keys_seal_e keys_open(keys_t *keys, const unsigned char nonce[KEYS_BYTES],
                      const unsigned char public_key[KEYS_BYTES], const unsigned char *sealed, size_t length,
                      image_passphrase_t *passphrase)
{
    unsigned char plain[PLAIN_MAX];
    int good;

    if (length < PADDED_TO + TAG_BYTES || length > KEYS_SEALED_MAX || !agree(keys, nonce, public_key)) {
        return KEYS_REFUSED;
    }
    good = decrypt(keys, sealed, length, plain) && take_passphrase(plain, length - TAG_BYTES, passphrase);
    keys_wipe(plain, sizeof(plain));
    return good ? KEYS_OPENED : KEYS_INVALID;
}
