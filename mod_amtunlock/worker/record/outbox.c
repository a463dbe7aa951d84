/* SPDX-License-Identifier: Apache-2.0 */
/* See outbox_thread.h. */
#include "worker/record/outbox.h"

#include <stdatomic.h>
#include <string.h>
#include <syslog.h>

#include <apr_queue.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>
#include <jansson.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/oom.h"
#include "base/wakeup.h"
#include "worker/record/entries_priv.h"
#include "worker/record/reconcile_priv.h"

#define BATCH 256
#define REDIS_TIMEOUT apr_time_from_sec(2)
#define AGAIN apr_time_from_msec(500) /* after Redis or the audit file failed */
#define HEAD_EVERY apr_time_from_sec(60)
#define HEAD_MAX 96
#define RUN_ID_MAX 64

typedef APR_RING_HEAD(requests_t, outbox_request_t) requests_t;

struct outbox_t {
    apr_queue_t *outbox;
    wakeup_t wakeup;
    apr_thread_t *thread;
    atomic_int stopping, reopen, deaf;
    atomic_int tell; /* somebody has met a Redis that is not the one of told_run_id */
    outbox_options_t options;
    jobs_client_t *connection;
    requests_t kept; /* taken from the outbox, not answered yet; the thread's own */
    int kept_count;
    int uncommitted;     /* lines were recorded that no commit has covered yet */
    int redis_away;      /* said once */
    int untold;          /* Redis is there and could not be told; said once */
    apr_time_t head_due; /* when the head goes to syslog next */
    apr_uint64_t head_said;
    apr_thread_mutex_t *lock; /* guards what follows */
    char head[HEAD_MAX];
    char told_run_id[RUN_ID_MAX]; /* of the Redis that was told; "": none was, or it must be once more */
};

/* ---- the audit record ---------------------------------------------------------------------------------- */

/* Takes the fields; nonzero if the record has the line. */
static int add_line(outbox_t *outbox, const char *event, json_t *fields)
{
    return audit_add(outbox->options.audit, event, fields) == APR_SUCCESS;
}

/* A line that nothing waits for: it goes to disk with the next that something waits for, or after the batch.
 */
static void record_aside(outbox_t *outbox, const char *event, const jobs_task_ref_t *task, const char *text)
{
    json_t *fields = entry_aside(event, task, outbox->options.worker, text);

    if (!add_line(outbox, event, fields)) {
        log_error("AMTU0421", "audit line was not taken", "system", task->system, "event", event);
    }
    outbox->uncommitted = 1;
}

static int record(outbox_t *outbox, outbox_request_t *request)
{
    const char *event = entry_event(request);

    if (event == NULL || request->recorded) {
        return 1;
    }
    json_t *fields = entry_of(request, outbox->options.worker);
    if (request->change.change == JOBS_INTEND && !open_intents_begin(outbox->options.open_intents, fields)) {
        json_decref(fields);
        return 0;
    }
    request->recorded = add_line(outbox, event, fields);
    return request->recorded;
}

static void note_head(outbox_t *outbox)
{
    const char *hash = "";
    apr_uint64_t count = 0;

    audit_head(outbox->options.audit, &hash, &count);
    apr_thread_mutex_lock(outbox->lock);
    apr_snprintf(outbox->head, sizeof(outbox->head), "%s:%" APR_UINT64_T_FMT, hash, count);
    apr_thread_mutex_unlock(outbox->lock);
    if (count == outbox->head_said || clock_boottime() < outbox->head_due) {
        return;
    }
    /* Elsewhere than in the file, so that a cut tail shows. */
    syslog(LOG_NOTICE, "AMTU0422 audit head %s:%llu", hash, (unsigned long long)count);
    outbox->head_said = count;
    outbox->head_due = clock_boottime() + HEAD_EVERY;
}

/* All lines so far on disk? */
static int commit(outbox_t *outbox)
{
    const char *error = "";
    int well =
        !FAILPOINT_FAILS("record.before") && audit_commit(outbox->options.audit, &error) == APR_SUCCESS;
    int was_deaf = atomic_exchange(&outbox->deaf, !well);

    if (!well && !was_deaf) {
        log_error("AMTU0423", "the audit record cannot be written: no PC is touched", "text", error);
    }
    if (well && was_deaf) {
        log_info("AMTU0424", "the audit record is written again");
    }
    if (well) {
        note_head(outbox);
    }
    return well;
}

