/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's verbs. */
#include "jobs/pool_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "jobs/id_priv.h"

static const char *caller_owner(const jobs_caller_t *caller, apr_pool_t *pool)
{
    return jobs_sha256(caller->name, pool);
}

static int is_id(const char *id)
{
    return strlen(id) == JOBS_ID_LENGTH && strspn(id, "abcdefghijklmnopqrstuvwxyz234567") == JOBS_ID_LENGTH;
}

/* A verb of this caller that reads; it may be sent twice. */
static jobs_call_t *caller_verb(const char *name, const jobs_caller_t *caller, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_verb(name, pool);

    call->repeatable = 1;
    jobs_call_digest(call, caller_owner(caller, pool));
    return call;
}

static jobs_call_t *changing_verb(const char *name, const jobs_caller_t *caller, int repeatable,
                                  apr_pool_t *pool)
{
    jobs_call_t *call = caller_verb(name, caller, pool);

    call->changes = 1;
    call->repeatable = repeatable;
    return call;
}

/* A verb that reads one job; NULL for an id that no job can have. */
static jobs_call_t *reading_verb(const char *name, const jobs_caller_t *caller, const char *id,
                                 apr_pool_t *pool)
{
    jobs_call_t *call;

    if (id != NULL && !is_id(id)) {
        return NULL;
    }
    call = caller_verb(name, caller, pool);
    jobs_call_number(call, caller->reads_all ? 1 : 0);
    jobs_call_text(call, id);
    return call;
}

static jobs_result_t not_found_result(void)
{
    return jobs_result(JOBS_NOT_FOUND, "no such job, or another caller's");
}

/* ---- submit -------------------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The same UUID with the same set of systems, however written, ordered or repeated, is the same request.
 * Gives two digests, of the UUID and of both together; "" if the request has no UUID; NULL without memory. */
static const char *request_digest(const jobs_submission_t *submission, apr_pool_t *pool)
{
    int count = submission->names->nelts;
    apr_array_header_t *sorted = apr_array_make(pool, count + 1, sizeof(const char *));
    apr_array_header_t *texts = apr_array_make(pool, count + 1, sizeof(const char *));
    const char *id_digest, *whole;

    if (submission->message_id == NULL) {
        return "";
    }
    for (int i = 0; i < count; i++) {
        APR_ARRAY_PUSH(sorted, const char *) = APR_ARRAY_IDX(submission->names, i, jobs_name_t).key;
    }
    qsort(sorted->elts, (size_t)sorted->nelts, sizeof(const char *), compare_texts);
    APR_ARRAY_PUSH(texts, const char *) = submission->message_id;
    for (int i = 0; i < count; i++) {
        const char *key = APR_ARRAY_IDX(sorted, i, const char *);

        if (i == 0 || strcmp(key, APR_ARRAY_IDX(sorted, i - 1, const char *)) != 0) {
            APR_ARRAY_PUSH(texts, const char *) = key;
        }
    }
    id_digest = jobs_sha256(submission->message_id, pool);
    whole = jobs_sha256_all(texts, pool);
    return id_digest != NULL && whole != NULL ? apr_pstrcat(pool, id_digest, "/", whole, NULL) : NULL;
}

static jobs_call_t *submit_call(const jobs_caller_t *caller, const jobs_submission_t *submission,
                                const char *id, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_verb("submit", pool);

    call->changes = call->repeatable =
        1; /* the id is made here: a second arrival finds the job of the first */
    jobs_call_text(call, id);
    jobs_call_text(call, caller->name);
    jobs_call_digest(call, caller_owner(caller, pool));
    jobs_call_text(call, caller->peer);
    jobs_call_text(call, caller->mechanism);
    jobs_call_digest(call, request_digest(submission, pool));
    jobs_call_not_after(call);
    jobs_call_number(call, submission->retention);
    jobs_call_number(call, submission->start_within);
    jobs_call_limits(call, submission->limits.jobs, submission->limits.kept);
    jobs_call_limits(call, submission->limits.systems, submission->limits.names);
    jobs_call_number(call, caller->groups != NULL ? caller->groups->nelts : 0);
    for (int i = 0; caller->groups != NULL && i < caller->groups->nelts; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(caller->groups, i, const char *));
    }
    for (int i = 0; i < submission->names->nelts; i++) {
        const jobs_name_t *name = &APR_ARRAY_IDX(submission->names, i, jobs_name_t);

        jobs_call_text(call, name->spelling);
        jobs_call_text(call, name->key);
    }
    return call;
}

