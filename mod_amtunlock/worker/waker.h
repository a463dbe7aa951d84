/* Wakes one thread that waits in poll(2) or in an event loop: an eventfd. Any thread wakes, one waits. Wakes
 * that come before the waiter looks add up to one. */
#ifndef AMTUNLOCK_WORKER_WAKER_H
#define AMTUNLOCK_WORKER_WAKER_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct {
    int fd;
} waker_t;

/* Closed with `pool`; *waker must live as long. */
apr_status_t waker_open(waker_t *waker, apr_pool_t *pool);
void waker_wake(const waker_t *waker);
/* Takes back every wake so far. */
void waker_clear(const waker_t *waker);
/* Waits for a wake, at most `timeout` (< 0: for ever), and takes it back. */
void waker_wait(const waker_t *waker, apr_interval_time_t timeout);

#endif
