/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's verbs, but for those that read jobs. */
#include "jobs/caller_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "jobs/id_priv.h"

static jobs_call_t *changing_verb(const char *name, const jobs_caller_t *caller, int repeatable,
                                  apr_pool_t *pool)
{
    jobs_call_t *call = jobs_caller_verb(name, caller, pool);

    call->changes = 1;
    call->repeatable = repeatable;
    return call;
}

/* ---- lists --------------------------------------------------------------------------------------------- */

#define OWNERS_MOST 1000

typedef struct {
    const char *id;
    apr_time_t submitted;
} listed_t;

typedef struct {
    jobs_pool_t *jobs;
    const jobs_caller_t *caller;
    apr_array_header_t *found; /* listed_t */
    apr_hash_t *seen;          /* by id: a job that came while pages are read moves the others */
    apr_pool_t *pool;
} listing_t;

/* One call for owners (const char *) from *next on; NULL: of the caller alone. *till: from when on the next one's jobs are
 * still to be listed. */
static jobs_result_t list_page(const listing_t *listing, const apr_array_header_t *owners, int *next,
                               const char **till)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_caller_verb("list", listing->caller, listing->pool);
    jobs_result_t result;

    jobs_call_number(call, owners != NULL);
    jobs_call_text(call, *till);
    for (int i = *next; owners != NULL && i < owners->nelts && i < *next + JOBS_CHANGES_A_CALL; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(owners, i, const char *));
    }
    result = jobs_pool_ask(listing->jobs, call, &reply, listing->pool);
    if (result.outcome != JOBS_OK) {
        return result;
    }
    for (size_t i = 3; i + 1 < reply->elements; i += 2) {
        listed_t job = {jobs_text_at(reply, i), jobs_number_at(reply, i + 1)};

        if (apr_hash_get(listing->seen, job.id, APR_HASH_KEY_STRING) == NULL) {
            apr_hash_set(listing->seen, job.id, APR_HASH_KEY_STRING, job.id);
            APR_ARRAY_PUSH(listing->found, listed_t) = job;
        }
    }
    /* the same again: it would never end */
    *next += jobs_number_at(reply, 1) == 0 && strcmp(*till, jobs_text_at(reply, 2)) == 0
                 ? 1
                 : (int)jobs_number_at(reply, 1);
    *till = jobs_text_at(reply, 2);
    return result;
}

/* The owners of jobs: the latest OWNERS_MOST. */
static jobs_result_t list_owners(const listing_t *listing, apr_array_header_t *owners)
{
    jobs_result_t result;
    int before;

    do {
        redisReply *reply = NULL;
        jobs_call_t *call = jobs_caller_verb("list", listing->caller, listing->pool);

        before = owners->nelts;
        jobs_call_number(call, 1);
        jobs_call_number(call, before);
        result = jobs_pool_ask(listing->jobs, call, &reply, listing->pool);
        if (result.outcome == JOBS_OK) {
            apr_array_cat(owners, jobs_texts(reply, 3, listing->pool));
        }
    } while (result.outcome == JOBS_OK && owners->nelts > before && owners->nelts < OWNERS_MOST);
    return result;
}

static int compare_listed(const void *a, const void *b)
{
    const listed_t *one = a, *other = b;

    if (one->submitted != other->submitted) {
        return one->submitted < other->submitted ? 1 : -1;
    }
    return strcmp(other->id, one->id);
}

jobs_result_t jobs_list(jobs_pool_t *jobs, const jobs_caller_t *caller, apr_array_header_t **ids,
                        apr_pool_t *pool)
{
    apr_array_header_t *owners = caller->reads_all ? apr_array_make(pool, 16, sizeof(const char *)) : NULL;
    listing_t listing = {jobs, caller, apr_array_make(pool, 64, sizeof(listed_t)), apr_hash_make(pool), pool};
    jobs_result_t result = owners != NULL ? list_owners(&listing, owners) : JOBS_FINE;
    const char *till = "+inf";
    int next = 0, count = owners != NULL ? owners->nelts : 1;

    while (result.outcome == JOBS_OK && next < count && listing.found->nelts < JOBS_LISTED_MOST) {
        result = list_page(&listing, owners, &next, &till);
    }
    qsort(listing.found->elts, (size_t)listing.found->nelts, sizeof(listed_t), compare_listed);
    *ids = apr_array_make(pool, listing.found->nelts + 1, sizeof(const char *));
    for (int i = 0; i < listing.found->nelts && i < JOBS_LISTED_MOST; i++) {
        APR_ARRAY_PUSH(*ids, const char *) = APR_ARRAY_IDX(listing.found, i, listed_t).id;
    }
    return result;
}

