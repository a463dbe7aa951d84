/* SPDX-License-Identifier: Apache-2.0 */
/* How one PC is unlocked: a table of steps and the machine that walks it, free of sockets, threads and
 * clocks.
 *
 * A step asks for one thing through the ops and waits for one answer. Its row in the table (steps*.c) holds
 * what is asked, what follows, how long it may take, whether it may be tried again and whether it writes to
 * the PC. The worker's engine is behind the ops; a test puts something smaller there. An unlock belongs to
 * one thread.
 *
 * The rules that hold whatever a step does:
 *   - nothing is written to a PC before the intent is durable (JOBS_INTEND, with its audit line before it);
 *   - the power request goes out once in the life of a task, and so does what is typed: each only once its mark is
 *     durable (JOBS_MARK), and never where a worker before had that mark; it is not repeated when its answer is lost;
 *   - a running PC is reset only where its group says so, not in standby, and only while its probe is
 *     closed: the probe is tried before the intent and again right before the request;
 *   - retries: only before the intent, only of what did not answer, 3, 25 s in all, never after a 401; a device
 *     of which nothing was heard yet may be asleep, and is tried for unlock_wake_within();
 *   - a passphrase goes out once for each volume that asks, and only over TLS whose peer was verified;
 *   - it is typed only at a question that is the last thing shown right before, by a PC that this unlock started
 *     or whose group says so;
 *   - a lost lease ends the unlock on the spot: nothing more is sent to the PC, and no result is written;
 *   - every other end goes through exits.c, which takes back what was set and finishes the task;
 *   - a task that is taken over (its worker was lost after the intent) goes on from the last of these marks, with an intent
 *     of its own: takeover_priv.h.
 */
#ifndef AMTUNLOCK_UNLOCK_UNLOCK_H
#define AMTUNLOCK_UNLOCK_UNLOCK_H

#include "amt/amt.h"
#include "amt/redirection/console.h"
#include "base/resolve.h"
#include "inventory/inventory.h"
#include "jobs/jobs.h"
#include "proof/proof.h"
#include "unlock/dialogue.h"
#include "unlock/prompts.h"

typedef struct unlock_t unlock_t;
typedef struct step_t step_t; /* a row of the table: steps_priv.h */

/* The steps, by the file that holds them. The names that consoles and operators see are there. */
typedef enum {
    UNLOCK_NO_STEP,

    /* steps.c: reading, and what all methods have in common */
    UNLOCK_RESOLVE,        /* the PC's name to its addresses; the one that answers is kept */
    UNLOCK_LOGIN,          /* its AMT user and password */
    UNLOCK_PROBE_FIRST,    /* is its system up already? */
    UNLOCK_CONNECT_PERMIT, /* not all connect at once */
    UNLOCK_IDENTIFY,       /* connect; TLS; UUID; version */
    UNLOCK_READ_BOOT,      /* what is set for its next start */
    UNLOCK_READ_POWER,     /* and the branch by it */
    UNLOCK_INTEND,         /* durable and audited */
    UNLOCK_CLEAR_BOOT,     /* an override that somebody left */
    UNLOCK_POWER_RATE,     /* asks for a time by its group's power rate limit, */
    UNLOCK_POWER_WAIT,     /* and waits for it */
    UNLOCK_MARK_POWER,     /* the request may leave now: durable */
    UNLOCK_POWER_ON,       /* once */
    UNLOCK_REPORT_POWERED, /* progress, for those who wait */
    UNLOCK_WATCH,          /* until the power state has changed */
    UNLOCK_REPORT_BOOTING,
    UNLOCK_PROBE, /* until its system answers */
    UNLOCK_FINISH,
    UNLOCK_RELEASE,
    UNLOCK_OVER,

    /* steps_redirect.c: what methods with redirection sessions read, set and take back */
    UNLOCK_READ_CONSENT,
    UNLOCK_READ_REDIRECTION,
    UNLOCK_READ_CAPABILITIES,
    UNLOCK_REDIRECT, /* switches the redirection service on, where it is not */
    UNLOCK_OPEN_CONSOLE,
    UNLOCK_SET_BOOT,
    UNLOCK_CLOSE, /* from here on: taking back */
    UNLOCK_CHECK_BOOT,
    UNLOCK_UNDO_BOOT,
    UNLOCK_CHECK_REDIRECTION,
    UNLOCK_UNDO_REDIRECTION,

    /* steps_sol.c: the passphrase on the console */
    UNLOCK_LOOK_CONSOLE, /* of a running PC */
    UNLOCK_REDRAW,
    UNLOCK_LOOK_PROMPT,
    UNLOCK_PROMPT,
    UNLOCK_PASSPHRASE,
    UNLOCK_LOOK_AGAIN, /* does it still ask? */
    UNLOCK_MARK_TYPED, /* the passphrase may leave now: durable */
    UNLOCK_TYPE,       /* once a volume */
    UNLOCK_VERDICT,
    UNLOCK_REOPEN,      /* a console that was cut off, or that was a lost worker's */
    UNLOCK_AWAIT,       /* what that PC shows by itself */
    UNLOCK_PROBE_AWAIT, /* is it up, before it is asked to show anything? */
    UNLOCK_MARK_LINE,   /* an empty line may leave now, which may cost a try: durable */
    UNLOCK_MARK_AGAIN,  /* the second of the task, and the last */

    /* steps_image.c: the unlock image, and the talk with it */
    UNLOCK_OPEN_DRIVE,
    UNLOCK_HELLO,
    UNLOCK_FETCH_KEY,
    UNLOCK_MARK_SEAL, /* the seal may leave now: durable */
    UNLOCK_SEAL,      /* once */
    UNLOCK_RESULT,
    UNLOCK_ACKNOWLEDGE,
    UNLOCK_CLOSE_DRIVE,
    UNLOCK_ACKNOWLEDGED,
    UNLOCK_REOPEN_CONSOLE, /* of a PC that a lost worker started, */
    UNLOCK_REOPEN_DRIVE,   /* with the same image */

    /* steps_reset.c: a running PC that is going to be reset */
    UNLOCK_READ_SAVING, /* does it only sleep? */
    UNLOCK_PROBE_AGAIN,
    UNLOCK_PROBE_LATER, /* its device was not ready to reset it */

    UNLOCK_STEPS
} unlock_step_e;

