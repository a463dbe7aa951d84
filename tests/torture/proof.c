/* SPDX-License-Identifier: Apache-2.0 */
/* The talk with an unlock image: a passphrase is sealed to one that proved itself or not at all, and an image
 * is not called a forger for want of memory.
 */
#include "proof/proof.h"

#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "../unit/proof_peer.h"
#include "failing.h"
#include "proof/keys_priv.h"
#include "scenarios.h"
#include "secrets/secrets.h"

#define PASSPHRASE "correct horse battery staple"

static size_t secure_before; /* bytes of the secure heap in use */

static int start_heap(apr_pool_t *pool)
{
    (void)pool;
    return secrets_process_init() == APR_SUCCESS ? 0 : -1;
}

/* The one event that a line makes. The image says all again, every second, until it is answered. */
static proof_event_e hear(proof_session_t *session, const char *line)
{
    proof_event_e event = PROOF_NONE;

    for (int times = 0; times < 2 && event == PROOF_NONE; times++) {
        const char *at = line;
        apr_size_t left = strlen(line);

        while (left > 0 && event == PROOF_NONE) {
            event = proof_feed(session, &at, &left);
        }
    }
    return event;
}

static torture_verdict_e refuse(const char *text)
{
    TORTURE_SAYS(text);
    if (strstr(text, "memory") == NULL && strstr(text, "OpenSSL") == NULL) {
        TORTURE_BROKEN("accuses: %s", text);
    }
    return TORTURE_REFUSED;
}

static torture_verdict_e talk(proof_session_t *session, peer_t *peer)
{
    const char *line = NULL, *wrong = NULL;
    const char *hello;
    const char *error;
    const char *opened;
    const char *result;

    failing_pause();
    hello = peer_hello(peer);
    failing_resume();
    if (hear(session, hello) != PROOF_HELLO) {
        return refuse(proof_text(session));
    }
    error = proof_seal(session, PASSPHRASE, &line);
    if (error != NULL) {
        return refuse(error);
    }
    failing_pause();
    opened = peer_open_seal(peer, line, &wrong);
    TORTURE_HOLDS(opened != NULL && strcmp(opened, PASSPHRASE) == 0);
    result = peer_result(peer, "unlocked", "none");
    failing_resume();
    if (hear(session, result) != PROOF_RESULT_UNLOCKED) {
        return refuse(proof_text(session));
    }
    failing_pause();
    TORTURE_HOLDS(peer_is_acknowledged(peer, proof_acknowledge(session)));
    failing_resume();
    return TORTURE_WELL;
}

static torture_verdict_e run_proof(apr_pool_t *pool)
{
    static const proof_key_t key = {.bytes = {7}};
    static const proof_boot_t boot = {.job = "job1", .system = "pc1.example", .fence = "1"};
    unsigned char sector[PROOF_SECTOR];
    proof_session_t *session = NULL;
    peer_t peer;
    const char *error;
    torture_verdict_e verdict;

    secure_before = CRYPTO_secure_used();
    error = proof_session_create(&session, &key, &boot, pool);
    if (error != NULL) {
        return refuse(error);
    }
    if (!proof_sector(session, sector)) {
        return TORTURE_REFUSED;
    }
    failing_pause();
    TORTURE_HOLDS(peer_boot(&peer, sector, pool) == NULL);
    failing_resume();
    verdict = talk(session, &peer);
    proof_session_end(session);
    return verdict;
}

/* OpenSSL keeps what its random numbers come from, since the first run. */
static void check_wiped(torture_verdict_e said, apr_pool_t *pool)
{
    (void)said;
    (void)pool;
    TORTURE_HOLDS(!failing_hit->reached || CRYPTO_secure_used() == secure_before);
}

const torture_scenario_t torture_proof_talk = {
    .name = "proof.talk", .start = start_heap, .run = run_proof, .check = check_wiped};

/* ---- the key ------------------------------------------------------------------------------------------- */

static const char *key_file(apr_pool_t *pool)
{
    return apr_pstrcat(pool, torture_folder(), "/proof.key", NULL);
}

static void remove_key(apr_pool_t *pool)
{
    unlink(key_file(pool));
}

static torture_verdict_e run_key(apr_pool_t *pool)
{
    proof_key_t *key = NULL;
    const char *error = proof_key_make("proof-key", key_file(pool), pool);

    if (error == NULL) {
        error = proof_key_read(&key, "proof-key", key_file(pool), pool);
    }
    TORTURE_HOLDS((key != NULL) == (error == NULL));
    if (error != NULL) {
        TORTURE_SAYS(error);
        TORTURE_HOLDS(strstr(error, "is no proof key") == NULL);
        return TORTURE_REFUSED;
    }
    return TORTURE_WELL;
}

/* Whole, or not there; and the draft beside it is gone. */
static void check_key(torture_verdict_e said, apr_pool_t *pool)
{
    struct stat info;
    int is_there = stat(key_file(pool), &info) == 0;
    glob_t drafts;

    TORTURE_HOLDS(is_there || said == TORTURE_REFUSED);
    TORTURE_HOLDS(!is_there || (info.st_size == 65 && (info.st_mode & 07777) == 0600 && info.st_nlink == 1));
    TORTURE_HOLDS(glob(apr_pstrcat(pool, key_file(pool), ".*", NULL), 0, NULL, &drafts) == GLOB_NOMATCH);
    globfree(&drafts);
}

const torture_scenario_t torture_proof_key = {
    .name = "proof.key", .start = start_heap, .reset = remove_key, .run = run_key, .check = check_key};
