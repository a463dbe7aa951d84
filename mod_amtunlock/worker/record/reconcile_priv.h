/* SPDX-License-Identifier: Apache-2.0 */
/* Intents on the audit record that have an end there: the task ended, or others look after the PC.
 *
 * A Redis that came back as an older copy of itself may have such a task from before its intent: it would be
 * claimed, and the PC powered, once more. So it is told of them too. They are many (10,000 a night) and are
 * needed on that one occasion, so they are read from the record then, and nothing of them is kept: some 250
 * bytes a task while it lasts.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_RECONCILE_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_RECONCILE_PRIV_H

#include <apr_pools.h>

#include "jobs/jobs.h"

/* What Redis said of one. */
typedef struct {
    const char *system, *job, *fence;
    int ended; /* it was told an end; else an intent that others look after */
    jobs_result_t result;
} reconcile_answer_t;

typedef void (*reconcile_fn)(void *baton, const reconcile_answer_t *answer);

/* Tells Redis, the latest first, what the audit file holds, and `each` what it said. JOBS_OK if all were
 * told; else what was told may be told again. The text of the result is in `pool`. */
jobs_result_t reconcile_ended(const char *audit_file, jobs_client_t *connection, const char *worker,
                              reconcile_fn each, void *baton, apr_pool_t *pool);

#endif
