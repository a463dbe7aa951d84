/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, one row and one function each. */
#include <string.h>

#include <apr_strings.h>

#include "console/progress_priv.h"

/* One run of the command. */
typedef struct {
    const console_t *console;
    const console_options_t *options;
    console_client_t *client;
    apr_pool_t *pool;
    console_exit_e status; /* where nothing went wrong */
} run_t;

/* NULL, or what went wrong. */
typedef const console_problem_t *(command_fn)(run_t *run);

static console_exit_e status_of_job(const console_job_t *job)
{
    return console_has_ended(job) && job->failed->nelts > 0 ? CONSOLE_FAILED : CONSOLE_DONE;
}

/* ---- unlock -------------------------------------------------------------------------------------------- */

static const console_problem_t *check_count(const run_t *run, int count)
{
    unsigned int max;
    const console_problem_t *problem = service_max_systems(run->client, &max, run->pool);

    if (problem != NULL || max == 0 || (unsigned int)count <= max) {
        return problem;
    }
    return console_problem(
        run->pool, CONSOLE_SERVICE, "ask in parts, or have AMTUnlockMaxSystems raised",
        "%d systems asked for, but the service takes at most %u in one request; nothing was started", count,
        max);
}

/* Where no answer says whether a request was carried out: how to find out. */
static const console_problem_t *explain_unknown(const run_t *run, const console_problem_t *problem,
                                                const char *advice)
{
    if (!problem->unknown) {
        return problem;
    }
    return console_problem(run->pool,
                           problem->exit == CONSOLE_INTERRUPTED ? CONSOLE_INTERRUPTED : CONSOLE_UNKNOWN,
                           advice, "%s", problem->what);
}

/* What came after the job was started, or ended, does not undo that. */
static const console_problem_t *explain_done(const run_t *run, const console_problem_t *problem,
                                             const char *id, const char *done)
{
    return problem == NULL
               ? NULL
               : console_problem(run->pool, problem->exit,
                                 apr_psprintf(run->pool, "%s; go on with: amtunlock status %s", done, id),
                                 "%s", problem->what);
}

static const console_problem_t *finish_waiting(run_t *run, const char *id, int names)
{
    console_job_t job;
    const console_problem_t *problem =
        console_follow(run->client, run->console, id, names, run->options->json, &job, run->pool);

    if (problem != NULL) {
        return problem;
    }
    if (run->options->json) {
        console_print_job(run->console, &job, 1, run->pool);
    }
    else {
        fprintf(run->console->out, "%s\n", console_summary(&job, run->pool));
    }
    run->status = status_of_job(&job);
    return NULL;
}

static const console_problem_t *run_unlock(run_t *run)
{
    const console_problem_t *problem;
    apr_array_header_t *names;
    const char *id = NULL;
    console_job_t job;

    problem = console_names(run->options, &names, run->pool);
    problem = problem != NULL ? problem : check_count(run, names->nelts);
    if (problem != NULL) {
        return problem;
    }
    problem = service_unlock(run->client, names, &id, run->pool);
    if (problem != NULL) {
        return explain_unknown(run, problem,
                               "see amtunlock jobs before asking again: a job of just now is this one");
    }
    if (run->options->wait) {
        fprintf(run->console->err, "job %s\n", console_printable(id, run->pool));
        return finish_waiting(run, id, names->nelts);
    }
    if (!run->options->json) {
        fprintf(run->console->out, "%s\n", console_printable(id, run->pool));
        return NULL;
    }
    problem = console_read_job(run->client, id, names->nelts, &job, run->pool);
    if (problem == NULL) {
        console_print_job(run->console, &job, 1, run->pool);
    }
    return explain_done(run, problem, id, "the job is started");
}

/* ---- jobs ---------------------------------------------------------------------------------------------- */

static const console_problem_t *named_job(const run_t *run, const char **id)
{
    const char *text = APR_ARRAY_IDX(run->options->operands, 0, const char *);

    *id = service_job_id(text, run->pool);
    return *id != NULL
               ? NULL
               : console_problem(run->pool, CONSOLE_USAGE, "a job is amtunlock: and 26 letters and digits",
                                 "'%s' is not the name of a job", text);
}

static const console_problem_t *run_status(run_t *run)
{
    const console_problem_t *problem;
    console_job_t job;
    const char *id;

    problem = named_job(run, &id);
    if (problem == NULL && run->options->wait) {
        return finish_waiting(run, id, 0);
    }
    problem = problem != NULL ? problem : console_read_job(run->client, id, 0, &job, run->pool);
    if (problem == NULL) {
        console_print_job(run->console, &job, run->options->json, run->pool);
        run->status = status_of_job(&job);
    }
    return problem;
}

static const console_problem_t *run_errors(run_t *run)
{
    const console_problem_t *problem;
    console_job_t job;
    const char *id;

    problem = named_job(run, &id);
    problem = problem != NULL ? problem : console_read_job(run->client, id, 0, &job, run->pool);
    if (problem == NULL) {
        console_print_errors(run->console, &job, run->options->json, run->pool);
    }
    return problem;
}

static const console_problem_t *run_cancel(run_t *run)
{
    const console_problem_t *problem;
    console_job_t job;
    const char *id;

    if ((problem = named_job(run, &id)) != NULL) {
        return problem;
    }
    if ((problem = service_cancel(run->client, id, run->pool)) != NULL) {
        return explain_unknown(run, problem, apr_psprintf(run->pool, "see: amtunlock status %s", id));
    }
    problem = console_read_job(run->client, id, 0, &job, run->pool);
    if (problem == NULL) {
        console_print_job(run->console, &job, run->options->json, run->pool);
    }
    return explain_done(run, problem, id, "the job was told to end");
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
    {"status", "[--wait] JOB", 1, 1, 1, 0, run_status, "how far a job is: who is unlocked, who failed"},
    {"jobs", "", 0, 0, 0, 0, run_jobs, "your jobs that the service still keeps"},
    {"errors", "JOB", 1, 1, 0, 0, run_errors, "why systems failed, and what to do"},
    {"cancel", "JOB", 1, 1, 0, 0, run_cancel, "end a job: what has not begun is not begun"},
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
          "  --wait         stay until the job has ended and tell what happens\n"
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
