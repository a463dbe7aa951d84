/* SPDX-License-Identifier: Apache-2.0 */
/* The image's side of the dialogue: sections 3 to 5 of mod_amtunlock/proof/README.md. Pure: it takes bytes and times and
 * returns what is to be said; no I/O, no clock. */
#ifndef AMTUNLOCK_IMAGE_TALK_PRIV_H
#define AMTUNLOCK_IMAGE_TALK_PRIV_H

#include "image/keys_priv.h"

#define TALK_FRAME_MAX 2048 /* bytes from '$' to the check's last digit */
#define TALK_LINE_MAX 512   /* bytes of the longest line that the image says, with CR LF before and behind */

typedef enum {
    TALK_GREETING, /* says hello and waits for the seal */
    TALK_TRYING,   /* the passphrase is being tried: says nothing, takes nothing */
    TALK_SAYING,   /* says a result or a refusal and waits for its acknowledgement */
    TALK_OVER      /* says nothing any more: restart */
} talk_state_e;

typedef struct {
    talk_state_e state;
    keys_t *keys;
    char line[TALK_LINE_MAX];       /* what is said every second */
    unsigned char said[KEYS_BYTES]; /* the MAC of the result or refusal in it */
    long until, next; /* ms: when this state ends, when the line is due; set by the first talk_due() */
    int timed;
    char bytes[TALK_FRAME_MAX + 1]; /* of a frame that is not whole yet */
    size_t length, star;            /* of it; where its '*' is */
    int heard;                      /* TALK_OVER: the worker has acknowledged */
} talk_t;

/* Begins with hello. `keys` have S, id, nonce and key pair, and live as long as `talk`. TALK_OVER where OpenSSL fails. */
void talk_begin(talk_t *talk, keys_t *keys);

/* Takes what came from the line. When that was the seal, state is TALK_TRYING and the passphrase is there: try it, then
 * talk_result(). The bytes behind what changes the state are noise. */
void talk_take(talk_t *talk, const char *bytes, size_t length, image_passphrase_t *passphrase);

/* After TALK_TRYING. */
void talk_result(talk_t *talk, const image_result_t *result);
/* In TALK_GREETING: it goes no further. */
void talk_refuse(talk_t *talk, const char *reason);

/* What is due at `now` (ms, of a clock that only goes forward): the line to write, or NULL. Sets *wait to the ms until it
 * is to be asked again. Ends what lasts too long. */
const char *talk_due(talk_t *talk, long now, long *wait);

#endif
