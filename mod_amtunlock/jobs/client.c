/* SPDX-License-Identifier: Apache-2.0 */
/* A worker thread's own connection: opened again after it broke, at most once a second. */
#include "jobs/client_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/pulse.h"

#define RECONNECT_AFTER apr_time_from_sec(1)
#define RUN_ID_LENGTH 40

struct jobs_client_t {
    apr_pool_t *scratch;
    jobs_redis_t redis;
    redis_conn_t conn;
    apr_interval_time_t timeout;
    apr_time_t dialled;     /* by clock_boottime(); 0: never */
    const char *error;      /* why the last attempt to connect failed; "": it did not */
    apr_pool_t *error_pool; /* of `error` */
    char run_id[RUN_ID_LENGTH + 1], history[RUN_ID_LENGTH + 1];
    apr_interval_time_t uptime;
};

static apr_status_t client_cleanup(void *client)
{
    redis_conn_close(&((jobs_client_t *)client)->conn);
    return APR_SUCCESS;
}

apr_status_t jobs_client_create(jobs_client_t **client, const jobs_redis_t *redis,
                                apr_interval_time_t timeout, apr_pool_t *pool)
{
    jobs_client_t *created = apr_pcalloc(pool, sizeof(*created));
    apr_status_t status;

    if ((status = apr_pool_create(&created->scratch, pool)) != APR_SUCCESS ||
        (status = apr_pool_create(&created->error_pool, pool)) != APR_SUCCESS) {
        return status;
    }
    created->redis = jobs_redis_copy(redis, pool);
    created->conn.redis = &created->redis;
    created->timeout = timeout;
    created->error = "";
    apr_pool_cleanup_register(pool, created, client_cleanup, apr_pool_cleanup_null);
    *client = created;
    return APR_SUCCESS;
}

const char *jobs_client_run_id(const jobs_client_t *client)
{
    return client->run_id;
}

const char *jobs_client_history(const jobs_client_t *client)
{
    return client->history;
}

apr_interval_time_t jobs_client_uptime(const jobs_client_t *client)
{
    return client->uptime;
}

redis_conn_t *jobs_client_conn(jobs_client_t *client)
{
    return &client->conn;
}

apr_interval_time_t jobs_client_timeout(const jobs_client_t *client)
{
    return client->timeout;
}

apr_pool_t *jobs_client_scratch(jobs_client_t *client)
{
    apr_pool_clear(client->scratch);
    return client->scratch;
}

/* Behind `name` in an answer to INFO; "" where that is not there. */
static const char *info_value(const redisReply *reply, const char *name)
{
    const char *line = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, name) : NULL;

    return line != NULL ? line + strlen(name) : "";
}

/* Learns run_id, history and uptime. */
static jobs_result_t client_learn_server(jobs_client_t *client, apr_time_t deadline, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    const char *why = "";
    jobs_call_t *info = jobs_command("INFO", pool);

    jobs_call_text(info, "server");
    jobs_call_text(info, "replication");
    if (redis_conn_ask(&client->conn, info, deadline, &reply, &why, pool) != REDIS_CONN_FINE) {
        return jobs_result(JOBS_UNAVAILABLE, why);
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        return jobs_answer(reply, NULL, pool);
    }
    if (strcspn(info_value(reply, "\nrun_id:"), "\r\n") != RUN_ID_LENGTH) {
        return jobs_result(JOBS_BROKEN, "INFO server names no run_id: this is no Redis 7 or later");
    }
    apr_cpystrn(client->run_id, info_value(reply, "\nrun_id:"), sizeof(client->run_id));
    apr_cpystrn(client->history, info_value(reply, "\nmaster_replid:"), sizeof(client->history));
    client->uptime = apr_time_from_sec(apr_atoi64(info_value(reply, "\nuptime_in_seconds:")));
    return JOBS_FINE;
}

static jobs_result_t client_open(jobs_client_t *client, apr_pool_t *pool)
{
    apr_time_t deadline = clock_boottime() + client->timeout;
    const char *why = "";
    jobs_result_t result;

    client->dialled = clock_boottime();
    if (redis_conn_open(&client->conn, deadline, &why, pool) != REDIS_CONN_FINE) {
        return jobs_result(JOBS_UNAVAILABLE, why);
    }
    result = client_learn_server(client, deadline, pool);
    if (result.outcome != JOBS_OK) {
        redis_conn_close(&client->conn);
    }
    return result;
}

jobs_result_t jobs_connect(jobs_client_t *client, apr_pool_t *pool)
{
    jobs_result_t result;

    pulse_go_on(); /* every call begins here, and is bounded */
    if (redis_conn_alive(&client->conn)) {
        return JOBS_FINE;
    }
    if (client->dialled && clock_boottime() - client->dialled < RECONNECT_AFTER) {
        return jobs_result(JOBS_UNAVAILABLE, apr_psprintf(pool, "Redis is tried again within a second%s%s",
                                                          *client->error ? "; it was: " : "", client->error));
    }
    result = client_open(client, pool);
    apr_pool_clear(client->error_pool);
    client->error = apr_pstrdup(client->error_pool, result.text);
    return result;
}

jobs_result_t jobs_client_ask(jobs_client_t *client, jobs_call_t *call, apr_interval_time_t more,
                              redisReply **reply, apr_pool_t *pool)
{
    const char *why = "";
    int late = 0;
    jobs_result_t result = jobs_connect(client, pool);
    apr_time_t deadline = clock_boottime() + client->timeout + more;

    if (result.outcome != JOBS_OK) {
        return result;
    }
    if (redis_conn_ask(&client->conn, call, deadline, reply, &why, pool) != REDIS_CONN_FINE) {
        return jobs_result(JOBS_UNAVAILABLE, why);
    }
    result = jobs_answer(*reply, &late, pool);
    /* Redis' clock may have been set: the next connection learns it. */
    if (late || jobs_is_from_replica(*reply)) {
        redis_conn_close(&client->conn);
    }
    return result;
}

jobs_result_t jobs_are_unfinished(jobs_client_t *client, int *are, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("EXISTS", pool);
    jobs_result_t result;
    int answered;

    jobs_call_text(call, JOBS_KEY("jobs"));
    result = jobs_client_ask(client, call, 0, &reply, pool);
    answered = reply != NULL && reply->type == REDIS_REPLY_INTEGER;
    *are = answered && reply->integer > 0;
    return answered ? JOBS_FINE : result;
}

jobs_result_t jobs_workers_heard(jobs_client_t *client, apr_array_header_t **abouts, apr_pool_t *pool)
{
    redisReply *workers = NULL, *about = NULL;
    jobs_call_t *call = jobs_command("ZRANGE", pool);
    jobs_result_t result;

    *abouts = apr_array_make(pool, 4, sizeof(const char *));
    jobs_call_text(call, JOBS_KEY("workers"));
    jobs_call_text(call, "0");
    jobs_call_text(call, "99");
    result = jobs_client_ask(client, call, 0, &workers, pool);
    if (workers == NULL || workers->type != REDIS_REPLY_ARRAY) {
        return result;
    }
    for (size_t i = 0; i < workers->elements; i++) {
        call = jobs_command("GET", pool);
        jobs_call_text(call, apr_pstrcat(pool, JOBS_KEY("worker:"), jobs_text_at(workers, i), NULL));
        jobs_client_ask(client, call, 0, &about, pool);
        if (about != NULL && about->type == REDIS_REPLY_STRING) {
            APR_ARRAY_PUSH(*abouts, const char *) = apr_pstrmemdup(pool, about->str, about->len);
        }
    }
    return JOBS_FINE;
}
