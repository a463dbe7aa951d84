/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to Redis, by hiredis: replies are read by it, calls are sent from here. */
#include "jobs/conn_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "jobs/answer_priv.h"
#include "jobs/dial_priv.h"

/* Bytes for what is to be sent: at first, and the most that is kept. */
#define OUT_FIRST 1024
#define OUT_KEPT 65536

/* Elements of a reply, in all its arrays: as many as errors of the largest job have. */
#define ELEMENTS_MOST 400000

jobs_redis_t jobs_redis_copy(const jobs_redis_t *redis, apr_pool_t *pool)
{
    return (jobs_redis_t){
        .socket = apr_pstrdup(pool, redis->socket), /* NULL stays NULL */
        .host = apr_pstrdup(pool, redis->host),
        .port = redis->port,
        .user = apr_pstrdup(pool, redis->user),
        .password = apr_pstrdup(pool, redis->password),
    };
}

void redis_conn_close(redis_conn_t *conn)
{
    if (conn->context != NULL) {
        redisFree(conn->context);
    }
    conn->context = NULL;
    free(conn->out);
    conn->out = NULL;
    conn->out_length = conn->out_size = conn->sent = 0;
}

int redis_conn_alive(const redis_conn_t *conn)
{
    struct pollfd idle = {.events = POLLIN};

    if (conn->context == NULL || conn->context->err) {
        return 0;
    }
    idle.fd = conn->context->fd;
    return poll(&idle, 1, 0) == 0; /* no reply is due, so anything to read means that Redis closed it */
}

/* Closes a connection that has failed, and says why. */
static redis_conn_e conn_fail(redis_conn_t *conn, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    redisContext *context = conn->context;
    int timeout =
        clock_boottime() >= deadline || (context != NULL && context->err == REDIS_ERR_IO &&
                                         (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT));

    if (conn->too_large) {
        *why = "Redis answers more than any amtunlock function does: what writes to it beside mod_amtunlock?";
    }
    else if (timeout) {
        *why = "Redis did not answer in time: is it busy, stopped, or its disk slow?";
    }
    else {
        *why = apr_psprintf(pool, "the connection to Redis broke: %s",
                            context != NULL && context->err ? context->errstr : "out of memory");
    }
    redis_conn_close(conn);
    if (conn->too_large) {
        return REDIS_CONN_LARGE;
    }
    return timeout ? REDIS_CONN_TIMEOUT : REDIS_CONN_BROKEN;
}

/* ---- sending ------------------------------------------------------------------------------------------- */

/* hiredis has an output buffer of its own, but does not check that it could be allocated. */
static int conn_add_out(redis_conn_t *conn, const char *bytes, size_t length)
{
    size_t size = conn->out_size ? conn->out_size : OUT_FIRST;
    char *grown;

    while (size - conn->out_length < length) {
        size *= 2;
    }
    grown = size == conn->out_size ? conn->out : realloc(conn->out, size);
    if (grown == NULL) {
        return 0;
    }
    conn->out = grown;
    conn->out_size = size;
    memcpy(conn->out + conn->out_length, bytes, length);
    conn->out_length += length;
    return 1;
}

int redis_conn_put(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline)
{
    char *command = NULL;
    int length;
    int added;

    if (call->not_after) {
        const char *text = apr_psprintf(call->pool, "%" APR_INT64_T_FMT, deadline + conn->offset);

        APR_ARRAY_IDX(call->words, call->not_after, const char *) = text;
        APR_ARRAY_IDX(call->lengths, call->not_after, size_t) = strlen(text);
    }
    length = redisFormatCommandArgv(&command, call->words->nelts, (const char **)(void *)call->words->elts,
                                    (const size_t *)(void *)call->lengths->elts);
    conn->most = call->reply_most ? call->reply_most : JOBS_REPLY_MOST;
    added = length >= 0 && conn_add_out(conn, command, (size_t)length);
    redisFreeCommand(command);
    return added;
}

/* 0: the deadline has passed, or there is no memory. At least a millisecond: 0 would mean "for ever" to the
 * socket. */
