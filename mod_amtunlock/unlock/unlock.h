/* SPDX-License-Identifier: Apache-2.0 */
/* How one PC is unlocked: the procedure, as a table of steps (unlock.c), free of sockets, threads and clocks.
 *
 * A step sends one thing through the ports and waits for one answer; the table says what is accepted, how
 * long it may take, whether it may be tried again and whether it writes to the PC. The engine is behind the
 * ports; a test puts something smaller there. An unlock belongs to one thread.
 *
 * The rules that hold whatever a step does:
 *   - nothing is written to a PC before the intent is durable (jobs_intend, with its audit line before it);
 *   - the power request goes out once in the life of an unlock; an answer that is lost is not asked for
 * again;
 *   - a PC that runs is reset only where its group says so, not in standby, and only while its probe is
 * closed: it is tried before the intent and right before the request;
 *   - retries: only before the intent, only of what did not answer, 3, 25 s in all, never after a 401;
 *   - a passphrase goes out once in the life of an unlock, and only over TLS whose peer was verified;
 *   - a lost lease ends the unlock on the spot: nothing more is sent to the PC, and no result is written;
 *   - every other exit goes through leave(), which takes back what was set and finishes the task;
 *   - a successor reads, probes and takes back what the intent says was set; it sends no power request and no
 *     secret.
 */
#ifndef AMTUNLOCK_UNLOCK_UNLOCK_H
#define AMTUNLOCK_UNLOCK_UNLOCK_H

#include "amt/amt.h"
#include "amt/redirection/console.h"
#include "inventory/inventory.h"
#include "jobs/jobs.h"
#include "proof/proof.h"
#include "unlock/prompts.h"

typedef struct unlock_t unlock_t;
typedef struct method_t method_t;

/* The steps, by the file that holds them. The names that consoles and operators see are there. */
typedef enum {
    /* steps.c: looking, and the way that all methods have */
    UNLOCK_RESOLVE,        /* the PC's name to one address, kept for the whole unlock */
    UNLOCK_LOGIN,          /* its AMT user and password */
    UNLOCK_PROBE_FIRST,    /* is its system up already? */
    UNLOCK_CONNECT_PERMIT, /* wait to connect: not all at once */
    UNLOCK_IDENTIFY,       /* connect; TLS; UUID; version */
    UNLOCK_READ_BOOT,      /* what is set for its next start */
    UNLOCK_READ_POWER,     /* and the branch by it */
    UNLOCK_INTEND,         /* durable and audited */
    UNLOCK_CLEAR_BOOT,     /* an override somebody left */
    UNLOCK_POWER_RATE,     /* its time in its group's ramp, */
    UNLOCK_POWER_WAIT,     /* and the wait for it */
    UNLOCK_POWER_ON,       /* once */
    UNLOCK_TELL_POWERED,   /* progress, for who is waiting */
    UNLOCK_WATCH,          /* until the power state has changed */
    UNLOCK_TELL_BOOTING,
    UNLOCK_PROBE, /* until its system answers */
    UNLOCK_FINISH,
    UNLOCK_RELEASE,
    UNLOCK_OVER,

    /* steps_redirect.c: what methods with redirection sessions look at, set and take back */
    UNLOCK_READ_CONSENT,
    UNLOCK_READ_REDIRECTION,
    UNLOCK_READ_CAPABILITIES,
    UNLOCK_REDIRECT, /* lets the sessions in, where they are not */
    UNLOCK_OPEN_CONSOLE,
    UNLOCK_SET_BOOT,
    UNLOCK_CLOSE, /* from here: taking back */
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
    UNLOCK_TYPE, /* once */
    UNLOCK_VERDICT,

    /* steps_image.c: the unlock image, and the talk with it */
    UNLOCK_OPEN_DRIVE,
    UNLOCK_HELLO,
    UNLOCK_FETCH_KEY,
    UNLOCK_SEAL, /* once */
    UNLOCK_RESULT,
    UNLOCK_ACKNOWLEDGE,
    UNLOCK_CLOSE_DRIVE,
    UNLOCK_HEARD,

    /* steps_reset.c: a PC that runs, on its way to be reset */
    UNLOCK_READ_SAVING, /* does it only sleep? */
    UNLOCK_PROBE_AGAIN
} unlock_step_e;

