/* SPDX-License-Identifier: Apache-2.0 */
/* The worker as a process: its lock, its threads, its signals, its end. */
#ifndef AMTUNLOCK_WORKER_PROCESS_DAEMON_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_DAEMON_PRIV_H

#include <apr_pools.h>

/* Runs until told to stop. `file` is amtunlockd.conf. Returns the exit status: 0 stopped as told, 1 could not
 * begin or go on; why is in the log, and on standard error before there is one.
 *
 * SIGTERM, SIGINT: supervised (AMTUNLOCK_SUPERVISED=1 in the environment: httpd kills after 3 s) everything
 * goes back within 2 s, what has an intent too, for others to look at. Else what has no intent goes back and
 * the rest is finished, for a minute at most. SIGHUP: settings, inventory and secrets are read again; where
 * anything is wrong the last good ones stay in force; the log and the audit file are opened again. */
int worker_run(const char *file, apr_pool_t *pool);

#endif
