/* The verbs as C calls, against a real Redis under the shipped users. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "jobs/jobs.h"
#include "redis_server.h"

#define RETENTION apr_time_from_sec(1800)
#define START_WITHIN apr_time_from_sec(3600)
#define BUDGET apr_time_from_msec(2000)

static redis_server_t server;
static apr_pool_t *pool;
static jobs_store_t *store;
static jobs_connection_t *connection;
static jobs_caller_t alice, mallory;

#define assert_outcome(result, expected)                                                                     \
    do {                                                                                                     \
        jobs_result_t got_ = (result);                                                                       \
        if (got_.outcome != (expected))                                                                      \
            fail_msg("outcome %d, not %d: %s", got_.outcome, (int)(expected), got_.text);                    \
    } while (0)

static apr_array_header_t *texts(const char *first, ...)
{
    apr_array_header_t *array = apr_array_make(pool, 4, sizeof(const char *));
    va_list more;
    va_start(more, first);
    for (const char *text = first; text; text = va_arg(more, const char *))
        APR_ARRAY_PUSH(array, const char *) = text;
    va_end(more);
    return array;
}

static void add_system(apr_array_header_t *systems, const char *sid, const char *group,
                       apr_array_header_t *keys)
{
    jobs_published_t *system = apr_array_push(systems);
    *system = (jobs_published_t){.sid = sid, .group = group, .method = "wake", .keys = keys};
}

static apr_array_header_t *inventory(void)
{
    apr_array_header_t *systems = apr_array_make(pool, 4, sizeof(jobs_published_t));
    add_system(systems, "pc1.example", "floor1", texts("pc1.example", "10.0.0.1", NULL));
    add_system(systems, "pc2.example", "floor1", texts("pc2.example", NULL));
    add_system(systems, "vault.example", "safe", texts("vault.example", NULL));
    return systems;
}

static const char *submit(const jobs_caller_t *caller, const char *message_id, const char *first, ...)
{
    jobs_submission_t submission = {.names = apr_array_make(pool, 4, sizeof(jobs_name_t)),
                                    .message_id = message_id,
                                    .retention = RETENTION,
                                    .start_within = START_WITHIN};
    const char *id = NULL;
    va_list more;
    va_start(more, first);
    for (const char *text = first; text; text = va_arg(more, const char *)) {
        jobs_name_t *name = apr_array_push((apr_array_header_t *)submission.names);
        char *key = apr_pstrdup(pool, text);
        for (char *c = key; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        *name = (jobs_name_t){.spelling = text, .key = key};
    }
    va_end(more);
    assert_outcome(jobs_submit(store, caller, &submission, &id, NULL, pool), JOBS_OK);
    return id;
}

static jobs_job_t *job_of(const char *id)
{
    jobs_job_t *job = NULL;
    assert_outcome(jobs_read(store, &alice, id, &job, pool), JOBS_OK);
    return job;
}

static jobs_task_t claim_one(const char *worker)
{
    apr_array_header_t *tasks = NULL;
    int more = 0;
    assert_outcome(jobs_claim(connection, worker, "digest-1", 1, &tasks, &more, pool), JOBS_OK);
    assert_int_equal(tasks->nelts, 1);
    return APR_ARRAY_IDX(tasks, 0, jobs_task_t);
}

static jobs_change_t change_of(const jobs_task_t *task, jobs_change_e what)
{
    jobs_change_t change = {.change = what, .task = {task->job, task->sid, task->fence}, .step = "step"};
    if (what == JOBS_INTEND) {
        change.intent = "{\"power\":2}";
        change.device = "";
        change.step_deadline = apr_time_from_sec(600);
    }
    return change;
}

static jobs_outcome_e apply(const char *worker, jobs_change_t change)
{
    jobs_change_t *one = &change;
    assert_outcome(jobs_apply(connection, worker, &one, 1, pool), JOBS_OK);
    return change.result.outcome;
}

/* ---- fixture ------------------------------------------------------------------------------------------- */

static int start_redis(void **state)
{
    (void)state;
    return redis_server_start(&server);
}

