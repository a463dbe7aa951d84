/* SPDX-License-Identifier: Apache-2.0 */
/* See steps_priv.h. The steps that all methods have in common. */
#include "unlock/steps_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "unlock/addresses_priv.h"
#include "unlock/exits_priv.h"
#include "unlock/plan_priv.h"
#include "unlock/takeover_priv.h"

#define SETTLE SECONDS(10) /* an unclear power state is read again after this */
#define PROBE_FIRST_WAIT SECONDS(2)
#define POWER_TRIES 10 /* of a device that says each time that it is not ready */
#define POWER_PAUSE SECONDS(2)
/* No PC asks for a passphrase so soon after it was reset. */
#define NO_START_WITHIN SECONDS(2)

/* ---- before the intent: reading ------------------------------------------------------------------------ */

static void resolve_send(unlock_t *unlock)
{
    unlock->ops->resolve(unlock);
}

static unlock_step_e resolve_on_ok(unlock_t *unlock)
{
    unlock_use_address(unlock, unlock_first_address(unlock));
    log_debug("AMTU0601", "resolved", "system", unlock->task->ref.system, "address", unlock->address);
    return UNLOCK_LOGIN;
}

static unlock_step_e resolve_on_timeout(unlock_t *unlock)
{
    return unlock_fail_or_verify(unlock, JOBS_REASON_UNREACHABLE,
                                 "its name was not looked up in time: DNS does not answer");
}

static void login_send(unlock_t *unlock)
{
    unlock->ops->login(unlock);
}

static unlock_step_e login_on_ok(unlock_t *unlock)
{
    return unlock_may_probe(unlock) ? UNLOCK_PROBE_FIRST : UNLOCK_CONNECT_PERMIT;
}

static void probe_first_send(unlock_t *unlock)
{
    unlock->probed = 1;
    unlock->ops->probe(unlock, PROBE_FIRST_WAIT);
}

/* What follows once the PC is known to be the one. */
static unlock_step_e read_identified(unlock_t *unlock)
{
    return unlock->task->taken_over ? takeover_read(unlock) : unlock->method->first_read;
}

static unlock_step_e probe_first_on_ok(unlock_t *unlock)
{
    int verified = unlock->task->taken_over && unlock->probe_open && !unlock_has_to_undo(unlock);

    if (verified) {
        return unlock_unlocked(unlock);
    }
    return unlock->identified ? read_identified(unlock) : UNLOCK_CONNECT_PERMIT;
}

static void connect_permit_send(unlock_t *unlock)
{
    unlock->ops->permit(unlock);
}

/* Why the device is not this system; NULL: it may be. A PC says its UUID itself, and one that says another
 * system's must not hold the lock on that system's device. */
static const char *judge_device(const unlock_t *unlock)
{
    const char *expected = unlock->system->uuid, *uuid = unlock->facts.identity.uuid;
    const inventory_system_t *owner =
        unlock->inventory != NULL ? inventory_find_device(unlock->inventory, uuid) : NULL;

    if (expected != NULL && !inventory_uuid_is(expected, uuid)) {
        return apr_psprintf(unlock->pool, "the device is %s%s%s, the inventory says %s", uuid,
                            owner != NULL ? ", as which the inventory has " : "",
                            owner != NULL ? owner->fqdn : "", expected);
    }
    if (owner != NULL && owner != unlock->system) {
        return apr_psprintf(unlock->pool, "the device says that it is %s, which the inventory has for %s",
                            uuid, owner->fqdn);
    }
    return NULL;
}

static unlock_step_e identify_on_ok(unlock_t *unlock)
{
    const char *wrong = judge_device(unlock);

    wrong = wrong == NULL ? takeover_judge_device(unlock) : wrong;
    if (wrong != NULL) {
        return unlock_next_address(unlock, JOBS_REASON_NOT_VERIFIED, wrong)
                   ? UNLOCK_IDENTIFY
                   : unlock_fail(unlock, JOBS_REASON_NOT_VERIFIED, wrong);
    }
    unlock->identified = 1;
    return !unlock->probed && unlock_may_probe(unlock) ? UNLOCK_PROBE_FIRST : read_identified(unlock);
}

