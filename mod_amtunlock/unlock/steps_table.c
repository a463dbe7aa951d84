/* SPDX-License-Identifier: Apache-2.0 */
/* See steps_table_priv.h. */
#include "unlock/steps_table_priv.h"

const steps_t *const steps_parts[] = {&steps_common, &steps_redirect, &steps_sol, &steps_image, &steps_reset};
const int steps_part_count = sizeof(steps_parts) / sizeof(steps_parts[0]);

const unlock_step_e steps_exits[] = {UNLOCK_CLOSE, UNLOCK_CHECK_BOOT, UNLOCK_CHECK_REDIRECTION, UNLOCK_FINISH,
                                     UNLOCK_RELEASE};
const int steps_exit_count = sizeof(steps_exits) / sizeof(steps_exits[0]);

const step_t *steps_row(unlock_step_e step)
{
    int part = 0;

    while ((int)step >= (int)steps_parts[part]->first + steps_parts[part]->count) {
        part++;
    }
    return &steps_parts[part]->rows[step - steps_parts[part]->first];
}

static int steps_contain(const unlock_step_e *steps, int count, unlock_step_e step)
{
    for (int i = 0; i < count; i++) {
        if (steps[i] == step) {
            return 1;
        }
    }
    return 0;
}

int steps_may_follow(unlock_step_e step, unlock_step_e next)
{
    const step_t *row = steps_row(step);

    return (next == step && row->every != 0) || next == row->then ||
           steps_contain(row->targets, STEP_TARGETS, next) ||
           steps_contain(steps_exits, steps_exit_count, next);
}
