/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's bounded pool of connections, for web.c. */
#ifndef AMTUNLOCK_JOBS_POOL_PRIV_H
#define AMTUNLOCK_JOBS_POOL_PRIV_H

#include "jobs/redis_priv.h"

/* One exchange within the store's budget. On any outcome but JOBS_UNAVAILABLE and JOBS_BROKEN *reply is an
 * answer. */
jobs_result_t jobs_pool_ask(jobs_pool_t *store, jobs_call_t *call, redisReply **reply, apr_pool_t *pool);

#endif
