/* SPDX-License-Identifier: Apache-2.0 */
#include "image_frame.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static const char start[] = "$AMTU,";
#define START_LENGTH (sizeof(start) - 1)
static const char seal_start[] = "$AMTU,1,seal,";
#define CHECK_DIGITS 8

static void write_check(char digits[CHECK_DIGITS + 1], const char *inside, size_t size)
{
    unsigned char hash[EVP_MAX_MD_SIZE];

    EVP_Digest(inside, size, hash, NULL, EVP_sha256(), NULL);
    snprintf(digits, CHECK_DIGITS + 1, "%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
}

/* ---- in ------------------------------------------------------------------------------------------------ */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_inside(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == ',';
}

/* May this byte come next? */
static bool fits(const struct frame_reader *reader, char c)
{
    if (reader->length < START_LENGTH)
        return c == start[reader->length];
    if (reader->length >= FRAME_MAX)
        return false;
    return reader->star ? is_hex(c) : is_inside(c) || c == '*';
}

static bool is_complete(const struct frame_reader *reader)
{
    return reader->star && reader->length == reader->star + 1 + CHECK_DIGITS;
}

static enum frame_news lose(struct frame_reader *reader)
{
    bool seal = reader->length >= sizeof(seal_start) - 1 &&
                memcmp(reader->text, seal_start, sizeof(seal_start) - 1) == 0;

    reader->length = 0;
    reader->star = 0;
    return seal ? FRAME_SEAL_DAMAGED : FRAME_NOTHING;
}

static void append(struct frame_reader *reader, char c)
{
    if (c == '*')
        reader->star = reader->length;
    reader->text[reader->length++] = c;
}

static bool check_is_right(const struct frame_reader *reader)
{
    char digits[CHECK_DIGITS + 1];

    write_check(digits, reader->text + 1, reader->star - 1);
    return memcmp(digits, reader->text + reader->star + 1, CHECK_DIGITS) == 0;
}

enum frame_news frame_take(struct frame_reader *reader, char c)
{
    enum frame_news news = FRAME_NOTHING;

    if (is_complete(reader)) /* it was dealt with */
        reader->length = reader->star = 0;
    if (!fits(reader, c)) {
        news = lose(reader);
        if (c == start[0])
            append(reader, c);
        return news;
    }
    append(reader, c);
    if (!is_complete(reader))
        return FRAME_NOTHING;
    return check_is_right(reader) ? FRAME_WHOLE : lose(reader);
}

void frame_split(struct frame_reader *reader, struct frame *frame)
{
    char *at = reader->text + START_LENGTH;

    memset(frame, 0, sizeof(*frame));
    reader->text[reader->star] = '\0';
    frame->version = at;
    frame->kind = "";
    if (!(at = strchr(at, ',')))
        return;
    *at++ = '\0';
    frame->kind = at;
    while ((at = strchr(at, ',')) && frame->fields <= FRAME_FIELDS_MAX) {
        *at++ = '\0';
        if (frame->fields < FRAME_FIELDS_MAX)
            frame->field[frame->fields] = at;
        frame->fields++;
    }
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

bool frame_bytes(const char *field, uint8_t *bytes, size_t size)
{
    if (strlen(field) != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++, field += 2) {
        if (!is_hex(field[0]) || !is_hex(field[1]))
            return false;
        bytes[i] = (uint8_t)(digit(field[0]) << 4 | digit(field[1]));
    }
    return true;
}

/* ---- out ----------------------------------------------------------------------------------------------- */

void frame_write(char text[FRAME_MAX + 1], const char *inside)
{
    char digits[CHECK_DIGITS + 1];
    size_t length = (size_t)snprintf(text, FRAME_MAX + 1, "%s%s", start, inside);

    write_check(digits, text + 1, length - 1);
    snprintf(text + length, FRAME_MAX + 1 - length, "*%s", digits);
}
