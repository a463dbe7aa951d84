/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/reconcile_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/oom.h"
#include "unlock/intent.h"

#define PIPELINE 256 /* changes at a time */

/* What came of it, as the record counts it. */
typedef struct {
    const reconcile_t *with;
    const char *run_id, *history; /* of Redis, as it was connected */
    int kept; /* it is the Redis that was reconciled last, by the record: what it does not have it never took */
    int intents, verifies, withdrawn, forgotten; /* intents without an end */
    int ends, restored, refused;
} reconciliation_t;

/* ---- answers ------------------------------------------------------------------------------------------- */

/* A refused end falls back to its intent, which is replayed next. If Redis does not know the job any more, the job was
 * kept for long enough. */
static void on_end(reconciliation_t *reconciliation, marks_task_t *task, const jobs_result_t *result)
{
    reconciliation->ends++;
    reconciliation->restored += result->outcome == JOBS_OK;
    if (result->outcome == JOBS_REFUSED || jobs_is_spoilt(result)) {
        reconciliation->refused++;
        recorder_add_event(reconciliation->with->recorder, AUDIT_REFUSED, &task->ref, result->text);
        log_warn("AMTU0431", "Redis holds another end of a task than the record", "system", task->ref.system,
                 "job", task->ref.job, "text", result->text);
        task->is = marks_without_end(task);
    }
}

static void on_forgotten(reconciliation_t *reconciliation, const marks_task_t *task,
                         const jobs_result_t *result)
{
    reconciliation->forgotten++;
    recorder_add_event(reconciliation->with->recorder, AUDIT_OUTCOME, &task->ref,
                       result->outcome == JOBS_NOT_FOUND ? "Redis does not know the job any more"
                                                         : "Redis holds another end of the task");
    log_error("AMTU0428", "Redis lost a task that has an intent: look at the system", "system",
              task->ref.system, "job", task->ref.job, "text", result->text);
}

/* A task that Redis knows and this worker works on just goes on. */
static void on_open_intent(reconciliation_t *reconciliation, const marks_task_t *task,
                           const jobs_change_t *change)
{
    recorder_t *recorder = reconciliation->with->recorder;
    const jobs_result_t *result = &change->result;

    reconciliation->intents++;
    if (result->outcome == JOBS_OK || (result->outcome == JOBS_ALREADY && task->earlier)) {
        recorder_add_event(recorder, AUDIT_HANDED_OVER, &task->ref, "told to Redis");
    }
    else if (result->outcome == JOBS_REFUSED && change->kept) {
        reconciliation->withdrawn++;
        recorder_add_event(recorder, AUDIT_WITHDRAWN, &task->ref, "Redis never took it");
    }
    else if (result->outcome != JOBS_ALREADY) {
        on_forgotten(reconciliation, task, result);
    }
}

static void on_answer(reconciliation_t *reconciliation, marks_task_t *task, const jobs_change_t *change)
{
    const jobs_result_t *result = &change->result;

    if (task->is == MARKS_ENDED) {
        on_end(reconciliation, task, result);
        return;
    }
    if (result->outcome == JOBS_OK || result->outcome == JOBS_ALREADY) {
        marks_tell(reconciliation->with->recorder->marks, &task->ref, jobs_marks_parse(change->kept_marks));
    }
    reconciliation->verifies += result->outcome == JOBS_OK;
    if (task->is == MARKS_OPEN) {
        on_open_intent(reconciliation, task, change);
    }
}

/* ---- replaying ----------------------------------------------------------------------------------------- */

static jobs_change_t *change_of_task(const reconciliation_t *reconciliation, const marks_task_t *task,
                                     apr_pool_t *pool)
{
    jobs_change_t *change = apr_pcalloc(pool, sizeof(*change));

    if (task->is == MARKS_ENDED) {
        change->change = JOBS_RESTORE_RESULT;
        change->state = task->state;
        change->reason = task->reason;
    }
    else {
        intent_restore(change, task->act, pool);
        change->marks = task->marks;
        if (reconciliation->kept) {
            change->run_id = reconciliation->run_id;
            change->history = reconciliation->history;
        }
    }
    change->task = task->ref;
    change->step = task->step;
    return change;
}

/* One pipeline. */
static jobs_result_t replay_some(reconciliation_t *reconciliation, marks_task_t *const *tasks, int count,
                                 apr_pool_t *pool)
{
    jobs_change_t *changes[PIPELINE];
    jobs_result_t whole;

    for (int i = 0; i < count; i++) {
        changes[i] = change_of_task(reconciliation, tasks[i], pool);
    }
    whole = jobs_apply(reconciliation->with->connection, reconciliation->with->recorder->worker, changes,
                       count, pool);
    for (int i = 0; i < count; i++) {
        const jobs_result_t *result = &changes[i]->result;

        if (jobs_is_decided(result->outcome) || jobs_is_spoilt(result)) {
            on_answer(reconciliation, tasks[i], changes[i]);
        }
        else {
            whole = *result;
        }
    }
    return whole;
}

