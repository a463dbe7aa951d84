/* An unlock's place in its engine: the procedure's state and what stands behind its ports. Between engine.c,
 * which seats and frees, and ports.c, which does what the steps ask for. */
#ifndef AMTUNLOCK_WORKER_SEAT_H
#define AMTUNLOCK_WORKER_SEAT_H

#include <stdatomic.h>

#include <apr_queue.h>
#include <apr_ring.h>
#include <apr_thread_proc.h>
#include <event2/event_struct.h>

#include "amt/redirection/ider.h"
#include "amt/redirection/sol.h"
#include "worker/engine.h"
#include "worker/notify.h"
#include "worker/probe.h"
#include "worker/waker.h"

typedef struct seat_t seat_t;

/* What comes through an engine's inbox; each kind is on its way at most once a seat. */
typedef enum { MAIL_ARRIVED, MAIL_STORED, MAIL_CHORE_DONE, MAILS_A_SEAT } mail_kind_e;

typedef struct {
    mail_kind_e kind;
    seat_t *seat;
} mail_t;

/* A turn to connect: not asked for, waiting, had. */
typedef enum { TURN_NONE, TURN_WAITING, TURN_HAD } turn_e;

/* What the unlock waits for from a session. */
typedef enum { SESSION_OPENING, SESSION_OPEN, SESSION_CLOSING } session_use_e;

struct seat_t {
    unlock_t unlock; /* first: a port finds its seat by it */
    engine_t *engine;
    apr_pool_t *pool;
    setup_t *setup;
    jobs_task_t task;
    APR_RING_ENTRY(seat_t) link;      /* engine_t's seats or ending */
    APR_RING_ENTRY(seat_t) turn_link; /* engine_t's turns: waiting or had */
    turn_e turn;
    apr_time_t turn_until; /* a turn that is had ends then by itself */
    struct event alarm;
    struct event pace;     /* its time in the group's ramp */
    apr_time_t power_from; /* and the time itself, by jobs_boottime(); 0: any */
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
    store_request_t request;
    chore_t chore;
    unsigned int chore_out : 1;    /* the chores have it */
    unsigned int chore_wanted : 1; /* and its answer is waited for */
    unsigned int calling : 1;      /* a call to the device is under way */
    mail_t mail[MAILS_A_SEAT];
};

typedef APR_RING_HEAD(seats_t, seat_t) seats_t;

struct engine_t {
    engine_options_t options;
    apr_allocator_t *allocator; /* of the seats' pools; guarded, since the intake thread makes them */
    apr_queue_t *inbox;
    waker_t waker;
    struct event_base *base;
    struct event *wake_event, *turn_event, *pulse_event, *trim_event;
    apr_pool_t *loop_pool; /* the loop's own, of the engine's allocator */
    amt_loop_t *loop;
    apr_thread_t *thread;
    pulse_t pulse;
    atomic_int load;
    atomic_int stopping, lost;
    atomic_int draining; /* 0, 1: give back what has no intent, 2: everything */
    int drained;         /* how far the seats were told */

    /* The engine's thread's own. */
    seats_t seats, turns_waiting, turns_had;
    seats_t ending; /* over; freed once the store and the chores have nothing of them */
    int turns;
    apr_pool_t *pool;
};

extern const unlock_ports_t seat_ports;

/* ---- sessions.c: the redirection sessions behind the ports -----------------------------------------------
 */

void sessions_init(seat_t *seat);
/* Each is answered by unlock_call_answer(), from the loop. */
void sessions_open_console(seat_t *seat);
void sessions_open_drive(seat_t *seat);
void sessions_close_drive(seat_t *seat);
void sessions_close(seat_t *seat);
void sessions_redraw(seat_t *seat);
void sessions_type(seat_t *seat);
void sessions_seal(seat_t *seat);
void sessions_acknowledge(seat_t *seat);
/* What is opening, closing or being typed ends without an answer. */
void sessions_stop(seat_t *seat);
/* All of them, at once. */
void sessions_destroy(seat_t *seat);

/* How this PC is reached, with the login that is in hand. */
amt_target_t seat_target(const seat_t *seat);
/* The gate: asked right before the bytes of an act leave. */
int seat_may_act(void *seat);
/* Wipes it. */
void seat_forget_passphrase(seat_t *seat);

/* Posts mail of the seat to its engine; any thread that has something of the seat. */
void seat_post(seat_t *seat, mail_kind_e kind);
/* The engine's thread: what came through the inbox. */
void seat_begin(seat_t *seat);
void seat_stored(seat_t *seat);
void seat_chore_done(seat_t *seat);
/* Frees it where it stands. Nobody else may have anything of it. */
void seat_drop(seat_t *seat);
/* Frees those that are over and that nobody else has anything of. */
void seats_free(engine_t *engine);

/* What connections held goes back to the system, in a moment and for all that end until then. */
void engine_trim_soon(engine_t *engine);

/* Gives turns to those who wait, and takes back those that were had too long. */
void turns_serve(engine_t *engine);

#endif
