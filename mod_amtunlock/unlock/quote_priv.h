/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_UNLOCK_QUOTE_PRIV_H
#define AMTUNLOCK_UNLOCK_QUOTE_PRIV_H

#include <apr_pools.h>

/* A line of a console for a log, in `pool`: words that questions and boot messages are made of; all others, and so a
 * passphrase that a PC echoed, stand as "...". "" for a line without a word. */
const char *quote_line(const char *line, apr_pool_t *pool);

#endif
