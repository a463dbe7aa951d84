/* SPDX-License-Identifier: Apache-2.0 */
/* What the command prints: lines for people, one JSON object for programs. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <jansson.h>

#include "base/oom.h"
#include "base/text.h"
#include "console/console_priv.h"

console_problem_t *console_problem(apr_pool_t *pool, console_exit_e code, const char *advice,
                                   const char *format, ...)
{
    console_problem_t *problem = apr_pcalloc(pool, sizeof(*problem));
    va_list arguments;

    va_start(arguments, format);
    problem->what = apr_pvsprintf(pool, format, arguments);
    va_end(arguments);
    problem->exit = code;
    problem->advice = advice;
    return problem;
}

const char *console_printable(const char *text, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, text);

    text_mask_controls(copy);
    return copy;
}

void console_print_problem(const console_t *console, const console_problem_t *problem, apr_pool_t *pool)
{
    fprintf(console->err, "amtunlock: %s\n", console_printable(problem->what, pool));
    if (problem->advice != NULL) {
        fprintf(console->err, "amtunlock: %s\n", console_printable(problem->advice, pool));
    }
}

static int count_of(const apr_array_header_t *names)
{
    return names != NULL ? names->nelts : 0;
}

/* ", 3 not started" for those of which there are any. */
static const char *summary_of_the_rest(const console_job_t *job, apr_pool_t *pool)
{
    int not_started = count_of(job->not_started), unknown = count_of(job->unknown);

    return apr_pstrcat(pool, not_started ? apr_psprintf(pool, ", %d not started", not_started) : "",
                       unknown ? apr_psprintf(pool, ", %d not known to be started", unknown) : "", NULL);
}

const char *console_summary(const console_job_t *job, apr_pool_t *pool)
{
    int total =
        job->unlocked->nelts + job->failed->nelts + count_of(job->not_started) + count_of(job->unknown);
    apr_array_header_t *parts = apr_array_make(pool, job->failed->nelts + 1, sizeof(const char *));
    const char *rest = summary_of_the_rest(job, pool);

    if (job->failed->nelts == 0) {
        return apr_psprintf(pool, "%d of %d unlocked%s", job->unlocked->nelts, total, rest);
    }
    for (int i = 0; i < job->failed->nelts; i++) {
        const console_failure_t *failure = &APR_ARRAY_IDX(job->failed, i, const console_failure_t);

        APR_ARRAY_PUSH(parts, const char *) =
            apr_psprintf(pool, "%s%s %s", i ? ", " : "", failure->system, failure->reason);
    }
    return console_printable(apr_psprintf(pool, "%d of %d unlocked%s, %d failed: %s", job->unlocked->nelts,
                                          total, rest, job->failed->nelts,
                                          apr_array_pstrcat(pool, parts, '\0')),
                             pool);
}

/* ---- several jobs as one ------------------------------------------------------------------------------- */

/* Of two jobs together: one that goes on, else one that was ended, else that both are complete. */
static void merge_state(const console_job_t *job, console_job_t *all)
{
    static const char *const order[] = {"Running", "New", "Terminated", "Completed"};
    size_t known = sizeof(order) / sizeof(order[0]), one = 0, other = 0;

    while (one < known && strcmp(order[one], job->state) != 0) {
        one++;
    }
    while (other < known && strcmp(order[other], all->state) != 0) {
        other++;
    }
    if (one < other) {
        all->state = job->state;
        all->state_number = job->state_number;
    }
}

void console_merge_jobs(const apr_array_header_t *jobs, console_job_t *all, apr_pool_t *pool)
{
    memset(all, 0, sizeof(*all));
    all->state = all->status = "";
    all->jobs = apr_array_make(pool, jobs->nelts, sizeof(const char *));
    all->unlocked = apr_array_make(pool, 20, sizeof(const char *));
    all->failed = apr_array_make(pool, 4, sizeof(console_failure_t));
    for (int i = 0; i < jobs->nelts; i++) {
        const console_job_t *job = APR_ARRAY_IDX(jobs, i, const console_job_t *);

        if (i == 0) {
            all->job = job->job;
            all->state = job->state;
            all->state_number = job->state_number;
        }
        merge_state(job, all);
        APR_ARRAY_PUSH(all->jobs, const char *) = job->job;
        apr_array_cat(all->unlocked, job->unlocked);
        apr_array_cat(all->failed, job->failed);
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static void print_json(const console_t *console, json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2));

    if (text == NULL) { /* a text that is no UTF-8 */
        oom_end(APR_ENOMEM);
    }
    fprintf(console->out, "%s\n", text);
    free(text);
    json_decref(value);
}

