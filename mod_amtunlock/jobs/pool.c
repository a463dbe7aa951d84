/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's connections: bounded apr_reslists, one budget of time a call, and a circuit breaker.
 *
 * A frozen Redis must not take httpd down with it: its threads serve other pages, too. So no more calls wait
 * for Redis than there are connections, and each no longer than the budget as a whole; a call that finds no
 * connection free gives up after a share of it. After a few failures in a row calls fail at once for a
 * second, and then one call a second tries whether Redis is back.
 *
 * A change whose bytes have all left may be done, whatever the clock says here. So changes have connections of
 * their own, whose few calls wait much longer than the budget for an answer; all others were not sent, and
 * nothing of them is done.
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
    jobs_pool_limits_t limits;
    apr_reslist_t *conns;
    apr_reslist_t *patient;   /* NULL: no call may be patient */
    apr_thread_mutex_t *lock; /* guards what follows */
    int failures;
    apr_time_t open_until; /* by clock_boottime(); 0: the breaker is closed */
};

/* ---- the breaker --------------------------------------------------------------------------------------- */

/* ENTRY_NONE: fail at once. ENTRY_TRIAL: this call alone, in this second, tries whether Redis is back. */
typedef enum { ENTRY_NONE, ENTRY_CALL, ENTRY_TRIAL } entry_e;

