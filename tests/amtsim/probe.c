/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct probe {
    struct event *event;
    int fd;
};

static struct event_base *loop;

void probe_setup(struct event_base *base)
{
    loop = base;
}

/* That it can be connected to is all the answer there is. */
static void answer(evutil_socket_t fd, short what, void *arg)
{
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)what;
    (void)arg;
    if (client >= 0)
        close(client);
}

static int listen_at(const struct pc *pc)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)pc->options->probe_port), .sin_addr = pc->address};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 16) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

void probe_open(struct pc *pc)
{
    struct probe *probe = pc->probe ? NULL : calloc(1, sizeof(*probe));

    if (!probe)
        return;
    probe->fd = listen_at(pc);
    probe->event = probe->fd < 0 ? NULL : event_new(loop, probe->fd, EV_READ | EV_PERSIST, answer, NULL);
    if (probe->event && event_add(probe->event, NULL) == 0) {
        pc->probe = probe;
        return;
    }
    fprintf(stderr, "amtsim: probe port of %s: %s\n", pc->fqdn, strerror(errno));
    if (probe->event)
        event_free(probe->event);
    if (probe->fd >= 0)
        close(probe->fd);
    free(probe);
}

void probe_close(struct pc *pc)
{
    if (!pc->probe)
        return;
    event_free(pc->probe->event);
    close(pc->probe->fd);
    free(pc->probe);
    pc->probe = NULL;
}
