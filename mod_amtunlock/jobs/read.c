/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's verbs that read jobs. */
#include "jobs/caller_priv.h"

#include <string.h>

#include "base/clock.h"
#include "jobs/id_priv.h"

/* A verb that reads one job; NULL for an id that no job can have. */
static jobs_call_t *reading_verb(const char *name, const jobs_caller_t *caller, const char *id,
                                 apr_pool_t *pool)
{
    jobs_call_t *call;

    if (id != NULL && !jobs_is_id(id)) {
        return NULL;
    }
    call = jobs_caller_verb(name, caller, pool);
    jobs_call_number(call, caller->reads_all ? 1 : 0);
    jobs_call_text(call, id);
    return call;
}

/* ---- a job --------------------------------------------------------------------------------------------- */

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
        return jobs_no_such_job();
    }
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome == JOBS_OK) {
        *job = job_of_reply(reply, pool);
    }
    return result;
}

/* Adds those of the ids from `first` on that there are, JOBS_READ_MOST of them at most. */
static jobs_result_t read_page(jobs_pool_t *jobs, const jobs_caller_t *caller, const apr_array_header_t *ids,
                               int first, apr_hash_t *found, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_caller_verb("read_page", caller, pool);
    const redisReply *page;
    jobs_result_t result;

    jobs_call_number(call, caller->reads_all ? 1 : 0);
    for (int i = first; i < ids->nelts && i < first + JOBS_READ_MOST; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(ids, i, const char *));
    }
    result = jobs_pool_ask(jobs, call, &reply, pool);
    page = result.outcome == JOBS_OK ? jobs_element(reply, 1) : NULL;
    for (size_t i = 0; page != NULL && page->type == REDIS_REPLY_ARRAY && i < page->elements; i++) {
        if (strcmp(jobs_text_at(page->element[i], 0), "ok") == 0) {
            jobs_job_t *job = job_of_reply(page->element[i], pool);

            apr_hash_set(found, job->id, APR_HASH_KEY_STRING, job);
        }
    }
    return result;
}

jobs_result_t jobs_read_page(jobs_pool_t *jobs, const jobs_caller_t *caller, const apr_array_header_t *ids,
                             apr_hash_t **found, apr_pool_t *pool)
{
    jobs_result_t result = JOBS_FINE;

    *found = apr_hash_make(pool);
    for (int first = 0; first < ids->nelts && result.outcome == JOBS_OK; first += JOBS_READ_MOST) {
        result = read_page(jobs, caller, ids, first, *found, pool);
    }
    return result;
}

/* ---- the names of a job -------------------------------------------------------------------------------- */

/* Redis is too slow for a job of this size if its pages take longer. */
#define PAGES_WITHIN apr_time_from_sec(5)

static const char *const list_verbs[] = {[JOBS_RESULTS] = "results", [JOBS_ERRORS] = "errors"};

/* What a look, or a page, answers: how it ended, the window, and the lists from here on. */
enum { LOOK_JOB = 1, LOOK_VERSION, LOOK_NAMES, LOOK_AS_OF, LOOK_LISTS };

static jobs_call_t *window_verb(jobs_list_e list, const jobs_caller_t *caller, const jobs_window_t *window,
                                int most, apr_pool_t *pool)
{
    jobs_call_t *call = reading_verb(list_verbs[list], caller, window->job, pool);

    if (call != NULL) {
        jobs_call_number(call, window->first < 0 ? 0 : window->first);
        jobs_call_number(call, window->count);
        jobs_call_number(call, most);
    }
    return call;
}

