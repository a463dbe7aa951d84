/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/resolver.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/wakeup.h"

typedef APR_RING_HEAD(request_ring_t, resolver_request_t) request_ring_t;

struct resolver_t {
    pthread_t thread;
    wakeup_t wakeup;
    atomic_int stopping, pending;
    pthread_mutex_t lock;
    request_ring_t arrived; /* under the lock */

    /* The thread's own. */
    request_ring_t running;
    struct pollfd *watched; /* the wakeup's first */
    int count, room;
    apr_interval_time_t wait; /* < 0: for ever */
};

/* ---- a request ----------------------------------------------------------------------------------------- */

static void request_begin(resolver_request_t *request)
{
    for (int i = 0; i < RESOLVER_NAMES; i++) {
        const char *name = request->names[i];

        request->lookups[i] = name != NULL ? resolve_begin(name, request->limit) : NULL;
        request->errors[i] = name != NULL && request->lookups[i] == NULL ? "out of memory" : NULL;
    }
}

static int request_is_done(const resolver_request_t *request)
{
    for (int i = 0; i < RESOLVER_NAMES; i++) {
        if (request->lookups[i] != NULL && !resolve_is_done(request->lookups[i])) {
            return 0;
        }
    }
    return 1;
}

static void request_drop(resolver_request_t *request)
{
    for (int i = 0; i < RESOLVER_NAMES; i++) {
        resolve_end(request->lookups[i]);
        request->lookups[i] = NULL;
    }
}

static void request_finish(resolver_request_t *request)
{
    for (int i = 0; i < RESOLVER_NAMES; i++) {
        if (request->lookups[i] != NULL) {
            request->errors[i] = resolve_error(request->lookups[i]);
            request->addresses[i] = *resolve_addresses(request->lookups[i]);
        }
    }
    request_drop(request);
}

/* ---- the thread ---------------------------------------------------------------------------------------- */

static void take_arrived(resolver_t *resolver)
{
    resolver_request_t *request = NULL;

    pthread_mutex_lock(&resolver->lock);
    while (!APR_RING_EMPTY(&resolver->arrived, resolver_request_t, link)) {
        request = APR_RING_FIRST(&resolver->arrived);
        APR_RING_REMOVE(request, link);
        APR_RING_INSERT_TAIL(&resolver->running, request, resolver_request_t, link);
        pthread_mutex_unlock(&resolver->lock);
        request_begin(request);
        pthread_mutex_lock(&resolver->lock);
    }
    pthread_mutex_unlock(&resolver->lock);
}

/* Room for the sockets of one look-up more; without memory for it that look-up goes on by its timers. */
static int make_room(resolver_t *resolver)
{
    int room = resolver->room != 0 ? 2 * resolver->room : 64;
    struct pollfd *longer = NULL;

    if (resolver->count + RESOLVE_SOCKETS <= resolver->room) {
        return 1;
    }
    longer = realloc(resolver->watched, (size_t)room * sizeof(*longer));
    if (longer == NULL) {
        return 0;
    }
    resolver->watched = longer;
    resolver->room = room;
    return 1;
}

/* Nothing is watched for a look-up that is done. */
static void watch_lookup(resolver_t *resolver, resolver_request_t *request, int i)
{
    resolve_t *lookup = request->lookups[i];
    apr_interval_time_t wait;

    request->at[i] = resolver->count;
    request->counts[i] = 0;
    if (lookup == NULL || resolve_is_done(lookup)) {
        return;
    }
    if (make_room(resolver)) {
        request->counts[i] = resolve_watch(lookup, resolver->watched + resolver->count);
        resolver->count += request->counts[i];
    }
    wait = resolve_wait(lookup);
    resolver->wait = resolver->wait < 0 || wait < resolver->wait ? wait : resolver->wait;
}

static void watch_all(resolver_t *resolver)
{
    resolver_request_t *request = NULL;

    resolver->watched[0] = (struct pollfd){.fd = resolver->wakeup.fd, .events = POLLIN};
    resolver->count = 1;
    resolver->wait = -1;
    APR_RING_FOREACH(request, &resolver->running, resolver_request_t, link)
    {
        for (int i = 0; i < RESOLVER_NAMES; i++) {
            watch_lookup(resolver, request, i);
        }
    }
}

static void step_all(resolver_t *resolver)
{
    resolver_request_t *request = NULL, *next = NULL;

    APR_RING_FOREACH_SAFE(request, next, &resolver->running, resolver_request_t, link)
    {
        for (int i = 0; i < RESOLVER_NAMES; i++) {
            if (request->lookups[i] != NULL && !resolve_is_done(request->lookups[i])) {
                resolve_step(request->lookups[i], resolver->watched + request->at[i], request->counts[i]);
            }
        }
        if (request_is_done(request)) {
            APR_RING_REMOVE(request, link);
            request_finish(request);
            atomic_fetch_sub(&resolver->pending, 1);
            request->done(request);
        }
    }
}

static void drop_all(resolver_t *resolver)
{
    take_arrived(resolver);
    while (!APR_RING_EMPTY(&resolver->running, resolver_request_t, link)) {
        resolver_request_t *request = APR_RING_FIRST(&resolver->running);

        APR_RING_REMOVE(request, link);
        request_drop(request);
    }
}

static void *run_resolver(void *data)
{
    resolver_t *resolver = data;

    while (!atomic_load(&resolver->stopping)) {
        take_arrived(resolver);
        watch_all(resolver);
        if (poll(resolver->watched, (nfds_t)resolver->count,
                 resolver->wait < 0 ? -1 : (int)apr_time_as_msec(resolver->wait + 999)) > 0 &&
            resolver->watched[0].revents != 0) {
            wakeup_clear(&resolver->wakeup);
        }
        step_all(resolver);
    }
    drop_all(resolver);
    return NULL;
}

/* ---- public -------------------------------------------------------------------------------------------- */

apr_status_t resolver_start(resolver_t **out, apr_pool_t *pool)
{
    resolver_t *resolver = apr_pcalloc(pool, sizeof(*resolver));
    apr_status_t status = wakeup_open(&resolver->wakeup, pool);

    *out = resolver;
    APR_RING_INIT(&resolver->arrived, resolver_request_t, link);
    APR_RING_INIT(&resolver->running, resolver_request_t, link);
    if (status != APR_SUCCESS) {
        return status;
    }
    if (!make_room(resolver)) {
        return APR_ENOMEM;
    }
    pthread_mutex_init(&resolver->lock, NULL);
    return APR_FROM_OS_ERROR(pthread_create(&resolver->thread, NULL, run_resolver, resolver));
}

void resolver_push(resolver_t *resolver, resolver_request_t *request)
{
    atomic_fetch_add(&resolver->pending, 1);
    pthread_mutex_lock(&resolver->lock);
    APR_RING_INSERT_TAIL(&resolver->arrived, request, resolver_request_t, link);
    pthread_mutex_unlock(&resolver->lock);
    wakeup_signal(&resolver->wakeup);
}

int resolver_idle(resolver_t *resolver)
{
    return atomic_load(&resolver->pending) == 0;
}

void resolver_stop(resolver_t *resolver)
{
    atomic_store(&resolver->stopping, 1);
    wakeup_signal(&resolver->wakeup);
    pthread_join(resolver->thread, NULL);
    free(resolver->watched);
    resolver->watched = NULL;
}
