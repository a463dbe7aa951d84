/* SPDX-License-Identifier: Apache-2.0 */
/* See unlock.h. Walks the table of steps. */
#include "unlock/unlock.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "unlock/addresses_priv.h"
#include "unlock/exits_priv.h"
#include "unlock/handover_priv.h"
#include "unlock/intent.h"
#include "unlock/plan_priv.h"
#include "unlock/steps_table_priv.h"
#include "unlock/takeover_priv.h"
#include "unlock/tries_priv.h"

const char *unlock_step_name(const unlock_t *unlock)
{
    return unlock->ended_at != NULL ? unlock->ended_at : unlock->row->name;
}

/* The reason for a call that ended badly: silence means something else once the PC has answered our login. */
static const struct {
    jobs_reason_e before, after;
} amt_reasons[AMT_STATUSES] = {
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
    [AMT_NOT_NOW] = {JOBS_REASON_AMT_FAULT, JOBS_REASON_AMT_FAULT},
};

jobs_reason_e unlock_reason_of_amt(amt_status_e status, int authenticated)
{
    if ((unsigned int)status >= AMT_STATUSES) {
        return JOBS_REASON_INTERNAL;
    }
    return authenticated ? amt_reasons[status].after : amt_reasons[status].before;
}

static int is_silence(amt_status_e status)
{
    return status == AMT_UNREACHABLE || status == AMT_TIMEOUT || status == AMT_BROKEN;
}

/* ---- walking the table --------------------------------------------------------------------------------- */

static int unlock_is_ending(const unlock_t *unlock)
{
    return unlock->step == UNLOCK_FINISH || unlock->step == UNLOCK_RELEASE || unlock->step == UNLOCK_OVER;
}

static void unlock_end(unlock_t *unlock)
{
    unlock->over = 1;
    unlock->ops->stop(unlock);
    unlock->ops->hang_up(unlock);
    unlock->ops->over(unlock);
}

/* Nothing more is sent to the PC, and no result is written: the worker that has the task now does both. */
static void unlock_lose(unlock_t *unlock, const char *why)
{
    if (unlock->over || unlock_is_ending(unlock)) {
        return;
    }
    log_warn("AMTU0609", "task lost, leaves the PC alone", "system", unlock->task->ref.system, "job",
             unlock->task->ref.job, "step", unlock->row->name, "text", why);
    unlock_end(unlock);
}

static void unlock_go_on(unlock_t *unlock, unlock_step_e next);

/* For the end of the step, or for its next look at what came. */
static void unlock_wait(unlock_t *unlock)
{
    apr_time_t next = unlock->until, now = unlock->ops->now();

    if (unlock->look_at != 0 && (next == 0 || unlock->look_at < next)) {
        next = unlock->look_at;
    }
    unlock->awaited = unlock->look_at;
    if (next != 0) { /* timers may be a little early */
        unlock->ops->alarm(unlock, next > now ? next - now : 0);
    }
}

/* No path of the table leads here before the intent. Should one ever, nothing is sent. */
static int unlock_may_send(const unlock_t *unlock)
{
    unsigned int needs = unlock->row->needs;

    if (unlock->row->undoes) {
        return unlock->identified && (unlock->intended || unlock->task->taken_over);
    }
    if ((unlock->marks & needs) != needs || (unlock->task->marks & needs) != 0) {
        return 0;
    }
    return !unlock->row->writes || (unlock->intended && !takeover_only_looks(unlock));
}

/* For a step that listens: handles what has come, also before it began. */
static void unlock_listen(unlock_t *unlock)
{
    const step_t *row = unlock->row;
    unlock_step_e next = row->on_input(unlock);

    if (next == unlock->step && unlock->disconnected) {
        next = row->on_disconnect != NULL ? row->on_disconnect(unlock) : unlock_fail_disconnected(unlock);
    }
    if (next != unlock->step) {
        unlock_go_on(unlock, next);
    }
    else if (unlock->look_at != unlock->awaited) {
        unlock_wait(unlock);
    }
}

