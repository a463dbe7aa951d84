/* SPDX-License-Identifier: Apache-2.0 */
/* The jobs room: what a call says was done was done, once, and for whom it was asked. */
#include <string.h>

#include <apr_strings.h>

#include "redis.h"
#include "scenarios.h"

#define MESSAGE_ID "6d4ab1b2-0b3a-4a55-9d0e-2f5a4c6f1e10"

static int refusals; /* errors that the run was given */

/* Nonzero if the call did what it is for. */
static int is_done(jobs_result_t result)
{
    if (result.outcome == JOBS_OK) {
        return 1;
    }
    TORTURE_SAYS(result.text);
    refusals++;
    return 0;
}

/* Sees its own jobs alone. */
static jobs_caller_t owner(apr_pool_t *pool)
{
    jobs_caller_t caller = redis_caller(pool);
    caller.reads_all = 0;
    return caller;
}

/* ---- the web side -------------------------------------------------------------------------------------- */

static char submitted[64]; /* id of the job that was acknowledged; "" for none */

static void reset_web(apr_pool_t *pool)
{
    redis_reset(pool);
    submitted[0] = '\0';
    refusals = 0;
}

static void read_job(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, apr_pool_t *pool)
{
    const jobs_window_t window = {id, 0, -1};
    jobs_results_t *results = NULL;
    apr_array_header_t *errors = NULL;
    jobs_job_t *job = NULL;
    jobs_look_t look;
    if (is_done(jobs_read(jobs, caller, id, &job, pool))) {
        TORTURE_HOLDS(strcmp(job->id, id) == 0 && job->total == 2 && job->waiting == 2);
    }
    if (is_done(jobs_look(jobs, caller, JOBS_RESULTS, &window, NULL, &look, pool)) &&
        is_done(jobs_results(jobs, caller, &look, &results, pool))) {
        TORTURE_HOLDS(results->unlocked->nelts == 0 && results->failed->nelts == 0);
    }
    if (is_done(jobs_look(jobs, caller, JOBS_ERRORS, &window, NULL, &look, pool)) &&
        is_done(jobs_errors(jobs, caller, &look, &errors, pool))) {
        TORTURE_HOLDS(errors->nelts == 0);
    }
}

static void look_around(jobs_pool_t *jobs, const jobs_caller_t *caller, apr_pool_t *pool)
{
    jobs_overview_t *overview = NULL;
    apr_array_header_t *ids = NULL;
    if (is_done(jobs_list(jobs, caller, &ids, pool))) {
        TORTURE_HOLDS(ids->nelts == 1);
    }
    if (is_done(jobs_overview(jobs, &overview, pool))) {
        TORTURE_HOLDS(overview->inventory_systems == 2 && overview->systems_waiting == 2);
    }
}

static void enumerate(jobs_pool_t *jobs, const jobs_caller_t *caller, apr_pool_t *pool)
{
    apr_array_header_t *items = apr_array_make(pool, 2, sizeof(const char *)), *pulled = NULL;
    const char *id = NULL, *fields = NULL;
    const jobs_limits_t limits = {.contexts = 10};
    int more = 0;
    APR_ARRAY_PUSH(items, const char *) = "a";
    APR_ARRAY_PUSH(items, const char *) = "b";
    if (!is_done(jobs_context_open(jobs, caller, "fields", items, 60, &limits, &id, pool))) {
        return;
    }
    if (is_done(jobs_context_pull(jobs, caller, id, 1, &fields, &pulled, &more, pool))) {
        TORTURE_HOLDS(strcmp(fields, "fields") == 0 && pulled->nelts == 1 && more);
    }
    is_done(jobs_context_release(jobs, caller, id, pool));
}

