/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void probe_init(probe_t *probe, probe_done_fn done, void *owner)
{
    probe->attempts = NULL;
    probe->count = 0;
    probe->running = 0;
    probe->done = done;
    probe->owner = owner;
}

static void attempt_end(probe_attempt_t *attempt)
{
    if (attempt->fd >= 0) {
        event_del(&attempt->event);
        close(attempt->fd);
    }
    attempt->fd = -1;
}

void probe_stop(probe_t *probe)
{
    if (!probe->running) {
        return;
    }
    probe->running = 0;
    event_del(&probe->end);
    for (int i = 0; i < probe->count; i++) {
        attempt_end(&probe->attempts[i]);
    }
    free(probe->attempts);
    probe->attempts = NULL;
    probe->count = 0;
}

static void probe_end(probe_t *probe, int open)
{
    probe_stop(probe);
    probe->done(probe, open);
}

static void on_probe_end(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    probe_end(data, 0);
}

static void on_attempt(evutil_socket_t fd, short what, void *data)
{
    probe_attempt_t *attempt = data;
    probe_t *probe = attempt->probe;
    int error = 0;
    socklen_t size = sizeof(error);
    int open = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;

    (void)what;
    attempt_end(attempt);
    if (open || --probe->left == 0) {
        probe_end(probe, open);
    }
}

/* A socket that is connecting, or -1. */
static int connect_probe(const char *address, int port)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
    int is_four = inet_pton(AF_INET, address, &four.sin_addr) == 1;
    const struct sockaddr *to = is_four ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
    int fd = -1;

    if (is_four || inet_pton(AF_INET6, address, &six.sin6_addr) == 1) {
        fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd >= 0 && connect(fd, to, is_four ? sizeof(four) : sizeof(six)) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void attempt_begin(probe_attempt_t *attempt, struct event_base *base, const char *address, int port)
{
    attempt->fd = connect_probe(address, port);
    if (attempt->fd < 0) {
        return;
    }
    event_assign(&attempt->event, base, attempt->fd, EV_WRITE, on_attempt, attempt);
    event_add(&attempt->event, NULL);
    attempt->probe->left++;
}

void probe_start(probe_t *probe, struct event_base *base, const resolve_addresses_t *addresses, int port,
                 apr_interval_time_t timeout)
{
    struct timeval wait = {.tv_sec = apr_time_sec(timeout), .tv_usec = apr_time_usec(timeout)};

    probe->running = 1;
    probe->left = 0;
    probe->attempts = calloc((size_t)addresses->count, sizeof(*probe->attempts));
    probe->count = probe->attempts != NULL ? addresses->count : 0;
    for (int i = 0; i < probe->count; i++) {
        probe->attempts[i].probe = probe;
        attempt_begin(&probe->attempts[i], base, addresses->text[i], port);
    }
    event_assign(&probe->end, base, -1, 0, on_probe_end, probe);
    if (probe->left == 0) {
        event_active(&probe->end, EV_TIMEOUT, 0);
    }
    else {
        event_add(&probe->end, &wait);
    }
}
