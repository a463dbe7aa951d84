/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the power requests of a group apart within this worker (power-per-second of its settings).
 *
 * Redis gives out the times for all workers together. But the way from its answer to the power request is
 * longer for one PC than for another, and Redis may be away: so each request asks here last.
 */
#ifndef AMTUNLOCK_WORKER_PACER_H
#define AMTUNLOCK_WORKER_PACER_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct pacer_t pacer_t;

/* Lives in `pool`. */
apr_status_t pacer_create(pacer_t **pacer, apr_pool_t *pool);

/* Any thread. When the next power request of this group may leave, by clock_boottime(): ask once
 * it is due by Redis. The time is used up: the next caller gets one `interval` later. */
apr_time_t pacer_take(pacer_t *pacer, const char *group, apr_interval_time_t interval);

#endif
