/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/outbox.h"

#include <stdatomic.h>
#include <string.h>

#include <apr_queue.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>
#include <jansson.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/oom.h"
#include "base/wakeup.h"
#include "worker/record/denials_priv.h"
#include "worker/record/entries_priv.h"
#include "worker/record/reconcile_priv.h"
#include "worker/record/recorder_priv.h"
#include "worker/record/seal_priv.h"

#define BATCH 256
#define REDIS_TIMEOUT apr_time_from_sec(2)
#define RETRY_AFTER apr_time_from_msec(500) /* after Redis or the audit file failed */
#define LOOK_AFTER apr_time_from_sec(1)     /* at the audit file, with nothing to do */
#define RUN_ID_MAX 64
/* The record is read back for MARKS_KEPT: a worker that does not find there which Redis it had takes it for another one,
 * which may have lost something. */
#define NAME_REDIS_EVERY apr_time_from_sec((apr_int64_t)24 * 3600)

typedef APR_RING_HEAD(requests_t, outbox_request_t) requests_t;

struct outbox_t {
    outbox_options_t options;
    apr_queue_t *queue; /* outbox_request_t *, as pushed */
    wakeup_t wakeup;
    apr_thread_t *thread;
    pulse_t pulse;
    atomic_int stopping;
    atomic_int reopening;    /* the audit file, once the thread comes to it */
    atomic_int to_reconcile; /* the Redis that is there may not be that of reconciled_run_id */
    recorder_t recorder;
    seal_t seal;

    /* The thread's own. */
    jobs_client_t *connection;
    requests_t kept; /* taken from the queue, not answered yet */
    int kept_count;
    apr_time_t denials_due;
    apr_time_t redis_named; /* on the record, by the wall clock */
    int redis_away;         /* logged once */
    int reconciling_failed; /* though Redis answers; logged once */

    apr_thread_mutex_t *lock; /* guards what follows */
    char reconciled_run_id
        [RUN_ID_MAX]; /* of the Redis that was reconciled; "": it must be done, or done again */
};

/* Only the thread writes reconciled_run_id, so the thread reads it without the lock. */
static int is_reconciled(const outbox_t *outbox)
{
    return outbox->reconciled_run_id[0] != '\0' &&
           strcmp(outbox->reconciled_run_id, jobs_client_run_id(outbox->connection)) == 0;
}

