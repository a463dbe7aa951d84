/* SPDX-License-Identifier: Apache-2.0 */
/* Job state: the verbs of jobs/lua (Redis Functions) as C calls.
 *
 * Everything that must survive a process is in Redis, changed only by these verbs, each atomic there. This
 * header knows neither httpd nor WS-Man nor AMT. Times are microseconds of Redis' own clock (apr_time_t).
 * Strings and arrays that come back are in the pool of the call.
 *
 * Two ways in: the web side borrows connections from a bounded pool (jobs_pool_t, any thread) under one
 * budget of time a call; a worker's threads each own a connection (jobs_client_t, one thread).
 */
#ifndef AMTUNLOCK_JOBS_JOBS_H
#define AMTUNLOCK_JOBS_JOBS_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "base/clock.h"
#include "jobs/reason.h"

/* ---- how a call ended ---------------------------------------------------------------------------------- */

typedef enum {
    JOBS_OK,
    JOBS_ALREADY, /* the same worker and fence did this before: nothing was written again */
    JOBS_REFUSED, /* state, worker, fence or job did not match, or the call came too late: nothing was written
                   */
    JOBS_NOT_FOUND,   /* no such job, or another caller's */
    JOBS_QUOTA,       /* a limit of this caller is reached */
    JOBS_CONFLICT,    /* the state forbids it (Delete of a running job, Terminate of an ended one; intend: the
                         same    device is being unlocked as another system: finish with JOBS_REASON_BUSY) */
    JOBS_UNAVAILABLE, /* Redis is away, slow, loading, read-only, out of memory, or has no such function */
    JOBS_OUTDATED,    /* Redis holds a newer jobs/lua than this program knows */
    JOBS_BROKEN       /* an answer that this program does not understand */
} jobs_outcome_e;

typedef struct {
    jobs_outcome_e outcome;
    const char *text; /* for the log: what went wrong, without secrets; "" when nothing did */
} jobs_result_t;

/* ---- where Redis is ------------------------------------------------------------------------------------ */

typedef struct {
    const char *socket; /* path of a unix socket, or NULL */
    const char *host;   /* else host and port */
    int port;
    const char *user;     /* ACL user, or NULL for none */
    const char *password; /* or NULL; never logged */
} jobs_redis_t;

/* "unix:/path" or "host:port" or "[v6]:port" into *redis. NULL, or the sentence that says what is wrong. */
const char *jobs_redis_parse(const char *address, jobs_redis_t *redis, apr_pool_t *pool);
/* The first line of a password file into *password. NULL, or the sentence that says what is wrong. */
const char *jobs_redis_read_password(const char *file, const char **password, apr_pool_t *pool);

/* ---- the web side -------------------------------------------------------------------------------------- */

typedef struct jobs_pool_t jobs_pool_t;

/* Makes a store with at most `connections` connections, none open yet. Call after fork. `budget` bounds each
 * call as a whole: waiting for a connection (a quarter of it at most), connect, AUTH and the command. While
 * Redis is away calls fail at once, but one a second that tries. Closed with `pool`. */
apr_status_t jobs_pool_create(jobs_pool_t **store, const jobs_redis_t *redis, int connections,
                              apr_interval_time_t budget, apr_pool_t *pool);

/* Who asks. */
typedef struct {
    const char *name;      /* r->user */
    const char *peer;      /* address */
    const char *mechanism; /* "krb5", "ntlm", "proxy" */
    const apr_array_header_t
        *groups;   /* const char *: groups of systems this caller may unlock; "*" is every one */
    int reads_all; /* an operator: may read (never change) every caller's jobs */
} jobs_caller_t;

/* A name as the caller wrote it, and what it is looked up by (lower case, no trailing dot, canonical
 * address). */
typedef struct {
    const char *spelling;
    const char *key;
} jobs_name_t;

typedef struct {
    const apr_array_header_t *names;  /* jobs_name_t, in the order sent */
    const char *message_id;           /* canonical UUID, or NULL: no request is recognised as a repeat */
    apr_interval_time_t retention;    /* how long the job is kept after it completed */
    apr_interval_time_t start_within; /* tasks not claimed by then fail with `timeout` */
    int max_waiting_jobs;             /* of this caller; 0: no limit */
    int max_waiting_systems;
} jobs_submission_t;

