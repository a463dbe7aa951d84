/* SPDX-License-Identifier: Apache-2.0 */
/* How a worker that stops hands its tasks back: by stages, each of which keeps fewer (unlock_drain_e), until nothing is
 * left or the time of the last is over.
 */
#ifndef AMTUNLOCK_WORKER_DRAIN_H
#define AMTUNLOCK_WORKER_DRAIN_H

#include "worker/engine.h"

typedef struct {
    unlock_drain_e level;
    apr_interval_time_t supervised; /* lasts so long at most, where httpd is who stops it, */
    apr_interval_time_t own_unit;   /* and elsewhere */
} drain_stage_t;

#define DRAIN_STAGES 3
extern const drain_stage_t drain_stages[DRAIN_STAGES];

/* Any thread. */
void drain_begin_stage(const drain_stage_t *stage, engine_t *const *engines, int engine_count);
/* Any thread. */
int drain_tasks_left(engine_t *const *engines, int engine_count);
/* Any thread. Tasks with an intent that were handed back so far. */
int drain_handed_over(engine_t *const *engines, int engine_count);

#endif
