/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the outbox and the leases share: a Redis with two systems, a job that is claimed, changes
 * that are pushed, and a worker that starts several times. Whatever does not succeed fails the test. */
#ifndef AMTUNLOCK_TESTS_OUTBOX_FIXTURE_H
#define AMTUNLOCK_TESTS_OUTBOX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis_server.h"
#include "worker/record/outbox.h"

#define WORKER "worker-1"
#define LEASE_MS 1200

typedef struct {
    redis_server_t server;
    apr_pool_t *pool; /* of a test, or of a run in it */
    jobs_pool_t *web;
    jobs_client_t *connection;
    char audit_file[96];
} outbox_test_t;

extern outbox_test_t outbox_test;

/* For cmocka: once a program, and around each test. */
int outbox_fixture_start(void **state);
int outbox_fixture_stop(void **state);
int outbox_fixture_begin(void **state);
int outbox_fixture_end(void **state);

/* Submits a job of so many systems and claims it. */
const jobs_task_t *claim(int count);
/* The one verify-only task that there is, claimed for another worker. */
jobs_task_t claim_verification(void);
/* As a reader of the job sees it: 'r'unning, 'w'aiting, U or F; '\0': there is no such job. */
char state_of(const jobs_task_t *task);
/* Of the task itself: U, or F where any of its job has failed, or 'r'. */
char outcome_of_task(const jobs_task_t *task);

int wait_for(int (*condition)(void *), void *baton, int milliseconds);

/* A request to the outbox, and whether it was answered. */
typedef struct {
    outbox_request_t request;
    atomic_int answered;
} asked_t;

/* The `done` of an asked_t, its owner. */
void on_answered(outbox_request_t *request);
asked_t *push(outbox_t *outbox, const jobs_task_t *task, jobs_change_e change, char state);
asked_t *push_mark(outbox_t *outbox, const jobs_task_t *task, jobs_mark_e mark);
jobs_outcome_e outcome_of(asked_t *asked, int milliseconds);
/* Lines of the audit file with this in them. */
int audit_lines(const char *event);

outbox_t *start_outbox(void);
/* One run of a worker between start and stop. It has a pool of its own, and so its own hold of the audit file. */
outbox_t *begin_run(const char *worker);
void end_run(outbox_t *outbox);

/* Until it takes connections again. */
void restart_redis(void);
/* Until the Redis that is there now is reconciled. */
void await_reconciled(outbox_t *outbox);

#endif
