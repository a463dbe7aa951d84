/* SPDX-License-Identifier: Apache-2.0 */
/* The worker side's verbs. */
#include "jobs/client_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"

#define RENEWED_A_CALL 150 /* keeps each call short, for Redis serves others only after it */
#define REAPS_AT_ONCE 200  /* calls; a second later the next */
#define CHANGES_A_PIPELINE 256

/* ---- claim --------------------------------------------------------------------------------------------- */

static void task_of_reply(jobs_task_t *task, const redisReply *reply, apr_time_t lease_until)
{
    task->ref.job = jobs_text_at(reply, 0);
    task->ref.system = jobs_text_at(reply, 1);
    task->ref.fence = jobs_text_at(reply, 2);
    task->taken_over = (int)jobs_number_at(reply, 3);
    task->intent = task->taken_over ? jobs_text_at(reply, 4) : NULL;
    task->marks = task->taken_over ? jobs_marks_parse(jobs_text_at(reply, 8)) : 0;
    task->caller = jobs_text_at(reply, 5);
    task->peer = jobs_text_at(reply, 6);
    task->mechanism = jobs_text_at(reply, 7);
    task->lease_until = lease_until;
}

static jobs_call_t *claim_call(const char *worker, const char *digest, int max,
                               const apr_array_header_t *limits, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_verb("claim", pool);

    jobs_call_text(call, worker);
    jobs_call_text(call, digest);
    jobs_call_number(call, max);
    jobs_call_not_after(call);
    jobs_call_number(call, JOBS_LEASE);
    for (int i = 0; limits != NULL && i < limits->nelts; i++) {
        const jobs_rate_limit_t *limit = &APR_ARRAY_IDX(limits, i, jobs_rate_limit_t);

        jobs_call_text(call, limit->group);
        jobs_call_number(call, limit->interval);
    }
    return call;
}

jobs_result_t jobs_claim(jobs_client_t *client, const char *worker, const char *digest, int max,
                         const apr_array_header_t *limits, apr_array_header_t **tasks, int *more,
                         apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = claim_call(worker, digest, max, limits, pool);
    const redisReply *claimed;
    apr_time_t sent = clock_boottime();
    jobs_result_t result;

    FAILPOINT("claim.before");
    result = jobs_client_ask(client, call, 0, &reply, pool);
    *tasks = apr_array_make(pool, max > 0 ? max : 1, sizeof(jobs_task_t));
    *more = 0;
    if (result.outcome == JOBS_REFUSED && !strcmp(result.text, "inventory")) {
        result.text =
            "another worker published other settings, inventory, CA or image: are this one's older? Bring the same to "
            "all workers, and reload them";
    }
    if (result.outcome != JOBS_OK) {
        return result;
    }
    *more = (int)jobs_number_at(reply, 1);
    claimed = jobs_element(reply, 2);
    for (size_t i = 0; claimed != NULL && i < claimed->elements; i++) {
        task_of_reply(apr_array_push(*tasks), claimed->element[i], sent + JOBS_LEASE);
    }
    if ((*tasks)->nelts > 0 && FAILPOINT_FAILS("claim.answered")) { /* as if the answer had never come */
        apr_array_clear(*tasks);
        return jobs_result(JOBS_UNAVAILABLE, "the answer to a claim was lost");
    }
    return result;
}

/* ---- renew --------------------------------------------------------------------------------------------- */

/* `last`: every task that the worker has is named by this call, or was by those before. */
static jobs_call_t *renew_verb(const char *worker, const char *about, int last, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_verb("renew", pool);

    jobs_call_text(call, worker);
    jobs_call_text(call, about);
    jobs_call_number(call, last);
    jobs_call_number(call, JOBS_LEASE);
    return call;
}

jobs_result_t jobs_beat(jobs_client_t *client, const char *worker, const char *about, apr_pool_t *pool)
{
    redisReply *reply = NULL;

    return jobs_client_ask(client, renew_verb(worker, about, 0, pool), 0, &reply, pool);
}

static jobs_call_t *renew_call(const char *worker, const char *about, const apr_array_header_t *tasks,
                               int first, int after, apr_pool_t *pool)
{
    jobs_call_t *call = renew_verb(worker, about, after == tasks->nelts, pool);

    for (int i = first; i < after; i++) {
        const jobs_task_ref_t *task = &APR_ARRAY_IDX(tasks, i, jobs_task_ref_t);

        jobs_call_text(call, task->job);
        jobs_call_text(call, task->system);
        jobs_call_text(call, task->fence);
    }
    return call;
}

