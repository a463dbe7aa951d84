/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the proof: MACs, the agreement on keys, and the seal (README.md, section 4). All of it is OpenSSL's
 * EVP; the callers keep its error queue clean. Functions that give an int give 0 where OpenSSL fails.
 */
#ifndef AMTUNLOCK_PROOF_KEYS_PRIV_H
#define AMTUNLOCK_PROOF_KEYS_PRIV_H

#include <apr.h>
#include <openssl/types.h>

#include "proof/proof_key.h"

#define PROOF_BYTES 32       /* of S, a nonce, a key, a MAC, a hash */
#define PROOF_SEALED_MAX 656 /* bytes of the longest passphrase, sealed */

/* What is hashed: a label and fields, one behind the other. */
typedef struct {
    unsigned char bytes[512]; /* the longest: the names of a boot, at most 430 bytes */
    apr_size_t length;
} proof_words_t;

void proof_words_begin(proof_words_t *words, const char *label);
void proof_words_add(proof_words_t *words, const void *bytes, apr_size_t length);
/* Its length in one byte before it. */
void proof_words_add_name(proof_words_t *words, const char *name);

int proof_hash(const proof_words_t *words, unsigned char hash[PROOF_BYTES]);
int proof_mac(const unsigned char key[PROOF_BYTES], const proof_words_t *words,
              unsigned char mac[PROOF_BYTES]);

/* In the secure heap. */
struct proof_key_t {
    unsigned char bytes[PROOF_BYTES];
    char id[PROOF_KEY_ID_DIGITS + 1];
};

/* S of one boot: HKDF-SHA256 without a salt. */
int proof_derive_secret(const proof_key_t *key, const proof_words_t *boot, unsigned char s[PROOF_BYTES]);

/* What both sides know once a seal was opened; to be kept in the secure heap. */
typedef struct {
    unsigned char seal[PROOF_BYTES];
    unsigned char result[PROOF_BYTES];
} proof_keys_t;

/* A key pair for one seal. NULL if OpenSSL fails; free with EVP_PKEY_free(). */
EVP_PKEY *proof_key_pair(unsigned char public_key[PROOF_BYTES]);
/* Kseal and Kresult; 0 also if the other's public key is of no use. */
int proof_agree(EVP_PKEY *own, const unsigned char other[PROOF_BYTES], const unsigned char s[PROOF_BYTES],
                const unsigned char transcript[PROOF_BYTES], proof_keys_t *keys);
/* Bytes sealed, or 0. `length` is 1 to 512. */
apr_size_t proof_seal_bytes(const unsigned char key[PROOF_BYTES], const unsigned char transcript[PROOF_BYTES],
                            const char *passphrase, apr_size_t length,
                            unsigned char sealed[PROOF_SEALED_MAX]);

#endif
