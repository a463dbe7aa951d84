/* SPDX-License-Identifier: Apache-2.0 */
/* See takeover_priv.h. */
#include "unlock/takeover_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "unlock/exits_priv.h"
#include "unlock/intent.h"
#include "unlock/plan_priv.h"
#include "unlock/steps_priv.h"

#ifdef AMTUNLOCK_TEST
#define BUSY_WAIT clock_test_interval("AMTUNLOCK_TEST_BUSY_MS", STEPS_BUSY_WAIT)
#else
#define BUSY_WAIT STEPS_BUSY_WAIT
#endif

int takeover_was_powered(const unlock_t *unlock)
{
    return unlock->task->marks != 0;
}

int takeover_only_looks(const unlock_t *unlock)
{
    return (unlock->task->marks & (JOBS_MARK_TYPED | JOBS_MARKS_UNKNOWN)) != 0;
}

/* Of a plan that did not come to its power request only that counts which may stand on the PC. */
void takeover_begin(unlock_t *unlock)
{
    unlock_plan_t *plan = &unlock->plan;

    unlock->boot_until =
        unlock->ops->now() + intent_read(unlock->task->intent, plan, unlock_verify_limit(unlock));
    if (!takeover_was_powered(unlock)) {
        *plan = (unlock_plan_t){.boot = plan->boot,
                                .redirection = plan->redirection,
                                .redirection_before = plan->redirection_before};
    }
}

const char *takeover_judge_device(unlock_t *unlock)
{
    if (!unlock->task->taken_over ||
        intent_is_of(unlock->task->intent, unlock->facts.identity.uuid, unlock->facts.identity.certificate)) {
        return NULL;
    }
    if (takeover_was_powered(unlock)) {
        return "its worker was lost, and had another device at this system's address: that one may be powered";
    }
    if (unlock_has_to_undo(unlock)) {
        unlock_warn_left(unlock, "what the intent says", "it is of another device than is there now");
    }
    unlock->plan = (unlock_plan_t){0};
    return NULL;
}

/* Where no probe will tell what became of a passphrase, the console may: nothing is typed there. */
static int console_tells(const unlock_t *unlock)
{
    return unlock->task->marks & JOBS_MARK_TYPED && unlock->method->reads_result &&
           unlock->system->probe_port == 0;
}

unlock_step_e takeover_read(unlock_t *unlock)
{
    if (!takeover_only_looks(unlock)) {
        return unlock->method->first_read;
    }
    return console_tells(unlock) ? unlock->method->resume : unlock_undo(unlock, UNLOCK_READ_POWER);
}

/* The image proves itself by the key of the worker that booted it. */
static int has_other_key(const unlock_t *unlock)
{
    const unlock_plan_t *plan = &unlock->plan;

    return (plan->boot & AMT_START_IMAGE) && (plan->boot_fence[0] == '\0' || unlock->proof_key == NULL ||
                                              strcmp(plan->proof_key, proof_key_id(unlock->proof_key)) != 0);
}

/* It was powered by another method, as the inventory had it then, or woken from sleep: nobody waits there for what this one
 * brings. */
static int was_started_otherwise(const unlock_t *unlock)
{
    const unlock_plan_t *plan = &unlock->plan;

    return plan->power == 0 || !plan->types || plan->boot != unlock->method->boot;
}

/* What stands in the way now did not when the PC was powered: it is left to its probe, as one that needs no more. */
static int has_obstacle(unlock_t *unlock)
{
    const amt_redirection_t *now = &unlock->facts.redirection;
    const char *text = NULL;
    size_t at = 0;

    return has_other_key(unlock) || (now->state & unlock->method->sessions) != unlock->method->sessions ||
           !now->listener || unlock_next_obstacle(unlock, &at, &text) != JOBS_REASON_NONE;
}

unlock_step_e takeover_goes_on(unlock_t *unlock)
{
    if (takeover_only_looks(unlock) || unlock->probe_open || unlock->method->resume == UNLOCK_NO_STEP ||
        was_started_otherwise(unlock) || has_obstacle(unlock)) {
        return unlock_verify_by_probe(unlock);
    }
    unlock->evidence = unlock->method->evidence;
    unlock->after_intent = unlock->method->resume;
    return unlock_intend(unlock);
}

int takeover_waits(unlock_t *unlock, jobs_reason_e reason)
{
    apr_time_t now = unlock->ops->now();
    int in_time = !takeover_was_powered(unlock) || now < unlock->boot_until; /* its boot has not begun */

    unlock->busy_until = unlock->busy_until != 0 ? unlock->busy_until : now + BUSY_WAIT;
    return reason == JOBS_REASON_BUSY && now < unlock->busy_until && in_time;
}

/* What keeps quiet or breaks off may be a firmware whose PC starts; what refuses is not asked again. */
int takeover_tries_again(unlock_t *unlock, jobs_reason_e reason)
{
    int passes = unlock->call_status == AMT_UNREACHABLE || unlock->call_status == AMT_TIMEOUT ||
                 unlock->call_status == AMT_BROKEN;

    return takeover_waits(unlock, reason) ||
           (passes && unlock->ops->now() < unlock->boot_until && unlock->reopens++ < STEPS_REOPENS);
}

unlock_step_e takeover_opens_again(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return takeover_waits(unlock, reason) ? unlock->step : unlock_fail(unlock, reason, text);
}

unlock_step_e takeover_gives_up(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    text = apr_psprintf(unlock->pool, "its worker was lost, and its console could not be opened again: %s",
                        text);
    return unlock->system->probe_port != 0 ? unlock_evident(unlock) : unlock_fail(unlock, reason, text);
}