jobs_result_t jobs_renew(jobs_client_t *client, const char *worker, const char *about,
                         const apr_array_header_t *tasks, apr_array_header_t **lost, apr_time_t *lease_until,
                         apr_pool_t *pool)
{
    apr_time_t sent = clock_boottime();
    jobs_result_t result;
    int first = 0, looked;

    *lost = apr_array_make(pool, 4, sizeof(jobs_task_ref_t));
    do {
        int after = first + RENEWED_A_CALL < tasks->nelts ? first + RENEWED_A_CALL : tasks->nelts;
        redisReply *reply = NULL;
        const redisReply *gone;

        if (tasks->nelts > 0) {
            FAILPOINT("renew.before");
        }
        result =
            jobs_client_ask(client, renew_call(worker, about, tasks, first, after, pool), 0, &reply, pool);
        if (result.outcome != JOBS_OK) {
            return result;
        }
        gone = jobs_element(reply, 1);
        for (size_t i = 0; gone != NULL && i < gone->elements; i++) {
            jobs_task_ref_t *task = apr_array_push(*lost);

            task->job = jobs_text_at(gone->element[i], 0);
            task->system = jobs_text_at(gone->element[i], 1);
            task->fence = jobs_text_at(gone->element[i], 2);
        }
        looked = (int)jobs_number_at(reply, 2);
        first = looked > 0 && looked < after - first ? first + looked : after;
    } while (first < tasks->nelts);
    if (tasks->nelts > 0) {
        FAILPOINT("renew.answered");
    }
    *lease_until = sent + JOBS_LEASE;
    return result;
}

/* ---- changes ------------------------------------------------------------------------------------------- */

/* Names of the functions in Redis, whose keys ACL files hold and which therefore do not change. */
static const char *const change_verbs[JOBS_CHANGES] = {
    [JOBS_INTEND] = "intend",           [JOBS_MARK] = "mark",
    [JOBS_POWER_RATE] = "ramp",         [JOBS_PROGRESS] = "progress",
    [JOBS_FINISH] = "finish",           [JOBS_RELEASE] = "release",
    [JOBS_RESTORE_INTENT] = "reassert", [JOBS_RESTORE_RESULT] = "attest",
};

/* These come too late once their sender has given them up. */
static int is_in_time_only(jobs_change_e change)
{
    return change == JOBS_INTEND || change == JOBS_MARK;
}

static int carries_result(jobs_change_e change)
{
    return change == JOBS_FINISH || change == JOBS_RESTORE_RESULT;
}

static int has_kept_all(const jobs_client_t *client, const jobs_change_t *change)
{
    return change->run_id != NULL && strcmp(change->run_id, jobs_client_run_id(client)) == 0 &&
           strcmp(change->history, jobs_client_history(client)) == 0;
}

/* For the Redis that the client is connected to. */
static jobs_call_t *change_call(const jobs_client_t *client, const char *worker, jobs_change_t *change,
                                apr_pool_t *pool)
{
    jobs_call_t *call = jobs_verb(change_verbs[change->change], pool);

    jobs_call_text(call, worker);
    jobs_call_text(call, change->task.job);
    jobs_call_text(call, change->task.system);
    jobs_call_text(call, change->task.fence);
    jobs_call_text(call, change->step);
    if (is_in_time_only(change->change)) {
        jobs_call_not_after(call);
    }
    if (change->change == JOBS_MARK) {
        jobs_call_text(call, jobs_mark_word(change->mark));
    }
    if (change->change == JOBS_INTEND || change->change == JOBS_RESTORE_INTENT) {
        jobs_call_number(call, change->step_deadline);
        jobs_call_text(call, change->device);
        jobs_call_text(call, change->intent);
    }
    if (change->change == JOBS_RESTORE_INTENT) {
        jobs_call_text(call, jobs_marks_words(change->marks, pool));
        change->kept = has_kept_all(client, change) != 0;
        jobs_call_number(call, change->kept);
    }
    if (change->change == JOBS_POWER_RATE) {
        jobs_call_text(call, change->group);
        jobs_call_number(call, change->interval);
    }
    if (change->change == JOBS_PROGRESS || carries_result(change->change)) {
        jobs_call_bytes(call, apr_pstrmemdup(pool, &change->state, 1), 1);
    }
    if (carries_result(change->change)) {
        jobs_call_text(call, change->state == 'F' ? jobs_reason(change->reason)->code : "");
    }
    if (change->change == JOBS_FINISH && change->blameless) {
        jobs_call_text(call, "blameless");
    }
    return call;
}

