/* SPDX-License-Identifier: Apache-2.0 */
/* Systems are asked for in as many requests as the service wants: each becomes a job of its own. All are followed
 * together, and what one is refused costs the others nothing.
 */
#include "console/parts_priv.h"

#include <poll.h>
#include <string.h>

#include <apr_strings.h>

#include "base/clock.h"

#define ASK_AGAIN                                                                                            \
    apr_time_from_sec(5) /* while the caller has too much at once, unless a job goes on before */
#define AWAY_PAUSE 500   /* ms */
/* How long the service may be away before what has not been asked for is given up. */
#define PATIENCE apr_time_from_sec(60)

typedef struct {
    console_client_t *client;
    const console_t *console;
    const console_options_t *options;
    const apr_array_header_t *names;
    int next; /* the first name that is not dealt with */
    int most; /* names in a request */
    console_following_t *following;
    int started;                               /* jobs */
    apr_array_header_t *not_started, *unknown; /* const char *: names */
    const console_problem_t *obstacle;         /* why the next part has to wait; NULL */
    const char *told;                          /* of it; "" */
    apr_time_t ask_at, away_since;             /* by clock_monotonic(); 0 */
    int news;                                  /* of the jobs, when it was refused */
    console_exit_e status;
    apr_pool_t *pool;
} parts_t;

static int names_left(const parts_t *parts)
{
    return parts->names->nelts - parts->next;
}

static const char *name_at(const parts_t *parts, int position)
{
    return APR_ARRAY_IDX(parts->names, position, const char *);
}

/* ---- what a part is refused ---------------------------------------------------------------------------- */

/* Nonzero: to be sent again with fewer names. A service's maximum may have been lowered since it was asked. */
static int take_fewer(parts_t *parts, const console_problem_t *problem, int count)
{
    unsigned int max = 0;

    if (problem->refusal == CONSOLE_TOO_LARGE) {
        max = (unsigned int)count / 2;
    }
    if (problem->refusal == CONSOLE_BAD_NAMES && count > 1) {
        service_max_systems(parts->client, &max, parts->pool);
    }
    if (problem->unknown || max == 0 || max >= (unsigned int)count) {
        return 0;
    }
    parts->most = (int)max;
    return 1;
}

/* These names are in no job, or nobody knows whether they are. */
static void give_up(parts_t *parts, int count, const console_problem_t *problem)
{
    console_exit_e status = problem->unknown ? CONSOLE_UNKNOWN : problem->exit;

    console_following_say(
        parts->following, "amtunlock: %d of %d systems %s, %s to %s: %s", count, parts->names->nelts,
        problem->unknown ? "may be started or not (see amtunlock jobs)" : "are not started",
        name_at(parts, parts->next), name_at(parts, parts->next + count - 1), problem->what);
    if (problem->advice != NULL) {
        console_following_say(parts->following, "amtunlock: %s", problem->advice);
    }
    for (; count > 0; count--, parts->next++) {
        APR_ARRAY_PUSH(problem->unknown ? parts->unknown : parts->not_started, const char *) =
            name_at(parts, parts->next);
    }
    parts->status = status > parts->status ? status : parts->status;
}

static void wait_for_room(parts_t *parts, const console_problem_t *problem)
{
    apr_time_t now = clock_monotonic();

    if (strcmp(parts->told, problem->what) != 0) {
        console_following_say(parts->following, "amtunlock: %s; %d of %d systems wait%s", problem->what,
                              names_left(parts), parts->names->nelts,
                              problem->passing ? ", trying again" : " until earlier ones have gone on");
    }
    parts->told = problem->what;
    parts->obstacle = problem;
    parts->news = console_following_news(parts->following);
    parts->ask_at = now + (problem->passing ? apr_time_from_msec(AWAY_PAUSE) : ASK_AGAIN);
    if (!problem->passing || parts->away_since == 0) {
        parts->away_since = problem->passing ? now : 0;
    }
}

/* Nothing was done, and it may be different soon. */
static int is_worth_waiting(const parts_t *parts, const console_problem_t *problem)
{
    int patient = parts->away_since == 0 || clock_monotonic() - parts->away_since < PATIENCE;

    return !problem->unknown && (problem->passing ? patient : problem->refusal == CONSOLE_OVER_QUOTA);
}

