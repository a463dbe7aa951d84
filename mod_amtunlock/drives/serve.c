/* SPDX-License-Identifier: Apache-2.0 */
/* The drive process: see drives.h. One thread, but for tickets. */
#include "drives/drives.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_allocator.h>
#include <apr_ring.h>
#include <apr_strings.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/log.h"
#include "drives/channel_priv.h"
#include "drives/meeting_priv.h"
#include "drives/session_priv.h"
#include "secrets/secrets.h"

#define TICK apr_time_from_sec(1)
#define KEEP_FREE ((apr_size_t)128 * 1024) /* what the allocator keeps for the next drives */
#define FIRST_WAIT apr_time_from_sec(10)   /* for the worker that began this process */

typedef struct server_t server_t;
typedef struct client_t client_t;

/* A connection of a worker. */
struct client_t {
    APR_RING_ENTRY(client_t) link;
    apr_pool_t *pool;
    server_t *server;
    channel_t *channel;
    int leaves;
};

struct server_t {
    apr_pool_t *pool;
    const char *folder;
    struct event_base *base;
    struct event connection, tick;
    drive_sessions_t sessions;
    APR_RING_HEAD(client_ring_t, client_t) clients;
    apr_time_t began;
    int met; /* a worker was here */
};

/* ---- ends ---------------------------------------------------------------------------------------------- */

static void accept_clients(server_t *server);

