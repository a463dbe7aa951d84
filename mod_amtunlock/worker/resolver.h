/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that looks names up for the engines, any number at a time: none waits for another. */
#ifndef AMTUNLOCK_WORKER_RESOLVER_H
#define AMTUNLOCK_WORKER_RESOLVER_H

#include <apr_pools.h>
#include <apr_ring.h>

#include "base/resolve.h"

#define RESOLVER_NAMES 2 /* looked up together */

typedef struct resolver_t resolver_t;
typedef struct resolver_request_t resolver_request_t;

/* The caller's, from resolver_push() to `done` the resolver's. */
struct resolver_request_t {
    const char *names[RESOLVER_NAMES]; /* NULL: none */
    apr_interval_time_t limit;
    /* From the resolver's thread, once all are looked up; may free the request. */
    void (*done)(resolver_request_t *request);
    void *owner;

    /* Results, for each name: NULL, or why it has no addresses; static text. */
    const char *errors[RESOLVER_NAMES];
    resolve_addresses_t *addresses; /* RESOLVER_NAMES of them, empty at first: the caller's place */

    /* resolver.c's */
    APR_RING_ENTRY(resolver_request_t) link;
    resolve_t *lookups[RESOLVER_NAMES];
    int at[RESOLVER_NAMES], counts[RESOLVER_NAMES]; /* of its sockets among those watched */
};

apr_status_t resolver_start(resolver_t **resolver, apr_pool_t *pool);
/* Any thread; never blocks. */
void resolver_push(resolver_t *resolver, resolver_request_t *request);
/* Any thread. Nonzero: nothing is looked up. */
int resolver_idle(resolver_t *resolver);
/* Drops what is not done: its `done` is not called. */
void resolver_stop(resolver_t *resolver);

#endif
