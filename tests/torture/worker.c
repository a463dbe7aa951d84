/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's promise: no intent is acknowledged that is not whole on the audit record and in the table of marks;
 * and what is replayed to Redis is what was recorded.
 */
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "failing.h"
#include "redis.h"
#include "scenarios.h"
#include "worker/record/outbox.h"
#include "worker/record/reconcile_priv.h"

#define ACT "{\"method\":\"sol\",\"power\":2,\"power_before\":8,\"redirection\":{\"state\":32771}}"
#define LONG_WAIT 10000 /* ms; for an answer that nothing stands in the way of */
#define SHORT_WAIT 150  /* for one whose way was made worse: it may be kept until Redis is back */

static char file[96];
static jobs_task_t task;
static jobs_task_ref_t ref;

static void reset_task(apr_pool_t *pool)
{
    snprintf(file, sizeof(file), "%s/worker.jsonl", torture_folder());
    unlink(file);
    redis_reset(pool);
    task = redis_claim(pool);
    ref = task.ref;
}

/* ---- the outbox ---------------------------------------------------------------------------------------- */

static sem_t answered;
static int acknowledged; /* changes, so far */
static int forgotten;    /* the intent is not in the table */

static void on_done(outbox_request_t *request)
{
    (void)request;
    sem_post(&answered);
}

static int is_answered_within(int ms)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(&answered, &until) == 0;
}

static int wait_for_answer(void)
{
    for (int waited = 0; waited < LONG_WAIT; waited += SHORT_WAIT) {
        int had_failed = failing_hit->reached;
        if (is_answered_within(SHORT_WAIT)) {
            return 1;
        }
        if (had_failed) {
            return 0;
        }
    }
    return 0;
}

/* The request must outlive the thread, where it is not answered. */
static int push_change(outbox_t *outbox, outbox_request_t *request, jobs_change_t change)
{
    change.task = ref;
    *request = (outbox_request_t){.change = change, .task = &task, .text = "", .address = "192.0.2.9"};
    request->done = on_done;
    if (outbox_push(outbox, request) != APR_SUCCESS || !wait_for_answer()) {
        return 0;
    }
    if (request->outcome != JOBS_OK && request->outcome != JOBS_ALREADY) {
        TORTURE_SAYS(request->answer);
        return 0;
    }
    TORTURE_HOLDS(request->audited);
    acknowledged++;
    return 1;
}

static const jobs_change_t intend = {.change = JOBS_INTEND,
                                     .step = "power",
                                     .intent = ACT,
                                     .device = "",
                                     .step_deadline = APR_USEC_PER_SEC * 600};
static const jobs_change_t finish = {.change = JOBS_FINISH, .step = "probe", .state = 'U'};

static void use_outbox(outbox_t *outbox, const marks_t *marks)
{
    static outbox_request_t requests[2];
    int intended = push_change(outbox, &requests[0], intend);

    if (intended) {
        push_change(outbox, &requests[1], finish);
    }
    outbox_stop(outbox);
    torture_spare();
    forgotten = intended && marks_state(marks, &ref) == MARKS_NONE;
}

static torture_verdict_e run_outbox(apr_pool_t *pool)
{
    audit_t *audit = NULL;
    outbox_t *outbox = NULL;
    marks_t *marks = NULL;
    outbox_options_t options;
    const char *error = NULL;

    acknowledged = forgotten = 0;
    sem_init(&answered, 0, 0);
    marks = marks_create(pool);
    error = audit_open(&audit, file, pool);
    if (error != NULL) {
        TORTURE_SAYS(error);
        return TORTURE_REFUSED;
    }
    options = (outbox_options_t){&redis_server.worker, REDIS_WORKER, audit, file, marks, 4};
    if (outbox_start(&outbox, &options, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    use_outbox(outbox, marks);
    return acknowledged == 2 ? TORTURE_WELL : TORTURE_REFUSED;
}

static const char *text_of(const json_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record, name));

    return text ? text : "(none)";
}

static void holds_text(const json_t *record, const char *name, const char *expected)
{
    if (strcmp(text_of(record, name), expected) != 0) {
        TORTURE_BROKEN("%s of the record is %s, not %s", name, text_of(record, name), expected);
    }
}

/* A line of ours, whichever, says all that it must say. */
static void check_line(void *baton, const json_t *record)
{
    int *seen = baton;
    int is_intent = strcmp(text_of(record, "event"), AUDIT_INTENT) == 0;

    if (!is_intent && strcmp(text_of(record, "event"), AUDIT_OUTCOME) != 0) {
        return;
    }
    holds_text(record, "system", task.ref.system);
    holds_text(record, "job", task.ref.job);
    holds_text(record, "fence", task.ref.fence);
    holds_text(record, "caller", task.caller);
    holds_text(record, "peer", task.peer);
    holds_text(record, "mechanism", task.mechanism);
    holds_text(record, "worker", REDIS_WORKER);
    holds_text(record, "address", "192.0.2.9");
    holds_text(record, "step", is_intent ? intend.step : finish.step);
    if (is_intent) {
        json_t *act = json_loads(ACT, 0, NULL);
        TORTURE_HOLDS(json_equal(json_object_get(record, "act"), act));
        json_decref(act);
    }
    else {
        holds_text(record, "result", "unlocked");
    }
    (*seen)++;
}

