/* SPDX-License-Identifier: Apache-2.0 */
/* What the image proves itself with and opens the seal with: sections 2 and 4 of mod_amtunlock/proof/README.md, by
 * OpenSSL. Functions return true, or false where OpenSSL fails; no I/O but the kernel's random numbers. */
#ifndef AMTUNLOCK_IMAGE_KEYS_PRIV_H
#define AMTUNLOCK_IMAGE_KEYS_PRIV_H

#include "image/image_priv.h"

#define KEYS_BYTES 32 /* of S, nonces, keys, hashes and MACs */
#define KEYS_SECTOR 2048
#define KEYS_ID_MAX 253 /* characters of a system id */
#define KEYS_SEALED_MAX 656

/* One boot. Everything is secret but nonce, public_key, id and transcript. */
typedef struct {
    unsigned char s[KEYS_BYTES];
    char id[KEYS_ID_MAX + 1];
    unsigned char nonce[KEYS_BYTES], private_key[KEYS_BYTES], public_key[KEYS_BYTES];
    unsigned char transcript[KEYS_BYTES];
    struct {
        unsigned char seal[KEYS_BYTES], result[KEYS_BYTES];
    } derived; /* after keys_open() */
} keys_t;

typedef enum {
    KEYS_OPENED,
    KEYS_INVALID, /* it does not open, or holds no passphrase */
    KEYS_REFUSED  /* a public key of small order, or OpenSSL fails: nothing was derived */
} keys_seal_e;

/* Takes S and the system id of a session's sector. False for every other sector, with nothing taken. */
int keys_take_sector(keys_t *keys, const unsigned char sector[KEYS_SECTOR]);
/* A new nonce and a new key pair. */
int keys_make(keys_t *keys);
/* The public key of the private one. */
int keys_make_public(keys_t *keys);

int keys_hello(const keys_t *keys, unsigned char mac[KEYS_BYTES]);
int keys_refusal(const keys_t *keys, const char *reason, unsigned char mac[KEYS_BYTES]);
/* After KEYS_OPENED. */
int keys_result(const keys_t *keys, const char *outcome, const char *reason, unsigned char mac[KEYS_BYTES]);
/* The MAC of the acknowledgement of a frame with the MAC `heard`. */
int keys_acknowledgement(const keys_t *keys, const unsigned char heard[KEYS_BYTES],
                         unsigned char mac[KEYS_BYTES]);
/* SHA-256. */
int keys_hash(const void *bytes, size_t length, unsigned char hash[KEYS_BYTES]);
/* True if both are the same, in constant time. */
int keys_same(const unsigned char one[KEYS_BYTES], const unsigned char other[KEYS_BYTES]);

/* Opens a seal of 144 to KEYS_SEALED_MAX bytes. */
keys_seal_e keys_open(keys_t *keys, const unsigned char nonce[KEYS_BYTES],
                      const unsigned char public_key[KEYS_BYTES], const unsigned char *sealed, size_t length,
                      image_passphrase_t *passphrase);

/* Zeros that no compiler takes away. */
void keys_wipe(void *bytes, size_t length);

#endif
