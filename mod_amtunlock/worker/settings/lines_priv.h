/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of amtunlockd.conf that all workers share, and their digest: every line counts that is not named as a
 * host's own, so that a new setting cannot be forgotten. */
#ifndef AMTUNLOCK_WORKER_SETTINGS_LINES_PRIV_H
#define AMTUNLOCK_WORKER_SETTINGS_LINES_PRIV_H

#include <apr_pools.h>
#include <apr_tables.h>

apr_array_header_t *settings_lines_create(apr_pool_t *pool);
/* Keeps a copy, unless the key is a host's own. */
void settings_lines_keep(apr_array_header_t *lines, const char *section, const char *key, const char *value);
/* Hex SHA-256 over them, whatever the order of sections and keys; what is repeated counts in its order. NULL:
 * OpenSSL has no memory. */
const char *settings_lines_digest(apr_array_header_t *lines);

/* What is wrong with a line of the file as it was read (`first`: the first one) into `size` bytes, or NULL: what libinih
 * would cut or take for something else without a word. */
const char *settings_line_fault(const char *line, int size, int first, apr_pool_t *pool);

#endif
