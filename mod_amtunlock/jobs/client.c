/* SPDX-License-Identifier: Apache-2.0 */
/* A worker thread's own connection: made again after it broke, at most once a second. */
#include "jobs/client_priv.h"

#include <string.h>

#include <apr_strings.h>

#define RECONNECT_AFTER apr_time_from_sec(1)
#define RUN_ID_LENGTH 40

struct jobs_client_t {
    apr_pool_t *pool;
    apr_pool_t *scratch;
    jobs_redis_t redis;
    redis_conn_t link;
    apr_interval_time_t timeout;
    apr_time_t dialled; /* by clock_boottime(); 0: never */
    const char *why;    /* what went wrong last, in `trouble` */
    apr_pool_t *trouble;
    char run_id[RUN_ID_LENGTH + 1];
    apr_interval_time_t uptime;
};

static apr_status_t close_link(void *connection)
{
    redis_conn_close(&((jobs_client_t *)connection)->link);
    return APR_SUCCESS;
}

apr_status_t jobs_client_create(jobs_client_t **connection, const jobs_redis_t *redis,
                                apr_interval_time_t timeout, apr_pool_t *pool)
{
    jobs_client_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t rv;

    if ((rv = apr_pool_create(&made->scratch, pool)) != APR_SUCCESS ||
        (rv = apr_pool_create(&made->trouble, pool)) != APR_SUCCESS) {
        return rv;
    }
    made->pool = pool;
    made->redis.socket = redis->socket ? apr_pstrdup(pool, redis->socket) : NULL;
    made->redis.host = redis->host ? apr_pstrdup(pool, redis->host) : NULL;
    made->redis.port = redis->port;
    made->redis.user = redis->user ? apr_pstrdup(pool, redis->user) : NULL;
    made->redis.password = redis->password ? apr_pstrdup(pool, redis->password) : NULL;
    made->link.redis = &made->redis;
    made->timeout = timeout;
    made->why = "";
    apr_pool_cleanup_register(pool, made, close_link, apr_pool_cleanup_null);
    *connection = made;
    return APR_SUCCESS;
}

const char *jobs_client_run_id(const jobs_client_t *connection)
{
    return connection->run_id;
}

apr_interval_time_t jobs_client_uptime(const jobs_client_t *connection)
{
    return connection->uptime;
}

redis_conn_t *jobs_client_conn(jobs_client_t *connection)
{
    return &connection->link;
}

apr_interval_time_t jobs_client_timeout(const jobs_client_t *connection)
{
    return connection->timeout;
}

apr_pool_t *jobs_client_scratch(jobs_client_t *connection)
{
    apr_pool_clear(connection->scratch);
    return connection->scratch;
}

/* Which start of Redis this is. */
static jobs_result_t learn_run_id(jobs_client_t *connection, apr_time_t deadline, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    const char *why = "";
    jobs_call_t *info = jobs_command("INFO", pool);

    jobs_call_text(info, "server");
    if (redis_conn_ask(&connection->link, info, deadline, &reply, &why, pool) != REDIS_CONN_FINE) {
        return jobs_result(JOBS_UNAVAILABLE, why);
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        return jobs_answer(reply, NULL, pool);
    }
    const char *line = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "\nrun_id:") : NULL;
    if (!line || strcspn(line + 8, "\r\n") != RUN_ID_LENGTH) {
        return jobs_result(JOBS_BROKEN, "INFO server names no run_id: this is no Redis 7 or later");
    }
    const char *uptime = strstr(reply->str, "\nuptime_in_seconds:");
    apr_cpystrn(connection->run_id, line + 8, sizeof(connection->run_id));
    connection->uptime = uptime ? apr_time_from_sec(apr_atoi64(uptime + 19)) : 0;
    return JOBS_FINE;
}

static jobs_result_t dial(jobs_client_t *connection, apr_pool_t *pool)
{
    apr_time_t deadline = clock_boottime() + connection->timeout;
    const char *why = "";

    connection->dialled = clock_boottime();
    if (redis_conn_open(&connection->link, deadline, &why, pool) != REDIS_CONN_FINE) {
        return jobs_result(JOBS_UNAVAILABLE, why);
    }
    jobs_result_t result = learn_run_id(connection, deadline, pool);
    if (result.outcome != JOBS_OK) {
        redis_conn_close(&connection->link);
    }
    return result;
}

jobs_result_t jobs_client_ready(jobs_client_t *connection, apr_pool_t *pool)
{
    if (redis_conn_alive(&connection->link)) {
        return JOBS_FINE;
    }
    if (connection->dialled && clock_boottime() - connection->dialled < RECONNECT_AFTER) {
        return jobs_result(JOBS_UNAVAILABLE,
                           apr_psprintf(pool, "Redis is tried again within a second%s%s",
                                        *connection->why ? "; it was: " : "", connection->why));
    }
    jobs_result_t result = dial(connection, pool);
    apr_pool_clear(connection->trouble);
    connection->why = apr_pstrdup(connection->trouble, result.text);
    return result;
}

jobs_result_t jobs_connect(jobs_client_t *connection, apr_pool_t *pool)
{
    return jobs_client_ready(connection, pool);
}

jobs_result_t jobs_are_unfinished(jobs_client_t *connection, int *are, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("EXISTS", pool);

    jobs_call_text(call, JOBS_KEY("jobs"));
    jobs_result_t result = jobs_client_ask(connection, call, 0, &reply, pool);
    int answered = reply && reply->type == REDIS_REPLY_INTEGER;
    *are = answered && reply->integer > 0;
    return answered ? JOBS_FINE : result;
}

jobs_result_t jobs_client_ask(jobs_client_t *connection, jobs_call_t *call, apr_interval_time_t more,
                              redisReply **reply, apr_pool_t *pool)
{
    const char *why = "";
    jobs_result_t result = jobs_client_ready(connection, pool);

    if (result.outcome != JOBS_OK) {
        return result;
    }
    apr_time_t deadline = clock_boottime() + connection->timeout + more;
    if (redis_conn_ask(&connection->link, call, deadline, reply, &why, pool) != REDIS_CONN_FINE) {
        return jobs_result(JOBS_UNAVAILABLE, why);
    }
    int late = 0;
    result = jobs_answer(*reply, &late, pool);
    if (late) { /* Redis' clock may have been set: learn it anew */
        redis_conn_close(&connection->link);
    }
    return result;
}