static void unlock_send(unlock_t *unlock)
{
    const step_t *row = unlock->row;

    if (!unlock_may_send(unlock)) {
        log_error("AMTU0610", "a step would write without an intent, or act twice", "system",
                  unlock->task->ref.system, "step", row->name);
        unlock_end(unlock);
        return;
    }
    unlock->pausing = 0;
    unlock->sent = unlock->ops->now();
    unlock_wait(unlock);
    if (row->send != NULL) {
        row->send(unlock);
    }
    if (row->call != UNLOCK_CALL_NONE) {
        unlock->ops->call(unlock, row->call);
    }
    if (row->stores) {
        unlock->mark = row->mark;
        unlock->ops->store(unlock, row->change, row->state);
    }
    if (row->on_input != NULL) {
        unlock_listen(unlock);
    }
}

/* Sends `after` from now, if the step still runs then. */
static void unlock_send_later(unlock_t *unlock, apr_interval_time_t after)
{
    apr_time_t now = unlock->ops->now();

    if (unlock->until != 0 && now + after > unlock->until) {
        after = unlock->until > now ? unlock->until - now : 0;
    }
    unlock->pausing = 1;
    unlock->ops->alarm(unlock, after > 0 ? after : 0);
}

/* How long a step may take. What waits for words on a console waits for less where a test says so. */
static apr_interval_time_t unlock_limit(const step_t *row)
{
#ifdef AMTUNLOCK_TEST
    apr_interval_time_t words = clock_test_interval("AMTUNLOCK_TEST_CONSOLE_MS", row->limit);

    return row->on_input != NULL && words < row->limit ? words : row->limit;
#else
    return row->limit;
#endif
}

static apr_time_t unlock_end_of_step(const unlock_t *unlock)
{
    const step_t *row = unlock->row;
    apr_time_t now = unlock->ops->now();
    apr_time_t one_probe = now + STEPS_PROBE_WAIT + SECONDS(1);

    if (row->end != ENDS_WITH_BOOT) {
        return row->limit != 0 ? now + unlock_limit(row) : 0;
    }
    /* Redis may have kept us waiting past the deadline: one probe is due all the same. */
    return unlock->boot_until > one_probe ? unlock->boot_until : one_probe;
}

static void unlock_enter(unlock_t *unlock, unlock_step_e step)
{
    unlock->step = step;
    unlock->row = steps_row(step);
    unlock->tries = 0;
    unlock->look_at = unlock->awaited = 0;
    unlock->until = unlock_end_of_step(unlock);
}

#ifdef AMTUNLOCK_TEST
static void unlock_expect_target(const unlock_t *unlock, unlock_step_e next)
{
    if (!steps_may_follow(unlock->step, next)) {
        fprintf(stderr, "%s does not list %s in .targets\n", unlock->row->name, steps_row(next)->name);
        abort();
    }
}
#else
#define unlock_expect_target(unlock, next) ((void)0)
#endif

static void unlock_go(unlock_t *unlock, unlock_step_e next)
{
    unlock_expect_target(unlock, next);
    if (next == unlock->step && unlock->row->every != 0) {
        unlock_send_later(unlock, unlock->sent + unlock->row->every - unlock->ops->now());
        return;
    }
    log_debug("AMTU0602", "step", "system", unlock->task->ref.system, "job", unlock->task->ref.job, "from",
              unlock->row->name, "to", steps_row(next)->name);
    unlock_enter(unlock, next);
    if (next == UNLOCK_OVER) {
        unlock_end(unlock);
    }
    else if (unlock->row->pause != 0) {
        unlock_send_later(unlock, unlock->row->pause);
    }
    else {
        unlock_send(unlock);
    }
}

