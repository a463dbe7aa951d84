/* SPDX-License-Identifier: Apache-2.0 */
/* Following jobs: poll, print what is new, and keep one line up to date on a terminal. */
#include "console/progress_priv.h"

#include <poll.h>
#include <stdarg.h>
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

/* Between the polls of two jobs at least, however many there are. */
#define LEAST_PAUSE 50

typedef struct {
    const char *id;
    int names;
    console_job_t job;   /* `read`: its end */
    int percent;         /* of the last poll */
    const char *status;  /* likewise; "" before */
    const char *remark;  /* what follows the figures in it: "; no worker is running" */
    apr_hash_t *printed; /* systems already printed */
    int ended, read, gone;
} followed_t;

struct console_following_t {
    console_client_t *client;
    const console_t *console;
    console_follow_e how;
    int names;                /* of all jobs, those that are still to come with them; 0: not known */
    apr_array_header_t *jobs; /* followed_t * */
    int next;                 /* whose turn it is */
    int pause;                /* ms, from one poll of a job to the next */
    int news;                 /* how often something has changed */
    const char *remark;       /* told last */
    apr_time_t away_since;    /* 0: the service answers */
    console_exit_e status;
    apr_pool_t *pool, *scratch;
};

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

static void clear_line(const console_following_t *following)
{
    if (following->console->live) {
        fputs("\r\033[K", following->console->err);
    }
}

static int count_ended(const console_following_t *following)
{
    int count = 0;

    for (int i = 0; i < following->jobs->nelts; i++) {
        const followed_t *job = APR_ARRAY_IDX(following->jobs, i, const followed_t *);

        count += job->ended || job->gone;
    }
    return count;
}

/* Of all names; where it is not known how many, each job counts as one. */
static int percent_of_all(const console_following_t *following)
{
    int whole = following->names ? following->names : following->jobs->nelts;
    apr_int64_t sum = 0;

    for (int i = 0; i < following->jobs->nelts; i++) {
        const followed_t *job = APR_ARRAY_IDX(following->jobs, i, const followed_t *);

        sum += (apr_int64_t)job->percent * (following->names ? job->names : 1);
    }
    return (int)(sum / whole);
}

static const char *progress_text(const console_following_t *following)
{
    const followed_t *first = APR_ARRAY_IDX(following->jobs, 0, const followed_t *);
    int count = following->jobs->nelts;

    if (count == 1 && (following->names == 0 || following->names == first->names)) {
        return apr_psprintf(following->scratch, "%3d%%  %s", first->percent, first->status);
    }
    return apr_psprintf(following->scratch, "%3d%%  %d of %d jobs have ended", percent_of_all(following),
                        count_ended(following), count);
}

/* One line, cut to the terminal, written over by the next. */
static void draw_line(const console_following_t *following)
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
    fprintf(following->console->err, "%.*s", width - 1,
            console_printable(progress_text(following), following->scratch));
    fflush(following->console->err);
}

static int is_new(const console_following_t *following, const followed_t *followed, const char *name)
{
    if (apr_hash_get(followed->printed, name, APR_HASH_KEY_STRING) != NULL) {
        return 0;
    }
    name = apr_pstrdup(following->pool, name);
    apr_hash_set(followed->printed, name, APR_HASH_KEY_STRING, name);
    return 1;
}

static void print_new(const console_following_t *following, const followed_t *followed,
                      const console_job_t *job)
{
    FILE *out = following->console->out;
    apr_pool_t *pool = following->scratch;

    clear_line(following);
    for (int i = 0; i < job->unlocked->nelts; i++) {
        const char *name = APR_ARRAY_IDX(job->unlocked, i, const char *);

        if (is_new(following, followed, name)) {
            fprintf(out, "unlocked  %s\n", console_printable(name, pool));
        }
    }
    for (int i = 0; i < job->failed->nelts; i++) {
        const console_failure_t *failure = &APR_ARRAY_IDX(job->failed, i, const console_failure_t);

        if (is_new(following, followed, failure->system)) {
            fprintf(out, "failed    %s  %s: %s\n", console_printable(failure->system, pool),
                    console_printable(failure->reason, pool), console_printable(failure->message, pool));
        }
    }
    fflush(out);
}

