/* SPDX-License-Identifier: Apache-2.0 */
/* A connected socket to Redis. */
#ifndef AMTUNLOCK_JOBS_DIAL_PRIV_H
#define AMTUNLOCK_JOBS_DIAL_PRIV_H

#include "jobs/jobs.h"

/* A socket that is connected by the deadline (by clock_boottime()), and blocks; the caller closes it. -1, and
 * *why (in pool): what is wrong. */
int jobs_dial(const jobs_redis_t *redis, apr_time_t deadline, const char **why, apr_pool_t *pool);

#endif