/* Between a mark and its act nothing else may come: nobody would know that the act was never sent. An empty line that was
 * not sent costs nothing but itself. */
static int unlock_is_bound(const unlock_t *unlock)
{
    int marks = (unlock->row->mark & (JOBS_MARK_POWER | JOBS_MARK_TYPED)) != 0;

    return unlock->intended && (marks || unlock->row->binds);
}

/* An act is under way, and what became of it will be known soon. One that has a mark is never repeated, so in the end
 * it is not waited for. */
static int unlock_is_acting(const unlock_t *unlock)
{
    const step_t *row = unlock->row;
    int marked = row->needs != 0 && unlock->draining == UNLOCK_DRAIN_ALL;

    return (row->writes || row->undoes) && !unlock->pausing && !marked;
}

/* Whether a worker that stops hands the task back at the next place between two steps. */
static int unlock_hands_back(const unlock_t *unlock)
{
    return unlock->draining != UNLOCK_DRAIN_NOT && !unlock_is_ending(unlock) && !handover_keeps(unlock);
}

static void unlock_hand_back(unlock_t *unlock)
{
    unlock->lends_drive = handover_lends_drive(unlock) != 0;
    unlock->ops->stop(unlock);
    unlock->ops->hang_up(unlock);
    unlock_go(unlock, UNLOCK_RELEASE);
}

static void unlock_go_on(unlock_t *unlock, unlock_step_e next)
{
    if (unlock_hands_back(unlock) && !unlock_is_bound(unlock) && next != UNLOCK_FINISH &&
        next != UNLOCK_RELEASE) {
        unlock_hand_back(unlock);
    }
    else {
        unlock_go(unlock, next);
    }
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void unlock_succeed(unlock_t *unlock)
{
    unlock_go_on(unlock, unlock->row->on_ok != NULL ? unlock->row->on_ok(unlock) : unlock->row->then);
}

/* Whether the step is sent again, after a while. */
static int unlock_tries_again(unlock_t *unlock, int may_help)
{
    apr_interval_time_t after = unlock_hands_back(unlock) ? -1 : unlock_next_try(unlock, may_help);

    if (after < 0) {
        return 0;
    }
    unlock_send_later(unlock, after);
    return 1;
}

static void unlock_refuse(unlock_t *unlock, jobs_reason_e reason, const char *text, int may_help)
{
    const step_t *row = unlock->row;
    int other = row->another_way != NULL && !unlock_hands_back(unlock);

    text = other ? apr_pstrdup(unlock->pool, text) : text; /* the device that said it may be let go there */
    if (other && row->another_way(unlock, reason, text)) {
        unlock_send(unlock);
        return;
    }
    if (unlock_tries_again(unlock, may_help)) {
        log_info("AMTU0603", "tries again", "system", unlock->task->ref.system, "step", row->name, "reason",
                 jobs_reason(reason)->code, "text", text);
        return;
    }
    unlock_go_on(unlock, row->on_error != NULL ? row->on_error(unlock, reason, text)
                                               : unlock_fail(unlock, reason, text));
}

void unlock_work_answer(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (unlock->over) {
        return;
    }
    if (reason == JOBS_REASON_NONE) {
        unlock_succeed(unlock);
    }
    else {
        unlock_refuse(unlock, reason, text, reason == JOBS_REASON_UNREACHABLE);
    }
}

void unlock_permit_answer(unlock_t *unlock)
{
    if (!unlock->over) {
        unlock_succeed(unlock);
    }
}

void unlock_probe_answer(unlock_t *unlock, int open)
{
    if (unlock->over) {
        return;
    }
    unlock->probe_open = open;
    unlock_succeed(unlock);
}

/* A power request whose answer is lost may have been carried out: its outcome is unknown. */
static jobs_reason_e unlock_reason_of_call(const unlock_t *unlock, const amt_result_t *result)
{
    int no_answer = is_silence(result->status) || result->status == AMT_GARBAGE;
    int opens = unlock->row->call == UNLOCK_CALL_OPEN_CONSOLE || unlock->row->call == UNLOCK_CALL_OPEN_DRIVE;

    if (opens && result->status == AMT_UNREACHABLE) { /* a session has a port of its own */
        return JOBS_REASON_UNREACHABLE;
    }
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
        unlock_lose(unlock, "its lease was about to end");
        return;
    }
    if (result->status == AMT_OK) {
        unlock->authenticated = 1;
        unlock->asleep = 0;
        unlock_succeed(unlock);
        return;
    }
    unlock->asleep |= result->silent && !unlock->authenticated;
    unlock_refuse(unlock, unlock_reason_of_call(unlock, result), result->text,
                  is_silence(result->status) || result->status == AMT_NO_TICKET);
}

