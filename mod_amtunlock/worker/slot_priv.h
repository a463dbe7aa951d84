/* SPDX-License-Identifier: Apache-2.0 */
/* Per-task state in an engine: the procedure with the sockets, timers and requests that serve it.
 *
 * Three layers use it: sessions.c holds the redirection sessions, ops.c carries out what the steps ask for,
 * engine.c is the thread and its loop. Each calls only those before it, and all of them this file.
 */
#ifndef AMTUNLOCK_WORKER_SLOT_PRIV_H
#define AMTUNLOCK_WORKER_SLOT_PRIV_H

#include <stdatomic.h>

#include <apr_queue.h>
#include <apr_ring.h>
#include <event2/event_struct.h>

#include "amt/redirection/sol.h"
#include "base/wakeup.h"
#include "drives/drives.h"
#include "worker/connect_limit_priv.h"
#include "worker/lease.h"
#include "worker/pacer.h"
#include "worker/probe.h"
#include "worker/record/outbox.h"
#include "worker/settings/snapshot.h"
#include "worker/work_pool.h"

typedef struct slot_t slot_t;
typedef struct slots_t slots_t;

/* What comes through an engine's inbox. Of each kind a slot has at most one event on its way. */
typedef enum { SLOT_ARRIVED, SLOT_STORED, SLOT_WORK_DONE, SLOT_EVENTS } slot_event_e;

typedef struct {
    slot_event_e kind;
    slot_t *slot;
} slot_event_t;

/* What the unlock waits for from a session. */
typedef enum { SESSION_OPENING, SESSION_OPEN, SESSION_CLOSING } session_use_e;

struct slot_t {
    unlock_t unlock; /* first: ops.c finds the slot by it */
    slots_t *slots;
    apr_pool_t *pool;
    snapshot_t *snapshot;
    jobs_task_t task;
    APR_RING_ENTRY(slot_t) link; /* slots_t's running or ending */
    connect_permit_t permit;
    struct event alarm;
    struct event power_wait; /* until its time by the group's power rate limit */
    apr_time_t power_from;   /* the power request may not leave before, by clock_boottime(); 0: any time */
    probe_t probe;
    struct event soon_event; /* delivers `soon` from the loop */
    amt_result_t soon;
    amt_device_t *device;
    amt_sol_t *sol; /* opening, open or closing; NULL: none */
    drive_t *drive; /* the same */
    session_use_e uses[UNLOCK_SESSIONS];
    secrets_login_t login;
    char *passphrase;
    lease_t lease;
    outbox_request_t request;
    work_t work;
    unsigned int work_out : 1;    /* the work pool has `work` */
    unsigned int work_wanted : 1; /* and the unlock waits for its result */
    unsigned int calling : 1;     /* a call to the device is under way */
    unsigned int is_paced : 1;    /* Redis' time for its power request has come; it has the pacer's */
    slot_event_t events[SLOT_EVENTS];
};

typedef APR_RING_HEAD(slot_ring_t, slot_t) slot_ring_t;

/* The slots of one engine and what they share. Set up by engine.c. */
struct slots_t {
    work_pool_t *work_pool;
    leases_t *leases;
    outbox_t *outbox;
    pacer_t *pacer;
    apr_allocator_t *allocator; /* of the slots' pools; guarded, since the intake thread makes them */
    apr_queue_t *inbox;         /* slot_event_t * */
    wakeup_t wakeup;            /* of the engine's loop */
    pulse_t pulse;              /* of the engine's loop */
    atomic_int load;            /* slots, those in the inbox included */
    atomic_int over;        /* of these, without a task: a thread or the outbox has still something of them */
    atomic_int handed_over; /* tasks with an intent, since the drain began */
    atomic_int lost;        /* a lease was lost since the engine last looked */

    /* The engine thread's own. */
    struct event_base *base;
    amt_loop_t *loop;
    drives_t *drives;
    connect_limit_t connect_limit;
    struct event trim_event;
    slot_ring_t running;
    slot_ring_t ending; /* over; freed once neither the outbox nor the work pool has anything of them */
};

/* Any thread. A slot for this task, with its lease among those that are renewed; NULL: out of memory. Copies
 * the task, refs the snapshot. `system` is of that snapshot. */
slot_t *slot_create(slots_t *slots, const jobs_task_t *task, snapshot_t *snapshot,
                    const inventory_system_t *system);
/* The engine's thread, once it is in no ring and no other thread has anything of it. Device, sessions and
 * secrets have been given back before. */
void slot_destroy(slot_t *slot);

/* Any thread. Sends an event of the slot to its engine. */
void slot_post(slot_t *slot, slot_event_e kind);

/* How this PC is reached, with the login that was fetched. */
amt_target_t slot_target(const slot_t *slot);
/* The gate: asked right before the bytes of an act leave. `slot` is a slot_t. */
int slot_may_act(void *slot);

/* These wipe it; nothing happens where there is none. */
void slot_forget_login(slot_t *slot);
void slot_forget_passphrase(slot_t *slot);

/* A second from now, memory that connections held goes back to the system, for all that end until then. */
void slots_trim_soon(slots_t *slots);

#endif
