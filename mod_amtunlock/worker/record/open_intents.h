/* SPDX-License-Identifier: Apache-2.0 */
/* Intents on the audit record that have no end there, of this worker's life and of its lives before it; and
 * of which tasks it holds an intent at all.
 *
 * A Redis that was started anew may have forgotten them, and a task whose intent is forgotten could be
 * claimed and acted on a second time. So they are told to it before anything is claimed (those with an end:
 * closed.h). One thread at a time.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_OPEN_INTENTS_H
#define AMTUNLOCK_WORKER_RECORD_OPEN_INTENTS_H

#include <apr_pools.h>
#include <jansson.h>

#include "jobs/jobs.h"

/* The names of the audit record's events. */
#define AUDIT_INTENT "intent"
#define AUDIT_OUTCOME "outcome"
#define AUDIT_REFUSED "outcome-refused"        /* Redis holds another end, or a later holder comes to one */
#define AUDIT_REPEATED "intent-repeated"       /* claimed again, though it has an intent: nothing was done */
#define AUDIT_WITHDRAWN "intent-withdrawn"     /* Redis did not take it, so nothing was done */
#define AUDIT_HANDED_OVER "intent-handed-over" /* others look, and record what they see */
#define AUDIT_REDIS "redis" /* another start of Redis was told what it may have forgotten */

typedef struct open_intents_t open_intents_t;

/* Lives in `pool`. */
open_intents_t *open_intents_create(apr_pool_t *pool);

/* Adds what the audit file, and the files that it was before its rotations, leave open. Looks back for
 * INTENT_INDEX_KEPT: no task that older records speak of can be claimed any more. NULL, or the sentence that
 * says what is wrong. */
const char *open_intents_read(open_intents_t *open_intents, const char *audit_file, apr_pool_t *pool);

/* run_id of the Redis that was told last, by the record; "" if it names none. */
const char *open_intents_run_id(const open_intents_t *open_intents);

/* An intent is about to be recorded; `fields` are those of its audit record. 0: there is no memory to keep
 * it, so it must not be. */
int open_intents_begin(open_intents_t *open_intents, const json_t *fields);
/* Redis took it. Until then nobody acts on it, and it is no intent that Redis could have lost. */
void open_intents_taken(open_intents_t *open_intents, const jobs_task_ref_t *task);
/* Redis did not take it, or was not asked: as if it had never been. */
void open_intents_withdraw(open_intents_t *open_intents, const jobs_task_ref_t *task);
/* Nonzero if it was there. */
int open_intents_end(open_intents_t *open_intents, const jobs_task_ref_t *task);
/* Nonzero: the record holds an intent of this job and system, with whatever fence, finished or not. */
int open_intents_has(const open_intents_t *open_intents, const jobs_task_ref_t *task);

/* What Redis said of one: closes it on the audit record, where it is closed by that. */
typedef struct {
    const char *system, *job, *fence;
    int earlier; /* of a life of this worker before this one: nobody here works on it any more */
    jobs_result_t result;
} open_intents_answer_t;

/* Nonzero: it is closed, and is not told again. */
typedef int (*open_intents_fn)(void *baton, const open_intents_answer_t *answer);

/* Tells Redis each of them, and `each` what it said. JOBS_OK if all were told; else what is told may be told
 * again. */
jobs_result_t open_intents_reconcile(open_intents_t *open_intents, jobs_client_t *connection,
                                     const char *worker, open_intents_fn each, void *baton, apr_pool_t *pool);

#endif