/* ---- the store's answers ------------------------------------------------------------------------------- */

static int is_stored(jobs_outcome_e outcome)
{
    return outcome == JOBS_OK || outcome == JOBS_ALREADY;
}

static void unlock_log_end(const unlock_t *unlock, jobs_outcome_e outcome, const char *text)
{
    if (unlock->step == UNLOCK_RELEASE) {
        log_info("AMTU0604", "given back", "system", unlock->task->ref.system, "job", unlock->task->ref.job,
                 "refused", is_stored(outcome) ? NULL : text);
    }
    else if (!is_stored(outcome)) {
        log_warn("AMTU0605", "result was not taken", "system", unlock->task->ref.system, "job",
                 unlock->task->ref.job, "reason",
                 unlock->reason != JOBS_REASON_NONE ? jobs_reason(unlock->reason)->code : "unlocked", "text",
                 text);
    }
    else if (unlock->state == 'U') {
        log_info("AMTU0606", "unlocked", "system", unlock->task->ref.system, "job", unlock->task->ref.job);
    }
    else {
        log_warn("AMTU0607", "not unlocked", "system", unlock->task->ref.system, "job", unlock->task->ref.job,
                 "reason", jobs_reason(unlock->reason)->code, "step", unlock->ended_at, "text", unlock->text);
    }
}

/* To the intent, or to a mark. */
static void unlock_intend_answer(unlock_t *unlock, jobs_outcome_e outcome, int audited, const char *text)
{
    if (is_stored(outcome)) {
        unlock->marks |= unlock->row->mark;
        unlock_succeed(unlock);
    }
    else if (!audited) {
        unlock->unrecordable = outcome == JOBS_BROKEN;
        unlock_refuse(unlock, JOBS_REASON_INTERNAL, text, 0);
    }
    else if (outcome == JOBS_CONFLICT || outcome == JOBS_CANCELLED) {
        unlock_refuse(unlock, outcome == JOBS_CONFLICT ? JOBS_REASON_BUSY : JOBS_REASON_CANCELLED, text, 0);
    }
    else {
        unlock_lose(unlock, text);
    }
}