static void reopen(outbox_t *outbox)
{
    const char *error = audit_reopen(outbox->options.audit);

    if (error != NULL) {
        log_error("AMTU0425", "the audit file cannot be opened again", "text", error);
    }
}

/* ---- a batch ------------------------------------------------------------------------------------------- */

static int is_told(const outbox_t *outbox);

/* One that Redis did not take was not acted on. */
static void settle_intent(outbox_t *outbox, const outbox_request_t *request, int taken)
{
    const jobs_task_ref_t *task = &request->change.task;

    if (taken) {
        open_intents_taken(outbox->options.open_intents, task);
        return;
    }
    open_intents_withdraw(outbox->options.open_intents, task);
    if (request->recorded) {
        record_aside(outbox, AUDIT_WITHDRAWN, task, request->answer);
    }
}

/* What the answer means for the intent on record. One that was given back is looked at by others. */
static void close_intent(outbox_t *outbox, const outbox_request_t *request)
{
    const jobs_change_t *change = &request->change;
    int taken = request->outcome == JOBS_OK || request->outcome == JOBS_ALREADY;

    if (change->change == JOBS_INTEND) {
        settle_intent(outbox, request, taken);
    }
    /* A Redis that is not told yet may still take it. */
    if (change->change == JOBS_FINISH && !taken && is_told(outbox)) {
        record_aside(outbox, AUDIT_REFUSED, &change->task, request->answer);
    }
    if (change->change == JOBS_RELEASE && open_intents_end(outbox->options.open_intents, &change->task)) {
        record_aside(outbox, AUDIT_HANDED_OVER, &change->task, "given back");
    }
}

static void answer(outbox_t *outbox, outbox_request_t *request, jobs_outcome_e outcome, int audited,
                   const char *text)
{
    APR_RING_REMOVE(request, link);
    outbox->kept_count--;
    request->outcome = outcome;
    request->audited = audited;
    apr_cpystrn(request->answer, text ? text : "", sizeof(request->answer));
    close_intent(outbox, request);
    request->done(request);
}

static void take_from_outbox(outbox_t *outbox)
{
    void *taken = NULL;

    while (apr_queue_trypop(outbox->outbox, &taken) == APR_SUCCESS) {
        outbox_request_t *request = taken;

        request->recorded = 0;
        APR_RING_INSERT_TAIL(&outbox->kept, request, outbox_request_t, link);
        outbox->kept_count++;
    }
}

/* The requests whose lines are on disk, or that need none; the others wait, but intents are turned down:
 * their PCs have not been touched and others may do better. */
static int select_audited(outbox_t *outbox, outbox_request_t **selected)
{
    int count = 0, recorded = 1;
    outbox_request_t *request = NULL, *next = NULL;

    APR_RING_FOREACH(request, &outbox->kept, outbox_request_t, link)
    {
        recorded &= record(outbox, request);
    }
    int well = commit(outbox) && recorded;
    APR_RING_FOREACH_SAFE(request, next, &outbox->kept, outbox_request_t, link)
    {
        if (count < BATCH && (well || entry_event(request) == NULL)) {
            selected[count++] = request;
            if (request->change.change == JOBS_FINISH) { /* from here on its end is what Redis is told */
                open_intents_end(outbox->options.open_intents, &request->change.task);
            }
        }
        else if (!well && request->change.change == JOBS_INTEND) {
            answer(outbox, request, JOBS_UNAVAILABLE, 0, "the audit record cannot be written");
        }
    }
    return count;
}

/* ---- a Redis that was started anew --------------------------------------------------------------------- */

typedef struct {
    outbox_t *outbox;
    int told, looks, forgotten; /* intents without an end */
    int ends, restored, refused;
} telling_t;

