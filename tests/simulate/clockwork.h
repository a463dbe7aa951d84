/* SPDX-License-Identifier: Apache-2.0 */
/* The clockwork of a simulation: virtual time, events in it, hosts, and fibers in place of threads. One process, one
 * thread, no real clock: the same seed runs the same way.
 *
 * A fiber runs until it waits; only then another one, or an event, has its turn. A host is a process of the product
 * (a worker, an httpd): its fibers and events stop while it is paused, and never run again once it is dead.
 */
#ifndef AMTUNLOCK_TESTS_SIMULATE_CLOCKWORK_H
#define AMTUNLOCK_TESTS_SIMULATE_CLOCKWORK_H

#include <apr_pools.h>
#include <apr_thread_proc.h>
#include <apr_time.h>

typedef struct fiber_t fiber_t;
typedef struct host_t host_t;

/* ---- chance -------------------------------------------------------------------------------------------- */

/* A stream of numbers of its own, so that what one part draws does not change another's luck. */
typedef struct {
    apr_uint64_t state;
} chance_t;

chance_t chance_of(apr_uint64_t seed, apr_uint64_t stream);
apr_uint64_t chance_next(chance_t *chance);
/* From least to most, both included. */
apr_int64_t chance_between(chance_t *chance, apr_int64_t least, apr_int64_t most);
/* Nonzero once in `of`, on average. */
int chance_once_in(chance_t *chance, int of);

/* ---- time ---------------------------------------------------------------------------------------------- */

/* Forgets all events, fibers and hosts. */
void clockwork_reset(apr_uint64_t seed);
/* Microseconds since the simulation began. */
apr_time_t clockwork_now(void);

typedef void (*event_fn)(void *baton);

/* Calls `happen` then, as an event of `host`; NULL: of the world, which never pauses. */
void clockwork_at(apr_time_t time, host_t *host, event_fn happen, void *baton);
/* Events and fibers until none is left, `until` is reached, or clockwork_stop(). `after` is called after each. */
void clockwork_run(apr_time_t until, void (*after)(void));
void clockwork_stop(void);
/* Digest of all that has happened so far, in its order. */
apr_uint64_t clockwork_trace(void);
void clockwork_note(apr_uint64_t what);
/* How many events there were. */
apr_uint64_t clockwork_count(void);

/* ---- hosts --------------------------------------------------------------------------------------------- */

struct host_t {
    const char *name;
    int number; /* of the hosts of this simulation */
    int dead;
    apr_time_t paused_until; /* 0: it runs */
    apr_time_t wall;         /* its wall clock less clockwork_now() */
    apr_time_t boottime;     /* its CLOCK_BOOTTIME less clockwork_now() */
    chance_t chance;
    int files[8]; /* that it has open, -1: none */
    int disk_full;
    char *written; /* to a file, and not synced yet; from malloc */
    size_t written_length;
    void *owner;
};

host_t *host_create(const char *name, apr_pool_t *pool);
/* Ends its fibers where they stand, and closes its files. From the world, or from a fiber of another host. */
void host_kill(host_t *host);
/* Nothing of it runs for so long. If the caller is a fiber of it, it waits. */
void host_pause(host_t *host, apr_interval_time_t duration);
/* Whose fiber or event runs; NULL: the world's. */
host_t *host_current(void);

/* ---- fibers -------------------------------------------------------------------------------------------- */

fiber_t *fiber_start(host_t *host, void *(*run)(void *data), void *data);
/* NULL: an event runs, which cannot wait. */
fiber_t *fiber_current(void);
/* The current one waits, until then or until fiber_wake(). Nonzero: it was woken. */
int fiber_wait(apr_time_t until);
void fiber_wake(fiber_t *fiber);
int fiber_has_ended(const fiber_t *fiber);
/* The calling fiber waits for its end. */
void fiber_join(fiber_t *fiber);
/* A place for what belongs to a fiber: base/pulse.h */
void **fiber_own(void);

#endif