/* Nothing depends on progress, and without Redis the power rate limit is kept within this worker. */
void unlock_store_answer(unlock_t *unlock, jobs_outcome_e outcome, int audited, const char *text)
{
    unlock->storing = 0;
    if (unlock->over) {
        return;
    }
    if (unlock->step == UNLOCK_FINISH || unlock->step == UNLOCK_RELEASE) {
        FAILPOINT("finish.done");
        unlock_log_end(unlock, outcome, text);
        unlock_succeed(unlock);
    }
    else if (unlock->step == UNLOCK_INTEND || unlock->row->mark != 0) {
        unlock_intend_answer(unlock, outcome, audited, text);
    }
    else if (is_stored(outcome) || outcome == JOBS_UNAVAILABLE) {
        unlock_succeed(unlock);
    }
    else {
        unlock_lose(unlock, text);
    }
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static unlock_step_e unlock_expire(unlock_t *unlock)
{
    if (unlock->row->on_timeout != NULL) {
        return unlock->row->on_timeout(unlock);
    }
    return unlock_fail_or_verify(unlock,
                                 unlock->authenticated ? JOBS_REASON_TIMEOUT : JOBS_REASON_UNREACHABLE,
                                 "the step took longer than it may");
}

void unlock_alarm(unlock_t *unlock)
{
    if (unlock->over) {
        return;
    }
    if (unlock->until != 0 && unlock->ops->now() >= unlock->until) {
        unlock->pausing = 0;
        unlock->ops->stop(unlock);
        unlock_go_on(unlock, unlock_expire(unlock));
    }
    else if (unlock->pausing) {
        unlock_send(unlock);
    }
    else if (unlock->row->on_input != NULL && unlock->look_at != 0 && unlock->ops->now() >= unlock->look_at) {
        unlock->look_at = 0;
        unlock_listen(unlock);
    }
    else {
        unlock_wait(unlock);
    }
}

/* ---- events -------------------------------------------------------------------------------------------- */

void unlock_input(unlock_t *unlock, const char *bytes, apr_size_t length)
{
    if (unlock->over || unlock->method->on_input == NULL) {
        return;
    }
    unlock->method->on_input(unlock, bytes, length);
    if (unlock->row->on_input != NULL && !unlock->pausing) {
        unlock_listen(unlock);
    }
}

void unlock_image_read(unlock_t *unlock)
{
    unlock->image_read = 1;
}

/* An image that has proved itself was read, and needs its drive no more. */
void unlock_disconnected(unlock_t *unlock, unlock_session_e session, const amt_result_t *result)
{
    if (unlock->over || (session == UNLOCK_DRIVE && unlock->image_greeted)) {
        return;
    }
    unlock->disconnected = 1;
    unlock->cut_at = unlock->ops->now();
    unlock->cut_by = result->status;
    unlock->disconnect_reason = unlock_reason_of_amt(result->status, unlock->authenticated);
    apr_cpystrn(unlock->disconnect_text, result->text, sizeof(unlock->disconnect_text));
    if (unlock->row->on_input != NULL && !unlock->pausing) {
        unlock_listen(unlock);
    }
}

/* ---- from the worker ----------------------------------------------------------------------------------- */

/* An address that the inventory gives is used as it is; only names are resolved. */
static int unlock_is_resolved(unlock_t *unlock)
{
    const inventory_system_t *system = unlock->system;

    if (system->address == NULL || system->probe_host != NULL) {
        return 0;
    }
    unlock->addresses.count = 1;
    apr_cpystrn(unlock->addresses.text[0], system->address, sizeof(unlock->addresses.text[0]));
    unlock_use_address(unlock, 0);
    return 1;
}

void unlock_begin(unlock_t *unlock)
{
    const jobs_task_t *task = unlock->task;

    log_info("AMTU0608", task->taken_over ? "takes over from a predecessor" : "begins", "system",
             task->ref.system, "job", task->ref.job, "fence", task->ref.fence, "marks",
             task->taken_over ? jobs_marks_words(task->marks, unlock->pool) : NULL);
    FAILPOINT(task->taken_over ? "verify.begun" : "unlock.begun");
    if (task->taken_over) {
        takeover_begin(unlock);
    }
    unlock_enter(unlock, unlock_is_resolved(unlock) ? UNLOCK_LOGIN : UNLOCK_RESOLVE);
    unlock_send(unlock);
}

void unlock_lost(unlock_t *unlock)
{
    unlock_lose(unlock, "another has it now, or its caller cancelled it");
}

void unlock_drain(unlock_t *unlock, unlock_drain_e level)
{
    unlock->draining = level;
    if (!unlock->over && !unlock->storing && !unlock_is_bound(unlock) && !unlock_is_acting(unlock) &&
        unlock_hands_back(unlock)) {
        unlock_hand_back(unlock);
    }
}
