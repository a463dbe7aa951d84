/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox: a thread through which every change goes that must be durable.
 *
 * Requests are handled in batches: the audit lines of a batch in one write and one fsync, then one pipeline to
 * Redis, then the answers. A request is kept until Redis took or refused it, however long Redis is away; only
 * progress and times for power requests, which are of the moment, are not kept. A task has at most one request
 * outstanding and there is room for more than all tasks, so a push never waits. Results wait for the audit
 * record; intents and marks are turned down while it cannot be written. A line that can never be recorded is the trouble
 * of its own task: its intent is turned down, its result is recorded without what cannot be.
 *
 * A Redis that was restarted may have lost data. It is reconciled first: every intent and every end that the
 * audit record holds is replayed to it (reconcile_priv.h), and nothing may be claimed from it
 * before. 20,000 of them take seconds, in which requests wait.
 *
 * Whatever Redis gives out, a task that has an intent on record gets no second one, unless it is taken over and has
 * no end there.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_OUTBOX_H
#define AMTUNLOCK_WORKER_RECORD_OUTBOX_H

#include <apr_pools.h>
#include <apr_ring.h>

#include "audit/audit.h"
#include "base/pulse.h"
#include "jobs/jobs.h"
#include "unlock/unlock.h"
#include "worker/record/marks.h"

typedef struct outbox_t outbox_t;
typedef struct outbox_request_t outbox_request_t;

/* The caller's. From push to done only the outbox touches it, and all that it points to must stay. */
struct outbox_request_t {
    jobs_change_t change;
    const jobs_task_t *task;                 /* for the audit record */
    const char *text;                        /* of a finish: for the audit record; "" or NULL for none */
    const char *address;                     /* of the PC; "" where it is not known */
    void (*done)(outbox_request_t *request); /* from the outbox thread; may not block */
    void *owner;

    /* Answer. audited 0: the audit record could not be written, and Redis was not asked; JOBS_BROKEN then: this
     * line can never be. */
    jobs_outcome_e outcome;
    int audited;
    char answer[UNLOCK_TEXT_MAX];

    /* The outbox thread's own. */
    APR_RING_ENTRY(outbox_request_t) link;
    int recorded; /* its line was added to the audit record, committed or not */
};

typedef struct {
    const jobs_redis_t *redis;
    const char *worker;
    audit_t *audit;         /* the outbox thread's alone while it runs */
    const char *audit_file; /* its name */
    marks_t *marks;         /* as read from it; the same */
    int capacity;           /* requests outstanding at a time, over all threads */
} outbox_options_t;

/* Starts the thread. What `options` points to must live as long. */
apr_status_t outbox_start(outbox_t **outbox, const outbox_options_t *options, apr_pool_t *pool);
/* Ends and joins the thread; requests that Redis has not taken by then stay unanswered. */
void outbox_stop(outbox_t *outbox);
/* Any thread. Beats every second or so, and after each batch. */
const pulse_t *outbox_pulse(const outbox_t *outbox);

/* Any thread; never blocks. APR_EAGAIN if more than `capacity` are outstanding: an error of the caller. */
apr_status_t outbox_push(outbox_t *outbox, outbox_request_t *request);

/* Any thread. Nonzero: the audit record cannot be written now, so nothing should be claimed. */
int outbox_is_blocked(const outbox_t *outbox);
/* Any thread. Nonzero: the Redis of this run_id is reconciled with the record. If it is not, that is begun. */
int outbox_has_reconciled(outbox_t *outbox, const char *run_id);
/* Any thread. SIGHUP: the audit file may have been moved away. */
void outbox_reopen_audit(outbox_t *outbox);
/* Any thread. "hash:count" of the audit record's head as last committed, into `text` of `size` bytes. */
void outbox_audit_head(outbox_t *outbox, char *text, apr_size_t size);

#endif
