/* SPDX-License-Identifier: Apache-2.0 */
/* Each look-up has a c-ares channel of its own: it reads resolv.conf as it is now, no look-up waits for another,
 * and its port and query number are nobody else's. */
#include "base/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <apr_strings.h>

#include "base/clock.h"

enum { SERVER_MS = 1000, TRIES = 3 };

/* Some DNS servers drop questions for IPv6 addresses. From then on IPv4 alone is asked for as well. */
#define FOUR_ALONE_AFTER apr_time_from_sec(2)

struct resolve_t {
    ares_channel channel; /* NULL: there is none */
    char *name;
    apr_time_t until, four_at; /* by clock_boottime(); four_at 0: IPv4 alone was asked for */
    int asked;                 /* questions to c-ares that are not answered */
    int status;                /* of the one that failed last */
    int ended;
    struct pollfd sockets[RESOLVE_SOCKETS];
    int socket_count;
    resolve_addresses_t addresses;
};

/* ---- answers ------------------------------------------------------------------------------------------- */

static void add_address(resolve_addresses_t *to, const struct sockaddr *from)
{
    char *text = to->text[to->count];
    const void *bytes = from->sa_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)from)->sin_addr;

    if (inet_ntop(from->sa_family, bytes, text, RESOLVE_ADDRESS_MAX) == NULL) {
        return;
    }
    for (int i = 0; i < to->count; i++) {
        if (strcmp(to->text[i], text) == 0) {
            return;
        }
    }
    to->count++;
}

static void on_answer(void *baton, int status, int timeouts, struct ares_addrinfo *answer)
{
    resolve_t *resolve = baton;
    const struct ares_addrinfo_node *node = answer != NULL ? answer->nodes : NULL;

    (void)timeouts;
    resolve->asked--;
    resolve->status = status != ARES_SUCCESS ? status : ARES_ENODATA;
    for (; !resolve->ended && node != NULL && resolve->addresses.count < RESOLVE_ADDRESSES;
         node = node->ai_next) {
        add_address(&resolve->addresses, node->ai_addr);
    }
    ares_freeaddrinfo(answer);
}

static void ask_for(resolve_t *resolve, int family)
{
    const struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};

    resolve->asked++;
    ares_getaddrinfo(resolve->channel, resolve->name, NULL, &hints, on_answer, resolve);
}

/* ---- sockets ------------------------------------------------------------------------------------------- */

static void on_socket(void *baton, ares_socket_t fd, int readable, int writable)
{
    resolve_t *resolve = baton;
    struct pollfd *at = resolve->sockets, *end = at + resolve->socket_count;

    while (at < end && at->fd != fd) {
        at++;
    }
    if (!readable && !writable) {
        if (at < end) {
            *at = end[-1];
            resolve->socket_count--;
        }
        return;
    }
    if (at == end && resolve->socket_count == RESOLVE_SOCKETS) {
        return; /* so many servers: this one is not heard */
    }
    resolve->socket_count += at == end;
    *at = (struct pollfd){.fd = fd, .events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0))};
}

static int make_channel(resolve_t *resolve)
{
    struct ares_options options = {
        .timeout = SERVER_MS, .tries = TRIES, .sock_state_cb = on_socket, .sock_state_cb_data = resolve};
    int status = ares_init_options(&resolve->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);

#ifdef AMTUNLOCK_TEST
    if (status == ARES_SUCCESS && getenv("AMTUNLOCK_TEST_DNS") != NULL) {
        status = ares_set_servers_ports_csv(resolve->channel, getenv("AMTUNLOCK_TEST_DNS"));
    }
#endif
    return status;
}

/* ---- a look-up ----------------------------------------------------------------------------------------- */