/* What is asked of the device, or sent to it. */
typedef enum {
    UNLOCK_CALL_NONE = AMT_READ_NONE,
    /* These are amt_read_e. */
    UNLOCK_CALL_IDENTITY = AMT_READ_IDENTITY,
    UNLOCK_CALL_CONSENT = AMT_READ_CONSENT,
    UNLOCK_CALL_REDIRECTION = AMT_READ_REDIRECTION,
    UNLOCK_CALL_CAPABILITIES = AMT_READ_CAPABILITIES,
    UNLOCK_CALL_BOOT = AMT_READ_BOOT,
    UNLOCK_CALL_POWER = AMT_READ_POWER,
    UNLOCK_CALL_SAVING = AMT_READ_SAVING,
    UNLOCK_CALL_OPEN_CONSOLE = AMT_READS,
    UNLOCK_CALL_OPEN_DRIVE, /* the image, with the sector of the proof */
    UNLOCK_CALL_CLOSE_DRIVE,
    UNLOCK_CALL_CLOSE, /* every session that is open */
    /* These ask the gate. */
    UNLOCK_CALL_REDRAW, /* prompts->redraw, or an empty line */
    UNLOCK_CALL_CLEAR_BOOT,
    UNLOCK_CALL_SET_REDIRECTION, /* to redirection_wanted */
    UNLOCK_CALL_SET_BOOT,        /* to plan.boot */
    UNLOCK_CALL_POWER_ON,        /* plan.power */
    UNLOCK_CALL_TYPE,            /* the passphrase and CR; it is wiped then */
    UNLOCK_CALL_SEAL,            /* the passphrase, sealed by the proof; it is wiped then */
    UNLOCK_CALL_ACKNOWLEDGE      /* what the proof says */
} unlock_call_e;

#define UNLOCK_CALLS (UNLOCK_CALL_ACKNOWLEDGE + 1)

/* How a worker that stops hands its tasks back: all between two steps, and the later the level, the fewer are kept. */
typedef enum {
    UNLOCK_DRAIN_NOT,
    UNLOCK_DRAIN_READY, /* those with which another worker goes on as well as this one */
    UNLOCK_DRAIN_MOST, /* all but those that have a result or a request to repeat, or wait for an act's answer */
    UNLOCK_DRAIN_ALL /* and where the act has a mark, by which nobody repeats it, even without its answer */
} unlock_drain_e;

