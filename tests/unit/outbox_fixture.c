/* SPDX-License-Identifier: Apache-2.0 */
/* See outbox_fixture.h. */
#include "outbox_fixture.h"

#include "job_lists.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_time.h>

outbox_test_t outbox_test;

int outbox_fixture_start(void **state)
{
    (void)state;
    return redis_server_start(&outbox_test.server);
}

int outbox_fixture_stop(void **state)
{
    (void)state;
    redis_server_remove(&outbox_test.server);
    return 0;
}

static apr_array_header_t *one_text(const char *text)
{
    apr_array_header_t *texts = apr_array_make(outbox_test.pool, 1, sizeof(const char *));

    APR_ARRAY_PUSH(texts, const char *) = text;
    return texts;
}

static int publish(void)
{
    apr_array_header_t *systems = apr_array_make(outbox_test.pool, 2, sizeof(jobs_published_t));

    for (int i = 1; i <= 2; i++) {
        const char *system = apr_psprintf(outbox_test.pool, "pc%d.example", i);
        jobs_published_t *published = apr_array_push(systems);
        *published =
            (jobs_published_t){.system = system, .group = "g", .method = "wake", .keys = one_text(system)};
    }
    return jobs_publish(outbox_test.connection, WORKER, &(jobs_edition_t){"digest", 1000, "host"}, systems,
                        outbox_test.pool)
                       .outcome == JOBS_OK
               ? 0
               : -1;
}

int outbox_fixture_begin(void **state)
{
    const jobs_pool_limits_t limits = {2, 2, apr_time_from_sec(5), apr_time_from_sec(5)};
    (void)state;
    apr_pool_create(&outbox_test.pool, NULL);
    apr_snprintf(outbox_test.audit_file, sizeof(outbox_test.audit_file), "%s/audit.jsonl",
                 outbox_test.server.folder);
    unlink(outbox_test.audit_file);
    if (redis_server_flush(&outbox_test.server) != 0 ||
        jobs_pool_create(&outbox_test.web, &outbox_test.server.web, &limits, outbox_test.pool) !=
            APR_SUCCESS ||
        jobs_client_create(&outbox_test.connection, &outbox_test.server.worker, apr_time_from_sec(5),
                           outbox_test.pool) != APR_SUCCESS ||
        jobs_library_load(outbox_test.connection).outcome != JOBS_OK)
        return -1;
    return publish();
}

int outbox_fixture_end(void **state)
{
    (void)state;
    apr_pool_destroy(outbox_test.pool);
    return 0;
}

/* Submits a job of these systems and claims it. */
const jobs_task_t *claim(int count)
{
    const jobs_caller_t caller = {
        .name = "c", .peer = "192.0.2.1", .mechanism = "krb5", .groups = one_text("*")};
    apr_array_header_t *names = apr_array_make(outbox_test.pool, 2, sizeof(jobs_name_t)), *tasks = NULL;
    const jobs_submission_t submission = {
        .names = names, .retention = apr_time_from_sec(1800), .start_within = apr_time_from_sec(3600)};
    const char *id = NULL;
    int more = 0;

    for (int i = 1; i <= count; i++) {
        jobs_name_t *name = apr_array_push(names);
        name->spelling = name->key = apr_psprintf(outbox_test.pool, "pc%d.example", i);
    }
    assert_int_equal(jobs_submit(outbox_test.web, &caller, &submission, &id, NULL, outbox_test.pool).outcome,
                     JOBS_OK);
    assert_int_equal(
        jobs_claim(outbox_test.connection, WORKER, "digest", count, NULL, &tasks, &more, outbox_test.pool)
            .outcome,
        JOBS_OK);
    assert_int_equal(tasks->nelts, count);
    return (const jobs_task_t *)tasks->elts;
}

int wait_for(int (*condition)(void *), void *baton, int milliseconds)
{
    for (int waited = 0; waited < milliseconds; waited += 5) {
        if (condition(baton))
            return 1;
        apr_sleep(apr_time_from_msec(5));
    }
    return condition(baton);
}

void on_answered(outbox_request_t *request)
{
    atomic_fetch_add(&((asked_t *)request->owner)->answered, 1);
}

static int is_answered(void *asked)
{
    return atomic_load(&((asked_t *)asked)->answered);
}

static audit_t *audit;

static outbox_t *start_outbox_as(const char *worker)
{
    static outbox_options_t options;
    outbox_t *outbox = NULL;
    marks_t *marks = NULL;

    assert_null(audit_open(&audit, outbox_test.audit_file, outbox_test.pool));
    marks = marks_create(outbox_test.pool);
    assert_null(marks_read(marks, outbox_test.audit_file, outbox_test.pool));
    options = (outbox_options_t){.redis = &outbox_test.server.worker,
                                 .worker = worker,
                                 .audit = audit,
                                 .audit_file = outbox_test.audit_file,
                                 .marks = marks,
                                 .capacity = 8};
    assert_int_equal(outbox_start(&outbox, &options, outbox_test.pool), APR_SUCCESS);
    return outbox;
}