/* Takes the answers to changes that were sent; how many came. */
static int take_answers(jobs_client_t *client, jobs_change_t *const *changes, int count, apr_time_t deadline,
                        const char **why, apr_pool_t *pool)
{
    redis_conn_t *conn = jobs_client_conn(client);
    int answered = 0;
    int is_over = 0; /* the connection's use */

    for (; answered < count; answered++) {
        jobs_change_t *change = changes[answered];
        redis_conn_e outcome;
        int late = 0;
        const redisReply *reply = redis_conn_take(conn, deadline, &outcome, why, pool);

        if (reply == NULL) {
            break;
        }
        change->result = jobs_answer(reply, &late, pool);
        if (change->change == JOBS_POWER_RATE) {
            change->wait = jobs_number_at(reply, 1);
        }
        if (change->change == JOBS_RESTORE_INTENT) {
            change->kept_marks = apr_pstrdup(pool, jobs_text_at(reply, 2));
        }
        is_over |= late || jobs_is_from_replica(reply);
    }
    if (is_over) { /* Redis' clock may have been set: the next connection learns it */
        redis_conn_close(conn);
    }
    return answered;
}

/* One pipeline: all calls leave together, the answers come back in their order. */
static jobs_result_t apply_some(jobs_client_t *client, const char *worker, jobs_change_t *const *changes,
                                int count, apr_pool_t *pool)
{
    redis_conn_t *conn = jobs_client_conn(client);
    jobs_result_t ready = jobs_connect(client, pool);
    apr_time_t deadline = clock_boottime() + jobs_client_timeout(client);
    const char *why = ready.outcome == JOBS_OK ? "out of memory" : ready.text;
    int answered = 0;

    for (int i = 0; ready.outcome == JOBS_OK && i < count; i++) {
        if (!redis_conn_put(conn, change_call(client, worker, changes[i], pool), deadline)) {
            redis_conn_close(conn);
            ready.outcome = JOBS_UNAVAILABLE;
        }
    }
    if (ready.outcome == JOBS_OK) {
        answered = take_answers(client, changes, count, deadline, &why, pool);
    }
    if (answered == count) {
        return JOBS_FINE;
    }
    for (int i = answered; i < count; i++) {
        changes[i]->result = jobs_result(JOBS_UNAVAILABLE, why);
    }
    return jobs_result(JOBS_UNAVAILABLE, why);
}

jobs_result_t jobs_apply(jobs_client_t *client, const char *worker, jobs_change_t *const *changes, int count,
                         apr_pool_t *pool)
{
    jobs_result_t whole = JOBS_FINE;

    for (int first = 0; first < count; first += CHANGES_A_PIPELINE) {
        int some = count - first < CHANGES_A_PIPELINE ? count - first : CHANGES_A_PIPELINE;
        jobs_result_t result = apply_some(client, worker, changes + first, some, pool);

        if (result.outcome != JOBS_OK) {
            whole = result;
        }
    }
    return whole;
}

int jobs_is_decided(jobs_outcome_e outcome)
{
    return outcome == JOBS_OK || outcome == JOBS_ALREADY || outcome == JOBS_NOT_FOUND ||
           outcome == JOBS_REFUSED;
}

int jobs_is_spoilt(const jobs_result_t *result)
{
    return result->outcome == JOBS_BROKEN && strstr(result->text, "WRONGTYPE") != NULL;
}

/* ---- reap and the bell --------------------------------------------------------------------------------- */

jobs_result_t jobs_reap(jobs_client_t *client, const char *worker, int *reaped, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_verb("reap", pool);
    jobs_result_t result;
    int more, calls = 0;

    *reaped = 0;
    jobs_call_text(call, worker);
    jobs_call_number(call, JOBS_LEASE);
    jobs_call_number(call, JOBS_GRACE);
    do {
        redisReply *reply = NULL;

        FAILPOINT("reap.before");
        result = jobs_client_ask(client, call, 0, &reply, pool);
        FAILPOINT("reap.answered");
        *reaped += result.outcome == JOBS_OK ? (int)jobs_number_at(reply, 1) : 0;
        more = result.outcome == JOBS_OK && jobs_number_at(reply, 2) != 0;
    } while (more && ++calls < REAPS_AT_ONCE);
    return result;
}

jobs_result_t jobs_bell_wait(jobs_client_t *client, apr_interval_time_t timeout, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("BLPOP", pool);
    apr_int64_t ms = timeout > 1000 ? apr_time_as_msec(timeout) : 1; /* 0 would mean "for ever" to Redis */
    jobs_result_t result;

    call->reply_most = JOBS_REPLY_MOST_BELL; /* httpd's user writes what is taken here */
    jobs_call_text(call, JOBS_KEY("bell"));
    jobs_call_text(call, apr_psprintf(pool, "%" APR_INT64_T_FMT ".%03d", ms / 1000, (int)(ms % 1000)));
    result = jobs_client_ask(client, call, timeout, &reply, pool);
    if (reply != NULL && (reply->type == REDIS_REPLY_NIL || reply->type == REDIS_REPLY_ARRAY)) {
        return JOBS_FINE;
    }
    return result;
}
