/* SPDX-License-Identifier: Apache-2.0 */
/* See unlock.h. Walks the table of steps.c. */
#include "unlock/unlock.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "unlock/intent.h"
#include "unlock/methods.h"
#include "unlock/steps.h"

#define RETRIES 3
#define RETRY_WITHIN SECONDS(25)
#define RETRY_BASE SECONDS(1) /* full jitter: up to 1, 2, 4 s */

const char *unlock_step_name(const unlock_t *unlock)
{
    return unlock->ended_at ? unlock->ended_at : unlock_row(unlock->step)->name;
}

/* How a call that ended badly is told: silence means something else once the PC has answered our login. */
static const struct {
    jobs_reason_e before, after;
} amt_reasons[] = {
    [AMT_OK] = {JOBS_REASON_NONE, JOBS_REASON_NONE},
    [AMT_UNREACHABLE] = {JOBS_REASON_UNREACHABLE, JOBS_REASON_TIMEOUT},
    [AMT_TLS_UNTRUSTED] = {JOBS_REASON_TLS_UNTRUSTED, JOBS_REASON_TLS_UNTRUSTED},
    [AMT_AUTH_FAILED] = {JOBS_REASON_AUTH_FAILED, JOBS_REASON_AUTH_FAILED},
    [AMT_REFUSED] = {JOBS_REASON_AMT_FAULT, JOBS_REASON_AMT_FAULT},
    [AMT_GARBAGE] = {JOBS_REASON_AMT_FAULT, JOBS_REASON_AMT_FAULT},
    [AMT_TIMEOUT] = {JOBS_REASON_UNREACHABLE, JOBS_REASON_TIMEOUT},
    [AMT_BROKEN] = {JOBS_REASON_UNREACHABLE, JOBS_REASON_AMT_FAULT},
    [AMT_BUSY] = {JOBS_REASON_BUSY, JOBS_REASON_BUSY},
    [AMT_FENCED] = {JOBS_REASON_INTERNAL, JOBS_REASON_INTERNAL},
    [AMT_CONSENT] = {JOBS_REASON_CONSENT_REQUIRED, JOBS_REASON_CONSENT_REQUIRED},
    [AMT_NO_TICKET] = {JOBS_REASON_AUTH_FAILED, JOBS_REASON_AUTH_FAILED},
};

jobs_reason_e unlock_reason_of_amt(amt_status_e status, int authenticated)
{
    if ((size_t)status >= sizeof(amt_reasons) / sizeof(amt_reasons[0])) {
        return JOBS_REASON_INTERNAL;
    }
    return authenticated ? amt_reasons[status].after : amt_reasons[status].before;
}

static int is_silence(amt_status_e status)
{
    return status == AMT_UNREACHABLE || status == AMT_TIMEOUT || status == AMT_BROKEN;
}

/* ---- walking the table --------------------------------------------------------------------------------- */

static void end(unlock_t *unlock)
{
    unlock->over = 1;
    unlock->ops->stop(unlock);
    unlock->ops->hang_up(unlock);
    unlock->ops->over(unlock);
}

/* Nothing more is sent to the PC, and no result is written: whoever has the task now does both. */
static void lose(unlock_t *unlock, const char *why)
{
    int ending = unlock->step == UNLOCK_FINISH || unlock->step == UNLOCK_RELEASE;

    if (unlock->over || ending) {
        return;
    }
    log_warn("AMTU0609", "task lost, leaves the PC alone", "system", unlock->task->ref.system, "job",
             unlock->task->ref.job, "step", unlock_row(unlock->step)->name, "text", why);
    end(unlock);
}

static void go_on(unlock_t *unlock, unlock_step_e next);

/* No path of the table leads here before the intent. Should one ever, nothing is sent. */
static int may_send(const unlock_t *unlock)
{
    const step_t *row = unlock_row(unlock->step);

    if (row->undoes) {
        return unlock->identified && (unlock->intended || unlock->task->verify_only);
    }
    return !row->writes || (unlock->intended && !unlock->task->verify_only);
}

/* Looks at what came to a step that listens; also at what came before it began. */
static void attend(unlock_t *unlock)
{
    const step_t *row = unlock_row(unlock->step);
    unlock_step_e next = row->hear(unlock);

    if (next == unlock->step && unlock->cut) {
        next = row->cut(unlock);
    }
    if (next != unlock->step) {
        go_on(unlock, next);
    }
}

