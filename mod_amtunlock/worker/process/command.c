/* SPDX-License-Identifier: Apache-2.0 */
/* One row a command; the worker itself is the row without words. */
#include "worker/process/command_priv.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_getopt.h>
#include <apr_strings.h>

#include "audit/audit.h"
#include "drives/drives.h"
#include "preflight/check.h"
#include "preflight/start.h"
#include "unlock/graph.h"
#include "worker/process/daemon_priv.h"
#include "worker/process/user_priv.h"
#include "worker/record/seal.h"
#include "worker/settings/snapshot.h"

enum { EXIT_OK = 0, EXIT_WRONG = 1, EXIT_USAGE = 2 };

static const char usage_text[] =
    "amtunlockd: the worker of mod_amtunlock\n"
    "\n"
    "  amtunlockd [-c FILE]                  serve, in the foreground\n"
    "  amtunlockd [-c FILE] [-u USER] check [--offline]\n"
    "                                        read settings, secrets and inventory, and look at all else that a "
    "start needs,\n"
    "                                        Redis too (not --offline); say what is wrong\n"
    "  amtunlockd [-c FILE] [-u USER] check FQDN\n"
    "                                        look at this PC without touching it; say whether it could be "
    "unlocked\n"
    "  amtunlockd [-c FILE] inventory check INVENTORY\n"
    "                                        the same for another inventory file\n"
    "  amtunlockd audit verify [--head HASH:COUNT] FILE\n"
    "                                        check an audit file, whole, and up to a head known from "
    "elsewhere\n"
    "  amtunlockd steps                      print the steps of an unlock as a graph for Graphviz\n"
    "  amtunlockd --version | --help\n"
    "\n"
    "  -c FILE   settings, default " SETTINGS_FILE "\n"
    "  -u USER   check as this user; for root, default the owner of the state-dir\n"
    "  SIGHUP reads settings and inventory again; SIGTERM stops.\n";

typedef struct {
    const char *file; /* of settings */
    const char *user; /* NULL: see user_take() */
    const char *head;
    int offline;
    const char *words[4];
    int count;
    apr_pool_t *pool;
} line_t;

/* `kind` stands before each reason. */
static void print_list(const apr_array_header_t *problems, const char *kind)
{
    for (int i = 0; i < problems->nelts; i++) {
        const inventory_problem_t *problem = &APR_ARRAY_IDX(problems, i, inventory_problem_t);

        if (problem->line > 0) {
            fprintf(stderr, "%s:%u: %s%s\n", problem->file, problem->line, kind, problem->reason);
        }
        else {
            fprintf(stderr, "%s: %s%s\n", problem->file, kind, problem->reason);
        }
    }
}

static int print_problems(const apr_array_header_t *problems)
{
    print_list(problems, "");
    return problems->nelts > 0 ? EXIT_WRONG : EXIT_OK;
}

