/* SPDX-License-Identifier: Apache-2.0 */
/* See steps_priv.h. A PC that runs while its system does not: where its group says so it is reset, and
 * starts as one that was off, by the same steps and with the one power request that they have.
 *
 * Nobody who works at a PC may lose that work. So only a closed probe leads here, and not that of a PC in
 * modern standby, whose power state is on. It is tried again before the intent and once more right before
 * the request, since the power rate limit may take its time; also before a request that follows one for which the
 * device was not ready.
 */
#include "unlock/exits_priv.h"
#include "unlock/plan_priv.h"
#include "unlock/steps_priv.h"

static unlock_step_e read_saving_on_ok(unlock_t *unlock)
{
    if (unlock->facts.saving == AMT_SAVING_STANDBY) {
        return unlock_fail(unlock, JOBS_REASON_ALREADY_ON, "it is in modern standby, so its system runs");
    }
    return UNLOCK_PROBE_AGAIN;
}

static void probe_again_send(unlock_t *unlock)
{
    unlock->ops->probe(unlock, STEPS_PROBE_WAIT);
}

static unlock_step_e probe_again_on_ok(unlock_t *unlock)
{
    if (unlock->probe_open) {
        return unlock_unlocked(unlock);
    }
    if (unlock->disconnected) {
        return unlock_fail_disconnected(unlock);
    }
    return unlock->intended ? UNLOCK_POWER_ON : unlock_plan_boot(unlock);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_READ_SAVING]

static const step_t rows[] = {
    ROW(UNLOCK_READ_SAVING) = {.name = "saving-state",
                               .call = UNLOCK_CALL_SAVING,
                               .on_ok = read_saving_on_ok,
                               .targets = {UNLOCK_PROBE_AGAIN},
                               .limit = SECONDS(25),
                               .retry = 1},
    ROW(UNLOCK_PROBE_AGAIN) = {.name = "probe-again",
                               .send = probe_again_send,
                               .on_ok = probe_again_on_ok,
                               .targets = {UNLOCK_INTEND, UNLOCK_POWER_ON},
                               .limit = SECONDS(6),
                               .binds = 1},
    ROW(UNLOCK_PROBE_LATER) = {.name = "probe-later",
                               .send = probe_again_send,
                               .on_ok = probe_again_on_ok,
                               .targets = {UNLOCK_POWER_ON},
                               .pause = SECONDS(2),
                               .limit = SECONDS(8)},
};

const steps_t steps_reset = {"reset of a running PC", UNLOCK_READ_SAVING, sizeof(rows) / sizeof(rows[0]),
                             rows};
