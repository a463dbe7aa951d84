/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns that an operator gives for lines of a console: POSIX extended regular expressions, upper and lower case
 * alike. Read-only once compiled; may be shared by threads; lives in its pool. */
#ifndef AMTUNLOCK_AMT_REDIRECTION_PATTERNS_H
#define AMTUNLOCK_AMT_REDIRECTION_PATTERNS_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct amt_patterns_t amt_patterns_t;

/* Of const char *. NULL, or an error message that names the one that is wrong. One with a back-reference is: the
 * time that it takes has no bound, and what it looks at comes from a PC. */
const char *amt_patterns_compile(amt_patterns_t **patterns, const apr_array_header_t *texts,
                                 apr_pool_t *pool);
/* True if one of them matches the line. */
int amt_patterns_match(const amt_patterns_t *patterns, const char *line);

#endif
