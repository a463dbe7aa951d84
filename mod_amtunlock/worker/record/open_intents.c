/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/open_intents.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "audit/audit.h"
#include "unlock/intent.h"
#include "worker/record/entries_priv.h"
#include "worker/record/intent_index_priv.h"

struct open_intents_t {
    json_t *intents; /* by "job system fence": see pack_intent() */
    int lost;        /* one that was read could not be kept */
    intent_index_t *index;
    char run_id[64];
};

static apr_status_t drop_intents(void *data)
{
    json_decref(((open_intents_t *)data)->intents);
    return APR_SUCCESS;
}

open_intents_t *open_intents_create(apr_pool_t *pool)
{
    open_intents_t *made = apr_pcalloc(pool, sizeof(*made));

    made->intents = json_object();
    made->index = intent_index_create(pool);
    apr_pool_cleanup_register(pool, made, drop_intents, apr_pool_cleanup_null);
    return made;
}

const char *open_intents_run_id(const open_intents_t *open_intents)
{
    return open_intents->run_id;
}

/* ---- keeping ------------------------------------------------------------------------------------------- */

static jobs_task_ref_t ref_of(const json_t *fields)
{
    return (jobs_task_ref_t){entry_text(fields, "job"), entry_text(fields, "system"),
                             entry_text(fields, "fence")};
}

/* Into `key`, of KEY_MAX bytes. Names are short; an intent whose key was cut would only be replayed in vain. */
#define KEY_MAX 400
static void write_key(char *key, const jobs_task_ref_t *task)
{
    apr_snprintf(key, KEY_MAX, "%s %s %s", task->job, task->system, task->fence);
}

static json_t *pack_intent(const json_t *fields, int earlier)
{
    return json_pack("{s:O, s:O, s:O, s:O?, s:O?, s:b, s:b}", "system", json_object_get(fields, "system"),
                     "job", json_object_get(fields, "job"), "fence", json_object_get(fields, "fence"), "step",
                     json_object_get(fields, "step"), "act", json_object_get(fields, "act"), "earlier",
                     earlier, "taken", earlier);
}

/* 0: out of memory. An earlier one counts as taken by Redis: the record does not say. */
static int keep_intent(open_intents_t *open_intents, const json_t *fields, int earlier)
{
    char key[KEY_MAX];
    const jobs_task_ref_t task = ref_of(fields);
    json_t *kept = pack_intent(fields, earlier);

    write_key(key, &task);
    /* Now, not when it was written: it is only kept for longer than it must be. */
    if (!intent_index_add(open_intents->index, task.job, task.system, apr_time_now())) {
        json_decref(kept);
        return 0;
    }
    if (kept != NULL && json_object_set_new(open_intents->intents, key, kept) != 0) {
        json_object_del(open_intents->intents, key);
        intent_index_remove(open_intents->index, task.job, task.system);
        return 0;
    }
    return 1;
}

int open_intents_begin(open_intents_t *open_intents, const json_t *fields)
{
    return keep_intent(open_intents, fields, 0);
}

void open_intents_taken(open_intents_t *open_intents, const jobs_task_ref_t *task)
{
    char key[KEY_MAX];

    write_key(key, task);
    /* The member is there already, so this allocates nothing. */
    json_object_set_new(json_object_get(open_intents->intents, key), "taken", json_true());
}

int open_intents_end(open_intents_t *open_intents, const jobs_task_ref_t *task)
{
    char key[KEY_MAX];

    write_key(key, task);
    return json_object_del(open_intents->intents, key) == 0;
}

/* Another intent of the same task has another fence, and stays. */
void open_intents_withdraw(open_intents_t *open_intents, const jobs_task_ref_t *task)
{
    if (open_intents_end(open_intents, task)) {
        intent_index_remove(open_intents->index, task->job, task->system);
    }
}

int open_intents_has(const open_intents_t *open_intents, const jobs_task_ref_t *task)
{
    return intent_index_has(open_intents->index, task->job, task->system);
}

