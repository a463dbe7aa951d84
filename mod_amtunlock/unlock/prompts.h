/* SPDX-License-Identifier: Apache-2.0 */
/* What the PCs of a group show on their console before their system starts, and what makes them show it
 * again.
 *
 * Read-only once made; may be shared by threads; lives in its pool.
 */
#ifndef AMTUNLOCK_UNLOCK_PROMPTS_H
#define AMTUNLOCK_UNLOCK_PROMPTS_H

#include <apr_pools.h>
#include <apr_tables.h>

#include "amt/redirection/patterns.h"

/* Patterns that were given; NULL: what is built in. */
typedef struct {
    amt_patterns_t *prompt;  /* wants the passphrase */
    amt_patterns_t *success; /* took it, or the system is up */
    amt_patterns_t *failure; /* did not take it */
    const char *redraw;      /* bytes that make a waiting PC show its prompt again; "": none */
} prompts_t;

/* As given in a file: const char * each, NULL for what is built in. `redraw`: with \r, \n, \t, \e, \\ and
 * \xHH. */
typedef struct {
    const apr_array_header_t *prompt, *success, *failure;
    const char *redraw;
} prompts_texts_t;

/* NULL, or what is wrong, in `pool`. */
const char *prompts_check_pattern(const char *text, apr_pool_t *pool);
const char *prompts_check_redraw(const char *text, apr_pool_t *pool);
const char *prompts_make(prompts_t *prompts, const prompts_texts_t *texts, apr_pool_t *pool);

#endif