/* A worker that connects does so under this lock: it is either seen here, or finds nobody. */
static void end_if_idle(server_t *server)
{
    int waits = !server->met && clock_boottime() < server->began + FIRST_WAIT;
    int lock;

    if (waits || !APR_RING_EMPTY(&server->clients, client_t, link) ||
        drive_sessions_exist(&server->sessions)) {
        return;
    }
    lock = meeting_lock(server->folder);
    if (lock < 0 && errno == EWOULDBLOCK) {
        return; /* the next tick tries again */
    }
    accept_clients(server);
    if (APR_RING_EMPTY(&server->clients, client_t, link)) {
        if (lock >= 0) {
            meeting_close(server->folder, server->pool);
        }
        event_base_loopbreak(server->base);
    }
    if (lock >= 0) {
        close(lock);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    server_t *server = data;

    (void)fd;
    (void)what;
    drive_sessions_tick(&server->sessions);
    end_if_idle(server);
}

/* ---- clients ------------------------------------------------------------------------------------------- */

static void answer(const client_t *client)
{
    const message_t here = {.kind = MESSAGE_HERE};

    if (channel_send(client->channel, &here, NULL) != APR_SUCCESS) {
        log_error("AMTU0576", "a worker's question cannot be answered: memory is out");
    }
}

/* Words that are about one drive, and say nothing else. */
static void (*const words[MESSAGES])(drive_sessions_t *sessions, const channel_t *client,
                                     apr_uint32_t drive) = {
    [MESSAGE_KEEP] = drive_sessions_keep,       [MESSAGE_HAND_OVER] = drive_sessions_hand_over,
    [MESSAGE_CONCEAL] = drive_sessions_conceal, [MESSAGE_CLOSE] = drive_sessions_close,
    [MESSAGE_DROP] = drive_sessions_drop,
};

static void serve_on_message(void *baton, const message_t *message, const int files[CHANNEL_FILES])
{
    client_t *client = baton;
    drive_sessions_t *sessions = &client->server->sessions;

    if (words[message->kind] != NULL) {
        words[message->kind](sessions, client->channel, message->drive);
    }
    else if (message->kind == MESSAGE_OPEN) {
        drive_sessions_open(sessions, client->channel, message, files);
    }
    else if (message->kind == MESSAGE_LEAVE) {
        client->leaves = 1;
    }
    else if (message->kind == MESSAGE_ASK) {
        answer(client);
    } /* else it is a drive process's own word */
}

static void serve_on_end(void *baton, const char *why)
{
    client_t *client = baton;
    server_t *server = client->server;
    log_number_t count = {{0}};
    int left = 0;

    APR_RING_REMOVE(client, link);
    if (client->leaves && APR_RING_EMPTY(&server->clients, client_t, link)) {
        drive_sessions_drop_alone(&server->sessions);
    }
    left = drive_sessions_leave_alone(&server->sessions, client->channel, client->leaves);
    if (left > 0) {
        log_warn("AMTU0565", "a worker is lost: its drives are served on until another one asks for them",
                 "drives", log_number(&count, left), "text", why);
    }
    apr_pool_destroy(client->pool);
    end_if_idle(server);
}

static void add_client(server_t *server, int fd)
{
    static const channel_events_t events = {serve_on_message, serve_on_end};
    apr_pool_t *pool = NULL;
    client_t *client = NULL;

    apr_pool_create(&pool, server->pool);
    client = apr_pcalloc(pool, sizeof(*client));
    client->pool = pool;
    client->server = server;
    if (channel_create(&client->channel, server->base, fd, &events, client, pool) != APR_SUCCESS) {
        log_warn("AMTU0568", "another user's process asked for drives, and was refused");
        apr_pool_destroy(pool);
        return;
    }
    server->met = 1;
    APR_RING_INSERT_TAIL(&server->clients, client, client_t, link);
}

static void accept_clients(server_t *server)
{
    int fd = -1;

    while ((fd = accept4(MEETING_LISTENER, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0 ||
           errno == EINTR) {
        if (fd >= 0) {
            add_client(server, fd);
        }
    }
}

static void on_connection(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    accept_clients(data);
}

/* ---- the process --------------------------------------------------------------------------------------- */

static const char *prepare_server(server_t *server)
{
    static const struct timeval every = {.tv_sec = apr_time_sec(TICK)};

    if (secrets_process_init() != APR_SUCCESS) {
        return "memory for secrets cannot be had (LimitMEMLOCK)";
    }
    if (amt_library_init() != APR_SUCCESS || (server->base = amt_loop_base_create()) == NULL ||
        drive_sessions_init(&server->sessions, server->base, server->pool) != APR_SUCCESS) {
        return "its event loop cannot be made";
    }
    APR_RING_INIT(&server->clients, client_t, link);
    server->began = clock_boottime();
    event_assign(&server->connection, server->base, MEETING_LISTENER, EV_READ | EV_PERSIST, on_connection,
                 server);
    event_assign(&server->tick, server->base, -1, EV_PERSIST, on_tick, server);
    event_add(&server->connection, NULL);
    event_add(&server->tick, &every);
    return NULL;
}

static int is_listener(int fd)
{
    int listens = 0, type = 0;
    socklen_t length = sizeof(listens);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
}

/* Its end frees what it can, and with the process goes what a thread still waits for. */
__attribute__((noreturn)) static void run_server(const char *folder, apr_pool_t *pool)
{
    server_t *server = apr_pcalloc(pool, sizeof(*server));
    const char *error;

    server->pool = pool;
    server->folder = folder;
    apr_allocator_max_free_set(apr_pool_allocator_get(pool), KEEP_FREE);
    (void)signal(SIGPIPE, SIG_IGN);
    log_open("-", LOG_LEVEL_INFO);
    error = prepare_server(server);
    if (error != NULL) {
        log_error("AMTU0564", "the drive process cannot begin", "text", error);
        _exit(EXIT_FAILURE);
    }
    event_base_dispatch(server->base);
    _exit(EXIT_SUCCESS);
}

/* The child's word that it listens, since its worker connects once this process has ended. */
static int child_listens(int end)
{
    char word;
    ssize_t got;

    do {
        got = read(end, &word, sizeof(word));
    } while (got < 0 && errno == EINTR);
    return got == 1;
}

int drives_serve(const char *folder, apr_pool_t *pool)
{
    int ends[2] = {-1, -1};
    pid_t child = is_listener(MEETING_LISTENER) && pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;

    if (child == 0) {
        close(ends[0]);
        /* Again, so that who connects is told of this process, not of the worker that made the socket. */
        if (listen(MEETING_LISTENER, MEETING_WAITING) != 0 || write(ends[1], "", 1) != 1) {
            _exit(EXIT_FAILURE);
        }
        close(ends[1]);
        run_server(folder, pool);
    }
    close(ends[1]);
    return child > 0 && child_listens(ends[0]) ? EXIT_SUCCESS : EXIT_FAILURE;
}
