/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, one row and one function each. */
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "console/parts_priv.h"

/* One run of the command. */
typedef struct {
    const console_t *console;
    const console_options_t *options;
    console_client_t *client;
    apr_pool_t *pool;
    console_exit_e status; /* the worst so far, where nothing ended the command */
} run_t;

/* NULL, or what went wrong. */
typedef const console_problem_t *(command_fn)(run_t *run);

static console_exit_e status_of_job(const console_job_t *job)
{
    return console_has_ended(job) && job->failed->nelts > 0 ? CONSOLE_FAILED : CONSOLE_DONE;
}

static void note_status(run_t *run, console_exit_e status)
{
    run->status = status > run->status ? status : run->status;
}

/* ---- unlock -------------------------------------------------------------------------------------------- */

/* Where no answer says whether a request was carried out: how to find out. */
static const console_problem_t *explain_unknown(const run_t *run, const console_problem_t *problem,
                                                const char *advice)
{
    console_problem_t *explained = apr_pmemdup(run->pool, problem, sizeof(*problem));

    if (problem->unknown) {
        explained->exit = problem->exit == CONSOLE_INTERRUPTED ? CONSOLE_INTERRUPTED : CONSOLE_UNKNOWN;
        explained->advice = advice;
    }
    return explained;
}

/* What came of jobs that were waited for. Where none was read, all has been said. */
static void print_end(run_t *run, const console_job_t *all)
{
    if (all->jobs->nelts > 0 && run->options->json) {
        console_print_job(run->console, all, 1, run->pool);
    }
    else if (all->jobs->nelts > 0) {
        fprintf(run->console->out, "%s\n", console_summary(all, run->pool));
    }
    note_status(run, status_of_job(all));
}

static const console_problem_t *run_unlock(run_t *run)
{
    const console_problem_t *problem;
    apr_array_header_t *names;
    console_job_t all;

    if ((problem = console_names(run->options, &names, run->pool)) != NULL) {
        return problem;
    }
    problem = console_unlock(run->client, run->console, run->options, names, &all, &run->status, run->pool);
    if (problem != NULL) {
        return explain_unknown(run, problem,
                               "see amtunlock jobs before asking again: a job of just now is this one");
    }
    if (run->options->wait) {
        print_end(run, &all);
    }
    else if (run->options->json && all.jobs->nelts > 0) {
        console_print_job(run->console, &all, 1, run->pool);
    }
    return NULL;
}

/* ---- jobs ---------------------------------------------------------------------------------------------- */

/* The jobs that the command line names, each once. */
static const console_problem_t *named_jobs(const run_t *run, apr_array_header_t **ids)
{
    apr_hash_t *seen = apr_hash_make(run->pool);

    *ids = apr_array_make(run->pool, 4, sizeof(const char *));
    for (int i = 0; i < run->options->operands->nelts; i++) {
        const char *text = APR_ARRAY_IDX(run->options->operands, i, const char *);
        const char *id = service_job_id(text, run->pool);

        if (id == NULL) {
            return console_problem(run->pool, CONSOLE_USAGE, "a job is amtunlock: and 26 letters and digits",
                                   "'%s' is not the name of a job", text);
        }
        if (apr_hash_get(seen, id, APR_HASH_KEY_STRING) == NULL) {
            apr_hash_set(seen, id, APR_HASH_KEY_STRING, id);
            APR_ARRAY_PUSH(*ids, const char *) = id;
        }
    }
    return NULL;
}

static const console_problem_t *look_at_job(run_t *run, const char *id, console_job_t *job)
{
    return console_read_job(run->client, id, 0, job, run->pool);
}

static const console_problem_t *cancel_job(run_t *run, const char *id, console_job_t *job)
{
    const console_problem_t *problem = service_cancel(run->client, id, run->pool);
    console_problem_t *ended;

    if (problem != NULL) {
        return explain_unknown(run, problem, apr_psprintf(run->pool, "see: amtunlock status %s", id));
    }
    if ((problem = look_at_job(run, id, job)) == NULL) {
        return NULL;
    }
    /* what came afterwards does not undo that */
    ended = apr_pmemdup(run->pool, problem, sizeof(*problem));
    ended->advice = apr_psprintf(run->pool, "the job was told to end; go on with: amtunlock status %s", id);
    return ended;
}

typedef const console_problem_t *(job_fn)(run_t *run, const char *id, console_job_t *job);

