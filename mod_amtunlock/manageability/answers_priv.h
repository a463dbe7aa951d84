/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are kept, by key. Whoever asks has shown before, at the job store, that it may read what it asks for. */
#ifndef AMTUNLOCK_MANAGEABILITY_ANSWERS_PRIV_H
#define AMTUNLOCK_MANAGEABILITY_ANSWERS_PRIV_H

#include "manageability/manageability.h"

/* One of them; it does not change, and lasts while it is held. */
typedef struct {
    const char *version; /* of what it shows */
    wsman_written_t written;
} manageability_answer_t;

/* The answer that is kept for a key, held; NULL: there is none. */
const manageability_answer_t *manageability_answer_hold(manageability_answers_t *answers, const char *key);
/* NULL is allowed. */
void manageability_answer_release(manageability_answers_t *answers, const manageability_answer_t *answer);

/* Keeps a copy for this key, unless one is kept that was asked for later. `asked` is the time, by clock_boottime(), before
 * the version was asked for. Without memory nothing is kept. */
void manageability_answer_keep(manageability_answers_t *answers, const char *key, apr_time_t asked,
                               const manageability_answer_t *answer);
void manageability_answer_drop(manageability_answers_t *answers, const char *key);

typedef enum {
    ANSWER_KEPT,  /* there is one, and it is held */
    ANSWER_MINE,  /* make it, keep it, and say manageability_answer_done() */
    ANSWER_AGAIN, /* another thread has made one of an older version: ask for the version again */
    ANSWER_ALONE, /* there is no memory to take turns: make it */
    ANSWER_LATE /* another thread has not made it in time; to help it would make the job store only slower */
} manageability_turn_e;

/* Whose turn it is to make an answer that costs much, so that of all who ask at once one does the work. Waits while
 * another thread makes it. One of a version that was asked for after `since` will do, too: since then the caller wants
 * to know. */
manageability_turn_e manageability_answer_turn(manageability_answers_t *answers, const char *key,
                                               const char *version, apr_time_t since,
                                               const manageability_answer_t **answer);
void manageability_answer_done(manageability_answers_t *answers, const char *key);

#endif
