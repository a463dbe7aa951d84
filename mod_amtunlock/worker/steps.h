/* The steps of an unlock: what each sends, what it accepts, and what comes next. Between unlock.c, which
 * walks the table, and steps.c, which holds it. A new step is a row and its functions there, and a name in
 * unlock_step_e.
 */
#ifndef AMTUNLOCK_WORKER_STEPS_H
#define AMTUNLOCK_WORKER_STEPS_H

#include "worker/unlock.h"

#define SECONDS(n) ((apr_interval_time_t)(n)*APR_USEC_PER_SEC)

#define STEPS_PROBE_WAIT SECONDS(3)

typedef struct {
    const char *name; /* as consoles, operators and the audit record see it */
    void (*send)(unlock_t *unlock);
    unlock_step_e (*accept)(unlock_t *unlock); /* the next step */
    unlock_step_e (*refuse)(unlock_t *unlock, jobs_reason_e reason,
                            const char *text); /* NULL: the unlock fails */
    unlock_step_e (*expire)(unlock_t *unlock); /* NULL: the unlock fails */
    apr_interval_time_t
        limit; /* of the step as a whole; 0: none of its own, the store or the deadline ends it */
    apr_interval_time_t every; /* a step that follows itself sends again this long after it last sent */
    unsigned int retry : 1;    /* may be tried again, before the intent */
    unsigned int writes : 1;   /* to the PC: only after the intent, behind the gate, once */
} step_t;

/* By unlock_step_e. */
extern const step_t unlock_steps[];

/* The one way out with a result, from any step. Returns the step that finishes. */
unlock_step_e unlock_fail(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* For a successor that cannot go on with AMT: it probes. */
unlock_step_e unlock_look_on(unlock_t *unlock);
/* How long after its intent an unlock may be looked after. */
apr_interval_time_t unlock_most_look(const unlock_t *unlock);

#endif
