/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/reconcile_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>
#include <jansson.h>

#include "audit/audit.h"
#include "base/oom.h"
#include "unlock/intent.h"
#include "worker/record/entries_priv.h"
#include "worker/record/intent_index_priv.h"
#include "worker/record/open_intents.h"

#define PIPELINE 256 /* changes at a time */
/* The last so many ends keep the act of their intent: a refused end falls back to it, and more cannot be
 * waiting for the answer of Redis. */
#define ENDS_WITH_ACT 2048

/* What the record says of a task with one fence. */
typedef struct {
    jobs_task_ref_t ref;
    const char *step;
    int intended;
    char *act; /* of its intent, from malloc; NULL: none, or not needed any more */
    enum { IS_OPEN, IS_HANDED_OVER, IS_ENDED, IS_VOID } is;
    char state;
    jobs_reason_e reason;
} task_t;

typedef struct {
    apr_pool_t *pool;             /* of its own, so that all of it goes back */
    apr_hash_t *by_name;          /* task_t by the names of name_of() */
    apr_array_header_t *in_order; /* task_t *, as they began */
    task_t *ends[ENDS_WITH_ACT];
    unsigned int ended; /* tasks that passed through `ends` */
    apr_uint64_t last;  /* number of the last record */
} reading_t;

/* ---- reading ------------------------------------------------------------------------------------------- */

/* Job, system and fence of a record, each with its NUL, in `pool`. */
static char *name_of(const json_t *record, apr_ssize_t *length, apr_pool_t *pool)
{
    static const char *const parts[] = {"job", "system", "fence"};
    char *name, *at;

    *length = 0;
    for (int i = 0; i < 3; i++) {
        *length += (apr_ssize_t)strlen(entry_text(record, parts[i])) + 1;
    }
    name = at = apr_palloc(pool, (apr_size_t)*length);
    for (int i = 0; i < 3; i++) {
        at = apr_cpystrn(at, entry_text(record, parts[i]), (apr_size_t)(name + *length - at)) + 1;
    }
    return name;
}

static task_t *add_task(reading_t *reading, const json_t *record)
{
    apr_ssize_t length;
    const char *name = name_of(record, &length, reading->pool);
    task_t *added = apr_pcalloc(reading->pool, sizeof(*added));

    added->ref.job = name;
    added->ref.system = name + strlen(name) + 1;
    added->ref.fence = added->ref.system + strlen(added->ref.system) + 1;
    added->step = apr_pstrdup(reading->pool, entry_text(record, "step"));
    apr_hash_set(reading->by_name, name, length, added);
    APR_ARRAY_PUSH(reading->in_order, task_t *) = added;
    return added;
}

static task_t *find_task(const reading_t *reading, const json_t *record, apr_pool_t *scratch)
{
    apr_ssize_t length;
    const char *name = name_of(record, &length, scratch);

    return apr_hash_get(reading->by_name, name, length);
}

static void on_intent(reading_t *reading, task_t *known, const json_t *record)
{
    const json_t *act = json_object_get(record, "act");

    if (known == NULL) {
        known = add_task(reading, record);
        known->act = act ? json_dumps(act, JSON_COMPACT) : NULL;
        known->intended = 1;
    }
}

/* Keeps the act of its intent, in place of one so old that Redis has answered its end. */
static void keep_end(reading_t *reading, task_t *known)
{
    task_t **place = &reading->ends[reading->ended++ % ENDS_WITH_ACT];

    if (*place != NULL && (*place)->is == IS_ENDED) {
        free((*place)->act);
        (*place)->act = NULL;
    }
    *place = known;
}

/* A verify-only task has no intent of its own, but its end counts: the record of the worker before may be gone.
 * Any other task that ended without an intent never touched its PC, and may start again. */
static void on_outcome(reading_t *reading, task_t *known, const json_t *record)
{
    if (known == NULL && json_is_true(json_object_get(record, "look"))) {
        known = add_task(reading, record);
    }
    if (known != NULL && known->is != IS_ENDED) {
        known->is = IS_ENDED;
        known->state = strcmp(entry_text(record, "result"), "unlocked") == 0 ? 'U' : 'F';
        known->reason = jobs_reason_of_code(entry_text(record, "reason"));
        known->step = apr_pstrdup(reading->pool, entry_text(record, "step"));
        keep_end(reading, known);
    }
}

static void on_handed_over(reading_t *reading, task_t *known, const json_t *record)
{
    (void)reading;
    (void)record;
    if (known != NULL && known->is == IS_OPEN) {
        known->is = IS_HANDED_OVER;
    }
}

/* Another end holds, but its intent stands. */
static void on_refused(reading_t *reading, task_t *known, const json_t *record)
{
    (void)reading;
    (void)record;
    if (known != NULL) {
        known->is = known->intended ? IS_HANDED_OVER : IS_VOID;
    }
}

