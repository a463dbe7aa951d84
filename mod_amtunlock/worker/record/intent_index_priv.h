/* SPDX-License-Identifier: Apache-2.0 */
/* Which tasks this worker, in this life or one before it, wrote an intent for: whatever Redis says, it acts
 * on none of them again.
 *
 * Sixteen bytes a task, for as long as a task could come back (INTENT_INDEX_KEPT). A digest stands for the
 * names: of two tasks that shared one, which nobody will meet, the second would be left alone. One thread at
 * a time.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_INTENT_INDEX_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_INTENT_INDEX_PRIV_H

#include <apr_pools.h>
#include <apr_time.h>

/* Longer than any AMTUnlockStartWithin (P7D at most) and the unlock after it: what was intended before cannot
 * be claimed any more. */
#define INTENT_INDEX_KEPT apr_time_from_sec((apr_int64_t)8 * 24 * 3600)

typedef struct intent_index_t intent_index_t;

/* Empty; freed with `pool`. */
intent_index_t *intent_index_create(apr_pool_t *pool);
/* `at`: when, by the wall clock; not before that of the call before. 0: there is no memory for it. */
int intent_index_add(intent_index_t *acted, const char *job, const char *system, apr_time_t at);
/* Its intent came to nothing: the task may be acted on after all. */
void intent_index_remove(intent_index_t *acted, const char *job, const char *system);
/* Nonzero: it was added, and not removed. Looks at all of them: 10,000 take some microseconds. */
int intent_index_has(const intent_index_t *acted, const char *job, const char *system);

#endif
