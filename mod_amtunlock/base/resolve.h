/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses, in bounded time: by c-ares, since getaddrinfo() keeps its thread for as long as DNS is
 * silent and cannot be stopped.
 *
 * Asked are /etc/hosts and the servers of /etc/resolv.conf with its search list, in the order of the line
 * "hosts:" of nsswitch.conf as far as it says "files" and "dns"; other modules of nsswitch.conf (mdns, wins,
 * myhostname) are not. These files are read for each name. A server has 1 s to answer, then the next is
 * asked; all are asked up to three times. An answer too long for UDP is asked for by TCP.
 */
#ifndef AMTUNLOCK_BASE_RESOLVE_H
#define AMTUNLOCK_BASE_RESOLVE_H

#include <poll.h>

#include <apr_time.h>

#define RESOLVE_ADDRESSES 8    /* that are kept of a name */
#define RESOLVE_ADDRESS_MAX 64 /* bytes of a numeric address, with its NUL */
#define RESOLVE_SOCKETS 16     /* that a look-up waits for at most */

/* Numeric, in the order in which they are to be tried (RFC 6724), none twice. */
typedef struct {
    int count;
    char text[RESOLVE_ADDRESSES][RESOLVE_ADDRESS_MAX];
} resolve_addresses_t;

/* A look-up; one thread at a time. */
typedef struct resolve_t resolve_t;

/* Looks `name` up, for at most `limit`. A numeric address is its own answer. NULL: no memory. */
resolve_t *resolve_begin(const char *name, apr_interval_time_t limit);
/* Frees it, done or not. NULL is taken too. */
void resolve_end(resolve_t *resolve);

/* Whether it is over: there are addresses, or an error. */
int resolve_is_done(const resolve_t *resolve);
/* What it waits for: fills in at most RESOLVE_SOCKETS descriptors, and returns how many. */
int resolve_watch(const resolve_t *resolve, struct pollfd *watched);
/* How long it waits for them at most. */
apr_interval_time_t resolve_wait(resolve_t *resolve);
/* Goes on, with what poll(2) found, or with 0 after that time. */
void resolve_step(resolve_t *resolve, const struct pollfd *watched, int count);

/* Of a look-up that is done: NULL, or why there are no addresses ("there is no such name in DNS"). */
const char *resolve_error(const resolve_t *resolve);
const resolve_addresses_t *resolve_addresses(const resolve_t *resolve);

/* All of it, for a thread that may block until `deadline` (by clock_boottime()). NULL, or why there are none;
 * the text is static. */
const char *resolve_name(const char *name, apr_time_t deadline, resolve_addresses_t *addresses);

#endif
