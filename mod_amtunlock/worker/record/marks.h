/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit record says of tasks that had an intent: what was done, and how they ended.
 *
 * Every line goes through one function into one table, whether it is read back or just written. A worker keeps its
 * tasks as digests, sixteen bytes each, for as long as one could come back (MARKS_KEPT): whatever Redis says, none of
 * them is begun a second time. Whole they are needed only where a Redis was restarted, which may have lost them, and
 * are read from the record then (reconcile_priv.h). One thread at a time.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_MARKS_H
#define AMTUNLOCK_WORKER_RECORD_MARKS_H

#include <apr_pools.h>

/* The names of the audit record's events. */
#define AUDIT_INTENT "intent"
#define AUDIT_MARK "mark" /* the power request, or a passphrase, may leave now */
#define AUDIT_OUTCOME "outcome"
#define AUDIT_REFUSED "outcome-refused"        /* Redis holds another end, or another worker will give one */
#define AUDIT_REPEATED "intent-repeated"       /* claimed again, though it has an intent: nothing was done */
#define AUDIT_WITHDRAWN "intent-withdrawn"     /* Redis did not take it, so nothing was done */
#define AUDIT_HANDED_OVER "intent-handed-over" /* another worker goes on, and records what it finds */
#define AUDIT_REDIS "redis"                    /* a Redis that was restarted was reconciled */

typedef struct marks_t marks_t;

/* Empty; lives in `pool`. */
marks_t *marks_create(apr_pool_t *pool);

/* Adds what the audit file, and its rotated predecessors, say, back to the oldest task that can be claimed yet. NULL,
 * or an error message. */
const char *marks_read(marks_t *marks, const char *audit_file, apr_pool_t *pool);

/* run_id of the Redis that was reconciled last, by the record; "" if it names none. */
const char *marks_run_id(const marks_t *marks);

#endif
