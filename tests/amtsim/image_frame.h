/* SPDX-License-Identifier: Apache-2.0 */
/* The frames in which worker and unlock image speak on a line full of noise. */
#ifndef AMTSIM_IMAGE_FRAME_H
#define AMTSIM_IMAGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 2048
#define FRAME_FIELDS_MAX 4

/* What has come of a frame so far. */
struct frame_reader {
    size_t length;
    size_t star; /* where the check begins, 0: not yet */
    char text[FRAME_MAX + 1];
};

enum frame_news {
    FRAME_NOTHING,
    FRAME_WHOLE,        /* reader->text has it until the next byte is taken */
    FRAME_SEAL_DAMAGED, /* one that was a seal by its beginning was cut, or its check was wrong */
};

/* Takes one byte from the line. */
enum frame_news frame_take(struct frame_reader *reader, char c);

/* A whole frame in its parts, which point into the reader's text. */
struct frame {
    const char *version, *kind;
    const char *field[FRAME_FIELDS_MAX];
    size_t fields; /* FRAME_FIELDS_MAX + 1: more than are known */
};

/* Takes the text of a whole frame apart. */
void frame_split(struct frame_reader *reader, struct frame *frame);

/* A field of hexadecimal digits. False: not exactly these, or not 2 * size of them. */
bool frame_bytes(const char *field, uint8_t *bytes, size_t size);

/* Writes $AMTU,<inside>*<check> with its end character. */
void frame_write(char text[FRAME_MAX + 1], const char *inside);

#endif