static void send_step(unlock_t *unlock)
{
    const step_t *row = unlock_row(unlock->step);
    apr_time_t now = unlock->ops->now();

    if (!may_send(unlock)) {
        log_error("AMTU0610", "a step would write without an intent", "system", unlock->task->ref.system,
                  "step", row->name);
        end(unlock);
        return;
    }
    unlock->pausing = 0;
    unlock->sent = now;
    if (unlock->until) {
        unlock->ops->alarm(unlock, unlock->until > now ? unlock->until - now : 0);
    }
    if (row->send) {
        row->send(unlock);
    }
    else {
        attend(unlock);
    }
}

/* Sends `after` from now, if the step still runs then. */
static void send_later(unlock_t *unlock, apr_interval_time_t after)
{
    apr_time_t now = unlock->ops->now();

    if (unlock->until && now + after > unlock->until) {
        after = unlock->until > now ? unlock->until - now : 0;
    }
    unlock->pausing = 1;
    unlock->ops->alarm(unlock, after > 0 ? after : 0);
}

static apr_time_t end_of_step(const unlock_t *unlock, unlock_step_e step)
{
    apr_time_t now = unlock->ops->now();

    if (unlock_row(step)->end != ENDS_WITH_BOOT) {
        return unlock_row(step)->limit ? now + unlock_row(step)->limit : 0;
    }
    /* Redis may have kept us waiting past the deadline: one probe is due all the same. */
    apr_time_t one_probe = now + STEPS_PROBE_WAIT + SECONDS(1);
    return unlock->boot_until > one_probe ? unlock->boot_until : one_probe;
}

static void go(unlock_t *unlock, unlock_step_e next)
{
    const step_t *row = unlock_row(next);

    if (next == unlock->step && row->every) {
        send_later(unlock, unlock->sent + row->every - unlock->ops->now());
        return;
    }
    log_debug("AMTU0602", "step", "system", unlock->task->ref.system, "job", unlock->task->ref.job, "from",
              unlock_row(unlock->step)->name, "to", row->name);
    unlock->step = next;
    unlock->tries = 0;
    if (next == UNLOCK_OVER) {
        end(unlock);
        return;
    }
    unlock->until = end_of_step(unlock, next);
    if (row->pause) {
        send_later(unlock, row->pause);
    }
    else {
        send_step(unlock);
    }
}

/* Draining comes between two steps, never between an act and what is known of it. */
static int gives_back(const unlock_t *unlock)
{
    int acting = unlock->intended || unlock->task->verify_only;
    int ending =
        unlock->step == UNLOCK_FINISH || unlock->step == UNLOCK_RELEASE || unlock->step == UNLOCK_OVER;

    return unlock->draining && !ending && (!acting || unlock->leaving);
}

static void go_on(unlock_t *unlock, unlock_step_e next)
{
    if (gives_back(unlock) && next != UNLOCK_FINISH && next != UNLOCK_RELEASE) {
        unlock->ops->stop(unlock);
        unlock->ops->hang_up(unlock);
        next = UNLOCK_RELEASE;
    }
    go(unlock, next);
}

/* Whether the step is sent again, after a random while. */
static int retries(unlock_t *unlock, int may_help)
{
    apr_time_t now = unlock->ops->now();

    if (!may_help || !unlock_row(unlock->step)->retry || unlock->intended || gives_back(unlock)) {
        return 0;
    }
    if (unlock->retry_until == 0) {
        unlock->retry_until = unlock->sent + RETRY_WITHIN;
    }
    if (unlock->tries >= RETRIES || now >= unlock->retry_until) {
        return 0;
    }
    apr_interval_time_t most = RETRY_BASE << unlock->tries++;
    send_later(unlock, (apr_interval_time_t)arc4random_uniform((uint32_t)most));
    return 1;
}

static void refuse(unlock_t *unlock, jobs_reason_e reason, const char *text, int may_help)
{
    const step_t *step = unlock_row(unlock->step);

    if (retries(unlock, may_help)) {
        log_info("AMTU0603", "tries again", "system", unlock->task->ref.system, "step", step->name, "reason",
                 jobs_reason(reason)->code, "text", text);
        return;
    }
    go_on(unlock, step->refuse ? step->refuse(unlock, reason, text) : unlock_fail(unlock, reason, text));
}