static unlock_step_e identify_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    unlock_judge_addresses(unlock, &reason, &text);
    if (unlock->asleep && reason == JOBS_REASON_UNREACHABLE) {
        text = apr_psprintf(unlock->pool, "silent for %d s, in which a sleeping ME wakes: %s",
                            (int)apr_time_sec(unlock_wake_within()), text);
    }
    return unlock_fail_or_verify(unlock, reason, text);
}

/* That it runs says nothing of a reset: it ran before. */
static void note_running(unlock_t *unlock)
{
    unlock->seen_on = unlock->facts.power.state == AMT_POWER_ON && !unlock_is_reset(unlock);
}

static unlock_step_e read_power_on_ok(unlock_t *unlock)
{
    if (!takeover_was_powered(unlock)) {
        return unlock_plan_by_power(unlock);
    }
    FAILPOINT("verify.read");
    note_running(unlock);
    return unlock->facts.power.state == AMT_POWER_ON ? takeover_goes_on(unlock) : UNLOCK_WATCH;
}

/* ---- the intent ---------------------------------------------------------------------------------------- */

static unlock_step_e intend_on_ok(unlock_t *unlock)
{
    FAILPOINT("intend.done");
    unlock->intended = 1;
    unlock->boot_until = unlock->ops->now() + unlock->system->group->boot_timeout;
    return unlock->after_intent;
}

/* ---- after the intent: acting, once -------------------------------------------------------------------- */

static unlock_step_e clear_boot_on_ok(unlock_t *unlock)
{
    return unlock_power(unlock);
}

static void power_wait_send(unlock_t *unlock)
{
    unlock->ops->power_wait(unlock);
}

/* Setting the boot options takes time, and so does the power rate limit: a PC that comes up meanwhile is
 * not reset. */
static unlock_step_e mark_power_on_ok(unlock_t *unlock)
{
    return unlock_is_reset(unlock) ? UNLOCK_PROBE_AGAIN : UNLOCK_POWER_ON;
}

/* What its console showed until now belongs to the start before. */
static void forget_console(const unlock_t *unlock)
{
    if (unlock->dialogue != NULL) {
        dialogue_starts(unlock->dialogue, 1);
    }
    if (unlock->console != NULL) {
        amt_console_forget(unlock->console);
    }
}

static void power_on_send(unlock_t *unlock)
{
    forget_console(unlock);
    unlock->power_sent = unlock->ops->now();
    unlock->power_tries++;
    unlock->power_refused = unlock->power_not_now = 0; /* of the one before */
    unlock->boot_until = unlock->power_sent + unlock->system->group->boot_timeout;
}

static unlock_step_e power_on_on_ok(unlock_t *unlock)
{
    FAILPOINT("act.done");
    if (unlock_is_reset(unlock) && unlock->ops->now() < unlock->sent + NO_START_WITHIN) {
        forget_console(unlock); /* it may have run on until now */
    }
    unlock->power_answered = 1;
    return UNLOCK_REPORT_POWERED;
}

unlock_step_e steps_typed(unlock_t *unlock)
{
    FAILPOINT("typed.done");
    return unlock->row->then;
}

/* What was read before the power request says nothing about after it. */
static unlock_step_e watch_from_now(unlock_t *unlock)
{
    unlock->facts.power.state = -1;
    return UNLOCK_WATCH;
}

static unlock_step_e report_powered_on_ok(unlock_t *unlock)
{
    FAILPOINT("powered.done");
    return unlock_is_reset(unlock) ? UNLOCK_REPORT_BOOTING : watch_from_now(unlock);
}

/* ---- watching ------------------------------------------------------------------------------------------ */

/* A task that was taken over has no session yet: its probe decides. While the others wait, the connection to
 * AMT is closed: AMT would not keep it open for so long, and it takes as much memory as the rest of the
 * slot. */
