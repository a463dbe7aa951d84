/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out whether a TCP port is open: one connection that is closed as soon as it is made. An open port is
 * the evidence that a PC's system is up. Belongs to one event loop. */
#ifndef AMTUNLOCK_WORKER_PROBE_H
#define AMTUNLOCK_WORKER_PROBE_H

#include <apr_time.h>
#include <event2/event.h>
#include <event2/event_struct.h>

typedef struct probe_t probe_t;
typedef void (*probe_done_fn)(probe_t *probe, int open);

struct probe_t {
    struct event event;
    int fd; /* -1: no connection */
    int running;
    int failed; /* could not even begin to connect */
    probe_done_fn done;
    void *owner;
};

void probe_init(probe_t *probe, probe_done_fn done, void *owner);
/* Calls done once, from the loop, after at most `timeout`. `address` is numeric. */
void probe_start(probe_t *probe, struct event_base *base, const char *address, int port,
                 apr_interval_time_t timeout);
/* done is not called any more. Nothing happens where no probe runs. */
void probe_stop(probe_t *probe);

#endif
