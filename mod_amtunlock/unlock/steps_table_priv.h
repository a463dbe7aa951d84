/* SPDX-License-Identifier: Apache-2.0 */
/* The table of steps as a whole. */
#ifndef AMTUNLOCK_UNLOCK_STEPS_TABLE_PRIV_H
#define AMTUNLOCK_UNLOCK_STEPS_TABLE_PRIV_H

#include "unlock/steps_priv.h"

extern const steps_t *const steps_parts[];
extern const int steps_part_count;

/* Where any step may lead when it ends the unlock: its undoing, its end, or back to the queue. */
extern const unlock_step_e steps_exits[];
extern const int steps_exit_count;

/* The row of a step. */
const step_t *steps_row(unlock_step_e step);
/* Whether the table says that `next` may follow `step`. */
int steps_may_follow(unlock_step_e step, unlock_step_e next);

#endif