void console_following_say(const console_following_t *following, const char *format, ...)
{
    const char *text;
    va_list arguments;

    va_start(arguments, format);
    text = apr_pvsprintf(following->scratch, format, arguments);
    va_end(arguments);
    clear_line(following);
    fprintf(following->console->err, "%s\n", console_printable(text, following->scratch));
    fflush(following->console->err);
}

/* What the service has to say beside the figures is told without a terminal, too, once each. */
static void tell_remark(console_following_t *following, followed_t *followed, const char *status)
{
    const char *remark = strchr(status, ';');

    remark = remark != NULL ? remark + strspn(remark, "; ") : "";
    if (*remark && strcmp(remark, followed->remark) != 0 && strcmp(remark, following->remark) != 0) {
        console_following_say(following, "amtunlock: %s", remark);
    }
    followed->remark = apr_pstrdup(following->pool, remark);
    following->remark = followed->remark;
}

/* ---- following ----------------------------------------------------------------------------------------- */

console_following_t *console_following_create(console_client_t *client, const console_t *console,
                                              console_follow_e how, int names, apr_pool_t *pool)
{
    console_following_t *following = apr_pcalloc(pool, sizeof(*following));

    following->client = client;
    following->console = console;
    following->how = how;
    following->names = names;
    following->jobs = apr_array_make(pool, 8, sizeof(followed_t *));
    following->pause = FIRST_PAUSE;
    following->remark = "";
    following->pool = pool;
    apr_pool_create(&following->scratch, pool);
    return following;
}

void console_following_add(console_following_t *following, const char *id, int names)
{
    followed_t *followed = apr_pcalloc(following->pool, sizeof(*followed));

    followed->id = id;
    followed->names = names;
    followed->status = followed->remark = "";
    followed->printed = apr_hash_make(following->pool);
    APR_ARRAY_PUSH(following->jobs, followed_t *) = followed;
}

static int is_finished(const console_following_t *following, const followed_t *followed)
{
    return followed->gone || (following->how == CONSOLE_FOLLOW_ENDS ? followed->ended : followed->read);
}

int console_following_left(const console_following_t *following)
{
    int left = 0;

    for (int i = 0; i < following->jobs->nelts; i++) {
        left += !is_finished(following, APR_ARRAY_IDX(following->jobs, i, const followed_t *));
    }
    return left;
}

int console_following_news(const console_following_t *following)
{
    return following->news;
}

const char *console_following_unread(const console_following_t *following)
{
    apr_array_header_t *words = apr_array_make(following->pool, following->jobs->nelts, sizeof(const char *));

    for (int i = 0; i < following->jobs->nelts; i++) {
        const followed_t *followed = APR_ARRAY_IDX(following->jobs, i, const followed_t *);

        if (!followed->read) {
            APR_ARRAY_PUSH(words, const char *) = followed->id;
        }
    }
    return apr_array_pstrcat(following->pool, words, ' ');
}

static const char *goes_on(const console_following_t *following)
{
    return following->jobs->nelts == 1 ? "the job goes on" : "the jobs go on";
}

static const console_problem_t *give_up_following(const console_following_t *following, console_exit_e code,
                                                  const char *what)
{
    return console_problem(following->pool, code,
                           apr_pstrcat(following->pool, "go on with: amtunlock status --wait ",
                                       console_following_unread(following), NULL),
                           "%s", what);
}

const console_problem_t *console_following_interrupted(const console_following_t *following)
{
    return give_up_following(
        following, CONSOLE_INTERRUPTED,
        apr_psprintf(following->pool, "interrupted; %s without this command", goes_on(following)));
}

/* One of several jobs is no more: the others go on. */
static void lose_job(console_following_t *following, followed_t *followed, const console_problem_t *problem)
{
    followed->gone = 1;
    following->news++;
    following->status = problem->exit > following->status ? problem->exit : following->status;
    console_following_say(following, "amtunlock: %s: %s", followed->id, problem->what);
}

/* A poll that failed. NULL: try again. */
static const console_problem_t *on_poll_error(console_following_t *following, followed_t *followed,
                                              const console_problem_t *problem)
{
    apr_time_t now = apr_time_now();

    if (problem->exit == CONSOLE_INTERRUPTED) {
        return console_following_interrupted(following);
    }
    if (problem->refusal == CONSOLE_NO_SUCH_JOB && following->jobs->nelts > 1) {
        lose_job(following, followed, problem);
        return NULL;
    }
    if (problem->passing && following->away_since == 0) {
        following->away_since = now;
        console_following_say(following, "amtunlock: %s; %s, trying again", problem->what,
                              goes_on(following));
    }
    if (problem->passing && now - following->away_since < PATIENCE) {
        return NULL;
    }
    return give_up_following(following, problem->exit, problem->what);
}

