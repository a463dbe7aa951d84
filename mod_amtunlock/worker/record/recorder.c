/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/recorder_priv.h"

#include <syslog.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "worker/record/entries_priv.h"

#define HEAD_EVERY apr_time_from_sec(60)
#define SLOW_AFTER apr_time_from_sec(5)

apr_status_t recorder_init(recorder_t *recorder, audit_t *audit, const char *worker, marks_t *marks,
                           apr_pool_t *pool)
{
    recorder->audit = audit;
    recorder->marks = marks;
    recorder->worker = worker;
    return apr_thread_mutex_create(&recorder->lock, APR_THREAD_MUTEX_DEFAULT, pool);
}

apr_status_t recorder_add(recorder_t *recorder, const char *event, json_t *fields)
{
    apr_status_t status = APR_ENOMEM;

    if (marks_make_room(recorder->marks)) {
        status = audit_add(recorder->audit, event, json_incref(fields));
    }
    if (status == APR_SUCCESS) {
        marks_take(recorder->marks, event, fields);
    }
    json_decref(fields);
    return status;
}

void recorder_add_event(recorder_t *recorder, const char *event, const jobs_task_ref_t *task,
                        const char *text)
{
    json_t *fields = entry_of_event(event, task, recorder->worker, text);

    if (recorder_add(recorder, event, fields) != APR_SUCCESS) {
        log_error("AMTU0421", "audit line was not taken", "system", task->system, "event", event);
    }
    recorder->uncommitted = 1;
}

void recorder_add_in_part(recorder_t *recorder, const outbox_request_t *request)
{
    json_t *fields = entry_of_unrecordable(request, recorder->worker);
    int added = recorder_add(recorder, entry_event(request), fields) == APR_SUCCESS;

    log_error("AMTU0622", "a result cannot be recorded as it is", "system", request->task->ref.system, "job",
              request->task->ref.job, "recorded", added ? "in part" : "no");
}

/* A host without a system log is none that lost it. */
static void say_head_outcome(const recorder_t *recorder)
{
    switch (recorder->head_outcome) {
    case SYSTEM_LOG_TAKEN:
        log_info("AMTU0459", "the system log takes the heads of the audit record", "head", recorder->head);
        break;
    case SYSTEM_LOG_ABSENT:
        if (recorder->head_logged == 0) {
            log_info("AMTU0458",
                     "there is no system log: the heads of the audit record are kept in Redis only");
            break;
        }
        /* fall through */
    case SYSTEM_LOG_REFUSED:
        log_warn("AMTU0456", "the system log does not take the heads of the audit record, for now", "head",
                 recorder->head);
    }
}

/* The head goes to syslog, too: if the end of the file is cut off, it shows there. */
static void note_head(recorder_t *recorder)
{
    const char *hash = "";
    apr_uint64_t count = 0;
    char line[RECORDER_HEAD_MAX + 32];
    system_log_e outcome;

    audit_head(recorder->audit, &hash, &count);
    apr_thread_mutex_lock(recorder->lock);
    apr_snprintf(recorder->head, sizeof(recorder->head), "%s:%" APR_UINT64_T_FMT, hash, count);
    apr_thread_mutex_unlock(recorder->lock);
    if (count == recorder->head_logged || clock_boottime() < recorder->head_due) {
        return;
    }
    recorder->head_due = clock_boottime() + HEAD_EVERY;
    apr_snprintf(line, sizeof(line), "AMTU0422 audit head %s:%" APR_UINT64_T_FMT, hash, count);
    outcome = system_log(LOG_NOTICE, line);
    if (outcome == SYSTEM_LOG_TAKEN) { /* else the next head goes there, which says more */
        recorder->head_logged = count;
    }
    if (outcome != recorder->head_outcome) {
        recorder->head_outcome = outcome;
        say_head_outcome(recorder);
    }
}

static int commit_timed(recorder_t *recorder, const char **error)
{
    apr_time_t begun = clock_boottime();
    apr_status_t status;

    atomic_store(&recorder->begun, begun);
    status = audit_commit(recorder->audit, error);
    atomic_store(&recorder->begun, 0);
    if (clock_boottime() - begun > SLOW_AFTER) {
        log_warn("AMTU0544", "the disk of the audit record was slow; nothing was claimed meanwhile",
                 "seconds", log_number(LOG_NUMBER, apr_time_sec(clock_boottime() - begun)));
    }
    return status == APR_SUCCESS;
}

int recorder_commit(recorder_t *recorder)
{
    const char *error = "";
    int committed = !FAILPOINT_FAILS("record.before") && commit_timed(recorder, &error);
    int was_failing = atomic_exchange(&recorder->failing, !committed);

    if (!committed && !was_failing) {
        log_error("AMTU0423", "the audit record cannot be written: no PC is touched", "text", error);
    }
    if (committed && was_failing) {
        log_info("AMTU0424", "the audit record is written again");
    }
    if (committed) {
        note_head(recorder);
    }
    return committed;
}

apr_uint64_t recorder_count(const recorder_t *recorder)
{
    const char *hash = "";
    apr_uint64_t count = 0;

    audit_head(recorder->audit, &hash, &count);
    return count;
}

void recorder_reopen(recorder_t *recorder)
{
    const char *error = audit_reopen(recorder->audit);

    if (error != NULL) {
        log_error("AMTU0425", "the audit file cannot be opened again", "text", error);
    }
}

int recorder_is_failing(const recorder_t *recorder)
{
    return atomic_load(&recorder->failing);
}

int recorder_is_slow(const recorder_t *recorder)
{
    apr_time_t begun = atomic_load(&recorder->begun);

    return begun != 0 && clock_boottime() - begun > SLOW_AFTER;
}

void recorder_head(recorder_t *recorder, char *text, apr_size_t size)
{
    apr_thread_mutex_lock(recorder->lock);
    apr_cpystrn(text, recorder->head, size);
    apr_thread_mutex_unlock(recorder->lock);
}
