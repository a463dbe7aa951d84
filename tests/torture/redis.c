/* SPDX-License-Identifier: Apache-2.0 */
#include "redis.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "torture.h"

redis_server_t redis_server;
const jobs_pool_limits_t redis_limits = {2, 2, REDIS_BUDGET, REDIS_BUDGET};

static void stop(void)
{
    redis_server_remove(&redis_server);
}

int redis_start(apr_pool_t *pool)
{
    (void)pool;
    if (redis_server.pid == 0) {
        if (redis_server_start(&redis_server) != 0) {
            return -1;
        }
        atexit(stop);
    }
    return 0;
}

void redis_holds(jobs_result_t result, jobs_outcome_e expected)
{
    if (result.outcome != expected) {
        TORTURE_BROKEN("outcome %d, not %d: %s", (int)result.outcome, (int)expected, result.text);
    }
}

jobs_pool_t *redis_pool(apr_pool_t *pool)
{
    jobs_pool_t *jobs = NULL;
    TORTURE_HOLDS(jobs_pool_create(&jobs, &redis_server.web, &redis_limits, pool) == APR_SUCCESS);
    return jobs;
}

jobs_client_t *redis_client(apr_pool_t *pool)
{
    jobs_client_t *client = NULL;
    TORTURE_HOLDS(jobs_client_create(&client, &redis_server.worker, REDIS_BUDGET, pool) == APR_SUCCESS);
    return client;
}

static apr_array_header_t *one_text(const char *text, apr_pool_t *pool)
{
    apr_array_header_t *texts = apr_array_make(pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(texts, const char *) = text;
    return texts;
}

void redis_reset(apr_pool_t *pool)
{
    apr_array_header_t *systems = apr_array_make(pool, 2, sizeof(jobs_published_t));
    for (int i = 1; i <= 2; i++) {
        const char *system = apr_psprintf(pool, "pc%d.example", i);
        jobs_published_t *published = apr_array_push(systems);
        *published = (jobs_published_t){
            .system = system, .group = "g", .method = "wake", .keys = one_text(system, pool)};
    }
    TORTURE_HOLDS(redis_server_flush(&redis_server) == 0);
    jobs_client_t *client = redis_client(pool);
    redis_holds(jobs_library_load(client), JOBS_OK);
    redis_holds(
        jobs_publish(client, REDIS_WORKER, &(jobs_edition_t){REDIS_DIGEST, 1000, "host"}, systems, pool),
        JOBS_OK);
}

jobs_caller_t redis_caller(apr_pool_t *pool)
{
    return (jobs_caller_t){.name = "alice@EXAMPLE",
                           .peer = "192.0.2.1",
                           .mechanism = "krb5",
                           .groups = one_text("*", pool),
                           .reads_all = 1};
}

jobs_submission_t redis_submission(int count, const char *message_id, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, 2, sizeof(jobs_name_t));
    for (int i = 1; i <= count; i++) {
        jobs_name_t *name = apr_array_push(names);
        name->spelling = name->key = apr_psprintf(pool, "pc%d.example", i);
    }
    return (jobs_submission_t){.names = names,
                               .message_id = message_id,
                               .retention = apr_time_from_sec(1800),
                               .start_within = apr_time_from_sec(3600)};
}

jobs_task_t redis_claim(apr_pool_t *pool)
{
    const jobs_caller_t caller = redis_caller(pool);
    const jobs_submission_t submission = redis_submission(1, NULL, pool);
    apr_array_header_t *tasks = NULL;
    const char *id = NULL;
    int more = 0;
    redis_holds(jobs_submit(redis_pool(pool), &caller, &submission, &id, NULL, pool), JOBS_OK);
    redis_holds(jobs_claim(redis_client(pool), REDIS_WORKER, REDIS_DIGEST, 1, NULL, &tasks, &more, pool),
                JOBS_OK);
    TORTURE_HOLDS(tasks->nelts == 1);
    return APR_ARRAY_IDX(tasks, 0, jobs_task_t);
}

int redis_jobs(apr_pool_t *pool)
{
    const jobs_caller_t caller = redis_caller(pool);
    apr_array_header_t *ids = NULL;
    redis_holds(jobs_list(redis_pool(pool), &caller, &ids, pool), JOBS_OK);
    return ids->nelts;
}