jobs_result_t jobs_submit(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_submission_t *submission,
                          const char **id, jobs_match_e *match, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    const char *fresh = jobs_new_id(pool);
    jobs_result_t result;

    if (fresh == NULL) {
        return jobs_result(JOBS_UNAVAILABLE, "the operating system gives no random numbers");
    }
    FAILPOINT("submit.before");
    result = jobs_pool_ask(jobs, submit_call(caller, submission, fresh, pool), &reply, pool);
    FAILPOINT("submit.answered");
    if (result.outcome == JOBS_OK) {
        *id = jobs_text_at(reply, 1);
        if (match != NULL) {
            *match = (jobs_match_e)jobs_number_at(reply, 2);
        }
        result.text = jobs_text_at(reply, 3);
    }
    return result;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static const char *const attendance_words[] = {[JOBS_ATTENDED] = "1",
                                               [JOBS_NOBODY] = "0",
                                               [JOBS_INVENTORY] = "inventory",
                                               [JOBS_RECORD] = "record",
                                               [JOBS_RESTART] = "restart"};

const char *jobs_attendance_word(jobs_attendance_e attendance)
{
    return attendance > JOBS_NOBODY ? attendance_words[attendance] : NULL;
}

static jobs_attendance_e attendance_of(const char *word)
{
    for (int i = JOBS_NOBODY; i <= JOBS_RESTART; i++) {
        if (strcmp(word, attendance_words[i]) == 0) {
            return (jobs_attendance_e)i;
        }
    }
    return JOBS_ATTENDED;
}

static jobs_job_t *job_of_reply(const redisReply *reply, apr_pool_t *pool)
{
    jobs_job_t *job = apr_pcalloc(pool, sizeof(*job));

    job->id = jobs_text_at(reply, 1);
    job->state = (jobs_state_e)jobs_number_at(reply, 2);
    job->caller = jobs_text_at(reply, 3);
    job->submitted = jobs_number_at(reply, 4);
    job->started = jobs_number_at(reply, 5);
    job->changed = jobs_number_at(reply, 6);
    job->completed = jobs_number_at(reply, 7);
    job->now = jobs_number_at(reply, 8);
    job->retention = jobs_number_at(reply, 9);
    job->total = (int)jobs_number_at(reply, 10);
    job->unlocked = (int)jobs_number_at(reply, 11);
    job->failed = (int)jobs_number_at(reply, 12);
    job->running = (int)jobs_number_at(reply, 13);
    job->waiting = (int)jobs_number_at(reply, 14);
    job->cancelled = (int)jobs_number_at(reply, 15);
    job->attendance = attendance_of(jobs_text_at(reply, 16));
    return job;
}

jobs_result_t jobs_read(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, jobs_job_t **job,
                        apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = reading_verb("read", caller, id, pool);
    jobs_result_t result;

    if (call == NULL) {
        return not_found_result();
    }
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome == JOBS_OK) {
        *job = job_of_reply(reply, pool);
    }
    return result;
}

