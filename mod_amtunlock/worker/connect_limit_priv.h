/* SPDX-License-Identifier: Apache-2.0 */
/* Limits how many first connections of an engine are under way at a time (`connects` of the settings).
 *
 * A permit is asked for, granted when its turn comes, and ended by its owner. Belongs to one event loop.
 */
#ifndef AMTUNLOCK_WORKER_CONNECT_LIMIT_PRIV_H
#define AMTUNLOCK_WORKER_CONNECT_LIMIT_PRIV_H

#include <apr_ring.h>
#include <apr_time.h>
#include <event2/event_struct.h>

typedef struct connect_permit_t connect_permit_t;
typedef enum { PERMIT_NONE, PERMIT_WAITING, PERMIT_HELD } permit_state_e;

/* Zeroed, with `granted` and `owner` set, before it is asked for. */
struct connect_permit_t {
    void (*granted)(connect_permit_t *permit);
    void *owner;

    /* connect_limit.c's */
    APR_RING_ENTRY(connect_permit_t) link;
    permit_state_e state;
    apr_time_t until; /* of a held one: it ends by itself then */
};

typedef APR_RING_HEAD(connect_ring_t, connect_permit_t) connect_ring_t;

typedef struct {
    int max, held_count;
    connect_ring_t waiting;
    connect_ring_t held; /* in the order they were granted */
    struct event retry;
} connect_limit_t;

void connect_limit_init(connect_limit_t *limit, struct event_base *base, int max);

/* Grants what can be granted now. While permits wait it is called again by a timer. */
void connect_limit_serve(connect_limit_t *limit);

/* Granted by a later connect_limit_serve(), never from here. */
void connect_permit_ask(connect_limit_t *limit, connect_permit_t *permit);
/* Nothing happens where none was asked for, or where it has ended already. */
void connect_permit_end(connect_limit_t *limit, connect_permit_t *permit);

#endif
