/* SPDX-License-Identifier: Apache-2.0 */
/* Wakes one thread that waits in poll(2) or in an event loop: an eventfd. Any thread wakes, one waits. Wakes
 * that come before the waiter looks add up to one. */
#ifndef AMTUNLOCK_BASE_WAKEUP_H
#define AMTUNLOCK_BASE_WAKEUP_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct {
    int fd;
} wakeup_t;

/* Closed with `pool`; *waker must live as long. */
apr_status_t wakeup_open(wakeup_t *wakeup, apr_pool_t *pool);
void wakeup_signal(const wakeup_t *wakeup);
/* Takes back every wake so far. */
void wakeup_clear(const wakeup_t *wakeup);
/* Waits for a wake, at most `timeout` (< 0: for ever), and takes it back. */
void wakeup_wait(const wakeup_t *wakeup, apr_interval_time_t timeout);

#endif
