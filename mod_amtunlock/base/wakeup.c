/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wakeup.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static apr_status_t close_fd(void *data)
{
    wakeup_t *wakeup = data;

    close(wakeup->fd);
    wakeup->fd = -1;
    return APR_SUCCESS;
}

apr_status_t wakeup_open(wakeup_t *wakeup, apr_pool_t *pool)
{
    wakeup->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wakeup->fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    apr_pool_cleanup_register(pool, wakeup, close_fd, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

void wakeup_signal(const wakeup_t *wakeup)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full: then the waiter is awake anyway. */
    ssize_t written = write(wakeup->fd, &one, sizeof(one));

    (void)written;
}

void wakeup_clear(const wakeup_t *wakeup)
{
    uint64_t count;
    /* Fails only when there was nothing to take back. */
    ssize_t got = read(wakeup->fd, &count, sizeof(count));

    (void)got;
}

void wakeup_wait(const wakeup_t *wakeup, apr_interval_time_t timeout)
{
    struct pollfd fd = {.fd = wakeup->fd, .events = POLLIN};
    int milliseconds = timeout < 0 ? -1 : (int)apr_time_as_msec(timeout + 999);

    if (poll(&fd, 1, milliseconds) > 0) {
        wakeup_clear(wakeup);
    }
}
