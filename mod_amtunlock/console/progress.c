/* SPDX-License-Identifier: Apache-2.0 */
/* Following a job: poll, print what is new, and keep one line up to date on a terminal. */
#include "console/progress_priv.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <apr_hash.h>
#include <apr_strings.h>

#define WINDOW 500       /* names asked for at a time */
#define NAMES_MAX 100000 /* no service takes more in one request */
#define FIRST_PAUSE 500
#define LONGEST_PAUSE 3000 /* ms */
/* How long the service may be away while we wait for a job, which goes on without us. */
#define PATIENCE apr_time_from_sec(60)

typedef struct {
    console_client_t *client;
    const console_t *console;
    const char *id;
    int names, quiet;
    apr_hash_t *printed;   /* systems already printed */
    const char *status;    /* of the last poll; "" before */
    const char *remark;    /* of it, what follows the figures: "; no worker is running" */
    apr_time_t away_since; /* 0: the service answers */
    apr_pool_t *pool;
} following_t;

int console_has_ended(const console_job_t *job)
{
    return job->state_number >= SERVICE_JOB_COMPLETED;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static const console_problem_t *read_window_of_reasons(console_client_t *client, const char *id, int first,
                                                       apr_hash_t *by_name, apr_pool_t *pool)
{
    apr_array_header_t *failures = apr_array_make(pool, WINDOW, sizeof(console_failure_t));
    const console_problem_t *problem = service_errors(client, id, first, WINDOW, failures, pool);

    for (int i = 0; i < failures->nelts; i++) {
        const console_failure_t *failure = &APR_ARRAY_IDX(failures, i, console_failure_t);

        apr_hash_set(by_name, failure->system, APR_HASH_KEY_STRING, failure);
    }
    return problem;
}

/* Appends each failed name with its reason. They are in the order of the request, and so are the windows,
 * from `first` to before `end`: no more of those are asked for than it takes to know the last name. */
static const console_problem_t *read_reasons(console_client_t *client, const char *id, int first, int end,
                                             const apr_array_header_t *failed, apr_array_header_t *failures,
                                             apr_pool_t *pool)
{
    apr_hash_t *by_name = apr_hash_make(pool);
    const console_problem_t *problem = NULL;
    int known = 0;

    for (; known < failed->nelts && first < end && problem == NULL; first += WINDOW) {
        problem = read_window_of_reasons(client, id, first, by_name, pool);
        while (known < failed->nelts && apr_hash_get(by_name, APR_ARRAY_IDX(failed, known, const char *),
                                                     APR_HASH_KEY_STRING) != NULL) {
            known++;
        }
    }
    for (int i = 0; i < failed->nelts && problem == NULL; i++) {
        const char *name = APR_ARRAY_IDX(failed, i, const char *);
        const console_failure_t *failure = apr_hash_get(by_name, name, APR_HASH_KEY_STRING);
        const console_failure_t unknown = {name, "internal", "the service gave no reason", "", ""};

        APR_ARRAY_PUSH(failures, console_failure_t) = failure != NULL ? *failure : unknown;
    }
    return problem;
}

/* What a window of the names came to; window 0: all of them. */
static const console_problem_t *read_window(console_client_t *client, const char *id, int first, int window,
                                            console_job_t *job, apr_pool_t *pool)
{
    apr_array_header_t *failed = apr_array_make(pool, 4, sizeof(const char *));
    const console_problem_t *problem =
        service_results(client, id, first, window, job->unlocked, failed, pool);

    return problem != NULL ? problem
                           : read_reasons(client, id, first, window ? first + window : NAMES_MAX, failed,
                                          job->failed, pool);
}

/* All names in both lists, window by window where it shows when to stop: the number of names is known, or
 * every window of an ended job is full but the last. */
static const console_problem_t *fill_lists(console_client_t *client, const char *id, int names,
                                           console_job_t *job, apr_pool_t *pool)
{
    const console_problem_t *problem = NULL;
    int more = 1;

    if (names == 0 && !console_has_ended(job)) {
        return read_window(client, id, 0, 0, job, pool);
    }
    for (int first = 0; more && problem == NULL; first += WINDOW) {
        int before = job->unlocked->nelts + job->failed->nelts;

        problem = read_window(client, id, first, WINDOW, job, pool);
        more = names ? first + WINDOW < names : job->unlocked->nelts + job->failed->nelts == before + WINDOW;
    }
    return problem;
}

const console_problem_t *console_read_job(console_client_t *client, const char *id, int names,
                                          console_job_t *job, apr_pool_t *pool)
{
    const console_problem_t *problem = service_job(client, id, job, pool);

    return problem != NULL ? problem : fill_lists(client, id, names, job, pool);
}

/* ---- printing ------------------------------------------------------------------------------------------ */

static void clear_line(const following_t *following)
{
    if (following->console->live) {
        fputs("\r\033[K", following->console->err);
    }
}

/* One line, cut to the terminal, written over by the next. */
static void draw_line(const following_t *following, const char *text, apr_pool_t *pool)
{
    struct winsize size = {0};
    int width = 80;

    if (!following->console->live) {
        return;
    }
    if (ioctl(fileno(following->console->err), TIOCGWINSZ, &size) == 0 && size.ws_col > 1) {
        width = size.ws_col;
    }
    clear_line(following);
    fprintf(following->console->err, "%.*s", width - 1, console_printable(text, pool));
    fflush(following->console->err);
}

static int is_new(const following_t *following, const char *name)
{
    if (apr_hash_get(following->printed, name, APR_HASH_KEY_STRING) != NULL) {
        return 0;
    }
    name = apr_pstrdup(following->pool, name);
    apr_hash_set(following->printed, name, APR_HASH_KEY_STRING, name);
    return 1;
}

static void print_new(const following_t *following, const console_job_t *job, apr_pool_t *pool)
{
    FILE *out = following->console->out;

    clear_line(following);
    for (int i = 0; i < job->unlocked->nelts; i++) {
        const char *name = APR_ARRAY_IDX(job->unlocked, i, const char *);

        if (is_new(following, name)) {
            fprintf(out, "unlocked  %s\n", console_printable(name, pool));
        }
    }
    for (int i = 0; i < job->failed->nelts; i++) {
        const console_failure_t *failure = &APR_ARRAY_IDX(job->failed, i, const console_failure_t);

        if (is_new(following, failure->system)) {
            fprintf(out, "failed    %s  %s: %s\n", console_printable(failure->system, pool),
                    console_printable(failure->reason, pool), console_printable(failure->message, pool));
        }
    }
    fflush(out);
}

/* ---- following ----------------------------------------------------------------------------------------- */

static const console_problem_t *interrupted_problem(const following_t *following)
{
    return console_problem(
        following->pool, CONSOLE_INTERRUPTED,
        apr_psprintf(following->pool, "go on with: amtunlock status --wait %s", following->id),
        "interrupted; the job goes on without this command");
}

/* A poll that failed. NULL: try again. */
static const console_problem_t *on_poll_error(following_t *following, const console_problem_t *problem)
{
    apr_time_t now = apr_time_now();

    if (problem->exit == CONSOLE_INTERRUPTED) {
        return interrupted_problem(following);
    }
    if (problem->passing && following->away_since == 0) {
        following->away_since = now;
        clear_line(following);
        fprintf(following->console->err, "amtunlock: %s; the job goes on, trying again\n",
                console_printable(problem->what, following->pool));
    }
    if (problem->passing && now - following->away_since < PATIENCE) {
        return NULL;
    }
    return console_problem(
        following->pool, problem->exit,
        apr_psprintf(following->pool, "go on with: amtunlock status --wait %s", following->id), "%s",
        problem->what);
}

/* What the service has to say beside the figures is told without a terminal, too, once each. */
static void tell_remark(following_t *following, const char *status)
{
    const char *remark = strchr(status, ';');

    remark = remark != NULL ? remark + strspn(remark, "; ") : "";
    if (*remark && strcmp(remark, following->remark) != 0) {
        clear_line(following);
        fprintf(following->console->err, "amtunlock: %s\n", console_printable(remark, following->pool));
        fflush(following->console->err);
    }
    following->remark = apr_pstrdup(following->pool, remark);
}

/* One poll; the lists only when something has happened. */
static const console_problem_t *poll_job(following_t *following, int *ended, apr_pool_t *pool)
{
    console_job_t job;
    const console_problem_t *problem = service_job(following->client, following->id, &job, pool);

    if (problem != NULL) {
        return on_poll_error(following, problem);
    }
    if (strcmp(job.status, following->status) != 0 || console_has_ended(&job)) {
        problem = following->quiet
                      ? NULL
                      : fill_lists(following->client, following->id, following->names, &job, pool);
        if (problem != NULL) {
            return on_poll_error(following, problem);
        }
        print_new(following, &job, pool);
        tell_remark(following, job.status);
        following->status = apr_pstrdup(following->pool, job.status);
    }
    following->away_since = 0;
    *ended = console_has_ended(&job);
    draw_line(following, apr_psprintf(pool, "%3d%%  %s", job.percent, job.status), pool);
    return NULL;
}

/* The state of a job that has ended. NULL and *read 0: try again. */
static const console_problem_t *read_end(following_t *following, console_job_t *job, int *read)
{
    const console_problem_t *problem =
        console_read_job(following->client, following->id, following->names, job, following->pool);

    *read = problem == NULL;
    return problem != NULL ? on_poll_error(following, problem) : NULL;
}

const console_problem_t *console_follow(console_client_t *client, const console_t *console, const char *id,
                                        int names, int quiet, console_job_t *job, apr_pool_t *pool)
{
    following_t following = {.client = client,
                             .console = console,
                             .id = id,
                             .names = names,
                             .quiet = quiet,
                             .printed = apr_hash_make(pool),
                             .status = "",
                             .remark = "",
                             .pool = pool};
    const console_problem_t *problem = NULL;
    apr_pool_t *scratch;
    int pause = FIRST_PAUSE;
    int ended = 0, read = 0;

    apr_pool_create(&scratch, pool);
    while (problem == NULL && !read) {
        problem = ended ? read_end(&following, job, &read) : poll_job(&following, &ended, scratch);
        apr_pool_clear(scratch);
        if (problem == NULL && !read && (!ended || following.away_since != 0)) {
            poll(NULL, 0, pause); /* a signal ends it early */
            pause = pause * 3 / 2 < LONGEST_PAUSE ? pause * 3 / 2 : LONGEST_PAUSE;
            problem = console_interrupted ? interrupted_problem(&following) : NULL;
        }
    }
    clear_line(&following);
    return problem;
}
