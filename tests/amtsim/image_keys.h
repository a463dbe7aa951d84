/* SPDX-License-Identifier: Apache-2.0 */
/* What the unlock image computes: its keys of one boot, proofs made with them, and the opening of the seal.
 */
#ifndef AMTSIM_IMAGE_KEYS_H
#define AMTSIM_IMAGE_KEYS_H

#include "image_disc.h"

#define NONCE_SIZE 32
#define PUBLIC_SIZE 32
#define MAC_SIZE 32
#define KEY_SIZE 32
#define TAG_SIZE 16
#define PLAIN_STEP 128
#define PLAIN_MAX 640 /* 512 bytes of passphrase, 2 of length, padded */
#define PASSPHRASE_MAX 512

struct image_keys {
    uint8_t secret[SECRET_SIZE];
    uint8_t id[SYSTEM_ID_MAX + 1]; /* behind its length */
    size_t id_size;
    struct evp_pkey_st *own;
    uint8_t nonce[NONCE_SIZE], public_key[PUBLIC_SIZE];
    uint8_t transcript[32], seal_key[KEY_SIZE], result_key[KEY_SIZE]; /* after a seal */
};

/* One of the worker's seals; `sealed` is ciphertext and tag. */
struct seal {
    uint8_t nonce[NONCE_SIZE], public_key[PUBLIC_SIZE];
    uint8_t sealed[PLAIN_MAX + TAG_SIZE];
    size_t size;
};

enum opened {
    SEAL_OPEN,
    SEAL_INVALID,  /* it does not open, or holds no passphrase */
    SEAL_WEAK_KEY, /* the two keys have nothing in common but zeros */
};

/* A new nonce and a new key pair for this secret. False: there is no randomness. */
bool keys_make(struct image_keys *keys, const struct proof_sector *sector);

/* Wipes all of it. */
void keys_wipe(struct image_keys *keys);

void keys_prove_hello(const struct image_keys *keys, uint8_t mac[MAC_SIZE]);

void keys_prove_refusal(const struct image_keys *keys, const char *reason, uint8_t mac[MAC_SIZE]);

/* After a seal that opened. */
void keys_prove_result(const struct image_keys *keys, const char *outcome, const char *reason,
                       uint8_t mac[MAC_SIZE]);

/* Does the worker mean the frame with the proof `heard`? */
bool keys_ack_is_right(const struct image_keys *keys, const uint8_t ack[MAC_SIZE],
                       const uint8_t heard[MAC_SIZE]);

/* *length bytes of passphrase, which the caller wipes. */
enum opened keys_open(struct image_keys *keys, const struct seal *seal, uint8_t passphrase[PASSPHRASE_MAX],
                      size_t *length);

#endif