static entry_e breaker_enter(jobs_pool_t *jobs)
{
    entry_e entry = ENTRY_CALL;

    apr_thread_mutex_lock(jobs->lock);
    if (jobs->open_until) {
        apr_time_t now = clock_boottime();

        entry = now >= jobs->open_until ? ENTRY_TRIAL : ENTRY_NONE;
        jobs->open_until = entry == ENTRY_TRIAL ? now + BREAK_FOR : jobs->open_until;
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
    if (reach == REACHED) {
        jobs->failures = 0;
        jobs->open_until = 0;
    }
    else if (reach == NOT_ASKED && entry == ENTRY_TRIAL) {
        jobs->open_until = clock_boottime(); /* the next call tries it */
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

static apr_status_t pool_list_create(jobs_pool_t *jobs, apr_reslist_t **list, int most, apr_pool_t *pool)
{
    apr_status_t status =
        apr_reslist_create(list, 0, most, most, 0, pool_conn_create, pool_conn_destroy, jobs, pool);

    if (status == APR_SUCCESS) {
        apr_reslist_timeout_set(*list, jobs->limits.budget / ACQUIRE_SHARE);
    }
    return status;
}

apr_status_t jobs_pool_create(jobs_pool_t **jobs, const jobs_redis_t *redis, const jobs_pool_limits_t *limits,
                              apr_pool_t *pool)
{
    jobs_pool_t *created = apr_pcalloc(pool, sizeof(*created));
    apr_status_t status;

    created->redis = jobs_redis_copy(redis, pool);
    created->limits = *limits;
    if ((status = apr_thread_mutex_create(&created->lock, APR_THREAD_MUTEX_DEFAULT, pool)) != APR_SUCCESS ||
        (status = pool_list_create(created, &created->conns, limits->connections, pool)) != APR_SUCCESS ||
        (limits->patient > 0 &&
         (status = pool_list_create(created, &created->patient, limits->patient, pool)) != APR_SUCCESS)) {
        return status;
    }
    *jobs = created;
    return APR_SUCCESS;
}

/* ---- a call -------------------------------------------------------------------------------------------- */

/* One call and what became of it. */
typedef struct {
    jobs_call_t *call;
    apr_time_t send_by;   /* connected and sent whole by then */
    apr_time_t answer_by; /* by Redis, too: the call's not_after */
    int reached;          /* by the last attempt: Redis answered */
    int large;            /* by the last attempt: Redis answered more than is read */
    int late;             /* by the last attempt: Redis refused it as late */
    int unknown;          /* an attempt was sent whole, and its answer did not come */
} exchange_t;

/* The call, and those behind it. */
static int put_calls(redis_conn_t *conn, const exchange_t *x)
{
    for (jobs_call_t *call = x->call; call != NULL; call = call->behind) {
        if (!redis_conn_put(conn, call, x->answer_by)) {
            return 0;
        }
    }
    return 1;
}

static int is_taken(const redisReply *reply, apr_pool_t *pool)
{
    jobs_outcome_e outcome = jobs_answer(reply, NULL, pool).outcome;

    return outcome == JOBS_OK || outcome == JOBS_ALREADY;
}

/* All answers are read, so that none of them is taken for that of a later call. */
static redis_conn_e take_answers(redis_conn_t *conn, const exchange_t *x, redisReply **reply,
                                 const char **why, apr_pool_t *pool)
{
    redis_conn_e outcome = REDIS_CONN_FINE;

    *reply = NULL;
    for (jobs_call_t *call = x->call; call != NULL && outcome == REDIS_CONN_FINE; call = call->behind) {
        redisReply *taken = redis_conn_take(conn, x->answer_by, &outcome, why, pool);

        if (outcome != REDIS_CONN_FINE || *reply == NULL || is_taken(*reply, pool)) {
            *reply = taken;
        }
    }
    return outcome;
}

/* A connection that lay idle may have died, and what it learnt of Redis' clock ages: then it is opened again
 * before anything is sent on it. */
static redis_conn_e pool_attempt(redis_conn_t *conn, exchange_t *x, redisReply **reply, const char **why,
                                 apr_pool_t *pool)
{
    redis_conn_e outcome = REDIS_CONN_FINE;

    if (!redis_conn_alive(conn) || clock_boottime() - conn->learnt >= RELEARN_AFTER) {
        outcome = redis_conn_open(conn, x->send_by, why, pool);
    }
    if (outcome == REDIS_CONN_FINE && !put_calls(conn, x)) {
        redis_conn_close(conn);
        *why = "there is no memory to ask Redis";
        return REDIS_CONN_AWAY;
    }
    if (outcome == REDIS_CONN_FINE) {
        outcome = redis_conn_send(conn, x->send_by, why, pool);
    }
    if (outcome == REDIS_CONN_FINE) {
        outcome = take_answers(conn, x, reply, why, pool);
        x->unknown |= outcome != REDIS_CONN_FINE;
    }
    return outcome;
}

/* Once more on a fresh connection, where that can do no harm: the connection broke under a call that may be
 * repeated, or Redis' clock went forward since it was learnt, so that a call in time looked late. */
static int may_repeat(const exchange_t *x, redis_conn_e outcome)
{
    if (clock_boottime() >= x->answer_by) {
        return 0;
    }
    return (outcome == REDIS_CONN_BROKEN && x->call->repeatable) || (outcome == REDIS_CONN_FINE && x->late);
}

/* What the last attempt's result means for the call. */
static jobs_result_t judge_exchange(const exchange_t *x, const redisReply *reply, jobs_result_t result)
{
    int decided = x->reached && !x->late && reply->type != REDIS_REPLY_ERROR;

    if (x->unknown && x->call->changes && !decided) {
        result.outcome = JOBS_UNKNOWN;
    }
    else if (x->reached && x->call->changes && jobs_is_halfway(reply)) {
        result.outcome = JOBS_BROKEN;
    }
    else if (x->late) { /* to a caller of the service this is a Redis too slow to be used */
        result.outcome = JOBS_UNAVAILABLE;
    }
    return result;
}

static jobs_result_t pool_exchange(const jobs_pool_t *jobs, redis_conn_t *conn, exchange_t *x,
                                   redisReply **reply, apr_pool_t *pool)
{
    const char *why = "";
    jobs_result_t result = JOBS_FINE;

    for (int tries = 0; tries < 2; tries++) {
        redis_conn_e outcome = pool_attempt(conn, x, reply, &why, pool);
        apr_time_t again_by = clock_boottime() + jobs->limits.budget;

        x->late = 0;
        x->reached = outcome == REDIS_CONN_FINE;
        x->large = outcome == REDIS_CONN_LARGE;
        result = x->reached ? jobs_answer(*reply, &x->late, pool)
                            : jobs_result(x->large ? JOBS_BROKEN : JOBS_UNAVAILABLE, why);
        if (!may_repeat(x, outcome)) {
            break;
        }
        x->call->repeated |= x->unknown;
        x->send_by = again_by < x->answer_by ? again_by : x->answer_by;
        redis_conn_close(conn);
    }
    if (x->reached && jobs_is_from_replica(*reply)) {
        redis_conn_close(conn);
    }
    return judge_exchange(x, *reply, result);
}

/* With a connection of `list`; on any other outcome than "asked" nothing was sent. */
static jobs_result_t pool_ask_by(jobs_pool_t *jobs, apr_reslist_t *list, exchange_t *x, reach_e *reach,
                                 redisReply **reply, apr_pool_t *pool)
{
    void *resource = NULL;
    jobs_result_t result;

    *reach = NOT_ASKED;
    if (apr_reslist_acquire(list, &resource) != APR_SUCCESS) {
        return jobs_result(JOBS_UNAVAILABLE,
                           "every connection to Redis stayed in use: Redis is slow, or more "
                           "connections are needed");
    }
    result = pool_exchange(jobs, resource, x, reply, pool);
    apr_reslist_release(list, resource);
    *reach = x->reached || x->large ? REACHED : FAILED;
    return result;
}

apr_time_t jobs_pool_give_up(const jobs_pool_t *jobs)
{
    const jobs_pool_limits_t *limits = &jobs->limits;

    return clock_boottime() + (limits->patience > limits->budget ? limits->patience : limits->budget);
}

static exchange_t new_exchange(const jobs_pool_t *jobs, jobs_call_t *call, int patient)
{
    apr_time_t now = clock_boottime();
    exchange_t x = {.call = call,
                    .send_by = now + jobs->limits.budget,
                    .answer_by = now + (patient ? jobs->limits.patience : jobs->limits.budget)};

    if (call->give_up != 0) {
        x.answer_by = call->give_up < x.answer_by ? call->give_up : x.answer_by;
        x.send_by = call->give_up < x.send_by ? call->give_up : x.send_by;
    }
    return x;
}

jobs_result_t jobs_pool_ask(jobs_pool_t *jobs, jobs_call_t *call, redisReply **reply, apr_pool_t *pool)
{
    int patient = call->changes && jobs->patient != NULL;
    exchange_t x = new_exchange(jobs, call, patient);
    jobs_result_t result;
    reach_e reach;
    entry_e entry;

    if (call->invalid) {
        return jobs_result(JOBS_UNAVAILABLE, "there is no memory to ask Redis");
    }
    entry = breaker_enter(jobs);
    if (entry == ENTRY_NONE) {
        return jobs_result(JOBS_UNAVAILABLE,
                           "Redis was away a moment ago; it is tried again within a second");
    }
    result = pool_ask_by(jobs, patient ? jobs->patient : jobs->conns, &x, &reach, reply, pool);
    breaker_leave(jobs, entry, reach);
    return result;
}