static json_t *failures_json(const apr_array_header_t *failed, int more)
{
    json_t *list = json_array();

    for (int i = 0; i < failed->nelts; i++) {
        const console_failure_t *failure = &APR_ARRAY_IDX(failed, i, const console_failure_t);
        json_t *item = json_pack("{s:s, s:s, s:s}", "system", failure->system, "reason", failure->reason,
                                 "message", failure->message);

        if (more) {
            json_object_set_new(item, "action", json_string(failure->action));
            json_object_set_new(item, "step", json_string(failure->step));
        }
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *names_json(const apr_array_header_t *names)
{
    json_t *list = json_array();

    for (int i = 0; i < names->nelts; i++) {
        json_array_append_new(list, json_string(APR_ARRAY_IDX(names, i, const char *)));
    }
    return list;
}

static json_t *job_json(const console_job_t *job)
{
    json_t *object = json_pack("{s:s, s:s, s:o, s:o}", "job", job->job, "state", job->state, "unlocked",
                               names_json(job->unlocked), "failed", failures_json(job->failed, 0));

    json_object_set_new(object, "jobs", names_json(job->jobs));
    if (count_of(job->not_started) > 0) {
        json_object_set_new(object, "not_started", names_json(job->not_started));
    }
    if (count_of(job->unknown) > 0) {
        json_object_set_new(object, "unknown", names_json(job->unknown));
    }
    return object;
}

/* ---- a job --------------------------------------------------------------------------------------------- */

static void print_failure(const console_t *console, const console_failure_t *failure, int more,
                          apr_pool_t *pool)
{
    fprintf(console->out, "failed    %s  %s: %s\n", console_printable(failure->system, pool),
            console_printable(failure->reason, pool), console_printable(failure->message, pool));
    if (more && *failure->step) {
        fprintf(console->out, "          %s\n", console_printable(failure->step, pool));
    }
    if (more && *failure->action) {
        fprintf(console->out, "          %s\n", console_printable(failure->action, pool));
    }
}

void console_print_job(const console_t *console, const console_job_t *job, int json, apr_pool_t *pool)
{
    if (json) {
        print_json(console, job_json(job));
        return;
    }
    fprintf(console->out, "%s  %s  %d%%  %s\n", console_printable(job->job, pool), job->state, job->percent,
            console_printable(job->status, pool));
    for (int i = 0; i < job->unlocked->nelts; i++) {
        fprintf(console->out, "unlocked  %s\n",
                console_printable(APR_ARRAY_IDX(job->unlocked, i, const char *), pool));
    }
    for (int i = 0; i < job->failed->nelts; i++) {
        print_failure(console, &APR_ARRAY_IDX(job->failed, i, const console_failure_t), 0, pool);
    }
}

void console_print_errors(const console_t *console, const console_job_t *job, int json, apr_pool_t *pool)
{
    if (json) {
        print_json(console, json_pack("{s:s, s:o, s:o}", "job", job->job, "failed",
                                      failures_json(job->failed, 1), "jobs", names_json(job->jobs)));
        return;
    }
    for (int i = 0; i < job->failed->nelts; i++) {
        print_failure(console, &APR_ARRAY_IDX(job->failed, i, const console_failure_t), 1, pool);
    }
    if (job->failed->nelts == 0) {
        fputs("no system has failed\n", console->out);
    }
}

void console_print_jobs(const console_t *console, const apr_array_header_t *jobs, int json, apr_pool_t *pool)
{
    json_t *list = json ? json_array() : NULL;

    for (int i = 0; i < jobs->nelts; i++) {
        const console_job_t *job = APR_ARRAY_IDX(jobs, i, const console_job_t *);

        if (json) {
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:i, s:s}", "job", job->job, "state", job->state,
                                            "percent", job->percent, "status", job->status));
            continue;
        }
        fprintf(console->out, "%s  %-10s  %3d%%  %s\n", console_printable(job->job, pool), job->state,
                job->percent, console_printable(job->status, pool));
    }
    if (json) {
        print_json(console, json_pack("{s:o}", "jobs", list));
    }
    else if (jobs->nelts == 0) {
        fputs("no jobs\n", console->out);
    }
}

void console_print_info(const console_t *console, const char *url, const console_info_t *info, int json,
                        apr_pool_t *pool)
{
    if (json) {
        print_json(console,
                   json_pack("{s:s, s:s, s:s, s:s, s:i}", "url", url, "product", info->product, "name",
                             info->name, "system", info->system, "max_systems", (int)info->max_systems));
        return;
    }
    fprintf(console->out, "%s\n%s\n%s on %s\n", console_printable(url, pool),
            console_printable(info->product, pool), console_printable(info->name, pool),
            console_printable(info->system, pool));
    if (info->max_systems) {
        fprintf(console->out, "at most %u systems in one request\n", info->max_systems);
    }
}