/* What one of several jobs is refused is told, and the others go on. Nonzero: so they do. */
static int goes_on_after(run_t *run, const apr_array_header_t *ids, int i, const console_problem_t *problem)
{
    const char *id = APR_ARRAY_IDX(ids, i, const char *);

    note_status(run, problem->exit);
    console_print_problem(
        run->console, console_problem(run->pool, problem->exit, problem->advice, "%s: %s", id, problem->what),
        run->pool);
    if (problem->refusal != CONSOLE_NOT_REFUSED) {
        return 1;
    }
    while (++i < ids->nelts) {
        fprintf(run->console->err, "amtunlock: %s: not tried\n", APR_ARRAY_IDX(ids, i, const char *));
    }
    return 0;
}

/* Calls `act` for each job that the command line names, and appends what is read. */
static const console_problem_t *each_job(run_t *run, job_fn *act, apr_array_header_t *jobs)
{
    apr_array_header_t *ids;
    const console_problem_t *problem = named_jobs(run, &ids);
    int goes_on = problem == NULL;

    for (int i = 0; goes_on && i < ids->nelts; i++) {
        console_job_t *job = apr_palloc(run->pool, sizeof(*job));

        problem = act(run, APR_ARRAY_IDX(ids, i, const char *), job);
        if (problem == NULL) {
            APR_ARRAY_PUSH(jobs, console_job_t *) = job;
        }
        else if (ids->nelts > 1) {
            goes_on = goes_on_after(run, ids, i, problem);
            problem = NULL;
        }
    }
    return problem;
}

/* One object for programs, else each by itself. */
static void print_jobs(run_t *run, const apr_array_header_t *jobs)
{
    console_job_t all;

    console_merge_jobs(jobs, &all, run->pool);
    if (run->options->json && jobs->nelts > 0) {
        console_print_job(run->console, &all, 1, run->pool);
    }
    for (int i = 0; i < jobs->nelts && !run->options->json; i++) {
        console_print_job(run->console, APR_ARRAY_IDX(jobs, i, const console_job_t *), 0, run->pool);
    }
}

static const console_problem_t *wait_for_jobs(run_t *run)
{
    apr_array_header_t *ids;
    console_following_t *following = console_following_create(
        run->client, run->console, run->options->json ? CONSOLE_FOLLOW_QUIET : CONSOLE_FOLLOW_LINES, 0,
        run->pool);
    const console_problem_t *problem = named_jobs(run, &ids);
    console_job_t all;

    for (int i = 0; i < ids->nelts; i++) {
        console_following_add(following, APR_ARRAY_IDX(ids, i, const char *), 0);
    }
    while (problem == NULL && console_following_left(following) > 0) {
        problem = console_following_step(following);
    }
    note_status(run, console_following_end(following, &all));
    if (problem == NULL) {
        print_end(run, &all);
    }
    return problem;
}

static const console_problem_t *run_status(run_t *run)
{
    apr_array_header_t *jobs = apr_array_make(run->pool, 4, sizeof(console_job_t *));
    const console_problem_t *problem;

    if (run->options->wait) {
        return wait_for_jobs(run);
    }
    problem = each_job(run, look_at_job, jobs);
    print_jobs(run, jobs);
    for (int i = 0; i < jobs->nelts; i++) {
        note_status(run, status_of_job(APR_ARRAY_IDX(jobs, i, const console_job_t *)));
    }
    return problem;
}

static const console_problem_t *run_errors(run_t *run)
{
    apr_array_header_t *jobs = apr_array_make(run->pool, 4, sizeof(console_job_t *));
    const console_problem_t *problem = each_job(run, look_at_job, jobs);
    console_job_t all;

    console_merge_jobs(jobs, &all, run->pool);
    if (jobs->nelts > 0) {
        console_print_errors(run->console, &all, run->options->json, run->pool);
    }
    return problem;
}

static const console_problem_t *run_cancel(run_t *run)
{
    apr_array_header_t *jobs = apr_array_make(run->pool, 4, sizeof(console_job_t *));
    const console_problem_t *problem = each_job(run, cancel_job, jobs);

    print_jobs(run, jobs);
    return problem;
}

static const console_problem_t *run_jobs(run_t *run)
{
    apr_array_header_t *jobs = apr_array_make(run->pool, 20, sizeof(console_job_t *));
    const console_problem_t *problem = service_jobs(run->client, jobs, run->pool);

    if (problem == NULL) {
        console_print_jobs(run->console, jobs, run->options->json, run->pool);
    }
    return problem;
}

