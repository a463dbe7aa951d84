/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC shows on its serial console, as text lines: a small model of a screen (ECMA-48). CR, backspace, tab,
 * erasing, moves of the cursor and its saved place are obeyed, other escape sequences are dropped, invalid UTF-8 is
 * replaced. Lines have no width: what a terminal of 80 columns would wrap stays one line.
 *
 * Pure: no sockets, no clock; what it shows does not depend on how the bytes are cut. One thread.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_CONSOLE_H
#define AMTUNLOCK_AMT_REDIRECTION_CONSOLE_H

#include <apr_pools.h>

typedef struct amt_console_t amt_console_t;

/* Longest line kept, bytes; what is longer goes on in the next line. */
#define AMT_CONSOLE_LINE 1024

/* What became of a line. */
typedef enum {
    AMT_LINE_ENDED,  /* a new line began below it */
    AMT_LINE_MOVED,  /* the cursor went elsewhere; it still stands on the screen, and may go on later */
    AMT_LINE_ERASED, /* erased or written over, in part or all of it */
} amt_line_e;

/* Takes a line, UTF-8, valid during the call: each as it ends (an empty one too), and as it is before it is left or
 * loses something. */
typedef void amt_console_line_fn(void *baton, const char *line, amt_line_e how);

/* `line_fn` may be NULL. */
amt_console_t *amt_console_create(amt_console_line_fn *line_fn, void *baton, apr_pool_t *pool);

/* Takes bytes as they came. */
void amt_console_feed(amt_console_t *console, const char *bytes, apr_size_t length);
/* The line with the cursor, as far as it is written; valid until the next call. Not from within line_fn. */
const char *amt_console_partial(amt_console_t *console);
/* What was shown until now is no part of what will be told. */
void amt_console_forget(amt_console_t *console);
/* The last line with something on it, for an operator: printable ASCII, at most 120 characters. It holds what the PC
 * wrote there, a passphrase that it echoed too: not for a log. */
const char *amt_console_last(amt_console_t *console);

#endif
