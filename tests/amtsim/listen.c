/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include "log.h"
#include "options.h"
#include "trap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64
#define BACKLOG_WIDE 4096
#define ACCEPTS_AT_ONCE 16
#define FILLERS 2 /* a backlog of 0 holds one connection; one more is for certain */

enum door { DOOR_OPEN, DOOR_SHUT, DOOR_FULL };

struct listener {
    struct pc *pc;
    const struct port *port;
    struct event event;
    int fd;
    enum door door;
    int filler[FILLERS]; /* connections of our own that fill the backlog */
    uint32_t lost_before;
};

struct listeners {
    int count;
    struct event wake; /* while its PC is asleep: looks for a packet, then waits */
    bool heard;
    struct listener each[];
};

/* The wide fleet: one socket a port for all of 127/8, PCs told apart by the address that was connected to. */
static struct {
    struct pc *pcs; /* NULL: the fleet is not wide */
    unsigned count;
    const struct port *ports;
    int port_count;
    struct listener each[PORTS_MAX];
} wide;

static struct event_base *loop;
static int lock_fd = -1;
static int spare_fd = -1; /* given up to take, and close, a connection that there is no file for */

static int new_socket(void)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (wide.pcs) /* a PC's own socket beside the one for all */
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    return fd;
}

static struct sockaddr_in address_of(struct in_addr address, uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address};
}

/* With SO_REUSEADDR two may bind, but only one can listen. */
static int bind_and_listen(int fd, struct in_addr address, uint16_t port, int backlog)
{
    struct sockaddr_in at = address_of(address, port);

    return bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 ? listen(fd, backlog) : -1;
}

bool listen_claim(const struct address_range *range)
{
    struct in_addr address = {htonl(range->lock)};

    if (!range->lock)
        return true;
    lock_fd = new_socket();
    if (lock_fd >= 0 && bind_and_listen(lock_fd, address, 16993, 0) == 0)
        return true;
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
    return false;
}

static const char wide_name[] = "\0amtsim: all of 127.0.0.0/8"; /* abstract: gone with its owner */

static void tell_owner(const struct sockaddr_un *address, socklen_t size)
{
    struct ucred owner = {0};
    socklen_t owner_size = sizeof(owner);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)address, size) == 0)
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &owner_size);
    fprintf(stderr, "amtsim: process %ld already simulates a wide fleet, and there can be only one\n",
            (long)owner.pid);
    close(fd);
}

bool listen_claim_wide(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + sizeof(wide_name) - 1;

    memcpy(address.sun_path, wide_name, sizeof(wide_name) - 1);
    lock_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (lock_fd < 0)
        return false;
    if (bind(lock_fd, (struct sockaddr *)&address, size) == 0 && listen(lock_fd, 4) == 0)
        return true;
    tell_owner(&address, size);
    return false;
}

static bool raise_limit(rlim_t needed, rlim_t *hard)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    if (limit.rlim_max < needed) { /* root may raise the hard limit too */
        const struct rlimit higher = {needed, needed};
        if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
            return true;
    }
    *hard = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max >= needed;
}

bool listen_enough_files(unsigned systems, int sockets)
{
    /* what listens, the probes of those that are up, and connections to a quarter of them */
    rlim_t listening = (rlim_t)systems * (rlim_t)sockets, hard = 0;
    rlim_t needed = 256 + (sockets ? listening + systems + systems / 4 : systems / 2);

    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (raise_limit(needed, &hard))
        return true;
    fprintf(stderr,
            "amtsim: %u PCs need %lu open files, %lu of them listening; the hard limit is %lu "
            "(raise it: ulimit -Hn, or LimitNOFILE)\n",
            systems, (unsigned long)needed, (unsigned long)listening, (unsigned long)hard);
    return false;
}

/* ---- connections --------------------------------------------------------------------------------------- */

static bool is_own_filler(const struct listener *listener, const struct sockaddr_in *peer)
{
    for (int i = 0; i < FILLERS; i++) {
        struct sockaddr_in own = {0};
        socklen_t size = sizeof(own);
        if (listener->filler[i] >= 0 &&
            getsockname(listener->filler[i], (struct sockaddr *)&own, &size) == 0 &&
            own.sin_port == peer->sin_port)
            return true;
    }
    return false;
}

static void hand_over(struct pc *pc, const struct port *port, int fd)
{
    log_event(pc->fqdn, "connection",
              json_pack("{s:I, s:i}", "n", (json_int_t)++pc->connections, "port", port->number));
    if (pc_has(pc, FAULT_BLACK_HOLE) || pc_has(pc, FAULT_RESET) || pc_has(pc, FAULT_TLS_GARBAGE))
        trap_set(loop, fd,
                 pc_has(pc, FAULT_RESET)         ? TRAP_RESETS
                 : pc_has(pc, FAULT_TLS_GARBAGE) ? TRAP_BABBLES
                                                 : TRAP_SILENT);
    else
        port->accepted(pc, fd, port->tls);
}

