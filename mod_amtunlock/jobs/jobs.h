/* SPDX-License-Identifier: Apache-2.0 */
/* Job state: the verbs of jobs/lua (Redis Functions) as C calls.
 *
 * Everything that must survive a process is in Redis, changed only by these verbs, each atomic there. This
 * header knows neither httpd nor WS-Man nor AMT. Times are microseconds of Redis' own clock (apr_time_t).
 * Strings and arrays that a call returns are in its pool.
 *
 * Two ways in: the web side takes connections from a bounded pool (jobs_pool_t, any thread) under one budget
 * of time a call; a worker's threads each own a connection (jobs_client_t, one thread).
 */
#ifndef AMTUNLOCK_JOBS_JOBS_H
#define AMTUNLOCK_JOBS_JOBS_H

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "base/clock.h"
#include "jobs/reason.h"

/* ---- how a call ended ---------------------------------------------------------------------------------- */

typedef enum {
    JOBS_OK,
    JOBS_ALREADY,   /* the same worker and fence did this before: nothing was written again */
    JOBS_REFUSED,   /* state, worker, fence or job did not match, or the call was late: nothing was written */
    JOBS_NOT_FOUND, /* no such job, or another caller's */
    JOBS_QUOTA,     /* a limit of this caller is reached */
    /* The state forbids it: Delete of a running job, Terminate of an ended one; intend: the same device is
     * being unlocked as another system (finish with JOBS_REASON_BUSY). */
    JOBS_CONFLICT,
    /* intend: the job of a task that was taken over was cancelled, and no worker before had powered the PC (finish with
     * JOBS_REASON_CANCELLED). */
    JOBS_CANCELLED,
    JOBS_UNAVAILABLE, /* Redis is away, slow, loading, read-only, out of memory, or has no such function */
    JOBS_OUTDATED,    /* Redis holds a newer jobs/lua than this program knows */
    JOBS_BROKEN,      /* an answer that this program does not understand, or a verb that failed halfway */
    /* Web side: a change was sent whole and its answer did not come, so it may have been done, or be done
     * yet. Every other outcome but JOBS_OK, JOBS_ALREADY and JOBS_BROKEN says that nothing was done. */
    JOBS_UNKNOWN,
    JOBS_OUTCOMES
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

/* "unix:/path" or "host:port" or "[v6]:port" into *redis. NULL, or an error message. */
const char *jobs_redis_parse(const char *address, jobs_redis_t *redis, apr_pool_t *pool);
/* The first line of a password file into *password. NULL, or an error message. */
const char *jobs_redis_read_password(const char *file, const char **password, apr_pool_t *pool);

/* What one call to Redis goes through at most, where it writes each: names, tasks, items. More of them are several calls,
 * so that none holds Redis for more than two milliseconds. CHANGES_A_CALL of jobs/lua/core.lua. */
#define JOBS_CHANGES_A_CALL 250

/* ---- the web side -------------------------------------------------------------------------------------- */

typedef struct jobs_pool_t jobs_pool_t;

typedef struct {
    int connections; /* at most */
    int patient;     /* more of them, for changes: so many calls at a time may be patient; may be 0 */
    apr_interval_time_t
        budget; /* of a call: to find a connection (a quarter at most), connect, and send; and,
                                   unless it is patient, for the answer, too */
    apr_interval_time_t patience; /* of a patient call in all: it waits for the answer to what was sent */
} jobs_pool_limits_t;

/* No connection is open yet. Call after fork. A change that finds no patient connection free is not sent.
 * While Redis is away calls fail at once, but for one a second that tries it. Closed with `pool`. */
apr_status_t jobs_pool_create(jobs_pool_t **jobs, const jobs_redis_t *redis, const jobs_pool_limits_t *limits,
                              apr_pool_t *pool);

/* A caller of the service. */
typedef struct {
    const char *name;      /* r->user */
    const char *peer;      /* address */
    const char *mechanism; /* "krb5", "ntlm", "proxy" */
    /* const char *: groups of systems this caller may unlock; "*" is every one. Behind a blank "SERVICE/DIGEST" may
     * say which directive granted it: see jobs_publish_scopes() */
    const apr_array_header_t *groups;
    int reads_all; /* an operator: may read (never change) every caller's jobs */
} jobs_caller_t;

/* A name as the caller wrote it, and the form that it is looked up by: jobs_name_key(). */
typedef struct {
    const char *spelling;
    const char *key;
} jobs_name_t;

/* What one caller may have at a time; 0: no limit. */
typedef struct {
    int jobs;     /* that have not ended */
    int systems;  /* that wait */
    int contexts; /* enumerations in progress */
    int kept;     /* jobs, ended ones with them */
    int names;    /* of these jobs, known or not, and items of enumerations */
} jobs_limits_t;

typedef struct {
    const apr_array_header_t *names;  /* jobs_name_t, in the order sent */
    const char *message_id;           /* canonical UUID, or NULL: duplicates are not recognised */
    apr_interval_time_t retention;    /* how long the job is kept after it completed */
    apr_interval_time_t start_within; /* tasks not claimed by then fail with `timeout` */
    jobs_limits_t limits;             /* of this caller */
} jobs_submission_t;

/* CIM_ConcreteJob.JobState */
typedef enum {
    JOBS_STATE_NEW = 2,
    JOBS_STATE_RUNNING = 4,
    JOBS_STATE_COMPLETED = 7,
    JOBS_STATE_TERMINATED = 8
} jobs_state_e;

/* Whether tasks are begun, and why not. A worker says which in its heartbeat: " idle=WORD". */
typedef enum {
    JOBS_ATTENDED,
    JOBS_NOBODY,    /* no worker is running */
    JOBS_INVENTORY, /* all that run have another inventory than the published one */
    JOBS_RECORD,    /* all that run cannot write their audit record */
    JOBS_RESTART,   /* all that run wait, since Redis was started anew */
} jobs_attendance_e;

/* NULL: none, for the first two. */
const char *jobs_attendance_word(jobs_attendance_e attendance);

typedef struct {
    const char *id; /* 26 base32 characters; "amtunlock:" is manageability's */
    jobs_state_e state;
    const char *caller;
    apr_time_t submitted, started, changed, completed; /* 0: not yet */
    apr_time_t now;                                    /* Redis' clock at the read */
    apr_interval_time_t retention;
    int total;                              /* systems, each counted once */
    int unlocked, failed, running, waiting; /* running: claimed or later; sums to total */
    int cancelled;                          /* Terminate was asked */
    jobs_attendance_e attendance;
} jobs_job_t;

/* Names (const char *, the caller's spellings) of a window of the request, in the order sent. */
typedef struct {
    apr_array_header_t *unlocked;
    apr_array_header_t *failed;
} jobs_results_t;

typedef struct {
    const char *name; /* as sent */
    const char *step; /* "" if none began */
    jobs_reason_e reason;
} jobs_error_t;

/* How the MessageID of a submission matches the earlier submissions of its caller. */
typedef enum {
    JOBS_MATCH_NEW = 0,
    JOBS_MATCH_DUPLICATE = 1, /* the same systems, too: the same job */
    JOBS_MATCH_MESSAGE_ID_REUSED =
        2 /* other systems, in a job that still exists: a job of its own, but odd */
} jobs_match_e;

/* Resolves, creates, queues; or finds the job of the same MessageID and systems. `match` may be NULL. With JOBS_OK
 * the text is "", or names of systems that are there and that the caller may not unlock: "COUNT NAME NAME ...", at most
 * ten of them. */
jobs_result_t jobs_submit(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_submission_t *submission,
                          const char **id, jobs_match_e *match, apr_pool_t *pool);
/* Says which directives that grant groups this httpd has (`digests`: const char *, hex digits), as of the time that it
 * read its configuration. A system whose grant is gone when a worker would begin it is not unlocked. `service` is one
 * word that other httpds do not have. */
jobs_result_t jobs_publish_scopes(jobs_pool_t *jobs, const char *service, apr_time_t read_at,
                                  const apr_array_header_t *digests, apr_pool_t *pool);
/* id NULL: the caller's latest. */
jobs_result_t jobs_read(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, jobs_job_t **job,
                        apr_pool_t *pool);
/* Of one call to Redis for jobs_read_page(). */
#define JOBS_READ_MOST 100
/* Those of the jobs `ids` (const char *) that the caller may read and that there are, by id, in *found (id ->
 * jobs_job_t *). */
jobs_result_t jobs_read_page(jobs_pool_t *jobs, const jobs_caller_t *caller, const apr_array_header_t *ids,
                             apr_hash_t **found, apr_pool_t *pool);

/* Names that come with a look, at most; names of a page. */
#define JOBS_NAMES_A_LOOK 64
#define JOBS_NAMES_A_PAGE 250

typedef enum { JOBS_RESULTS, JOBS_ERRORS } jobs_list_e;

/* Names of a request, in the order sent. */
typedef struct {
    const char *job;  /* NULL: the caller's latest */
    int first, count; /* first from 0; count < 0: to the end */
} jobs_window_t;

/* What a look at a window finds. */
typedef struct {
    jobs_list_e list;
    jobs_window_t window; /* of the job that it is, within its names */
    /* Opaque. As long as it stays the same, with the job's id in it, the list does; it stays while nothing changes, over
     * all httpds and restarts. */
    const char *version;
    apr_time_t as_of;   /* by Redis' clock */
    const void *listed; /* the names, if they came with it; jobs' own */
} jobs_look_t;

/* Whether the caller may read the job, and its version: one short call, whatever the size of the job. JOBS_ALREADY: the
 * version is the `known` one (NULL: none is). */
jobs_result_t jobs_look(jobs_pool_t *jobs, const jobs_caller_t *caller, jobs_list_e list,
                        const jobs_window_t *window, const char *known, jobs_look_t *look, apr_pool_t *pool);
/* The lists as they were when that look was answered (JOBS_OK), in as many short calls as it takes. Of what ended between
 * two of these calls nothing is in them; of what Redis' clock does not tell apart, having been set back meanwhile, some
 * may be. JOBS_REFUSED: Redis came back with older data in between. */
jobs_result_t jobs_results(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_look_t *look,
                           jobs_results_t **results, apr_pool_t *pool);
/* The same: jobs_error_t of each failed system. */
jobs_result_t jobs_errors(jobs_pool_t *jobs, const jobs_caller_t *caller, const jobs_look_t *look,
                          apr_array_header_t **errors, apr_pool_t *pool);
/* const char *: ids of the caller's jobs (of every caller's, if it reads all), newest first;
 * JOBS_LISTED_MOST at most. */
#define JOBS_LISTED_MOST 5000
jobs_result_t jobs_list(jobs_pool_t *jobs, const jobs_caller_t *caller, apr_array_header_t **ids,
                        apr_pool_t *pool);
/* Terminate. JOBS_CONFLICT if the job has ended. */
jobs_result_t jobs_cancel(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, apr_pool_t *pool);
/* Delete of a finished job; JOBS_CONFLICT if it has not. */
jobs_result_t jobs_forget(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, apr_pool_t *pool);

/* Enumeration contexts: `fields` is opaque text, `items` are const char *, of which JOBS_ITEMS_MOST are kept. A pull may
 * give fewer than were asked for; *more says whether it was the last. */
#define JOBS_ITEMS_MOST 20000
jobs_result_t jobs_context_open(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *fields,
                                const apr_array_header_t *items, int expires_seconds,
                                const jobs_limits_t *limits, const char **id, apr_pool_t *pool);
jobs_result_t jobs_context_pull(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id, int count,
                                const char **fields, apr_array_header_t **items, int *more, apr_pool_t *pool);
jobs_result_t jobs_context_release(jobs_pool_t *jobs, const jobs_caller_t *caller, const char *id,
                                   apr_pool_t *pool);

/* What the status page and the metrics show. */
typedef struct {
    int jobs_unfinished, systems_waiting, systems_leased;
    int inventory_systems;
    apr_time_t inventory_published;
    const char *inventory_digest;
    apr_array_header_t *workers; /* const char *: ids with a live heartbeat, each with its worker's `about` */
    apr_array_header_t *counters; /* jobs_counter_t: totals since Redis was empty */
    apr_time_t now;
} jobs_overview_t;

typedef struct {
    const char *name; /* "jobs", "unlocked", "failed:<reason code>" */
    apr_uint64_t value;
} jobs_counter_t;

jobs_result_t jobs_overview(jobs_pool_t *jobs, jobs_overview_t **overview, apr_pool_t *pool);

/* ---- the worker side ----------------------------------------------------------------------------------- */

typedef struct jobs_client_t jobs_client_t;

/* A client for one thread. Not connected yet; each call connects if needed (at most once a second) and gives
 * JOBS_UNAVAILABLE while it cannot. `timeout` bounds connect and each command. Closed with `pool`. */
apr_status_t jobs_client_create(jobs_client_t **client, const jobs_redis_t *redis,
                                apr_interval_time_t timeout, apr_pool_t *pool);
/* Loads jobs/lua into Redis if it is absent or older there, and tries it as below. JOBS_OUTDATED if Redis' is newer. */
jobs_result_t jobs_library_load(jobs_client_t *client);
/* The same without loading: JOBS_OK where it is there or could be loaded. */
jobs_result_t jobs_library_look(jobs_client_t *client);
/* Whether a worker may call the functions that it needs, as far as they are there: JOBS_OK; else the text says what an
 * ACL file of another version forbids, or why Redis could not be asked. Does nothing there. */
jobs_result_t jobs_library_try(jobs_client_t *client, apr_pool_t *pool);
/* Whether this Redis is set up to keep what it acknowledges, as conf/redis.conf sets it: *weakness is NULL, or what is
 * not so, in `pool`. JOBS_OK, or JOBS_UNAVAILABLE. */
jobs_result_t jobs_durability(jobs_client_t *client, const char **weakness, apr_pool_t *pool);
/* Connects, unless connected: run_id is then that of the Redis which the next call reaches. */
jobs_result_t jobs_connect(jobs_client_t *client, apr_pool_t *pool);
/* run_id of the Redis that was reached last; "" before. Another one means that Redis was restarted. */
const char *jobs_client_run_id(const jobs_client_t *client);
/* Which history its data had then (master_replid): another one once it has followed another Redis, whose data may have
 * been older. "" where that is not known. */
const char *jobs_client_history(const jobs_client_t *client);
/* How long that Redis was up when it was reached, in whole seconds. */
apr_interval_time_t jobs_client_uptime(const jobs_client_t *client);
/* *are: this Redis has jobs that have not ended. JOBS_OK, or JOBS_UNAVAILABLE. */
jobs_result_t jobs_are_unfinished(jobs_client_t *client, int *are, apr_pool_t *pool);
/* What workers say of themselves (jobs_beat()), const char *, of at most the first 100 that were heard within half a
 * lease. JOBS_OK, or JOBS_UNAVAILABLE. */
jobs_result_t jobs_workers_heard(jobs_client_t *client, apr_array_header_t **abouts, apr_pool_t *pool);

/* What may be done to a PC once in the life of a task. Each mark is durable right before its act may leave. */
typedef enum {
    JOBS_MARK_POWER = 1, /* the power request */
    JOBS_MARK_TYPED = 2, /* a passphrase, or its seal */
    /* an older version held the task, which kept no marks: anything may have been done */
    JOBS_MARKS_UNKNOWN = 4,
    JOBS_MARK_LINE = 8,  /* an empty line, which asks for a prompt once more and may cost a try */
    JOBS_MARK_AGAIN = 16 /* a second one, and the last */
} jobs_mark_e;

/* Marks as words with blanks between, as Redis and the audit record hold them: "power typed", "" for none. What is not
 * understood is JOBS_MARKS_UNKNOWN, and so is NULL. */
unsigned int jobs_marks_parse(const char *words);
/* In `pool`, or static. */
const char *jobs_marks_words(unsigned int marks, apr_pool_t *pool);
/* Of one. */
const char *jobs_mark_word(jobs_mark_e mark);

/* Which task: a system of a job, and the claim by which a worker has it. */
typedef struct {
    const char *job;
    const char *system; /* FQDN of its inventory line, lower case */
    const char *fence;  /* decimal text; compared as text */
} jobs_task_ref_t;

/* A claimed task, in the pool of the claim. */
typedef struct {
    jobs_task_ref_t ref; /* first, so that a pointer to a task is one to its reference */
    int taken_over;      /* from a worker that had an intent; `marks` say what it may have done */
    unsigned int marks;  /* jobs_mark_e of that worker and those before; else 0 */
    const char *intent;  /* taken_over: the intent of that worker, as given to JOBS_INTEND; else NULL */
    const char *caller, *peer, *mechanism; /* for the audit record */
    apr_time_t lease_until; /* by the local CLOCK_BOOTTIME, counted from before the claim was sent */
} jobs_task_t;

/* Lease and grace, microseconds. Another build may define others (with failpoints: a second and half a
 * second); a test build takes them from the environment: AMTUNLOCK_TEST_LEASE_MS, AMTUNLOCK_TEST_GRACE_MS. */
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

/* How fast the systems of a group may be claimed: `interval` from one to the next, over all workers. Group
 * "*": every group that is not named, each by itself. */
typedef struct {
    const char *group;
    apr_interval_time_t interval; /* 0: no limit */
} jobs_rate_limit_t;

/* Up to `max` tasks (jobs_task_t, in `pool`) of systems in inventory `digest`; JOBS_REFUSED while that is not
 * the published one. *more: worth asking again at once. `limits` (jobs_rate_limit_t) may be NULL; a task that
 * a limit holds back can be claimed from two seconds before its time on. */
jobs_result_t jobs_claim(jobs_client_t *client, const char *worker, const char *digest, int max,
                         const apr_array_header_t *limits, apr_array_header_t **tasks, int *more,
                         apr_pool_t *pool);
/* The worker's heartbeat alone; renews nothing, and loses nothing. */
jobs_result_t jobs_beat(jobs_client_t *client, const char *worker, const char *about, apr_pool_t *pool);
/* Renews the leases of `tasks` (jobs_task_ref_t) and no others; *lost gets those that are not this worker's
 * any more. *lease_until is the new end for the rest, by clock_boottime(). Also the worker's heartbeat:
 * `about` is what the status page shows of it. */
jobs_result_t jobs_renew(jobs_client_t *client, const char *worker, const char *about,
                         const apr_array_header_t *tasks, apr_array_header_t **lost, apr_time_t *lease_until,
                         apr_pool_t *pool);

/* One change of a task's durable state. */
typedef enum {
    JOBS_INTEND,     /* also of a task that was taken over, unless its marks are JOBS_MARK_TYPED or unknown */
    JOBS_MARK,       /* of the holder's own intent */
    JOBS_POWER_RATE, /* takes the next time for a power request in the group, which all workers share */
    JOBS_PROGRESS,
    JOBS_FINISH,
    JOBS_RELEASE,
    /* Restores an intent that Redis may have lost, having been restarted or restored from a copy, and its marks. JOBS_OK:
     * it had, or the intent's worker is gone; the task is taken over next. JOBS_ALREADY: it has the intent.
     * JOBS_NOT_FOUND: the job is gone. JOBS_REFUSED: the task has ended without it, or (`kept`) it was never taken. */
    JOBS_RESTORE_INTENT,
    /* The same for a result. JOBS_OK: it had lost it, and the task has ended now. JOBS_ALREADY: it has the
     * result. JOBS_NOT_FOUND: the job is gone, as old ones are. JOBS_REFUSED: it has another result, or a
     * later worker is verifying the PC. */
    JOBS_RESTORE_RESULT,
    JOBS_CHANGES
} jobs_change_e;

typedef struct {
    jobs_change_e change;
    jobs_task_ref_t task;
    const char *step;   /* all: where the task is */
    const char *intent; /* intend, restore intent: JSON, what will be set and what was set before */
    const char *device; /* intend, restore intent: the device really reached, "UUID/KEY" or "UUID", or "" */
    /* intend, restore intent: verifying must have ended this long from now */
    apr_interval_time_t step_deadline;
    jobs_mark_e mark;             /* mark: which */
    unsigned int marks;           /* restore intent: all that are known of it, jobs_mark_e */
    const char *group;            /* power rate: the group */
    apr_interval_time_t interval; /* power rate: from one power request of the group to the next */
    apr_interval_time_t wait;     /* power rate, out: so long from now */
    char state;                   /* progress: 'P' or 'B'; finish, restore result: 'U' or 'F' */
    jobs_reason_e reason;         /* finish, restore result of 'F' */
    unsigned int blameless : 1; /* finish: it failed for a cause that is not the PC's; no breaker counts it */
    /* restore intent: the Redis that took what the worker was told that it took, and while it is the same has all of it;
     * NULL: that is not known of any. Another one may answer by the time that this is sent. */
    const char *run_id, *history;
    unsigned int kept : 1;  /* restore intent, out: that one was asked: what it does not have it never took */
    const char *kept_marks; /* restore intent, out: the marks that Redis has of it now, as words */
    jobs_result_t result;   /* out */
} jobs_change_t;

/* Sends the changes in one pipeline and fills the result of each; none depends on another. JOBS_UNAVAILABLE
 * if the connection broke: every unanswered result says so then, and the change may or may not be done. */
jobs_result_t jobs_apply(jobs_client_t *client, const char *worker, jobs_change_t *const *changes, int count,
                         apr_pool_t *pool);
/* Nonzero: Redis has decided, and would decide the same again. 0: it could not, and is to be asked again. */
int jobs_is_decided(jobs_outcome_e outcome);

/* Nonzero: the data that Redis holds of this task are of no type that the functions write, so that asking again
 * would not help, and it cannot be claimed. */
int jobs_is_spoilt(const jobs_result_t *result);

/* Systems that are there, and that a caller asked for without being allowed to unlock them. */
typedef struct {
    apr_time_t asked;
    const char *job, *caller, *mechanism, *peer;
    const char *names; /* "COUNT NAME NAME ...", at most ten of them */
} jobs_denial_t;

/* Fetches some (jobs_denial_t), each once for all workers. httpd's user writes them: any text may be there. */
jobs_result_t jobs_take_denials(jobs_client_t *client, apr_array_header_t **denials, apr_pool_t *pool);
/* Takes systems from dead workers and ends what was never started in time. *reaped: how many tasks moved. */
jobs_result_t jobs_reap(jobs_client_t *client, const char *worker, int *reaped, apr_pool_t *pool);
/* Waits up to `timeout` for a wake-up (the key `bell`). JOBS_OK whether it came or not. */
jobs_result_t jobs_bell_wait(jobs_client_t *client, apr_interval_time_t timeout, apr_pool_t *pool);

/* A text of less than JOBS_SEAL_MAX bytes that stays in Redis for a year, under a name of its writer. *text is ""
 * where there is none. JOBS_OK, or why Redis could not be asked. */
#define JOBS_SEAL_MAX 256
jobs_result_t jobs_seal_read(jobs_client_t *client, const char *name, const char **text, apr_pool_t *pool);
jobs_result_t jobs_seal_write(jobs_client_t *client, const char *name, const char *text, apr_pool_t *pool);

/* One system of a published inventory. */
typedef struct {
    const char *system, *group, *method;
    const apr_array_header_t *keys; /* const char *: every name and address it has, `system` among them */
} jobs_published_t;

/* What an inventory is published as. Of two with different digests the one that was written later counts; an older one
 * replaces it when no worker was heard for twice a lease that serves it. */
typedef struct {
    const char *digest;
    apr_time_t written;
    const char *host; /* of the worker, for the log of another one */
} jobs_edition_t;

/* Publishes systems (jobs_published_t) in chunks and switches to them. JOBS_OK: the text is "", or says which one that was
 * not older it replaces. JOBS_ALREADY: it is the live one; JOBS_REFUSED: another stays the live one; JOBS_CONFLICT: two
 * systems share a name. */
jobs_result_t jobs_publish(jobs_client_t *client, const char *worker, const jobs_edition_t *edition,
                           const apr_array_header_t *systems, apr_pool_t *pool);
/* What jobs_publish() would be answered now (but for JOBS_CONFLICT), once the workers of edition->host do not serve the live
 * one any more. Changes nothing. */
jobs_result_t jobs_publish_ask(jobs_client_t *client, const jobs_edition_t *edition, apr_pool_t *pool);

#endif
