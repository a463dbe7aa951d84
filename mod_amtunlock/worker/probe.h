/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out whether a TCP port is open, at any of a host's addresses: a connection to each that is closed as soon
 * as it is made. An open port is the evidence that a PC's system is up. Belongs to one event loop. */
#ifndef AMTUNLOCK_WORKER_PROBE_H
#define AMTUNLOCK_WORKER_PROBE_H

#include <apr_time.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/resolve.h"

typedef struct probe_t probe_t;
typedef void (*probe_done_fn)(probe_t *probe, int open);

/* A connection to one of the addresses. */
typedef struct {
    struct event event;
    probe_t *probe;
    int fd; /* -1: there is none, or it failed */
} probe_attempt_t;

struct probe_t {
    probe_attempt_t *attempts; /* while it runs; NULL: none */
    struct event end;          /* the time is over, or no connection is left */
    int count;                 /* of attempts */
    int left;                  /* that neither are connected nor failed */
    int running;
    probe_done_fn done;
    void *owner;
};

void probe_init(probe_t *probe, probe_done_fn done, void *owner);
/* Calls done once, from the loop, after at most `timeout`. */
void probe_start(probe_t *probe, struct event_base *base, const resolve_addresses_t *addresses, int port,
                 apr_interval_time_t timeout);
/* done is not called any more. Nothing happens where no probe runs. */
void probe_stop(probe_t *probe);

#endif
