/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's connections: a bounded apr_reslist, one budget of time a call, and a circuit breaker.
 *
 * A frozen Redis must not take httpd down with it: its threads serve other pages, too. So no more calls wait
 * for Redis than there are connections, and each no longer than the budget as a whole; a call that finds no
 * connection free gives up after a share of it. After a few failures in a row calls fail at once for a
 * second, and then one call at a time tries whether Redis is back.
 */
#include "jobs/pool_priv.h"

#include <stdlib.h>

#include <apr_reslist.h>
#include <apr_thread_mutex.h>

#include "jobs/conn_priv.h"

#define BREAK_AFTER 3                      /* failures in a row */
#define BREAK_FOR apr_time_from_msec(1000) /* then calls fail at once for so long */
/* Part of the budget (one in so many) to wait for a free connection: much longer than a call takes, much
 * shorter than it may take. */
#define ACQUIRE_SHARE 4
#define RELEARN_AFTER apr_time_from_sec(10) /* Redis' clock may be set while a connection lives */

struct jobs_pool_t {
    jobs_redis_t redis;
    apr_interval_time_t budget;
    apr_reslist_t *conns;
    apr_thread_mutex_t *lock; /* guards what follows */
    int failures;
    int probing;           /* a trial call is under way */
    apr_time_t open_until; /* by clock_boottime(); 0: the breaker is closed */
};

/* ---- the breaker --------------------------------------------------------------------------------------- */

/* ENTRY_NONE: fail at once. ENTRY_TRIAL: this call alone tries whether Redis is back. */
typedef enum { ENTRY_NONE, ENTRY_CALL, ENTRY_TRIAL } entry_e;

static entry_e breaker_enter(jobs_pool_t *jobs)
{
    entry_e entry = ENTRY_CALL;

    apr_thread_mutex_lock(jobs->lock);
    if (jobs->open_until) {
        int due = !jobs->probing && clock_boottime() >= jobs->open_until;

        entry = due ? ENTRY_TRIAL : ENTRY_NONE;
        jobs->probing |= due;
    }
    apr_thread_mutex_unlock(jobs->lock);
    return entry;
}

typedef enum {
    REACHED,   /* Redis answered */
    FAILED,    /* it did not */
    NOT_ASKED, /* unknown: no connection was free */
} reach_e;

/* Calls that were under way when the breaker opened do not count when they fail. */
static void breaker_leave(jobs_pool_t *jobs, entry_e entry, reach_e reach)
{
    apr_thread_mutex_lock(jobs->lock);
    if (entry == ENTRY_TRIAL) {
        jobs->probing = 0;
    }
    if (reach == REACHED) {
        jobs->failures = 0;
        jobs->open_until = 0;
    }
    else if (reach == FAILED &&
             (entry == ENTRY_TRIAL || (!jobs->open_until && ++jobs->failures >= BREAK_AFTER))) {
        jobs->open_until = clock_boottime() + BREAK_FOR;
    }
    apr_thread_mutex_unlock(jobs->lock);
}

/* ---- the pool ------------------------------------------------------------------------------------------ */

/* A connection connects when it is first used, within that call's budget. */
static apr_status_t pool_conn_create(void **resource, void *params, apr_pool_t *pool)
{
    jobs_pool_t *jobs = params;
    redis_conn_t *conn = calloc(1, sizeof(*conn)); /* connections come and go; a pool would only grow */

    (void)pool;
    if (conn == NULL) {
        return APR_ENOMEM;
    }
    conn->redis = &jobs->redis;
    *resource = conn;
    return APR_SUCCESS;
}

static apr_status_t pool_conn_destroy(void *resource, void *params, apr_pool_t *pool)
{
    (void)params;
    (void)pool;
    redis_conn_close(resource);
    free(resource);
    return APR_SUCCESS;
}