jobs_result_t jobs_look(jobs_pool_t *jobs, const jobs_caller_t *caller, jobs_list_e list,
                        const jobs_window_t *window, const char *known, jobs_look_t *look, apr_pool_t *pool)
{
    jobs_call_t *call = window_verb(list, caller, window, JOBS_NAMES_A_LOOK, pool);
    redisReply *reply = NULL;
    jobs_result_t result;

    if (call == NULL) {
        return jobs_no_such_job();
    }
    jobs_call_text(call, known);
    jobs_call_number(call, 0);
    result = jobs_pool_ask(jobs, call, &reply, pool);
    if (result.outcome != JOBS_OK) {
        return result;
    }
    look->list = list;
    look->window.job = jobs_text_at(reply, LOOK_JOB);
    look->window.first = window->first < 0 ? 0 : window->first;
    look->window.count = (int)jobs_number_at(reply, LOOK_NAMES);
    look->version = jobs_text_at(reply, LOOK_VERSION);
    look->as_of = jobs_number_at(reply, LOOK_AS_OF);
    look->listed = look->window.count <= JOBS_NAMES_A_LOOK ? reply : NULL;
    return known != NULL && strcmp(look->version, known) == 0 ? jobs_result(JOBS_ALREADY, "") : result;
}

static jobs_result_t ask_page(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_look_t *look, int at,
                              redisReply **page, apr_pool_t *pool)
{
    int left = look->window.count - at;
    jobs_window_t window = {look->window.job, look->window.first + at,
                            left < JOBS_NAMES_A_PAGE ? left : JOBS_NAMES_A_PAGE};
    jobs_call_t *call = window_verb(look->list, caller, &window, JOBS_NAMES_A_PAGE, pool);

    if (call == NULL) {
        return jobs_no_such_job();
    }
    jobs_call_text(call, look->version);
    jobs_call_number(call, look->as_of);
    return jobs_pool_ask(jobs, call, page, pool);
}

typedef void(take_page_fn)(const redisReply *page, void *taker, apr_pool_t *pool);

/* Takes what came with the look, or each page. */
static jobs_result_t take_pages(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_look_t *look,
                                take_page_fn *take, void *taker, apr_pool_t *pool)
{
    apr_time_t within = clock_boottime() + PAGES_WITHIN;
    jobs_result_t result = JOBS_FINE;

    if (look->listed != NULL) {
        take(look->listed, taker, pool);
        return result;
    }
    for (int at = 0; at < look->window.count; at += JOBS_NAMES_A_PAGE) {
        redisReply *page = NULL;

        if (clock_boottime() > within) {
            return jobs_result(JOBS_UNAVAILABLE, "Redis is too slow to read a job of this size");
        }
        result = ask_page(jobs, caller, look, at, &page, pool);
        if (result.outcome != JOBS_OK) {
            return result;
        }
        take(page, taker, pool);
    }
    return result;
}

static void take_results(const redisReply *page, void *taker, apr_pool_t *pool)
{
    jobs_results_t *results = taker;

    apr_array_cat(results->unlocked, jobs_texts(jobs_element(page, LOOK_LISTS), 0, pool));
    apr_array_cat(results->failed, jobs_texts(jobs_element(page, LOOK_LISTS + 1), 0, pool));
}

jobs_result_t jobs_results(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_look_t *look,
                           jobs_results_t **results, apr_pool_t *pool)
{
    *results = apr_pcalloc(pool, sizeof(**results));
    (*results)->unlocked = apr_array_make(pool, look->window.count + 1, sizeof(const char *));
    (*results)->failed = apr_array_make(pool, 1, sizeof(const char *));
    return take_pages(jobs, caller, look, take_results, *results, pool);
}

static void take_errors(const redisReply *page, void *taker, apr_pool_t *pool)
{
    const redisReply *flat = jobs_element(page, LOOK_LISTS);

    (void)pool;
    for (size_t i = 0; flat != NULL && i + 2 < flat->elements; i += 3) {
        jobs_error_t *error = apr_array_push(taker);

        error->name = jobs_text_at(flat, i);
        error->step = jobs_text_at(flat, i + 1);
        error->reason = jobs_reason_of_code(jobs_text_at(flat, i + 2));
    }
}

jobs_result_t jobs_errors(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_look_t *look,
                          apr_array_header_t **errors, apr_pool_t *pool)
{
    *errors = apr_array_make(pool, 16, sizeof(jobs_error_t));
    return take_pages(jobs, caller, look, take_errors, *errors, pool);
}
