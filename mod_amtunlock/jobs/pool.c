/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's connections: a bounded apr_reslist, one budget of time a call, and a circuit breaker.
 *
 * A frozen Redis must not take httpd down with it: its threads serve other pages, too. So no more calls wait
 * for Redis than there are connections, and each no longer than the budget, in whole; who finds no connection
 * free gives up soon. After a few calls in a row found no Redis, calls fail at once for a moment, and then
 * one at a time tries again.
 */
#include "jobs/pool_priv.h"

#include <stdlib.h>

#include <apr_reslist.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>

#define BREAK_AFTER 3                      /* failures in a row */
#define BREAK_FOR apr_time_from_msec(1000) /* then nobody tries for so long */
/* Of the budget, for a connection to come free: much longer than a call takes, much shorter than it may take.
 */
#define SHARE_FOR_TURN 4
#define RELEARN_AFTER apr_time_from_sec(10)

struct jobs_pool_t {
    jobs_redis_t redis;
    apr_interval_time_t budget;
    apr_reslist_t *links;
    apr_thread_mutex_t *lock; /* guards what follows */
    int failures;
    int probing;           /* a trial is under way */
    apr_time_t open_until; /* by clock_boottime(); 0: the breaker is closed */
};

/* ---- the breaker --------------------------------------------------------------------------------------- */

typedef enum { ENTRY_NONE, ENTRY_CALL, ENTRY_TRIAL } entry_e;

/* ENTRY_NONE: fail at once. ENTRY_TRIAL: this one tries whether Redis is back, and no other does meanwhile.
 */
static entry_e breaker_enter(jobs_pool_t *store)
{
    entry_e entry = ENTRY_CALL;

    apr_thread_mutex_lock(store->lock);
    if (store->open_until) {
        int due = !store->probing && clock_boottime() >= store->open_until;

        entry = due ? ENTRY_TRIAL : ENTRY_NONE;
        store->probing |= due;
    }
    apr_thread_mutex_unlock(store->lock);
    return entry;
}

typedef enum {
    REACHED,   /* Redis answered */
    FAILED,    /* it did not */
    NOT_ASKED, /* nobody knows: no connection was free */
} reach_e;

/* Calls that were under way when the breaker opened say nothing new by failing. */
static void breaker_leave(jobs_pool_t *store, entry_e entry, reach_e reach)
{
    apr_thread_mutex_lock(store->lock);
    if (entry == ENTRY_TRIAL) {
        store->probing = 0;
    }
    if (reach == REACHED) {
        store->failures = 0;
        store->open_until = 0;
    }
    else if (reach == FAILED &&
             (entry == ENTRY_TRIAL || (!store->open_until && ++store->failures >= BREAK_AFTER))) {
        store->open_until = clock_boottime() + BREAK_FOR;
    }
    apr_thread_mutex_unlock(store->lock);
}

/* ---- the pool ------------------------------------------------------------------------------------------ */

/* A link connects when it is first used, within that call's budget. */
static apr_status_t link_make(void **resource, void *params, apr_pool_t *pool)
{
    jobs_pool_t *store = params;
    redis_conn_t *link = calloc(1, sizeof(*link)); /* links come and go; the pool would only grow */

    (void)pool;
    if (!link) {
        return APR_ENOMEM;
    }
    link->redis = &store->redis;
    *resource = link;
    return APR_SUCCESS;
}

static apr_status_t link_destroy(void *resource, void *params, apr_pool_t *pool)
{
    (void)params;
    (void)pool;
    redis_conn_close(resource);
    free(resource);
    return APR_SUCCESS;
}

static const char *dup_or_null(apr_pool_t *pool, const char *text)
{
    return text ? apr_pstrdup(pool, text) : NULL;
}

