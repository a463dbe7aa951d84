/* SPDX-License-Identifier: Apache-2.0 */
/* Errands that are out stand in a list of the loop's thread; those that came home in one that all threads may
 * put them into, and an eventfd tells the loop. */
#include "amt/kerberos/ticket_request.h"

#include <apr_ring.h>
#include <apr_strings.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "amt/http/device.h"

struct amt_ticket_request_t {
    APR_RING_ENTRY(amt_ticket_request_t) link; /* out; once it came home, behind the lock: home */
    struct amt_ticket_requests_t *ticket_requests;
    amt_tickets_t *tickets;
    char *fqdn;
    int port;
    struct event *late;
    amt_ticket_request_fn made; /* NULL: nobody waits any more */
    void *baton;
    amt_ticket_t *ticket;
    APR_RING_ENTRY(amt_ticket_request_t) home_link;
};

typedef APR_RING_HEAD(ticket_requests_ring_t, amt_ticket_request_t) ticket_requests_ring_t;

struct amt_ticket_requests_t {
    amt_run_fn run;
    void *runner;
    struct event_base *base;
    struct event *came;
    int fd;
    ticket_requests_ring_t out; /* all that began, whether home or not */
    pthread_mutex_t lock;
    ticket_requests_ring_t home; /* under the lock */
};

/* It stands in no list any more. */
static void free_errand(amt_ticket_request_t *ticket_request)
{
    if (ticket_request->late) {
        event_free(ticket_request->late);
    }
    amt_ticket_free(ticket_request->ticket);
    amt_tickets_drop(ticket_request->tickets);
    free(ticket_request->fqdn);
    free(ticket_request);
}

/* ---- another thread -------------------------------------------------------------------------- */

static void *APR_THREAD_FUNC make(apr_thread_t *thread, void *baton)
{
    const uint64_t one = 1;
    amt_ticket_request_t *ticket_request = baton;
    struct amt_ticket_requests_t *ticket_requests = ticket_request->ticket_requests;
    ssize_t written;

    (void)thread;
    ticket_request->ticket =
        amt_ticket_make(ticket_request->tickets, ticket_request->fqdn, ticket_request->port);
    pthread_mutex_lock(&ticket_requests->lock);
    APR_RING_INSERT_TAIL(&ticket_requests->home, ticket_request, amt_ticket_request_t, home_link);
    written = write(ticket_requests->fd, &one, sizeof(one)); /* fails only where the loop is told already */
    (void)written;
    pthread_mutex_unlock(&ticket_requests->lock);
    return NULL;
}

/* ---- the loop's thread ----------------------------------------------------------------------- */

static amt_ticket_request_t *take_home(struct amt_ticket_requests_t *ticket_requests)
{
    amt_ticket_request_t *ticket_request = NULL;

    pthread_mutex_lock(&ticket_requests->lock);
    if (!APR_RING_EMPTY(&ticket_requests->home, amt_ticket_request_t, home_link)) {
        ticket_request = APR_RING_FIRST(&ticket_requests->home);
        APR_RING_REMOVE(ticket_request, home_link);
    }
    pthread_mutex_unlock(&ticket_requests->lock);
    return ticket_request;
}

/* Tells whoever waits. What it does may begin and cancel other errands. */
static void deliver(amt_ticket_request_t *ticket_request)
{
    amt_ticket_request_fn made = ticket_request->made;
    void *baton = ticket_request->baton;
    amt_ticket_t *ticket = NULL;

    if (made) {
        ticket = ticket_request->ticket;
        ticket_request->ticket = NULL;
    }
    APR_RING_REMOVE(ticket_request, link);
    free_errand(ticket_request);
    if (made) {
        made(baton, ticket);
    }
}

static void come_home(evutil_socket_t fd, short what, void *baton)
{
    struct amt_ticket_requests_t *ticket_requests = baton;
    amt_ticket_request_t *ticket_request;
    uint64_t count;
    ssize_t got = read((int)fd, &count, sizeof(count));

    (void)got;
    (void)what;
    while ((ticket_request = take_home(ticket_requests))) {
        deliver(ticket_request);
    }
}

