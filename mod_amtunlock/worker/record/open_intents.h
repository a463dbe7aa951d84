/* SPDX-License-Identifier: Apache-2.0 */
/* The open intents: those on the audit record that have no end there, from this start of the worker and from
 * before it. Also the index of all tasks that have an intent on record.
 *
 * A Redis that was restarted may have lost them, and a task whose intent is lost could be claimed and acted on
 * a second time. So they are replayed to it before anything is claimed (intents with an end:
 * reconcile_priv.h). One thread at a time.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_OPEN_INTENTS_H
#define AMTUNLOCK_WORKER_RECORD_OPEN_INTENTS_H

#include <apr_pools.h>
#include <jansson.h>

#include "jobs/jobs.h"

/* The names of the audit record's events. */
#define AUDIT_INTENT "intent"
#define AUDIT_OUTCOME "outcome"
#define AUDIT_REFUSED "outcome-refused"        /* Redis holds another end, or another worker will give one */
#define AUDIT_REPEATED "intent-repeated"       /* claimed again, though it has an intent: nothing was done */
#define AUDIT_WITHDRAWN "intent-withdrawn"     /* Redis did not take it, so nothing was done */
#define AUDIT_HANDED_OVER "intent-handed-over" /* another worker verifies, and records what it finds */
#define AUDIT_REDIS "redis"                    /* a Redis that was restarted was reconciled */

typedef struct open_intents_t open_intents_t;

/* Lives in `pool`. */
open_intents_t *open_intents_create(apr_pool_t *pool);

/* Adds what the audit file, and its rotated predecessors, leave open. Reads back for INTENT_INDEX_KEPT: no task
 * of an older record can be claimed any more. NULL, or an error message. */
const char *open_intents_read(open_intents_t *open_intents, const char *audit_file, apr_pool_t *pool);

/* run_id of the Redis that was reconciled last, by the record; "" if it names none. */
const char *open_intents_run_id(const open_intents_t *open_intents);

/* An intent is about to be recorded; `fields` are those of its audit record. 0: out of memory to keep it, so it
 * must not be recorded. */
int open_intents_begin(open_intents_t *open_intents, const json_t *fields);
/* Redis took it. Before that nothing is done by it, and Redis cannot have lost it. */
void open_intents_taken(open_intents_t *open_intents, const jobs_task_ref_t *task);
/* Redis did not take it, or was not asked: forgets it. */
void open_intents_withdraw(open_intents_t *open_intents, const jobs_task_ref_t *task);
/* Nonzero if it was there. */
int open_intents_end(open_intents_t *open_intents, const jobs_task_ref_t *task);
/* Nonzero: the record holds an intent of this job and system, with any fence, finished or not. */
int open_intents_has(const open_intents_t *open_intents, const jobs_task_ref_t *task);

/* What Redis said of one. */
typedef struct {
    const char *system, *job, *fence;
    int earlier; /* from before this start of the worker: no slot works on it any more */
    jobs_result_t result;
} open_intents_answer_t;

/* Records the answer. Nonzero: the intent is closed by it, and is not replayed again. */
typedef int (*open_intents_fn)(void *baton, const open_intents_answer_t *answer);

/* Replays each of them to Redis, and calls `each` with its answer. Unless all were answered (JOBS_OK) it may be
 * called again: Redis takes an intent twice. */
jobs_result_t open_intents_reconcile(open_intents_t *open_intents, jobs_client_t *connection,
                                     const char *worker, open_intents_fn each, void *baton, apr_pool_t *pool);

#endif
