/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a serial console may show to the worker's side of the image's proof.
 *
 * An input is a play: the first byte is the size of the portions in which the console gives its bytes, then
 * acts follow, a letter each and what belongs to it. The image's own lines are made by the peer of the unit
 * tests, as no fuzzer would hit upon an HMAC; noise, foreign frames and bytes that break into a line are the
 * input's.
 *
 *   n LENGTH BYTES    noise                     s      the worker seals
 *   f LENGTH BYTES    a frame, its check right  r N    the image's Nth result
 *   h                 the image says hello      u      the image refuses
 *   d AT BYTE         hello with a byte changed b      the PC boots again
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/proof_peer.h"
#include "proof/keys_priv.h"
#include "proof/proof.h"
#include "require.h"

#define PASSPHRASE "correct horse battery staple"
#define ACTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    apr_pool_t *pool;
    proof_session_t *session;
    unsigned char sector[PROOF_SECTOR];
    peer_t peer;
    const uint8_t *data;
    size_t size, portion;
    int has_key; /* this boot of the image opened the seal */
    int seals;
    int counts[PROOF_BROKEN + 1]; /* of each event */
    int answered;                 /* the image said a result or a refusal that may be believed */
} play_t;

static uint8_t take_byte(play_t *play)
{
    if (play->size == 0)
        return 0;
    play->size--;
    return *play->data++;
}

/* A length and as many bytes, terminated. */
static char *take_bytes(play_t *play, size_t *length)
{
    char *bytes;

    *length = take_byte(play);
    if (*length > play->size)
        *length = play->size;
    bytes = apr_pstrmemdup(play->pool, (const char *)play->data, *length);
    play->data += *length;
    play->size -= *length;
    return bytes;
}

/* What the caller relies on, whatever comes. */
static void judge(play_t *play, proof_event_e event)
{
    int results;

    play->counts[event]++;
    results = play->counts[PROOF_RESULT_UNLOCKED] + play->counts[PROOF_RESULT_WRONG] +
              play->counts[PROOF_RESULT_FAILED];
    REQUIRE(play->counts[PROOF_HELLO] <= 1);
    REQUIRE(play->counts[PROOF_BROKEN] + results <= 1);
    REQUIRE(results == 0 || play->answered);
    REQUIRE(play->counts[PROOF_AGAIN] == 0 || results == 1);
    REQUIRE((proof_acknowledge(play->session) != NULL) == (results == 1));
    REQUIRE(event != PROOF_BROKEN || *proof_text(play->session) != '\0');
    for (const char *c = proof_text(play->session); *c; c++)
        REQUIRE(*c >= ' ' && *c <= '~');
}

static void show(play_t *play, const char *bytes, size_t length)
{
    while (length > 0) {
        /* from a block of its own, so that reading past a portion shows */
        size_t portion = length < play->portion ? length : play->portion;
        char *block = malloc(portion);
        const char *at = block;
        apr_size_t left = portion;

        memcpy(block, bytes, portion);
        while (left > 0) {
            judge(play, proof_feed(play->session, &at, &left));
            REQUIRE(at == block + portion - left);
        }
        free(block);
        bytes += portion;
        length -= portion;
    }
}

static void show_text(play_t *play, const char *text)
{
    show(play, text, strlen(text));
}

static void boot(play_t *play)
{
    REQUIRE(peer_boot(&play->peer, play->sector, play->pool) == NULL);
    play->has_key = 0;
}

static void damage_hello(play_t *play)
{
    char *hello = apr_pstrdup(play->pool, peer_hello(&play->peer));

    hello[take_byte(play) % strlen(hello)] = (char)take_byte(play);
    show(play, hello, strlen(peer_hello(&play->peer)));
}

static void seal(play_t *play)
{
    const char *line, *wrong, *opened;
    const char *error = proof_seal(play->session, PASSPHRASE, &line);

    REQUIRE((error == NULL) == (line != NULL));
    if (error != NULL)
        return;
    play->seals++;
    REQUIRE(play->seals == 1 && play->counts[PROOF_HELLO] == 1 && play->counts[PROOF_BROKEN] == 0);
    opened = peer_open_seal(&play->peer, line, &wrong);
    play->has_key = opened != NULL;
    REQUIRE(opened == NULL || strcmp(opened, PASSPHRASE) == 0);
}

static void say_result(play_t *play)
{
    static const char *const results[][2] = {{"unlocked", "none"},
                                             {"wrong-passphrase", "none"},
                                             {"failed", "time-out"},
                                             {"failed", "on-fire"},
                                             {"opened", "none"}};
    unsigned int which = take_byte(play) % 5;
    const char *result = peer_result(&play->peer, results[which][0], results[which][1]);

    play->answered |= play->has_key;
    show_text(play, result);
}

static void say_refusal(play_t *play)
{
    play->answered = 1;
    show_text(play, peer_refusal(&play->peer, "no-disk"));
}

static void act(play_t *play)
{
    size_t length;
    char *bytes;

    switch (take_byte(play)) {
    case 'n':
        bytes = take_bytes(play, &length);
        show(play, bytes, length);
        break;
    case 'f':
        show_text(play, peer_frame(take_bytes(play, &length), play->pool));
        break;
    case 'h':
        show_text(play, peer_hello(&play->peer));
        break;
    case 'd':
        damage_hello(play);
        break;
    case 's':
        seal(play);
        break;
    case 'r':
        say_result(play);
        break;
    case 'u':
        say_refusal(play);
        break;
    case 'b':
        boot(play);
        break;
    default:
        break;
    }
}

static apr_pool_t *root_pool(void)
{
    static apr_pool_t *root;

    if (root == NULL) {
        apr_initialize();
        apr_pool_create(&root, NULL);
    }
    return root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const proof_key_t key = {.bytes = {7}};
    static const proof_boot_t names = {.job = "job1", .system = "pc1.example.com", .fence = "1"};
    play_t play = {.data = data, .size = size};

    apr_pool_create(&play.pool, root_pool());
    REQUIRE(proof_session_create(&play.session, &key, &names, play.pool) == NULL);
    proof_sector(play.session, play.sector);
    boot(&play);
    play.portion = 1U + take_byte(&play);
    for (int acts = 0; acts < ACTS_MAX && play.size > 0; acts++)
        act(&play);
    apr_pool_destroy(play.pool);
    return 0;
}
