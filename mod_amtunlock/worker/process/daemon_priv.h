/* SPDX-License-Identifier: Apache-2.0 */
/* The worker as a process: its lock, its threads, its signals, its end. */
#ifndef AMTUNLOCK_WORKER_PROCESS_DAEMON_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_DAEMON_PRIV_H

#include <apr_pools.h>

/* Runs until a signal stops it. `file` is amtunlockd.conf. Returns the exit status: 0 stopped by a signal, 1
 * could not start or go on; the reason is in the log, or on standard error before the log is open.
 *
 * SIGTERM, SIGINT: supervised (AMTUNLOCK_SUPERVISED=1 in the environment: httpd kills after 3 s) all tasks are
 * handed back within 2 s, those with an intent too, for other workers to verify. Else those without an intent
 * are handed back and the rest is finished, for a minute at most. SIGHUP: settings, inventory and secrets are
 * read again; if anything is wrong the last good ones stay in force; the log and the audit file are opened
 * again. */
int worker_run(const char *file, apr_pool_t *pool);

#endif
