/* SPDX-License-Identifier: Apache-2.0 */
/* Submissions. Few names are one call. Many come in parts, which are nothing until the last call makes a job of them: so
 * whatever happens in between, nothing was done. */
#include "jobs/caller_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "jobs/id_priv.h"

#define NAMES_A_CALL 150 /* VALUES_A_CALL of lua/core.lua at most; each is looked up and written twice */
#define CALLS_AT_ONCE 2  /* parts that one write to the disk serves; others wait for all of them */
#define TRIES 3          /* of parts, which may be sent again */

typedef struct {
    jobs_pool_t *jobs;
    const jobs_caller_t *caller;
    const jobs_submission_t *wanted;
    const char *id;      /* of the job to be */
    const char *digests; /* of the message id and the names */
    apr_time_t give_up;  /* by clock_boottime() */
} submit_t;

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

/* Names of one call. With failpoints also few names come in parts, so that what strikes between two is tried; two do
 * not. */
static int names_a_call(int names)
{
#ifdef AMTUNLOCK_FAULTS
    names = names > 2 ? names / 3 + 1 : names;
#endif
    return names > 0 && names < NAMES_A_CALL ? names : NAMES_A_CALL;
}

static void call_add_head(jobs_call_t *call, const submit_t *submit)
{
    const jobs_submission_t *wanted = submit->wanted;

    jobs_call_text(call, submit->id);
    jobs_call_text(call, submit->caller->name);
    jobs_call_digest(call, jobs_owner(submit->caller, call->pool));
    jobs_call_text(call, submit->caller->peer);
    jobs_call_text(call, submit->caller->mechanism);
    jobs_call_digest(call, submit->digests);
    jobs_call_not_after(call);
    jobs_call_number(call, wanted->retention);
    jobs_call_number(call, wanted->start_within);
    jobs_call_limits(call, wanted->limits.jobs, wanted->limits.kept);
    jobs_call_limits(call, wanted->limits.systems, wanted->limits.names);
}

/* Names `first` to before `after` in one call; the last ones make the job. */
static jobs_call_t *submit_call(const submit_t *submit, int first, int after, apr_pool_t *pool)
{
    const apr_array_header_t *names = submit->wanted->names, *groups = submit->caller->groups;
    jobs_call_t *call = jobs_verb(after == names->nelts ? "submit" : "submit_part", pool);

    call->repeatable = 1; /* the id is made here: a second arrival finds what the first did */
    call->changes = after == names->nelts;
    call->give_up = submit->give_up;
    call_add_head(call, submit);
    jobs_call_limits(call, first, names->nelts);
    jobs_call_number(call, groups != NULL ? groups->nelts : 0);
    for (int i = 0; groups != NULL && i < groups->nelts; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(groups, i, const char *));
    }
    for (int i = first; i < after; i++) {
        const jobs_name_t *name = &APR_ARRAY_IDX(names, i, jobs_name_t);

        jobs_call_text(call, name->spelling);
        jobs_call_text(call, strcmp(name->key, name->spelling) != 0 ? name->key : "");
    }
    return call;
}

/* The same in parts, behind each other. A part whose forerunner was not taken is not taken either. */
static jobs_call_t *submit_calls(const submit_t *submit, int first, int after, int most, apr_pool_t *pool)
{
    jobs_call_t *calls = NULL, **next = &calls;

    do {
        int till = after - first > most ? first + most : after;

        *next = submit_call(submit, first, till, pool);
        next = &(*next)->behind;
        first = till;
    } while (first < after);
    return calls;
}

static jobs_result_t submit_names(const submit_t *submit, int first, int after, int most, redisReply **reply,
                                  apr_pool_t *pool)
{
    jobs_call_t *call = submit_calls(submit, first, after, most, pool);
    int is_last = after == submit->wanted->names->nelts;
    int tries = first == 0 && is_last ? 1 : TRIES;
    jobs_result_t result;

    do {
        *reply = NULL;
        result = jobs_pool_ask(submit->jobs, call, reply, pool);
        tries -= !jobs_is_again(*reply);
    } while (result.outcome == JOBS_UNAVAILABLE && (tries > 0 || jobs_is_again(*reply)) &&
             clock_boottime() < submit->give_up);
    /* The parts before are gone, in which nothing was done. */
    if (result.outcome == JOBS_CONFLICT || (result.outcome == JOBS_ALREADY && is_last)) {
        result.outcome = JOBS_UNAVAILABLE;
    }
    return result;
}

/* After which name the calls end that begin with `first`. The one that makes the job goes alone, since its caller waits
 * longer for what may be done. */
static int end_of_calls(int first, int count, int most)
{
    int parts = (count - first - 1) / most;

    return parts <= 0 ? count : first + most * (parts < CALLS_AT_ONCE ? parts : CALLS_AT_ONCE);
}

/* *reply: the last one, or an earlier one that says which job it is. */
static jobs_result_t submit_all(const submit_t *submit, redisReply **reply, apr_pool_t *pool)
{
    int count = submit->wanted->names->nelts, most = names_a_call(count);
    jobs_result_t result;
    int after = 0;

    do {
        int first = after;

        after = end_of_calls(first, count, most);
        result = submit_names(submit, first, after, most, reply, pool);
        FAILPOINT("submit.part");
    } while (after < count && (result.outcome == JOBS_ALREADY || result.outcome == JOBS_OK) &&
             *jobs_text_at(*reply, 1) == '\0');
    return result;
}

jobs_result_t jobs_submit(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_submission_t *submission,
                          const char **id, jobs_match_e *match, apr_pool_t *pool)
{
    submit_t submit = {.jobs = jobs, .caller = caller, .wanted = submission, .id = jobs_new_id(pool)};
    redisReply *reply = NULL;
    jobs_result_t result;

    if (submit.id == NULL) {
        return jobs_result(JOBS_UNAVAILABLE, "the operating system gives no random numbers");
    }
    submit.digests = request_digest(submission, pool);
    submit.give_up = jobs_pool_give_up(jobs);
    FAILPOINT("submit.before");
    result = submit_all(&submit, &reply, pool);
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