static unlock_step_e seek_evidence(unlock_t *unlock)
{
    if (!unlock->intended) {
        return unlock_verify_by_probe(unlock);
    }
    if (unlock->evidence != UNLOCK_PROBE) {
        unlock->ops->rest(unlock);
        return unlock->evidence;
    }
    if (unlock->system->probe_port != 0) {
        return unlock_undo(unlock, UNLOCK_PROBE);
    }
    return unlock_fail(unlock, JOBS_REASON_NOT_VERIFIED,
                       "it was woken from sleep, and has no probe that would tell that its system runs");
}

/* The power state says nothing of a reset: one that was refused did not happen, and is asked for again where the
 * device was not ready; whether one without an answer did, only the evidence shows. */
static unlock_step_e doubt_reset(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (reason == JOBS_REASON_INDETERMINATE) {
        return seek_evidence(unlock);
    }
    return unlock->call_status == AMT_NOT_NOW && unlock->power_tries < POWER_TRIES
               ? UNLOCK_PROBE_LATER
               : unlock_fail(unlock, reason, text);
}

/* Refused, or no answer: the PC says by its power state which it was. Only a request that surely did
 * nothing ends the unlock here, with what is known. */
static unlock_step_e power_on_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (reason != JOBS_REASON_INDETERMINATE) { /* then it was answered */
        unlock->power_not_now = unlock->call_status == AMT_NOT_NOW;
        unlock->power_refused = unlock->power_not_now || unlock->call_status == AMT_REFUSED;
    }
    if (unlock_is_reset(unlock)) {
        return doubt_reset(unlock, reason, text);
    }
    if (reason == JOBS_REASON_INDETERMINATE || unlock->power_refused) {
        apr_cpystrn(unlock->text, text, sizeof(unlock->text));
        return watch_from_now(unlock);
    }
    return unlock_fail(unlock, reason, text);
}

static unlock_step_e power_on_on_timeout(unlock_t *unlock)
{
    return power_on_on_error(unlock, JOBS_REASON_INDETERMINATE, "the power request was not answered");
}

static unlock_step_e watch_on_ok(unlock_t *unlock)
{
    if (unlock->facts.power.state == AMT_POWER_ON) {
        note_running(unlock);
        return unlock->intended ? UNLOCK_REPORT_BOOTING : takeover_goes_on(unlock);
    }
    if (!unlock->power_refused) {
        return UNLOCK_WATCH;
    }
    /* A device that was not ready said that it did nothing, and its PC has not started since: it is asked again, after
     * a while. A refusal for another reason is final. */
    if (!unlock->power_not_now || unlock->power_tries >= POWER_TRIES) {
        return unlock_fail(unlock, JOBS_REASON_AMT_FAULT, apr_pstrdup(unlock->pool, unlock->text));
    }
    return unlock->ops->now() - unlock->power_sent >= POWER_PAUSE ? UNLOCK_POWER_ON : UNLOCK_WATCH;
}

/* A PC that starts may leave AMT without an answer for a while; one that refuses our login is not asked
 * again. */
static unlock_step_e watch_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)text;
    unlock->facts.power.state = -1;
    return reason == JOBS_REASON_AUTH_FAILED ? seek_evidence(unlock) : UNLOCK_WATCH;
}

static unlock_step_e watch_on_timeout(unlock_t *unlock)
{
    if (unlock->facts.power.state < 0) { /* AMT fell silent: the system itself may still answer */
        return seek_evidence(unlock);
    }
    if (!unlock->power_answered) {
        return unlock_fail(unlock, JOBS_REASON_INDETERMINATE,
                           unlock_power_text(unlock, "the PC was not seen to start"));
    }
    return unlock_fail(unlock, JOBS_REASON_AMT_FAULT,
                       unlock_power_text(unlock, "AMT accepted the power request, but the PC did not start"));
}

static unlock_step_e report_booting_on_ok(unlock_t *unlock)
{
    FAILPOINT("booting.done");
    return seek_evidence(unlock);
}

/* AMT is not needed any more, and takes few connections. */
static void probe_send(unlock_t *unlock)
{
    unlock->ops->hang_up(unlock);
    unlock->ops->probe(unlock, STEPS_PROBE_WAIT);
}