resolve_t *resolve_begin(const char *name, apr_interval_time_t limit)
{
    resolve_t *resolve = calloc(1, sizeof(*resolve));
    apr_time_t now = clock_boottime();

    if (resolve == NULL || (resolve->name = strdup(name)) == NULL) {
        free(resolve);
        return NULL;
    }
    resolve->until = now + limit;
    resolve->four_at = now + FOUR_ALONE_AFTER;
    resolve->status = make_channel(resolve);
    if (resolve->status == ARES_SUCCESS) {
        ask_for(resolve, AF_UNSPEC);
    }
    return resolve;
}

void resolve_end(resolve_t *resolve)
{
    if (resolve == NULL) {
        return;
    }
    resolve->ended = 1;
    if (resolve->channel != NULL) {
        ares_destroy(resolve->channel);
    }
    free(resolve->name);
    free(resolve);
}

int resolve_is_done(const resolve_t *resolve)
{
    return resolve->addresses.count > 0 || resolve->asked == 0 || clock_boottime() >= resolve->until;
}

int resolve_watch(const resolve_t *resolve, struct pollfd *watched)
{
    memcpy(watched, resolve->sockets, (size_t)resolve->socket_count * sizeof(*watched));
    return resolve->socket_count;
}

apr_interval_time_t resolve_wait(resolve_t *resolve)
{
    apr_time_t now = clock_boottime();
    apr_time_t at =
        resolve->four_at != 0 && resolve->four_at < resolve->until ? resolve->four_at : resolve->until;
    struct timeval most = {.tv_sec = apr_time_sec(at > now ? at - now : 0),
                           .tv_usec = apr_time_usec(at > now ? at - now : 0)};
    struct timeval room;
    const struct timeval *wait = &most;

    if (resolve->channel != NULL) {
        wait = ares_timeout(resolve->channel, &most, &room);
    }
    return apr_time_make(wait->tv_sec, wait->tv_usec);
}

void resolve_step(resolve_t *resolve, const struct pollfd *watched, int count)
{
    if (resolve->channel == NULL) {
        return;
    }
    for (int i = 0; i < count; i++) {
        int in = watched[i].revents & (POLLIN | POLLERR | POLLHUP), out = watched[i].revents & POLLOUT;

        ares_process_fd(resolve->channel, in ? watched[i].fd : ARES_SOCKET_BAD,
                        out ? watched[i].fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(resolve->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what is late */
    if (resolve->four_at != 0 && resolve->asked > 0 && clock_boottime() >= resolve->four_at) {
        resolve->four_at = 0;
        ask_for(resolve, AF_INET);
    }
}

const char *resolve_error(const resolve_t *resolve)
{
    if (resolve->addresses.count > 0) {
        return NULL;
    }
    if (resolve->asked > 0 || resolve->status == ARES_ETIMEOUT) {
        return "no DNS server answered in time";
    }
    switch (resolve->status) {
    case ARES_ENOTFOUND:
        return "there is no such name";
    case ARES_ENODATA:
        return "there is no address of that name";
    case ARES_ESERVFAIL:
        return "the DNS server failed (SERVFAIL)";
    default:
        return ares_strerror(resolve->status);
    }
}

const resolve_addresses_t *resolve_addresses(const resolve_t *resolve)
{
    return &resolve->addresses;
}

/* ---- for a thread that may block ----------------------------------------------------------------------- */

static void wait_and_step(resolve_t *resolve)
{
    struct pollfd watched[RESOLVE_SOCKETS];
    int count = resolve_watch(resolve, watched);
    int ready = poll(watched, (nfds_t)count, (int)apr_time_as_msec(resolve_wait(resolve) + 999));

    resolve_step(resolve, watched, ready > 0 ? count : 0);
}

const char *resolve_name(const char *name, apr_time_t deadline, resolve_addresses_t *addresses)
{
    resolve_t *resolve = resolve_begin(name, deadline - clock_boottime());
    const char *error;

    if (resolve == NULL) {
        return "out of memory";
    }
    while (!resolve_is_done(resolve)) {
        wait_and_step(resolve);
    }
    *addresses = *resolve_addresses(resolve);
    error = resolve_error(resolve);
    resolve_end(resolve);
    return error;
}
