/* Errands that are out stand in a list of the loop's thread; those that came home in one that all threads may
 * put them into, and an eventfd tells the loop. */
#include "amt/errand.h"

#include <apr_ring.h>
#include <apr_strings.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "amt/device.h"

struct amt_errand_t {
    APR_RING_ENTRY(amt_errand_t) link; /* out; once it came home, behind the lock: home */
    struct amt_errands_t *errands;
    amt_tickets_t *tickets;
    char *fqdn;
    int port;
    struct event *late;
    amt_errand_fn made; /* NULL: nobody waits any more */
    void *baton;
    amt_ticket_t *ticket;
    APR_RING_ENTRY(amt_errand_t) home_link;
};

typedef APR_RING_HEAD(errands_ring_t, amt_errand_t) errands_ring_t;

struct amt_errands_t {
    amt_run_fn run;
    void *runner;
    struct event_base *base;
    struct event *came;
    int fd;
    errands_ring_t out; /* all that began, whether home or not */
    pthread_mutex_t lock;
    errands_ring_t home; /* under the lock */
};

/* It stands in no list any more. */
static void free_errand(amt_errand_t *errand)
{
    if (errand->late) {
        event_free(errand->late);
    }
    amt_ticket_free(errand->ticket);
    amt_tickets_drop(errand->tickets);
    free(errand->fqdn);
    free(errand);
}

/* ---- another thread -------------------------------------------------------------------------- */

static void *APR_THREAD_FUNC make(apr_thread_t *thread, void *baton)
{
    const uint64_t one = 1;
    amt_errand_t *errand = baton;
    struct amt_errands_t *errands = errand->errands;
    ssize_t written;

    (void)thread;
    errand->ticket = amt_ticket_make(errand->tickets, errand->fqdn, errand->port);
    pthread_mutex_lock(&errands->lock);
    APR_RING_INSERT_TAIL(&errands->home, errand, amt_errand_t, home_link);
    written = write(errands->fd, &one, sizeof(one)); /* fails only where the loop is told already */
    (void)written;
    pthread_mutex_unlock(&errands->lock);
    return NULL;
}

/* ---- the loop's thread ----------------------------------------------------------------------- */

static amt_errand_t *take_home(struct amt_errands_t *errands)
{
    amt_errand_t *errand = NULL;

    pthread_mutex_lock(&errands->lock);
    if (!APR_RING_EMPTY(&errands->home, amt_errand_t, home_link)) {
        errand = APR_RING_FIRST(&errands->home);
        APR_RING_REMOVE(errand, home_link);
    }
    pthread_mutex_unlock(&errands->lock);
    return errand;
}

/* Tells whoever waits. What it does may begin and cancel other errands. */
static void deliver(amt_errand_t *errand)
{
    amt_errand_fn made = errand->made;
    void *baton = errand->baton;
    amt_ticket_t *ticket = NULL;

    if (made) {
        ticket = errand->ticket;
        errand->ticket = NULL;
    }
    APR_RING_REMOVE(errand, link);
    free_errand(errand);
    if (made) {
        made(baton, ticket);
    }
}

static void come_home(evutil_socket_t fd, short what, void *baton)
{
    struct amt_errands_t *errands = baton;
    amt_errand_t *errand;
    uint64_t count;
    ssize_t got = read((int)fd, &count, sizeof(count));

    (void)got;
    (void)what;
    while ((errand = take_home(errands))) {
        deliver(errand);
    }
}

static void too_late(evutil_socket_t fd, short what, void *baton)
{
    amt_errand_t *errand = baton;
    amt_errand_fn made = errand->made;
    void *made_baton = errand->baton;

    (void)fd;
    (void)what;
    amt_errand_cancel(errand);
    if (made) {
        made(made_baton, NULL);
    }
}

void amt_errand_cancel(amt_errand_t *errand)
{
    errand->made = NULL;
    event_del(errand->late);
}

static apr_status_t begin(amt_errand_t *errand, apr_interval_time_t timeout)
{
    struct timeval after = {(time_t)apr_time_sec(timeout), (suseconds_t)apr_time_usec(timeout)};
    struct amt_errands_t *errands = errand->errands;

    errand->late = evtimer_new(errands->base, too_late, errand);
    if (!errand->fqdn || !errand->late || event_add(errand->late, &after) != 0) {
        return APR_ENOMEM;
    }
    return errands->run(errands->runner, make, errand);
}

apr_status_t amt_errand_begin(amt_errand_t **out, amt_loop_t *loop, amt_tickets_t *tickets, const char *fqdn,
                              int port, apr_interval_time_t timeout, amt_errand_fn made, void *baton)
{
    amt_errand_t *errand = loop->errands ? calloc(1, sizeof(*errand)) : NULL;
    apr_status_t rv;

    if (!errand) {
        return loop->errands ? APR_ENOMEM : APR_ENOTIMPL;
    }
    errand->errands = loop->errands;
    errand->tickets = amt_tickets_hold(tickets);
    errand->fqdn = strdup(fqdn);
    errand->port = port;
    errand->made = made;
    errand->baton = baton;
    APR_RING_INSERT_TAIL(&loop->errands->out, errand, amt_errand_t, link);
    rv = begin(errand, timeout);
    if (rv != APR_SUCCESS) {
        APR_RING_REMOVE(errand, link);
        free_errand(errand);
        return rv;
    }
    *out = errand;
    return APR_SUCCESS;
}

/* ---- with the loop --------------------------------------------------------------------------- */

apr_status_t amt_loop_use_threads(amt_loop_t *loop, amt_run_fn run, void *runner)
{
    struct amt_errands_t *errands = apr_pcalloc(loop->pool, sizeof(*errands));

    errands->run = run;
    errands->runner = runner;
    errands->base = loop->base;
    APR_RING_INIT(&errands->out, amt_errand_t, link);
    APR_RING_INIT(&errands->home, amt_errand_t, home_link);
    errands->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (errands->fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    errands->came = event_new(loop->base, errands->fd, EV_READ | EV_PERSIST, come_home, errands);
    if (!errands->came || event_add(errands->came, NULL) != 0) {
        if (errands->came) {
            event_free(errands->came);
        }
        close(errands->fd);
        return APR_ENOMEM;
    }
    pthread_mutex_init(&errands->lock, NULL);
    loop->errands = errands;
    return APR_SUCCESS;
}

void amt_errands_forget(amt_loop_t *loop)
{
    struct amt_errands_t *errands = loop->errands;
    amt_errand_t *errand = NULL;
    amt_errand_t *next = NULL;

    if (!errands) {
        return;
    }
    APR_RING_FOREACH_SAFE(errand, next, &errands->out, amt_errand_t, link)
    {
        free_errand(errand);
    }
    event_free(errands->came);
    close(errands->fd);
    pthread_mutex_destroy(&errands->lock);
    loop->errands = NULL;
}