/* CIM_ConcreteJob.JobState */
typedef enum {
    JOBS_STATE_NEW = 2,
    JOBS_STATE_RUNNING = 4,
    JOBS_STATE_COMPLETED = 7,
    JOBS_STATE_TERMINATED = 8
} jobs_state_e;

typedef struct {
    const char *id; /* 26 base32 characters; "amtunlock:" is manageability's */
    jobs_state_e state;
    const char *caller;
    apr_time_t submitted, started, changed, completed; /* 0: not yet */
    apr_time_t now;                                    /* Redis' clock at the read */
    apr_interval_time_t retention;
    int total;                              /* systems, repeats folded */
    int unlocked, failed, running, waiting; /* running: claimed or later; sums to total */
    int cancelled;                          /* Terminate was asked */
} jobs_job_t;

/* Names (const char *, the caller's spellings) of a window of the request, in the order sent. */
typedef struct {
    apr_array_header_t *unlocked;
    apr_array_header_t *failed;
} jobs_results_t;

typedef struct {
    const char *name; /* as sent */
    const char *step; /* "" where none began */
    jobs_reason_e reason;
} jobs_error_t;

/* What a submission has to do with those of the same caller before it, by its MessageID. */
typedef enum {
    JOBS_MATCH_NEW = 0,
    JOBS_MATCH_DUPLICATE = 1, /* the same systems, too: the same job */
    JOBS_MATCH_MESSAGE_ID_REUSED =
        2 /* with other systems, in a job that is still there: a job of its own, but odd */
} jobs_match_e;

/* Resolves, creates, queues; or finds the job of the same MessageID and systems. *kin may be NULL. */
jobs_result_t jobs_submit(jobs_pool_t *store, const jobs_caller_t *caller,
                          const jobs_submission_t *submission, const char **id, jobs_match_e *match,
                          apr_pool_t *pool);
/* id NULL: the caller's latest. */
jobs_result_t jobs_read(jobs_pool_t *store, const jobs_caller_t *caller, const char *id, jobs_job_t **job,
                        apr_pool_t *pool);
/* first from 0; count < 0: to the end. */
jobs_result_t jobs_results(jobs_pool_t *store, const jobs_caller_t *caller, const char *id, int first,
                           int count, jobs_results_t **results, apr_pool_t *pool);
/* jobs_error_t of each failed system in a window of the request, in the order sent. */
jobs_result_t jobs_errors(jobs_pool_t *store, const jobs_caller_t *caller, const char *id, int first,
                          int count, apr_array_header_t **errors, apr_pool_t *pool);
/* const char *: ids of the caller's jobs (of all, for one who reads all), newest first. */
jobs_result_t jobs_list(jobs_pool_t *store, const jobs_caller_t *caller, apr_array_header_t **ids,
                        apr_pool_t *pool);
/* Terminate. JOBS_CONFLICT if it has ended. */
jobs_result_t jobs_cancel(jobs_pool_t *store, const jobs_caller_t *caller, const char *id, apr_pool_t *pool);
/* Delete of a finished job; JOBS_CONFLICT if it has not. */
jobs_result_t jobs_forget(jobs_pool_t *store, const jobs_caller_t *caller, const char *id, apr_pool_t *pool);

/* Enumeration contexts: `fields` is opaque text, `items` are const char *. */
jobs_result_t jobs_context_open(jobs_pool_t *store, const jobs_caller_t *caller, const char *fields,
                                const apr_array_header_t *items, int expires_seconds, int max_contexts,
                                const char **id, apr_pool_t *pool);
jobs_result_t jobs_context_pull(jobs_pool_t *store, const jobs_caller_t *caller, const char *id, int count,
                                const char **fields, apr_array_header_t **items, int *more, apr_pool_t *pool);
jobs_result_t jobs_context_release(jobs_pool_t *store, const jobs_caller_t *caller, const char *id,
                                   apr_pool_t *pool);