static unlock_step_e probe_on_ok(unlock_t *unlock)
{
    return unlock->probe_open ? unlock_unlocked(unlock) : UNLOCK_PROBE;
}

static unlock_step_e probe_on_timeout(unlock_t *unlock)
{
    return unlock_fail(unlock, unlock_without_evidence(unlock, JOBS_REASON_TIMEOUT),
                       "its probe did not answer in time");
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void finish_send(unlock_t *unlock)
{
    unlock->ops->hang_up(unlock);
    unlock->ops->store(unlock, JOBS_FINISH, unlock->state);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_RESOLVE]

static const step_t rows[] = {
    ROW(UNLOCK_RESOLVE) = {.name = "resolve",
                           .send = resolve_send,
                           .on_ok = resolve_on_ok,
                           .on_error = unlock_fail_or_verify,
                           .on_timeout = resolve_on_timeout,
                           .targets = {UNLOCK_LOGIN, UNLOCK_PROBE},
                           .limit = SECONDS(20),
                           .retry = 1},
    ROW(UNLOCK_LOGIN) = {.name = "login",
                         .send = login_send,
                         .on_ok = login_on_ok,
                         .on_error = unlock_fail_or_verify,
                         .on_timeout = unlock_fail_without_secret,
                         .targets = {UNLOCK_PROBE_FIRST, UNLOCK_CONNECT_PERMIT, UNLOCK_PROBE},
                         .limit = SECONDS(90)},
    ROW(UNLOCK_PROBE_FIRST) = {.name = "probe-first",
                               .send = probe_first_send,
                               .on_ok = probe_first_on_ok,
                               .targets = {UNLOCK_CONNECT_PERMIT, UNLOCK_READ_BOOT, UNLOCK_READ_CONSENT,
                                           UNLOCK_READ_POWER, UNLOCK_PROBE},
                               .limit = SECONDS(5)},
    ROW(UNLOCK_CONNECT_PERMIT) = {.name = "turn", .send = connect_permit_send, .then = UNLOCK_IDENTIFY},
    ROW(UNLOCK_IDENTIFY) = {.name = "identity",
                            .call = UNLOCK_CALL_IDENTITY,
                            .on_ok = identify_on_ok,
                            .on_error = identify_on_error,
                            .another_way = unlock_next_address,
                            .targets = {UNLOCK_IDENTIFY, UNLOCK_PROBE_FIRST, UNLOCK_READ_BOOT,
                                        UNLOCK_READ_CONSENT, UNLOCK_READ_POWER, UNLOCK_PROBE, UNLOCK_REOPEN},
                            .limit = SECONDS(40),
                            .retry = 1},
    ROW(UNLOCK_READ_BOOT) = {.name = "boot-settings",
                             .call = UNLOCK_CALL_BOOT,
                             .then = UNLOCK_READ_POWER,
                             .on_error = unlock_fail_or_verify,
                             .targets = {UNLOCK_PROBE},
                             .limit = SECONDS(25),
                             .retry = 1},
    ROW(UNLOCK_READ_POWER) = {.name = "power-state",
                              .call = UNLOCK_CALL_POWER,
                              .on_ok = read_power_on_ok,
                              .on_error = unlock_fail_or_verify,
                              .targets = {UNLOCK_INTEND, UNLOCK_LOOK_CONSOLE, UNLOCK_READ_SAVING,
                                          UNLOCK_WATCH, UNLOCK_PROBE},
                              .limit = SECONDS(35),
                              .every = SETTLE,
                              .retry = 1},
    ROW(UNLOCK_INTEND) = {.name = "intent",
                          .stores = 1,
                          .change = JOBS_INTEND,
                          .state = 'I',
                          .on_ok = intend_on_ok,
                          .on_error = unlock_unrecorded,
                          .targets = {UNLOCK_CLEAR_BOOT, UNLOCK_POWER_RATE, UNLOCK_MARK_POWER,
                                      UNLOCK_REDIRECT, UNLOCK_OPEN_CONSOLE, UNLOCK_SET_BOOT,
                                      UNLOCK_PASSPHRASE, UNLOCK_REOPEN, UNLOCK_REOPEN_DRIVE}},
    ROW(UNLOCK_CLEAR_BOOT) = {.name = "clear-boot",
                              .call = UNLOCK_CALL_CLEAR_BOOT,
                              .on_ok = clear_boot_on_ok,
                              .targets = {UNLOCK_POWER_RATE, UNLOCK_MARK_POWER},
                              .limit = SECONDS(40),
                              .writes = 1},
    ROW(UNLOCK_POWER_RATE) = {.name = "power-ramp",
                              .stores = 1,
                              .change = JOBS_POWER_RATE,
                              .then = UNLOCK_POWER_WAIT},
    ROW(UNLOCK_POWER_WAIT) = {.name = "power-pace", .send = power_wait_send, .then = UNLOCK_MARK_POWER},
    ROW(UNLOCK_MARK_POWER) = {.name = "power-mark",
                              .stores = 1,
                              .change = JOBS_MARK,
                              .mark = JOBS_MARK_POWER,
                              .on_ok = mark_power_on_ok,
                              .on_error = unlock_unrecorded,
                              .targets = {UNLOCK_POWER_ON, UNLOCK_PROBE_AGAIN}},
    ROW(UNLOCK_POWER_ON) = {.name = "power-on",
                            .send = power_on_send,
                            .call = UNLOCK_CALL_POWER_ON,
                            .on_ok = power_on_on_ok,
                            .on_error = power_on_on_error,
                            .on_timeout = power_on_on_timeout,
                            .targets = {UNLOCK_REPORT_POWERED, UNLOCK_WATCH, UNLOCK_PROBE, UNLOCK_PROMPT,
                                        UNLOCK_HELLO, UNLOCK_PROBE_LATER},
                            .limit = SECONDS(30),
                            .writes = 1,
                            .needs = JOBS_MARK_POWER},
    ROW(UNLOCK_REPORT_POWERED) = {.name = "powered",
                                  .stores = 1,
                                  .change = JOBS_PROGRESS,
                                  .state = 'P',
                                  .on_ok = report_powered_on_ok,
                                  .targets = {UNLOCK_WATCH, UNLOCK_REPORT_BOOTING}},
    ROW(UNLOCK_WATCH) = {.name = "watch",
                         .call = UNLOCK_CALL_POWER,
                         .on_ok = watch_on_ok,
                         .on_error = watch_on_error,
                         .on_timeout = watch_on_timeout,
                         .targets = {UNLOCK_REPORT_BOOTING, UNLOCK_PROBE, UNLOCK_PROMPT, UNLOCK_HELLO,
                                     UNLOCK_POWER_ON, UNLOCK_INTEND},
                         .limit = STEPS_WATCH_WAIT,
                         .every = SECONDS(1)},
    ROW(UNLOCK_REPORT_BOOTING) = {.name = "booting",
                                  .stores = 1,
                                  .change = JOBS_PROGRESS,
                                  .state = 'B',
                                  .on_ok = report_booting_on_ok,
                                  .targets = {UNLOCK_PROBE, UNLOCK_PROMPT, UNLOCK_HELLO}},
    ROW(UNLOCK_PROBE) = {.name = "probe",
                         .send = probe_send,
                         .on_ok = probe_on_ok,
                         .on_timeout = probe_on_timeout,
                         .end = ENDS_WITH_BOOT,
                         .every = SECONDS(1)},
    ROW(UNLOCK_FINISH) = {.name = "finish", .send = finish_send, .then = UNLOCK_OVER},
    ROW(UNLOCK_RELEASE) = {.name = "release", .stores = 1, .change = JOBS_RELEASE, .then = UNLOCK_OVER},
    ROW(UNLOCK_OVER) = {.name = "over"},
};

const steps_t steps_common = {"all methods", UNLOCK_RESOLVE, sizeof(rows) / sizeof(rows[0]), rows};