/* ---- reading them back --------------------------------------------------------------------------------- */

static void take_intent_record(void *baton, const json_t *record)
{
    open_intents_t *open_intents = baton;
    const char *event = entry_text(record, "event");
    const jobs_task_ref_t task = ref_of(record);

    if (strcmp(event, AUDIT_INTENT) == 0 && !keep_intent(open_intents, record, 1)) {
        open_intents->lost = 1;
    }
    if (strcmp(event, AUDIT_REDIS) == 0) {
        apr_cpystrn(open_intents->run_id, entry_text(record, "run_id"), sizeof(open_intents->run_id));
    }
    if (strcmp(event, AUDIT_WITHDRAWN) == 0) {
        open_intents_withdraw(open_intents, &task);
    }
    if (strcmp(event, AUDIT_OUTCOME) == 0 || strcmp(event, AUDIT_HANDED_OVER) == 0) {
        open_intents_end(open_intents, &task);
    }
}

const char *open_intents_read(open_intents_t *open_intents, const char *audit_file, apr_pool_t *pool)
{
    const char *error = NULL;

    open_intents->lost = 0;
    error =
        audit_replay(audit_file, apr_time_now() - INTENT_INDEX_KEPT, take_intent_record, open_intents, pool);
    if (error == NULL && open_intents->lost) {
        error = apr_pstrcat(pool, audit_file, ": cannot be read back: no memory for its intents", NULL);
    }
    return error;
}

/* ---- replaying them to Redis --------------------------------------------------------------------------- */

static jobs_change_t *change_of_intent(const json_t *intent, apr_pool_t *pool)
{
    const json_t *act = json_object_get(intent, "act");
    char *text = act ? json_dumps(act, JSON_COMPACT) : NULL;
    jobs_change_t *change = apr_pcalloc(pool, sizeof(*change));

    intent_restore(change, text, pool);
    change->task = ref_of(intent);
    change->step = entry_text(intent, "step");
    free(text);
    return change;
}

/* Of those that Redis took. */
static jobs_change_t **changes_of_intents(const json_t *intents, int *count, apr_pool_t *pool)
{
    jobs_change_t **changes = apr_palloc(pool, sizeof(jobs_change_t *) * (json_object_size(intents) + 1));
    const char *key;
    json_t *intent;

    *count = 0;
    json_object_foreach((json_t *)(uintptr_t)intents, key, intent)
    {
        if (json_is_true(json_object_get(intent, "taken"))) {
            changes[(*count)++] = change_of_intent(intent, pool);
        }
    }
    return changes;
}

static void pass_answer(open_intents_t *open_intents, const jobs_change_t *change, open_intents_fn each,
                        void *baton)
{
    char key[KEY_MAX];
    const json_t *intent = NULL;
    open_intents_answer_t answer = {.system = change->task.system,
                                    .job = change->task.job,
                                    .fence = change->task.fence,
                                    .result = change->result};

    write_key(key, &change->task);
    intent = json_object_get(open_intents->intents, key);
    answer.earlier = json_is_true(json_object_get(intent, "earlier"));
    if (each(baton, &answer)) {
        json_object_del(open_intents->intents, key);
    }
}

jobs_result_t open_intents_reconcile(open_intents_t *open_intents, jobs_client_t *connection,
                                     const char *worker, open_intents_fn each, void *baton, apr_pool_t *pool)
{
    int count = 0;
    jobs_change_t **changes = changes_of_intents(open_intents->intents, &count, pool);
    jobs_result_t whole = jobs_apply(connection, worker, changes, count, pool);

    for (int i = 0; i < count; i++) {
        if (jobs_is_decided(changes[i]->result.outcome) || jobs_is_spoilt(&changes[i]->result)) {
            pass_answer(open_intents, changes[i], each, baton);
        }
        else {
            whole = changes[i]->result;
        }
    }
    return whole;
}