apr_status_t jobs_pool_create(jobs_pool_t **jobs, const jobs_redis_t *redis, int connections,
                              apr_interval_time_t budget, apr_pool_t *pool)
{
    jobs_pool_t *created = apr_pcalloc(pool, sizeof(*created));
    apr_status_t status;

    created->redis = jobs_redis_copy(redis, pool);
    created->budget = budget;
    if ((status = apr_thread_mutex_create(&created->lock, APR_THREAD_MUTEX_DEFAULT, pool)) != APR_SUCCESS ||
        (status = apr_reslist_create(&created->conns, 0, connections, connections, 0, pool_conn_create,
                                     pool_conn_destroy, created, pool)) != APR_SUCCESS) {
        return status;
    }
    apr_reslist_timeout_set(created->conns, budget / ACQUIRE_SHARE);
    *jobs = created;
    return APR_SUCCESS;
}

/* ---- a call -------------------------------------------------------------------------------------------- */

/* A connection that lay idle may have died, and what it learnt of Redis' clock ages: then it is opened again
 * before anything is sent on it. */
static redis_conn_e pool_attempt(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline,
                                 redisReply **reply, const char **why, apr_pool_t *pool)
{
    redis_conn_e outcome = REDIS_CONN_FINE;

    if (!redis_conn_alive(conn) || clock_boottime() - conn->learnt >= RELEARN_AFTER) {
        outcome = redis_conn_open(conn, deadline, why, pool);
    }
    if (outcome != REDIS_CONN_FINE) {
        return outcome;
    }
    return redis_conn_ask(conn, call, deadline, reply, why, pool);
}

/* Once more on a fresh connection, where that can do no harm: the connection broke under a call that may be
 * repeated, or Redis' clock went forward since it was learnt, so that a call in time looked late. */
static int may_repeat(const jobs_call_t *call, redis_conn_e outcome, int late, apr_time_t deadline)
{
    if (clock_boottime() >= deadline) {
        return 0;
    }
    return (outcome == REDIS_CONN_BROKEN && call->repeatable) || (outcome == REDIS_CONN_FINE && late);
}

static jobs_result_t pool_exchange(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline,
                                   redisReply **reply, int *reached, apr_pool_t *pool)
{
    const char *why = "";
    jobs_result_t result = JOBS_FINE;
    int late = 0;

    for (int tries = 0; tries < 2; tries++) {
        redis_conn_e outcome = pool_attempt(conn, call, deadline, reply, &why, pool);

        *reached = outcome == REDIS_CONN_FINE;
        result = *reached ? jobs_answer(*reply, &late, pool) : jobs_result(JOBS_UNAVAILABLE, why);
        if (!may_repeat(call, outcome, late, deadline)) {
            break;
        }
        redis_conn_close(conn);
    }
    if (late) { /* to a caller of the service this is a Redis too slow to be used */
        result.outcome = JOBS_UNAVAILABLE;
    }
    return result;
}

jobs_result_t jobs_pool_ask(jobs_pool_t *jobs, jobs_call_t *call, redisReply **reply, apr_pool_t *pool)
{
    apr_time_t deadline = clock_boottime() + jobs->budget;
    void *resource = NULL;
    int reached = 0;
    jobs_result_t result;
    entry_e entry;

    if (call->invalid) {
        return jobs_result(JOBS_UNAVAILABLE, "there is no memory to ask Redis");
    }
    entry = breaker_enter(jobs);
    if (entry == ENTRY_NONE) {
        return jobs_result(JOBS_UNAVAILABLE,
                           "Redis was away a moment ago; it is tried again within a second");
    }
    if (apr_reslist_acquire(jobs->conns, &resource) != APR_SUCCESS) {
        breaker_leave(jobs, entry, NOT_ASKED);
        return jobs_result(JOBS_UNAVAILABLE,
                           "every connection to Redis stayed in use: Redis is slow, or more "
                           "connections are needed");
    }
    result = pool_exchange(resource, call, deadline, reply, &reached, pool);
    apr_reslist_release(jobs->conns, resource);
    breaker_leave(jobs, entry, reached ? REACHED : FAILED);
    return result;
}
