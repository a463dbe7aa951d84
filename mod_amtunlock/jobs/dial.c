/* SPDX-License-Identifier: Apache-2.0 */
/* Connects the socket to Redis here, since hiredis 0.14 aborts the process if it cannot allocate the address.
 */
#include "jobs/dial_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/resolve.h"
#include "base/text.h"

/* 0, or an errno: waits until a connection that was begun is there, or has failed. */
static int wait_connected(int fd, apr_time_t deadline)
{
    struct pollfd watched = {.fd = fd, .events = POLLOUT};
    int number = 0, ready = 0;
    socklen_t length = sizeof(number);

    do {
        apr_interval_time_t left = deadline - clock_boottime();

        ready = left > 0 ? poll(&watched, 1, (int)apr_time_as_msec(left + 999)) : 0;
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) {
        return ready == 0 ? ETIMEDOUT : errno;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &length) == 0 ? number : errno;
}

/* 0, or an errno: connects, and makes the socket blocking. */
static int connect_within(int fd, const struct sockaddr *address, socklen_t length, apr_time_t deadline)
{
    int number = connect(fd, address, length) == 0 ? 0 : errno;
    int flags;

    if (number == EINPROGRESS || number == EINTR) {
        number = wait_connected(fd, deadline);
    }
    if (number != 0) {
        return number;
    }
    flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 ? 0 : errno;
}

/* A connected socket, or -1 and errno. */
static int open_connected(const struct sockaddr *address, socklen_t length, apr_time_t deadline)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int number;

    if (fd < 0) {
        return -1;
    }
    number = connect_within(fd, address, length, deadline);
    if (number != 0) {
        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

static int dial_unix(const char *path, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        *why = text_strerror(ENAMETOOLONG, pool);
        return -1;
    }
    apr_cpystrn(address.sun_path, path, sizeof(address.sun_path));
    fd = open_connected((const struct sockaddr *)&address, sizeof(address), deadline);
    if (fd < 0) {
        *why = text_strerror(errno, pool);
    }
    return fd;
}

/* As open_connected(), without Nagle's delay: calls are small, and each is waited for. */
static int open_host(const char *host, int port, apr_time_t deadline)
{
    const int yes = 1;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
    int fd = inet_pton(AF_INET, host, &four.sin_addr) == 1
                 ? open_connected((const struct sockaddr *)&four, sizeof(four), deadline)
             : inet_pton(AF_INET6, host, &six.sin6_addr) == 1
                 ? open_connected((const struct sockaddr *)&six, sizeof(six), deadline)
                 : -1;

    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0) {
        int number = errno;

        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

/* One address after the other, each with its share of the time that is left: one that is silent must not use
 * up what the next needs. */
static int dial_host(const jobs_redis_t *redis, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    resolve_addresses_t hosts;
    const char *error = resolve_name(redis->host, deadline, &hosts);
    int fd = -1;

    if (error != NULL) {
        *why = apr_psprintf(pool, "%s cannot be looked up: %s", redis->host, error);
        return -1;
    }
    for (int i = 0; i < hosts.count && fd < 0; i++) {
        apr_time_t now = clock_boottime();

        fd = open_host(hosts.text[i], redis->port, now + (deadline - now) / (hosts.count - i));
    }
    if (fd < 0) {
        *why = text_strerror(errno, pool);
    }
    return fd;
}

int jobs_dial(const jobs_redis_t *redis, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    return redis->socket != NULL ? dial_unix(redis->socket, deadline, why, pool)
                                 : dial_host(redis, deadline, why, pool);
}