static void print_warnings(const inventory_t *inventory)
{
    print_list(inventory_warnings(inventory), "warning: ");
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static int do_serve(const line_t *line)
{
    char *whole = realpath(line->file, NULL);
    const char *file = apr_pstrdup(line->pool, whole != NULL ? whole : line->file);

    free(whole);
    return worker_run(file, line->pool);
}

/* NULL: it has printed what is wrong. */
static snapshot_t *load_snapshot(const line_t *line)
{
    apr_array_header_t *problems = apr_array_make(line->pool, 8, sizeof(inventory_problem_t));
    snapshot_t *snapshot = NULL;
    const char *error = user_take(line->user, line->file, line->pool);

    if (error != NULL) {
        fprintf(stderr, "amtunlockd: %s\n", error);
        return NULL;
    }
    if (secrets_process_init() != APR_SUCCESS) {
        fprintf(stderr, "amtunlockd: memory for secrets cannot be had\n");
        return NULL;
    }
    snapshot = snapshot_load(line->file, problems, line->pool);
    print_problems(problems);
    return snapshot;
}

/* The same word on each host of a service: they have the same key. */
static void print_proof_key(const snapshot_t *snapshot)
{
    const proof_key_t *key = snapshot_proof_key(snapshot);

    if (snapshot_needs_proof_key(snapshot)) {
        printf("%s: %s%s\n", snapshot_settings(snapshot)->proof_key,
               key != NULL ? "proof key " : "not there yet",
               key != NULL ? proof_key_id(key) : "; the worker makes it at its start");
    }
}

static int do_check(const line_t *line)
{
    snapshot_t *snapshot = load_snapshot(line);
    apr_array_header_t *problems = apr_array_make(line->pool, 4, sizeof(inventory_problem_t));
    apr_array_header_t *warnings = apr_array_make(line->pool, 4, sizeof(inventory_problem_t));

    if (snapshot == NULL) {
        return EXIT_WRONG;
    }
    check_start(snapshot, line->offline, problems, warnings, line->pool);
    print_warnings(snapshot_inventory(snapshot));
    print_list(warnings, "warning: ");
    if (print_problems(problems) == EXIT_OK) {
        printf("%s: well; %d systems in %s%s\n", line->file, inventory_count(snapshot_inventory(snapshot)),
               snapshot_settings(snapshot)->inventory, line->offline ? "; Redis was not asked" : "");
        print_proof_key(snapshot);
    }
    snapshot_unref(snapshot);
    return problems->nelts > 0 ? EXIT_WRONG : EXIT_OK;
}

static int do_check_system(const line_t *line)
{
    snapshot_t *snapshot = load_snapshot(line);
    int failed = 0;

    if (snapshot == NULL) {
        return EXIT_WRONG;
    }
    failed = check_system(snapshot, line->words[1], line->pool);
    snapshot_unref(snapshot);
    return failed ? EXIT_WRONG : EXIT_OK;
}

static int do_inventory_check(const line_t *line)
{
    apr_array_header_t *problems = apr_array_make(line->pool, 8, sizeof(inventory_problem_t));
    const char *file = line->words[2];
    settings_t *settings = NULL;
    inventory_t *inventory = NULL;

    if (settings_load(&settings, line->file, problems, line->pool) == APR_SUCCESS &&
        inventory_load(&inventory, file, settings->groups, problems, line->pool) == APR_SUCCESS) {
        snapshot_check_systems(inventory, settings, file, problems, line->pool);
    }
    if (problems->nelts > 0) {
        return print_problems(problems);
    }
    print_warnings(inventory);
    printf("%s: well; %d systems\n", file, inventory_count(inventory));
    return EXIT_OK;
}

/* NULL where Redis was asked for the seal of this host's record; else why not, "" where it is not that record. */
static const char *read_seal(const line_t *line, const char *file, const char **seal)
{
    apr_array_header_t *problems = apr_array_make(line->pool, 8, sizeof(inventory_problem_t));
    settings_t *settings = NULL;
    jobs_client_t *client = NULL;
    char name[DIGEST_DIGITS + 1];
    const char *error = NULL;
    jobs_result_t result;

    if (settings_load(&settings, line->file, problems, line->pool) != APR_SUCCESS) {
        return "";
    }
    if (strcmp(settings->audit, file) != 0) {
        return "";
    }
    error = user_take(line->user, line->file, line->pool);
    if (error == NULL) {
        error = settings_read_password(settings, line->pool);
    }
    if (error != NULL) {
        return error;
    }
    if (!seal_name(file, name) ||
        jobs_client_create(&client, &settings->redis, apr_time_from_sec(2), line->pool) != APR_SUCCESS) {
        return "no memory";
    }
    result = jobs_seal_read(client, name, seal, line->pool);
    return result.outcome == JOBS_OK ? NULL : result.text;
}

/* A record that begins anew is well in itself; what was sealed in Redis says that there was another. */
static int verify_seal(const line_t *line, const char *file)
{
    const char *seal = "";
    const char *fault = read_seal(line, file, &seal);

    if (fault != NULL && fault[0] == '\0') {
        return EXIT_OK;
    }
    if (fault != NULL || seal[0] == '\0') {
        printf("%s: not compared with a seal in Redis: %s\n", file, fault != NULL ? fault : "there is none");
        return EXIT_OK;
    }
    fault = audit_judge_seal(file, seal, line->pool);
    if (fault != NULL) {
        fprintf(stderr, "%s: %s (sealed in Redis: %s)\n", file, fault, seal);
        return EXIT_WRONG;
    }
    printf("%s: holds what is sealed in Redis: %s\n", file, seal);
    return EXIT_OK;
}

static int do_audit_verify(const line_t *line)
{
    const char *file = line->words[2];
    apr_uint64_t count = 0;
    const char *error = audit_verify(file, line->head, &count, line->pool);

    if (error != NULL) {
        fprintf(stderr, "%s: %s\n", file, error);
        return EXIT_WRONG;
    }
    printf("%s: well; %" APR_UINT64_T_FMT " lines%s\n", file, count,
           line->head != NULL ? ", and the head is reached" : "");
    return verify_seal(line, file);
}

/* Not for users: a worker executes it. */
static int do_drives(const line_t *line)
{
    return drives_serve(line->words[1], line->pool);
}

static int do_steps(const line_t *line)
{
    (void)line;
    graph_write(stdout);
    return EXIT_OK;
}

typedef struct {
    const char *words[2]; /* NULL: none */
    int arguments;        /* that follow the words */
    int (*run)(const line_t *line);
} command_t;

static const command_t commands[] = {
    {{NULL, NULL}, 0, do_serve},
    {{"check", NULL}, 0, do_check},
    {{"check", NULL}, 1, do_check_system},
    {{"inventory", "check"}, 1, do_inventory_check},
    {{"audit", "verify"}, 1, do_audit_verify},
    {{"drives", NULL}, 1, do_drives},
    {{"steps", NULL}, 0, do_steps},
};

/* ---- the line ------------------------------------------------------------------------------------------ */

static int print_usage(const char *what, const char *which)
{
    fprintf(stderr, "amtunlockd: %s%s%s\nTry: amtunlockd --help\n", what, which != NULL ? " " : "",
            which != NULL ? which : "");
    return EXIT_USAGE;
}

static int is_command(const command_t *command, const line_t *line)
{
    int words = 0;

    for (; words < 2 && command->words[words] != NULL; words++) {
        if (words >= line->count || strcmp(command->words[words], line->words[words]) != 0) {
            return 0;
        }
    }
    return line->count == words + command->arguments;
}

static int run_line(const line_t *line)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!is_command(&commands[i], line)) {
            continue;
        }
        if (line->head != NULL && commands[i].run != do_audit_verify) {
            return print_usage("--head belongs to audit verify", NULL);
        }
        if (line->offline && commands[i].run != do_check) {
            return print_usage("--offline belongs to check", NULL);
        }
        return commands[i].run(line);
    }
    return print_usage("no such command, or not its arguments:", line->words[0]);
}

