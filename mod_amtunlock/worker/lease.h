/* SPDX-License-Identifier: Apache-2.0 */
/* The leases of this worker: renewed together, every third of a lease, on a thread and a Redis connection of
 * their own, so that nothing slow elsewhere lets them run out. Also the worker's heartbeat, every three seconds.
 *
 * Self-fencing: a lease ends here by CLOCK_BOOTTIME, counted from before its renewal was sent, whatever Redis
 * or this thread are doing. lease_holds() is asked right before the bytes of every act on a PC leave.
 */
#ifndef AMTUNLOCK_WORKER_LEASE_H
#define AMTUNLOCK_WORKER_LEASE_H

#include <stdatomic.h>

#include <apr_pools.h>
#include <apr_ring.h>

#include "base/pulse.h"
#include "jobs/jobs.h"

/* No act begins later than this before the lease ends. Others take over JOBS_GRACE after its end: margin and
 * grace together are longer than an AMT call may take, so an act that left in time has arrived or failed. */
#define LEASE_MARGIN (JOBS_LEASE / 6)

/* How often the threads that work on tasks must show that they live. */
#define LEASE_PULSE (JOBS_LEASE / 30 < apr_time_from_sec(1) ? JOBS_LEASE / 30 : apr_time_from_sec(1))

typedef struct leases_t leases_t;
typedef struct lease_t lease_t;

struct lease_t {
    APR_RING_ENTRY(lease_t) link; /* leases_t's */
    jobs_task_ref_t task;         /* its texts outlive the lease */
    /* From the lease thread: may only wake a thread, never call leases_*(). */
    void (*on_lost)(lease_t *lease);
    void *owner;
    _Atomic apr_time_t until; /* clock_boottime() */
    atomic_int lost;          /* Redis said so */
    unsigned int round;       /* leases_t's: the renewal that last named it */
    const pulse_t *engine;    /* of the thread that works on the task */
    apr_time_t engine_seen;   /* leases_t's: at the last renewal */
};

/* Writes what the status page shows of this worker into `text`, of `size` bytes. From the lease thread. */
typedef void (*leases_about_fn)(void *baton, char *text, apr_size_t size);

/* Leases can be added from here on; `worker` and `redis` must live as long. */
apr_status_t leases_create(leases_t **leases, const jobs_redis_t *redis, const char *worker,
                           apr_pool_t *pool);
/* Starts the thread that renews them. */
apr_status_t leases_start(leases_t *leases, leases_about_fn about, void *baton);
/* Ends and joins the thread. Leases that are still there run out by themselves. */
void leases_stop(leases_t *leases);

/* Any thread. Beats every third of a lease at least. */
const pulse_t *leases_pulse(const leases_t *leases);

/* Any thread. `engine` beats every LEASE_PULSE while the task can be worked on; where it does not for half a lease, the
 * lease is not renewed. A lease must be removed before it is freed. leases_remove() may wait for the answer of a renewal
 * to be noted, never for Redis. */
void leases_add(leases_t *leases, lease_t *lease, const jobs_task_t *task, const pulse_t *engine);
void leases_remove(leases_t *leases, lease_t *lease);

/* Any thread. Nonzero: for LEASE_MARGIN at least no other worker may act on this system. */
int lease_holds(const lease_t *lease);

#endif