static bool is_shut(const struct pc *pc, const struct port *port)
{
    return pc_has(pc, FAULT_REFUSED) || (port->redirection && !pc->listener_enabled);
}

/* Of a connection to the socket for all. Too late to refuse it: what should be refused is reset at once. */
static void find_owner(const struct port *port, int fd)
{
    const struct linger now = {1, 0};
    struct sockaddr_in own = {0};
    socklen_t size = sizeof(own);
    in_addr_t first = ntohl(wide.pcs[0].address.s_addr), address;

    getsockname(fd, (struct sockaddr *)&own, &size);
    address = ntohl(own.sin_addr.s_addr);
    if (address >= first && address - first < wide.count && !is_shut(&wide.pcs[address - first], port)) {
        hand_over(&wide.pcs[address - first], port, fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* Without this a connection that cannot be taken would keep its listener ready for ever. */
static void turn_away(const struct listener *listener)
{
    close(spare_fd);
    int fd = accept(listener->fd, NULL, NULL);
    if (fd >= 0)
        close(fd);
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fputs("amtsim: too many open files: a connection was turned away\n", stderr);
}

static bool accept_one(const struct listener *listener)
{
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof(peer);
    int fd = accept4(listener->fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            turn_away(listener);
        return false;
    }
    if (!listener->pc)
        find_owner(listener->port, fd);
    else if (is_own_filler(listener, &peer))
        close(fd);
    else
        hand_over(listener->pc, listener->port, fd);
    return true;
}

static void accept_some(evutil_socket_t fd, short what, void *arg)
{
    const struct listener *listener = arg;

    (void)fd;
    (void)what;
    for (int i = 0; i < ACCEPTS_AT_ONCE && listener->door == DOOR_OPEN; i++) {
        if (!accept_one(listener))
            return;
    }
}

/* ---- doors --------------------------------------------------------------------------------------------- */

static void fill_backlog(struct listener *listener)
{
    struct sockaddr_in at = address_of(listener->pc->address, listener->port->number);

    /* one more would send again, and be taken for a packet that wakes a PC */
    for (int i = 0; i < (pc_has(listener->pc, FAULT_ASLEEP) ? 1 : FILLERS); i++) {
        listener->filler[i] = new_socket();
        if (listener->filler[i] >= 0 &&
            connect(listener->filler[i], (struct sockaddr *)&at, sizeof(at)) < 0 && errno != EINPROGRESS)
            perror("amtsim: fill a backlog");
    }
}

static void drop_fillers(struct listener *listener)
{
    for (int i = 0; i < FILLERS; i++) {
        if (listener->filler[i] >= 0)
            close(listener->filler[i]);
        listener->filler[i] = -1;
    }
}

/* The socket stays bound whatever the door is, so that nobody else can take the address meanwhile. */
static void set_door(struct listener *listener, enum door door)
{
    if (listener->door == door)
        return;
    if (listener->door ==
        DOOR_FULL) { /* empty it: what waits in it is ours, or a client that hung too long */
        shutdown(listener->fd, SHUT_RDWR);
        drop_fillers(listener);
    }
    listener->door = door;
    if (door != DOOR_OPEN)
        event_del(&listener->event);
    if (door == DOOR_SHUT) {
        shutdown(listener->fd, SHUT_RDWR); /* ends listening: a connect is refused */
        return;
    }
    if (listen(listener->fd, door == DOOR_FULL ? 0 : BACKLOG) != 0)
        fprintf(stderr, "amtsim: listen again on port %u of %s: %s\n", listener->port->number,
                listener->pc->fqdn, strerror(errno));
    if (door == DOOR_FULL)
        fill_backlog(listener);
    else
        event_add(&listener->event, NULL);
}

static bool is_deaf(const struct pc *pc)
{
    return pc_has(pc, FAULT_SILENT) || pc_has(pc, FAULT_ASLEEP);
}

static void choose_door(struct listener *listener)
{
    if (is_shut(listener->pc, listener->port))
        set_door(listener, DOOR_SHUT);
    else if (is_deaf(listener->pc))
        set_door(listener, DOOR_FULL);
    else
        set_door(listener, DOOR_OPEN);
}

/* ---- the fleet ----------------------------------------------------------------------------------------- */

static int open_one(struct listener *listener, struct pc *pc, const struct port *port)
{
    static const char loopback[] = "lo";
    const struct in_addr address = {pc ? pc->address.s_addr : htonl(INADDR_ANY)};

    *listener = (struct listener){.pc = pc, .port = port, .fd = new_socket(), .filler = {-1, -1}};
    if (listener->fd < 0)
        return -1;
    if ((!pc && setsockopt(listener->fd, SOL_SOCKET, SO_BINDTODEVICE, loopback, sizeof(loopback)) != 0) ||
        bind_and_listen(listener->fd, address, port->number, pc ? BACKLOG : BACKLOG_WIDE) != 0) {
        int why = errno;
        close(listener->fd);
        listener->fd = -1;
        errno = why;
        return -1;
    }
    event_assign(&listener->event, loop, listener->fd, EV_READ | EV_PERSIST, accept_some, listener);
    return event_add(&listener->event, NULL);
}

/* Packets that came while the backlog was full, so far. */
static uint32_t packets_lost(const struct listener *listener)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof(memory);

    return getsockopt(listener->fd, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0 ? memory[SK_MEMINFO_DROPS]
                                                                                : 0;
}

static void wake_later(struct pc *pc, unsigned seconds, unsigned milliseconds)
{
    const struct timeval after = {(time_t)seconds, (suseconds_t)milliseconds * 1000};

    event_add(&pc->listeners->wake, &after);
}

/* Each LOOK_MS; once a packet was lost its PC wakes, `wake_seconds` later. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    enum { LOOK_MS = 50 };
    struct pc *pc = arg;
    struct listeners *listeners = pc->listeners;

    (void)fd;
    (void)what;
    if (!pc_has(pc, FAULT_ASLEEP))
        return;
    if (listeners->heard) {
        pc_set_fault(pc, FAULT_ASLEEP, false);
        listen_update(pc);
        return;
    }
    for (int i = 0; i < listeners->count && !listeners->heard; i++)
        listeners->heard = packets_lost(&listeners->each[i]) != listeners->each[i].lost_before;
    if (listeners->heard)
        log_event(pc->fqdn, "first-packet", json_object());
    wake_later(pc, listeners->heard ? pc->options->wake_seconds : 0, listeners->heard ? 0 : LOOK_MS);
}

static void fall_asleep(struct pc *pc)
{
    pc->listeners->heard = false;
    for (int i = 0; i < pc->listeners->count; i++)
        pc->listeners->each[i].lost_before = packets_lost(&pc->listeners->each[i]);
    wake_later(pc, 0, 0);
}

static int open_pc(struct pc *pc, const struct port *ports, int port_count)
{
    pc->listeners = calloc(1, sizeof(struct listeners) + (size_t)port_count * sizeof(struct listener));
    if (!pc->listeners)
        return -1;
    event_assign(&pc->listeners->wake, loop, -1, 0, on_wake, pc);
    for (int i = 0; i < port_count; i++) {
        if (open_one(&pc->listeners->each[i], pc, &ports[i]) != 0)
            return -1;
        pc->listeners->count = i + 1;
    }
    return 0;
}

static void close_pc(struct pc *pc)
{
    event_del(&pc->listeners->wake);
    for (int i = 0; i < pc->listeners->count; i++) {
        struct listener *listener = &pc->listeners->each[i];
        event_del(&listener->event);
        drop_fillers(listener);
        close(listener->fd);
    }
    free(pc->listeners);
    pc->listeners = NULL;
}

void listen_update(struct pc *pc)
{
    if (wide.pcs && !pc->listeners && is_deaf(pc))
        open_pc(pc, wide.ports, wide.port_count); /* its own sockets go before the one for all */
    for (int i = 0; pc->listeners && i < pc->listeners->count; i++)
        choose_door(&pc->listeners->each[i]);
    if (pc->listeners && pc_has(pc, FAULT_ASLEEP) && !event_pending(&pc->listeners->wake, EV_TIMEOUT, NULL))
        fall_asleep(pc);
    if (wide.pcs && pc->listeners && !is_deaf(pc))
        close_pc(pc);
}

int listen_open(struct event_base *base, struct pc *pcs, unsigned count, const struct port *ports,
                int port_count)
{
    loop = base;
    for (unsigned i = 0; i < count; i++) {
        if (open_pc(&pcs[i], ports, port_count) == 0)
            continue;
        int why = errno;
        fprintf(stderr, "amtsim: the ports of %s: %s\n", pcs[i].fqdn, strerror(why));
        return why == EADDRINUSE ? 1 : -1;
    }
    return 0;
}

int listen_open_wide(struct event_base *base, struct pc *pcs, unsigned count, const struct port *ports,
                     int port_count)
{
    loop = base;
    wide.pcs = pcs;
    wide.count = count;
    wide.ports = ports;
    for (int i = 0; i < port_count; i++) {
        if (open_one(&wide.each[i], NULL, &ports[i]) == 0) {
            wide.port_count = i + 1;
            continue;
        }
        fprintf(stderr, "amtsim: port %u for all of 127/8: %s%s\n", ports[i].number, strerror(errno),
                errno == EADDRINUSE ? " (other simulators have to end first)" : "");
        return -1;
    }
    return 0;
}

void listen_close(struct pc *pcs, unsigned count)
{
    for (int i = 0; i < wide.port_count; i++) {
        event_del(&wide.each[i].event);
        close(wide.each[i].fd);
    }
    wide.port_count = 0;
    wide.pcs = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (pcs[i].listeners)
            close_pc(&pcs[i]);
    }
    trap_free_all();
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
}