enum { OPTION_HELP = 256, OPTION_VERSION, OPTION_HEAD, OPTION_OFFLINE };

static const apr_getopt_option_t options[] = {{"config", 'c', 1, NULL},
                                              {"user", 'u', 1, NULL},
                                              {"head", OPTION_HEAD, 1, NULL},
                                              {"offline", OPTION_OFFLINE, 0, NULL},
                                              {"help", OPTION_HELP, 0, NULL},
                                              {"version", OPTION_VERSION, 0, NULL},
                                              {NULL, 0, 0, NULL}};

/* The exit status, or -1 to go on. */
static int take_line_option(line_t *line, int option, const char *value)
{
    switch (option) {
    case 'c':
        line->file = value;
        return -1;
    case 'u':
        line->user = value;
        return -1;
    case OPTION_HEAD:
        line->head = value;
        return -1;
    case OPTION_OFFLINE:
        line->offline = 1;
        return -1;
    case OPTION_VERSION:
        printf("amtunlockd %s\n", AMTUNLOCK_VERSION);
        return EXIT_OK;
    default:
        fputs(usage_text, stdout);
        return EXIT_OK;
    }
}

static int take_line_options(line_t *line, int argc, const char *const *argv)
{
    apr_getopt_t *reader = NULL;
    const char *value = NULL;
    int option = 0;
    apr_status_t status = apr_getopt_init(&reader, line->pool, argc, argv);

    if (status != APR_SUCCESS) {
        return EXIT_WRONG;
    }
    reader->interleave = 1;
    while ((status = apr_getopt_long(reader, options, &option, &value)) == APR_SUCCESS) {
        int end = take_line_option(line, option, value);

        if (end >= 0) {
            return end;
        }
    }
    if (status != APR_EOF) {
        return print_usage("try --help", NULL);
    }
    for (int i = reader->ind; i < argc; i++) {
        if (line->count == (int)(sizeof(line->words) / sizeof(line->words[0]))) {
            return print_usage("too many words:", argv[i]);
        }
        line->words[line->count++] = reader->argv[i];
    }
    return -1;
}

int command_run(int argc, const char *const *argv)
{
    line_t line = {.file = SETTINGS_FILE};
    int end = 0;

    if (apr_pool_create(&line.pool, NULL) != APR_SUCCESS) {
        return EXIT_WRONG;
    }
    end = take_line_options(&line, argc, argv);
    if (end < 0) {
        end = run_line(&line);
    }
    apr_pool_destroy(line.pool);
    return end;
}
