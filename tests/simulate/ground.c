/* SPDX-License-Identifier: Apache-2.0 */
/* The ground that the product stands on, by the clockwork: threads, wake-ups, clocks, the sign of life, failpoints, and
 * the files of the audit record. Takes the place of base/wakeup.c, base/clock.c, base/pulse.c, base/failpoint.c and
 * base/log.c, and of the calls of APR and libc that they name. */
#include "ground.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/pulse.h"
#include "base/wakeup.h"
#include "judge.h"

#define WAKEUPS_MOST 8192

ground_t ground;

/* ---- clocks -------------------------------------------------------------------------------------------- */

apr_time_t clock_boottime(void)
{
    const host_t *host = host_current();

    return clockwork_now() + (host != NULL ? host->boottime : 0);
}

apr_time_t clock_monotonic(void)
{
    return clock_boottime();
}

/* Before any host runs, files are read whose times are real. */
apr_time_t apr_time_now(void)
{
    const host_t *host = host_current();

    return clockwork_now() + (host != NULL ? host->wall : 0);
}

apr_status_t apr_generate_random_bytes(unsigned char *buffer, apr_size_t length)
{
    for (apr_size_t i = 0; i < length; i++) {
        buffer[i] = (unsigned char)chance_next(&ground.chance);
    }
    return APR_SUCCESS;
}

int __wrap_RAND_bytes(unsigned char *bytes, int count);

/* Ids and nonces decide what comes first where times are equal. */
int __wrap_RAND_bytes(unsigned char *bytes, int count)
{
    return apr_generate_random_bytes(bytes, (apr_size_t)count) == APR_SUCCESS;
}

uint32_t __wrap_arc4random_uniform(uint32_t below);

uint32_t __wrap_arc4random_uniform(uint32_t below)
{
    return below > 0 ? (uint32_t)(chance_next(&ground.chance) % below) : 0;
}

/* ---- threads ------------------------------------------------------------------------------------------- */

typedef struct {
    apr_thread_start_t start;
    void *data;
} thread_work_t;

static void *run_thread(void *data)
{
    const thread_work_t *work = data;

    return work->start(NULL, work->data);
}

apr_status_t apr_thread_create(apr_thread_t **thread, apr_threadattr_t *attributes, apr_thread_start_t start,
                               void *data, apr_pool_t *pool)
{
    thread_work_t *work = apr_palloc(pool, sizeof(*work));

    (void)attributes;
    *work = (thread_work_t){start, data};
    *thread = (apr_thread_t *)fiber_start(host_current(), run_thread, work);
    return APR_SUCCESS;
}

apr_status_t apr_thread_join(apr_status_t *ended, apr_thread_t *thread)
{
    fiber_join((fiber_t *)thread);
    *ended = APR_SUCCESS;
    return APR_SUCCESS;
}

/* ---- wake-ups ------------------------------------------------------------------------------------------ */

static struct {
    fiber_t *waiting;
    int signalled;
} wakeups[WAKEUPS_MOST];
static int wakeup_count;

void ground_reset(apr_uint64_t seed)
{
    ground.chance = chance_of(seed, 7);
    memset(wakeups, 0, sizeof(wakeups[0]) * (size_t)wakeup_count);
    wakeup_count = 0;
}

apr_status_t wakeup_open(wakeup_t *wakeup, apr_pool_t *pool)
{
    (void)pool;
    if (wakeup_count == WAKEUPS_MOST) {
        return APR_ENOMEM;
    }
    wakeup->fd = wakeup_count++;
    return APR_SUCCESS;
}

static void wake_now(void *fiber)
{
    fiber_wake(fiber);
}

/* A thread has its turn a little later, and sometimes a good deal. */
void wakeup_signal(const wakeup_t *wakeup)
{
    host_t *host = host_current();
    apr_time_t at = clockwork_now();

    wakeups[wakeup->fd].signalled = 1;
    if (wakeups[wakeup->fd].waiting == NULL) {
        return;
    }
    if (host != NULL) {
        at += chance_between(&host->chance, 0, chance_once_in(&host->chance, 100) ? 40000 : 300);
    }
    clockwork_at(at, host, wake_now, wakeups[wakeup->fd].waiting);
}

void wakeup_clear(const wakeup_t *wakeup)
{
    wakeups[wakeup->fd].signalled = 0;
}

int wakeup_is_signalled(int fd)
{
    return wakeups[fd].signalled;
}

void wakeup_wait_by(int fd, apr_time_t until)
{
    wakeups[fd].waiting = fiber_current();
    if (!wakeups[fd].signalled) {
        fiber_wait(until);
    }
    wakeups[fd].waiting = NULL;
}

void wakeup_kick(int fd)
{
    if (wakeups[fd].waiting != NULL) {
        fiber_wake(wakeups[fd].waiting);
    }
}

void wakeup_wait(const wakeup_t *wakeup, apr_interval_time_t timeout)
{
    wakeup_wait_by(wakeup->fd, timeout < 0 ? APR_INT64_MAX : clockwork_now() + timeout);
    wakeup_clear(wakeup);
}

/* ---- the sign of life ---------------------------------------------------------------------------------- */

