/* SPDX-License-Identifier: Apache-2.0 */
/* The call that the web side's pool of connections offers to the files with its verbs. */
#ifndef AMTUNLOCK_JOBS_POOL_PRIV_H
#define AMTUNLOCK_JOBS_POOL_PRIV_H

#include "jobs/answer_priv.h"
#include "jobs/call_priv.h"

/* When a verb of several calls that begins now has to be through: no later than one call. By clock_boottime(). */
apr_time_t jobs_pool_give_up(const jobs_pool_t *jobs);
/* One exchange within the pool's budget. On any outcome but JOBS_UNAVAILABLE and JOBS_BROKEN *reply is an
 * answer: of calls behind each other that of the first which was not done, or of the last. What `call` says of itself
 * holds for those behind it, and each of them must do nothing if the one before it was not done. */
jobs_result_t jobs_pool_ask(jobs_pool_t *jobs, jobs_call_t *call, redisReply **reply, apr_pool_t *pool);

#endif
