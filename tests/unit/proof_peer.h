/* SPDX-License-Identifier: Apache-2.0 */
/* The image's side of the proof, for tests: written from mod_amtunlock/proof/README.md alone, sharing no code
 * with the worker's side, so that a misreading by either shows. It takes whole lines: noise is for the tests
 * to make.
 */
#ifndef AMTUNLOCK_TESTS_PROOF_PEER_H
#define AMTUNLOCK_TESTS_PROOF_PEER_H

#include <apr_pools.h>

typedef struct {
    apr_pool_t *pool;
    char id[256];
    unsigned char s[32], nonce[32], private_key[32], public_key[32];
    unsigned char transcript[32], seal_key[32], result_key[32];
    unsigned char said[32]; /* MAC of the last result or refusal */
} peer_t;

/* Boots: reads the sector that is served to it. NULL, or what is wrong with the sector. Nonce and key are
 * random, but that a test may set them afterwards, with peer_set_keys(). */
const char *peer_boot(peer_t *peer, const unsigned char sector[2048], apr_pool_t *pool);
void peer_set_keys(peer_t *peer, const unsigned char nonce[32], const unsigned char private_key[32]);

/* What it says, without the line ends. */
const char *peer_hello(peer_t *peer);
const char *peer_result(peer_t *peer, const char *outcome, const char *reason);
const char *peer_refusal(peer_t *peer, const char *reason);

/* The passphrase in a seal line, or NULL and *wrong says what does not fit. */
const char *peer_open_seal(peer_t *peer, const char *line, const char **wrong);
/* True if the line acknowledges what was said last. */
int peer_is_acknowledged(peer_t *peer, const char *line);

/* A frame around a body like "1,hello,...", its check made right. */
const char *peer_frame(const char *body, apr_pool_t *pool);
const char *peer_hex(const unsigned char *bytes, size_t length, apr_pool_t *pool);

#endif