static const console_problem_t *read_lists(const console_following_t *following, const followed_t *followed,
                                           console_job_t *job)
{
    return following->how == CONSOLE_FOLLOW_LINES
               ? fill_lists(following->client, followed->id, followed->names, job, following->scratch)
               : NULL;
}

/* One poll; the lists only when something has happened. */
static const console_problem_t *poll_job(console_following_t *following, followed_t *followed)
{
    console_job_t job;
    const console_problem_t *problem = service_job(following->client, followed->id, &job, following->scratch);

    if (problem != NULL) {
        return on_poll_error(following, followed, problem);
    }
    if (strcmp(job.status, followed->status) != 0 || console_has_ended(&job)) {
        if ((problem = read_lists(following, followed, &job)) != NULL) {
            return on_poll_error(following, followed, problem);
        }
        print_new(following, followed, &job);
        tell_remark(following, followed, job.status);
        followed->status = apr_pstrdup(following->pool, job.status);
        following->news++;
    }
    following->away_since = 0;
    followed->percent = job.percent;
    followed->ended = console_has_ended(&job);
    draw_line(following);
    return NULL;
}

/* The state of a job that has ended. */
static const console_problem_t *read_end(console_following_t *following, followed_t *followed)
{
    const console_problem_t *problem =
        console_read_job(following->client, followed->id, followed->names, &followed->job, following->pool);

    if (problem != NULL) {
        return on_poll_error(following, followed, problem);
    }
    followed->read = 1;
    following->away_since = 0;
    return NULL;
}

/* The next one in turn of those that are not finished. */
static followed_t *next_followed(console_following_t *following)
{
    followed_t *followed;

    do {
        if (following->next == following->jobs->nelts) {
            following->next = 0;
            following->pause =
                following->pause * 3 / 2 < LONGEST_PAUSE ? following->pause * 3 / 2 : LONGEST_PAUSE;
        }
        followed = APR_ARRAY_IDX(following->jobs, following->next, followed_t *);
        following->next++;
    } while (is_finished(following, followed));
    return followed;
}

const console_problem_t *console_following_step(console_following_t *following)
{
    followed_t *followed = next_followed(following);
    int left = console_following_left(following);
    int pause = following->pause / (left > 0 ? left : 1);
    const console_problem_t *problem = followed->ended ? NULL : poll_job(following, followed);

    if (problem == NULL && followed->ended && following->how != CONSOLE_FOLLOW_ENDS) {
        problem = read_end(following, followed);
    }
    apr_pool_clear(following->scratch);
    if (problem == NULL && !is_finished(following, followed)) {
        poll(NULL, 0, pause > LEAST_PAUSE ? pause : LEAST_PAUSE); /* a signal ends it early */
        problem = console_interrupted ? console_following_interrupted(following) : NULL;
    }
    return problem;
}

const console_problem_t *console_following_read(console_following_t *following)
{
    const console_problem_t *problem = NULL;

    for (int i = 0; i < following->jobs->nelts && problem == NULL; i++) {
        followed_t *followed = APR_ARRAY_IDX(following->jobs, i, followed_t *);

        problem = console_read_job(following->client, followed->id, followed->names, &followed->job,
                                   following->pool);
        followed->read = problem == NULL;
    }
    return problem;
}

const char *console_following_forget(console_following_t *following)
{
    for (int i = 0; i < following->jobs->nelts; i++) {
        followed_t *followed = APR_ARRAY_IDX(following->jobs, i, followed_t *);

        if (followed->read && !followed->gone) {
            followed->gone = 1;
            return followed->id;
        }
    }
    return NULL;
}

console_exit_e console_following_end(console_following_t *following, console_job_t *all)
{
    apr_array_header_t *jobs =
        apr_array_make(following->pool, following->jobs->nelts, sizeof(console_job_t *));

    clear_line(following);
    for (int i = 0; i < following->jobs->nelts; i++) {
        followed_t *followed = APR_ARRAY_IDX(following->jobs, i, followed_t *);

        if (followed->read) {
            APR_ARRAY_PUSH(jobs, const console_job_t *) = &followed->job;
        }
    }
    console_merge_jobs(jobs, all, following->pool);
    return following->status;
}
