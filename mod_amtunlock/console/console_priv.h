/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the command `amtunlock`: what it is asked for, what can go wrong, what it prints. It knows what
 * WS-Man answers its Kerberos user, and nothing else of the product.
 */
#ifndef AMTUNLOCK_CONSOLE_CONSOLE_PRIV_H
#define AMTUNLOCK_CONSOLE_CONSOLE_PRIV_H

#include <stdio.h>

#include <apr_pools.h>
#include <apr_tables.h>

/* Exit statuses: a contract with scripts. */
typedef enum {
    CONSOLE_DONE = 0,    /* all asked for is unlocked, or the question was answered */
    CONSOLE_FAILED = 1,  /* some systems failed, each named with its reason code */
    CONSOLE_USAGE = 2,   /* the command line, or the file of names */
    CONSOLE_SERVICE = 3, /* the service could not be reached, or refused */
    CONSOLE_DENIED = 4,  /* not authorised */
    CONSOLE_UNKNOWN = 5, /* the request may have been carried out: no answer says whether it was */
    CONSOLE_INTERRUPTED  /* by Ctrl-C: ends the process by that signal */
} console_exit_e;

/* What the service said no to. */
typedef enum {
    CONSOLE_NOT_REFUSED, /* it did not answer, not with a fault, or to nothing that this caller asks */
    CONSOLE_REFUSED,     /* this request */
    CONSOLE_OVER_QUOTA,  /* this request now: the caller has too much at once */
    CONSOLE_TOO_LARGE,   /* a message of this size */
    CONSOLE_BAD_NAMES,   /* the names, or how many they are */
    CONSOLE_NO_SUCH_JOB
} console_refusal_e;

/* Why something did not work: what, and (may be NULL) what to do about it. */
typedef struct {
    console_exit_e exit;
    const char *what;
    const char *advice;
    int passing; /* worth asking again: nothing answered, or "not now" */
    int unknown; /* what was asked for may have been done */
    console_refusal_e refusal;
} console_problem_t;

console_problem_t *console_problem(apr_pool_t *pool, console_exit_e code, const char *advice,
                                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- arguments.c --------------------------------------------------------------------------------------- */

typedef struct {
    const char *url;    /* --url, else AMTU_URL */
    const char *cacert; /* --cacert, else AMTU_CA; NULL: the system's authorities */
    const char *file;   /* --file; "-" is standard input */
    int wait, json, help, version;
    const char *command;
    apr_array_header_t *operands; /* const char *: what follows the command */
} console_options_t;

/* NULL, or a problem of usage. */
const console_problem_t *console_arguments(int argc, char *const argv[], console_options_t *options,
                                           apr_pool_t *pool);

/* ---- names.c ------------------------------------------------------------------------------------------- */

/* Names of the command line and then of the file (one a line; '#' begins a comment), repeats dropped. */
const console_problem_t *console_names(const console_options_t *options, apr_array_header_t **names,
                                       apr_pool_t *pool);

/* ---- output.c ------------------------------------------------------------------------------------------ */

/* Where a run writes. */
typedef struct {
    FILE *out, *err;
    int live; /* err is a terminal: its last line is overwritten */
} console_t;

typedef struct {
    const char *system;
    const char *reason;  /* code */
    const char *message; /* what happened */
    const char *action;  /* what to do; may be "" */
    const char *step;    /* may be "" */
} console_failure_t;

typedef struct {
    const char *job;          /* InstanceID; of several the first */
    apr_array_header_t *jobs; /* const char *: all InstanceIDs */
    const char *state;        /* "New", "Running", "Completed", "Terminated" or a number */
    const char *status;       /* text of the service; may be "" */
    int state_number;
    int percent;
    apr_array_header_t *unlocked;    /* const char * */
    apr_array_header_t *failed;      /* console_failure_t */
    apr_array_header_t *not_started; /* const char *: in no job; may be NULL */
    apr_array_header_t *unknown;     /* const char *: nobody knows whether they are in one; may be NULL */
} console_job_t;

/* Several (const console_job_t *), in their order, as one; of none, `jobs` is empty. */
void console_merge_jobs(const apr_array_header_t *jobs, console_job_t *all, apr_pool_t *pool);
/* Text of a peer as it may go to a terminal: control characters become '?'. */
const char *console_printable(const char *text, apr_pool_t *pool);
void console_print_problem(const console_t *console, const console_problem_t *problem, apr_pool_t *pool);
/* "18 of 20 unlocked, 2 failed: a unreachable, b auth-failed"; ", 3 not started" */
const char *console_summary(const console_job_t *job, apr_pool_t *pool);
void console_print_job(const console_t *console, const console_job_t *job, int json, apr_pool_t *pool);
void console_print_errors(const console_t *console, const console_job_t *job, int json, apr_pool_t *pool);
/* console_job_t * each; lists of systems are not shown. */
void console_print_jobs(const console_t *console, const apr_array_header_t *jobs, int json, apr_pool_t *pool);

/* What `info` shows. */
typedef struct {
    const char *product; /* vendor and version, or "" */
    const char *name, *system;
    unsigned int max_systems; /* MaxSystemsPerRequest; 0: the service does not say */
} console_info_t;

void console_print_info(const console_t *console, const char *url, const console_info_t *info, int json,
                        apr_pool_t *pool);

/* ---- commands.c ---------------------------------------------------------------------------------------- */

/* The whole command; signals and libraries are main()'s. */
console_exit_e console_run(int argc, char *const argv[], const console_t *console, apr_pool_t *pool);

/* Set by a signal handler: all waiting ends. */
extern volatile int console_interrupted;

#endif