/* See reconcile_fn. Where Redis knows no job any more, it is one that was kept for long enough. */
static void on_told_closed(void *baton, const reconcile_answer_t *said)
{
    telling_t *telling = baton;
    const jobs_task_ref_t task = {said->job, said->system, said->fence};
    int taken = said->result.outcome == JOBS_OK;

    telling->looks += taken && !said->ended;
    telling->restored += taken && said->ended;
    telling->ends += said->ended;
    if (said->ended && said->result.outcome == JOBS_REFUSED) {
        telling->refused++;
        record_aside(telling->outbox, AUDIT_REFUSED, &task, said->result.text);
        log_warn("AMTU0431", "Redis holds another end of a task than the record", "system", said->system,
                 "job", said->job, "text", said->result.text);
    }
}

/* See open_intents_fn. What Redis knows and this worker works on goes on as if nothing had been. */
static int on_told(void *baton, const open_intents_answer_t *said)
{
    telling_t *telling = baton;
    const jobs_task_ref_t task = {said->job, said->system, said->fence};

    telling->told++;
    if (said->result.outcome == JOBS_ALREADY && !said->earlier) {
        return 0;
    }
    if (said->result.outcome == JOBS_OK || said->result.outcome == JOBS_ALREADY) {
        telling->looks += said->result.outcome == JOBS_OK;
        record_aside(telling->outbox, AUDIT_HANDED_OVER, &task, "told to Redis");
        return 1;
    }
    telling->forgotten++;
    record_aside(telling->outbox, AUDIT_OUTCOME, &task,
                 said->result.outcome == JOBS_NOT_FOUND ? "Redis does not know the job any more"
                                                        : "Redis holds another end of the task");
    log_error("AMTU0428", "Redis lost a task that has an intent: look at the system", "system", said->system,
              "job", said->job, "text", said->result.text);
    return 1;
}

static void set_told(outbox_t *outbox, const char *run_id)
{
    apr_thread_mutex_lock(outbox->lock);
    apr_cpystrn(outbox->told_run_id, run_id, sizeof(outbox->told_run_id));
    apr_thread_mutex_unlock(outbox->lock);
}

static void note_told(telling_t *telling, const char *run_id)
{
    outbox_t *outbox = telling->outbox;
    json_t *fields =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "worker", outbox->options.worker, "run_id",
                  run_id, "intents", telling->told, "looks", telling->looks, "forgotten", telling->forgotten,
                  "ends", telling->ends, "restored", telling->restored, "refused", telling->refused);

    if (audit_add(outbox->options.audit, AUDIT_REDIS, fields) != APR_SUCCESS) {
        log_error("AMTU0429", "audit line was not taken", "event", AUDIT_REDIS);
    }
    outbox->uncommitted = 1;
    if (telling->told > 0) {
        log_warn("AMTU0430", "Redis was told of intents without an outcome", "intents",
                 log_number(LOG_NUMBER, telling->told), "looks", log_number(LOG_NUMBER, telling->looks),
                 "forgotten", log_number(LOG_NUMBER, telling->forgotten));
    }
    if (telling->restored > 0) {
        log_warn("AMTU0432", "Redis came back without the ends of tasks, and was told them", "ends",
                 log_number(LOG_NUMBER, telling->restored));
    }
    set_told(outbox, run_id);
}

/* Only this thread writes told_run_id, so it reads it without the lock. */
static int is_told(const outbox_t *outbox)
{
    return outbox->told_run_id[0] != '\0' &&
           strcmp(outbox->told_run_id, jobs_client_run_id(outbox->connection)) == 0;
}

/* Ends first: an intent whose end is on record needs no look. */
static jobs_result_t tell_all(telling_t *telling, apr_pool_t *pool)
{
    const outbox_t *outbox = telling->outbox;
    const outbox_options_t *options = &outbox->options;
    jobs_result_t result = reconcile_ended(options->audit_file, outbox->connection, options->worker,
                                           on_told_closed, telling, pool);

    if (result.outcome == JOBS_OK) {
        FAILPOINT("reassert.ends");
        result = open_intents_reconcile(options->open_intents, outbox->connection, options->worker, on_told,
                                        telling, pool);
    }
    return result;
}

