/* SPDX-License-Identifier: Apache-2.0 */
/* Limits how many first connections of an engine are under way at a time (`connects` of the settings), and how many PCs
 * are talked to before they start: a connection takes several times the memory of a slot.
 *
 * A permit is asked for, granted when its turn comes, and ended by its owner, or by itself after a while. Belongs to one
 * event loop.
 */
#ifndef AMTUNLOCK_WORKER_CONNECT_LIMIT_PRIV_H
#define AMTUNLOCK_WORKER_CONNECT_LIMIT_PRIV_H

#include <apr_ring.h>
#include <apr_time.h>
#include <event2/event_struct.h>

typedef struct connect_permit_t connect_permit_t;
typedef enum { PERMIT_NONE, PERMIT_WAITING, PERMIT_CONNECTS, PERMIT_TALKS, PERMIT_STATES } permit_state_e;

/* Zeroed, with `granted` and `owner` set, before it is asked for. */
struct connect_permit_t {
    void (*granted)(connect_permit_t *permit);
    void *owner;

    /* connect_limit.c's */
    APR_RING_ENTRY(connect_permit_t) link;
    permit_state_e state;
    apr_time_t since; /* by clock_boottime(): when its state began, or that which ended by itself */
};

typedef APR_RING_HEAD(connect_ring_t, connect_permit_t) connect_ring_t;

typedef struct {
    int count;
    apr_interval_time_t usual; /* how long it took lately; 0: nobody got through it yet */
    connect_ring_t permits;    /* in the order in which they came */
} connect_stage_t;

typedef struct {
    int max;
    connect_stage_t stages[PERMIT_STATES];
    struct event retry;
} connect_limit_t;

void connect_limit_init(connect_limit_t *limit, struct event_base *base, int max);

/* Grants what can be granted now. While permits wait it is called again by a timer. */
void connect_limit_serve(connect_limit_t *limit);

/* Granted by a later connect_limit_serve(), never from here. */
void connect_permit_ask(connect_limit_t *limit, connect_permit_t *permit);
/* After each answer of the PC: it is talked to from the first one on. Nothing happens where its permit has ended. */
void connect_permit_connected(connect_limit_t *limit, connect_permit_t *permit);
/* Nothing happens where none was asked for, or where it has ended already. */
void connect_permit_end(connect_limit_t *limit, connect_permit_t *permit);

#endif
