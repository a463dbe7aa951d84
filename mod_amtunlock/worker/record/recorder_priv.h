/* SPDX-License-Identifier: Apache-2.0 */
/* The audit record as the outbox writes it: lines are added, committed together, and the head is kept for the
 * status page and syslog. The outbox thread's, but for what says "any thread". */
#ifndef AMTUNLOCK_WORKER_RECORD_RECORDER_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_RECORDER_PRIV_H

#include <stdatomic.h>

#include <apr_pools.h>
#include <apr_thread_mutex.h>
#include <jansson.h>

#include "audit/audit.h"
#include "base/system_log.h"
#include "jobs/jobs.h"
#include "worker/record/marks_priv.h"
#include "worker/record/outbox.h"

#define RECORDER_HEAD_MAX 96

typedef struct {
    audit_t *audit;
    marks_t *marks; /* gets every line */
    const char *worker;
    int uncommitted;           /* lines of events were added that no commit has covered yet */
    apr_time_t head_due;       /* when the head goes to syslog next */
    apr_uint64_t head_logged;  /* lines that the head in syslog covers */
    system_log_e head_outcome; /* of the last one; a change is logged */
    atomic_int failing;        /* the last commit did */
    _Atomic apr_time_t begun;  /* the commit under way, by clock_boottime(); 0: there is none */
    apr_thread_mutex_t *lock;  /* guards head */
    char head[RECORDER_HEAD_MAX];
} recorder_t;

/* A zeroed one. What it is given must live as long. */
apr_status_t recorder_init(recorder_t *recorder, audit_t *audit, const char *worker, marks_t *marks,
                           apr_pool_t *pool);

/* Takes the fields. As audit_add(); a line that the table of marks has no memory for is not added either. */
apr_status_t recorder_add(recorder_t *recorder, const char *event, json_t *fields);
/* Adds what can be recorded of a result whose line can never be: it must not hold its task for ever. */
void recorder_add_in_part(recorder_t *recorder, const outbox_request_t *request);
/* Adds a line that nothing waits for: it goes to disk with the next commit. Failure is logged. */
void recorder_add_event(recorder_t *recorder, const char *event, const jobs_task_ref_t *task,
                        const char *text);
/* Nonzero: all lines so far are on disk. A change for the worse or better is logged. */
int recorder_commit(recorder_t *recorder);
/* How many records are on disk. */
apr_uint64_t recorder_count(const recorder_t *recorder);
/* The audit file may have been moved away. */
void recorder_reopen(recorder_t *recorder);

/* Any thread. Nonzero: the last commit failed. */
int recorder_is_failing(const recorder_t *recorder);
/* Any thread. Nonzero: a commit has waited for its disk for seconds now. */
int recorder_is_slow(const recorder_t *recorder);
/* Any thread. "hash:count" of the head as last committed, into `text` of `size` bytes. */
void recorder_head(recorder_t *recorder, char *text, apr_size_t size);

#endif