static int stop_redis(void **state)
{
    (void)state;
    redis_server_remove(&server);
    return 0;
}

/* Every test begins with an empty Redis that has the library and the inventory. */
static int begin(void **state)
{
    (void)state;
    apr_pool_create(&pool, NULL);
    alice = (jobs_caller_t){.name = "alice@EXAMPLE", .peer = "192.0.2.1", .mechanism = "krb5"};
    alice.groups = texts("floor1", NULL);
    mallory = (jobs_caller_t){.name = "mallory@EXAMPLE", .peer = "192.0.2.2", .mechanism = "krb5"};
    mallory.groups = texts("*", NULL);
    if (redis_server_flush(&server))
        return -1;
    if (jobs_store_create(&store, &server.web, 4, BUDGET, pool) != APR_SUCCESS ||
        jobs_connection_create(&connection, &server.worker, BUDGET, pool) != APR_SUCCESS)
        return -1;
    assert_outcome(jobs_library_load(connection), JOBS_OK);
    assert_outcome(jobs_publish(connection, "w1", "digest-1", 1000, inventory(), pool), JOBS_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static void a_job_runs_from_submission_to_its_result(void **state)
{
    jobs_results_t *results = NULL;
    apr_array_header_t *errors = NULL;
    (void)state;
    const char *id =
        submit(&alice, NULL, "PC1.Example", "10.0.0.1", "nowhere.example", "vault.example", NULL);
    assert_int_equal(strlen(id), 26);
    jobs_job_t *job = job_of(id);
    assert_int_equal(job->state, JOBS_STATE_NEW);
    assert_int_equal(job->total, 3);
    assert_int_equal(job->failed, 2);
    assert_int_equal(job->waiting, 1);
    assert_string_equal(job->caller, alice.name);

    jobs_task_t task = claim_one("w1");
    assert_string_equal(task.job, id);
    assert_string_equal(task.sid, "pc1.example");
    assert_string_equal(task.caller, alice.name);
    assert_string_equal(task.peer, alice.peer);
    assert_string_equal(task.mechanism, alice.mechanism);
    assert_int_equal(task.look, 0);
    assert_null(task.intent);
    assert_true(task.lease_until <= jobs_boottime() + JOBS_LEASE);
    assert_int_equal(job_of(id)->state, JOBS_STATE_RUNNING);

    assert_int_equal(apply("w1", change_of(&task, JOBS_INTEND)), JOBS_OK);
    assert_int_equal(apply("w1", change_of(&task, JOBS_INTEND)), JOBS_ALREADY);
    jobs_change_t progress = change_of(&task, JOBS_PROGRESS);
    progress.state = 'P';
    assert_int_equal(apply("w1", progress), JOBS_OK);
    progress.state = 'B';
    assert_int_equal(apply("w1", progress), JOBS_OK);
    jobs_change_t finish = change_of(&task, JOBS_FINISH);
    finish.state = 'U';
    assert_int_equal(apply("w2", finish), JOBS_REFUSED);
    assert_int_equal(apply("w1", finish), JOBS_OK);
    assert_int_equal(apply("w1", finish), JOBS_ALREADY);

    job = job_of(NULL);
    assert_string_equal(job->id, id);
    assert_int_equal(job->state, JOBS_STATE_COMPLETED);
    assert_true(job->completed >= job->started && job->started >= job->submitted);
    assert_outcome(jobs_results(store, &alice, id, 0, -1, &results, pool), JOBS_OK);
    assert_int_equal(results->unlocked->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(results->unlocked, 0, const char *), "PC1.Example");
    assert_string_equal(APR_ARRAY_IDX(results->unlocked, 1, const char *), "10.0.0.1");
    assert_int_equal(results->failed->nelts, 2);
    assert_outcome(jobs_errors(store, &alice, id, &errors, pool), JOBS_OK);
    assert_int_equal(errors->nelts, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(APR_ARRAY_IDX(errors, i, jobs_error_t).reason, JOBS_REASON_NOT_AVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_runs_from_submission_to_its_result, begin, end),
    };
    apr_initialize();
    atexit(apr_terminate);
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
