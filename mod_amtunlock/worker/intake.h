/* SPDX-License-Identifier: Apache-2.0 */
/* The intake: a thread that publishes the inventory, claims tasks up to the free slots and hands them to the
 * engines, takes over what dead workers left, and waits for the bell in between.
 *
 * From a Redis that was started anew nothing is claimed for lease and grace after this worker saw it, nor
 * before this worker told it what its record holds. That is the bound for others: who has not told by then,
 * because it could not connect for so long, tells too late. */
#ifndef AMTUNLOCK_WORKER_INTAKE_H
#define AMTUNLOCK_WORKER_INTAKE_H

#include <apr_pools.h>

#include "worker/engine.h"
#include "worker/settings/snapshot.h"

typedef struct intake_t intake_t;

typedef struct {
    const jobs_redis_t *redis;
    const char *worker;
    engine_t *const *engines;
    int engine_count;
    int slots;
    outbox_t *outbox;
    const char *redis_before; /* run_id of the Redis that this worker's life before knew; "": none */
    void (*on_outdated)(
        void *baton); /* Redis holds a newer jobs/lua: this worker cannot serve; from the thread */
    void *baton;
} intake_options_t;

/* Starts the thread with `setup`, which it holds. What `options` points to must outlive it. */
apr_status_t intake_start(intake_t **intake, const intake_options_t *options, snapshot_t *snapshot,
                          apr_pool_t *pool);
/* Any thread. Nothing new is claimed; what is being claimed now still goes to the engines, until
 * intake_ended(). */
void intake_stop(intake_t *intake);
int intake_ended(const intake_t *intake);
void intake_join(intake_t *intake);
/* Any thread. When the thread last came round, by clock_boottime(): each second or so while Redis answers,
 * and within the few time-outs of a round while it does not. */
apr_time_t intake_pulse(const intake_t *intake);

/* Any thread. Publishes `setup`, which it holds, and claims by it from then on; until Redis takes it, by the
 * old. */
void intake_offer(intake_t *intake, snapshot_t *snapshot);

#endif