jobs_result_t jobs_read_page(jobs_pool_t *jobs, const jobs_caller_t *caller, const apr_array_header_t *ids,
                             apr_hash_t **found, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = caller_verb("read_page", caller, pool);
    const redisReply *page;
    jobs_result_t result;

    *found = apr_hash_make(pool);
    jobs_call_number(call, caller->reads_all ? 1 : 0);
    for (int i = 0; i < ids->nelts && i < JOBS_READ_MOST; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(ids, i, const char *));
    }
    result = jobs_pool_ask(jobs, call, &reply, pool);
    page = result.outcome == JOBS_OK ? jobs_element(reply, 1) : NULL;
    for (size_t i = 0; page != NULL && page->type == REDIS_REPLY_ARRAY && i < page->elements; i++) {
        if (strcmp(jobs_text_at(page->element[i], 0), "ok") == 0) {
            jobs_job_t *job = job_of_reply(page->element[i], pool);

            apr_hash_set(*found, job->id, APR_HASH_KEY_STRING, job);
        }
    }
    return result;
}

/* A reading verb that takes a window of the request's names. */
static jobs_call_t *window_verb(const char *verb, const jobs_caller_t *caller, const char *id, int first,
                                int count, apr_pool_t *pool)
{
    jobs_call_t *call = reading_verb(verb, caller, id, pool);

    if (call != NULL) {
        call->reply_most = JOBS_REPLY_MOST_NAMES;
        jobs_call_number(call, first < 0 ? 0 : first);
        jobs_call_number(call, count);
    }
    return call;
}

jobs_result_t jobs_results(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, int first,
                           int count, jobs_results_t **results, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = window_verb("results", caller, id, first, count, pool);
    jobs_result_t result;

    if (call == NULL) {
        return not_found_result();
    }
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome != JOBS_OK) {
        return result;
    }
    *results = apr_pcalloc(pool, sizeof(**results));
    (*results)->unlocked = jobs_texts(jobs_element(reply, 1), 0, pool);
    (*results)->failed = jobs_texts(jobs_element(reply, 2), 0, pool);
    return result;
}

jobs_result_t jobs_errors(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, int first,
                          int count, apr_array_header_t **errors, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = window_verb("errors", caller, id, first, count, pool);
    jobs_result_t result;

    if (call == NULL) {
        return not_found_result();
    }
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome != JOBS_OK) {
        return result;
    }
    *errors = apr_array_make(pool, (int)reply->elements / 3 + 1, sizeof(jobs_error_t));
    for (size_t i = 1; i + 2 < reply->elements; i += 3) {
        jobs_error_t *error = apr_array_push(*errors);

        error->name = jobs_text_at(reply, i);
        error->step = jobs_text_at(reply, i + 1);
        error->reason = jobs_reason_of_code(jobs_text_at(reply, i + 2));
    }
    return result;
}

jobs_result_t jobs_list(jobs_pool_t *jobs, const jobs_caller_t *caller, apr_array_header_t **ids,
                        apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = caller_verb("list", caller, pool);
    jobs_result_t result;

    jobs_call_number(call, caller->reads_all ? 1 : 0);
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome == JOBS_OK) {
        *ids = jobs_texts(reply, 1, pool);
    }
    return result;
}

/* ---- changing ------------------------------------------------------------------------------------------ */

/* "The job has ended" to a cancel that was sent twice: the first may be what ended it. */
static jobs_result_t repeated_cancel_result(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id,
                                            jobs_result_t conflict, apr_pool_t *pool)
{
    jobs_job_t *job = NULL;
    jobs_result_t result = jobs_read(jobs, caller, id, &job, pool);

    if (job == NULL) {
        return jobs_result(JOBS_UNKNOWN, result.text);
    }
    return job->cancelled ? JOBS_FINE : conflict;
}

jobs_result_t jobs_cancel(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = changing_verb("cancel", caller, 1, pool);
    jobs_result_t result;

    if (!is_id(id)) {
        return not_found_result();
    }
    jobs_call_text(call, id);
    jobs_call_not_after(call);
    result = jobs_pool_ask(jobs, call, &reply, pool);
    return result.outcome == JOBS_CONFLICT && call->repeated
               ? repeated_cancel_result(jobs, caller, id, result, pool)
               : result;
}

