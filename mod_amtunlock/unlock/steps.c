/* SPDX-License-Identifier: Apache-2.0 */
/* See steps.h. */
#include "unlock/steps.h"

#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "unlock/intent.h"
#include "unlock/methods.h"

#define SETTLE SECONDS(10) /* an unclear power state is read again after this */
#define WATCH SECONDS(30)  /* firmware reports a start within 10 s; the rest is patience */
#define PROBE_FIRST_WAIT SECONDS(2)

const step_t *unlock_row(unlock_step_e step)
{
    static const steps_t *const parts[] = {&steps_common, &steps_redirect, &steps_sol, &steps_image,
                                           &steps_reset};
    int part = 0;

    while ((int)step >= (int)parts[part]->first + parts[part]->count) {
        part++;
    }
    return &parts[part]->rows[step - parts[part]->first];
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

/* The one way out with a result. What was set is taken back before the task is finished. */
static unlock_step_e leave(unlock_t *unlock, char state, jobs_reason_e reason, const char *text)
{
    unlock->state = state;
    unlock->reason = reason;
    unlock->ended_at = unlock_row(unlock->step)->name;
    apr_cpystrn(unlock->text, text ? text : "", sizeof(unlock->text));
    FAILPOINT("finish.decided");
    unlock->ops->stop(unlock);
    return unlock_undo(unlock, UNLOCK_FINISH);
}

unlock_step_e unlock_unlocked(unlock_t *unlock)
{
    return leave(unlock, 'U', JOBS_REASON_NONE, "");
}

unlock_step_e unlock_fail(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return leave(unlock, 'F', reason, text);
}

unlock_step_e unlock_evident(unlock_t *unlock)
{
    return unlock->system->probe_port ? unlock_undo(unlock, UNLOCK_PROBE) : unlock_unlocked(unlock);
}

/* Whoever looks after a predecessor's death can only be sure of what it sees. */
unlock_step_e unlock_look_on(unlock_t *unlock)
{
    if (unlock->system->probe_port && unlock->probe_address[0]) {
        return UNLOCK_PROBE;
    }
    return unlock_fail(unlock, JOBS_REASON_INDETERMINATE,
                       unlock->probe_address[0] ? "it has no probe that would tell"
                                                : "the PC has no address");
}

jobs_reason_e unlock_without_evidence(const unlock_t *unlock, jobs_reason_e reason)
{
    return unlock->seen_on || unlock->power_answered ? reason : JOBS_REASON_INDETERMINATE;
}

unlock_step_e unlock_refuse_look(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return unlock->task->verify_only ? unlock_look_on(unlock) : unlock_fail(unlock, reason, text);
}

/* ---- before the intent: looking ------------------------------------------------------------------------ */

static void send_resolve(unlock_t *unlock)
{
    unlock->ops->resolve(unlock);
}

static unlock_step_e accept_resolve(unlock_t *unlock)
{
    log_debug("AMTU0601", "resolved", "system", unlock->task->ref.system, "address", unlock->address);
    return UNLOCK_LOGIN;
}

static void send_login(unlock_t *unlock)
{
    unlock->ops->login(unlock);
}

static unlock_step_e accept_login(unlock_t *unlock)
{
    return unlock->system->probe_port ? UNLOCK_PROBE_FIRST : UNLOCK_CONNECT_PERMIT;
}

static void send_probe_first(unlock_t *unlock)
{
    unlock->ops->probe(unlock, PROBE_FIRST_WAIT);
}

static unlock_step_e accept_probe_first(unlock_t *unlock)
{
    int seen = unlock->task->verify_only && unlock->probe_open && !unlock_has_to_undo(unlock);

    return seen ? unlock_unlocked(unlock) : UNLOCK_CONNECT_PERMIT;
}

static void send_turn(unlock_t *unlock)
{
    unlock->ops->permit(unlock);
}

static unlock_step_e accept_turn(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_IDENTIFY;
}

static void send_identify(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_IDENTITY);
}

