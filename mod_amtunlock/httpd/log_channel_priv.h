/* SPDX-License-Identifier: Apache-2.0 */
/* The running worker follows httpd's error log to where a restart has put it. */
#ifndef AMTUNLOCK_HTTPD_LOG_CHANNEL_PRIV_H
#define AMTUNLOCK_HTTPD_LOG_CHANNEL_PRIV_H

/* Opens a channel to the next worker; the one of an earlier worker is closed. The worker's end (close on exec, not
 * blocking), which the caller closes after its fork; -1: there is none. */
int amtunlock_log_channel_open(void);
/* Sends the worker the error log as it is now. False where it could not be sent. */
int amtunlock_log_channel_send(void);
/* For children, which must not have it. */
void amtunlock_log_channel_close(void);

#endif
