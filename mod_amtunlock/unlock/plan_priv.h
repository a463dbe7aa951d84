/* SPDX-License-Identifier: Apache-2.0 */
/* What is going to be done to the PC: decides by what was read of it, fills in unlock_t.plan, and leads to
 * the intent. Each function returns the step that is next.
 */
#ifndef AMTUNLOCK_UNLOCK_PLAN_PRIV_H
#define AMTUNLOCK_UNLOCK_PLAN_PRIV_H

#include "unlock/unlock.h"

/* The branch by the power state. */
unlock_step_e unlock_plan_by_power(unlock_t *unlock);
/* A running PC whose probe is closed and that shows no prompt: it is reset if its group says so, else left
 * alone, with `text`. */
unlock_step_e unlock_reset_or_leave(unlock_t *unlock, const char *text);
/* What the method does to a PC that is going to start. */
unlock_step_e unlock_plan_boot(unlock_t *unlock);
/* From the finished plan to the intent. */
unlock_step_e unlock_intend(unlock_t *unlock);
/* For how long after its intent an unlock may be verified. */
apr_interval_time_t unlock_verify_limit(const unlock_t *unlock);

/* ---- see method_t.plan: these return the first step after the intent ----------------------------------- */

unlock_step_e unlock_plan_plain(unlock_t *unlock);
unlock_step_e unlock_plan_redirection(unlock_t *unlock);

/* ---- after the intent ---------------------------------------------------------------------------------- */

/* To the mark of the power request, by its group's power rate limit where it has one. */
unlock_step_e unlock_power(const unlock_t *unlock);

#endif
