/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a serial line may bring to the unlock image's side of the proof.
 *
 * An input is a play: the first byte is the size of the portions in which the line gives its bytes, then acts follow, a
 * letter each and what belongs to it. The boot is the one whose numbers the protocol's page has, so the worker's lines are
 * those of the page: no fuzzer would hit upon a seal.
 *
 *   n LENGTH BYTES    noise                        r N    the Nth result of the try
 *   f LENGTH BYTES    a frame, its check right     u      the image refuses
 *   s                 the worker's seal            t N    N seconds go by
 *   d AT BYTE         the seal, a byte changed     a      the acknowledgement of `unlocked`
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/talk_priv.h"
#include "require.h"

#define PASSPHRASE "correct horse battery staple"
#define ACTS_MAX 64

static const char page_seal[] =
    "$AMTU,1,seal,404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f,"
    "493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d,"
    "da9645594bdb35fb1a35550a311539857af4c1e9492963859abafc32cc09cbf752b6f619b41f48f60e2ee9ab08c272e9fb664fe2"
    "09b1ff6dfa2152521ebca3a4cfc135a2650da1c0f09065c331d21f43ed62b11c6d6339641529dc963aa787c508a9d567975eec9b"
    "0415c34a1a9560f4bb96327990f97096c8b05b0b939904a9833596bf00ef9bcb61d4aaa47cd548a4*3ee53d95\r";
static const char page_ack[] =
    "$AMTU,1,ack,ae7fa1785877bb826070e6f6020472ae43eb2a4fec92c2b808a7a69d0dc3aba6*4c61ca85\r";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    keys_t keys;
    talk_t talk;
    image_passphrase_t passphrase;
    const uint8_t *data;
    size_t size, portion;
    long now;
    int sealed, acknowledged; /* the line brought the page's lines, unchanged */
    int unlocked;             /* what the image said is what the page's acknowledgement is for */
    talk_state_e last;
} play_t;

static uint8_t take_byte(play_t *play)
{
    if (play->size == 0)
        return 0;
    play->size--;
    return *play->data++;
}

/* What is said: one frame, and nothing of the passphrase. */
static void judge_line(const talk_t *talk, const char *line)
{
    size_t length = strlen(line);

    REQUIRE(talk->state == TALK_GREETING || talk->state == TALK_SAYING);
    REQUIRE(length < TALK_LINE_MAX && strncmp(line, "\r\n$AMTU,1,", 10) == 0);
    REQUIRE(strcmp(line + length - 2, "\r\n") == 0 && line[length - 11] == '*');
    REQUIRE((talk->state == TALK_GREETING) == (strncmp(line + 10, "hello,", 6) == 0));
}

static void judge(play_t *play)
{
    const talk_t *talk = &play->talk;

    REQUIRE(talk->state >= play->last);
    REQUIRE(talk->length <= TALK_FRAME_MAX);
    if (talk->state == TALK_TRYING) {
        REQUIRE(play->sealed);
        REQUIRE(play->passphrase.length == strlen(PASSPHRASE));
        REQUIRE(memcmp(play->passphrase.bytes, PASSPHRASE, strlen(PASSPHRASE)) == 0);
    }
    REQUIRE(!talk->heard || (talk->state == TALK_OVER && play->acknowledged && play->unlocked));
    play->last = talk->state;
}

static void show(play_t *play, const char *bytes, size_t length)
{
    while (length > 0) {
        /* from a block of its own, so that reading past a portion shows */
        size_t portion = length < play->portion ? length : play->portion;
        char *block = malloc(portion);

        memcpy(block, bytes, portion);
        talk_take(&play->talk, block, portion, &play->passphrase);
        judge(play);
        free(block);
        bytes += portion;
        length -= portion;
    }
}

static void show_noise(play_t *play)
{
    size_t length = take_byte(play);

    length = length < play->size ? length : play->size;
    play->data += length;
    play->size -= length;
    show(play, (const char *)play->data - length, length);
}

/* The image's side takes the check from the same SHA-256. */
static void show_frame(play_t *play)
{
    char frame[300] = "$AMTU,";
    unsigned char hash[KEYS_BYTES];
    size_t length = take_byte(play), whole;

    length = length < play->size ? length : play->size;
    memcpy(frame + 6, play->data, length);
    play->data += length;
    play->size -= length;
    whole = 6 + length;
    REQUIRE(keys_hash(frame + 1, whole - 1, hash));
    snprintf(frame + whole, sizeof(frame) - whole, "*%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
    show(play, frame, whole + 9);
}

static void show_damaged(play_t *play)
{
    char seal[sizeof(page_seal)];
    size_t at = (size_t)take_byte(play) * 2 % (sizeof(seal) - 1);

    memcpy(seal, page_seal, sizeof(seal));
    seal[at] = (char)take_byte(play);
    play->sealed |= memcmp(seal, page_seal, sizeof(seal) - 2) == 0; /* what ends its line is none of it */
    show(play, seal, sizeof(seal) - 1);
}

static void say_result(play_t *play)
{
    static const image_result_t results[] = {
        {IMAGE_UNLOCKED, "none"}, {IMAGE_WRONG_PASSPHRASE, "none"}, {IMAGE_FAILED, IMAGE_NO_SYSTEM}};
    const image_result_t *result = &results[take_byte(play) % 3];

    if (play->talk.state == TALK_TRYING) {
        play->unlocked = result->outcome == IMAGE_UNLOCKED;
        talk_result(&play->talk, result);
    }
}

static void pass_time(play_t *play)
{
    long wait;

    for (int seconds = take_byte(play); seconds >= 0; seconds--, play->now += 1000) {
        const char *line = talk_due(&play->talk, play->now, &wait);

        REQUIRE(wait > 0 && wait <= 1000);
        if (line != NULL)
            judge_line(&play->talk, line);
        judge(play);
    }
}

static void act(play_t *play)
{
    switch (take_byte(play)) {
    case 'n':
        show_noise(play);
        break;
    case 'f':
        show_frame(play);
        break;
    case 's':
        play->sealed = 1;
        show(play, page_seal, sizeof(page_seal) - 1);
        break;
    case 'd':
        show_damaged(play);
        break;
    case 'r':
        say_result(play);
        break;
    case 'u':
        if (play->talk.state == TALK_GREETING)
            talk_refuse(&play->talk, IMAGE_NO_DISK);
        break;
    case 't':
        pass_time(play);
        break;
    case 'a':
        play->acknowledged = 1;
        show(play, page_ack, sizeof(page_ack) - 1);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    play_t play = {.keys = {.id = "pc1.example.com"}, .data = data, .size = size};

    for (unsigned i = 0; i < KEYS_BYTES; i++) {
        play.keys.s[i] = (unsigned char)i;
        play.keys.nonce[i] = (unsigned char)(0x20 + i);
        play.keys.private_key[i] = (unsigned char)(0x60 + i);
    }
    REQUIRE(keys_make_public(&play.keys));
    talk_begin(&play.talk, &play.keys);
    play.portion = 1U + take_byte(&play);
    for (int acts = 0; acts < ACTS_MAX && play.size > 0; acts++)
        act(&play);
    judge(&play);
    return 0;
}
