/* SPDX-License-Identifier: Apache-2.0 */
/* How many requests a caller may send, over all children of this httpd. */
#ifndef AMTUNLOCK_HTTPD_RATE_PRIV_H
#define AMTUNLOCK_HTTPD_RATE_PRIV_H

#include <apr_pools.h>

/* Memory that the children share; from post_config, before they are forked. If it cannot be had each child counts for
 * itself, and the status says why. */
apr_status_t amtunlock_rate_create(apr_pool_t *pconf);

/* Takes `cost` requests of what the caller may send: `per_second`, and as much as ten seconds' at once. 0: they are
 * taken; else nothing is, and it is the seconds after which to come again. per_second 0: no limit. `done`: they are
 * done already, so they are taken anyway. */
int amtunlock_rate_take(const char *caller, int per_second, int cost, int done);

#endif
