/* SPDX-License-Identifier: Apache-2.0 */
/* simulate: runs plans from seeds, says what broke, and makes what broke smaller. See README.md. */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "ground.h"
#include "shrink.h"
#include "world.h"

#define SHRINK_TRIES 300
#define RUNS_AT_MOST_S 120 /* of real time: one that takes longer hangs */

typedef struct {
    apr_uint64_t seed;
    long tasks;
    int seconds; /* of real time, at most; 0: any */
    const char *keep;
    const char *only; /* faults whose names begin so */
    int calm, tells, shrinks, goes_on;
} options_t;

/* ---- one run, in a process of its own ------------------------------------------------------------------ */

/* A crash of the product is a breach, too. */
static void judge_end_of(int status, outcome_t *outcome)
{
    if (WIFSIGNALED(status)) {
        snprintf(outcome->breach, sizeof(outcome->breach), "crash: the process ended by signal %d",
                 WTERMSIG(status));
    }
    else if (WEXITSTATUS(status) != 0) {
        snprintf(outcome->breach, sizeof(outcome->breach), "crash: the process ended with %d",
                 WEXITSTATUS(status));
    }
}

static void run_here(const plan_t *plan, int to, apr_pool_t *pool)
{
    outcome_t outcome = {.breach = ""};

    alarm(RUNS_AT_MOST_S);
    world_run(plan, &outcome, pool);
    fflush(stdout);
    if (write(to, &outcome, sizeof(outcome)) != (ssize_t)sizeof(outcome)) {
        _exit(3);
    }
    _exit(0);
}

static void run_plan(const plan_t *plan, outcome_t *outcome, apr_pool_t *pool)
{
    int ends[2], status = 0;
    pid_t child;

    memset(outcome, 0, sizeof(*outcome));
    fflush(stdout);
    if (pipe(ends) != 0 || (child = fork()) < 0) {
        perror("simulate");
        exit(2);
    }
    if (child == 0) {
        close(ends[0]);
        run_here(plan, ends[1], pool);
    }
    close(ends[1]);
    while (read(ends[0], outcome, sizeof(*outcome)) < 0 && errno == EINTR) {
    }
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    judge_end_of(status, outcome);
}

/* ---- shrinking ----------------------------------------------------------------------------------------- */

typedef struct {
    plan_t plan;
    char rule[64]; /* that was broken */
    apr_pool_t *pool;
} shrinking_t;

static void rule_of(const char *breach, char *rule, size_t size)
{
    snprintf(rule, size, "%.*s", (int)strcspn(breach, ":"), breach);
}

static int still_fails(void *baton, const int *elements, int count)
{
    shrinking_t *shrinking = baton;
    char rule[64];
    outcome_t outcome;

    plan_keep(&shrinking->plan, elements, count);
    if (plan_tasks(&shrinking->plan) == 0) {
        return 0;
    }
    run_plan(&shrinking->plan, &outcome, shrinking->pool);
    rule_of(outcome.breach, rule, sizeof(rule));
    return strcmp(rule, shrinking->rule) == 0;
}

static void shrink_plan(plan_t *plan, const outcome_t *outcome, apr_pool_t *pool)
{
    shrinking_t shrinking = {.plan = *plan, .pool = pool};
    int elements[PLAN_FAULTS + PLAN_JOBS * PLAN_SYSTEMS];
    int all = plan_elements(plan), count = 0;

    rule_of(outcome->breach, shrinking.rule, sizeof(shrinking.rule));
    for (int i = 0; i < all; i++) {
        elements[count++] = i;
    }
    count = shrink(elements, count, SHRINK_TRIES, still_fails, &shrinking);
    plan_keep(plan, elements, count);
}

/* ---- many runs ----------------------------------------------------------------------------------------- */

static void add_figures(judge_figures_t *all, const judge_figures_t *one)
{
    all->tasks += one->tasks;
    all->unlocked += one->unlocked;
    all->failed += one->failed;
    all->cancelled += one->cancelled;
    all->powers += one->powers;
    all->typed += one->typed;
    all->taken_over += one->taken_over;
    all->joined += one->joined;
    all->indeterminate += one->indeterminate;
    all->excused += one->excused;
}

static void report(const plan_t *plan, const outcome_t *outcome)
{
    char kept[4000];

    plan_write_kept(plan, kept, sizeof(kept));
    printf("breach of %s\n", outcome->breach);
    plan_tell(plan);
    printf("again: build/simulate/simulate --seed %llu --keep '%s' --tell\n", (unsigned long long)plan->seed,
           kept);
}