/* The redirection sessions. */
typedef enum { UNLOCK_CONSOLE, UNLOCK_DRIVE } unlock_session_e;

#define UNLOCK_SESSIONS (UNLOCK_DRIVE + 1)

/* What a step needs done. Each of the first eight is answered once by one of the unlock_*_answer() calls
 * below, never from inside the op, unless stop() came first. */
typedef struct {
    void (*resolve)(unlock_t *unlock);    /* into addresses and probe_addresses */
    void (*login)(unlock_t *unlock);      /* kept behind the op */
    void (*passphrase)(unlock_t *unlock); /* the same, for `volume`; one that was kept before is wiped */
    void (*permit)(unlock_t *unlock);     /* to connect; given back at the next answer or stop() */
    void (*power_wait)(unlock_t *unlock); /* until its group's power rate limit lets it be powered */
    void (*probe)(unlock_t *unlock, apr_interval_time_t timeout);
    void (*call)(unlock_t *unlock, unlock_call_e call); /* what is read: into facts */
    /* Durable: change with step_name, and intent, device, verify_timeout | mark | state | state and reason of the
     * unlock. */
    void (*store)(unlock_t *unlock, jobs_change_e change, char state);
    /* unlock_alarm() then; replaces the one before. */
    void (*alarm)(unlock_t *unlock, apr_interval_time_t after);
    /* Ends what is under way with the PC without an answer, and the alarm. Open sessions stay. */
    void (*stop)(unlock_t *unlock);
    /* The image has proved itself: what it proved itself with is served no more. */
    void (*conceal)(unlock_t *unlock);
    /* Closes the connection to AMT; the next call opens another. Open sessions stay. */
    void (*rest)(unlock_t *unlock);
    void (*hang_up)(unlock_t *unlock); /* closes sessions and the connection to AMT, wipes all secrets */
    void (*over)(unlock_t *unlock);    /* the unlock is over; it may be freed at once */
    apr_time_t (*now)(void);           /* clock_boottime() */
} unlock_ops_t;

/* A way of unlocking. Methods are rows of methods.c. */
typedef struct {
    inventory_method_e method;
    unlock_step_e first_read; /* what is read after the PC's identity */
    unlock_step_e running;    /* for a running PC whose probe is closed; UNLOCK_NO_STEP: it is left alone */
    /* Makes the plan for a PC that is off or hibernated; returns the first step after the intent. */
    unlock_step_e (*plan)(unlock_t *unlock);
    unlock_step_e evidence; /* what follows once it runs, after a boot */
    unlock_step_e
        resume; /* of a PC that a lost worker started: the way back in; UNLOCK_NO_STEP: its probe decides */
    int reads_result; /* what became of a passphrase can be read there by one who did not type it */
    int boot;         /* AMT_START_*, set for its next start */
    int sessions;     /* state of the redirection service that admits those it needs; 0: it needs none */
    int types;        /* a passphrase is handed over: only over verified TLS */
    /* With sessions: begins to look at the console, which is open; returns what follows. */
    unlock_step_e (*on_console)(unlock_t *unlock);
    /* With sessions: takes what the PC wrote to its console. */
    void (*on_input)(unlock_t *unlock, const char *bytes, apr_size_t length);
} method_t;

#define UNLOCK_TEXT_MAX 240

/* An ME that sleeps wakes by the first packets for it, which are lost, and answers 12 to 30 s later. So long (40 s)
 * it is tried again and again before it counts as unreachable, with about this pause. */
apr_interval_time_t unlock_wake_within(void);
#define UNLOCK_WAKE_PAUSE apr_time_from_sec(2)

#define UNLOCK_FENCE_MAX 21

/* What an unlock is going to do to a PC, and what stood before. Written into the intent, so that after the
 * death of this worker another one can take back exactly that. */
