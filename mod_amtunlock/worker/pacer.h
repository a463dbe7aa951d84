/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a group's power requests apart: the ramp of power-per-second, where they leave.
 *
 * Redis gives the times, to all workers together. From the answer to the power request it may take longer for
 * one PC than for another, and Redis may be away: within a worker the last word is spoken here.
 */
#ifndef AMTUNLOCK_WORKER_PACER_H
#define AMTUNLOCK_WORKER_PACER_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct pacer_t pacer_t;

/* Lives in `pool`. */
apr_status_t pacer_create(pacer_t **pacer, apr_pool_t *pool);

/* Any thread. When the next power request of this group may leave, by clock_boottime(), not before `from`.
 * The time is taken: whoever asks next gets one that is `interval` later. */
apr_time_t pacer_take(pacer_t *pacer, const char *group, apr_interval_time_t interval, apr_time_t from);

#endif
