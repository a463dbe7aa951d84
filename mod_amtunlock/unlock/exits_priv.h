/* SPDX-License-Identifier: Apache-2.0 */
/* How an unlock ends, from any step: what was set is taken back, then the task is finished. Each function
 * returns the step that is next.
 */
#ifndef AMTUNLOCK_UNLOCK_EXITS_PRIV_H
#define AMTUNLOCK_UNLOCK_EXITS_PRIV_H

#include "unlock/unlock.h"

/* ---- with a result ------------------------------------------------------------------------------------- */

unlock_step_e unlock_unlocked(unlock_t *unlock);
unlock_step_e unlock_fail(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* With the reason for which a session ended by itself. */
unlock_step_e unlock_fail_disconnected(unlock_t *unlock);
/* Redis or the audit record did not take the intent or a mark: the task is handed back, since another worker may be able
 * to. One that can never be recorded would only come back for ever. */
unlock_step_e unlock_unrecorded(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* The console showed that the disk is open: the probe is left, where there is one. */
unlock_step_e unlock_evident(unlock_t *unlock);

/* ---- what a worker before may have powered ------------------------------------------------------------- */

/* AMT cannot say more: the probe decides, where there is one. */
unlock_step_e unlock_verify_by_probe(unlock_t *unlock);
/* A read that went wrong: a PC that a worker before may have powered can still be probed. */
unlock_step_e unlock_fail_or_verify(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* A secret did not come in time. */
unlock_step_e unlock_fail_without_secret(unlock_t *unlock);

/* Why there is no evidence: `reason`, or that not even the power request's outcome is known. */
jobs_reason_e unlock_without_evidence(const unlock_t *unlock, jobs_reason_e reason);

/* ---- taking back --------------------------------------------------------------------------------------- */

/* Whether there is something to take back: a session, or what the plan says. */
int unlock_has_to_undo(const unlock_t *unlock);
/* Takes it back, then goes to `next`; at once where there is nothing. */
unlock_step_e unlock_undo(unlock_t *unlock, unlock_step_e next);
/* What follows once UNLOCK_CLOSE, UNLOCK_CHECK_BOOT or UNLOCK_CHECK_REDIRECTION is done. */
unlock_step_e unlock_undo_after(unlock_t *unlock, unlock_step_e step);
/* Logs that `what` could not be taken back. */
void unlock_warn_left(const unlock_t *unlock, const char *what, const char *text);

/* ---- what the plan says -------------------------------------------------------------------------------- */

/* To reset the PC. */
int unlock_is_reset(const unlock_t *unlock);
int unlock_same_redirection(const amt_redirection_t *one, const amt_redirection_t *other);
/* It stands as the plan sets it, or half of it: two writes do it, and a worker may be lost between them. */
int unlock_has_set_redirection(const unlock_plan_t *plan, const amt_redirection_t *now);
/* To set the redirection service to something else. */
int unlock_changes_redirection(const unlock_plan_t *plan);
/* A sentence with the power state. */
const char *unlock_power_text(const unlock_t *unlock, const char *text);

#endif
