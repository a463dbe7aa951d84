/* SPDX-License-Identifier: Apache-2.0 */
/* See steps.h. A PC that runs while its system does not: where its group says so it is reset, and starts as
 * one that was off. It goes the way of all others, with the one power request that they have.
 *
 * Nobody who works at a PC may lose that work. So only a closed probe leads here, and not that of a PC in
 * modern standby, which AMT calls on. It is tried again before the intent and once more right before the
 * request, since a ramp may take its time.
 */
#include "unlock/steps.h"

int unlock_is_reset(const unlock_t *unlock)
{
    return unlock->plan.power == STEPS_POWER_RESET;
}

/* The inventory lets no system into such a group without a probe: nothing would be known of its user. */
static int may_reset(const unlock_t *unlock)
{
    return unlock->system->group->reset_running && unlock->system->probe_port != 0;
}

unlock_step_e unlock_reset_or_leave(unlock_t *unlock, const char *text)
{
    if (!may_reset(unlock)) {
        return unlock_fail(unlock, JOBS_REASON_ALREADY_ON, text);
    }
    if (unlock->power.reset_available == 0) {
        return unlock_fail(unlock, JOBS_REASON_AMT_FAULT,
                           "it is running, and AMT does not offer to reset it now");
    }
    unlock->plan.power = STEPS_POWER_RESET;
    unlock->plan.power_before = unlock->power.state;
    return UNLOCK_READ_SAVING;
}

/* ---- is nobody at work there? -------------------------------------------------------------------------- */

static void send_read_saving(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_SAVING);
}

static unlock_step_e accept_read_saving(unlock_t *unlock)
{
    if (unlock->saving == AMT_SAVING_STANDBY) {
        return unlock_fail(unlock, JOBS_REASON_ALREADY_ON, "it is in modern standby, so its system runs");
    }
    return UNLOCK_PROBE_AGAIN;
}

static void send_probe_again(unlock_t *unlock)
{
    unlock->ops->probe(unlock, STEPS_PROBE_WAIT);
}

static unlock_step_e accept_probe_again(unlock_t *unlock)
{
    if (unlock->probe_open) {
        return unlock_unlocked(unlock);
    }
    if (unlock->cut) {
        return unlock_fail(unlock, unlock->cut_reason, unlock->cut_text);
    }
    return unlock->intended ? UNLOCK_POWER_ON : unlock_plan_boot(unlock);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_READ_SAVING]

static const step_t rows[] = {
    ROW(UNLOCK_READ_SAVING) = {.name = "saving-state",
                               .send = send_read_saving,
                               .accept = accept_read_saving,
                               .limit = SECONDS(25),
                               .retry = 1},
    ROW(UNLOCK_PROBE_AGAIN) = {.name = "probe-again",
                               .send = send_probe_again,
                               .accept = accept_probe_again,
                               .limit = SECONDS(6)},
};

const steps_t steps_reset = {UNLOCK_READ_SAVING, sizeof(rows) / sizeof(rows[0]), rows};
