/* SPDX-License-Identifier: Apache-2.0 */
/* Is anybody listening there? One TCP connection that is closed as soon as it stands: the evidence that a
 * PC's system is up. Belongs to one event loop. */
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
    int failed; /* known before the event loop had a word */
    probe_done_fn done;
    void *owner;
};

void probe_init(probe_t *probe, probe_done_fn done, void *owner);
/* Ends in one call of done, from the loop, after at most `timeout`. `address` is numeric. */
void probe_start(probe_t *probe, struct event_base *base, const char *address, int port,
                 apr_interval_time_t timeout);
/* Without a call of done. Nothing happens where none runs. */
void probe_stop(probe_t *probe);

#endif