apr_status_t jobs_pool_create(jobs_pool_t **store, const jobs_redis_t *redis, int connections,
                              apr_interval_time_t budget, apr_pool_t *pool)
{
    jobs_pool_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t rv;

    made->redis.socket = dup_or_null(pool, redis->socket);
    made->redis.host = dup_or_null(pool, redis->host);
    made->redis.port = redis->port;
    made->redis.user = dup_or_null(pool, redis->user);
    made->redis.password = dup_or_null(pool, redis->password);
    made->budget = budget;
    if ((rv = apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, pool)) != APR_SUCCESS) {
        return rv;
    }
    if ((rv = apr_reslist_create(&made->links, 0, connections, connections, 0, link_make, link_destroy, made,
                                 pool)) != APR_SUCCESS) {
        return rv;
    }
    apr_reslist_timeout_set(made->links, budget / SHARE_FOR_TURN);
    *store = made;
    return APR_SUCCESS;
}

/* ---- a call -------------------------------------------------------------------------------------------- */

/* A connection that lay idle may have died: it is replaced before anything is sent on it. */
static redis_conn_e ready(redis_conn_t *link, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    /* Redis' clock may be set while a connection lives, so what was learnt of it ages. */
    if (redis_conn_alive(link) && clock_boottime() - link->learnt < RELEARN_AFTER) {
        return REDIS_CONN_FINE;
    }
    return redis_conn_open(link, deadline, why, pool);
}

static redis_conn_e attempt(redis_conn_t *link, jobs_call_t *call, apr_time_t deadline, redisReply **reply,
                            const char **why, apr_pool_t *pool)
{
    redis_conn_e outcome = ready(link, deadline, why, pool);

    if (outcome != REDIS_CONN_FINE) {
        return outcome;
    }
    return redis_conn_ask(link, call, deadline, reply, why, pool);
}

/* Once more on a fresh connection, where that can do no harm: the connection died under a call that may be
 * repeated, or Redis' clock went forward since it was learnt, so that a call in time looked late. */
static int worth_repeating(const jobs_call_t *call, redis_conn_e outcome, int late, apr_time_t deadline)
{
    if (clock_boottime() >= deadline) {
        return 0;
    }
    return (outcome == REDIS_CONN_BROKEN && call->repeatable) || (outcome == REDIS_CONN_FINE && late);
}

static jobs_result_t exchange(redis_conn_t *link, jobs_call_t *call, apr_time_t deadline, redisReply **reply,
                              int *reached, apr_pool_t *pool)
{
    const char *why = "";
    jobs_result_t result = JOBS_FINE;
    int late = 0;

    for (int tries = 0; tries < 2; tries++) {
        redis_conn_e outcome = attempt(link, call, deadline, reply, &why, pool);

        *reached = outcome == REDIS_CONN_FINE;
        result = *reached ? jobs_answer(*reply, &late, pool) : jobs_result(JOBS_UNAVAILABLE, why);
        if (!worth_repeating(call, outcome, late, deadline)) {
            break;
        }
        redis_conn_close(link);
    }
    if (late) { /* to a caller of the service this is a store too slow to be used */
        result.outcome = JOBS_UNAVAILABLE;
    }
    return result;
}

jobs_result_t jobs_pool_ask(jobs_pool_t *store, jobs_call_t *call, redisReply **reply, apr_pool_t *pool)
{
    apr_time_t deadline = clock_boottime() + store->budget;
    void *resource = NULL;
    int reached = 0;

    if (call->invalid) {
        return jobs_result(JOBS_UNAVAILABLE, "there is no memory to ask Redis");
    }
    entry_e entry = breaker_enter(store);
    if (entry == ENTRY_NONE) {
        return jobs_result(JOBS_UNAVAILABLE,
                           "Redis was away a moment ago; it is tried again within a second");
    }
    if (apr_reslist_acquire(store->links, &resource) != APR_SUCCESS) {
        breaker_leave(store, entry, NOT_ASKED);
        return jobs_result(JOBS_UNAVAILABLE,
                           "every connection to Redis stayed in use: Redis is slow, or more "
                           "connections are needed");
    }
    jobs_result_t result = exchange(resource, call, deadline, reply, &reached, pool);
    apr_reslist_release(store->links, resource);
    breaker_leave(store, entry, reached ? REACHED : FAILED);
    return result;
}
