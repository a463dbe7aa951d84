/* SPDX-License-Identifier: Apache-2.0 */
/* See plan_priv.h. */
#include "unlock/plan_priv.h"

#include <apr_strings.h>

#include "base/failpoint.h"
#include "unlock/exits_priv.h"
#include "unlock/intent.h"
#include "unlock/steps_priv.h"

/* ---- the intent ---------------------------------------------------------------------------------------- */

apr_interval_time_t unlock_verify_limit(const unlock_t *unlock)
{
    return unlock->system->group->boot_timeout + 2 * STEPS_WATCH_WAIT;
}

unlock_step_e unlock_intend(unlock_t *unlock)
{
    unlock->verify_timeout = unlock_verify_limit(unlock);
    FAILPOINT("intend.decided");
    unlock->intent = intent_write(unlock);
    return unlock->intent != NULL
               ? UNLOCK_INTEND
               : unlock_fail(unlock, JOBS_REASON_INTERNAL, "the intent could not be written");
}

/* ---- the power request --------------------------------------------------------------------------------- */

unlock_step_e unlock_power(const unlock_t *unlock)
{
    return unlock->system->group->power_interval > 0 ? UNLOCK_POWER_RATE : UNLOCK_MARK_POWER;
}

/* ---- a start ------------------------------------------------------------------------------------------- */

/* An override that somebody left would lead elsewhere. */
unlock_step_e unlock_plan_plain(unlock_t *unlock)
{
    unlock->plan.clears_boot = unlock->facts.boot.overridden;
    return unlock->facts.boot.overridden ? UNLOCK_CLEAR_BOOT : unlock_power(unlock);
}

/* A new boot, by this worker's key, whatever an earlier worker booted. */
static void plan_name_boot(unlock_t *unlock)
{
    unlock_plan_t *plan = &unlock->plan;

    if ((plan->boot & AMT_START_IMAGE) && unlock->proof_key != NULL) {
        apr_cpystrn(plan->boot_fence, unlock->task->ref.fence, sizeof(plan->boot_fence));
        apr_cpystrn(plan->proof_key, proof_key_id(unlock->proof_key), sizeof(plan->proof_key));
    }
}

/* Firmware counts writes: nothing is written that stands as it should. What a lost worker set is not what stood before. */
unlock_step_e unlock_plan_redirection(unlock_t *unlock)
{
    const amt_redirection_t *now = &unlock->facts.redirection;

    unlock->plan.redirection_before =
        unlock_has_set_redirection(&unlock->plan, now) ? unlock->plan.redirection_before : *now;
    unlock->plan.redirection =
        (amt_redirection_t){.state = now->state | unlock->method->sessions, .listener = 1};
    unlock->plan.boot = unlock->method->boot;
    unlock->plan.types = unlock->method->types;
    plan_name_boot(unlock);
    if (unlock->session_open) { /* a running PC whose console was looked at */
        return unlock->method->on_console(unlock);
    }
    return unlock_same_redirection(now, &unlock->plan.redirection) ? UNLOCK_OPEN_CONSOLE : UNLOCK_REDIRECT;
}

unlock_step_e unlock_plan_boot(unlock_t *unlock)
{
    const char *text = NULL;
    size_t at = 0;
    jobs_reason_e reason =
        unlock->method->sessions != 0 ? unlock_next_obstacle(unlock, &at, &text) : JOBS_REASON_NONE;

    if (reason != JOBS_REASON_NONE) {
        return unlock_fail(unlock, reason, text);
    }
    unlock->evidence = unlock->method->evidence;
    unlock->after_intent = unlock->method->plan(unlock);
    return unlock_intend(unlock);
}

/* ---- a PC that runs ------------------------------------------------------------------------------------ */

unlock_step_e unlock_reset_or_leave(unlock_t *unlock, const char *text)
{
    /* The inventory admits no system without a probe to such a group: nothing would be known of its user. */
    if (!unlock->system->group->reset_running || unlock->system->probe_port == 0) {
        return unlock_fail(unlock, JOBS_REASON_ALREADY_ON, text);
    }
    if (unlock->facts.power.reset_available == 0) {
        return unlock_fail(unlock, JOBS_REASON_AMT_FAULT,
                           "it is running, and AMT does not offer to reset it now");
    }
    unlock->plan.power = AMT_POWER_RESET;
    unlock->plan.power_before = unlock->facts.power.state;
    return UNLOCK_READ_SAVING;
}

