/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/drain.h"

/* httpd kills a worker 3 s after its SIGTERM; a unit's time is TimeoutStopSec of amtunlockd.service. */
const drain_stage_t drain_stages[DRAIN_STAGES] = {
    {UNLOCK_DRAIN_READY, apr_time_from_sec(1), apr_time_from_sec(30)},
    {UNLOCK_DRAIN_MOST, apr_time_from_sec(1), apr_time_from_sec(3)},
    {UNLOCK_DRAIN_ALL, apr_time_from_msec(500), apr_time_from_sec(1)},
};

void drain_begin_stage(const drain_stage_t *stage, engine_t *const *engines, int engine_count)
{
    for (int i = 0; i < engine_count; i++) {
        engine_drain(engines[i], stage->level);
    }
}

int drain_tasks_left(engine_t *const *engines, int engine_count)
{
    int count = 0;

    for (int i = 0; i < engine_count; i++) {
        count += engine_tasks(engines[i]);
    }
    return count;
}

int drain_handed_over(engine_t *const *engines, int engine_count)
{
    int count = 0;

    for (int i = 0; i < engine_count; i++) {
        count += engine_handed_over(engines[i]);
    }
    return count;
}
