/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/pacer.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "jobs/jobs.h"

struct pacer_t {
    apr_pool_t *pool;
    apr_thread_mutex_t *lock; /* guards all of it */
    apr_hash_t *next;         /* apr_time_t * by group */
};

apr_status_t pacer_create(pacer_t **pacer, apr_pool_t *pool)
{
    pacer_t *made = apr_pcalloc(pool, sizeof(*made));

    made->next = apr_hash_make(pool);
    made->pool = pool;
    *pacer = made;
    return apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, pool);
}

static apr_time_t *next_of(pacer_t *pacer, const char *group)
{
    apr_time_t *next = apr_hash_get(pacer->next, group, APR_HASH_KEY_STRING);

    if (next == NULL) {
        next = apr_pcalloc(pacer->pool, sizeof(*next));
        apr_hash_set(pacer->next, apr_pstrdup(pacer->pool, group), APR_HASH_KEY_STRING, next);
    }
    return next;
}

apr_time_t pacer_take(pacer_t *pacer, const char *group, apr_interval_time_t interval)
{
    apr_time_t at = clock_boottime();
    apr_time_t *next = NULL;

    apr_thread_mutex_lock(pacer->lock);
    next = next_of(pacer, group);
    if (at < *next) {
        at = *next;
    }
    *next = at + interval;
    apr_thread_mutex_unlock(pacer->lock);
    return at;
}