/* ---- changing ------------------------------------------------------------------------------------------ */

/* Again and again, while Redis works something off first. */
static jobs_result_t ask_until_done(jobs_pool_t *jobs, jobs_call_t *call, redisReply **reply,
                                    apr_pool_t *pool)
{
    jobs_result_t result;

    call->give_up = jobs_pool_give_up(jobs);
    do {
        *reply = NULL;
        result = jobs_pool_ask(jobs, call, reply, pool);
    } while (jobs_is_again(*reply) && clock_boottime() < call->give_up);
    return result;
}

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

/* The tasks of a job that was cancelled, in steps. It is cancelled, whatever becomes of these: workers go on with them. */
static void end_tasks(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, apr_time_t give_up,
                      apr_pool_t *pool)
{
    redisReply *reply;
    jobs_result_t result;

    do {
        jobs_call_t *call = changing_verb("cancel", caller, 1, pool);

        reply = NULL;
        call->give_up = give_up;
        jobs_call_text(call, id);
        jobs_call_not_after(call);
        jobs_call_text(call, "go-on");
        result = jobs_pool_ask(jobs, call, &reply, pool);
    } while (result.outcome == JOBS_OK && *jobs_text_at(reply, 1) != '\0');
}

jobs_result_t jobs_cancel(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, apr_pool_t *pool)
{
    apr_time_t give_up = jobs_pool_give_up(jobs);
    redisReply *reply = NULL;
    jobs_call_t *call = changing_verb("cancel", caller, 1, pool);
    jobs_result_t result;

    if (!jobs_is_id(id)) {
        return jobs_no_such_job();
    }
    jobs_call_text(call, id);
    jobs_call_not_after(call);
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome == JOBS_CONFLICT && call->repeated) {
        return repeated_cancel_result(jobs, caller, id, result, pool);
    }
    if (result.outcome == JOBS_OK && *jobs_text_at(reply, 1) != '\0') {
        end_tasks(jobs, caller, id, give_up, pool);
    }
    return result;
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
    return ask_until_done(jobs, call, &reply, pool);
}

/* ---- enumerations in progress -------------------------------------------------------------------------- */

static void call_add_items(jobs_call_t *call, const apr_array_header_t *items, int first, int after)
{
    for (int i = first; i < after; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(items, i, const char *));
    }
}

/* Items before the last ones. They are nobody's yet, and nothing is done until jobs_context_open() has said whose. */
static jobs_result_t context_part(jobs_pool_t *jobs, const char *id, const apr_array_header_t *items,
                                  int first, int after, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_verb("context_part", pool);
    jobs_result_t result;

    call->repeatable = 1;
    jobs_call_text(call, id);
    jobs_call_number(call, first);
    jobs_call_not_after(call);
    call_add_items(call, items, first, after);
    result = jobs_pool_ask(jobs, call, &reply, pool);
    result.outcome = result.outcome == JOBS_CONFLICT ? JOBS_UNAVAILABLE : result.outcome;
    return result;
}

jobs_result_t jobs_context_open(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *fields,
                                const apr_array_header_t *items, int expires_seconds,
                                const jobs_limits_t *limits, const char **id, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = changing_verb("context_open", caller, 1, pool);
    const char *fresh = jobs_new_id(pool);
    int count = items->nelts < JOBS_ITEMS_MOST ? items->nelts : JOBS_ITEMS_MOST, first = 0;
    jobs_result_t result = JOBS_FINE;

    if (fresh == NULL) {
        return jobs_result(JOBS_UNAVAILABLE, "the operating system gives no random numbers");
    }
    for (; result.outcome == JOBS_OK && count - first > JOBS_CHANGES_A_CALL; first += JOBS_CHANGES_A_CALL) {
        result = context_part(jobs, fresh, items, first, first + JOBS_CHANGES_A_CALL, pool);
    }
    if (result.outcome != JOBS_OK) {
        return result;
    }
    jobs_call_text(call, fresh);
    jobs_call_number(call, expires_seconds > 0 ? expires_seconds : 1);
    jobs_call_limits(call, limits->contexts, limits->names);
    jobs_call_text(call, fields);
    jobs_call_number(call, first);
    call_add_items(call, items, first, count);
    result = ask_until_done(jobs, call, &reply, pool);
    result.outcome = result.outcome == JOBS_CONFLICT ? JOBS_UNAVAILABLE : result.outcome;
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
