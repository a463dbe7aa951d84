/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to Redis (hiredis), calls with lengths, and what replies mean. */
#include "jobs/redis_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "jobs/dial_priv.h"

/* Bytes for what is to be sent: at first, and the most that is kept. */
#define OUT_FIRST 1024
#define OUT_KEPT 65536

jobs_result_t jobs_result(jobs_outcome_e outcome, const char *text)
{
    jobs_result_t result = {outcome, text};

    return result;
}

/* ---- a call -------------------------------------------------------------------------------------------- */

void jobs_call_bytes(jobs_call_t *call, const char *bytes, size_t length)
{
    APR_ARRAY_PUSH(call->words, const char *) = bytes;
    APR_ARRAY_PUSH(call->lengths, size_t) = length;
}

void jobs_call_text(jobs_call_t *call, const char *text)
{
    if (!text) {
        text = "";
    }
    jobs_call_bytes(call, text, strlen(text));
}

void jobs_call_digest(jobs_call_t *call, const char *digest)
{
    call->invalid |= digest == NULL;
    jobs_call_text(call, digest);
}

void jobs_call_number(jobs_call_t *call, apr_int64_t number)
{
    jobs_call_text(call, apr_psprintf(call->pool, "%" APR_INT64_T_FMT, number));
}

void jobs_call_not_after(jobs_call_t *call)
{
    call->not_after = call->words->nelts;
    jobs_call_text(call, "0");
}

jobs_call_t *jobs_command(const char *name, apr_pool_t *pool)
{
    jobs_call_t *call = apr_pcalloc(pool, sizeof(*call));

    call->pool = pool;
    call->words = apr_array_make(pool, 32, sizeof(const char *));
    call->lengths = apr_array_make(pool, 32, sizeof(size_t));
    jobs_call_text(call, name);
    return call;
}

jobs_call_t *jobs_verb(const char *name, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_command("FCALL", pool);

    jobs_call_text(call, apr_pstrcat(pool, "amtunlock_", name, NULL));
    jobs_call_text(call, "0"); /* keys: all are derived inside, in the one slot of {amtu} */
    jobs_call_number(call, JOBS_SCHEMA);
    return call;
}

/* ---- time ---------------------------------------------------------------------------------------------- */

/* At least a millisecond: zero would mean "for ever" to the socket. */
static struct timeval remaining(apr_time_t deadline)
{
    apr_interval_time_t left = deadline - clock_boottime();

    if (left < 1000) {
        left = 1000;
    }
    struct timeval time = {.tv_sec = apr_time_sec(left), .tv_usec = apr_time_usec(left)};
    return time;
}

static int is_over(apr_time_t deadline)
{
    return clock_boottime() >= deadline;
}

/* ---- a link -------------------------------------------------------------------------------------------- */

void redis_conn_close(redis_conn_t *link)
{
    if (link->context) {
        redisFree(link->context);
    }
    link->context = NULL;
    free(link->out);
    link->out = NULL;
    link->out_length = link->out_room = link->sent = 0;
}

int redis_conn_alive(const redis_conn_t *link)
{
    if (!link->context || link->context->err) {
        return 0;
    }
    struct pollfd idle = {.fd = link->context->fd, .events = POLLIN};
    return poll(&idle, 1, 0) == 0; /* nothing is due, so anything to read is an end */
}

/* The link has failed: closes it and says why. */
static redis_conn_e fail(redis_conn_t *link, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    redisContext *context = link->context;
    int timeout = is_over(deadline) || (context && context->err == REDIS_ERR_IO &&
                                        (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT));

    if (timeout) {
        *why = "Redis did not answer in time: is it busy, stopped, or its disk slow?";
    }
    else {
        *why = apr_psprintf(pool, "the connection to Redis broke: %s",
                            context && context->err ? context->errstr : "out of memory");
    }
    redis_conn_close(link);
    return timeout ? REDIS_CONN_TIMEOUT : REDIS_CONN_BROKEN;
}

