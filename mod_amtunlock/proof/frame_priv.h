/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the proof: frames, out of the noise of a serial line and onto it (README.md, section 3). */
#ifndef AMTUNLOCK_PROOF_FRAME_PRIV_H
#define AMTUNLOCK_PROOF_FRAME_PRIV_H

#include <apr_pools.h>

#define FRAME_MAX 2048 /* bytes, from '$' to the last digit of the check */
#define FRAME_FIELDS 5 /* version, kind, and what no kind has more of */

/* The bytes so far of what may become a frame. */
typedef struct {
    char bytes[FRAME_MAX];
    apr_size_t length;
    apr_size_t star; /* where the body ends; 0: not yet */
} frame_reader_t;

/* The comma-separated fields of a frame with a right check. */
typedef struct {
    const char *fields[FRAME_FIELDS];
    int count; /* FRAME_FIELDS + 1: there were more */
} frame_t;

/* Takes one byte. True if it ends a frame; its fields lie in the reader and are gone with the next byte. */
int frame_take(frame_reader_t *reader, char byte, frame_t *frame);

/* A frame around `body` ("1,hello,..."), with the line end that the worker sends; NULL if OpenSSL fails. */
const char *frame_write(const char *body, apr_pool_t *pool);

#endif