static int conn_set_timeout(redis_conn_t *conn, apr_time_t deadline)
{
    apr_interval_time_t left = deadline - clock_boottime();
    struct timeval time = {.tv_usec = 1000};

    if (left > 1000) {
        time.tv_sec = apr_time_sec(left);
        time.tv_usec = apr_time_usec(left);
    }
    return left > 0 && redisSetTimeout(conn->context, time) == REDIS_OK;
}

/* 0: the connection is broken; context->err and errstr are set as hiredis sets them. */
static int conn_send_some(redis_conn_t *conn)
{
    redisContext *context = conn->context;
    ssize_t count = send(context->fd, conn->out + conn->sent, conn->out_length - conn->sent, MSG_NOSIGNAL);

    if (count < 0 && errno != EINTR) {
        int number = errno;

        context->err = REDIS_ERR_IO;
        apr_strerror(APR_FROM_OS_ERROR(number), context->errstr, sizeof(context->errstr));
        errno = number;
        return 0;
    }
    conn->sent += count > 0 ? (size_t)count : 0;
    return 1;
}

redis_conn_e redis_conn_send(redis_conn_t *conn, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    while (conn->sent < conn->out_length) {
        if (!conn_set_timeout(conn, deadline) || !conn_send_some(conn)) {
            return conn_fail(conn, deadline, why, pool);
        }
    }
    conn->out_length = conn->sent = 0;
    if (conn->out_size > OUT_KEPT) {
        free(conn->out);
        conn->out = NULL;
        conn->out_size = 0;
    }
    return REDIS_CONN_FINE;
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

static apr_status_t free_reply(void *reply)
{
    freeReplyObject(reply);
    return APR_SUCCESS;
}

/* In place of hiredis' own, which gets memory for as many elements as a reply says that it has. */
static void *create_array(const redisReadTask *task, jobs_elements_t elements)
{
    redis_conn_t *conn = task->privdata;

    conn->elements += (apr_int64_t)elements;
    if (conn->elements > ELEMENTS_MOST) {
        conn->too_large = 1;
        return NULL; /* hiredis takes that for want of memory, and gives the reply up */
    }
    return conn->create_array(task, elements);
}

static void conn_bound_replies(redis_conn_t *conn)
{
    redisReader *reader = conn->context->reader;

    conn->functions = *reader->fn;
    conn->create_array = conn->functions.createArray;
    conn->functions.createArray = create_array;
    reader->fn = &conn->functions;
    reader->privdata = conn;
}

/* 0: the connection is broken, or the reply too large. */
static int conn_receive_some(redis_conn_t *conn)
{
    size_t before = conn->context->reader->len;

    if (redisBufferRead(conn->context) != REDIS_OK) {
        return 0;
    }
    conn->received += conn->context->reader->len - before;
    conn->too_large = conn->received > conn->most;
    return !conn->too_large;
}

/* As redisGetReply(), with one deadline for the whole reply instead of a timeout for each read. */
static redis_conn_e conn_read(redis_conn_t *conn, apr_time_t deadline, void **reply, const char **why,
                              apr_pool_t *pool)
{
    conn->received = 0;
    conn->elements = 0;
    for (;;) {
        if (redisGetReplyFromReader(conn->context, reply) != REDIS_OK) {
            return conn_fail(conn, deadline, why, pool);
        }
        if (*reply != NULL) {
            return REDIS_CONN_FINE;
        }
        if (!conn_set_timeout(conn, deadline) || !conn_receive_some(conn)) {
            return conn_fail(conn, deadline, why, pool);
        }
    }
}

redisReply *redis_conn_take(redis_conn_t *conn, apr_time_t deadline, redis_conn_e *outcome, const char **why,
                            apr_pool_t *pool)
{
    void *reply = NULL;

    *outcome = conn->context != NULL ? redis_conn_send(conn, deadline, why, pool)
                                     : conn_fail(conn, deadline, why, pool);
    if (*outcome == REDIS_CONN_FINE && FAILPOINT_FAILS("conn.sent")) {
        *outcome = conn_fail(conn, deadline, why, pool);
    }
    if (*outcome == REDIS_CONN_FINE) {
        *outcome = conn_read(conn, deadline, &reply, why, pool);
    }
    if (reply != NULL) {
        apr_pool_cleanup_register(pool, reply, free_reply, apr_pool_cleanup_null);
    }
    if (reply != NULL && FAILPOINT_FAILS("conn.answered")) {
        *outcome = conn_fail(conn, deadline, why, pool);
        return NULL;
    }
    return reply;
}

redis_conn_e redis_conn_ask(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline, redisReply **reply,
                            const char **why, apr_pool_t *pool)
{
    redis_conn_e outcome;

    if (!redis_conn_put(conn, call, deadline)) {
        return conn_fail(conn, deadline, why, pool);
    }
    *reply = redis_conn_take(conn, deadline, &outcome, why, pool);
    return outcome;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static int conn_put_auth(redis_conn_t *conn, apr_time_t deadline, apr_pool_t *pool)
{
    jobs_call_t *auth = jobs_command("AUTH", pool);

    if (conn->redis->user != NULL) {
        jobs_call_text(auth, conn->redis->user);
    }
    jobs_call_text(auth, conn->redis->password);
    return redis_conn_put(conn, auth, deadline);
}

static redis_conn_e conn_not_let_in(redis_conn_t *conn, const redisReply *reply, const char **why,
                                    apr_pool_t *pool)
{
    *why = jobs_answer(reply, NULL, pool).text;
    redis_conn_close(conn);
    return REDIS_CONN_AWAY;
}

/* Takes the replies to AUTH and TIME. Redis' clock is counted from when its answer came, so that a deadline
 * in Redis' time is early rather than late. */
static redis_conn_e conn_greet(redis_conn_t *conn, int with_auth, apr_time_t deadline, const char **why,
                               apr_pool_t *pool)
{
    redis_conn_e outcome = REDIS_CONN_FINE;
    redisReply *reply = NULL;

    if (with_auth) {
        reply = redis_conn_take(conn, deadline, &outcome, why, pool);
        if (reply == NULL) {
            return outcome;
        }
        if (reply->type == REDIS_REPLY_ERROR) {
            return conn_not_let_in(conn, reply, why, pool);
        }
    }
    reply = redis_conn_take(conn, deadline, &outcome, why, pool);
    if (reply == NULL) {
        return outcome;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return conn_not_let_in(conn, reply, why, pool);
    }
    conn->learnt = clock_boottime();
    conn->offset = apr_time_from_sec(jobs_number_at(reply, 0)) + jobs_number_at(reply, 1) - conn->learnt;
    return REDIS_CONN_FINE;
}

/* NULL, and *what is wrong, if there is no connection. */
static redisContext *connect_context(const jobs_redis_t *redis, apr_time_t deadline, const char **what,
                                     apr_pool_t *pool)
{
    int fd = jobs_dial(redis, deadline, what, pool);
    redisContext *context = fd >= 0 ? redisConnectFd(fd) : NULL;

    if (fd >= 0 && context == NULL) {
        close(fd);
        *what = "out of memory";
    }
    return context;
}

static const char *address_text(const jobs_redis_t *redis, apr_pool_t *pool)
{
    if (redis->socket != NULL) {
        return redis->socket;
    }
    return apr_psprintf(pool, strchr(redis->host, ':') ? "[%s]:%d" : "%s:%d", redis->host, redis->port);
}

redis_conn_e redis_conn_open(redis_conn_t *conn, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    const jobs_redis_t *redis = conn->redis;
    int with_auth = redis->password != NULL;
    const char *what = "";

    redis_conn_close(conn);
    conn->too_large = 0;
    conn->context = connect_context(redis, deadline, &what, pool);
    FAILPOINT("conn.dialled");
    if (conn->context == NULL) {
        *why = apr_psprintf(pool, "no connection to Redis at %s: %s; is it running, and may this user enter?",
                            address_text(redis, pool), what);
        return REDIS_CONN_AWAY;
    }
    conn_bound_replies(conn);
    if ((with_auth && !conn_put_auth(conn, deadline, pool)) ||
        !redis_conn_put(conn, jobs_command("TIME", pool), deadline)) {
        return conn_fail(conn, deadline, why, pool);
    }
    return conn_greet(conn, with_auth, deadline, why, pool);
}
