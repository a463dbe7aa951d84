/* SPDX-License-Identifier: Apache-2.0 */
/* Replays to Redis the intents on the audit record that have an end there: the task ended, or was handed over.
 *
 * A Redis restored from an older copy may hold a finished task as never started: it would be claimed, and the
 * PC powered, once more. So finished tasks are replayed to it too. They are many (10,000 a night) and needed
 * only then, so they are read from the record at that time and not kept; while it lasts a task takes some 250
 * bytes.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_RECONCILE_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_RECONCILE_PRIV_H

#include <apr_pools.h>

#include "jobs/jobs.h"

/* What Redis said of one. */
typedef struct {
    const char *system, *job, *fence;
    int ended; /* an end was replayed; else an intent that was handed over to another worker */
    jobs_result_t result;
} reconcile_answer_t;

typedef void (*reconcile_fn)(void *baton, const reconcile_answer_t *answer);

/* Replays what the audit file holds, the latest first, and calls `each` with what Redis said. Record `least` must
 * be among what was read (0: none must): else the file is not where it should be. Unless all were
 * answered (JOBS_OK) it may be called again: Redis takes an end twice. The text of the result is in `pool`. */
jobs_result_t reconcile_ended(const char *audit_file, apr_uint64_t least, jobs_client_t *connection,
                              const char *worker, reconcile_fn each, void *baton, apr_pool_t *pool);

#endif
