/* SPDX-License-Identifier: Apache-2.0 */
#include "manageability/lists_priv.h"

#include <apr_strings.h>

#include "base/clock.h"
#include "manageability/answers_priv.h"
#include "manageability/resources_priv.h"

#define LOOKS 4 /* with regard to other threads */

/* One request for a list. */
typedef struct {
    wsman_request_t *request;
    jobs_list_e list;
    const jobs_window_t *window;
    manageability_write_list_fn *write;
    wsman_writer_t *answer;
    manageability_answers_t *answers;
    const char *key; /* of what is kept of its answer: for this caller only */
    apr_time_t asked;
    jobs_look_t look;
    int is_answered;
    const wsman_fault_t *fault;
} question_t;

static void question_settle(question_t *q, const wsman_fault_t *fault)
{
    q->is_answered = 1;
    q->fault = fault;
}

static void question_paste(question_t *q, const manageability_answer_t *kept)
{
    wsman_paste(q->answer, &kept->written);
    question_settle(q, NULL);
}

/* Asks the job store for the version, and answers where that one is kept. */
static void question_look(question_t *q)
{
    const manageability_context_t *context = manageability_context(q->request);
    const manageability_answer_t *kept =
        q->answers != NULL ? manageability_answer_hold(q->answers, q->key) : NULL;
    jobs_result_t result;

    q->asked = clock_boottime();
    result = jobs_look(context->jobs, context->caller, q->list, q->window,
                       kept != NULL ? kept->version : NULL, &q->look, q->request->pool);
    if (result.outcome == JOBS_ALREADY) {
        question_paste(q, kept);
    }
    else if (result.outcome != JOBS_OK) {
        question_settle(q, manageability_fault_of(q->request, result));
    }
    if (kept != NULL && result.outcome == JOBS_NOT_FOUND) {
        manageability_answer_drop(q->answers, q->key);
    }
    manageability_answer_release(q->answers, kept);
}

/* Writes the answer, and keeps it. */
static void question_write(question_t *q)
{
    manageability_answer_t made = {.version = q->look.version};
    wsman_capture_t *capture = wsman_capture_begin(q->answer);

    question_settle(q, q->write(q->request, &q->look, q->answer));
    if (wsman_capture_end(q->answer, capture) > 0 && q->fault == NULL) {
        made.written = wsman_capture_written(q->answer, capture);
        if (q->answers != NULL) {
            manageability_answer_keep(q->answers, q->key, q->asked, &made);
        }
        wsman_capture_paste(q->answer, capture);
    }
}

/* The same where that takes many calls: one thread does it for all who ask meanwhile. */
static void question_share(question_t *q, apr_time_t since)
{
    static const jobs_result_t late = {
        JOBS_UNAVAILABLE, "Redis is too slow to read a job of this size, which others ask for, too"};
    const manageability_answer_t *kept = NULL;
    manageability_turn_e turn = manageability_answer_turn(q->answers, q->key, q->look.version, since, &kept);

    if (turn == ANSWER_KEPT) {
        question_paste(q, kept);
        manageability_answer_release(q->answers, kept);
    }
    else if (turn == ANSWER_LATE) {
        question_settle(q, manageability_fault_of(q->request, late));
    }
    else if (turn != ANSWER_AGAIN) {
        question_write(q);
    }
    if (turn == ANSWER_MINE) {
        manageability_answer_done(q->answers, q->key);
    }
}

const wsman_fault_t *manageability_list(wsman_request_t *request, jobs_list_e list,
                                        const jobs_window_t *window, manageability_write_list_fn *write,
                                        wsman_writer_t *answer)
{
    const manageability_context_t *context = manageability_context(request);
    question_t q = {.request = request,
                    .list = list,
                    .window = window,
                    .write = write,
                    .answer = answer,
                    .answers = context->answers};
    apr_time_t since = clock_boottime();

    q.key = apr_psprintf(request->pool, "%d %d %d %s %s", list, window->first, window->count,
                         window->job != NULL ? window->job : "-", context->caller->name);
    for (int looks = 0; !q.is_answered; looks++) {
        question_look(&q);
        if (!q.is_answered && q.look.listed == NULL && q.answers != NULL && looks < LOOKS) {
            question_share(&q, since);
        }
        else if (!q.is_answered) {
            question_write(&q);
        }
    }
    return q.fault;
}
