/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what blocks, shared by groups of PCs so that what hangs for one group does not stop the others.
 *
 * Work that has run for long enough to be slow does not count in its group's share any more, and the next of
 * the group begins: so a few that hang do not hold up the rest of their own group either. How many of a group,
 * and how many of all, can run at a time has a limit all the same. Within a group work begins in the order in
 * which it came, groups take turns.
 */
#ifndef AMTUNLOCK_WORKER_FAIR_THREADS_H
#define AMTUNLOCK_WORKER_FAIR_THREADS_H

#include <apr_pools.h>
#include <apr_ring.h>

typedef struct fair_threads_t fair_threads_t;
typedef struct fair_work_t fair_work_t;
typedef struct fair_group_t fair_group_t;

/* The caller's, until `run` or `dropped` is called. `urgent`: before others of its group, whatever the group's
 * share. */
struct fair_work_t {
    void (*run)(fair_work_t *work);     /* from a thread of these; may free the work */
    void (*dropped)(fair_work_t *work); /* it never begins, since the threads stop; NULL: nothing to do */
    const char *group;
    unsigned int urgent : 1;

    /* fair_threads.c's */
    APR_RING_ENTRY(fair_work_t) link;
    fair_group_t *waits_in; /* NULL: it does not wait */
};

typedef struct {
    int all;      /* threads; half of them for groups that have not yet their share. Up to four times as many
                   * where all of them hang, so that another group has some */
    int of_group; /* at most, of one group */
    int share;    /* of one group, that are not slow */
} fair_limits_t;

/* Threads come when they are needed. Destroyed by fair_threads_stop(). */
apr_status_t fair_threads_start(fair_threads_t **threads, const fair_limits_t *limits, apr_pool_t *pool);
/* Any thread. Nonzero: nothing runs or waits. */
int fair_threads_idle(fair_threads_t *threads);
/* Waits for what runs; what has not begun is dropped. */
void fair_threads_stop(fair_threads_t *threads);

/* Any thread; never blocks. On failure nothing will run. */
apr_status_t fair_threads_push(fair_threads_t *threads, fair_work_t *work);
/* Any thread. Nonzero: it had not begun, and will not; it is the caller's again. */
int fair_threads_cancel(fair_threads_t *threads, fair_work_t *work);

#endif