static torture_verdict_e run_web(apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    const jobs_submission_t submission = redis_submission(2, MESSAGE_ID, pool);
    jobs_pool_t *jobs = NULL;
    jobs_match_e match = JOBS_MATCH_NEW;
    const char *id = NULL;
    if (jobs_pool_create(&jobs, &redis_server.web, &redis_limits, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    if (is_done(jobs_submit(jobs, &caller, &submission, &id, &match, pool))) {
        apr_cpystrn(submitted, id, sizeof(submitted));
        read_job(jobs, &caller, id, pool);
        look_around(jobs, &caller, pool);
        enumerate(jobs, &caller, pool);
    }
    return refusals == 0 ? TORTURE_WELL : TORTURE_REFUSED;
}

/* The same request again, as a console sends it that got no answer, finds the job of the first. */
static void check_web(torture_verdict_e said, apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    const jobs_submission_t submission = redis_submission(2, MESSAGE_ID, pool);
    jobs_match_e match = JOBS_MATCH_NEW;
    const char *id = NULL;
    jobs_job_t *job = NULL;
    (void)said;
    jobs_pool_t *jobs = redis_pool(pool);
    redis_holds(jobs_submit(jobs, &caller, &submission, &id, &match, pool), JOBS_OK);
    redis_holds(jobs_read(jobs, &caller, id, &job, pool), JOBS_OK);
    if (submitted[0] != '\0') {
        TORTURE_HOLDS(match == JOBS_MATCH_DUPLICATE && strcmp(submitted, id) == 0);
    }
    int count = redis_jobs(pool);
    if (count != 1) {
        TORTURE_BROKEN("%d jobs for one request", count);
    }
}

const torture_scenario_t torture_jobs_web = {
    .name = "jobs.web", .start = redis_start, .reset = reset_web, .run = run_web, .check = check_web};

/* ---- what comes in parts ------------------------------------------------------------------------------ */

#define NAMES_IN_PARTS 160 /* two calls, of NAMES_A_CALL at most; two of the names are known */
#define ITEMS_IN_PARTS (JOBS_CHANGES_A_CALL + 10)

static torture_verdict_e run_parts(apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    const jobs_submission_t submission = redis_submission(NAMES_IN_PARTS, MESSAGE_ID, pool);
    const jobs_limits_t limits = {.contexts = 10};
    apr_array_header_t *items = apr_array_make(pool, ITEMS_IN_PARTS, sizeof(const char *)), *pulled = NULL;
    const char *id = NULL, *fields = NULL;
    jobs_pool_t *jobs = NULL;
    int more = 0;
    for (int i = 0; i < ITEMS_IN_PARTS; i++) {
        APR_ARRAY_PUSH(items, const char *) = apr_itoa(pool, i);
    }
    if (jobs_pool_create(&jobs, &redis_server.web, &redis_limits, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    if (is_done(jobs_submit(jobs, &caller, &submission, &id, NULL, pool))) {
        apr_cpystrn(submitted, id, sizeof(submitted));
        is_done(jobs_cancel(jobs, &caller, id, pool));
    }
    if (is_done(jobs_context_open(jobs, &caller, "fields", items, 60, &limits, &id, pool)) &&
        is_done(jobs_context_pull(jobs, &caller, id, ITEMS_IN_PARTS, &fields, &pulled, &more, pool))) {
        TORTURE_HOLDS(pulled->nelts == ITEMS_IN_PARTS && !more);
        TORTURE_HOLDS(strcmp(APR_ARRAY_IDX(pulled, 5, const char *), "5") == 0);
    }
    return refusals == 0 ? TORTURE_WELL : TORTURE_REFUSED;
}

/* All of its names are in the job, or there was none: then the same request makes it. */
static void check_parts(torture_verdict_e said, apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    const jobs_submission_t submission = redis_submission(NAMES_IN_PARTS, MESSAGE_ID, pool);
    const char *id = NULL;
    jobs_job_t *job = NULL;
    (void)said;
    redis_holds(jobs_submit(redis_pool(pool), &caller, &submission, &id, NULL, pool), JOBS_OK);
    redis_holds(jobs_read(redis_pool(pool), &caller, id, &job, pool), JOBS_OK);
    TORTURE_HOLDS(job->total == NAMES_IN_PARTS);
    TORTURE_HOLDS(submitted[0] == '\0' || strcmp(submitted, id) == 0);
    TORTURE_HOLDS(redis_jobs(pool) == 1);
}

const torture_scenario_t torture_jobs_parts = {
    .name = "jobs.parts", .start = redis_start, .reset = reset_web, .run = run_parts, .check = check_parts};

/* ---- ending a job -------------------------------------------------------------------------------------- */

static int cancelled, forgotten;

static void reset_end(apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    const jobs_submission_t submission = redis_submission(2, MESSAGE_ID, pool);
    const char *id = NULL;
    reset_web(pool);
    redis_holds(jobs_submit(redis_pool(pool), &caller, &submission, &id, NULL, pool), JOBS_OK);
    apr_cpystrn(submitted, id, sizeof(submitted));
    cancelled = forgotten = 0;
}

static torture_verdict_e run_end(apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    jobs_pool_t *jobs = NULL;
    if (jobs_pool_create(&jobs, &redis_server.web, &redis_limits, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    cancelled = is_done(jobs_cancel(jobs, &caller, submitted, pool));
    forgotten = cancelled && is_done(jobs_forget(jobs, &caller, submitted, pool));
    return forgotten ? TORTURE_WELL : TORTURE_REFUSED;
}

static void check_end(torture_verdict_e said, apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    jobs_job_t *job = NULL;
    (void)said;
    jobs_result_t result = jobs_read(redis_pool(pool), &caller, submitted, &job, pool);
    if (forgotten) {
        redis_holds(result, JOBS_NOT_FOUND);
    }
    else if (cancelled && result.outcome == JOBS_OK) {
        TORTURE_HOLDS(job->cancelled);
    }
}

const torture_scenario_t torture_jobs_end = {
    .name = "jobs.end", .start = redis_start, .reset = reset_end, .run = run_end, .check = check_end};

/* ---- the worker side ----------------------------------------------------------------------------------- */

static int claimed, intended, finished;

static void reset_worker(apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    const jobs_submission_t submission = redis_submission(1, NULL, pool);
    const char *id = NULL;
    reset_web(pool);
    redis_holds(jobs_submit(redis_pool(pool), &caller, &submission, &id, NULL, pool), JOBS_OK);
    apr_cpystrn(submitted, id, sizeof(submitted));
    claimed = intended = finished = 0;
}

static int apply(jobs_client_t *client, const jobs_task_t *task, jobs_change_t change, apr_pool_t *pool)
{
    jobs_change_t *one = &change;
    change.task = task->ref;
    jobs_result_t whole = jobs_apply(client, REDIS_WORKER, &one, 1, pool);
    if (whole.outcome != JOBS_OK) {
        TORTURE_HOLDS(change.result.outcome != JOBS_OK);
    }
    return is_done(change.result);
}

static void renew(jobs_client_t *client, const jobs_task_t *task, apr_pool_t *pool)
{
    apr_array_header_t *tasks = apr_array_make(pool, 1, sizeof(jobs_task_ref_t)), *lost = NULL;
    apr_time_t until = 0;
    APR_ARRAY_PUSH(tasks, jobs_task_ref_t) = task->ref;
    if (is_done(jobs_renew(client, REDIS_WORKER, "about", tasks, &lost, &until, pool))) {
        TORTURE_HOLDS(lost->nelts == 0 && until > clock_boottime());
    }
}

/* What one task goes through. */
static void work(jobs_client_t *client, const jobs_task_t *task, apr_pool_t *pool)
{
    TORTURE_HOLDS(strcmp(task->ref.job, submitted) == 0 && strcmp(task->ref.system, "pc1.example") == 0);
    TORTURE_HOLDS(strcmp(task->caller, "alice@EXAMPLE") == 0 && task->ref.fence[0] != '\0' &&
                  !task->taken_over);
    renew(client, task, pool);
    intended = apply(client, task,
                     (jobs_change_t){.change = JOBS_INTEND,
                                     .step = "power",
                                     .intent = "{}",
                                     .device = "",
                                     .step_deadline = apr_time_from_sec(600)},
                     pool);
    if (intended) {
        apply(client, task, (jobs_change_t){.change = JOBS_PROGRESS, .step = "boot", .state = 'P'}, pool);
        finished =
            apply(client, task, (jobs_change_t){.change = JOBS_FINISH, .step = "probe", .state = 'U'}, pool);
    }
}

static torture_verdict_e run_worker(apr_pool_t *pool)
{
    jobs_client_t *client = NULL;
    apr_array_header_t *tasks = NULL;
    int more = 0, reaped = 0;
    if (jobs_client_create(&client, &redis_server.worker, REDIS_BUDGET, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    is_done(jobs_library_load(client));
    if (is_done(jobs_claim(client, REDIS_WORKER, REDIS_DIGEST, 1, NULL, &tasks, &more, pool))) {
        TORTURE_HOLDS(tasks->nelts == 1);
        claimed = 1;
        work(client, &APR_ARRAY_IDX(tasks, 0, jobs_task_t), pool);
    }
    is_done(jobs_reap(client, REDIS_WORKER, &reaped, pool));
    is_done(jobs_bell_wait(client, 1000, pool));
    return refusals == 0 ? TORTURE_WELL : TORTURE_REFUSED;
}

static void check_worker(torture_verdict_e said, apr_pool_t *pool)
{
    const jobs_caller_t caller = owner(pool);
    jobs_job_t *job = NULL;
    redis_holds(jobs_read(redis_pool(pool), &caller, submitted, &job, pool), JOBS_OK);
    TORTURE_HOLDS(!finished || (job->unlocked == 1 && job->state == JOBS_STATE_COMPLETED));
    TORTURE_HOLDS(!claimed || job->waiting == 0);
    TORTURE_HOLDS(intended || job->unlocked == 0);
    TORTURE_HOLDS(said == TORTURE_REFUSED || finished);
}

const torture_scenario_t torture_jobs_worker = {.name = "jobs.worker",
                                                .start = redis_start,
                                                .reset = reset_worker,
                                                .run = run_worker,
                                                .check = check_worker};