static int is_due(const reconcile_t *with, const marks_task_t *task, int ends)
{
    if (ends || task->is != MARKS_OPEN) {
        return task->is == (ends ? MARKS_ENDED : MARKS_HANDED_OVER);
    }
    return !with->is_pending(with->baton, &task->ref);
}

/* The latest first: of two ends of one task the later holder's is taken, and the other one refused. */
static jobs_result_t replay(reconciliation_t *reconciliation, const apr_array_header_t *tasks, int ends,
                            apr_pool_t *pool)
{
    jobs_result_t result = {JOBS_OK, ""};
    apr_pool_t *scratch = NULL;
    int at = tasks->nelts;

    apr_pool_create(&scratch, pool);
    while (at > 0 && result.outcome == JOBS_OK) {
        marks_task_t *due[PIPELINE];
        int count = 0;

        apr_pool_clear(scratch);
        while (at > 0 && count < PIPELINE) {
            marks_task_t *task = APR_ARRAY_IDX(tasks, --at, marks_task_t *);

            if (is_due(reconciliation->with, task, ends)) {
                due[count++] = task;
            }
        }
        result = replay_some(reconciliation, due, count, scratch);
    }
    return result;
}

/* ---- the record ---------------------------------------------------------------------------------------- */

static void record_redis(recorder_t *recorder, json_t *fields, const char *run_id, const char *history)
{
    json_object_set_new(fields, "worker", json_string(recorder->worker));
    json_object_set_new(fields, "run_id", json_string(run_id));
    json_object_set_new(fields, "history", json_string(history));
    if (recorder_add(recorder, AUDIT_REDIS, fields) != APR_SUCCESS) {
        log_error("AMTU0429", "audit line was not taken", "event", AUDIT_REDIS);
    }
    recorder->uncommitted = 1;
}

void reconcile_name(recorder_t *recorder, const jobs_client_t *connection)
{
    record_redis(recorder, json_object(), jobs_client_run_id(connection), jobs_client_history(connection));
}

static void record_reconciliation(const reconciliation_t *reconciliation)
{
    json_t *counts = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "intents", reconciliation->intents,
                               "looks", reconciliation->verifies, "withdrawn", reconciliation->withdrawn,
                               "forgotten", reconciliation->forgotten, "ends", reconciliation->ends,
                               "restored", reconciliation->restored, "refused", reconciliation->refused);

    record_redis(reconciliation->with->recorder, counts, reconciliation->run_id, reconciliation->history);
    if (reconciliation->intents > 0) {
        log_warn("AMTU0430", "Redis was told of intents without an outcome", "intents",
                 log_number(LOG_NUMBER, reconciliation->intents), "looks",
                 log_number(LOG_NUMBER, reconciliation->verifies), "withdrawn",
                 log_number(LOG_NUMBER, reconciliation->withdrawn), "forgotten",
                 log_number(LOG_NUMBER, reconciliation->forgotten));
    }
    if (reconciliation->restored > 0) {
        log_warn("AMTU0432", "Redis came back without the ends of tasks, and was told them", "ends",
                 log_number(LOG_NUMBER, reconciliation->restored));
    }
}

/* A record that is not in its place must at least be found beside it, or it would be read as one that holds nothing. */
static const char *read_record(const reconcile_t *with, marks_t *marks, apr_pool_t *pool)
{
    apr_uint64_t least = recorder_commit(with->recorder) ? 0 : recorder_count(with->recorder);
    const char *error = marks_read(marks, with->audit_file, pool);

    if (error == NULL && marks_last(marks) < least) {
        error = "the end of the audit record is not to be found";
    }
    return error;
}

/* Ends first: an intent whose end is on record needs nobody to take it over. */
static jobs_result_t replay_record(reconciliation_t *reconciliation, apr_pool_t *pool)
{
    marks_t *marks = marks_create_whole(reconciliation->with->recorder->marks, pool);
    const char *error = read_record(reconciliation->with, marks, pool);
    jobs_result_t result = {JOBS_UNAVAILABLE, error};

    if (error != NULL) {
        return result;
    }
    reconciliation->kept = marks_name_redis(marks, reconciliation->run_id, reconciliation->history);
    result = replay(reconciliation, marks_tasks(marks), 1, pool);
    if (result.outcome == JOBS_OK) {
        FAILPOINT("reconcile.results");
        result = replay(reconciliation, marks_tasks(marks), 0, pool);
    }
    return result;
}

jobs_result_t reconcile_redis(const reconcile_t *reconcile, const char *run_id, apr_pool_t *pool)
{
    reconciliation_t reconciliation = {.with = reconcile,
                                       .run_id = run_id,
                                       .history =
                                           apr_pstrdup(pool, jobs_client_history(reconcile->connection))};
    jobs_result_t result = {JOBS_UNAVAILABLE, "out of memory"};
    apr_pool_t *own = NULL; /* so that all of it goes back */

    FAILPOINT("reconcile.before");
    if (oom_own_pool(&own) == APR_SUCCESS) {
        result = replay_record(&reconciliation, own);
        result.text = apr_pstrdup(pool, result.text);
        apr_pool_destroy(own);
    }
    FAILPOINT("reconcile.done");
    if (result.outcome == JOBS_OK) {
        record_reconciliation(&reconciliation);
    }
    return result;
}