static void check_outbox(torture_verdict_e said, apr_pool_t *pool)
{
    apr_uint64_t lines = 0;
    int seen = 0;
    const char *error = NULL;

    (void)said;
    if (access(file, F_OK) != 0) {
        TORTURE_HOLDS(acknowledged == 0);
        return;
    }
    error = audit_verify(file, NULL, &lines, pool);
    if (error != NULL && acknowledged > 0) {
        TORTURE_BROKEN("the record does not verify: %s", error);
    }
    TORTURE_HOLDS(audit_replay(file, 0, check_line, &seen, pool) == NULL);
    if (seen < acknowledged) {
        TORTURE_BROKEN("%d changes were acknowledged, %d are on the record", acknowledged, seen);
    }
    TORTURE_HOLDS(!forgotten);
}

const torture_scenario_t torture_record_outbox = {.name = "record.outbox",
                                                  .start = redis_start,
                                                  .reset = reset_task,
                                                  .run = run_outbox,
                                                  .check = check_outbox};

/* ---- replaying open intents ---------------------------------------------------------------------------- */

static void write_end(audit_t *audit)
{
    TORTURE_HOLDS(
        audit_add(audit, AUDIT_OUTCOME,
                  json_pack("{s:s, s:s, s:s, s:s, s:s}", "system", task.ref.system, "job", task.ref.job,
                            "fence", task.ref.fence, "step", "probe", "result", "unlocked")) == APR_SUCCESS);
}

static void write_record(int with_end, apr_pool_t *pool)
{
    audit_t *audit = NULL;
    const char *error = NULL;
    json_t *fields = NULL;

    TORTURE_HOLDS(audit_open(&audit, file, pool) == NULL);
    fields = json_pack("{s:s, s:s, s:s, s:s, s:o}", "system", task.ref.system, "job", task.ref.job, "fence",
                       task.ref.fence, "step", "power", "act", json_loads(ACT, 0, NULL));
    TORTURE_HOLDS(audit_add(audit, AUDIT_INTENT, fields) == APR_SUCCESS);
    if (with_end) {
        write_end(audit);
    }
    TORTURE_HOLDS(audit_commit(audit, &error) == APR_SUCCESS);
}

static void reset_with_record(int with_end, apr_pool_t *pool)
{
    apr_pool_t *life = NULL;

    reset_task(pool);
    apr_pool_create(&life, pool);
    write_record(with_end, life);
    apr_pool_destroy(life);
}

static void reset_open_intents(apr_pool_t *pool)
{
    reset_with_record(0, pool);
}

static int is_pending(void *baton, const jobs_task_ref_t *of)
{
    (void)baton;
    (void)of;
    return 0;
}

static const char *open_record(recorder_t *recorder, apr_pool_t *pool)
{
    audit_t *audit = NULL;
    marks_t *marks = marks_create(pool);
    const char *error = audit_open(&audit, file, pool);

    if (error == NULL) {
        error = marks_read(marks, file, pool);
    }
    if (error == NULL && recorder_init(recorder, audit, "worker-2", marks, pool) != APR_SUCCESS) {
        error = "no recorder";
    }
    return error;
}

/* What a start of the worker does. */
static torture_verdict_e run_reconcile(apr_pool_t *pool)
{
    recorder_t recorder = {0};
    reconcile_t with = {.recorder = &recorder, .audit_file = file, .is_pending = is_pending};
    const char *error = open_record(&recorder, pool);
    jobs_result_t result;

    if (error != NULL) {
        TORTURE_SAYS(error);
        return TORTURE_REFUSED;
    }
    if (jobs_client_create(&with.connection, &redis_server.worker, REDIS_BUDGET, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    result = reconcile_redis(&with, "run", pool);
    if (result.outcome != JOBS_OK) {
        TORTURE_SAYS(result.text);
        return TORTURE_REFUSED;
    }
    return TORTURE_WELL;
}

/* The next worker that claims it verifies, by the act that was recorded. */
static void check_open_intents(torture_verdict_e said, apr_pool_t *pool)
{
    apr_array_header_t *tasks = NULL;
    int more = 0;
    const jobs_task_t *verified = NULL;

    redis_holds(jobs_claim(redis_client(pool), "worker-3", REDIS_DIGEST, 1, NULL, &tasks, &more, pool),
                JOBS_OK);
    if (tasks->nelts == 0) {
        TORTURE_HOLDS(said == TORTURE_REFUSED);
        return;
    }
    verified = &APR_ARRAY_IDX(tasks, 0, jobs_task_t);
    TORTURE_HOLDS(verified->taken_over);
    if (verified->intent == NULL || strcmp(verified->intent, ACT) != 0) {
        TORTURE_BROKEN("replayed: %s", verified->intent ? verified->intent : "nothing");
    }
}

const torture_scenario_t torture_record_open_intents = {.name = "record.open_intents",
                                                        .start = redis_start,
                                                        .reset = reset_open_intents,
                                                        .run = run_reconcile,
                                                        .check = check_open_intents};

/* ---- and tasks that have ended ------------------------------------------------------------------------- */

static void reset_reconcile(apr_pool_t *pool)
{
    reset_with_record(1, pool);
}

/* Redis had the task claimed and not ended. Once its end is replayed, no other end is taken. */
static void check_reconcile(torture_verdict_e said, apr_pool_t *pool)
{
    jobs_change_t finish_late = finish;
    jobs_change_t *const changes[] = {&finish_late};

    finish_late.task = ref;
    finish_late.state = 'F';
    finish_late.reason = JOBS_REASON_INTERNAL;
    jobs_apply(redis_client(pool), REDIS_WORKER, changes, 1, pool);
    TORTURE_HOLDS(said != TORTURE_WELL || finish_late.result.outcome == JOBS_REFUSED);
}

const torture_scenario_t torture_record_reconcile = {.name = "record.reconcile",
                                                     .start = redis_start,
                                                     .reset = reset_reconcile,
                                                     .run = run_reconcile,
                                                     .check = check_reconcile};
