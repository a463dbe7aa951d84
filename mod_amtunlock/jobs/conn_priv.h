/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to Redis. Used by one thread at a time; every step that may wait is given a deadline, by
 * clock_boottime(). */
#ifndef AMTUNLOCK_JOBS_CONN_PRIV_H
#define AMTUNLOCK_JOBS_CONN_PRIV_H

#include <hiredis/hiredis.h>

#include "jobs/call_priv.h"
#include "jobs/jobs.h"

/* As redisReplyObjectFunctions has it, which changed with hiredis 1.0. */
#if HIREDIS_MAJOR >= 1
typedef size_t jobs_elements_t;
#else
typedef int jobs_elements_t;
#endif
typedef void *(jobs_create_array_fn)(const redisReadTask *task, jobs_elements_t elements);

typedef struct {
    const jobs_redis_t *redis;
    redisContext *context; /* NULL: not connected. Reads replies; what is sent is in `out`. */
    char *out;             /* from malloc: calls, of which the first `sent` bytes have left */
    size_t out_length, out_size, sent;
    /* The reply that is being read: its bytes and elements so far, the most bytes, and whether it had more of either. */
    size_t received, most;
    apr_int64_t elements;
    int too_large;
    redisReplyObjectFunctions functions; /* of the reader: hiredis' own but for arrays, */
    jobs_create_array_fn *create_array;  /* and what those are made by */
    apr_time_t offset;                   /* Redis' clock less clock_boottime() */
    apr_time_t learnt;                   /* when, by clock_boottime() */
} redis_conn_t;

/* How an exchange ended. Nothing but REDIS_CONN_FINE leaves the connection open. */
typedef enum {
    REDIS_CONN_FINE,    /* Redis answered, be it with an error */
    REDIS_CONN_BROKEN,  /* the connection ended */
    REDIS_CONN_TIMEOUT, /* the deadline passed */
    REDIS_CONN_LARGE,   /* Redis answers more than this program reads */
    REDIS_CONN_AWAY     /* no connection could be made, or Redis did not let us in */
} redis_conn_e;

/* A copy in `pool`. */
jobs_redis_t jobs_redis_copy(const jobs_redis_t *redis, apr_pool_t *pool);

/* Connects, authenticates and learns Redis' clock. *why (in pool) says what is wrong. */
redis_conn_e redis_conn_open(redis_conn_t *conn, apr_time_t deadline, const char **why, apr_pool_t *pool);
void redis_conn_close(redis_conn_t *conn);
/* Open, and not closed by Redis while it lay idle. */
int redis_conn_alive(const redis_conn_t *conn);
/* Adds a call to what the next send or take sends; `deadline` is its not_after. 0: no memory, the connection is
 * to be closed. */
int redis_conn_put(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline);
/* Hands all that was put to the kernel. On any outcome but REDIS_CONN_FINE the last call did not leave whole,
 * and Redis carries out none that it does not have whole. */
redis_conn_e redis_conn_send(redis_conn_t *conn, apr_time_t deadline, const char **why, apr_pool_t *pool);
/* The next reply, freed with `pool`; NULL if none came, and *outcome and *why say why. */
redisReply *redis_conn_take(redis_conn_t *conn, apr_time_t deadline, redis_conn_e *outcome, const char **why,
                            apr_pool_t *pool);
/* One call, one reply. */
redis_conn_e redis_conn_ask(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline, redisReply **reply,
                            const char **why, apr_pool_t *pool);

#endif