/* As base/pulse.c, but that a thread is a fiber. */
void pulse_init(pulse_t *pulse)
{
    atomic_init(&pulse->at, clock_boottime());
    atomic_init(&pulse->thread, 0);
}

void pulse_beat(pulse_t *pulse)
{
    *fiber_own() = pulse;
    atomic_store(&pulse->at, clock_boottime());
}

void pulse_end(pulse_t *pulse)
{
    *fiber_own() = NULL;
    atomic_store(&pulse->at, 0);
}

void pulse_go_on(void)
{
    pulse_t *own = *fiber_own();

    if (own != NULL) {
        atomic_store(&own->at, clock_boottime());
    }
}

void pulse_pause(void)
{
    pulse_t *own = *fiber_own();

    if (own != NULL) {
        atomic_store(&own->at, 0);
    }
}

apr_time_t pulse_older(const pulse_t *pulse, apr_time_t time)
{
    apr_time_t at = atomic_load(&pulse->at);

    return at != 0 && at < time ? at : time;
}

/* ---- failpoints ---------------------------------------------------------------------------------------- */

/* A named place of the product: a fault may strike here, and other threads may have their turn. */
int failpoint_at(const char *point)
{
    host_t *host = host_current();

    if (host == NULL || fiber_current() == NULL) {
        return 0;
    }
    if (ground.on_point != NULL) {
        ground.on_point(host, point);
    }
    if (chance_once_in(&host->chance, 8)) {
        fiber_wait(clockwork_now() + chance_between(&host->chance, 0, 5000));
    }
    return 0;
}

long long failpoint_clock(void)
{
    return clockwork_now();
}

void failpoint_passed(const char *step, long long asked, const char *job, const char *system)
{
    (void)step;
    (void)asked;
    (void)job;
    (void)system;
}

/* ---- the log ------------------------------------------------------------------------------------------- */

int log_level_of_name(const char *name)
{
    (void)name;
    return LOG_LEVEL_INFO;
}

apr_status_t log_open(const char *path, log_level_e level)
{
    (void)path;
    (void)level;
    return APR_SUCCESS;
}

void log_line(log_level_e level, const char *const words[])
{
    const host_t *host = host_current();

    (void)level;
    if (!ground.says) {
        return;
    }
    printf("%12.6f %-8s %s %s", (double)clockwork_now() / 1e6, host != NULL ? host->name : "-", words[0],
           words[1]);
    for (int i = 2; words[i] != NULL; i += 2) {
        if (words[i + 1] == NULL) {
            continue;
        }
        printf(" %s=%s", words[i], words[i + 1]);
    }
    putchar('\n');
}

const char *log_number(log_number_t *number, long long value)
{
    snprintf(number->text, sizeof(number->text), "%lld", value);
    return number->text;
}

void ground_say(const char *format, ...)
{
    const host_t *host = host_current();
    va_list arguments;

    if (!ground.says) {
        return;
    }
    printf("%12.6f %-8s - ", (double)clockwork_now() / 1e6, host != NULL ? host->name : "-");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void syslog(int priority, const char *format, ...)
{
    (void)priority;
    (void)format;
}

/* ---- files --------------------------------------------------------------------------------------------- */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

#define FILES ((int)(sizeof(((host_t *)0)->files) / sizeof(((host_t *)0)->files[0])))

static void note_file(int before, int after)
{
    host_t *host = host_current();

    for (int i = 0; host != NULL && i < FILES; i++) {
        if (host->files[i] == before) {
            host->files[i] = after;
            return;
        }
    }
}

/* The record that a host writes ends with it, and so does the lock on it. */
int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    int mode, fd;

    va_start(arguments, flags);
    mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    fd = __real_open64(path, flags, mode);
    if (fd >= 0 && flags & O_APPEND) {
        note_file(-1, fd);
    }
    return fd;
}

int __wrap_close(int fd)
{
    note_file(fd, -1);
    return __real_close(fd);
}

/* What was written since the last sync. */
static void note_written(host_t *host, const void *bytes, size_t length)
{
    if (host == NULL) {
        return;
    }
    host->written = realloc(host->written, host->written_length + length);
    memcpy(host->written + host->written_length, bytes, length);
    host->written_length += length;
}

/* Takes some of it where the disk gets full on the way. */
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    host_t *host = host_current();

    if (host != NULL && host->disk_full) {
        size_t part = (size_t)chance_between(&host->chance, 0, (apr_int64_t)length - 1);

        if (host->disk_full == 1 && part > 0) {
            host->disk_full = 2;
            return __real_write(fd, bytes, part);
        }
        errno = ENOSPC;
        return -1;
    }
    note_written(host, bytes, length);
    return __real_write(fd, bytes, length);
}

/* A disk takes its time. */
int __wrap_fdatasync(int fd)
{
    host_t *host = host_current();

    (void)fd;
    if (host != NULL && fiber_current() != NULL) {
        fiber_wait(clockwork_now() +
                   chance_between(&host->chance, 200, chance_once_in(&host->chance, 300) ? 8000000 : 4000));
        judge_record(host, host->written, host->written_length);
        host->written_length = 0;
    }
    return 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}
