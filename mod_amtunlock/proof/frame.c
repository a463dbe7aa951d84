/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: text that survives a line on which anything else may appear. */
#include "proof/frame_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/digest.h"

#define START "$AMTU,"
#define START_LENGTH (sizeof(START) - 1)
#define CHECK_BYTES 4
#define CHECK_DIGITS 8

#define CHECK_CHARACTERS "0123456789abcdef"
#define BODY_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-,"

/* The check of a body (what stands between '$' and '*'), terminated; 0 if OpenSSL fails. */
static int check_of(const char *body, apr_size_t length, char digits[CHECK_DIGITS + 1])
{
    unsigned char hash[DIGEST_BYTES];
    int good = digest_sha256(body, length, hash);

    if (good) {
        digest_write_hex(digits, hash, CHECK_BYTES);
    }
    return good;
}

/* True if the byte can stand where it stands. */
static int frame_fits(const frame_reader_t *reader, char byte)
{
    if (reader->length < START_LENGTH) {
        return byte == START[reader->length];
    }
    return byte != '\0' && strchr(reader->star ? CHECK_CHARACTERS : BODY_CHARACTERS "*", byte) != NULL;
}

static void frame_split(frame_reader_t *reader, frame_t *frame)
{
    char *rest = reader->bytes + START_LENGTH;

    reader->bytes[reader->star] = '\0';
    for (frame->count = 0; rest != NULL && frame->count < FRAME_FIELDS; frame->count++) {
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

/* All of a frame is there: true if its check is right. The reader starts over in any case. */
static int frame_end(frame_reader_t *reader, frame_t *frame)
{
    char check[CHECK_DIGITS + 1];
    int sound = check_of(reader->bytes + 1, reader->star - 1, check) &&
                memcmp(check, reader->bytes + reader->star + 1, CHECK_DIGITS) == 0;

    if (sound) {
        frame_split(reader, frame);
    }
    reader->length = 0;
    reader->star = 0;
    return sound;
}

int frame_take(frame_reader_t *reader, char byte, frame_t *frame)
{
    if (reader->length == FRAME_MAX || !frame_fits(reader, byte)) {
        reader->length = 0;
        reader->star = 0;
        if (byte != START[0]) {
            return 0;
        }
    }
    if (byte == '*') {
        reader->star = reader->length;
    }
    reader->bytes[reader->length++] = byte;
    return reader->star && reader->length == reader->star + 1 + CHECK_DIGITS && frame_end(reader, frame);
}

const char *frame_write(const char *body, apr_pool_t *pool)
{
    const char *whole = apr_pstrcat(pool, START, body, NULL);
    char check[CHECK_DIGITS + 1];

    if (!check_of(whole + 1, strlen(whole + 1), check)) {
        return NULL;
    }
    return apr_pstrcat(pool, whole, "*", check, "\r", NULL);
}