/* Tells the Redis that is there now what it may have forgotten; tried again while that fails. */
static void tell(outbox_t *outbox, apr_pool_t *pool)
{
    telling_t telling = {.outbox = outbox};

    atomic_store(&outbox->tell, 0);
    jobs_result_t result = jobs_connect(outbox->connection, pool);
    if (result.outcome == JOBS_OK && !is_told(outbox)) {
        /* Of the Redis that is told: should it go meanwhile, the next one is another. */
        const char *run_id = apr_pstrdup(pool, jobs_client_run_id(outbox->connection));
        FAILPOINT("reassert.before");
        result = tell_all(&telling, pool);
        FAILPOINT("reassert.told");
        if (result.outcome == JOBS_OK) {
            note_told(&telling, run_id);
        }
        else if (!outbox->untold) {
            log_warn("AMTU0433", "Redis could not be told what it may have forgotten: it is tried again",
                     "text", result.text);
        }
        outbox->untold = result.outcome != JOBS_OK;
    }
    if (result.outcome != JOBS_OK) {
        atomic_store(&outbox->tell, 1);
    }
}

/* Before anything is asked of it: what it has forgotten it would refuse. */
static void tell_if_new(outbox_t *outbox, apr_pool_t *pool)
{
    if (jobs_connect(outbox->connection, pool).outcome == JOBS_OK && !is_told(outbox)) {
        tell(outbox, pool);
    }
}

int outbox_has_reconciled(outbox_t *outbox, const char *run_id)
{
    apr_thread_mutex_lock(outbox->lock);
    int told = strcmp(outbox->told_run_id, run_id) == 0;
    apr_thread_mutex_unlock(outbox->lock);
    if (!told) {
        atomic_store(&outbox->tell, 1);
        wakeup_signal(&outbox->wakeup);
    }
    return told;
}

/* ---- the thread ---------------------------------------------------------------------------------------- */

static void complain(outbox_t *outbox, jobs_result_t result)
{
    int away = result.outcome == JOBS_UNAVAILABLE;

    if (away && !outbox->redis_away) {
        log_error("AMTU0426", "Redis does not take results, they are kept", "text", result.text);
    }
    if (!away && outbox->redis_away) {
        log_info("AMTU0427", "Redis takes results again");
    }
    outbox->redis_away = away;
}

/* Redis gave out a task anew that this worker has an intent of on its record, though it is the Redis that was
 * told: its data was changed under it. */
static int is_repeated(const outbox_t *outbox, const outbox_request_t *request)
{
    return request->change.change == JOBS_INTEND && !request->recorded &&
           open_intents_has(outbox->options.open_intents, &request->change.task);
}

/* It is told once more, which ends such a task as the record says, or has it looked at; nobody acts on it. */
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
    set_told(outbox, "");
    tell(outbox, pool);
    APR_RING_FOREACH_SAFE(request, next, &outbox->kept, outbox_request_t, link)
    {
        if (is_repeated(outbox, request)) {
            log_error("AMTU0434", "Redis gives out a task that has been acted on: it is not again", "system",
                      request->task->ref.system, "job", request->task->ref.job);
            record_aside(outbox, AUDIT_REPEATED, &request->change.task, why);
            answer(outbox, request, JOBS_REFUSED, 1, why);
        }
    }
}

/* By the next batch it would be old. */
static int is_of_the_moment(jobs_change_e change)
{
    return change == JOBS_PROGRESS || change == JOBS_POWER_RATE;
}

/* A request without an answer is kept for the next batch, where it is worth that. */
static void hand_out(outbox_t *outbox, outbox_request_t **selected, int count)
{
    for (int i = 0; i < count; i++) {
        outbox_request_t *request = selected[i];
        jobs_result_t *result = &request->change.result;

        if (result->outcome != JOBS_UNAVAILABLE || is_of_the_moment(request->change.change)) {
            answer(outbox, request, result->outcome, 1, result->text);
        }
    }
}

#ifdef AMTUNLOCK_FAULTS
static void pass_points(jobs_change_t *const *changes, int count, int applied)
{
    static const char *const points[JOBS_RESTORE_RESULT + 1][2] = {
        [JOBS_INTEND] = {"intend.recorded", "intend.applied"},
        [JOBS_PROGRESS] = {"progress.before", "progress.applied"},
        [JOBS_FINISH] = {"finish.recorded", "finish.applied"},
        [JOBS_RELEASE] = {"release.before", "release.applied"}};

    for (int i = 0; i < count; i++) {
        const char *point = points[changes[i]->change][applied];

        if (point != NULL) {
            FAILPOINT(point);
        }
    }
}
#else
#define pass_points(changes, count, applied) ((void)0)
#endif

