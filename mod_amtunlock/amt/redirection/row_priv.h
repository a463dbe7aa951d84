/* SPDX-License-Identifier: Apache-2.0 */
/* A row of a console's screen. There may be a thousand screens, and most show short rows only: a row takes memory as it
 * grows, and keeps it. Pure.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_ROW_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_ROW_PRIV_H

#include <apr_pools.h>

/* All 0: an empty one. */
typedef struct {
    apr_uint32_t *characters;
    int length;
    int bytes; /* of them in UTF-8 */
    int size;  /* characters that there is room for */
} amt_row_t;

/* Writes over the character at this place, or behind the last. */
void amt_row_put(amt_row_t *row, int at, apr_uint32_t character, apr_pool_t *pool);
/* Drops the characters from this place on; it is at most the row's length. */
void amt_row_cut(amt_row_t *row, int at);
void amt_row_copy(amt_row_t *to, const amt_row_t *from, apr_pool_t *pool);
/* Overwrites what it shows, and showed. It is of no use then. */
void amt_row_wipe(amt_row_t *row);
/* In UTF-8: `text` has room for `bytes` and a NUL. */
void amt_row_write(const amt_row_t *row, char *text);

#endif