typedef struct {
    int power;                            /* requested, AMT_POWER_*; 0: none is */
    int power_before;                     /* state */
    int clears_boot;                      /* an override that somebody left is cleared */
    int boot;                             /* AMT_START_*, set for its next start; 0: nothing is */
    int types;                            /* a passphrase is handed over */
    amt_redirection_t redirection;        /* what the redirection service is set to, */
    amt_redirection_t redirection_before; /* if that is something else */
    /* Of a boot of the image; "" otherwise: by what a worker that takes over can prove itself to it. */
    char boot_fence[UNLOCK_FENCE_MAX];       /* of the intent under which it is booted */
    char proof_key[PROOF_KEY_ID_DIGITS + 1]; /* id of the key that S is derived from */
} unlock_plan_t;

struct unlock_t {
    /* Set by the creator, never changed. All of it outlives the unlock. */
    const unlock_ops_t *ops;
    const jobs_task_t *task;
    const inventory_t *inventory; /* that `system` is of; NULL: no other system is known */
    const inventory_system_t *system;
    const method_t *method;
    const prompts_t *prompts;
    const proof_key_t *proof_key; /* NULL: none is needed, by no method but image */
    apr_pool_t *pool;

    /* What is known of the PC. */
    resolve_addresses_t addresses;       /* of its name, or the inventory's one */
    int addresses_tried;                 /* how often one of several failed */
    int address_at;                      /* which of them is tried, and kept once the PC is identified */
    char address[RESOLVE_ADDRESS_MAX];   /* that one; "" before it was resolved */
    resolve_addresses_t probe_addresses; /* of its probe's host; without one: that address */
    jobs_reason_e address_reason;        /* what one of them said, of those that failed; else silence */
    char address_text[UNLOCK_TEXT_MAX];
    amt_facts_t facts;
    int probe_open; /* what the last probe said */

    /* What is done to it. */
    unlock_plan_t plan;
    amt_redirection_t redirection_wanted; /* by the next UNLOCK_CALL_SET_REDIRECTION */
    dialogue_t *dialogue;                 /* what its console asks; NULL: sol has none open */
    amt_console_t *console;               /* what it shows; NULL: image has none open */
    const char *volume;                   /* whose passphrase is fetched; NULL, "": it has no name */
    int own_passphrase;                   /* and only its own will do */
    proof_session_t *proof;               /* the talk with the unlock image; NULL: none */
    proof_event_e result;                 /* PROOF_RESULT_*, what the image said; PROOF_NONE: nothing yet */
    int acknowledged;                     /* times */
    int reopens;                          /* of its sessions, tried */
    apr_time_t busy_until;    /* so long its firmware may hold the session of a lost worker; 0: not tried */
    apr_time_t heard_at;      /* its console showed something last, or was opened */
    apr_time_t cut_at;        /* when a session ended by itself, last, */
    amt_status_e cut_by;      /* and how */
    amt_status_e call_status; /* of the last call */
    apr_time_t power_sent;    /* when the last power request was begun, by ops->now() */
    int power_tries;          /* power requests so far: all but the last surely did nothing */

