/* SPDX-License-Identifier: Apache-2.0 */
/* See log.h. One process-wide log: the file and level are guarded, the line is built on the caller's stack.
 */
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_time.h>

/* A line never grows past this; the end of a longer one is cut, its newline kept. */
#define LINE_MAX_BYTES 2048
/* So long a line waits for who reads the log; the next ones do not wait until it reads again. */
#define READER_MS 200

static struct {
    pthread_rwlock_t lock; /* held for reading while a line is written: a reopen must not close the file */
    int fd;
    int owned; /* `fd` is closed by us */
    char path[4096];
    atomic_int level;
    atomic_int dropped; /* lines since somebody read the log last */
    atomic_int journal; /* `fd` is the journal's: it has a clock of its own, and a priority for each line */
} log_state = {PTHREAD_RWLOCK_INITIALIZER, -1, 0, "", LOG_LEVEL_INFO, 0, 0};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const level_priorities[] = {"<3>", "<4>", "<6>", "<7>"}; /* sd-daemon(3) */

int log_level_of_name(const char *name)
{
    for (int i = 0; i < (int)(sizeof(level_names) / sizeof(level_names[0])); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* ---- where to ------------------------------------------------------------------------------------------ */

/* JOURNAL_STREAM names the device and inode of the journal's end (systemd.exec(5)); a descriptor that was replaced since
 * is another. */
static int is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat info;
    char own[48];

    if (stream == NULL || fstat(fd, &info) != 0) {
        return 0;
    }
    apr_snprintf(own, sizeof(own), "%" APR_UINT64_T_FMT ":%" APR_UINT64_T_FMT, (apr_uint64_t)info.st_dev,
                 (apr_uint64_t)info.st_ino);
    return strcmp(stream, own) == 0;
}

static void use_fd(int fd, int owned)
{
    if (log_state.owned) {
        close(log_state.fd);
    }
    log_state.fd = fd;
    log_state.owned = owned;
    atomic_store(&log_state.journal, fd >= 0 && !owned && is_journal(fd));
}

/* Opens the new file before it closes the old one: where that fails, the log stays where it is. */
static apr_status_t open_path(const char *path)
{
    int fd;

    if (strcmp(path, "-") == 0) {
        pthread_rwlock_wrlock(&log_state.lock);
        use_fd(STDERR_FILENO, 0);
        pthread_rwlock_unlock(&log_state.lock);
        return APR_SUCCESS;
    }
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    pthread_rwlock_wrlock(&log_state.lock);
    use_fd(fd, 1);
    pthread_rwlock_unlock(&log_state.lock);
    return APR_SUCCESS;
}

apr_status_t log_open(const char *path, log_level_e level)
{
    apr_status_t status;

    if (strlen(path) >= sizeof(log_state.path)) {
        return APR_ENAMETOOLONG;
    }
    status = open_path(path);
    if (status != APR_SUCCESS) {
        return status;
    }
    if (path != log_state.path) {
        apr_cpystrn(log_state.path, path, sizeof(log_state.path));
    }
    atomic_store(&log_state.level, level);
    return APR_SUCCESS;
}

apr_status_t log_reopen(void)
{
    return log_state.path[0] ? open_path(log_state.path) : APR_SUCCESS;
}

void log_close(void)
{
    pthread_rwlock_wrlock(&log_state.lock);
    use_fd(-1, 0);
    log_state.path[0] = '\0';
    pthread_rwlock_unlock(&log_state.lock);
}

int log_duplicate(void)
{
    int fd;

    pthread_rwlock_rdlock(&log_state.lock);
    fd = fcntl(log_state.fd >= 0 ? log_state.fd : STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    pthread_rwlock_unlock(&log_state.lock);
    return fd;
}

log_level_e log_level_now(void)
{
    return (log_level_e)atomic_load(&log_state.level);
}

/* ---- the line ------------------------------------------------------------------------------------------ */

typedef struct {
    char text[LINE_MAX_BYTES];
    size_t used; /* less than the size: the newline always fits */
} line_t;

static void add_char(line_t *line, char c)
{
    if (line->used < sizeof(line->text) - 1) {
        line->text[line->used++] = c;
    }
}

static void add_text(line_t *line, const char *text)
{
    for (; *text; text++) {
        add_char(line, *text);
    }
}

static void add_time(line_t *line)
{
    char stamp[40];
    apr_time_exp_t t;

    apr_time_exp_gmt(&t, apr_time_now());
    apr_snprintf(stamp, sizeof(stamp), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", t.tm_year + 1900, t.tm_mon + 1,
                 t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, t.tm_usec / 1000);
    add_text(line, stamp);
}

static int is_plain(const char *value)
{
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == '=' || *p == 0x7f) {
            return 0;
        }
    }
    return *value != '\0';
}