/* hiredis keeps what is to be sent itself, but does not look whether it got memory for that. */
static int add_out(redis_conn_t *link, const char *bytes, size_t length)
{
    size_t room = link->out_room ? link->out_room : OUT_FIRST;

    while (room - link->out_length < length) {
        room *= 2;
    }
    char *grown = room == link->out_room ? link->out : realloc(link->out, room);
    if (grown == NULL) {
        return 0;
    }
    link->out = grown;
    link->out_room = room;
    memcpy(link->out + link->out_length, bytes, length);
    link->out_length += length;
    return 1;
}

int redis_conn_put(redis_conn_t *link, jobs_call_t *call, apr_time_t deadline)
{
    if (call->not_after) {
        const char *text = apr_psprintf(call->pool, "%" APR_INT64_T_FMT, deadline + link->offset);

        APR_ARRAY_IDX(call->words, call->not_after, const char *) = text;
        APR_ARRAY_IDX(call->lengths, call->not_after, size_t) = strlen(text);
    }
    char *command = NULL;
    int length =
        redisFormatCommandArgv(&command, call->words->nelts, (const char **)(void *)call->words->elts,
                               (const size_t *)(void *)call->lengths->elts);
    int added = length >= 0 && add_out(link, command, (size_t)length);
    redisFreeCommand(command);
    return added;
}

/* 0: the connection is broken, as hiredis would say it. */
static int send_some(redis_conn_t *link)
{
    redisContext *context = link->context;
    ssize_t count = send(context->fd, link->out + link->sent, link->out_length - link->sent, MSG_NOSIGNAL);

    if (count < 0 && errno != EINTR) {
        int number = errno;

        context->err = REDIS_ERR_IO;
        apr_strerror(APR_FROM_OS_ERROR(number), context->errstr, sizeof(context->errstr));
        errno = number;
        return 0;
    }
    link->sent += count > 0 ? (size_t)count : 0;
    return 1;
}

/* All has left. A buffer that had to grow for once goes. */
static void empty_out(redis_conn_t *link)
{
    link->out_length = link->sent = 0;
    if (link->out_room > OUT_KEPT) {
        free(link->out);
        link->out = NULL;
        link->out_room = 0;
    }
}

static redis_conn_e flush(redis_conn_t *link, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    while (link->sent < link->out_length) {
        if (is_over(deadline) || redisSetTimeout(link->context, remaining(deadline)) != REDIS_OK ||
            !send_some(link)) {
            return fail(link, deadline, why, pool);
        }
    }
    empty_out(link);
    return REDIS_CONN_FINE;
}

static apr_status_t free_reply(void *reply)
{
    freeReplyObject(reply);
    return APR_SUCCESS;
}

/* What redisGetReply() does, but that would start its patience anew with every read. */
static redis_conn_e read_reply(redis_conn_t *link, apr_time_t deadline, void **reply, const char **why,
                               apr_pool_t *pool)
{
    for (;;) {
        if (redisGetReplyFromReader(link->context, reply) != REDIS_OK) {
            return fail(link, deadline, why, pool);
        }
        if (*reply) {
            return REDIS_CONN_FINE;
        }
        if (is_over(deadline) || redisSetTimeout(link->context, remaining(deadline)) != REDIS_OK ||
            redisBufferRead(link->context) != REDIS_OK) {
            return fail(link, deadline, why, pool);
        }
    }
}

redisReply *redis_conn_take(redis_conn_t *link, apr_time_t deadline, redis_conn_e *outcome, const char **why,
                            apr_pool_t *pool)
{
    void *reply = NULL;

    *outcome = link->context ? flush(link, deadline, why, pool) : fail(link, deadline, why, pool);
    if (*outcome == REDIS_CONN_FINE && FAILPOINT_FAILS("link.sent")) {
        *outcome = fail(link, deadline, why, pool);
    }
    if (*outcome == REDIS_CONN_FINE) {
        *outcome = read_reply(link, deadline, &reply, why, pool);
    }
    if (reply) {
        apr_pool_cleanup_register(pool, reply, free_reply, apr_pool_cleanup_null);
    }
    if (reply && FAILPOINT_FAILS("link.answered")) {
        *outcome = fail(link, deadline, why, pool);
        return NULL;
    }
    return reply;
}