    /* Where it is. */
    unlock_step_e step;
    const step_t *row;          /* of the step */
    unlock_step_e after_intent; /* the first that acts */
    unlock_step_e evidence;     /* what follows once it runs */
    unlock_step_e after_undo;   /* what follows once all is taken back */
    int tries;                  /* of this step, failed */
    apr_time_t until;           /* this step ends then; 0: it has no end of its own */
    apr_time_t sent;            /* when the step last sent */
    apr_time_t retry_until;     /* no retry after this; 0: nothing was tried twice yet */
    apr_time_t wake_until;      /* the same while nothing was heard of the device; 0: it was never silent */
    int wakes;                  /* times that it was tried again for that */
    apr_time_t look_at;         /* a step that listens looks again then; 0: it waits for input */
    apr_time_t awaited;         /* the look_at that the alarm is set for */
    apr_time_t boot_until;      /* evidence must be there by then */
    unsigned int pausing : 1;   /* waits for the alarm to send (again) */
    unsigned int storing : 1;   /* the store has a request of it */
    unsigned int authenticated : 1;  /* the PC answered our login once */
    unsigned int asleep : 1;         /* nothing was heard of the device, or of another address of it */
    unsigned int identified : 1;     /* it is the device that the inventory means */
    unsigned int probed : 1;         /* its probe was tried */
    unsigned int not_begun : 1;      /* the work that was asked for last did not have its turn */
    unsigned int blameless : 1;      /* that it failed says nothing of the PC */
    unsigned int settled : 1;        /* an unclear power state was waited for */
    unsigned int unrecordable : 1;   /* the audit record can never take its intent */
    unsigned int intended : 1;       /* the intent is durable: this unlock is not begun a second time */
    unsigned int line_marked : 1;    /* an empty line may leave, and none has */
    unsigned int no_line_left : 1;   /* those that a task may cost were sent by workers before */
    unsigned int asked_to_show : 1;  /* a console that was opened again was asked what it shows */
    unsigned int power_answered : 1; /* AMT said yes to the power request */
    unsigned int power_refused : 1;  /* AMT said no, */
    unsigned int power_not_now : 1;  /* and that it did nothing, for now */
    unsigned int seen_on : 1;        /* the PC was seen running after the intent */
    unsigned int session_open : 1;   /* a session was opened and not closed since */
    unsigned int lends_drive : 1;    /* it is handed over, and its PC may still look for its drive */
    unsigned int drive_open : 1;     /* the same of the drive, where a lost worker gave it first */
    unsigned int disconnected : 1;   /* a session ended by itself; disconnect_reason and _text say why */
    unsigned int image_read : 1;     /* the PC has read from the image */
    unsigned int image_greeted : 1;  /* and the image proved itself */
    unsigned int image_again : 1;    /* it did not hear the acknowledgement */
    unsigned int image_broken : 1;   /* it said what cannot be believed */
    unsigned int undone : 1;         /* all that was set is taken back, or that was tried */
    unsigned int over : 1;
    unlock_drain_e draining;            /* the worker stops */
    unsigned int marks;                 /* jobs_mark_e: of this unlock, durable */
    jobs_mark_e mark;                   /* the one that is being stored */
    const char *intent;                 /* JSON */
    apr_interval_time_t verify_timeout; /* after the intent; for a worker that only verifies */

    jobs_reason_e disconnect_reason;
    char disconnect_text[UNLOCK_TEXT_MAX];

    /* How it ended. */
    char state; /* 'U' or 'F' */
    jobs_reason_e reason;
    const char *ended_at;       /* name of the step */
    char text[UNLOCK_TEXT_MAX]; /* for the log and the audit record */
};

/* Name of the step it is at (or ended at), as consoles and operators see it. */
const char *unlock_step_name(const unlock_t *unlock);

/* Starts: the members named above are set, the rest is zero. */
void unlock_begin(unlock_t *unlock);

/* ---- answers, from the ops ----------------------------------------------------------------------------- */

/* To resolve, login and passphrase: JOBS_REASON_NONE is success. */
void unlock_work_answer(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* To permit and power_wait. */
void unlock_permit_answer(unlock_t *unlock);
void unlock_probe_answer(unlock_t *unlock, int open);
void unlock_call_answer(unlock_t *unlock, const amt_result_t *result);
/* `audited` 0: the audit record could not be written and Redis was not asked. */
void unlock_store_answer(unlock_t *unlock, jobs_outcome_e outcome, int audited, const char *text);
void unlock_alarm(unlock_t *unlock);

/* ---- events, from the ops ------------------------------------------------------------------------------ */

/* Bytes that the PC wrote to its console. May end the session. */
void unlock_input(unlock_t *unlock, const char *bytes, apr_size_t length);
/* The PC reads the image. */
void unlock_image_read(unlock_t *unlock);
/* An open session ended, and not because it was closed. */
void unlock_disconnected(unlock_t *unlock, unlock_session_e session, const amt_result_t *result);

/* ---- from the worker ----------------------------------------------------------------------------------- */

/* Its lease is lost. */
void unlock_lost(unlock_t *unlock);
/* The worker stops: a task without an intent goes back to the queue, one with an intent to a worker that goes on from
 * its marks. Levels only rise. */
void unlock_drain(unlock_t *unlock, unlock_drain_e level);

/* ---- tables, for preflight and tests ------------------------------------------------------------------- */

/* Reason code for an AMT call that ended badly, before or after the PC's first authenticated answer. */
jobs_reason_e unlock_reason_of_amt(amt_status_e status, int authenticated);

/* What stands in the way of the method's sessions and its passphrase on this PC, by its facts:
 * JOBS_REASON_NONE, or a reason with its sentence. One obstacle a call: *at is 0 at first, then where the
 * next call goes on. */
jobs_reason_e unlock_next_obstacle(const unlock_t *unlock, size_t *at, const char **text);

#endif
