/* SPDX-License-Identifier: Apache-2.0 */
/* A task that was taken over from a worker that had an intent: what may still be done to its PC, by the marks of that
 * worker (jobs_mark_e).
 *
 *   none           the PC was surely not powered: the whole way, with all that stands on it read anew
 *   power          it may have been powered: it is waited for, and if it runs the method goes on from there
 *   typed          a passphrase may have left: what the PC shows is read, and what was set is taken back
 *   not known      an older version held it: the same
 */
#ifndef AMTUNLOCK_UNLOCK_TAKEOVER_PRIV_H
#define AMTUNLOCK_UNLOCK_TAKEOVER_PRIV_H

#include "unlock/unlock.h"

/* The PC may have been powered, or more, by a worker before. */
int takeover_was_powered(const unlock_t *unlock);
/* Nothing more may be done to it. */
int takeover_only_looks(const unlock_t *unlock);

/* Reads the older intent into the plan. */
void takeover_begin(unlock_t *unlock);
/* Why nothing is done to the device that is there now: it is not that of the older intent, which may be powered. NULL: it
 * is, or the intent does not say, or nothing was powered; then of another device's plan nothing stays. */
const char *takeover_judge_device(unlock_t *unlock);
/* What follows once the PC is known to be the one. */
unlock_step_e takeover_read(unlock_t *unlock);
/* It was powered, and it runs, or was reset. */
unlock_step_e takeover_goes_on(unlock_t *unlock);

/* Whether a session that could not be opened is tried again: firmware holds that of a dead worker for a while, which may
 * have had this task, or an earlier one of the PC. */
int takeover_waits(unlock_t *unlock, jobs_reason_e reason);
/* The same for a session with the image of a PC that was powered: also a few times where the device does not answer. */
int takeover_tries_again(unlock_t *unlock, jobs_reason_e reason);
/* For the first session of this worker: on_error of a step that opens it. */
unlock_step_e takeover_opens_again(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* A session could not be opened again: the probe decides, where there is one. */
unlock_step_e takeover_gives_up(unlock_t *unlock, jobs_reason_e reason, const char *text);

#endif