static void set_reconciled(outbox_t *outbox, const char *run_id)
{
    apr_thread_mutex_lock(outbox->lock);
    apr_cpystrn(outbox->reconciled_run_id, run_id, sizeof(outbox->reconciled_run_id));
    apr_thread_mutex_unlock(outbox->lock);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

/* It is done before an act, which is not done without it. */
static int precedes_act(const outbox_request_t *request)
{
    return request->change.change == JOBS_INTEND || request->change.change == JOBS_MARK;
}

/* Adds its line, unless it is added or it needs none. APR_EINVAL: it can never be, and no act follows. */
static apr_status_t record_request(outbox_t *outbox, outbox_request_t *request)
{
    apr_status_t status = APR_SUCCESS;

    if (entry_event(request) == NULL || request->recorded) {
        return APR_SUCCESS;
    }
    status = recorder_add(&outbox->recorder, entry_event(request),
                          entry_of_request(request, outbox->options.worker));
    if (status == APR_EINVAL && request->change.change == JOBS_FINISH) {
        recorder_add_in_part(&outbox->recorder, request);
        status = APR_SUCCESS;
    }
    request->recorded = status == APR_SUCCESS;
    return status;
}

/* What the answer means for the intent on record. After a release others verify the PC. */
static void close_intent(outbox_t *outbox, const outbox_request_t *request)
{
    const jobs_change_t *change = &request->change;
    int taken = request->outcome == JOBS_OK || request->outcome == JOBS_ALREADY;

    if (change->change == JOBS_MARK && taken) {
        marks_tell(outbox->options.marks, &change->task, change->mark);
    }
    if (change->change == JOBS_INTEND && !taken && request->recorded) { /* so it was not acted on */
        recorder_add_event(&outbox->recorder, AUDIT_WITHDRAWN, &change->task, request->answer);
    }
    /* A Redis that is not reconciled yet may still take it. */
    if (change->change == JOBS_FINISH && !taken && is_reconciled(outbox)) {
        recorder_add_event(&outbox->recorder, AUDIT_REFUSED, &change->task, request->answer);
    }
    if (change->change == JOBS_RELEASE && marks_state(outbox->options.marks, &change->task) == MARKS_OPEN) {
        recorder_add_event(&outbox->recorder, AUDIT_HANDED_OVER, &change->task, "given back");
    }
}

static void answer_request(outbox_t *outbox, outbox_request_t *request, jobs_outcome_e outcome, int audited,
                           const char *text)
{
    APR_RING_REMOVE(request, link);
    outbox->kept_count--;
    request->outcome = outcome;
    request->audited = audited;
    apr_cpystrn(request->answer, text != NULL ? text : "", sizeof(request->answer));
    close_intent(outbox, request);
    request->done(request);
}

/* ---- reconciling a Redis that was restarted ------------------------------------------------------------ */

/* See reconcile_t. */
static int is_pending(void *baton, const jobs_task_ref_t *task)
{
    outbox_t *outbox = baton;
    const outbox_request_t *request = NULL;

    APR_RING_FOREACH(request, &outbox->kept, outbox_request_t, link)
    {
        const jobs_change_t *change = &request->change;

        if (change->change == JOBS_INTEND && strcmp(change->task.fence, task->fence) == 0 &&
            strcmp(change->task.system, task->system) == 0 && strcmp(change->task.job, task->job) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Replays to the Redis that is there what it may have lost. If that fails it is tried again. */
static void reconcile(outbox_t *outbox, apr_pool_t *pool)
{
    const reconcile_t with = {.recorder = &outbox->recorder,
                              .connection = outbox->connection,
                              .audit_file = outbox->options.audit_file,
                              .is_pending = is_pending,
                              .baton = outbox};
    jobs_result_t result;

    atomic_store(&outbox->to_reconcile, 0);
    result = jobs_connect(outbox->connection, pool);
    if (result.outcome == JOBS_OK && !is_reconciled(outbox)) {
        /* Read first: if Redis is restarted meanwhile, the new one has another. */
        const char *run_id = apr_pstrdup(pool, jobs_client_run_id(outbox->connection));

        result = reconcile_redis(&with, run_id, pool);
        if (result.outcome == JOBS_OK) {
            set_reconciled(outbox, run_id);
            outbox->redis_named = apr_time_now();
        }
        else if (!outbox->reconciling_failed) {
            log_warn("AMTU0433", "Redis could not be told what it may have forgotten: it is tried again",
                     "text", result.text);
        }
        outbox->reconciling_failed = result.outcome != JOBS_OK;
    }
    if (result.outcome != JOBS_OK) {
        atomic_store(&outbox->to_reconcile, 1);
    }
}

int outbox_has_reconciled(outbox_t *outbox, const char *run_id)
{
    int reconciled = 0;

    apr_thread_mutex_lock(outbox->lock);
    reconciled = strcmp(outbox->reconciled_run_id, run_id) == 0;
    apr_thread_mutex_unlock(outbox->lock);
    if (!reconciled) {
        atomic_store(&outbox->to_reconcile, 1);
        wakeup_signal(&outbox->wakeup);
    }
    return reconciled;
}

/* ---- a batch ------------------------------------------------------------------------------------------- */

static void take_requests(outbox_t *outbox)
{
    void *taken = NULL;

    while (apr_queue_trypop(outbox->queue, &taken) == APR_SUCCESS) {
        outbox_request_t *request = taken;

        request->recorded = 0;
        APR_RING_INSERT_TAIL(&outbox->kept, request, outbox_request_t, link);
        outbox->kept_count++;
    }
}

/* Redis has forgotten marks that it had; where it says that it knows none of them, nothing is done anyway. */
static int lacks_marks(const marks_t *marks, const jobs_task_t *task)
{
    return (task->marks & JOBS_MARKS_UNKNOWN) == 0 && (marks_told(marks, &task->ref) & ~task->marks) != 0;
}

/* Redis gave out a task once more that this worker has an intent of on its record, though it was reconciled: its data
 * was changed under it. One that is taken over may have an intent, but no end, and all marks that Redis had of it. */
static int is_repeated(const outbox_t *outbox, const outbox_request_t *request)
{
    const marks_t *marks = outbox->options.marks;
    marks_state_e is = marks_state(marks, &request->change.task);

    return request->change.change == JOBS_INTEND && !request->recorded &&
           (request->task->taken_over ? is == MARKS_ENDED || lacks_marks(marks, request->task)
                                      : is != MARKS_NONE);
}

/* Redis is reconciled once more: the task then ends as the record says, or is verified. It is not acted on. */
static void turn_down_repeated(outbox_t *outbox, apr_pool_t *pool)
{
    static const char why[] = "the record holds an intent of this task already";
    outbox_request_t *request = NULL, *next = NULL;
    int any = 0;

    APR_RING_FOREACH(request, &outbox->kept, outbox_request_t, link)
    {
        any |= is_repeated(outbox, request);
    }
    if (!any) {
        return;
    }
    set_reconciled(outbox, "");
    reconcile(outbox, pool);
    APR_RING_FOREACH_SAFE(request, next, &outbox->kept, outbox_request_t, link)
    {
        if (is_repeated(outbox, request)) {
            log_error("AMTU0434", "Redis gives out a task that has been acted on: it is not again", "system",
                      request->task->ref.system, "job", request->task->ref.job);
            recorder_add_event(&outbox->recorder, AUDIT_REPEATED, &request->change.task, why);
            answer_request(outbox, request, JOBS_REFUSED, 1, why);
        }
    }
}

/* Adds the lines. What is wrong with one is answered to its request alone. */
static void record_requests(outbox_t *outbox)
{
    outbox_request_t *request = NULL, *next = NULL;

    APR_RING_FOREACH_SAFE(request, next, &outbox->kept, outbox_request_t, link)
    {
        if (record_request(outbox, request) == APR_EINVAL) {
            log_error("AMTU0623", "an intent or a mark cannot be recorded, so it is not acted on", "system",
                      request->task->ref.system);
            answer_request(outbox, request, JOBS_BROKEN, 0, "its intent cannot be recorded");
        }
    }
}

static int is_on_disk(const outbox_request_t *request, int committed)
{
    return entry_event(request) == NULL || (committed && request->recorded);
}

/* Selects the requests whose lines are on disk, or that need none. The others wait, but intents and marks are
 * turned down: their PCs have not been touched, and another worker may be able to write its record. */
static int select_audited(outbox_t *outbox, outbox_request_t **selected)
{
    int count = 0, committed = 0;
    outbox_request_t *request = NULL, *next = NULL;

    record_requests(outbox);
    committed = recorder_commit(&outbox->recorder);
    APR_RING_FOREACH_SAFE(request, next, &outbox->kept, outbox_request_t, link)
    {
        int on_disk = is_on_disk(request, committed);

        if (on_disk && count < BATCH) {
            selected[count++] = request;
        }
        else if (!on_disk && precedes_act(request)) {
            answer_request(outbox, request, JOBS_UNAVAILABLE, 0, "the audit record cannot be written");
        }
    }
    return count;
}

#ifdef AMTUNLOCK_FAULTS
static void pass_points(jobs_change_t *const *changes, int count, int applied)
{
    static const char *const marks[JOBS_MARK_AGAIN + 1][2] = {
        [JOBS_MARK_POWER] = {"power-mark.recorded", "power-mark.applied"},
        [JOBS_MARK_TYPED] = {"typed-mark.recorded", "typed-mark.applied"}};
    static const char *const points[JOBS_CHANGES][2] = {
        [JOBS_INTEND] = {"intend.recorded", "intend.applied"},
        [JOBS_PROGRESS] = {"progress.before", "progress.applied"},
        [JOBS_FINISH] = {"finish.recorded", "finish.applied"},
        [JOBS_RELEASE] = {"release.before", "release.applied"}};

    for (int i = 0; i < count; i++) {
        const jobs_change_t *change = changes[i];
        const char *point =
            change->change == JOBS_MARK ? marks[change->mark][applied] : points[change->change][applied];

        if (point != NULL) {
            FAILPOINT(point);
        }
    }
}
#else
#define pass_points(changes, count, applied) ((void)0)
#endif

static void log_redis(outbox_t *outbox, const jobs_result_t *result)
{
    int away = result->outcome == JOBS_UNAVAILABLE;

    if (away && !outbox->redis_away) {
        log_error("AMTU0426", "Redis does not take results, they are kept", "text", result->text);
    }
    if (!away && outbox->redis_away) {
        log_info("AMTU0427", "Redis takes results again");
    }
    outbox->redis_away = away;
}

/* A Redis that lost data would refuse changes to what it lost, so it is reconciled before. It may also be
 * restarted on the way: then it is reconciled and asked again, which every change allows. */
static void apply_changes(outbox_t *outbox, jobs_change_t *const *changes, int count, apr_pool_t *pool)
{
    jobs_result_t result = jobs_connect(outbox->connection, pool);

    if (result.outcome == JOBS_OK && !is_reconciled(outbox)) {
        reconcile(outbox, pool);
    }
    result = jobs_apply(outbox->connection, outbox->options.worker, changes, count, pool);
    if (!is_reconciled(outbox)) {
        reconcile(outbox, pool);
        result = jobs_apply(outbox->connection, outbox->options.worker, changes, count, pool);
    }
    log_redis(outbox, &result);
}

/* A request without an answer is kept for the next batch, unless it would be out of date by then. */
static void answer_requests(outbox_t *outbox, outbox_request_t **selected, int count)
{
    for (int i = 0; i < count; i++) {
        outbox_request_t *request = selected[i];
        const jobs_change_t *change = &request->change;
        int is_of_the_moment = change->change == JOBS_PROGRESS || change->change == JOBS_POWER_RATE;

        if (change->result.outcome != JOBS_UNAVAILABLE || is_of_the_moment) {
            answer_request(outbox, request, change->result.outcome, 1, change->result.text);
        }
    }
}

/* Returns how many requests Redis was asked for. */
static int do_batch(outbox_t *outbox, apr_pool_t *pool)
{
    outbox_request_t *selected[BATCH];
    jobs_change_t *changes[BATCH];
    int count = 0;

    take_requests(outbox);
    outbox->recorder.uncommitted = 0;
    turn_down_repeated(outbox, pool);
    count = select_audited(outbox, selected);
    for (int i = 0; i < count; i++) {
        changes[i] = &selected[i]->change;
    }
    if (count > 0) {
        pass_points(changes, count, 0);
        apply_changes(outbox, changes, count, pool);
        pass_points(changes, count, 1);
        answer_requests(outbox, selected, count);
    }
    if (outbox->recorder.uncommitted) {
        recorder_commit(&outbox->recorder);
    }
    return count;
}

/* ---- the thread ---------------------------------------------------------------------------------------- */

/* Returns at once where there is more to do: the queue is not empty, or more than a batch was there. */
static void wait_for_requests(outbox_t *outbox, int done)
{
    int is_stuck =
        outbox->redis_away || recorder_is_failing(&outbox->recorder) || atomic_load(&outbox->to_reconcile);

    if (atomic_load(&outbox->stopping) || apr_queue_size(outbox->queue) > 0) {
        return;
    }
    if (outbox->kept_count > 0 && done == BATCH && !is_stuck) {
        return;
    }
    wakeup_wait(&outbox->wakeup, outbox->kept_count > 0 || is_stuck ? RETRY_AFTER : LOOK_AFTER);
}

/* What is on the record beside the requests. */
static void record_others(outbox_t *outbox, apr_pool_t *pool)
{
    if (outbox->redis_away || !is_reconciled(outbox)) {
        return;
    }
    denials_record(&outbox->recorder, outbox->connection, &outbox->denials_due, pool);
    if (apr_time_now() - outbox->redis_named > NAME_REDIS_EVERY) {
        outbox->redis_named = apr_time_now();
        reconcile_name(&outbox->recorder, outbox->connection);
    }
}

static void *APR_THREAD_FUNC run_outbox(apr_thread_t *thread, void *data)
{
    outbox_t *outbox = data;
    apr_pool_t *pool = NULL;

    (void)thread;
    if (oom_own_pool(&pool) != APR_SUCCESS) {
        return NULL;
    }
    while (!atomic_load(&outbox->stopping) || apr_queue_size(outbox->queue) > 0) {
        int done = 0;

        pulse_beat(&outbox->pulse);
        if (atomic_exchange(&outbox->reopening, 0)) {
            recorder_reopen(&outbox->recorder);
        }
        if (atomic_load(&outbox->to_reconcile)) {
            reconcile(outbox, pool);
        }
        done = do_batch(outbox, pool);
        seal_keep(&outbox->seal, &outbox->recorder, outbox->connection, pool);
        record_others(outbox, pool);
        apr_pool_clear(pool);
        wait_for_requests(outbox, done);
    }
    recorder_commit(&outbox->recorder); /* events that were added since the last commit */
    seal_last(&outbox->seal, &outbox->recorder, outbox->connection, pool);
    apr_pool_destroy(pool);
    return NULL;
}

apr_status_t outbox_start(outbox_t **outbox, const outbox_options_t *options, apr_pool_t *pool)
{
    outbox_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t status;

    *outbox = made;
    made->options = *options;
    seal_init(&made->seal, options->audit_file);
    atomic_init(&made->to_reconcile, 1);
    pulse_init(&made->pulse);
    APR_RING_INIT(&made->kept, outbox_request_t, link);
    status = apr_queue_create(&made->queue, (unsigned int)options->capacity, pool);
    if (status == APR_SUCCESS) {
        status = recorder_init(&made->recorder, options->audit, options->worker, options->marks, pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, pool);
    }
    if (status == APR_SUCCESS) {
        status = wakeup_open(&made->wakeup, pool);
    }
    if (status == APR_SUCCESS) {
        status = jobs_client_create(&made->connection, options->redis, REDIS_TIMEOUT, pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_thread_create(&made->thread, NULL, run_outbox, made, pool);
    }
    return status;
}

const pulse_t *outbox_pulse(const outbox_t *outbox)
{
    return &outbox->pulse;
}

void outbox_stop(outbox_t *outbox)
{
    apr_status_t ended;

    atomic_store(&outbox->stopping, 1);
    wakeup_signal(&outbox->wakeup);
    apr_thread_join(&ended, outbox->thread);
}

apr_status_t outbox_push(outbox_t *outbox, outbox_request_t *request)
{
    apr_status_t status = apr_queue_trypush(outbox->queue, request);

    if (status == APR_SUCCESS) {
        wakeup_signal(&outbox->wakeup);
    }
    return status;
}

int outbox_is_blocked(const outbox_t *outbox)
{
    return recorder_is_failing(&outbox->recorder) || recorder_is_slow(&outbox->recorder);
}

void outbox_reopen_audit(outbox_t *outbox)
{
    atomic_store(&outbox->reopening, 1);
    wakeup_signal(&outbox->wakeup);
}

void outbox_audit_head(outbox_t *outbox, char *text, apr_size_t size)
{
    recorder_head(&outbox->recorder, text, size);
}