outbox_t *start_outbox(void)
{
    return start_outbox_as(WORKER);
}

static asked_t *push_change(outbox_t *outbox, const jobs_task_t *task, jobs_change_t change)
{
    asked_t *asked = apr_pcalloc(outbox_test.pool, sizeof(*asked));

    change.task = task->ref;
    change.step = "step";
    asked->request.change = change;
    asked->request.task = task;
    asked->request.done = on_answered;
    asked->request.owner = asked;
    assert_int_equal(outbox_push(outbox, &asked->request), APR_SUCCESS);
    return asked;
}

asked_t *push(outbox_t *outbox, const jobs_task_t *task, jobs_change_e change, char state)
{
    const char *act = task->taken_over ? "{\"power\":2,\"marks\":\"power\"}" : "{\"power\":2}";

    return push_change(outbox, task,
                       (jobs_change_t){.change = change,
                                       .intent = act,
                                       .device = "",
                                       .step_deadline = apr_time_from_sec(600),
                                       .state = state});
}

asked_t *push_mark(outbox_t *outbox, const jobs_task_t *task, jobs_mark_e mark)
{
    return push_change(outbox, task, (jobs_change_t){.change = JOBS_MARK, .mark = mark});
}

jobs_outcome_e outcome_of(asked_t *asked, int milliseconds)
{
    if (!wait_for(is_answered, asked, milliseconds))
        fail_msg("not answered within %d ms", milliseconds);
    assert_int_equal(atomic_load(&asked->answered), 1);
    return asked->request.outcome;
}

int audit_lines(const char *event)
{
    char line[4096];
    int count = 0;

    FILE *file = fopen(outbox_test.audit_file, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        count += strstr(line, event) != NULL;
    fclose(file);
    return count;
}

typedef struct {
    outbox_t *outbox;
    const char *run_id;
} reconciled_t;

static int has_reconciled(void *baton)
{
    const reconciled_t *reconciled = baton;

    return outbox_has_reconciled(reconciled->outbox, reconciled->run_id);
}

static int is_connected(void *unused)
{
    (void)unused;
    return jobs_connect(outbox_test.connection, outbox_test.pool).outcome == JOBS_OK;
}

/* A connection is made again at most once a second. */
void restart_redis(void)
{
    redis_server_kill(&outbox_test.server);
    assert_int_equal(redis_server_restart(&outbox_test.server), 0);
    assert_true(wait_for(is_connected, NULL, 5000));
}

void await_reconciled(outbox_t *outbox)
{
    reconciled_t reconciled = {.outbox = outbox};

    assert_true(wait_for(is_connected, NULL, 5000));
    reconciled.run_id = jobs_client_run_id(outbox_test.connection);
    assert_true(wait_for(has_reconciled, &reconciled, 8000));
}

char state_of(const jobs_task_t *task)
{
    jobs_caller_t caller = {.name = "c"};
    jobs_job_t *job = NULL;
    jobs_result_t read = jobs_read(outbox_test.web, &caller, task->ref.job, &job, outbox_test.pool);

    if (read.outcome != JOBS_OK)
        return '\0';
    return job->running ? 'r' : job->waiting ? 'w' : job->unlocked ? 'U' : 'F';
}

/* The state of the task itself. */
char outcome_of_task(const jobs_task_t *task)
{
    jobs_caller_t caller = {.name = "c"};
    jobs_results_t *results = NULL;

    assert_int_equal(read_results(outbox_test.web, &caller, (jobs_window_t){task->ref.job, 0, -1}, &results,
                                  outbox_test.pool)
                         .outcome,
                     JOBS_OK);
    for (int i = 0; i < results->unlocked->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(results->unlocked, i, const char *), task->ref.system) == 0)
            return 'U';
    }
    return results->failed->nelts > 0 ? 'F' : 'r';
}

jobs_task_t claim_verification(void)
{
    apr_array_header_t *tasks = NULL;
    int more = 0;

    assert_int_equal(
        jobs_claim(outbox_test.connection, "worker-2", "digest", 8, NULL, &tasks, &more, outbox_test.pool)
            .outcome,
        JOBS_OK);
    assert_int_equal(tasks->nelts, 1);
    return APR_ARRAY_IDX(tasks, 0, jobs_task_t);
}

static apr_pool_t *outer;

outbox_t *begin_run(const char *worker)
{
    outer = outbox_test.pool;
    apr_pool_create(&outbox_test.pool, outer);
    return start_outbox_as(worker);
}

void end_run(outbox_t *outbox)
{
    outbox_stop(outbox);
    apr_pool_destroy(outbox_test.pool);
    outbox_test.pool = outer;
}