static unlock_step_e accept_identify(unlock_t *unlock)
{
    const char *expected = unlock->system->uuid;

    if (expected != NULL && strcmp(expected, unlock->identity.uuid) != 0) {
        return unlock_fail(unlock, JOBS_REASON_NOT_VERIFIED,
                           apr_psprintf(unlock->pool, "the device is %s, the inventory says %s",
                                        unlock->identity.uuid, expected));
    }
    unlock->identified = 1;
    return unlock->task->verify_only ? unlock_undo(unlock, UNLOCK_READ_POWER) : unlock->method->look;
}

static void send_read_boot(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_BOOT);
}

static unlock_step_e accept_read_boot(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_READ_POWER;
}

static void send_read_power(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_POWER);
}

apr_interval_time_t unlock_most_look(const unlock_t *unlock)
{
    return unlock->system->group->boot_timeout + WATCH + WATCH;
}

/* The one branch, by the power state that was read. Rows that are not here are unclear states. */
typedef enum { POWER_UNCLEAR, POWER_RUNNING, POWER_ASLEEP, POWER_OFF } power_kind_e;

static power_kind_e kind_of_power(int state)
{
    static const power_kind_e kinds[] = {
        [2] = POWER_RUNNING, [3] = POWER_ASLEEP, [4] = POWER_ASLEEP, [6] = POWER_OFF,
        [7] = POWER_OFF,     [8] = POWER_OFF,    [12] = POWER_OFF,   [13] = POWER_OFF,
    };

    return state >= 0 && state < (int)(sizeof(kinds) / sizeof(kinds[0])) ? kinds[state] : POWER_UNCLEAR;
}

static const char *power_text(unlock_t *unlock, const char *text)
{
    return apr_psprintf(unlock->pool, "%s (power state %d)", text, unlock->power.state);
}

static unlock_step_e branch_unclear(unlock_t *unlock)
{
    if (unlock->settled) {
        return unlock_fail(unlock, JOBS_REASON_AMT_FAULT,
                           power_text(unlock, "its power state stays unclear"));
    }
    unlock->settled = 1;
    return UNLOCK_READ_POWER;
}

unlock_step_e unlock_intend(unlock_t *unlock)
{
    unlock->look_for = unlock_most_look(unlock);
    FAILPOINT("intend.decided");
    unlock->intent = intent_write(unlock);
    return unlock->intent ? UNLOCK_INTEND
                          : unlock_fail(unlock, JOBS_REASON_INTERNAL, "the intent could not be written");
}

/* A console that is not let in now would have to be let in first, and that is a write. */
static unlock_step_e look_at_running(unlock_t *unlock)
{
    const char *text = NULL;
    jobs_reason_e reason = unlock_obstacle(unlock, &text);

    if (reason != JOBS_REASON_NONE) {
        return unlock_fail(unlock, reason, text);
    }
    int let_in = (unlock->redirection.state | unlock->method->sessions) == unlock->redirection.state &&
                 unlock->redirection.listener;
    return let_in ? unlock->method->running
                  : unlock_reset_or_leave(
                        unlock,
                        "it is running, and its redirection is switched off: nobody looks at its prompt");
}

static unlock_step_e branch_running(unlock_t *unlock)
{
    if (unlock->probe_open) {
        return unlock_unlocked(unlock);
    }
    if (unlock->method->running != UNLOCK_OVER) {
        return look_at_running(unlock);
    }
    return unlock_reset_or_leave(unlock, "it is running, and its probe does not answer");
}

/* No boot: no boot options, no prompt. */
static unlock_step_e plan_resume(unlock_t *unlock)
{
    unlock->after_intent = unlock_power(unlock);
    unlock->evidence = UNLOCK_PROBE;
    return unlock_intend(unlock);
}

/* A plain start: an override that somebody left would lead elsewhere. */
unlock_step_e unlock_plan_plain(unlock_t *unlock)
{
    unlock->plan.clears_boot = unlock->boot.overridden;
    return unlock->boot.overridden ? UNLOCK_CLEAR_BOOT : unlock_power(unlock);
}

unlock_step_e unlock_plan_boot(unlock_t *unlock)
{
    const char *text = NULL;
    jobs_reason_e reason = unlock->method->sessions ? unlock_obstacle(unlock, &text) : JOBS_REASON_NONE;

    if (reason != JOBS_REASON_NONE) {
        return unlock_fail(unlock, reason, text);
    }
    unlock->evidence = unlock->method->evidence;
    unlock->after_intent = unlock->method->plan(unlock);
    return unlock_intend(unlock);
}

