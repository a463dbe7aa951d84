/* SPDX-License-Identifier: Apache-2.0 */
/* An eventfd by which any thread wakes one that waits in poll(2) or in an event loop. Wakes that come before
 * the waiter looks count as one. */
#ifndef AMTUNLOCK_BASE_WAKEUP_H
#define AMTUNLOCK_BASE_WAKEUP_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct {
    int fd;
} wakeup_t;

/* Closed with `pool`; *wakeup must live as long. */
apr_status_t wakeup_open(wakeup_t *wakeup, apr_pool_t *pool);
void wakeup_signal(const wakeup_t *wakeup);
/* Forgets all wakes so far. */
void wakeup_clear(const wakeup_t *wakeup);
/* Waits for a wake, at most `timeout` (< 0: for ever), and forgets it. */
void wakeup_wait(const wakeup_t *wakeup, apr_interval_time_t timeout);

#endif
