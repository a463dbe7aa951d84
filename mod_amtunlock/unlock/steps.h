/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of an unlock: what each sends, what it accepts, and what comes next. Between unlock.c, which
 * walks them, and steps*.c, which hold them: a part of the table a file. A new step is a row and its
 * functions there, and a name in unlock_step_e.
 */
#ifndef AMTUNLOCK_UNLOCK_STEPS_H
#define AMTUNLOCK_UNLOCK_STEPS_H

#include "unlock/unlock.h"

#define SECONDS(n) ((apr_interval_time_t)(n)*APR_USEC_PER_SEC)

#define STEPS_PROBE_WAIT SECONDS(3)

/* PowerState of CIM_AssociatedPowerManagementService, and of RequestPowerStateChange */
#define STEPS_POWER_ON 2
/* Of RequestPowerStateChange only: Master Bus Reset. The state stays STEPS_POWER_ON through it. */
#define STEPS_POWER_RESET 10

/* When a step ends that is not answered. */
typedef enum {
    ENDS_BY_LIMIT,
    ENDS_WITH_BOOT /* by the time that the PC is given to start */
} step_end_e;

typedef struct {
    const char *name;                          /* as consoles, operators and the audit record see it */
    void (*send)(unlock_t *unlock);            /* NULL: it only listens */
    unlock_step_e (*accept)(unlock_t *unlock); /* the next step */
    unlock_step_e (*refuse)(unlock_t *unlock, jobs_reason_e reason,
                            const char *text); /* NULL: the unlock fails */
    unlock_step_e (*expire)(unlock_t *unlock); /* NULL: the unlock fails */
    /* It listens: something is on the console, or was when the step began. The next step, or itself. */
    unlock_step_e (*hear)(unlock_t *unlock);
    unlock_step_e (*cut)(unlock_t *unlock); /* with hear: the session is gone. NULL: the unlock fails */
    step_end_e end;
    apr_interval_time_t
        limit; /* of the step as a whole; 0: none of its own, the store or the deadline ends it */
    apr_interval_time_t every; /* a step that follows itself sends again this long after it last sent */
    apr_interval_time_t pause; /* before it sends */
    unsigned int retry : 1;    /* may be tried again, before the intent */
    unsigned int writes : 1;   /* to the PC: only after the intent, behind the gate, once */
    unsigned int undoes : 1;   /* writes what the intent says stood before: a successor may, too */
} step_t;

/* A part of the table: the rows of the steps from `first` on. */
typedef struct {
    unlock_step_e first;
    int count;
    const step_t *rows;
} steps_t;

extern const steps_t steps_common, steps_redirect, steps_sol, steps_image, steps_reset;

/* The row of a step. */
const step_t *unlock_row(unlock_step_e step);

/* The one way out with a result, from any step. Returns the step that is next: all is taken back, then the
 * task is finished. */
unlock_step_e unlock_fail(unlock_t *unlock, jobs_reason_e reason, const char *text);
unlock_step_e unlock_unlocked(unlock_t *unlock);
/* The console showed that the disk is open: what is left is the probe, where there is one. */
unlock_step_e unlock_evident(unlock_t *unlock);
/* For a successor that cannot go on with AMT: it probes. */
unlock_step_e unlock_look_on(unlock_t *unlock);
/* For a look-only step: a successor that cannot reach AMT can still probe. */
unlock_step_e unlock_refuse_look(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* How long after its intent an unlock may be looked after. */
apr_interval_time_t unlock_most_look(const unlock_t *unlock);
/* Into the plan: a plain start. Returns the first step after the intent. */
unlock_step_e unlock_plan_plain(unlock_t *unlock);
/* Into the plan: what its method does to a PC that is going to start. Returns the intent, or the end. */
unlock_step_e unlock_plan_boot(unlock_t *unlock);
/* To the power request, through its group's ramp where it has one. */
unlock_step_e unlock_power(const unlock_t *unlock);
/* From the plan, which is made by then, to the intent. */
unlock_step_e unlock_intend(unlock_t *unlock);

/* Why there is no evidence: `reason`, or that not even the power request's outcome is known. */
jobs_reason_e unlock_without_evidence(const unlock_t *unlock, jobs_reason_e reason);

/* ---- steps_reset.c ------------------------------------------------------------------------------------- */

/* A PC that runs, whose probe is closed and that shows no prompt: to its reset if its group says so, else it
 * is left alone, with `text`. */
unlock_step_e unlock_reset_or_leave(unlock_t *unlock, const char *text);
/* The plan is to reset it. */
int unlock_is_reset(const unlock_t *unlock);

/* ---- steps_redirect.c ---------------------------------------------------------------------------------- */

/* Whether there is something to take back: a session, or what the plan says. */
int unlock_has_to_undo(const unlock_t *unlock);
/* Takes it back, then goes to `next`; at once where there is nothing. */
unlock_step_e unlock_undo(unlock_t *unlock, unlock_step_e next);
/* What stands in the way of a redirection session and a passphrase on this PC: JOBS_REASON_NONE, or the
 * reason and its sentence. Looked at before the intent. */
jobs_reason_e unlock_obstacle(unlock_t *unlock, const char **text);
/* All of them, one a call: *at is 0 at first, and which comes next after that. */
jobs_reason_e unlock_next_obstacle(const unlock_t *unlock, size_t *at, const char **text);
/* Into the plan: what has to be set for this method. Returns the first step after the intent. */
unlock_step_e unlock_plan_redirection(unlock_t *unlock);

/* ---- steps_sol.c, steps_image.c: see method_t ---------------------------------------------------------- */

unlock_step_e steps_sol_opened(unlock_t *unlock);
void steps_sol_hear(unlock_t *unlock, const char *bytes, apr_size_t length);

unlock_step_e steps_image_opened(unlock_t *unlock);
void steps_image_hear(unlock_t *unlock, const char *bytes, apr_size_t length);

#endif
