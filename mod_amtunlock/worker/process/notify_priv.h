/* SPDX-License-Identifier: Apache-2.0 */
/* Reports the state of the worker to the service manager by the protocol of sd_notify(3): a datagram of text to
 * the socket that NOTIFY_SOCKET names. libsystemd is not used for these forty lines: it would be one more
 * library in a process that holds secrets. Without NOTIFY_SOCKET nothing is sent. Main thread only.
 *
 * The watchdog covers all threads, not just the process: it is fed only while every loop of the worker has run
 * lately.
 */
#ifndef AMTUNLOCK_WORKER_PROCESS_NOTIFY_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_NOTIFY_PRIV_H

#include "base/clock.h"

typedef struct {
    char address[108];           /* as NOTIFY_SOCKET had it; "": there is no manager */
    apr_interval_time_t timeout; /* of the manager's watchdog; 0: it has none */
    apr_time_t due;              /* the watchdog is fed again then */
    int stuck;                   /* a loop did not run lately; logged once */
} notify_t;

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment: no helper may report in place of
 * the worker. */
void notify_init(notify_t *notify);

/* Assignments as of sd_notify(3), "READY=1", one a line. Nonzero if they were sent. */
int notify_send(const notify_t *notify, const char *text);

/* How often notify_watchdog() wants to be called; < 0: never. */
apr_interval_time_t notify_interval(const notify_t *notify);
/* Feeds the watchdog if it is due and the loop that ran longest ago did so within half its timeout. */
void notify_watchdog(notify_t *notify, apr_time_t oldest_pulse);

#endif
