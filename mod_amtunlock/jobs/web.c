/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's verbs, but for those that read jobs. */
#include "jobs/caller_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "jobs/id_priv.h"

static jobs_call_t *changing_verb(const char *name, const jobs_caller_t *caller, int repeatable,
                                  apr_pool_t *pool)
{
    jobs_call_t *call = jobs_caller_verb(name, caller, pool);

    call->changes = 1;
    call->repeatable = repeatable;
    return call;
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
    jobs_call_digest(call, jobs_owner(caller, pool));
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

/* ---- listing ------------------------------------------------------------------------------------------- */

jobs_result_t jobs_list(jobs_pool_t *jobs, const jobs_caller_t *caller, apr_array_header_t **ids,
                        apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_caller_verb("list", caller, pool);
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

    if (!jobs_is_id(id)) {
        return jobs_no_such_job();
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

    if (!jobs_is_id(id)) {
        return jobs_no_such_job();
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

    if (!jobs_is_id(id)) {
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

    if (!jobs_is_id(id)) {
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
