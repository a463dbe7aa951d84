/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how the worker does: the protocol of sd_notify(3), which is a datagram of text to
 * the socket that NOTIFY_SOCKET names. Written here, because it is forty lines, and libsystemd would be one
 * more library in a process that holds secrets. Without NOTIFY_SOCKET all of it does nothing. The main
 * thread's.
 *
 * The watchdog shows that threads live, not that the process is there: the main thread tells the manager only
 * while every loop of the worker has come round lately.
 */
#ifndef AMTUNLOCK_WORKER_PROCESS_NOTIFY_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_NOTIFY_PRIV_H

#include "base/clock.h"

typedef struct {
    char address[108];            /* as NOTIFY_SOCKET had it; "": there is no manager */
    apr_interval_time_t patience; /* the manager's; 0: it has no watchdog */
    apr_time_t due;               /* it is told again then */
    int stuck;                    /* a loop did not come round; said once */
} notify_t;

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment: no helper may speak for us. */
void notify_init(notify_t *notify);

/* "READY=1" and the like; several lines are several words. Nonzero if it was sent. */
int notify_send(const notify_t *notify, const char *words);

/* How often notify_watchdog() wants to be called; < 0: never. */
apr_interval_time_t notify_interval(const notify_t *notify);
/* Tells the manager that the worker lives, if the loop that came round longest ago did so lately enough. */
void notify_watchdog(notify_t *notify, apr_time_t oldest_pulse);

#endif
