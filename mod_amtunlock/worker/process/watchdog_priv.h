/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the process where one of its loops stands still, so that whoever supervises it starts another: a worker whose
 * lease thread alone lives on would keep its PCs from everybody. What the thread was doing goes to the log as addresses;
 * there is no core, which would hold secrets.
 *
 * It counts its own rounds, not the clock: a machine that slept, or a process that was stopped, is not stuck.
 */
#ifndef AMTUNLOCK_WORKER_PROCESS_WATCHDOG_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_WATCHDOG_PRIV_H

#include <apr_pools.h>

#include "base/pulse.h"

typedef struct watchdog_t watchdog_t;

/* A loop: its name for the log, and its pulse. */
typedef struct {
    const char *name;
    const pulse_t *pulse;
} watched_t;

/* Watches `count` loops (copied) on a thread of its own. Once in a process. */
apr_status_t watchdog_start(watchdog_t **watchdog, const watched_t *loops, int count, apr_pool_t *pool);
/* Before the loops are ended. */
void watchdog_stop(watchdog_t *watchdog);

#endif
