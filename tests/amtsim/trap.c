/* SPDX-License-Identifier: Apache-2.0 */
#include "trap.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection that nobody will ever answer. */
struct trap {
    struct trap *next, **link;
    struct event event;
    int fd;
    enum trap_kind kind;
};

static struct trap *traps;

static void free_trap(struct trap *trap)
{
    struct linger now = {1, 0};

    if (trap->kind == TRAP_RESETS)
        setsockopt(trap->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    event_del(&trap->event);
    close(trap->fd);
    *trap->link = trap->next;
    if (trap->next)
        trap->next->link = trap->link;
    free(trap);
}

/* Bytes of all kinds; false: nobody takes them. */
static bool babble(int fd)
{
    unsigned char bytes[4096];

    return RAND_bytes(bytes, sizeof(bytes)) == 1 && send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) >= 0;
}

static void on_trapped(evutil_socket_t fd, short what, void *arg)
{
    struct trap *trap = arg;
    char buffer[4096];
    ssize_t got = recv(fd, buffer, sizeof(buffer), 0);

    (void)what;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || trap->kind == TRAP_RESETS || (trap->kind == TRAP_BABBLES && !babble(fd)))
        free_trap(trap);
}

void trap_set(struct event_base *base, int fd, enum trap_kind kind)
{
    struct trap *trap = calloc(1, sizeof(*trap));

    if (!trap) {
        close(fd);
        return;
    }
    trap->fd = fd;
    trap->kind = kind;
    trap->next = traps;
    trap->link = &traps;
    if (trap->next)
        trap->next->link = &trap->next;
    traps = trap;
    event_assign(&trap->event, base, fd, EV_READ | EV_PERSIST, on_trapped, trap);
    event_add(&trap->event, NULL);
}

void trap_free_all(void)
{
    struct trap *next;

    for (struct trap *trap = traps; trap; trap = next) {
        next = trap->next;
        free_trap(trap);
    }
}
