/* SPDX-License-Identifier: Apache-2.0 */
/* A session of the worker's side, and the PC that was booted through it: for the tests of the proof. */
#ifndef AMTUNLOCK_TESTS_PROOF_FIXTURE_H
#define AMTUNLOCK_TESTS_PROOF_FIXTURE_H

#include "proof/keys_priv.h"
#include "proof/proof.h"
#include "proof_peer.h"

#define SYSTEM "pc1.example.com"
/* The boot of SYSTEM under a fence. */
#define BOOT(number) (&(proof_boot_t){.job = "job1", .system = SYSTEM, .fence = (number)})
#define PASSPHRASE "correct horse battery staple"

typedef struct {
    apr_pool_t *pool;
    proof_key_t key;
    int boots;
    proof_session_t *session;
    unsigned char sector[PROOF_SECTOR];
    peer_t peer;
} proof_fixture_t;

int proof_fixture_setup(void **state);
int proof_fixture_teardown(void **state);

/* Another boot, another session. */
void begin(proof_fixture_t *fixture);
/* The same boot again, as a worker does it that takes over: the PC is where it was. */
void take_over(proof_fixture_t *fixture);
/* The one event that all of a text makes; PROOF_NONE if none. */
proof_event_e hear(const proof_fixture_t *fixture, const char *text);
/* The line with PASSPHRASE sealed. */
const char *seal_it(const proof_fixture_t *fixture);
/* From the beginning as far as that the image has the passphrase. */
void give_passphrase(proof_fixture_t *fixture);

#endif
