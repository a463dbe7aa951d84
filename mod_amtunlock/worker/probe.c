/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

void probe_init(probe_t *probe, probe_done_fn done, void *owner)
{
    probe->fd = -1;
    probe->running = 0;
    probe->done = done;
    probe->owner = owner;
}

void probe_stop(probe_t *probe)
{
    if (!probe->running) {
        return;
    }
    probe->running = 0;
    event_del(&probe->event);
    if (probe->fd >= 0) {
        close(probe->fd);
    }
    probe->fd = -1;
}

static int is_connected(const probe_t *probe)
{
    int error = 0;
    socklen_t size = sizeof(error);

    return getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

static void on_probe_event(evutil_socket_t fd, short what, void *data)
{
    probe_t *probe = data;
    int open = !probe->failed && (what & EV_WRITE) && is_connected(probe);

    (void)fd;
    probe_stop(probe);
    probe->done(probe, open);
}

/* A socket that is connecting, or -1. */
static int connect_probe(const char *address, int port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *to = NULL;
    char service[8];
    int fd = -1;

    apr_snprintf(service, sizeof(service), "%d", port);
    if (getaddrinfo(address, service, &hints, &to) != 0) {
        return -1;
    }
    fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(to);
    return fd;
}

void probe_start(probe_t *probe, struct event_base *base, const char *address, int port,
                 apr_interval_time_t timeout)
{
    struct timeval wait = {.tv_sec = apr_time_sec(timeout), .tv_usec = apr_time_usec(timeout)};

    probe->fd = connect_probe(address, port);
    probe->failed = probe->fd < 0;
    probe->running = 1;
    event_assign(&probe->event, base, probe->fd, probe->failed ? EV_TIMEOUT : EV_WRITE, on_probe_event,
                 probe);
    if (probe->failed) {
        event_active(&probe->event, EV_TIMEOUT, 0);
    }
    else {
        event_add(&probe->event, &wait);
    }
}