static unlock_step_e branch_power(unlock_t *unlock)
{
    power_kind_e kind = kind_of_power(unlock->power.state);

    if (kind == POWER_RUNNING) {
        return branch_running(unlock);
    }
    if (kind == POWER_UNCLEAR) {
        return branch_unclear(unlock);
    }
    if (unlock->probe_open) {
        return unlock_fail(unlock, JOBS_REASON_NOT_VERIFIED,
                           "its probe answers while AMT says it is off: they are not the same PC");
    }
    if (unlock->power.on_available == 0) {
        return unlock_fail(unlock, JOBS_REASON_AMT_FAULT,
                           power_text(unlock, "AMT does not offer to power on now"));
    }
    unlock->plan.power = STEPS_POWER_ON;
    unlock->plan.power_before = unlock->power.state;
    return kind == POWER_ASLEEP ? plan_resume(unlock) : unlock_plan_boot(unlock);
}

/* That it runs says nothing of a reset: it ran before. */
static void note_running(unlock_t *unlock)
{
    unlock->seen_on = unlock->power.state == STEPS_POWER_ON && !unlock_is_reset(unlock);
}

static unlock_step_e accept_read_power(unlock_t *unlock)
{
    if (!unlock->task->verify_only) {
        return branch_power(unlock);
    }
    FAILPOINT("look.read");
    note_running(unlock);
    return unlock->power.state == STEPS_POWER_ON ? unlock_look_on(unlock) : UNLOCK_WATCH;
}

/* ---- the intent ---------------------------------------------------------------------------------------- */

static void send_intend(unlock_t *unlock)
{
    unlock->ops->store(unlock, JOBS_INTEND, 'I');
}

static unlock_step_e accept_intend(unlock_t *unlock)
{
    FAILPOINT("intend.told");
    unlock->intended = 1;
    unlock->boot_until = unlock->ops->now() + unlock->system->group->boot_timeout;
    return unlock->after_intent;
}

/* Redis or the audit record would not have the intent, so there is none. */
static unlock_step_e refuse_intend(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (reason == JOBS_REASON_BUSY) {
        return unlock_fail(unlock, reason, text);
    }
    unlock->ops->hang_up(unlock);
    return UNLOCK_RELEASE;
}

/* ---- after the intent: acting, once -------------------------------------------------------------------- */

static void send_clear_boot(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_CLEAR_BOOT);
}

static unlock_step_e accept_clear_boot(unlock_t *unlock)
{
    return unlock_power(unlock);
}

/* Setting what it starts with takes its time, and so does the ramp: who comes up meanwhile is not reset. */
static unlock_step_e power_now(const unlock_t *unlock)
{
    return unlock_is_reset(unlock) ? UNLOCK_PROBE_AGAIN : UNLOCK_POWER_ON;
}

unlock_step_e unlock_power(const unlock_t *unlock)
{
    return unlock->system->group->power_interval > 0 ? UNLOCK_POWER_RATE : power_now(unlock);
}

static void send_ramp(unlock_t *unlock)
{
    unlock->ops->store(unlock, JOBS_POWER_RATE, '\0');
}

static unlock_step_e accept_ramp(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_POWER_WAIT;
}

static void send_pace(unlock_t *unlock)
{
    unlock->ops->power_wait(unlock);
}

static unlock_step_e accept_pace(unlock_t *unlock)
{
    return power_now(unlock);
}

/* What its console showed until now was another start's. */
static void send_power_on(unlock_t *unlock)
{
    if (unlock->console) {
        amt_console_mark(unlock->console);
    }
    unlock->boot_until = unlock->ops->now() + unlock->system->group->boot_timeout;
    unlock->ops->call(unlock, UNLOCK_CALL_POWER_ON);
}

static unlock_step_e accept_power_on(unlock_t *unlock)
{
    FAILPOINT("act.told");
    unlock->power_answered = 1;
    return UNLOCK_TELL_POWERED;
}

/* What was read before the power request says nothing about after it. */
static unlock_step_e watch(unlock_t *unlock)
{
    unlock->power.state = -1;
    return UNLOCK_WATCH;
}

