#include "worker/waker.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static apr_status_t close_fd(void *data)
{
    waker_t *waker = data;
    close(waker->fd);
    waker->fd = -1;
    return APR_SUCCESS;
}

apr_status_t waker_open(waker_t *waker, apr_pool_t *pool)
{
    waker->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (waker->fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    apr_pool_cleanup_register(pool, waker, close_fd, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

void waker_wake(const waker_t *waker)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full: then the waiter is awake anyway. */
    ssize_t written = write(waker->fd, &one, sizeof(one));
    (void)written;
}

void waker_clear(const waker_t *waker)
{
    uint64_t count;
    /* Fails only when there was nothing to take back. */
    ssize_t got = read(waker->fd, &count, sizeof(count));
    (void)got;
}

void waker_wait(const waker_t *waker, apr_interval_time_t timeout)
{
    struct pollfd fd = {.fd = waker->fd, .events = POLLIN};
    int milliseconds = timeout < 0 ? -1 : (int)apr_time_as_msec(timeout + 999);
    if (poll(&fd, 1, milliseconds) > 0) {
        waker_clear(waker);
    }
}
