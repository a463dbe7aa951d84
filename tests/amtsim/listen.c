#include "listen.h"

#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64
#define ACCEPTS_AT_ONCE 16
#define FILLERS 2 /* a backlog of 0 holds one connection; one more is for certain */

enum door { DOOR_OPEN, DOOR_SHUT, DOOR_FULL };

struct listener {
    struct pc *pc;
    const struct port *port;
    struct event event;
    int fd;
    bool closed; /* by listen_set_port() */
    enum door door;
    int filler[FILLERS]; /* connections of our own that fill the backlog */
};

struct listeners {
    int count;
    struct listener each[];
};

static struct event_base *loop;
static int lock_fd = -1;

static int new_socket(void)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
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

bool listen_enough_files(unsigned systems, int ports)
{
    struct rlimit limit;
    rlim_t listening = (rlim_t)systems * ((rlim_t)ports + 1); /* and the probe */
    rlim_t needed = listening + systems / 4 + 256;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= needed)
        return true;
    fprintf(stderr,
            "amtsim: %u PCs need %lu open files, %lu of them listening; the hard limit is %lu "
            "(raise it: ulimit -Hn, or LimitNOFILE)\n",
            systems, (unsigned long)needed, (unsigned long)listening, (unsigned long)limit.rlim_max);
    return false;
}

/* ---- connections
 * ------------------------------------------------------------------------------------------- */

/* A connection that nobody will ever answer. */
struct trap {
    struct trap *next, **link;
    struct event event;
    int fd;
    bool resets; /* when the client says something */
};

static struct trap *traps;

static void free_trap(struct trap *trap)
{
    struct linger now = {1, 0};

    if (trap->resets)
        setsockopt(trap->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    event_del(&trap->event);
    close(trap->fd);
    *trap->link = trap->next;
    if (trap->next)
        trap->next->link = trap->link;
    free(trap);
}

static void on_trapped(evutil_socket_t fd, short what, void *arg)
{
    struct trap *trap = arg;
    char buffer[4096];
    ssize_t got = recv(fd, buffer, sizeof(buffer), 0);

    (void)what;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || trap->resets)
        free_trap(trap);
}

/* Takes the connection and never answers, or resets it as soon as the client speaks. */
static void set_trap(int fd, bool resets)
{
    struct trap *trap = calloc(1, sizeof(*trap));

    if (!trap) {
        close(fd);
        return;
    }
    trap->fd = fd;
    trap->resets = resets;
    trap->next = traps;
    trap->link = &traps;
    if (trap->next)
        trap->next->link = &trap->next;
    traps = trap;
    event_assign(&trap->event, loop, fd, EV_READ | EV_PERSIST, on_trapped, trap);
    event_add(&trap->event, NULL);
}

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

static void hand_over(const struct listener *listener, int fd)
{
    struct pc *pc = listener->pc;

    log_event(pc->fqdn, "connection",
              json_pack("{s:I, s:i}", "n", (json_int_t)++pc->connections, "port", listener->port->number));
    if (pc_has(pc, FAULT_BLACK_HOLE) || pc_has(pc, FAULT_RESET))
        set_trap(fd, pc_has(pc, FAULT_RESET));
    else
        listener->port->accepted(pc, fd, listener->port->tls);
}

static bool accept_one(const struct listener *listener)
{
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof(peer);
    int fd = accept4(listener->fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            fprintf(stderr, "amtsim: too many open files: %s stays unanswered\n", listener->pc->fqdn);
        return false;
    }
    if (is_own_filler(listener, &peer))
        close(fd);
    else
        hand_over(listener, fd);
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

/* ---- doors
 * ------------------------------------------------------------------------------------------------- */

static void fill_backlog(struct listener *listener)
{
    struct sockaddr_in at = address_of(listener->pc->address, listener->port->number);

    for (int i = 0; i < FILLERS; i++) {
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

static void choose_door(struct listener *listener)
{
    if (listener->closed || pc_has(listener->pc, FAULT_REFUSED))
        set_door(listener, DOOR_SHUT);
    else if (pc_has(listener->pc, FAULT_SILENT))
        set_door(listener, DOOR_FULL);
    else
        set_door(listener, DOOR_OPEN);
}

void listen_apply_faults(struct pc *pc)
{
    for (int i = 0; pc->listeners && i < pc->listeners->count; i++)
        choose_door(&pc->listeners->each[i]);
}

void listen_set_port(struct pc *pc, uint16_t number, bool open)
{
    for (int i = 0; pc->listeners && i < pc->listeners->count; i++) {
        struct listener *listener = &pc->listeners->each[i];
        if (listener->port->number != number)
            continue;
        listener->closed = !open;
        choose_door(listener);
    }
}

/* ---- the fleet
 * --------------------------------------------------------------------------------------------- */

static int open_one(struct listener *listener, struct pc *pc, const struct port *port)
{
    *listener = (struct listener){.pc = pc, .port = port, .fd = new_socket(), .filler = {-1, -1}};
    if (listener->fd < 0)
        return -1;
    if (bind_and_listen(listener->fd, pc->address, port->number, BACKLOG) != 0) {
        close(listener->fd);
        listener->fd = -1;
        return -1;
    }
    event_assign(&listener->event, loop, listener->fd, EV_READ | EV_PERSIST, accept_some, listener);
    return event_add(&listener->event, NULL);
}

static int open_pc(struct pc *pc, const struct port *ports, int port_count)
{
    pc->listeners = calloc(1, sizeof(struct listeners) + (size_t)port_count * sizeof(struct listener));
    if (!pc->listeners)
        return -1;
    for (int i = 0; i < port_count; i++) {
        if (open_one(&pc->listeners->each[i], pc, &ports[i]) != 0)
            return -1;
        pc->listeners->count = i + 1;
    }
    return 0;
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

static void close_pc(struct pc *pc)
{
    for (int i = 0; i < pc->listeners->count; i++) {
        struct listener *listener = &pc->listeners->each[i];
        event_del(&listener->event);
        drop_fillers(listener);
        close(listener->fd);
    }
    free(pc->listeners);
    pc->listeners = NULL;
}

void listen_close(struct pc *pcs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (pcs[i].listeners)
            close_pc(&pcs[i]);
    }
    struct trap *next;
    for (struct trap *trap = traps; trap; trap = next) {
        next = trap->next;
        free_trap(trap);
    }
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
}