/* What is asked of the device, or sent to it. */
typedef enum {
    UNLOCK_CALL_IDENTITY,
    UNLOCK_CALL_CONSENT,
    UNLOCK_CALL_REDIRECTION,
    UNLOCK_CALL_CAPABILITIES,
    UNLOCK_CALL_BOOT,
    UNLOCK_CALL_POWER,
    UNLOCK_CALL_SAVING,
    UNLOCK_CALL_OPEN_CONSOLE,
    UNLOCK_CALL_OPEN_DRIVE, /* the image, with the sector of the proof */
    UNLOCK_CALL_CLOSE_DRIVE,
    UNLOCK_CALL_CLOSE, /* every session that is open */
    /* These ask the gate. */
    UNLOCK_CALL_REDRAW,
    UNLOCK_CALL_CLEAR_BOOT,
    UNLOCK_CALL_SET_REDIRECTION, /* to redirection_wanted */
    UNLOCK_CALL_SET_BOOT,        /* to plan.boot */
    UNLOCK_CALL_POWER_ON,
    UNLOCK_CALL_TYPE,       /* the passphrase and CR; it is wiped then */
    UNLOCK_CALL_SEAL,       /* the passphrase, sealed by the proof; it is wiped then */
    UNLOCK_CALL_ACKNOWLEDGE /* what the proof says */
} unlock_call_e;

#define UNLOCK_CALLS (UNLOCK_CALL_ACKNOWLEDGE + 1)

/* The redirection sessions. */
typedef enum { UNLOCK_CONSOLE, UNLOCK_DRIVE } unlock_session_e;

#define UNLOCK_SESSIONS (UNLOCK_DRIVE + 1)

/* What a step needs done. Each of the first eight is answered once by one of the unlock_*_answer() calls
 * below, never from inside the port, unless stop() came first. */
typedef struct {
    void (*resolve)(unlock_t *unlock);    /* into address and probe_address */
    void (*login)(unlock_t *unlock);      /* kept behind the port */
    void (*passphrase)(unlock_t *unlock); /* the same */
    void (*permit)(unlock_t *unlock);     /* a turn to connect; given back at the next answer or stop() */
    void (*power_wait)(unlock_t *unlock); /* the time at which its group's ramp lets it be powered */
    void (*probe)(unlock_t *unlock, apr_interval_time_t timeout);
    void (*call)(unlock_t *unlock, unlock_call_e call); /* results into identity, boot, power, ... */
    /* Durable: change with step_name, and intent, device, look_for | state | state and reason of the unlock.
     */
    void (*store)(unlock_t *unlock, jobs_change_e change, char state);
    void (*alarm)(unlock_t *unlock,
                  apr_interval_time_t after); /* one alarm an unlock: sets it anew; unlock_alarm() */
    void (*stop)(unlock_t *unlock); /* what is under way with the PC ends without an answer; the alarm too.
                                       Sessions that are open stay. */
    void (*rest)(unlock_t *unlock); /* ends the connection to AMT, for a while: the next call makes another.
                                       Sessions that are open stay. */
    void (*hang_up)(unlock_t *unlock); /* ends sessions and the connection to AMT, wipes all secrets */
    void (*over)(unlock_t *unlock);    /* the unlock is over; it may be freed at once */
    apr_time_t (*now)(void);           /* clock_boottime() */
} unlock_ops_t;

#define UNLOCK_ADDRESS_MAX 64
#define UNLOCK_TEXT_MAX 240

/* What an unlock is going to do to a PC, and what stood before. Written into the intent, so that whoever
 * looks after this worker's death can take back exactly that. */
typedef struct {
    int power;                            /* requested, STEPS_POWER_*; 0: none is */
    int power_before;                     /* state */
    int clears_boot;                      /* an override somebody left is cleared */
    int boot;                             /* AMT_START_*, set for its next start; 0: nothing is */
    int types;                            /* a passphrase is handed over */
    amt_redirection_t redirection;        /* what the redirection service is set to, */
    amt_redirection_t redirection_before; /* if that is something else */
} unlock_plan_t;

struct unlock_t {
    /* Set by who makes it, never changed. All of it outlives the unlock. */
    const unlock_ops_t *ops;
    const jobs_task_t *task;
    const inventory_system_t *system;
    const method_t *method;
    const prompts_t *prompts;
    apr_pool_t *pool;

    /* What is known of the PC. */
    char address[UNLOCK_ADDRESS_MAX];       /* numeric; "" before it was resolved */
    char probe_address[UNLOCK_ADDRESS_MAX]; /* numeric */
    amt_identity_t identity;
    amt_boot_t boot;
    amt_power_t power;
    int saving; /* AMT_SAVING_*, -1: the device does not tell */
    amt_consent_t consent;
    amt_redirection_t redirection;
    amt_capabilities_t capabilities;
    int probe_open; /* what the last probe said */

