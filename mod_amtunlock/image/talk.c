/* SPDX-License-Identifier: Apache-2.0 */
#include "image/talk_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define START "$AMTU,"
#define START_LENGTH (sizeof(START) - 1)
#define SEAL_START START "1,seal,"
#define CHECK_BYTES 4
#define CHECK_DIGITS 8
#define DIGITS "0123456789abcdef"
#define BODY "abcdefghijklmnopqrstuvwxyz0123456789-,*"
#define FIELDS 5 /* version, kind and three more; of a frame with more than that the count is 6 */

#define SECOND 1000L
#define GREETING_MS (120 * SECOND)
#define SAYING_MS (30 * SECOND)

/* ---- writing ------------------------------------------------------------------------------------------- */

static void write_hex(char *digits, const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        digits[2 * i] = DIGITS[bytes[i] >> 4];
        digits[2 * i + 1] = DIGITS[bytes[i] & 15];
    }
    digits[2 * length] = '\0';
}

static int check_of(const char *body, size_t length, char digits[CHECK_DIGITS + 1])
{
    unsigned char hash[KEYS_BYTES];
    int good = keys_hash(body, length, hash);

    if (good) {
        write_hex(digits, hash, CHECK_BYTES);
    }
    return good;
}

/* Says a body from now on, in a state. */
__attribute__((format(printf, 3, 4))) static void talk_say(talk_t *talk, talk_state_e state,
                                                           const char *format, ...)
{
    char body[TALK_LINE_MAX - 32], check[CHECK_DIGITS + 1];
    va_list list;

    va_start(list, format);
    vsnprintf(body, sizeof(body), format, list);
    va_end(list);
    talk->timed = 0;
    talk->length = talk->star = 0;
    talk->state = check_of(body, strlen(body), check) ? state : TALK_OVER;
    if (talk->state != TALK_OVER) {
        snprintf(talk->line, sizeof(talk->line), "\r\n$%s*%s\r\n", body, check);
    }
}

void talk_begin(talk_t *talk, keys_t *keys)
{
    unsigned char mac[KEYS_BYTES];
    char digits[3][2 * KEYS_BYTES + 1];

    memset(talk, 0, sizeof(*talk));
    talk->keys = keys;
    talk->state = TALK_OVER;
    if (keys_hello(keys, mac)) {
        write_hex(digits[0], keys->nonce, KEYS_BYTES);
        write_hex(digits[1], keys->public_key, KEYS_BYTES);
        write_hex(digits[2], mac, KEYS_BYTES);
        talk_say(talk, TALK_GREETING, "AMTU,1,hello,%s,%s,%s", digits[0], digits[1], digits[2]);
    }
}

void talk_refuse(talk_t *talk, const char *reason)
{
    char nonce[2 * KEYS_BYTES + 1], mac[2 * KEYS_BYTES + 1];

    talk->state = TALK_OVER;
    if (keys_refusal(talk->keys, reason, talk->said)) {
        write_hex(nonce, talk->keys->nonce, KEYS_BYTES);
        write_hex(mac, talk->said, KEYS_BYTES);
        talk_say(talk, TALK_SAYING, "AMTU,1,refusal,%s,%s,%s", nonce, reason, mac);
    }
}

void talk_result(talk_t *talk, const image_result_t *result)
{
    static const char *const words[] = {[IMAGE_UNLOCKED] = "unlocked",
                                        [IMAGE_WRONG_PASSPHRASE] = "wrong-passphrase",
                                        [IMAGE_FAILED] = "failed"};
    const char *outcome = words[result->outcome];
    const char *reason = result->outcome == IMAGE_FAILED ? result->reason : "none";
    char mac[2 * KEYS_BYTES + 1];

    talk->state = TALK_OVER;
    if (keys_result(talk->keys, outcome, reason, talk->said)) {
        write_hex(mac, talk->said, KEYS_BYTES);
        talk_say(talk, TALK_SAYING, "AMTU,1,result,%s,%s,%s", outcome, reason, mac);
    }
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct {
    const char *fields[FIELDS];
    size_t count;
} frame_t;

static int digit_of(char digit)
{
    const char *at = digit != '\0' ? strchr(DIGITS, digit) : NULL;

    return at != NULL ? (int)(at - DIGITS) : -1;
}

/* The bytes of a field of at most `most` bytes; 0 if it is no such thing. */
static size_t read_hex(const char *text, unsigned char *bytes, size_t most)
{
    size_t length = strlen(text) / 2;

    if (strlen(text) % 2 != 0 || length > most) {
        return 0;
    }
    for (size_t i = 0; i < length; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return 0;
        }
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return length;
}

static void talk_on_seal(talk_t *talk, const frame_t *frame, image_passphrase_t *passphrase)
{
    unsigned char nonce[KEYS_BYTES], public_key[KEYS_BYTES], sealed[KEYS_SEALED_MAX];
    size_t length = 0;

    talk->state = TALK_OVER;
    if (frame->count != 5 || read_hex(frame->fields[2], nonce, KEYS_BYTES) != KEYS_BYTES ||
        read_hex(frame->fields[3], public_key, KEYS_BYTES) != KEYS_BYTES ||
        (length = read_hex(frame->fields[4], sealed, KEYS_SEALED_MAX)) < 144 || length % 128 != 16) {
        return;
    }
    switch (keys_open(talk->keys, nonce, public_key, sealed, length, passphrase)) {
    case KEYS_OPENED:
        talk->state = TALK_TRYING;
        break;
    case KEYS_INVALID:
        talk_refuse(talk, "seal-invalid");
        break;
    case KEYS_REFUSED:
        break;
    }
}

/* True if the fields are those of an acknowledgement; *mac is its MAC. */
static int is_acknowledgement(const frame_t *frame, unsigned char mac[KEYS_BYTES])
{
    return frame->count == 3 && strcmp(frame->fields[1], "ack") == 0 &&
           read_hex(frame->fields[2], mac, KEYS_BYTES) == KEYS_BYTES;
}

static void talk_on_greeting(talk_t *talk, const frame_t *frame, image_passphrase_t *passphrase)
{
    static const char *const own[] = {"hello", "result", "refusal"};
    unsigned char mac[KEYS_BYTES];
    const char *kind = frame->count > 1 ? frame->fields[1] : "";

    if (strcmp(frame->fields[0], "1") == 0) {
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
            if (strcmp(kind, own[i]) == 0) {
                return;
            }
        }
        if (is_acknowledgement(frame, mac)) {
            return;
        }
        if (strcmp(kind, "seal") == 0) {
            talk_on_seal(talk, frame, passphrase);
            return;
        }
    }
    talk->state = TALK_OVER;
}