/* What the status page and the metrics show. */
typedef struct {
    int jobs_unfinished, systems_waiting, systems_leased;
    int inventory_systems;
    apr_time_t inventory_published;
    const char *inventory_digest;
    apr_array_header_t *workers;  /* const char *: ids with a live heartbeat, and what each said of itself */
    apr_array_header_t *counters; /* jobs_counter_t: totals since the data began */
    apr_time_t now;
} jobs_overview_t;

typedef struct {
    const char *name; /* "jobs", "unlocked", "failed:<reason code>" */
    apr_uint64_t value;
} jobs_counter_t;

jobs_result_t jobs_overview(jobs_pool_t *store, jobs_overview_t **overview, apr_pool_t *pool);

/* ---- the worker side ----------------------------------------------------------------------------------- */

typedef struct jobs_client_t jobs_client_t;

/* A connection of one thread. Not connected yet; each call connects where needed (at most every second) and
 * gives JOBS_UNAVAILABLE while it cannot. `timeout` bounds connect and each command. Closed with `pool`. */
apr_status_t jobs_client_create(jobs_client_t **connection, const jobs_redis_t *redis,
                                apr_interval_time_t timeout, apr_pool_t *pool);
/* Loads jobs/lua into Redis where it is absent or older. JOBS_OUTDATED where Redis' is newer. */
jobs_result_t jobs_library_load(jobs_client_t *connection);
/* Connects, where there is no connection now: run_id is then that of the Redis which the next call reaches.
 */
jobs_result_t jobs_connect(jobs_client_t *connection, apr_pool_t *pool);
/* run_id of the Redis that this connection reached last; "" before. It changes when Redis was restarted. */
const char *jobs_client_run_id(const jobs_client_t *connection);
/* How long that Redis was up when it was reached, in whole seconds. */
apr_interval_time_t jobs_client_uptime(const jobs_client_t *connection);
/* *are: this Redis has jobs that have not ended. JOBS_OK, or JOBS_UNAVAILABLE. */
jobs_result_t jobs_are_unfinished(jobs_client_t *connection, int *are, apr_pool_t *pool);

/* Which task: a system of a job, and the claim by which a worker has it. */
typedef struct {
    const char *job;
    const char *system; /* FQDN of its inventory line, lower case */
    const char *fence;  /* decimal text; compared as text */
} jobs_task_ref_t;

/* A claimed task, in the pool of the claim. */
typedef struct {
    jobs_task_ref_t ref; /* first: a task stands where its reference is wanted */
    int verify_only;     /* a predecessor may have acted: read and report, never act */
    const char *intent;  /* verify_only: what that predecessor wrote, as given to jobs_intend(); else NULL */
    const char *caller, *peer, *mechanism; /* for the audit record */
    apr_time_t lease_until; /* by the local CLOCK_BOOTTIME, counted from before the claim was sent */
} jobs_task_t;

/* Lease and grace, microseconds. A build may have others (the one with fault points has a second and half a
 * second); a test build may change them by the environment: AMTUNLOCK_TEST_LEASE_MS, AMTUNLOCK_TEST_GRACE_MS.
 */
#ifndef JOBS_LEASE_MS
#define JOBS_LEASE_MS 30000
#endif
#ifndef JOBS_GRACE_MS
#define JOBS_GRACE_MS 15000
#endif
#ifdef AMTUNLOCK_TEST
#define JOBS_LEASE clock_test_interval("AMTUNLOCK_TEST_LEASE_MS", apr_time_from_msec(JOBS_LEASE_MS))
#define JOBS_GRACE clock_test_interval("AMTUNLOCK_TEST_GRACE_MS", apr_time_from_msec(JOBS_GRACE_MS))
#else
#define JOBS_LEASE apr_time_from_msec(JOBS_LEASE_MS)
#define JOBS_GRACE apr_time_from_msec(JOBS_GRACE_MS)
#endif

/* How fast the systems of a group may be claimed: so long from one to the next, over all workers. Group "*":
 * every group that is not named, each by itself. */
typedef struct {
    const char *group;
    apr_interval_time_t interval; /* 0: as fast as they come */
} jobs_rate_limit_t;

/* Up to `max` tasks of systems in inventory `digest`; JOBS_REFUSED while that is not the published one.
 * *more: worth asking again at once. `pool` takes the jobs_task_t in *tasks. `ramps` (jobs_rate_limit_t) may
 * be NULL. What a ramp holds back is there again within two seconds of its time. */