static int run_one(const options_t *options, apr_uint64_t seed, judge_figures_t *figures, apr_pool_t *pool)
{
    plan_t plan;
    outcome_t outcome;

    plan_make(&plan, seed, options->calm);
    if (options->keep != NULL && !plan_read_kept(&plan, options->keep)) {
        fputs("simulate: --keep names what the plan of this seed does not have\n", stderr);
        exit(2);
    }
    if (options->only != NULL) {
        plan_only(&plan, options->only);
    }
    ground.says = options->tells;
    if (options->tells) {
        plan_tell(&plan);
    }
    run_plan(&plan, &outcome, pool);
    add_figures(figures, &outcome.figures);
    if (options->tells) {
        printf("trace %016llx, %llu events, %.1f s\n", (unsigned long long)outcome.trace,
               (unsigned long long)outcome.events, (double)outcome.lasted / 1e6);
    }
    if (outcome.breach[0] == '\0') {
        return 1;
    }
    if (options->keep == NULL && options->shrinks && !options->goes_on) {
        printf("seed %llu breaks %s\n", (unsigned long long)seed, outcome.breach);
        fflush(stdout);
        ground.says = 0;
        shrink_plan(&plan, &outcome, pool);
        run_plan(&plan, &outcome, pool);
    }
    if (options->goes_on) {
        printf("seed %llu breaks %s\n", (unsigned long long)seed, outcome.breach);
    }
    else {
        report(&plan, &outcome);
    }
    return 0;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of this process and those that ran its plans. */
static double cpu_seconds(void)
{
    struct rusage own, children;

    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
                    children.ru_stime.tv_sec) +
           (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
                    children.ru_stime.tv_usec) /
               1e6;
}

static int run_all(const options_t *options, apr_pool_t *pool)
{
    judge_figures_t figures = {.tasks = 0};
    double began = seconds_now(), took;
    apr_uint64_t seed = options->seed;
    int breaches = 0;

    do {
        breaches += !run_one(options, seed++, &figures, pool);
    } while ((breaches == 0 || options->goes_on) && options->keep == NULL && figures.tasks < options->tasks &&
             (options->seconds == 0 || seconds_now() - began < options->seconds));
    took = seconds_now() - began;
    printf(
        "%llu seeds, %ld tasks in %.1f s, %.1f s of CPU (%.0f tasks an hour of a core): %ld unlocked, %ld failed (%ld indeterminate), %ld cancelled; "
        "%ld power requests, %ld passphrases, %ld taken over, %ld joined; %ld excused, %d breaches\n",
        (unsigned long long)(seed - options->seed), figures.tasks, took, cpu_seconds(),
        (double)figures.tasks / cpu_seconds() * 3600, figures.unlocked, figures.failed, figures.indeterminate,
        figures.cancelled, figures.powers, figures.typed, figures.taken_over, figures.joined, figures.excused,
        breaches);
    return breaches == 0 ? 0 : 1;
}

/* ---- the command line ---------------------------------------------------------------------------------- */

static int usage(void)
{
    fputs(
        "usage: simulate [--seed N] [--tasks N] [--seconds N] [--keep 'f0 t1.2 ...'] [--only NAME] [--calm] [--tell] [--no-shrink] [--go-on]\n",
        stderr);
    return 2;
}

static int read_options(int argc, char **argv, options_t *options)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'},    {"tasks", required_argument, NULL, 't'},
        {"seconds", required_argument, NULL, 'l'}, {"keep", required_argument, NULL, 'k'},
        {"only", required_argument, NULL, 'o'},    {"calm", no_argument, NULL, 'c'},
        {"tell", no_argument, NULL, 'v'},          {"no-shrink", no_argument, NULL, 'n'},
        {"go-on", no_argument, NULL, 'g'},         {NULL, 0, NULL, 0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (letter) {
        case 's':
            options->seed = strtoull(optarg, NULL, 10);
            break;
        case 't':
            options->tasks = strtol(optarg, NULL, 10);
            break;
        case 'l':
            options->seconds = (int)strtol(optarg, NULL, 10);
            break;
        case 'k':
            options->keep = optarg;
            break;
        case 'o':
            options->only = optarg;
            break;
        case 'c':
            options->calm = 1;
            break;
        case 'v':
            options->tells = 1;
            break;
        case 'n':
            options->shrinks = 0;
            break;
        case 'g':
            options->goes_on = 1;
            break;
        default:
            return 0;
        }
    }
    return optind == argc;
}

/* Addresses decide in what order APR's hashes are walked: the same ones each time. */
static void fix_addresses(char **argv)
{
    int now = personality(0xffffffff);

    if (now != -1 && !(now & ADDR_NO_RANDOMIZE) &&
        personality((unsigned long)now | ADDR_NO_RANDOMIZE) != -1) {
        execv("/proc/self/exe", argv);
    }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static char folder[] = "/dev/shm/amtunlock-simulate-XXXXXX";

/* At the end of this process; those that run a plan end without it. */
static void remove_folder(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    options_t options = {.seed = 1, .tasks = 1000, .shrinks = 1};
    apr_pool_t *pool = NULL;
    const char *error = NULL;

    if (!read_options(argc, argv, &options)) {
        return usage();
    }
    fix_addresses(argv);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (mkdtemp(folder) == NULL) {
        perror("simulate: no folder in memory");
        return 2;
    }
    atexit(remove_folder);
    error = world_prepare(folder, pool);
    if (error != NULL) {
        fprintf(stderr, "simulate: %s\n", error);
    }
    return error == NULL ? run_all(&options, pool) : 2;
}