static void send_tell_powered(unlock_t *unlock)
{
    unlock->ops->store(unlock, JOBS_PROGRESS, 'P');
}

static unlock_step_e accept_tell_powered(unlock_t *unlock)
{
    FAILPOINT("powered.told");
    return unlock_is_reset(unlock) ? UNLOCK_TELL_BOOTING : watch(unlock);
}

/* ---- watching ------------------------------------------------------------------------------------------ */

/* What a session shows takes a boot's time. AMT would not keep an idle connection for so long, and ours costs
 * as much memory as all the rest of this PC. */
static unlock_step_e seek_evidence(unlock_t *unlock)
{
    if (unlock->task->verify_only) {
        return unlock_look_on(unlock);
    }
    if (unlock->evidence != UNLOCK_PROBE) {
        unlock->ops->rest(unlock);
        return unlock->evidence;
    }
    if (unlock->system->probe_port) {
        return unlock_undo(unlock, UNLOCK_PROBE);
    }
    return unlock_fail(unlock, JOBS_REASON_NOT_VERIFIED,
                       "it was woken from sleep, and has no probe that would tell that its system runs");
}

/* Of a reset the power state says nothing: refused is refused, and what became of one without an answer is
 * seen by the evidence, or not at all. */
static unlock_step_e doubt_reset(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return reason == JOBS_REASON_INDETERMINATE ? seek_evidence(unlock) : unlock_fail(unlock, reason, text);
}

/* Refused, or no answer: the PC says by its power state which it was. Only a request that surely did nothing
 * ends the unlock here, with what is known. */
static unlock_step_e refuse_power_on(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (unlock_is_reset(unlock)) {
        return doubt_reset(unlock, reason, text);
    }
    if (reason == JOBS_REASON_INDETERMINATE || unlock->power_refused) {
        apr_cpystrn(unlock->text, text, sizeof(unlock->text));
        return watch(unlock);
    }
    return unlock_fail(unlock, reason, text);
}

static unlock_step_e expire_power_on(unlock_t *unlock)
{
    return refuse_power_on(unlock, JOBS_REASON_INDETERMINATE, "the power request was not answered");
}

static unlock_step_e accept_watch(unlock_t *unlock)
{
    if (unlock->power.state == STEPS_POWER_ON) {
        note_running(unlock);
        return unlock->task->verify_only ? seek_evidence(unlock) : UNLOCK_TELL_BOOTING;
    }
    if (unlock->power_refused) {
        return unlock_fail(unlock, JOBS_REASON_AMT_FAULT, apr_pstrdup(unlock->pool, unlock->text));
    }
    return UNLOCK_WATCH;
}

/* A PC that starts may leave AMT without an answer for a while; one that refuses our login must not be asked
 * on. */
static unlock_step_e refuse_watch(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)text;
    unlock->power.state = -1;
    return reason == JOBS_REASON_AUTH_FAILED ? seek_evidence(unlock) : UNLOCK_WATCH;
}

static unlock_step_e expire_watch(unlock_t *unlock)
{
    if (unlock->power.state < 0) { /* AMT fell silent: the system itself may still answer */
        return seek_evidence(unlock);
    }
    if (unlock->task->verify_only || !unlock->power_answered) {
        return unlock_fail(unlock, JOBS_REASON_INDETERMINATE,
                           power_text(unlock, "the PC was not seen to start"));
    }
    return unlock_fail(unlock, JOBS_REASON_AMT_FAULT,
                       power_text(unlock, "AMT accepted the power request, but the PC did not start"));
}

static void send_tell_booting(unlock_t *unlock)
{
    unlock->ops->store(unlock, JOBS_PROGRESS, 'B');
}

static unlock_step_e accept_tell_booting(unlock_t *unlock)
{
    FAILPOINT("booting.told");
    return seek_evidence(unlock);
}

/* AMT is not needed any more: its connections are few. */
static void send_probe(unlock_t *unlock)
{
    unlock->ops->hang_up(unlock);
    unlock->ops->probe(unlock, STEPS_PROBE_WAIT);
}

static unlock_step_e accept_probe(unlock_t *unlock)
{
    return unlock->probe_open ? unlock_unlocked(unlock) : UNLOCK_PROBE;
}

