/* SPDX-License-Identifier: Apache-2.0 */
/* An engine: one thread, one event loop, a curl multi handle behind the AMT client, and any number of unlocks
 * that each wait for one thing at a time. Nothing here blocks.
 *
 * Ownership: the intake thread makes an unlock's slot from the engine's allocator and hands it over through
 * the inbox; from then on only the engine's thread allocates from its pool and destroys it. The outbox, the
 * lease thread and the work pool read what was handed to them and write their answers, nothing else.
 */
#ifndef AMTUNLOCK_WORKER_ENGINE_H
#define AMTUNLOCK_WORKER_ENGINE_H

#include <apr_pools.h>

#include "jobs/jobs.h"
#include "unlock/unlock.h"
#include "worker/lease.h"
#include "worker/pacer.h"
#include "worker/record/outbox.h"
#include "worker/settings/snapshot.h"
#include "worker/work_pool.h"

typedef struct engine_t engine_t;

/* What the engines of a worker share. Must outlive them. */
typedef struct {
    work_pool_t *work_pool;
    leases_t *leases;
    outbox_t *outbox;
    pacer_t *pacer;
    int slots;          /* unlocks at a time, over all engines */
    int connects;       /* first connections under way at a time, this engine */
    const char *folder; /* of this worker's drive process */
} engine_options_t;

apr_status_t engine_start(engine_t **engine, const engine_options_t *options, apr_pool_t *pool);
/* Ends and joins the thread; unlocks that are still there are dropped at whatever step they are. */
void engine_stop(engine_t *engine);

/* From the intake thread, at most `slots` at a time. Copies the task, refs the snapshot. `system` is of that
 * snapshot. APR_ENOMEM: nothing was given. */
apr_status_t engine_give(engine_t *engine, const jobs_task_t *task, snapshot_t *snapshot,
                         const inventory_system_t *system);

/* Any thread. Unlocks that this engine has, those in its inbox included. */
int engine_load(const engine_t *engine);
/* Any thread. Those of them that still have their task; what is left of the others is work that nobody waits for. */
int engine_tasks(const engine_t *engine);
/* Any thread. Beats every LEASE_PULSE. */
const pulse_t *engine_pulse(const engine_t *engine);
/* Any thread. See unlock_drain(); also for unlocks that come later. */
void engine_drain(engine_t *engine, unlock_drain_e level);
/* Any thread. Tasks with an intent that were handed back since the drain began. */
int engine_handed_over(const engine_t *engine);

#endif