redis_conn_e redis_conn_ask(redis_conn_t *link, jobs_call_t *call, apr_time_t deadline, redisReply **reply,
                            const char **why, apr_pool_t *pool)
{
    redis_conn_e outcome;

    if (!redis_conn_put(link, call, deadline)) {
        return fail(link, deadline, why, pool);
    }
    *reply = redis_conn_take(link, deadline, &outcome, why, pool);
    return outcome;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* NULL and *what if there is no connection. */
static redisContext *dial(const jobs_redis_t *redis, apr_time_t deadline, const char **what, apr_pool_t *pool)
{
    int fd = jobs_dial(redis, deadline, what, pool);
    redisContext *context = fd >= 0 ? redisConnectFd(fd) : NULL;

    if (fd >= 0 && context == NULL) {
        close(fd);
        *what = "out of memory";
    }
    return context;
}

static const char *address(const jobs_redis_t *redis, apr_pool_t *pool)
{
    if (redis->socket) {
        return redis->socket;
    }
    return apr_psprintf(pool, strchr(redis->host, ':') ? "[%s]:%d" : "%s:%d", redis->host, redis->port);
}

static int put_auth(redis_conn_t *link, apr_time_t deadline, apr_pool_t *pool)
{
    jobs_call_t *auth = jobs_command("AUTH", pool);

    if (link->redis->user) {
        jobs_call_text(auth, link->redis->user);
    }
    jobs_call_text(auth, link->redis->password);
    return redis_conn_put(link, auth, deadline);
}

static redis_conn_e not_let_in(redis_conn_t *link, const redisReply *reply, const char **why,
                               apr_pool_t *pool)
{
    *why = jobs_answer(reply, NULL, pool).text;
    redis_conn_close(link);
    return REDIS_CONN_AWAY;
}

/* AUTH's and TIME's replies. The clock is taken as read when the answer came: late rather than early. */
static redis_conn_e greet(redis_conn_t *link, int with_auth, apr_time_t deadline, const char **why,
                          apr_pool_t *pool)
{
    redis_conn_e outcome = REDIS_CONN_FINE;
    redisReply *reply = NULL;

    if (with_auth) {
        if (!(reply = redis_conn_take(link, deadline, &outcome, why, pool))) {
            return outcome;
        }
        if (reply->type == REDIS_REPLY_ERROR) {
            return not_let_in(link, reply, why, pool);
        }
    }
    if (!(reply = redis_conn_take(link, deadline, &outcome, why, pool))) {
        return outcome;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return not_let_in(link, reply, why, pool);
    }
    link->learnt = clock_boottime();
    link->offset = apr_time_from_sec(jobs_number_at(reply, 0)) + jobs_number_at(reply, 1) - link->learnt;
    return REDIS_CONN_FINE;
}

redis_conn_e redis_conn_open(redis_conn_t *link, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    const jobs_redis_t *redis = link->redis;
    int with_auth = redis->password != NULL;

    redis_conn_close(link);
    const char *what = "";
    link->context = dial(redis, deadline, &what, pool);
    FAILPOINT("link.dialled");
    if (!link->context) {
        *why = apr_psprintf(pool, "no connection to Redis at %s: %s; is it running, and may this user enter?",
                            address(redis, pool), what);
        return REDIS_CONN_AWAY;
    }
    if ((with_auth && !put_auth(link, deadline, pool)) ||
        !redis_conn_put(link, jobs_command("TIME", pool), deadline)) {
        return fail(link, deadline, why, pool);
    }
    return greet(link, with_auth, deadline, why, pool);
}
