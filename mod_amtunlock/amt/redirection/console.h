/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC shows on its serial console, as text lines: escape sequences dropped, CR and backspace obeyed,
 * partial lines kept, invalid UTF-8 replaced. And patterns looked for in it. Pure: no sockets, no clock. One
 * thread.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_CONSOLE_H
#define AMTUNLOCK_AMT_REDIRECTION_CONSOLE_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct amt_console_t amt_console_t;

/* Longest line kept, bytes; what is longer goes on in the next line. */
#define AMT_CONSOLE_LINE 1024

amt_console_t *amt_console_create(apr_pool_t *pool);
/* A set of patterns: POSIX extended regular expressions, case-insensitive. Returns NULL,
 * or an error message that names the one that is wrong. */
typedef struct amt_patterns_t amt_patterns_t;
const char *amt_patterns_compile(amt_patterns_t **patterns, const apr_array_header_t *texts,
                                 apr_pool_t *pool);

/* Takes bytes as they came. */
void amt_console_feed(amt_console_t *console, const char *bytes, apr_size_t length);
/* True if a pattern matches a line, the last partial one too, that ended (or stood) after the last
 * amt_console_mark(). */
int amt_console_matches(const amt_console_t *console, const amt_patterns_t *patterns);
/* Forgets what was shown until now. */
void amt_console_mark(amt_console_t *console);
/* Forgets the complete lines, which were matched already. The partial one stays. */
void amt_console_seen(amt_console_t *console);
/* The last line with something on it, for an operator: printable ASCII, at most 120 characters. */
const char *amt_console_last(const amt_console_t *console);

#endif
