/* SPDX-License-Identifier: Apache-2.0 */
/* See exits_priv.h. */
#include "unlock/exits_priv.h"

#include <apr_strings.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "secrets/secrets.h"
#include "unlock/steps_priv.h"

/* ---- what the plan says -------------------------------------------------------------------------------- */

int unlock_is_reset(const unlock_t *unlock)
{
    return unlock->plan.power == AMT_POWER_RESET;
}

int unlock_same_redirection(const amt_redirection_t *one, const amt_redirection_t *other)
{
    return one->state == other->state && !one->listener == !other->listener;
}

int unlock_has_set_redirection(const unlock_plan_t *plan, const amt_redirection_t *now)
{
    const amt_redirection_t *set = &plan->redirection, *before = &plan->redirection_before;
    int within = (now->state | set->state) == set->state && (now->state | before->state) == now->state &&
                 !before->listener >= !now->listener && !now->listener >= !set->listener;

    return within && !unlock_same_redirection(now, before);
}

int unlock_changes_redirection(const unlock_plan_t *plan)
{
    return !unlock_same_redirection(&plan->redirection, &plan->redirection_before);
}

const char *unlock_power_text(const unlock_t *unlock, const char *text)
{
    return apr_psprintf(unlock->pool, "%s (power state %d)", text, unlock->facts.power.state);
}

/* ---- taking back --------------------------------------------------------------------------------------- */

/* Nothing is written to a device whose identity was not read. */
static int unlock_may_undo(const unlock_t *unlock)
{
    return unlock->identified && (unlock->intended || unlock->task->taken_over);
}

static int undoes_session(const unlock_t *unlock)
{
    return unlock->session_open;
}

static int undoes_boot(const unlock_t *unlock)
{
    return unlock_may_undo(unlock) && unlock->plan.boot != 0;
}

static int undoes_redirection(const unlock_t *unlock)
{
    return unlock_may_undo(unlock) && unlock_changes_redirection(&unlock->plan);
}

/* Sessions first: they depend on the settings. */
static const struct {
    unlock_step_e step;
    int (*applies)(const unlock_t *unlock);
} undos[] = {
    {UNLOCK_CLOSE, undoes_session},
    {UNLOCK_CHECK_BOOT, undoes_boot},
    {UNLOCK_CHECK_REDIRECTION, undoes_redirection},
};

#define UNDOS ((int)(sizeof(undos) / sizeof(undos[0])))

/* The first from `from` on that applies, or what follows them all. */
static unlock_step_e undo_from(unlock_t *unlock, int from)
{
    for (int i = from; i < UNDOS; i++) {
        if (undos[i].applies(unlock)) {
            return undos[i].step;
        }
    }
    unlock->undone = 1;
    return unlock->after_undo;
}

unlock_step_e unlock_undo_after(unlock_t *unlock, unlock_step_e step)
{
    int i = 0;

    while (i < UNDOS && undos[i].step != step) {
        i++;
    }
    return undo_from(unlock, i + 1);
}

int unlock_has_to_undo(const unlock_t *unlock)
{
    return !unlock->undone &&
           (unlock->session_open || unlock->plan.boot != 0 || unlock_changes_redirection(&unlock->plan));
}

void unlock_warn_left(const unlock_t *unlock, const char *what, const char *text)
{
    log_warn("AMTU0611", "could not be taken back", "system", unlock->task->ref.system, "job",
             unlock->task->ref.job, "what", what, "text", text);
}

unlock_step_e unlock_undo(unlock_t *unlock, unlock_step_e next)
{
    unlock->after_undo = next;
    if (unlock->undone) {
        return next;
    }
    if (unlock->task->taken_over && unlock_has_to_undo(unlock) && !unlock->identified) {
        unlock_warn_left(unlock, "what the intent says", "its AMT could not be reached, or is not the PC's");
    }
    return undo_from(unlock, 0);
}

/* ---- with a result ------------------------------------------------------------------------------------- */

static unlock_step_e unlock_leave(unlock_t *unlock, char state, jobs_reason_e reason, const char *text)
{
    char *shown = apr_pstrdup(unlock->pool, text != NULL ? text : "");

    /* DNS and the KDC serve all PCs: what they do not answer is no failure of this one. */
    unlock->blameless = unlock->step == UNLOCK_RESOLVE ||
                        (reason == JOBS_REASON_AUTH_FAILED && unlock->call_status == AMT_NO_TICKET);
    unlock->state = state;
    unlock->reason = reason;
    unlock->ended_at = unlock->row->name;
    /* The PC may have had its say in it. It is cut only when nothing is left that must not be read. */
    secrets_hide(unlock->system->fqdn, shown);
    apr_cpystrn(unlock->text, shown, sizeof(unlock->text));
    FAILPOINT("finish.decided");
    unlock->ops->stop(unlock);
    return unlock_undo(unlock, UNLOCK_FINISH);
}

unlock_step_e unlock_unlocked(unlock_t *unlock)
{
    return unlock_leave(unlock, 'U', JOBS_REASON_NONE, "");
}

unlock_step_e unlock_fail(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return unlock_leave(unlock, 'F', reason, text);
}

unlock_step_e unlock_fail_disconnected(unlock_t *unlock)
{
    return unlock_fail(unlock, unlock->disconnect_reason, unlock->disconnect_text);
}

unlock_step_e unlock_evident(unlock_t *unlock)
{
    return unlock->system->probe_port != 0 ? unlock_undo(unlock, UNLOCK_PROBE) : unlock_unlocked(unlock);
}

unlock_step_e unlock_unrecorded(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (reason == JOBS_REASON_BUSY || reason == JOBS_REASON_CANCELLED || unlock->unrecordable) {
        return unlock_fail(unlock, reason, text);
    }
    unlock->ops->hang_up(unlock);
    return UNLOCK_RELEASE;
}

/* ---- verifying ----------------------------------------------------------------------------------------- */

unlock_step_e unlock_verify_by_probe(unlock_t *unlock)
{
    int has_address = unlock->probe_addresses.count > 0;

    if (unlock->system->probe_port != 0 && has_address) {
        return unlock_undo(unlock, UNLOCK_PROBE);
    }
    return unlock_fail(unlock, JOBS_REASON_INDETERMINATE,
                       has_address ? "it has no probe that would tell" : "the PC has no address");
}

unlock_step_e unlock_fail_or_verify(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    int others = unlock->task->marks != 0 && !unlock->intended;

    return others ? unlock_verify_by_probe(unlock) : unlock_fail(unlock, reason, text);
}

unlock_step_e unlock_fail_without_secret(unlock_t *unlock)
{
    return unlock_fail_or_verify(
        unlock, JOBS_REASON_NO_SECRET,
        unlock->not_begun ? "its turn to be asked for did not come in time: others of its group still "
                            "wait for their secrets; see whether the helper hangs"
                          : "its source of secrets did not answer in time");
}

jobs_reason_e unlock_without_evidence(const unlock_t *unlock, jobs_reason_e reason)
{
    return unlock->seen_on || unlock->power_answered ? reason : JOBS_REASON_INDETERMINATE;
}
