/* SPDX-License-Identifier: Apache-2.0 */
/* The tasks that this worker wrote an intent for, since its last start or before: whatever Redis says, it acts
 * on none of them again.
 *
 * Tasks are kept as 64-bit digests with a time, sixteen bytes each, for as long as one could come back
 * (INTENT_INDEX_KEPT). A collision would only skip the second task. One thread at a time.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_INTENT_INDEX_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_INTENT_INDEX_PRIV_H

#include <apr_pools.h>
#include <apr_time.h>

/* Longer than any AMTUnlockStartWithin (P7D at most) and the unlock after it: a task with an older intent
 * cannot be claimed any more. */
#define INTENT_INDEX_KEPT apr_time_from_sec((apr_int64_t)8 * 24 * 3600)

typedef struct intent_index_t intent_index_t;

/* Empty; freed with `pool`. */
intent_index_t *intent_index_create(apr_pool_t *pool);
/* `at`: when, by the wall clock; never before that of the previous call. 0: out of memory. */
int intent_index_add(intent_index_t *index, const char *job, const char *system, apr_time_t at);
/* Its intent was withdrawn: the task may be acted on after all. */
void intent_index_remove(intent_index_t *index, const char *job, const char *system);
/* Nonzero: it was added, and not removed. A linear search: 10,000 tasks take some microseconds. */
int intent_index_has(const intent_index_t *index, const char *job, const char *system);

#endif