void unlock_work_answer(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (unlock->over) {
        return;
    }
    if (reason == JOBS_REASON_NONE) {
        go_on(unlock, unlock_row(unlock->step)->accept(unlock));
    }
    else {
        refuse(unlock, reason, text, reason == JOBS_REASON_UNREACHABLE);
    }
}

void unlock_permit_answer(unlock_t *unlock)
{
    if (!unlock->over) {
        go_on(unlock, unlock_row(unlock->step)->accept(unlock));
    }
}

void unlock_probe_answer(unlock_t *unlock, int open)
{
    if (unlock->over) {
        return;
    }
    unlock->probe_open = open;
    go_on(unlock, unlock_row(unlock->step)->accept(unlock));
}

/* A power request whose answer is lost may have been carried out: that is no failure but a question. */
static jobs_reason_e reason_of_call(const unlock_t *unlock, const amt_result_t *result)
{
    int no_answer = is_silence(result->status) || result->status == AMT_GARBAGE;

    if (unlock->step == UNLOCK_POWER_ON && result->acted && no_answer) {
        return JOBS_REASON_INDETERMINATE;
    }
    return unlock_reason_of_amt(result->status, unlock->authenticated);
}

void unlock_call_answer(unlock_t *unlock, const amt_result_t *result)
{
    if (unlock->over) {
        return;
    }
    unlock->call_status = result->status;
    if (result->status == AMT_FENCED) {
        lose(unlock, "its lease was about to end");
        return;
    }
    if (result->status == AMT_OK) {
        unlock->authenticated = 1;
        go_on(unlock, unlock_row(unlock->step)->accept(unlock));
        return;
    }
    if (unlock->step == UNLOCK_POWER_ON && result->status == AMT_REFUSED) {
        unlock->power_refused = 1;
    }
    refuse(unlock, reason_of_call(unlock, result), result->text,
           is_silence(result->status) || result->status == AMT_NO_TICKET);
}

/* ---- the store's answers ------------------------------------------------------------------------------- */

static int is_done(jobs_outcome_e outcome)
{
    return outcome == JOBS_OK || outcome == JOBS_ALREADY;
}

static void log_end(const unlock_t *unlock, jobs_outcome_e outcome, const char *text)
{
    if (unlock->step == UNLOCK_RELEASE) {
        log_info("AMTU0604", "given back", "system", unlock->task->ref.system, "job", unlock->task->ref.job,
                 "refused", is_done(outcome) ? NULL : text);
    }
    else if (!is_done(outcome)) {
        log_warn("AMTU0605", "result was not taken", "system", unlock->task->ref.system, "job",
                 unlock->task->ref.job, "reason",
                 unlock->reason ? jobs_reason(unlock->reason)->code : "unlocked", "text", text);
    }
    else if (unlock->state == 'U') {
        log_info("AMTU0606", "unlocked", "system", unlock->task->ref.system, "job", unlock->task->ref.job);
    }
    else {
        log_warn("AMTU0607", "not unlocked", "system", unlock->task->ref.system, "job", unlock->task->ref.job,
                 "reason", jobs_reason(unlock->reason)->code, "step", unlock->ended_at, "text", unlock->text);
    }
}

static void answer_intend(unlock_t *unlock, jobs_outcome_e outcome, int audited, const char *text)
{
    if (is_done(outcome)) {
        go_on(unlock, unlock_row(UNLOCK_INTEND)->accept(unlock));
    }
    else if (!audited) {
        refuse(unlock, JOBS_REASON_INTERNAL, text, 0);
    }
    else if (outcome == JOBS_CONFLICT) {
        refuse(unlock, JOBS_REASON_BUSY, text, 0);
    }
    else {
        lose(unlock, text);
    }
}

