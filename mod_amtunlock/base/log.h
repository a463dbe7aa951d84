/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's log: one line an event,
 *
 *   2026-11-21T20:00:00.123Z level AMTU0301 text key=value key="value with blanks"
 *
 * (to systemd's journal: the priority as "<6>" in place of the time, which the journal has itself)
 *
 * written whole by one write(2), so lines of several threads never mix. Values that hold anything but plain
 * characters are quoted and escaped: text from a device or a caller cannot forge a line. No secret is ever
 * passed to it. Thread-safe. Nothing is written before log_open(). Where nobody reads the log, lines are
 * dropped and counted: no thread waits for it.
 */
#ifndef AMTUNLOCK_BASE_LOG_H
#define AMTUNLOCK_BASE_LOG_H

#include <apr_errno.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } log_level_e;

/* "error", "warn", "info", "debug"; -1 for any other word. */
int log_level_of_name(const char *name);

/* Logs to `path` (appended, made 0640 where absent; "-": standard error) from `level` up. A call after the
 * first changes both; on failure the log stays where it was. */
apr_status_t log_open(const char *path, log_level_e level);
/* Opens the same path again: a log that logrotate moved away is closed. */
apr_status_t log_reopen(void);
void log_close(void);
/* For a process that is to log to the same place: a descriptor, the caller's, or -1; and the level. */
int log_duplicate(void);
log_level_e log_level_now(void);

/* log_info("AMTUnnnn", "what happened", "key", value, ...): pairs of key and value (const char *); a pair
 * whose value is NULL is left out. */
#define log_error(...) LOG_LINE(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) LOG_LINE(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) LOG_LINE(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_LINE(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_LINE(level, ...) log_line(level, (const char *const[]){__VA_ARGS__, NULL})

/* Number, text, pairs, NULL. */
void log_line(log_level_e level, const char *const words[]);

/* A number as text, in the caller's block: log_info(..., "count", log_number(LOG_NUMBER, n)). */
typedef struct {
    char text[24];
} log_number_t;
#define LOG_NUMBER (&(log_number_t){{0}})
const char *log_number(log_number_t *number, long long value);

#endif
