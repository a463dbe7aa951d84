/* SPDX-License-Identifier: Apache-2.0 */
/* The table of steps: what each asks for, what is accepted, and what comes next. unlock.c walks it;
 * steps*.c hold a part of it each. A new step is a name in unlock_step_e and a row with its functions in
 * one of them.
 */
#ifndef AMTUNLOCK_UNLOCK_STEPS_PRIV_H
#define AMTUNLOCK_UNLOCK_STEPS_PRIV_H

#include "unlock/unlock.h"

#define SECONDS(n) ((apr_interval_time_t)(n)*APR_USEC_PER_SEC)

#define STEPS_PROBE_WAIT SECONDS(3)
#define STEPS_BUSY_WAIT SECONDS(90)  /* firmware holds the session of a worker that died */
#define STEPS_REOPENS 5              /* a session that was cut off is opened again so often in all */
#define STEPS_WATCH_WAIT SECONDS(30) /* firmware reports a start within 10 s */

/* When a step ends that is not answered. */
typedef enum {
    ENDS_BY_LIMIT,
    ENDS_WITH_BOOT /* by the time that the PC is given to start */
} step_end_e;

#define STEP_TARGETS 10

struct step_t {
    const char *name; /* as consoles, operators and the audit record see it */

    /* What it does: `send`, then `call`, or `change` if it stores. A step with none of them only listens. */
    void (*send)(unlock_t *unlock);
    unlock_call_e call;
    unsigned int stores : 1;
    jobs_change_e change;
    char state;       /* for JOBS_INTEND and JOBS_PROGRESS */
    jobs_mark_e mark; /* for JOBS_MARK */

    /* What follows an answer. */
    unlock_step_e then;                       /* success, where there is no on_ok, or that returns it */
    unlock_step_e (*on_ok)(unlock_t *unlock); /* NULL: `then` */
    /* NULL: the unlock fails. So for on_timeout. */
    unlock_step_e (*on_error)(unlock_t *unlock, jobs_reason_e reason, const char *text);
    unlock_step_e (*on_timeout)(unlock_t *unlock);
    /* Before a failure counts: whether there is another way, which is tried at once. NULL: there is none. */
    int (*another_way)(unlock_t *unlock, jobs_reason_e reason, const char *text);
    /* It listens: something is on the console, or was when the step began. Returns the next step, or
     * itself. */
    unlock_step_e (*on_input)(unlock_t *unlock);
    /* With on_input: the session is gone. NULL: the unlock fails. */
    unlock_step_e (*on_disconnect)(unlock_t *unlock);
    /* Every step that these functions may return, besides the step itself and the exits (steps_table.c). */
    unlock_step_e targets[STEP_TARGETS];

    step_end_e end;
    /* Of the step as a whole; 0: none of its own, the store or the deadline ends it. */
    apr_interval_time_t limit;
    apr_interval_time_t every; /* a step that follows itself sends again this long after it last sent */
    apr_interval_time_t pause; /* before it sends */
    unsigned int retry : 1;    /* may be tried again, before the intent */
    unsigned int writes : 1;   /* to the PC: only after the intent, behind the gate, once */
    jobs_mark_e needs;         /* only with this mark, and where no worker before had it; 0: none */
    unsigned int binds : 1;    /* after the intent: it stands between a mark and its act */
    /* Writes what the intent says stood before: also where the task is verified only. */
    unsigned int undoes : 1;
};

/* A part of the table: the rows of the steps from `first` on. */
typedef struct {
    const char *title;
    unlock_step_e first;
    int count;
    const step_t *rows;
} steps_t;

extern const steps_t steps_common, steps_redirect, steps_sol, steps_image, steps_reset;

/* on_ok of a step that typed a passphrase, or its seal. */
unlock_step_e steps_typed(unlock_t *unlock);

/* ---- steps_sol.c, steps_image.c: see method_t ---------------------------------------------------------- */

unlock_step_e steps_sol_on_console(unlock_t *unlock);
void steps_sol_input(unlock_t *unlock, const char *bytes, apr_size_t length);

unlock_step_e steps_image_on_console(unlock_t *unlock);
void steps_image_input(unlock_t *unlock, const char *bytes, apr_size_t length);

#endif