static void add_quoted(line_t *line, const char *value)
{
    static const char hex[] = "0123456789abcdef";

    add_char(line, '"');
    for (const char *p = value; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if (c < ' ' || c == 0x7f) {
            add_text(line, "\\x");
            add_char(line, hex[c >> 4]);
            add_char(line, hex[c & 15]);
            continue;
        }
        if (c == '"' || c == '\\') {
            add_char(line, '\\');
        }
        add_char(line, *p);
    }
    add_char(line, '"');
}

static void add_pair(line_t *line, const char *key, const char *value)
{
    add_char(line, ' ');
    add_text(line, key);
    add_char(line, '=');
    if (is_plain(value)) {
        add_text(line, value);
    }
    else {
        add_quoted(line, value);
    }
}

/* A pipe whose reader stands still would hold up every thread that has something to say. */
static int has_reader(int fd)
{
    struct pollfd log = {.fd = fd, .events = POLLOUT};

    return poll(&log, 1, atomic_load(&log_state.dropped) ? 0 : READER_MS) != 0;
}

/* Returns how many lines before this one were dropped, once they are to be told. */
static int write_line(line_t *line)
{
    ssize_t written = 0;
    int dropped = 0;

    line->text[line->used++] = '\n';
    pthread_rwlock_rdlock(&log_state.lock);
    if (log_state.fd >= 0 && !has_reader(log_state.fd)) {
        atomic_fetch_add(&log_state.dropped, 1);
    }
    else if (log_state.fd >= 0) {
        written = write(log_state.fd, line->text, line->used);
        dropped = atomic_exchange(&log_state.dropped, 0);
    }
    (void)written; /* there is no other place to say that it failed */
    pthread_rwlock_unlock(&log_state.lock);
    return dropped;
}

void log_line(log_level_e level, const char *const words[])
{
    line_t line;
    int dropped;

    if ((int)level > atomic_load_explicit(&log_state.level, memory_order_relaxed)) {
        return;
    }
    line.used = 0;
    if (atomic_load_explicit(&log_state.journal, memory_order_relaxed)) {
        add_text(&line, level_priorities[level]);
    }
    else {
        add_time(&line);
    }
    add_text(&line, level_names[level]);
    add_char(&line, ' ');
    add_text(&line, words[0]);
    add_char(&line, ' ');
    add_text(&line, words[1]);
    for (const char *const *pair = words + 2; *pair != NULL; pair += 2) {
        if (pair[1] != NULL) {
            add_pair(&line, pair[0], pair[1]);
        }
    }
    dropped = write_line(&line);
    if (dropped > 0) {
        log_warn("AMTU0545", "nobody read this log for a while: lines before the last one are missing",
                 "lines", log_number(LOG_NUMBER, dropped));
    }
}

const char *log_number(log_number_t *number, long long value)
{
    apr_snprintf(number->text, sizeof(number->text), "%" APR_INT64_T_FMT, (apr_int64_t)value);
    return number->text;
}
