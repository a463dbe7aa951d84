/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_UNLOCK_BUDGET_PRIV_H
#define AMTUNLOCK_UNLOCK_BUDGET_PRIV_H

#include <apr_time.h>

/* What is read of a PC's console: bytes that it earns with time. */
typedef struct {
    apr_int64_t bytes;
    apr_time_t paid_at; /* 0: not yet */
} budget_t;

void budget_begin(budget_t *budget);
/* The time counts from the first text on. */
void budget_note_text(budget_t *budget, apr_time_t now);
/* Takes a line of that length out of it; false if it is not enough. */
int budget_take_line(budget_t *budget, apr_size_t length, apr_time_t now);

#endif