jobs_result_t jobs_claim(jobs_client_t *connection, const char *worker, const char *digest, int max,
                         const apr_array_header_t *ramps, apr_array_header_t **tasks, int *more,
                         apr_pool_t *pool);
/* Renews these leases and no others; *lost gets those (jobs_task_ref_t) that are not this worker's any more.
 * *lease_until is the new end for all others, by clock_boottime(). Also the worker's heartbeat: `about` is
 * what the status page shows of it. */
jobs_result_t jobs_renew(jobs_client_t *connection, const char *worker, const char *about,
                         const apr_array_header_t *tasks, apr_array_header_t **lost, apr_time_t *lease_until,
                         apr_pool_t *pool);

/* One change of a task's durable state. */
typedef enum {
    JOBS_INTEND,
    JOBS_POWER_RATE, /* takes a time for its power request from its group's ramp, which all workers share */
    JOBS_PROGRESS,
    JOBS_FINISH,
    JOBS_RELEASE,
    /* Tells a Redis that was started anew of an intent that it may have forgotten. JOBS_OK: it had, or its
     * holder is gone; the task is looked at next. JOBS_ALREADY: it knows. JOBS_NOT_FOUND: the job is gone.
     * JOBS_REFUSED: the task has ended without it. */
    JOBS_RESTORE_INTENT,
    /* The same of an end. JOBS_OK: it had, and the task has ended. JOBS_ALREADY: it knows. JOBS_NOT_FOUND:
     * the job is gone, as old ones are. JOBS_REFUSED: it holds another end, or a later holder looks at the
     * PC. */
    JOBS_RESTORE_RESULT
} jobs_change_e;

typedef struct {
    jobs_change_e change;
    jobs_task_ref_t task;
    const char *step;   /* all: where the task is */
    const char *intent; /* intend, reassert: JSON, what will be set and what stood before */
    const char *device; /* intend, reassert: UUID of the device really reached, or "" */
    apr_interval_time_t
        step_deadline;            /* intend, reassert: looking must have ended this long after the call */
    const char *group;            /* ramp: the group, */
    apr_interval_time_t interval; /* and at least so long from one power request to the next */
    apr_interval_time_t wait;     /* ramp, out: so long from now */
    char state;                   /* progress: 'P' or 'B'; finish, attest: 'U' or 'F' */
    jobs_reason_e reason;         /* finish, attest of 'F' */
    jobs_result_t result;         /* out */
} jobs_change_t;

/* Sends all changes (jobs_change_t *) in one pipeline and fills each result; each stands for itself. Returns
 * JOBS_UNAVAILABLE if the connection broke (then every unanswered result says so and may or may not be done).
 */
jobs_result_t jobs_apply(jobs_client_t *connection, const char *worker, jobs_change_t *const *changes,
                         int count, apr_pool_t *pool);
/* Nonzero: Redis decided, and would decide the same again; else it could not, and should be asked anew. */
int jobs_is_decided(jobs_outcome_e outcome);

/* Takes over what dead workers left and ends what was never started in time. *reaped: how many tasks moved.
 */
jobs_result_t jobs_reap(jobs_client_t *connection, const char *worker, int *reaped, apr_pool_t *pool);
/* Waits up to `timeout` for the bell. JOBS_OK rung or not. */
jobs_result_t jobs_bell_wait(jobs_client_t *connection, apr_interval_time_t timeout, apr_pool_t *pool);

/* One system of a published inventory. */
typedef struct {
    const char *system, *group, *method;
    const apr_array_header_t *keys; /* const char *: every name and address it is known by, SID included */
} jobs_published_t;

/* Publishes systems (jobs_published_t) in chunks and switches to them; `digest` names this inventory,
 * `written` is when its file was last changed. JOBS_ALREADY: it is the live one; JOBS_REFUSED: the live one
 * is newer; JOBS_CONFLICT: two systems share a name. */
jobs_result_t jobs_publish(jobs_client_t *connection, const char *worker, const char *digest,
                           apr_time_t written, const apr_array_header_t *systems, apr_pool_t *pool);

#endif
