/* SPDX-License-Identifier: Apache-2.0 */
/* The intake: a thread that publishes the inventory, claims tasks up to the free slots and hands them to the
 * engines, reaps what dead workers left, and waits for the bell in between.
 *
 * A Redis that was restarted may have lost data. Nothing is claimed from it before this worker has reconciled
 * it with its record (outbox.h), nor for JOBS_LEASE and JOBS_GRACE after this worker met it: the time that
 * all other workers have to do the same. */
#ifndef AMTUNLOCK_WORKER_INTAKE_H
#define AMTUNLOCK_WORKER_INTAKE_H

#include <apr_pools.h>

#include <stdatomic.h>

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
    /* run_id of the Redis that this worker knew before it was restarted; "": none */
    const char *redis_before;
    /* From the thread: Redis has a newer jobs/lua, so this worker must end. */
    void (*on_outdated)(void *baton);
    void *baton;
    atomic_int *redis_is_weak; /* set to whether Redis may lose what it acknowledges */
    atomic_int *attendance;    /* set to a jobs_attendance_e */
} intake_options_t;

/* Starts the thread with this snapshot, which it refs. What `options` points to must outlive it. */
apr_status_t intake_start(intake_t **intake, const intake_options_t *options, snapshot_t *snapshot,
                          apr_pool_t *pool);
/* Any thread. Nothing new is claimed; what is being claimed now still goes to the engines, until
 * intake_ended(). */
void intake_stop(intake_t *intake);
int intake_ended(const intake_t *intake);
void intake_join(intake_t *intake);
/* Any thread. Beats every few seconds until the intake has ended. */
const pulse_t *intake_pulse(const intake_t *intake);

/* Any thread. Publishes this snapshot, which it refs, and claims by it once Redis has taken it. */
void intake_offer(intake_t *intake, snapshot_t *snapshot);

#endif