jobs_result_t jobs_forget(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    /* a second one would say "no such job" of the job that the first has deleted */
    jobs_call_t *call = changing_verb("forget", caller, 0, pool);

    if (!is_id(id)) {
        return not_found_result();
    }
    jobs_call_text(call, id);
    return jobs_pool_ask(jobs, call, &reply, pool);
}

/* ---- enumerations in progress -------------------------------------------------------------------------- */

jobs_result_t jobs_context_open(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *fields,
                                const apr_array_header_t *items, int expires_seconds,
                                const jobs_limits_t *limits, const char **id, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = changing_verb("context_open", caller, 1, pool);
    const char *fresh = jobs_new_id(pool);
    jobs_result_t result;

    if (fresh == NULL) {
        return jobs_result(JOBS_UNAVAILABLE, "the operating system gives no random numbers");
    }
    jobs_call_text(call, fresh);
    jobs_call_number(call, expires_seconds > 0 ? expires_seconds : 1);
    jobs_call_limits(call, limits->contexts, limits->names);
    jobs_call_text(call, fields);
    for (int i = 0; i < items->nelts; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(items, i, const char *));
    }
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome == JOBS_OK) {
        *id = fresh;
    }
    return result;
}

jobs_result_t jobs_context_pull(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, int count,
                                const char **fields, apr_array_header_t **items, int *more, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    /* a second one would skip what the first has given */
    jobs_call_t *call = changing_verb("context_pull", caller, 0, pool);
    jobs_result_t result;

    if (!is_id(id)) {
        return jobs_result(JOBS_NOT_FOUND, "no such enumeration");
    }
    jobs_call_text(call, id);
    jobs_call_number(call, count > 0 ? count : 1);
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome == JOBS_OK) {
        *fields = jobs_text_at(reply, 1);
        *more = (int)jobs_number_at(reply, 2);
        *items = jobs_texts(jobs_element(reply, 3), 0, pool);
    }
    return result;
}

jobs_result_t jobs_context_release(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id,
                                   apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = changing_verb("context_release", caller, 0, pool);

    if (!is_id(id)) {
        return jobs_result(JOBS_NOT_FOUND, "no such enumeration");
    }
    jobs_call_text(call, id);
    return jobs_pool_ask(jobs, call, &reply, pool);
}

/* ---- overview ------------------------------------------------------------------------------------------ */

static apr_array_header_t *counters_of_reply(const redisReply *flat, apr_pool_t *pool)
{
    apr_array_header_t *counters = apr_array_make(pool, 16, sizeof(jobs_counter_t));

    for (size_t i = 0; flat != NULL && i + 1 < flat->elements; i += 2) {
        jobs_counter_t *counter = apr_array_push(counters);

        counter->name = jobs_text_at(flat, i);
        counter->value = (apr_uint64_t)jobs_number_at(flat, i + 1);
    }
    return counters;
}

jobs_result_t jobs_overview(jobs_pool_t *jobs, jobs_overview_t **overview, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_verb("overview", pool);
    jobs_overview_t *read;
    jobs_result_t result;

    call->repeatable = 1;
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome != JOBS_OK) {
        return result;
    }
    read = apr_pcalloc(pool, sizeof(*read));
    read->jobs_unfinished = (int)jobs_number_at(reply, 1);
    read->systems_waiting = (int)jobs_number_at(reply, 2);
    read->systems_leased = (int)jobs_number_at(reply, 3);
    read->inventory_systems = (int)jobs_number_at(reply, 4);
    read->inventory_published = jobs_number_at(reply, 5);
    read->inventory_digest = jobs_text_at(reply, 6);
    read->now = jobs_number_at(reply, 7);
    read->workers = jobs_texts(jobs_element(reply, 8), 0, pool);
    read->counters = counters_of_reply(jobs_element(reply, 9), pool);
    *overview = read;
    return result;
}
