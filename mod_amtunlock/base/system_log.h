/* SPDX-License-Identifier: Apache-2.0 */
/* Lines to the system log (/dev/log). Unlike syslog(3) no thread waits for it: where its reader hangs, a line is refused. */
#ifndef AMTUNLOCK_BASE_SYSTEM_LOG_H
#define AMTUNLOCK_BASE_SYSTEM_LOG_H

/* `priority` is one of syslog(3). `text` is one line. Any thread. Zero: it was not taken, now. */
int system_log(int priority, const char *text);

#endif
