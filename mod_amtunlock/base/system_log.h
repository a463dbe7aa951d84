/* SPDX-License-Identifier: Apache-2.0 */
/* Lines to the system log (/dev/log). Unlike syslog(3) no thread waits for it: where its reader hangs, a line is refused. */
#ifndef AMTUNLOCK_BASE_SYSTEM_LOG_H
#define AMTUNLOCK_BASE_SYSTEM_LOG_H

typedef enum {
    SYSTEM_LOG_TAKEN,
    SYSTEM_LOG_REFUSED, /* not now: its reader hangs or is away */
    SYSTEM_LOG_ABSENT   /* there is none, as in most containers */
} system_log_e;

/* `priority` is one of syslog(3). `text` is one line. Any thread. */
system_log_e system_log(int priority, const char *text);

#endif