/* The connection may be made anew on the way, to a Redis that has forgotten what it then refuses: that one is
 * told, and asked again. Every change is one that may be asked for twice. */
static void apply(outbox_t *outbox, jobs_change_t *const *changes, int count, apr_pool_t *pool)
{
    tell_if_new(outbox, pool);
    jobs_result_t result = jobs_apply(outbox->connection, outbox->options.worker, changes, count, pool);
    if (!is_told(outbox)) {
        tell(outbox, pool);
        result = jobs_apply(outbox->connection, outbox->options.worker, changes, count, pool);
    }
    complain(outbox, result);
}

static int do_batch(outbox_t *outbox, apr_pool_t *pool)
{
    outbox_request_t *selected[BATCH];
    jobs_change_t *changes[BATCH];

    take_from_outbox(outbox);
    outbox->uncommitted = 0;
    turn_down_repeated(outbox, pool);
    int count = select_audited(outbox, selected);
    for (int i = 0; i < count; i++) {
        changes[i] = &selected[i]->change;
    }
    if (count > 0) {
        pass_points(changes, count, 0);
        apply(outbox, changes, count, pool);
        pass_points(changes, count, 1);
        hand_out(outbox, selected, count);
    }
    if (outbox->uncommitted) {
        commit(outbox);
    }
    return count;
}

/* Until there is something to do: more than a batch is there, something is due again, or nothing is. */
static void rest(outbox_t *outbox, int done)
{
    int is_stuck = outbox->redis_away || atomic_load(&outbox->deaf) || atomic_load(&outbox->tell);

    if (atomic_load(&outbox->stopping) || apr_queue_size(outbox->outbox) > 0) {
        return;
    }
    if (outbox->kept_count > 0 && done == BATCH && !is_stuck) {
        return;
    }
    wakeup_wait(&outbox->wakeup, outbox->kept_count > 0 || is_stuck ? AGAIN : -1);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    outbox_t *outbox = data;

    (void)thread;
    apr_pool_t *pool = NULL;
    if (oom_own_pool(&pool) != APR_SUCCESS) {
        return NULL;
    }
    while (!atomic_load(&outbox->stopping) || apr_queue_size(outbox->outbox) > 0) {
        if (atomic_exchange(&outbox->reopen, 0)) {
            reopen(outbox);
        }
        if (atomic_load(&outbox->tell)) {
            tell(outbox, pool);
        }
        int done = do_batch(outbox, pool);
        apr_pool_clear(pool);
        rest(outbox, done);
    }
    commit(outbox); /* what the last batch left */
    apr_pool_destroy(pool);
    return NULL;
}

apr_status_t outbox_start(outbox_t **outbox, const outbox_options_t *options, apr_pool_t *pool)
{
    outbox_t *made = apr_pcalloc(pool, sizeof(*made));

    made->options = *options;
    atomic_init(&made->tell, 1);
    APR_RING_INIT(&made->kept, outbox_request_t, link);
    apr_status_t rv = apr_queue_create(&made->outbox, (unsigned int)options->capacity, pool);
    if (rv == APR_SUCCESS) {
        rv = apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = wakeup_open(&made->wakeup, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = jobs_client_create(&made->connection, options->redis, REDIS_TIMEOUT, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_thread_create(&made->thread, NULL, run, made, pool);
    }
    *outbox = made;
    return rv;
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
    apr_status_t rv = apr_queue_trypush(outbox->outbox, request);

    if (rv == APR_SUCCESS) {
        wakeup_signal(&outbox->wakeup);
    }
    return rv;
}

int outbox_is_blocked(const outbox_t *outbox)
{
    return atomic_load(&outbox->deaf);
}

void outbox_reopen_audit(outbox_t *outbox)
{
    atomic_store(&outbox->reopen, 1);
    wakeup_signal(&outbox->wakeup);
}

void outbox_audit_head(outbox_t *outbox, char *text, apr_size_t room)
{
    apr_thread_mutex_lock(outbox->lock);
    apr_cpystrn(text, outbox->head, room);
    apr_thread_mutex_unlock(outbox->lock);
}
