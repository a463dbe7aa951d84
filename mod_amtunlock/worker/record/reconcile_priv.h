/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the audit record to a Redis that was restarted.
 *
 * It may have lost intents and ends, and would have PCs powered once more; one that was restored from an older copy
 * may hold a finished task as never started. So both are replayed, an intent with its marks, also of tasks that were
 * handed over. Where only the worker was started anew, Redis has all that it ever took: an intent that it does not
 * have is withdrawn, for nothing was done by it.
 *
 * Tasks are many (10,000 a night) and needed only then, so they are read from the record at that time; while it
 * lasts one takes some 250 bytes.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_RECONCILE_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_RECONCILE_PRIV_H

#include "worker/record/marks_priv.h"
#include "worker/record/recorder_priv.h"

typedef struct {
    recorder_t *recorder;
    jobs_client_t *connection;
    const char *audit_file;
    /* Nonzero: Redis has not answered its intent yet. Nothing is done by it before, so Redis cannot have lost it. */
    int (*is_pending)(void *baton, const jobs_task_ref_t *task);
    void *baton;
} reconcile_t;

/* Replays what the record holds to the Redis of this run_id, which is connected, and puts on record what came of it.
 * JOBS_OK: all was answered; else, as where the file is not in its place, it is to be called again: Redis
 * takes all of it twice. The text of the result is in `pool`. */
jobs_result_t reconcile_redis(const reconcile_t *reconcile, const char *run_id, apr_pool_t *pool);
/* Puts on record which Redis it is, as reconcile_redis() does. */
void reconcile_name(recorder_t *recorder, const jobs_client_t *connection);

#endif
