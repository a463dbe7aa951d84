/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC asks on its console while it starts, and what became of an answer.
 *
 * A question counts when it is the last thing shown, stands still for a moment and was not answered: another text
 * behind it, a line end after it stood there, or its being erased takes it away; what the kernel, the service
 * manager and others of other_writers.c write into the same line does not. A volume that asks twice after an answer refuses it. Nothing is decided while a
 * question stands, a refusal outweighs what else was said, and what was said before the answer, or of a volume that did
 * not ask, is no evidence; nor is anything behind a shell's prompt. Each question counts only as its program writes it,
 * and no later in the PC's start than that program asks. If the PC starts again after an answer, what was said before
 * that is forgotten, and no question is one that may be answered. An opened volume counts once the console rests.
 *
 * Pure: no sockets, no clock of its own. Times are those of one clock, never backwards. One thread. What a PC can make
 * it do in a second is bounded; text beyond that is not read, and then only a login decides.
 */
#ifndef AMTUNLOCK_UNLOCK_DIALOGUE_H
#define AMTUNLOCK_UNLOCK_DIALOGUE_H

#include <apr_pools.h>
#include <apr_time.h>

#include "unlock/prompts.h"

typedef struct dialogue_t dialogue_t;

typedef enum {
    DIALOGUE_NOTHING,    /* nothing to act on yet */
    DIALOGUE_ASKS,       /* a volume asks that was not answered */
    DIALOGUE_ASKS_AGAIN, /* one that was answered does */
    DIALOGUE_ASKS_UNSURE, /* the same, and the console was cut off in between: whether the answer arrived is not known */
    DIALOGUE_REFUSED,      /* it was said that an answer did not fit */
    DIALOGUE_OPEN,         /* the volumes that asked are open, or the system is up */
    DIALOGUE_STARTED_AGAIN /* a volume asks, at a start that is not the one of the answer */
} dialogue_e;

/* Volumes that may be answered. */
#define DIALOGUE_VOLUMES 8

/* `prompts` outlives it. */
dialogue_t *dialogue_create(const prompts_t *prompts, apr_pool_t *pool);

/* The PC starts: what was shown until now is of the start before. `by_itself`: from now on it may also open without an
 * answer, and its console shows that. */
void dialogue_starts(dialogue_t *dialogue, int by_itself);
/* The console was away for a while, and is there again. What it showed is kept; but with `missed`, something may have been
 * shown meanwhile, and a question that stood is believed no more until it is shown again. */
void dialogue_resumed(dialogue_t *dialogue, int missed, apr_time_t now);
/* Takes bytes as they came. */
void dialogue_feed(dialogue_t *dialogue, const char *bytes, apr_size_t length, apr_time_t now);
/* How things stand. */
dialogue_e dialogue_look(dialogue_t *dialogue, apr_time_t now);
/* When to look again, if nothing is fed before; 0: there is no need. */
apr_time_t dialogue_look_at(const dialogue_t *dialogue);

/* The volume that asked, as of the last DIALOGUE_ASKS; "": it has no name. Printable ASCII without blanks or quotes, or
 * "". */
const char *dialogue_volume(const dialogue_t *dialogue);
/* True if its question still is the last thing shown: right before the first byte of the answer. */
int dialogue_still_asks(dialogue_t *dialogue);
/* It is answered now. What was shown until now is forgotten. */
void dialogue_answered(dialogue_t *dialogue);
/* Somebody else may have answered before this console was open; it is not known which volume. So whatever asks now is
 * DIALOGUE_ASKS_UNSURE. */
void dialogue_answered_before(dialogue_t *dialogue);
/* Volumes that were answered. */
int dialogue_answers(const dialogue_t *dialogue);

/* True if the PC went down or started again after an answer. */
int dialogue_started_again(const dialogue_t *dialogue);

/* True if a shell stands on the console, or stood: what is shown since is what somebody has a program print. It is no
 * evidence, and no question is answered. */
int dialogue_shell(const dialogue_t *dialogue);

/* True if there are signs that the system took over, none of them certain, and no question stands. */
int dialogue_hints_at_open(const dialogue_t *dialogue);

/* The last line, for a log: of its words only those that questions and boot messages are made of, for there may be
 * a passphrase in it, of this start or an earlier one. In `pool`; "" where the console stayed empty. */
const char *dialogue_last_line(dialogue_t *dialogue, apr_pool_t *pool);

#endif