static unlock_step_e expire_probe(unlock_t *unlock)
{
    return unlock_fail(unlock, unlock_without_evidence(unlock, JOBS_REASON_TIMEOUT),
                       "its probe did not answer in time");
}

/* ---- the last word ------------------------------------------------------------------------------------- */

static void send_finish(unlock_t *unlock)
{
    unlock->ops->hang_up(unlock);
    unlock->ops->store(unlock, JOBS_FINISH, unlock->state);
}

static void send_release(unlock_t *unlock)
{
    unlock->ops->store(unlock, JOBS_RELEASE, '\0');
}

static unlock_step_e accept_over(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_OVER;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

static const step_t rows[] = {
    [UNLOCK_RESOLVE] = {.name = "resolve",
                        .send = send_resolve,
                        .accept = accept_resolve,
                        .refuse = unlock_refuse_look,
                        .limit = SECONDS(20),
                        .retry = 1},
    [UNLOCK_LOGIN] = {.name = "login",
                      .send = send_login,
                      .accept = accept_login,
                      .refuse = unlock_refuse_look,
                      .limit = SECONDS(60)},
    [UNLOCK_PROBE_FIRST] = {.name = "probe-first",
                            .send = send_probe_first,
                            .accept = accept_probe_first,
                            .limit = SECONDS(5)},
    [UNLOCK_CONNECT_PERMIT] = {.name = "turn", .send = send_turn, .accept = accept_turn},
    [UNLOCK_IDENTIFY] = {.name = "identity",
                         .send = send_identify,
                         .accept = accept_identify,
                         .refuse = unlock_refuse_look,
                         .limit = SECONDS(25),
                         .retry = 1},
    [UNLOCK_READ_BOOT] = {.name = "boot-settings",
                          .send = send_read_boot,
                          .accept = accept_read_boot,
                          .refuse = unlock_refuse_look,
                          .limit = SECONDS(25),
                          .retry = 1},
    [UNLOCK_READ_POWER] = {.name = "power-state",
                           .send = send_read_power,
                           .accept = accept_read_power,
                           .refuse = unlock_refuse_look,
                           .limit = SECONDS(35),
                           .every = SETTLE,
                           .retry = 1},
    [UNLOCK_INTEND] = {.name = "intent",
                       .send = send_intend,
                       .accept = accept_intend,
                       .refuse = refuse_intend},
    [UNLOCK_CLEAR_BOOT] = {.name = "clear-boot",
                           .send = send_clear_boot,
                           .accept = accept_clear_boot,
                           .limit = SECONDS(40),
                           .writes = 1},
    [UNLOCK_POWER_RATE] = {.name = "power-ramp", .send = send_ramp, .accept = accept_ramp},
    [UNLOCK_POWER_WAIT] = {.name = "power-pace", .send = send_pace, .accept = accept_pace},
    [UNLOCK_POWER_ON] = {.name = "power-on",
                         .send = send_power_on,
                         .accept = accept_power_on,
                         .refuse = refuse_power_on,
                         .expire = expire_power_on,
                         .limit = SECONDS(30),
                         .writes = 1},
    [UNLOCK_TELL_POWERED] = {.name = "powered", .send = send_tell_powered, .accept = accept_tell_powered},
    [UNLOCK_WATCH] = {.name = "watch",
                      .send = send_read_power,
                      .accept = accept_watch,
                      .refuse = refuse_watch,
                      .expire = expire_watch,
                      .limit = WATCH,
                      .every = SECONDS(1)},
    [UNLOCK_TELL_BOOTING] = {.name = "booting", .send = send_tell_booting, .accept = accept_tell_booting},
    [UNLOCK_PROBE] = {.name = "probe",
                      .send = send_probe,
                      .accept = accept_probe,
                      .expire = expire_probe,
                      .end = ENDS_WITH_BOOT,
                      .every = SECONDS(1)},
    [UNLOCK_FINISH] = {.name = "finish", .send = send_finish, .accept = accept_over},
    [UNLOCK_RELEASE] = {.name = "release", .send = send_release, .accept = accept_over},
    [UNLOCK_OVER] = {.name = "over"},
};

const steps_t steps_common = {UNLOCK_RESOLVE, sizeof(rows) / sizeof(rows[0]), rows};