static const console_problem_t *run_info(run_t *run)
{
    console_info_t info = {0};
    const console_problem_t *problem = service_info(run->client, &info, run->pool);

    if (problem == NULL) {
        console_print_info(run->console, run->options->url, &info, run->options->json, run->pool);
    }
    return problem;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

static const struct command_t {
    const char *name;
    const char *operands;           /* for the help */
    int min_operands, max_operands; /* max < 0: any number */
    int takes_wait, takes_file;
    command_fn *run;
    const char *what;
} commands[] = {
    {"unlock", "[--wait] [--file FILE] FQDN...", 0, -1, 1, 1, run_unlock, "unlock these systems"},
    {"status", "[--wait] JOB...", 1, -1, 1, 0, run_status, "how far jobs are: who is unlocked, who failed"},
    {"jobs", "", 0, 0, 0, 0, run_jobs, "your jobs that the service still keeps"},
    {"errors", "JOB...", 1, -1, 0, 0, run_errors, "why systems failed, and what to do"},
    {"cancel", "JOB...", 1, -1, 0, 0, run_cancel, "end jobs: what has not begun is not begun"},
    {"info", "", 0, 0, 0, 0, run_info, "what the service says of itself"},
};

static void print_help(const console_t *console)
{
    fputs("amtunlock asks a remote encryption service to unlock PCs.\n\n", console->out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(console->out, "  amtunlock %s %s\n        %s\n", commands[i].name, commands[i].operands,
                commands[i].what);
    }
    fputs("\n"
          "  --url URL      the service, https://HOST/wsman (default: AMTU_URL)\n"
          "  --cacert FILE  PEM of the authorities that its certificate may come from (default: AMTU_CA)\n"
          "  --file FILE    more names, one a line, '#' begins a comment; - is standard input\n"
          "  --wait         stay until the jobs have ended and tell what happens\n"
          "  --json         one JSON object instead of lines\n"
          "  --help, --version\n\n"
          "Who you are is your Kerberos ticket (kinit).\n"
          "Exit status: 0 all unlocked, or the question was answered; 1 some failed; 2 usage;\n"
          "3 the service could not be reached, or refused; 4 not authorised;\n"
          "5 it is not known whether the request was carried out.\n",
          console->out);
}

static const console_problem_t *check_use(const struct command_t *command, const console_options_t *options,
                                          apr_pool_t *pool)
{
    int count = options->operands->nelts;

    if (count < command->min_operands || (command->max_operands >= 0 && count > command->max_operands) ||
        (options->wait && !command->takes_wait) || (options->file != NULL && !command->takes_file)) {
        return console_problem(pool, CONSOLE_USAGE, NULL, "usage: amtunlock %s %s", command->name,
                               command->operands);
    }
    return NULL;
}

static const console_problem_t *find_command(const console_options_t *options,
                                             const struct command_t **command, apr_pool_t *pool)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, options->command) == 0) {
            *command = &commands[i];
            return check_use(*command, options, pool);
        }
    }
    return console_problem(pool, CONSOLE_USAGE, "try: amtunlock --help", "'%s' is not a command",
                           options->command);
}

/* Without TLS the names are sent in the clear: a warning. The service itself decides whether it takes http. */
static const console_problem_t *check_url(const console_t *console, const char *url, apr_pool_t *pool)
{
    if (url == NULL) {
        return console_problem(pool, CONSOLE_USAGE, "give --url https://HOST/wsman, or set AMTU_URL",
                               "which service is not said");
    }
    if (strncasecmp(url, "http://", 7) == 0) {
        fprintf(console->err, "amtunlock: warning: %s is not encrypted\n", console_printable(url, pool));
        return NULL;
    }
    if (strncasecmp(url, "https://", 8) != 0) {
        return console_problem(pool, CONSOLE_USAGE, "it looks like https://HOST/wsman", "'%s' is not a URL",
                               url);
    }
    return NULL;
}

static const console_problem_t *run_command(const console_options_t *options, const console_t *console,
                                            console_exit_e *status, apr_pool_t *pool)
{
    run_t run = {.console = console, .options = options, .pool = pool};
    const struct command_t *command = NULL;
    const console_problem_t *problem = find_command(options, &command, pool);

    problem = problem != NULL ? problem : check_url(console, options->url, pool);
    problem = problem != NULL ? problem : console_client_create(&run.client, console, options, pool);
    problem = problem != NULL ? problem : command->run(&run);
    *status = run.status;
    return problem;
}

console_exit_e console_run(int argc, char *const argv[], const console_t *console, apr_pool_t *pool)
{
    console_options_t options;
    console_exit_e status = CONSOLE_DONE;
    const console_problem_t *problem = console_arguments(argc, argv, &options, pool);

    if (problem == NULL && options.help) {
        print_help(console);
        return CONSOLE_DONE;
    }
    if (problem == NULL && options.version) {
        fputs("amtunlock " AMTUNLOCK_VERSION "\n", console->out);
        return CONSOLE_DONE;
    }
    problem = problem != NULL ? problem : run_command(&options, console, &status, pool);
    if (problem != NULL) {
        console_print_problem(console, problem, pool);
        return problem->exit;
    }
    return status;
}