static void too_late(evutil_socket_t fd, short what, void *baton)
{
    amt_ticket_request_t *ticket_request = baton;
    amt_ticket_request_fn made = ticket_request->made;
    void *made_baton = ticket_request->baton;

    (void)fd;
    (void)what;
    amt_ticket_request_cancel(ticket_request);
    if (made) {
        made(made_baton, NULL);
    }
}

void amt_ticket_request_cancel(amt_ticket_request_t *ticket_request)
{
    ticket_request->made = NULL;
    event_del(ticket_request->late);
}

static apr_status_t begin(amt_ticket_request_t *ticket_request, apr_interval_time_t timeout)
{
    struct timeval after = {(time_t)apr_time_sec(timeout), (suseconds_t)apr_time_usec(timeout)};
    struct amt_ticket_requests_t *ticket_requests = ticket_request->ticket_requests;

    ticket_request->late = evtimer_new(ticket_requests->base, too_late, ticket_request);
    if (!ticket_request->fqdn || !ticket_request->late || event_add(ticket_request->late, &after) != 0) {
        return APR_ENOMEM;
    }
    return ticket_requests->run(ticket_requests->runner, make, ticket_request);
}

apr_status_t amt_ticket_request_begin(amt_ticket_request_t **out, amt_loop_t *loop, amt_tickets_t *tickets,
                                      const char *fqdn, int port, apr_interval_time_t timeout,
                                      amt_ticket_request_fn made, void *baton)
{
    amt_ticket_request_t *ticket_request = loop->ticket_requests ? calloc(1, sizeof(*ticket_request)) : NULL;
    apr_status_t rv;

    if (!ticket_request) {
        return loop->ticket_requests ? APR_ENOMEM : APR_ENOTIMPL;
    }
    ticket_request->ticket_requests = loop->ticket_requests;
    ticket_request->tickets = amt_tickets_hold(tickets);
    ticket_request->fqdn = strdup(fqdn);
    ticket_request->port = port;
    ticket_request->made = made;
    ticket_request->baton = baton;
    APR_RING_INSERT_TAIL(&loop->ticket_requests->out, ticket_request, amt_ticket_request_t, link);
    rv = begin(ticket_request, timeout);
    if (rv != APR_SUCCESS) {
        APR_RING_REMOVE(ticket_request, link);
        free_errand(ticket_request);
        return rv;
    }
    *out = ticket_request;
    return APR_SUCCESS;
}

/* ---- with the loop --------------------------------------------------------------------------- */

apr_status_t amt_loop_use_threads(amt_loop_t *loop, amt_run_fn run, void *runner)
{
    struct amt_ticket_requests_t *ticket_requests = apr_pcalloc(loop->pool, sizeof(*ticket_requests));

    ticket_requests->run = run;
    ticket_requests->runner = runner;
    ticket_requests->base = loop->base;
    APR_RING_INIT(&ticket_requests->out, amt_ticket_request_t, link);
    APR_RING_INIT(&ticket_requests->home, amt_ticket_request_t, home_link);
    ticket_requests->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ticket_requests->fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    ticket_requests->came =
        event_new(loop->base, ticket_requests->fd, EV_READ | EV_PERSIST, come_home, ticket_requests);
    if (!ticket_requests->came || event_add(ticket_requests->came, NULL) != 0) {
        if (ticket_requests->came) {
            event_free(ticket_requests->came);
        }
        close(ticket_requests->fd);
        return APR_ENOMEM;
    }
    pthread_mutex_init(&ticket_requests->lock, NULL);
    loop->ticket_requests = ticket_requests;
    return APR_SUCCESS;
}

void amt_ticket_requests_forget(amt_loop_t *loop)
{
    struct amt_ticket_requests_t *ticket_requests = loop->ticket_requests;
    amt_ticket_request_t *ticket_request = NULL;
    amt_ticket_request_t *next = NULL;

    if (!ticket_requests) {
        return;
    }
    APR_RING_FOREACH_SAFE(ticket_request, next, &ticket_requests->out, amt_ticket_request_t, link)
    {
        free_errand(ticket_request);
    }
    event_free(ticket_requests->came);
    close(ticket_requests->fd);
    pthread_mutex_destroy(&ticket_requests->lock);
    loop->ticket_requests = NULL;
}
