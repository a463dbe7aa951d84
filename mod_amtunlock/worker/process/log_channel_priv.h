/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of a channel (descriptor 3, AMTUNLOCK_LOG_CHANNEL=3 in the environment) through which httpd hands over
 * its error log after a restart: the worker's standard error goes there from then on. Where httpd does not supervise,
 * nothing happens. Main thread only.
 */
#ifndef AMTUNLOCK_WORKER_PROCESS_LOG_CHANNEL_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_LOG_CHANNEL_PRIV_H

/* Before there are threads, with SIGIO blocked: from now on SIGIO says that something came. */
void log_channel_init(void);
/* After SIGIO: takes what came. */
void log_channel_follow(void);

#endif