void unlock_store_answer(unlock_t *unlock, jobs_outcome_e outcome, int audited, const char *text)
{
    unlock->storing = 0;
    if (unlock->over) {
        return;
    }
    if (unlock->step == UNLOCK_FINISH || unlock->step == UNLOCK_RELEASE) {
        FAILPOINT("finish.told");
        log_end(unlock, outcome, text);
        go(unlock, UNLOCK_OVER);
    }
    else if (unlock->step == UNLOCK_INTEND) {
        answer_intend(unlock, outcome, audited, text);
    }
    else if (is_done(outcome) || outcome == JOBS_UNAVAILABLE) {
        /* Progress is news, nothing hangs on it; and a ramp without Redis is at least this worker's own. */
        go_on(unlock, unlock_row(unlock->step)->accept(unlock));
    }
    else {
        lose(unlock, text);
    }
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static unlock_step_e expire(unlock_t *unlock)
{
    const step_t *step = unlock_row(unlock->step);

    if (step->expire) {
        return step->expire(unlock);
    }
    if (unlock->task->verify_only) {
        return unlock_look_on(unlock);
    }
    return unlock_fail(unlock, unlock->authenticated ? JOBS_REASON_TIMEOUT : JOBS_REASON_UNREACHABLE,
                       "the step took longer than it may");
}

void unlock_alarm(unlock_t *unlock)
{
    if (unlock->over) {
        return;
    }
    if (unlock->until && unlock->ops->now() >= unlock->until) {
        unlock->pausing = 0;
        unlock->ops->stop(unlock);
        go_on(unlock, expire(unlock));
    }
    else if (unlock->pausing) {
        send_step(unlock);
    }
    else if (unlock->until) { /* timers may be a little early */
        unlock->ops->alarm(unlock, unlock->until - unlock->ops->now());
    }
}

/* ---- what comes unasked -------------------------------------------------------------------------------- */

void unlock_hear(unlock_t *unlock, const char *bytes, apr_size_t length)
{
    if (unlock->over || !unlock->method->hear) {
        return;
    }
    unlock->method->hear(unlock, bytes, length);
    if (unlock_row(unlock->step)->hear) {
        attend(unlock);
    }
}

void unlock_image_read(unlock_t *unlock)
{
    unlock->image_read = 1;
}

/* An image that has proved itself has been read, and needs its drive no more. */
void unlock_cut(unlock_t *unlock, unlock_session_e session, const amt_result_t *result)
{
    if (unlock->over || (session == UNLOCK_DRIVE && unlock->image_greeted)) {
        return;
    }
    unlock->cut = 1;
    unlock->cut_reason = unlock_reason_of_amt(result->status, unlock->authenticated);
    apr_cpystrn(unlock->cut_text, result->text, sizeof(unlock->cut_text));
    if (unlock_row(unlock->step)->hear) {
        attend(unlock);
    }
}

/* ---- from the worker ----------------------------------------------------------------------------------- */

/* An address that the inventory gives is used as it is; only names are asked for. */
static int is_resolved(unlock_t *unlock)
{
    const inventory_system_t *system = unlock->system;

    if (system->address == NULL || system->probe_host != NULL) {
        return 0;
    }
    apr_cpystrn(unlock->address, system->address, sizeof(unlock->address));
    apr_cpystrn(unlock->probe_address, system->address, sizeof(unlock->probe_address));
    return 1;
}

void unlock_begin(unlock_t *unlock)
{
    log_info("AMTU0608", unlock->task->verify_only ? "looks after a predecessor" : "begins", "system",
             unlock->task->ref.system, "job", unlock->task->ref.job, "fence", unlock->task->ref.fence);
    FAILPOINT(unlock->task->verify_only ? "look.begun" : "unlock.begun");
    if (unlock->task->verify_only) {
        unlock->boot_until =
            unlock->ops->now() + intent_read(unlock->task->intent, &unlock->plan, unlock_most_look(unlock));
    }
    unlock->step = is_resolved(unlock) ? UNLOCK_LOGIN : UNLOCK_RESOLVE;
    unlock->until = end_of_step(unlock, unlock->step);
    send_step(unlock);
}

void unlock_lost(unlock_t *unlock)
{
    lose(unlock, "another has it now, or its caller cancelled it");
}

void unlock_drain(unlock_t *unlock, int leave_intended)
{
    unlock->draining = 1;
    unlock->leaving = leave_intended != 0;
    if (unlock->over || unlock->storing || !gives_back(unlock)) {
        return;
    }
    unlock->ops->stop(unlock);
    unlock->ops->hang_up(unlock);
    go(unlock, UNLOCK_RELEASE);
}
