/* SPDX-License-Identifier: Apache-2.0 */
/* Pending requests are on a list of the loop's thread; a finished one is also put on `done` under the lock,
 * and an eventfd wakes the loop. */
#include "amt/kerberos/ticket_request.h"

#include <apr_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wakeup.h"

struct amt_ticket_request_t {
    APR_RING_ENTRY(amt_ticket_request_t) link;
    APR_RING_ENTRY(amt_ticket_request_t) done_link;
    amt_ticket_requests_t *requests;
    amt_tickets_t *tickets;
    char *fqdn;
    char *group;
    int port;
    apr_interval_time_t limit;
    _Atomic apr_time_t begun; /* when a thread took it, by clock_monotonic(); 0: none has */
    atomic_int cancelled;     /* a thread that takes it does nothing */
    struct event *timeout;
    amt_ticket_request_fn done; /* NULL: cancelled */
    void *baton;
    amt_ticket_t *ticket; /* written by the other thread, read once the request is on `done` */
};

typedef APR_RING_HEAD(ticket_request_ring_t, amt_ticket_request_t) ticket_request_ring_t;

struct amt_ticket_requests_t {
    amt_run_fn run;
    void *runner;
    struct event_base *base;
    wakeup_t wakeup;
    struct event *woken;
    ticket_request_ring_t pending; /* all that are not freed; the loop's thread only */
    pthread_mutex_t lock;
    ticket_request_ring_t done; /* under the lock */
};

static void free_request(amt_ticket_request_t *request)
{
    if (request->timeout != NULL) {
        event_free(request->timeout);
    }
    amt_ticket_free(request->ticket);
    amt_tickets_drop(request->tickets);
    free(request->fqdn);
    free(request->group);
    free(request);
}

/* ---- another thread -------------------------------------------------------------------------- */

static void *APR_THREAD_FUNC make_ticket(apr_thread_t *thread, void *baton)
{
    amt_ticket_request_t *request = baton;
    amt_ticket_requests_t *requests = request->requests;

    (void)thread;
    atomic_store(&request->begun, clock_monotonic());
    if (!atomic_load(&request->cancelled)) {
        request->ticket = amt_ticket_make(request->tickets, request->fqdn, request->port);
    }
    pthread_mutex_lock(&requests->lock);
    APR_RING_INSERT_TAIL(&requests->done, request, amt_ticket_request_t, done_link);
    wakeup_signal(&requests->wakeup);
    pthread_mutex_unlock(&requests->lock);
    return NULL;
}

/* ---- the loop's thread ----------------------------------------------------------------------- */

static amt_ticket_request_t *pop_done(amt_ticket_requests_t *requests)
{
    amt_ticket_request_t *request = NULL;

    pthread_mutex_lock(&requests->lock);
    if (!APR_RING_EMPTY(&requests->done, amt_ticket_request_t, done_link)) {
        request = APR_RING_FIRST(&requests->done);
        APR_RING_REMOVE(request, done_link);
    }
    pthread_mutex_unlock(&requests->lock);
    return request;
}

/* The callback may begin and cancel other requests. */
static void deliver_ticket(amt_ticket_request_t *request)
{
    amt_ticket_request_fn done = request->done;
    void *baton = request->baton;
    amt_ticket_t *ticket = NULL;

    if (done != NULL) {
        ticket = request->ticket;
        request->ticket = NULL;
    }
    APR_RING_REMOVE(request, link);
    free_request(request);
    if (done != NULL) {
        done(baton, ticket);
    }
}

static void on_wakeup(evutil_socket_t fd, short what, void *baton)
{
    amt_ticket_requests_t *requests = baton;
    amt_ticket_request_t *request;

    (void)fd;
    (void)what;
    wakeup_clear(&requests->wakeup);
    while ((request = pop_done(requests)) != NULL) {
        deliver_ticket(request);
    }
}

static int set_timeout(amt_ticket_request_t *request, apr_interval_time_t interval)
{
    struct timeval after = {(time_t)apr_time_sec(interval), (suseconds_t)apr_time_usec(interval)};

    return event_add(request->timeout, &after);
}