static void talk_on_saying(talk_t *talk, const frame_t *frame)
{
    unsigned char mac[KEYS_BYTES], wanted[KEYS_BYTES];

    if (strcmp(frame->fields[0], "1") == 0 && is_acknowledgement(frame, mac) &&
        keys_acknowledgement(talk->keys, talk->said, wanted) && keys_same(mac, wanted)) {
        talk->heard = 1;
        talk->state = TALK_OVER;
    }
}

static void frame_split(char *rest, frame_t *frame)
{
    for (frame->count = 0; rest != NULL && frame->count < FIELDS; frame->count++) {
        char *comma = strchr(rest, ',');

        if (comma != NULL) {
            *comma = '\0';
        }
        frame->fields[frame->count] = rest;
        rest = comma != NULL ? comma + 1 : NULL;
    }
    if (rest != NULL) {
        frame->count++;
    }
}

/* What had begun never was a frame. */
static void talk_cut(talk_t *talk)
{
    int was_seal = talk->length >= sizeof(SEAL_START) - 1 &&
                   memcmp(talk->bytes, SEAL_START, sizeof(SEAL_START) - 1) == 0;

    talk->length = talk->star = 0;
    if (was_seal && talk->state == TALK_GREETING) {
        talk_refuse(talk, "seal-damaged");
    }
}

/* All of a frame is there. */
static void talk_on_frame(talk_t *talk, image_passphrase_t *passphrase)
{
    char check[CHECK_DIGITS + 1];
    frame_t frame;

    if (!check_of(talk->bytes + 1, talk->star - 1, check) ||
        memcmp(check, talk->bytes + talk->star + 1, CHECK_DIGITS) != 0) {
        talk_cut(talk);
        return;
    }
    talk->bytes[talk->star] = '\0';
    talk->length = talk->star = 0;
    frame_split(talk->bytes + START_LENGTH, &frame);
    if (talk->state == TALK_GREETING) {
        talk_on_greeting(talk, &frame, passphrase);
    }
    else {
        talk_on_saying(talk, &frame);
    }
}

/* True if the byte can stand where it stands. */
static int talk_fits(const talk_t *talk, char byte)
{
    if (talk->length == TALK_FRAME_MAX) {
        return 0;
    }
    if (talk->length < START_LENGTH) {
        return byte == START[talk->length];
    }
    return byte != '\0' && strchr(talk->star ? DIGITS : BODY, byte) != NULL;
}

static void talk_take_byte(talk_t *talk, char byte, image_passphrase_t *passphrase)
{
    if (!talk_fits(talk, byte)) {
        talk_cut(talk);
        if (byte != START[0]) {
            return;
        }
    }
    if (byte == '*') {
        talk->star = talk->length;
    }
    talk->bytes[talk->length++] = byte;
    if (talk->star && talk->length == talk->star + 1 + CHECK_DIGITS) {
        talk_on_frame(talk, passphrase);
    }
}

void talk_take(talk_t *talk, const char *bytes, size_t length, image_passphrase_t *passphrase)
{
    talk_state_e before = talk->state;

    for (size_t i = 0; i < length && talk->state == before && before != TALK_TRYING && before != TALK_OVER;
         i++) {
        talk_take_byte(talk, bytes[i], passphrase);
    }
}

/* ---- time ---------------------------------------------------------------------------------------------- */

const char *talk_due(talk_t *talk, long now, long *wait)
{
    *wait = SECOND;
    if (!talk->timed) {
        talk->timed = 1;
        talk->next = now;
        talk->until = now + (talk->state == TALK_GREETING ? GREETING_MS : SAYING_MS);
    }
    if (now >= talk->until && talk->state == TALK_GREETING) {
        talk_refuse(talk, "no-seal");
        return talk_due(talk, now, wait);
    }
    if (now >= talk->until && talk->state == TALK_SAYING) {
        talk->state = TALK_OVER;
    }
    if (talk->state != TALK_GREETING && talk->state != TALK_SAYING) {
        return NULL;
    }
    if (now < talk->next) {
        *wait = talk->next - now;
        return NULL;
    }
    talk->next = now + SECOND;
    return talk->line;
}