/* What asks on the console of a PC in use may be any program, and its user sees what is echoed: so its group must
 * allow it. Where the redirection service is off, it would have to be switched on to look at the console: a write. */
static unlock_step_e plan_look_at_console(unlock_t *unlock)
{
    const amt_redirection_t *now = &unlock->facts.redirection;
    const char *text = NULL;
    size_t at = 0;
    jobs_reason_e reason = JOBS_REASON_NONE;

    if (!unlock->system->group->type_running) {
        return unlock_reset_or_leave(
            unlock, "it was running before, and its group has not type-running = yes: nothing is typed");
    }
    reason = unlock_next_obstacle(unlock, &at, &text);
    if (reason != JOBS_REASON_NONE) {
        return unlock_fail(unlock, reason, text);
    }
    if ((now->state | unlock->method->sessions) == now->state && now->listener) {
        return unlock->method->running;
    }
    return unlock_reset_or_leave(
        unlock, "it is running, and its redirection is switched off: nobody looks at its prompt");
}

static unlock_step_e plan_running(unlock_t *unlock)
{
    if (unlock->probe_open) {
        return unlock_unlocked(unlock);
    }
    if (unlock->method->running != UNLOCK_NO_STEP) {
        return plan_look_at_console(unlock);
    }
    return unlock_reset_or_leave(unlock, "it is running, and its probe does not answer");
}

/* ---- the branch by the power state --------------------------------------------------------------------- */

typedef enum { POWER_UNCLEAR, POWER_RUNNING, POWER_ASLEEP, POWER_OFF } power_kind_e;

/* States that have no row are unclear. */
static power_kind_e kind_of_power(int state)
{
    static const power_kind_e kinds[] = {
        [2] = POWER_RUNNING, [3] = POWER_ASLEEP, [4] = POWER_ASLEEP, [6] = POWER_OFF,
        [7] = POWER_OFF,     [8] = POWER_OFF,    [12] = POWER_OFF,   [13] = POWER_OFF,
    };

    return state >= 0 && state < (int)(sizeof(kinds) / sizeof(kinds[0])) ? kinds[state] : POWER_UNCLEAR;
}

/* Read once more, a while later. What AMT offers lags behind the power state by seconds. */
static unlock_step_e plan_unclear(unlock_t *unlock, const char *text)
{
    if (unlock->settled) {
        return unlock_fail(unlock, JOBS_REASON_AMT_FAULT, unlock_power_text(unlock, text));
    }
    unlock->settled = 1;
    return UNLOCK_READ_POWER;
}

/* A PC that sleeps does not boot: no boot options, no prompt. */
static unlock_step_e plan_power_on(unlock_t *unlock, int asleep)
{
    unlock->plan.power = AMT_POWER_ON;
    unlock->plan.power_before = unlock->facts.power.state;
    if (!asleep) {
        return unlock_plan_boot(unlock);
    }
    unlock->after_intent = unlock_power(unlock);
    unlock->evidence = UNLOCK_PROBE;
    return unlock_intend(unlock);
}

unlock_step_e unlock_plan_by_power(unlock_t *unlock)
{
    power_kind_e kind = kind_of_power(unlock->facts.power.state);

    if (kind == POWER_RUNNING) {
        return plan_running(unlock);
    }
    if (kind == POWER_UNCLEAR) {
        return plan_unclear(unlock, "its power state stays unclear");
    }
    if (unlock->probe_open) {
        return unlock_fail(unlock, JOBS_REASON_NOT_VERIFIED,
                           "its probe answers while AMT says it is off: they are not the same PC");
    }
    if (unlock->facts.power.on_available == 0) {
        return plan_unclear(unlock, "AMT does not offer to power on now");
    }
    return plan_power_on(unlock, kind == POWER_ASLEEP);
}