/* The time for its turn is over, or that for the KDC. */
static void on_timeout(evutil_socket_t fd, short what, void *baton)
{
    amt_ticket_request_t *request = baton;
    amt_ticket_request_fn done = request->done;
    void *done_baton = request->baton;
    apr_time_t begun = atomic_load(&request->begun), now = clock_monotonic();
    amt_ticket_t *ticket = NULL;

    (void)fd;
    (void)what;
    if (begun != 0 && begun + request->limit > now &&
        set_timeout(request, begun + request->limit - now) == 0) {
        return;
    }
    amt_ticket_request_cancel(request);
    if (begun == 0) {
        ticket = amt_ticket_without_turn(request->fqdn);
    }
    if (done != NULL) {
        done(done_baton, ticket);
    }
    else {
        amt_ticket_free(ticket);
    }
}

void amt_ticket_request_cancel(amt_ticket_request_t *request)
{
    atomic_store(&request->cancelled, 1);
    request->done = NULL;
    event_del(request->timeout);
}

static apr_status_t start_request(amt_ticket_request_t *request)
{
    amt_ticket_requests_t *requests = request->requests;

    request->timeout = evtimer_new(requests->base, on_timeout, request);
    if (request->fqdn == NULL || request->group == NULL || request->timeout == NULL ||
        set_timeout(request, request->limit < AMT_TICKET_TURN ? request->limit : AMT_TICKET_TURN) != 0) {
        return APR_ENOMEM;
    }
    return requests->run(requests->runner, request->group, make_ticket, request);
}

apr_status_t amt_ticket_request_begin(amt_ticket_request_t **out, amt_ticket_requests_t *requests,
                                      const amt_target_t *target, int port, amt_ticket_request_fn done,
                                      void *baton)
{
    amt_ticket_request_t *request;
    apr_status_t status;

    if (requests == NULL) {
        return APR_ENOTIMPL;
    }
    request = calloc(1, sizeof(*request));
    if (request == NULL) {
        return APR_ENOMEM;
    }
    request->requests = requests;
    request->tickets = amt_tickets_hold(target->tickets);
    request->fqdn = strdup(target->fqdn);
    request->group = strdup(target->group != NULL ? target->group : "");
    request->port = port;
    request->limit = target->call_timeout;
    request->done = done;
    request->baton = baton;
    APR_RING_INSERT_TAIL(&requests->pending, request, amt_ticket_request_t, link);
    status = start_request(request);
    if (status != APR_SUCCESS) {
        APR_RING_REMOVE(request, link);
        free_request(request);
        return status;
    }
    *out = request;
    return APR_SUCCESS;
}

/* ---- with the loop --------------------------------------------------------------------------- */

static apr_status_t requests_cleanup(void *baton)
{
    amt_ticket_requests_t *requests = baton;
    amt_ticket_request_t *request = NULL;
    amt_ticket_request_t *next = NULL;

    APR_RING_FOREACH_SAFE(request, next, &requests->pending, amt_ticket_request_t, link)
    {
        free_request(request);
    }
    event_free(requests->woken);
    pthread_mutex_destroy(&requests->lock);
    return APR_SUCCESS;
}

apr_status_t amt_ticket_requests_create(amt_ticket_requests_t **out, struct event_base *base, amt_run_fn run,
                                        void *runner, apr_pool_t *pool)
{
    amt_ticket_requests_t *requests = apr_pcalloc(pool, sizeof(*requests));
    apr_status_t status = wakeup_open(&requests->wakeup, pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    requests->run = run;
    requests->runner = runner;
    requests->base = base;
    APR_RING_INIT(&requests->pending, amt_ticket_request_t, link);
    APR_RING_INIT(&requests->done, amt_ticket_request_t, done_link);
    requests->woken = event_new(base, requests->wakeup.fd, EV_READ | EV_PERSIST, on_wakeup, requests);
    if (requests->woken == NULL || event_add(requests->woken, NULL) != 0) {
        if (requests->woken != NULL) {
            event_free(requests->woken);
        }
        return APR_ENOMEM;
    }
    pthread_mutex_init(&requests->lock, NULL);
    /* before wakeup_open()'s cleanup: the event goes before its descriptor */
    apr_pool_cleanup_register(pool, requests, requests_cleanup, apr_pool_cleanup_null);
    *out = requests;
    return APR_SUCCESS;
}
