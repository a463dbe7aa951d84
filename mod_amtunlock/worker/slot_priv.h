/* SPDX-License-Identifier: Apache-2.0 */
/* An unlock's place in its engine: the procedure's state and what stands behind its ports. Between engine.c,
 * which seats and frees, and ports.c, which does what the steps ask for. */
#ifndef AMTUNLOCK_WORKER_SLOT_PRIV_H
#define AMTUNLOCK_WORKER_SLOT_PRIV_H

#include <stdatomic.h>

#include <apr_queue.h>
#include <apr_ring.h>
#include <apr_thread_proc.h>
#include <event2/event_struct.h>

#include "amt/redirection/ider.h"
#include "amt/redirection/sol.h"
#include "base/clock.h"
#include "base/wakeup.h"
#include "worker/engine.h"
#include "worker/probe.h"

typedef struct slot_t slot_t;

/* What comes through an engine's inbox; each kind is on its way at most once a seat. */
typedef enum { SLOT_ARRIVED, SLOT_STORED, SLOT_WORK_DONE, SLOT_EVENTS } slot_event_e;

typedef struct {
    slot_event_e kind;
    slot_t *slot;
} slot_event_t;

/* A turn to connect: not asked for, waiting, had. */
typedef enum { PERMIT_NONE, PERMIT_WAITING, PERMIT_HELD } permit_e;

/* What the unlock waits for from a session. */
typedef enum { SESSION_OPENING, SESSION_OPEN, SESSION_CLOSING } session_use_e;

struct slot_t {
    unlock_t unlock; /* first: a port finds its seat by it */
    engine_t *engine;
    apr_pool_t *pool;
    snapshot_t *snapshot;
    jobs_task_t task;
    APR_RING_ENTRY(slot_t) link;        /* engine_t's seats or ending */
    APR_RING_ENTRY(slot_t) permit_link; /* engine_t's turns: waiting or had */
    permit_e permit;
    apr_time_t permit_until; /* a turn that is had ends then by itself */
    struct event alarm;
    struct event power_wait; /* its time in the group's ramp */
    apr_time_t power_from;   /* and the time itself, by clock_boottime(); 0: any */
    probe_t probe;
    struct event soon_event; /* answers a call from the loop that needs to wait for nothing */
    amt_result_t soon;
    amt_device_t *device;
    amt_sol_t *sol;   /* opening, open or closing; NULL: none */
    amt_ider_t *ider; /* the same */
    session_use_e uses[UNLOCK_SESSIONS];
    secrets_login_t login;
    char *passphrase;
    lease_t lease;
    outbox_request_t request;
    work_t work;
    unsigned int work_out : 1;    /* the chores have it */
    unsigned int work_wanted : 1; /* and its answer is waited for */
    unsigned int calling : 1;     /* a call to the device is under way */
    slot_event_t events[SLOT_EVENTS];
};

typedef APR_RING_HEAD(slots_t, slot_t) slots_t;

struct engine_t {
    engine_options_t options;
    apr_allocator_t *allocator; /* of the seats' pools; guarded, since the intake thread makes them */
    apr_queue_t *inbox;
    wakeup_t wakeup;
    struct event_base *base;
    struct event *wake_event, *permit_event, *pulse_event, *trim_event;
    apr_pool_t *loop_pool; /* the loop's own, of the engine's allocator */
    amt_loop_t *loop;
    apr_thread_t *thread;
    pulse_t pulse;
    atomic_int load;
    atomic_int stopping, lost;
    atomic_int draining; /* 0, 1: give back what has no intent, 2: everything */
    int drained;         /* how far the seats were told */

    /* The engine's thread's own. */
    slots_t running, permits_waiting, permits_held;
    slots_t ending; /* over; freed once the store and the chores have nothing of them */
    int permits;
    apr_pool_t *pool;
};

extern const unlock_ops_t slot_ops;

/* ---- sessions.c: the redirection sessions behind the ports --------------------------------------------- */

void sessions_init(slot_t *slot);
/* Each is answered by unlock_call_answer(), from the loop. */
void sessions_open_console(slot_t *slot);
void sessions_open_drive(slot_t *slot);
void sessions_close_drive(slot_t *slot);
void sessions_close(slot_t *slot);
void sessions_redraw(slot_t *slot);
void sessions_type(slot_t *slot);
void sessions_seal(slot_t *slot);
void sessions_acknowledge(slot_t *slot);
/* What is opening, closing or being typed ends without an answer. */
void sessions_stop(slot_t *slot);
/* All of them, at once. */
void sessions_destroy(slot_t *slot);

/* How this PC is reached, with the login that is in hand. */
amt_target_t slot_target(const slot_t *slot);
/* The gate: asked right before the bytes of an act leave. */
int slot_may_act(void *slot);
/* Wipes it. */
void slot_forget_passphrase(slot_t *slot);

/* Posts mail of the seat to its engine; any thread that has something of the seat. */
void slot_post(slot_t *slot, slot_event_e kind);
/* The engine's thread: what came through the inbox. */
void slot_begin(slot_t *slot);
void slot_stored(slot_t *slot);
void slot_work_done(slot_t *slot);
/* Frees it where it stands. Nobody else may have anything of it. */
void slot_drop(slot_t *slot);
/* Frees those that are over and that nobody else has anything of. */
void slots_free(engine_t *engine);

/* What connections held goes back to the system, in a moment and for all that end until then. */
void engine_trim_soon(engine_t *engine);

/* Gives turns to those who wait, and takes back those that were had too long. */
void permits_serve(engine_t *engine);

#endif
