/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/entries_priv.h"

#include <string.h>

const char *entry_event(const outbox_request_t *request)
{
    static const char *const events[JOBS_CHANGES] = {
        [JOBS_INTEND] = AUDIT_INTENT,
        [JOBS_MARK] = AUDIT_MARK,
        [JOBS_FINISH] = AUDIT_OUTCOME,
    };

    return events[request->change.change];
}

static void put_text(json_t *fields, const char *name, const char *text)
{
    json_t *value = NULL;

    if (text == NULL || text[0] == '\0') {
        return;
    }
    value = json_string(text);
    /* A device's words may be no UTF-8; that it said something stays on record. */
    json_object_set_new(fields, name, value != NULL ? value : json_string("(not UTF-8)"));
}

/* With the marks that were there before: by this field a reader knows that marks are on record. */
static void put_intent(json_t *fields, const jobs_change_t *change)
{
    json_error_t error;
    json_t *act = json_loads(change->intent, 0, &error);
    json_t *marks = json_object_get(act, "marks");

    if (act != NULL) {
        json_object_set_new(fields, "act", act);
    }
    json_object_set_new(fields, "marks", marks != NULL ? json_incref(marks) : json_string(""));
}

static void put_outcome(json_t *fields, const outbox_request_t *request)
{
    const jobs_change_t *change = &request->change;

    put_text(fields, "result", change->state == 'U' ? "unlocked" : "failed");
    if (change->state != 'U') {
        put_text(fields, "reason", jobs_reason(change->reason)->code);
    }
    put_text(fields, "text", request->text);
    if (request->task->taken_over) {
        json_object_set_new(fields, "look", json_true());
    }
}

static json_t *entry_of_mark(const outbox_request_t *request, const char *worker)
{
    json_t *fields = entry_of_event(AUDIT_MARK, &request->task->ref, worker, NULL);

    put_text(fields, "step", request->change.step);
    put_text(fields, "mark", jobs_mark_word(request->change.mark));
    return fields;
}

json_t *entry_of_request(const outbox_request_t *request, const char *worker)
{
    const jobs_task_t *task = request->task;
    json_t *fields = NULL;

    if (request->change.change == JOBS_MARK) {
        return entry_of_mark(request, worker);
    }
    fields = json_object();
    put_text(fields, "system", task->ref.system);
    put_text(fields, "job", task->ref.job);
    put_text(fields, "fence", task->ref.fence);
    put_text(fields, "caller", task->caller);
    put_text(fields, "peer", task->peer);
    put_text(fields, "mechanism", task->mechanism);
    put_text(fields, "worker", worker);
    put_text(fields, "address", request->address);
    put_text(fields, "step", request->change.step);
    if (request->change.change == JOBS_INTEND) {
        put_intent(fields, &request->change);
    }
    else {
        put_outcome(fields, request);
    }
    return fields;
}

json_t *entry_of_unrecordable(const outbox_request_t *request, const char *worker)
{
    outbox_request_t without = *request;
    json_t *fields = json_object();

    without.text = "the rest of this line could not be recorded";
    put_text(fields, "system", request->task->ref.system);
    put_text(fields, "job", request->task->ref.job);
    put_text(fields, "fence", request->task->ref.fence);
    put_text(fields, "worker", worker);
    put_text(fields, "step", request->change.step);
    put_outcome(fields, &without);
    return fields;
}

json_t *entry_of_event(const char *event, const jobs_task_ref_t *task, const char *worker, const char *text)
{
    json_t *fields = json_object();

    put_text(fields, "system", task->system);
    put_text(fields, "job", task->job);
    put_text(fields, "fence", task->fence);
    put_text(fields, "worker", worker);
    if (strcmp(event, AUDIT_OUTCOME) == 0) {
        put_text(fields, "result", "failed");
        put_text(fields, "reason", jobs_reason(JOBS_REASON_INDETERMINATE)->code);
    }
    put_text(fields, "text", text);
    return fields;
}

const char *entry_text(const json_t *fields, const char *name)
{
    const char *text = json_string_value(json_object_get(fields, name));

    return text != NULL ? text : "";
}

jobs_task_ref_t entry_task(const json_t *fields)
{
    return (jobs_task_ref_t){entry_text(fields, "job"), entry_text(fields, "system"),
                             entry_text(fields, "fence")};
}