/* NULL: the others go on. */
static const console_problem_t *on_refused(parts_t *parts, const console_problem_t *problem, int count)
{
    int only_this = problem->refusal != CONSOLE_NOT_REFUSED && problem->refusal != CONSOLE_OVER_QUOTA &&
                    !problem->passing;
    int begun = parts->next > 0;

    if (problem->exit == CONSOLE_INTERRUPTED || (!begun && (!only_this || count == names_left(parts)))) {
        return problem;
    }
    if (is_worth_waiting(parts, problem)) {
        wait_for_room(parts, problem);
        return NULL;
    }
    give_up(parts, count, problem);
    if (!only_this && names_left(parts) > 0) {
        console_problem_t rest = *problem;

        rest.unknown = 0;
        give_up(parts, names_left(parts), &rest);
    }
    return NULL;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static void note_started(parts_t *parts, const char *id, int count)
{
    parts->started++;
    parts->next += count;
    parts->obstacle = NULL;
    parts->away_since = 0;
    console_following_add(parts->following, apr_pstrdup(parts->pool, id), count);
    if (!parts->options->wait && !parts->options->json) {
        fprintf(parts->console->out, "%s\n", console_printable(id, parts->pool));
        fflush(parts->console->out);
    }
    else if (parts->options->wait || count < parts->names->nelts) {
        console_following_say(parts->following, "job %s", id);
    }
}

/* Sends the next part. */
static const console_problem_t *ask_for_part(parts_t *parts)
{
    int count = names_left(parts) < parts->most ? names_left(parts) : parts->most;
    apr_array_header_t part = *parts->names;
    const console_problem_t *problem;
    const char *id = NULL;
    apr_pool_t *pool;

    apr_pool_create(&pool, parts->pool);
    part.elts += (apr_size_t)parts->next * (apr_size_t)part.elt_size;
    part.nelts = part.nalloc = count;
    problem = service_unlock(parts->client, &part, &id, pool);
    if (problem == NULL) {
        note_started(parts, id, count);
        apr_pool_destroy(pool);
        return NULL;
    }
    return take_fewer(parts, problem, count) ? NULL : on_refused(parts, problem, count);
}

static int may_ask(const parts_t *parts)
{
    int room = parts->obstacle != NULL && !parts->obstacle->passing &&
               parts->news != console_following_news(parts->following);

    return names_left(parts) > 0 && (parts->obstacle == NULL || room || clock_monotonic() >= parts->ask_at);
}

/* None of ours goes on, and the next part is still refused. Ended jobs count for as long as the service keeps them, so
 * those that were read are deleted. */
static void wait_without_jobs(parts_t *parts)
{
    const char *id = NULL;

    if (parts->obstacle == NULL || parts->obstacle->passing) {
        poll(NULL, 0, AWAY_PAUSE); /* a signal ends it early */
        return;
    }
    id = console_following_forget(parts->following);
    if (id == NULL || service_delete(parts->client, id, parts->pool) != NULL) {
        give_up(parts, names_left(parts), parts->obstacle);
        return;
    }
    console_following_say(parts->following, "amtunlock: %s was read to its end: deleted to make room", id);
    parts->ask_at = 0;
}

/* Until all are started and, with --wait, have ended. */
static const console_problem_t *run_parts(parts_t *parts)
{
    const console_problem_t *problem = NULL;

    while (problem == NULL && (names_left(parts) > 0 ||
                               (parts->options->wait && console_following_left(parts->following) > 0))) {
        if (console_interrupted) {
            problem = console_following_interrupted(parts->following);
        }
        else if (may_ask(parts)) {
            problem = ask_for_part(parts);
        }
        else if (console_following_left(parts->following) > 0) {
            problem = console_following_step(parts->following);
        }
        else {
            wait_without_jobs(parts);
        }
    }
    return problem;
}

static console_follow_e how_to_follow(const console_options_t *options)
{
    if (!options->wait) {
        return CONSOLE_FOLLOW_ENDS;
    }
    return options->json ? CONSOLE_FOLLOW_QUIET : CONSOLE_FOLLOW_LINES;
}

/* The results of jobs that are not waited for. What fails now does not undo that they were started. */
static const console_problem_t *read_started(const parts_t *parts)
{
    const console_problem_t *problem = console_following_read(parts->following);

    return problem == NULL
               ? NULL
               : console_problem(parts->pool, problem->exit,
                                 apr_psprintf(parts->pool, "%s started; go on with: amtunlock status %s",
                                              parts->started == 1 ? "the job is" : "the jobs are",
                                              console_following_unread(parts->following)),
                                 "%s", problem->what);
}

const console_problem_t *console_unlock(console_client_t *client, const console_t *console,
                                        const console_options_t *options, const apr_array_header_t *names,
                                        console_job_t *all, console_exit_e *status, apr_pool_t *pool)
{
    parts_t parts = {
        .client = client, .console = console, .options = options, .names = names, .told = "", .pool = pool};
    unsigned int max;
    const console_problem_t *problem = service_max_systems(client, &max, pool);

    if (problem != NULL) {
        return problem;
    }
    parts.most = max > 0 && max < (unsigned int)names->nelts ? (int)max : names->nelts;
    parts.following = console_following_create(client, console, how_to_follow(options), names->nelts, pool);
    parts.not_started = apr_array_make(pool, 4, sizeof(const char *));
    parts.unknown = apr_array_make(pool, 4, sizeof(const char *));
    problem = run_parts(&parts);
    if (problem != NULL && parts.next > 0 && names_left(&parts) > 0) {
        console_following_say(
            parts.following, "amtunlock: %d of %d systems were not asked for to the end, %s to %s",
            names_left(&parts), names->nelts, name_at(&parts, parts.next), name_at(&parts, names->nelts - 1));
    }
    if (problem == NULL && options->json && !options->wait) {
        problem = read_started(&parts);
    }
    *status = console_following_end(parts.following, all);
    *status = *status > parts.status ? *status : parts.status;
    all->not_started = parts.not_started;
    all->unknown = parts.unknown;
    return problem;
}