    /* What is done to it. */
    unlock_plan_t plan;
    amt_redirection_t redirection_wanted; /* by the next UNLOCK_CALL_SET_REDIRECTION */
    amt_console_t *console;               /* what it shows; NULL: the console was not opened */
    proof_session_t *proof;               /* the talk with the unlock image; NULL: none */
    proof_event_e result;                 /* PROOF_RESULT_*, what the image said; PROOF_NONE: nothing yet */
    int acknowledged;                     /* times */
    amt_status_e call_status;             /* of the last call */

    /* Where it is. */
    unlock_step_e step;
    unlock_step_e after_intent;      /* the first that acts */
    unlock_step_e evidence;          /* what follows once it runs */
    unlock_step_e after_undo;        /* what follows once all is taken back */
    int tries;                       /* of this step, failed */
    apr_time_t until;                /* this step ends then; 0: it has no end of its own */
    apr_time_t sent;                 /* when the step last sent */
    apr_time_t retry_until;          /* no retry after this; 0: nothing was tried twice yet */
    apr_time_t boot_until;           /* evidence must be there by then */
    unsigned int pausing : 1;        /* waits for the alarm to send (again) */
    unsigned int storing : 1;        /* the store has a request of it */
    unsigned int authenticated : 1;  /* the PC answered our login once */
    unsigned int identified : 1;     /* it is the device that the inventory means */
    unsigned int settled : 1;        /* an unclear power state was waited for */
    unsigned int intended : 1;       /* the intent is durable: nobody else begins this unlock again */
    unsigned int power_answered : 1; /* AMT said yes to the power request */
    unsigned int power_refused : 1;  /* AMT said no */
    unsigned int seen_on : 1;        /* the PC was seen running after the intent */
    unsigned int session_open : 1;   /* a session was opened and not closed since */
    unsigned int cut : 1;            /* a session ended by itself; cut_reason and cut_text say why */
    unsigned int image_read : 1;     /* the PC has read of the image */
    unsigned int image_greeted : 1;  /* and the image proved itself */
    unsigned int image_again : 1;    /* it did not hear the acknowledgement */
    unsigned int image_broken : 1;   /* it said what cannot be believed */
    unsigned int undone : 1;         /* all that was set is taken back, or was tried to */
    unsigned int draining : 1;       /* the worker stops: give back what can be given back */
    unsigned int leaving : 1;        /* and what has an intent too */
    unsigned int over : 1;
    const char *intent;           /* JSON */
    apr_interval_time_t look_for; /* a successor may look this long after the intent */

    jobs_reason_e cut_reason;
    char cut_text[UNLOCK_TEXT_MAX];

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

/* ---- answers, from the ports --------------------------------------------------------------------------- */

void unlock_work_answer(unlock_t *unlock, jobs_reason_e reason,
                        const char *text);   /* resolve, login: NONE is well */
void unlock_permit_answer(unlock_t *unlock); /* turn, pace */
void unlock_probe_answer(unlock_t *unlock, int open);
void unlock_call_answer(unlock_t *unlock, const amt_result_t *result);
/* `audited` 0: the audit record could not be written and Redis was not asked. */
void unlock_store_answer(unlock_t *unlock, jobs_outcome_e outcome, int audited, const char *text);
void unlock_alarm(unlock_t *unlock);

/* ---- what comes unasked, from the ports ---------------------------------------------------------------- */

/* Bytes that the PC wrote to its console. Hangs up, maybe. */
void unlock_hear(unlock_t *unlock, const char *bytes, apr_size_t length);
/* The PC reads the image. */
void unlock_image_read(unlock_t *unlock);
/* A session that was open ended, and not because it was closed. */
void unlock_cut(unlock_t *unlock, unlock_session_e session, const amt_result_t *result);

/* ---- from the worker ----------------------------------------------------------------------------------- */

/* Its lease is another's now. */
void unlock_lost(unlock_t *unlock);
/* The worker stops: what has no intent goes back to the queue; what has one runs on, or with `leave` is given
 * back too, for others to look at. */
void unlock_drain(unlock_t *unlock, int leave);

/* ---- tables, for their tests --------------------------------------------------------------------------- */

/* Reason code for an AMT call that ended badly, before or after the PC's first authenticated answer. */
jobs_reason_e unlock_reason_of_amt(amt_status_e status, int authenticated);

#endif