static void on_withdrawn(reading_t *reading, task_t *known, const json_t *record)
{
    (void)reading;
    (void)record;
    if (known != NULL) {
        known->is = IS_VOID;
    }
}

static const struct {
    const char *event;
    void (*take)(reading_t *reading, task_t *known, const json_t *record);
} events[] = {
    {AUDIT_INTENT, on_intent},   {AUDIT_OUTCOME, on_outcome},     {AUDIT_HANDED_OVER, on_handed_over},
    {AUDIT_REFUSED, on_refused}, {AUDIT_WITHDRAWN, on_withdrawn},
};

static void take_task_record(void *baton, const json_t *record)
{
    reading_t *reading = baton;
    apr_pool_t *scratch = NULL;
    const char *event = entry_text(record, "event");

    reading->last = (apr_uint64_t)json_integer_value(json_object_get(record, "n"));
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (strcmp(event, events[i].event) == 0 && apr_pool_create(&scratch, reading->pool) == APR_SUCCESS) {
            events[i].take(reading, find_task(reading, record, scratch), record);
            apr_pool_destroy(scratch);
        }
    }
}

/* ---- replaying ----------------------------------------------------------------------------------------- */

static int is_replayed(const task_t *task)
{
    return task->is == IS_ENDED || task->is == IS_HANDED_OVER;
}

static jobs_change_t *change_of_task(const task_t *task, apr_pool_t *pool)
{
    jobs_change_t *change = apr_pcalloc(pool, sizeof(*change));

    if (task->is == IS_HANDED_OVER) {
        intent_restore(change, task->act, pool);
    }
    else {
        change->change = JOBS_RESTORE_RESULT;
        change->state = task->state;
        change->reason = task->reason;
    }
    change->task = task->ref;
    change->step = task->step;
    return change;
}

typedef struct {
    jobs_client_t *connection;
    const char *worker;
    reconcile_fn each;
    void *baton;
} replay_t;

/* One pipeline. */
static jobs_result_t replay_some(const replay_t *replay, jobs_change_t *const *changes, int count,
                                 apr_pool_t *scratch)
{
    jobs_result_t whole = jobs_apply(replay->connection, replay->worker, changes, count, scratch);

    for (int i = 0; i < count; i++) {
        const jobs_change_t *change = changes[i];
        const reconcile_answer_t answer = {.system = change->task.system,
                                           .job = change->task.job,
                                           .fence = change->task.fence,
                                           .ended = change->change == JOBS_RESTORE_RESULT,
                                           .result = change->result};

        if (jobs_is_decided(change->result.outcome) || jobs_is_spoilt(&change->result)) {
            replay->each(replay->baton, &answer);
        }
        else {
            whole = change->result;
        }
    }
    return whole;
}

/* The latest first: of two ends of one task the later holder's is taken, and the other one refused. */
static jobs_result_t replay_all(const replay_t *replay, const apr_array_header_t *in_order, apr_pool_t *pool)
{
    jobs_result_t result = {JOBS_OK, ""};
    apr_pool_t *scratch = NULL;
    int at = in_order->nelts;

    apr_pool_create(&scratch, pool);
    while (at > 0 && result.outcome == JOBS_OK) {
        jobs_change_t *changes[PIPELINE];
        int count = 0;

        apr_pool_clear(scratch);
        while (at > 0 && count < PIPELINE) {
            const task_t *task = APR_ARRAY_IDX(in_order, --at, task_t *);

            if (is_replayed(task)) {
                changes[count++] = change_of_task(task, scratch);
            }
        }
        result = replay_some(replay, changes, count, scratch);
    }
    return result;
}

static void drop_reading(const reading_t *reading)
{
    for (int i = 0; i < reading->in_order->nelts; i++) {
        free(APR_ARRAY_IDX(reading->in_order, i, task_t *)->act);
    }
    apr_pool_destroy(reading->pool);
}

jobs_result_t reconcile_ended(const char *audit_file, apr_uint64_t least, jobs_client_t *connection,
                              const char *worker, reconcile_fn each, void *baton, apr_pool_t *pool)
{
    const replay_t replay = {connection, worker, each, baton};
    reading_t reading = {.ended = 0};
    jobs_result_t result = {JOBS_UNAVAILABLE, "out of memory"};
    const char *error = NULL;

    if (oom_own_pool(&reading.pool) != APR_SUCCESS) {
        return result;
    }
    reading.by_name = apr_hash_make(reading.pool);
    reading.in_order = apr_array_make(reading.pool, 256, sizeof(task_t *));
    error = audit_replay(audit_file, apr_time_now() - INTENT_INDEX_KEPT, take_task_record, &reading,
                         reading.pool);
    if (error == NULL && reading.last < least) {
        error = "the end of the audit record is not to be found";
    }
    if (error != NULL) {
        result.text = error;
    }
    else {
        result = replay_all(&replay, reading.in_order, reading.pool);
    }
    result.text = apr_pstrdup(pool, result.text);
    drop_reading(&reading);
    return result;
}
