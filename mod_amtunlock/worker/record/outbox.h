/* SPDX-License-Identifier: Apache-2.0 */
/* The store thread: every change that must be durable goes through its outbox.
 *
 * It drains the outbox in batches: the audit lines of a batch in one write and one fsync, then one pipeline
 * to Redis, then the answers. A request is kept until Redis took or refused it, however long Redis is away;
 * progress alone is news and is not kept. A task has at most one request outstanding and the outbox has room
 * for more than all tasks, so nobody waits for anybody. Results wait for the audit record; intents are turned
 * down while it cannot be written.
 *
 * A Redis that was started anew is first told what it may have forgotten: every intent and every end that the
 * audit record holds (unfinished.h, closed.h). Nothing may be claimed from it before. With 20,000 of them
 * that takes seconds, in which the outbox waits.
 *
 * And whatever Redis gives out, a task of which the record holds an intent gets no second one.
 */
#ifndef AMTUNLOCK_WORKER_RECORD_OUTBOX_H
#define AMTUNLOCK_WORKER_RECORD_OUTBOX_H

#include <apr_pools.h>
#include <apr_ring.h>

#include "audit/audit.h"
#include "jobs/jobs.h"
#include "unlock/unlock.h"
#include "worker/record/open_intents.h"

typedef struct outbox_t outbox_t;
typedef struct outbox_request_t outbox_request_t;

/* Belongs to who pushes it; from push to done it is the store thread's alone, and all that it points to must
 * stay. */
struct outbox_request_t {
    jobs_change_t change;
    const jobs_task_t *task;                 /* whose: for the audit record */
    const char *text;                        /* of a finish: for the audit record; "" or NULL for none */
    const char *address;                     /* of the PC; "" where it is not known */
    void (*done)(outbox_request_t *request); /* from the store thread; may not block */
    void *owner;

    /* Answer. audited 0: the audit record could not be written, and Redis was not asked. */
    jobs_outcome_e outcome;
    int audited;
    char answer[UNLOCK_TEXT_MAX];

    /* The store thread's own. */
    APR_RING_ENTRY(outbox_request_t) link;
    int recorded; /* its line is with the audit room, on disk or on its way */
};

typedef struct {
    const jobs_redis_t *redis;
    const char *worker;
    audit_t *audit;               /* the store thread's alone while it runs */
    const char *audit_file;       /* its name */
    open_intents_t *open_intents; /* the same */
    int capacity;                 /* requests outstanding at a time, over all threads */
} outbox_options_t;

/* Starts the thread. What `options` points to must live as long. */
apr_status_t outbox_start(outbox_t **outbox, const outbox_options_t *options, apr_pool_t *pool);
/* Ends and joins the thread; what Redis has not taken by then stays unanswered. */
void outbox_stop(outbox_t *outbox);

/* Any thread; never blocks. APR_EAGAIN if more than `capacity` are outstanding: a fault of the caller. */
apr_status_t outbox_push(outbox_t *outbox, outbox_request_t *request);

/* Any thread. Nonzero: the audit record cannot be written now, so nothing should be claimed. */
int outbox_is_blocked(const outbox_t *outbox);
/* Any thread. Nonzero: the Redis of this run_id was told all that the record holds. Sees to it where it was
 * not. */
int outbox_has_reconciled(outbox_t *outbox, const char *run_id);
/* Any thread. SIGHUP: the audit file may have been moved away. */
void outbox_reopen_audit(outbox_t *outbox);
/* Any thread: "hash:count" of the audit record's head as last committed. */
void outbox_audit_head(outbox_t *outbox, char *text, apr_size_t room);

#endif
