/* SPDX-License-Identifier: Apache-2.0 */
/* See steps_priv.h. The passphrase, typed at the question that the PC shows on its console before its system starts:
 * once for each volume that asks, whatever comes of it. What the console says is judged in dialogue.c.
 */
#include <string.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "unlock/addresses_priv.h"
#include "unlock/exits_priv.h"
#include "unlock/intent.h"
#include "unlock/plan_priv.h"
#include "unlock/steps_priv.h"
#include "unlock/takeover_priv.h"

#define LOOK_WAIT SECONDS(15)
/* Programs that ask switch the echo off and throw away what was typed before. */
#define BEFORE_TYPING apr_time_from_msec(300)
/* A slow PC takes some ten seconds to turn a passphrase into a key, for each of its key slots. */
#define VERDICT_WAIT SECONDS(60)
/* Of what is shown while a console is cut off nothing is known: a question is only believed to stand behind a gap that is
 * too short for another to answer it. */
#define SHORT_GAP SECONDS(3)
/* A PC that a lost worker started may have shown its question before. One that shows nothing for so long is asked to show
 * it once more: by its group's `redraw`, or by an empty line, which costs one of the tries that its program allows and
 * must not meet a firmware that takes keys. */
#define QUIET_REDRAW SECONDS(5)
#define QUIET_LINE SECONDS(20)
#ifdef AMTUNLOCK_TEST
#define QUIET(usual) clock_test_interval("AMTUNLOCK_TEST_QUIET_MS", usual)
#else
#define QUIET(usual) (usual)
#endif

static void listen_to_console(unlock_t *unlock)
{
    if (unlock->dialogue == NULL) {
        unlock->dialogue = dialogue_create(unlock->prompts, unlock->pool);
    }
}

unlock_step_e steps_sol_on_console(unlock_t *unlock)
{
    listen_to_console(unlock);
    return UNLOCK_SET_BOOT;
}

void steps_sol_input(unlock_t *unlock, const char *bytes, apr_size_t length)
{
    unlock->heard_at = unlock->ops->now();
    if (unlock->dialogue != NULL) {
        dialogue_feed(unlock->dialogue, bytes, length, unlock->ops->now());
    }
}

static dialogue_e look_at_console(unlock_t *unlock)
{
    return dialogue_look(unlock->dialogue, unlock->ops->now());
}

static unlock_step_e listen_on(unlock_t *unlock)
{
    unlock->look_at = dialogue_look_at(unlock->dialogue);
    return unlock->step;
}

/* A sentence with what can be said of the last line. */
static const char *with_last_line(unlock_t *unlock, const char *text)
{
    const char *last = unlock->dialogue != NULL ? dialogue_last_line(unlock->dialogue, unlock->pool) : "";

    return last[0] != '\0' ? apr_psprintf(unlock->pool, "%s; the last line on its console: %s", text, last)
                           : apr_psprintf(unlock->pool, "%s; its console stayed empty", text);
}

/* ---- a PC that runs: does it stand at its prompt? ------------------------------------------------------ */

static unlock_step_e look_console_on_ok(unlock_t *unlock)
{
    unlock->session_open = 1;
    listen_to_console(unlock);
    return unlock->prompts->redraw[0] != '\0' ? UNLOCK_REDRAW : UNLOCK_LOOK_PROMPT;
}

static unlock_step_e redraw_on_ok(unlock_t *unlock)
{
    unlock->line_marked = 0;
    if (dialogue_answers(unlock->dialogue) > 0) {
        return UNLOCK_VERDICT;
    }
    return unlock->plan.power != 0 ? UNLOCK_PROMPT : UNLOCK_LOOK_PROMPT;
}

static unlock_step_e look_prompt_on_input(unlock_t *unlock)
{
    if (look_at_console(unlock) != DIALOGUE_ASKS) {
        return listen_on(unlock);
    }
    unlock->plan.types = 1;
    unlock->after_intent = UNLOCK_PASSPHRASE;
    return unlock_intend(unlock);
}

static unlock_step_e look_prompt_on_timeout(unlock_t *unlock)
{
    return unlock_reset_or_leave(unlock, with_last_line(unlock, "it is running, and shows no prompt"));
}

/* ---- a PC that starts ---------------------------------------------------------------------------------- */

/* It may come up without a question: its user was faster, or its disk has another key. */
static unlock_step_e prompt_on_input(unlock_t *unlock)
{
    switch (look_at_console(unlock)) {
    case DIALOGUE_ASKS:
        return UNLOCK_PASSPHRASE;
    case DIALOGUE_OPEN:
        return unlock_evident(unlock);
    default:
        return listen_on(unlock);
    }
}

static unlock_step_e prompt_on_timeout(unlock_t *unlock)
{
    if (dialogue_hints_at_open(unlock->dialogue)) {
        return unlock_evident(unlock);
    }
    return unlock_fail(
        unlock, unlock_without_evidence(unlock, JOBS_REASON_NO_PROMPT),
        with_last_line(unlock, unlock->no_line_left
                                   ? "the prompt did not appear, and it was not asked for: workers that were "
                                     "lost sent two empty lines, and the last try is for a passphrase"
                                   : "the prompt did not appear"));
}

/* ---- a console that is cut off ------------------------------------------------------------------------- */

/* A PC that was started would be left at its question. One that was not started shows no evidence of its own, and a device
 * that sends nonsense is not trusted with a passphrase. */
static int may_reopen(const unlock_t *unlock)
{
    int ours = unlock->plan.power != 0 || dialogue_answers(unlock->dialogue) > 0;

    return ours && unlock->cut_by != AMT_GARBAGE && unlock->reopens < STEPS_REOPENS &&
           unlock->ops->now() < unlock->boot_until;
}

static void reopen_send(unlock_t *unlock)
{
    unlock->reopens++;
    unlock->disconnected = 0;
    listen_to_console(unlock);
}

/* What a lost worker saw there is gone, and whether it typed is known by its mark. */
static unlock_step_e await_lost_console(unlock_t *unlock)
{
    unlock->session_open = 1;
    unlock->heard_at = unlock->ops->now();
    dialogue_starts(unlock->dialogue, 1);
    if (unlock->task->marks & JOBS_MARK_TYPED) {
        dialogue_answered_before(unlock->dialogue);
    }
    return UNLOCK_AWAIT;
}

static unlock_step_e reopen_on_ok(unlock_t *unlock)
{
    int silent = unlock->cut_by == AMT_TIMEOUT; /* since nobody knows when */
    apr_time_t now = unlock->ops->now();

    if (!unlock->session_open) {
        return await_lost_console(unlock);
    }
    dialogue_resumed(unlock->dialogue, silent || now > unlock->cut_at + SHORT_GAP, now);
    unlock->heard_at = now;
    if (takeover_was_powered(unlock) && !unlock->asked_to_show) {
        return UNLOCK_AWAIT;
    }
    if (dialogue_answers(unlock->dialogue) > 0) {
        return UNLOCK_VERDICT;
    }
    return unlock->prompts->redraw[0] != '\0' ? UNLOCK_REDRAW : UNLOCK_PROMPT;
}

static unlock_step_e prompt_on_disconnect(unlock_t *unlock)
{
    return may_reopen(unlock) ? UNLOCK_REOPEN : unlock_fail_disconnected(unlock);
}

/* ---- typing -------------------------------------------------------------------------------------------- */

/* Whoever knows how to show a question gets what is typed: a second volume's passphrase must be meant for it. */
static void passphrase_send(unlock_t *unlock)
{
    unlock->volume = apr_pstrdup(unlock->pool, dialogue_volume(unlock->dialogue));
    unlock->own_passphrase =
        dialogue_answers(unlock->dialogue) > 0 && !unlock->system->group->same_passphrase;
    unlock->ops->passphrase(unlock);
}

/* A PC that was not started by this unlock shows no evidence of its own. */
static unlock_step_e prompt_is_gone(unlock_t *unlock)
{
    if (dialogue_answers(unlock->dialogue) > 0) {
        return UNLOCK_VERDICT;
    }
    if (unlock->plan.power != 0) {
        return UNLOCK_PROMPT;
    }
    unlock->seen_on = 1;
    return unlock->system->probe_port != 0
               ? unlock_evident(unlock)
               : unlock_fail(unlock, JOBS_REASON_NO_PROMPT,
                             "its prompt was gone before the passphrase was typed, so nothing was");
}

/* To fetch the passphrase takes its time, and another key may have opened the volume meanwhile: what then asks is
 * another program. */
static unlock_step_e look_again_on_input(unlock_t *unlock)
{
    if (unlock->disconnected) {
        return prompt_on_disconnect(unlock);
    }
    if (!dialogue_still_asks(unlock->dialogue)) {
        return prompt_is_gone(unlock);
    }
    return unlock->marks & JOBS_MARK_TYPED ? UNLOCK_TYPE : UNLOCK_MARK_TYPED;
}

static void type_send(unlock_t *unlock)
{
    dialogue_answered(unlock->dialogue);
}

/* ---- what became of it --------------------------------------------------------------------------------- */

static unlock_step_e verdict_on_input(unlock_t *unlock)
{
    switch (look_at_console(unlock)) {
    case DIALOGUE_ASKS:
        return UNLOCK_PASSPHRASE;
    case DIALOGUE_ASKS_AGAIN:
        return unlock_fail(unlock, JOBS_REASON_WRONG_PASSPHRASE, "the PC asks again");
    case DIALOGUE_ASKS_UNSURE:
        return unlock_fail(
            unlock, JOBS_REASON_NOT_VERIFIED,
            "its console was cut off after the passphrase was typed, and now the PC asks again: whether the "
            "passphrase arrived is not known, and it was not typed a second time");
    case DIALOGUE_REFUSED:
        return unlock_fail(unlock, JOBS_REASON_WRONG_PASSPHRASE, "the PC says that it did not fit");
    case DIALOGUE_STARTED_AGAIN:
        return unlock_fail(
            unlock, JOBS_REASON_NOT_VERIFIED,
            "the PC started again after the passphrase was typed, and asks anew: it was not typed a "
            "second time, and whether it fitted is not known");
    case DIALOGUE_OPEN:
        return unlock_evident(unlock);
    default:
        return listen_on(unlock);
    }
}

/* What the console does not say, the probe may. */
static unlock_step_e verdict_is_missing(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return unlock->system->probe_port != 0 || dialogue_hints_at_open(unlock->dialogue)
               ? unlock_evident(unlock)
               : unlock_fail(unlock, reason, text);
}

static unlock_step_e verdict_on_disconnect(unlock_t *unlock)
{
    return may_reopen(unlock)
               ? UNLOCK_REOPEN
               : verdict_is_missing(unlock, unlock->disconnect_reason, unlock->disconnect_text);
}

/* A device that refuses our login is not asked again. */
static unlock_step_e reopen_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    int final = reason == JOBS_REASON_AUTH_FAILED || reason == JOBS_REASON_TLS_UNTRUSTED;

    if (takeover_waits(unlock, reason) || (may_reopen(unlock) && !final)) {
        return UNLOCK_REOPEN;
    }
    if (!unlock->session_open) {
        return takeover_gives_up(unlock, reason, text);
    }
    text = apr_psprintf(unlock->pool, "%s; it could not be opened again: %s", unlock->disconnect_text, text);
    return dialogue_answers(unlock->dialogue) > 0
               ? verdict_is_missing(unlock, unlock->disconnect_reason, text)
               : unlock_fail(unlock, unlock->disconnect_reason, text);
}

static unlock_step_e reopen_on_timeout(unlock_t *unlock)
{
    unlock->reopens = STEPS_REOPENS;
    return reopen_on_error(unlock, JOBS_REASON_TIMEOUT, "the device did not answer in time");
}

static unlock_step_e verdict_on_timeout(unlock_t *unlock)
{
    if (dialogue_shell(unlock->dialogue)) {
        return verdict_is_missing(
            unlock, JOBS_REASON_NOT_VERIFIED,
            "a shell stands on its console since the passphrase was typed: what is shown "
            "there is no evidence");
    }
    return verdict_is_missing(unlock, JOBS_REASON_TIMEOUT,
                              dialogue_started_again(unlock->dialogue)
                                  ? "the PC went down or started again after the passphrase was typed"
                                  : "the passphrase was typed, and the console said neither yes nor no");
}

/* ---- a console that was a lost worker's ---------------------------------------------------------------- */

/* Boot options last for one start. Where they still stand, the reset may never have left the lost worker, and its group
 * says whether what ran before may be typed into. */
static int may_run_on(const unlock_t *unlock)
{
    int stand = strcmp(unlock->facts.boot.summary, intent_boot_name(unlock->plan.boot)) == 0;

    return unlock_is_reset(unlock) && stand && !unlock->system->group->type_running;
}

/* A program allows three tries as a rule. Two empty lines are sent in the life of a task, whoever has it: the third is for
 * the passphrase. */
static unlock_step_e ask_by_line(unlock_t *unlock)
{
    if (unlock->line_marked) {
        return UNLOCK_REDRAW;
    }
    if (unlock->task->marks & JOBS_MARK_AGAIN) {
        unlock->no_line_left = 1;
        return UNLOCK_AWAIT;
    }
    return unlock->task->marks & JOBS_MARK_LINE ? UNLOCK_MARK_AGAIN : UNLOCK_MARK_LINE;
}

static unlock_step_e ask_to_show_now(unlock_t *unlock)
{
    unlock->asked_to_show = 1;
    return unlock->prompts->redraw[0] != '\0' ? UNLOCK_REDRAW : ask_by_line(unlock);
}

/* The mark takes its time. */
static unlock_step_e mark_line_on_ok(unlock_t *unlock)
{
    int is_quiet = !unlock->disconnected && unlock->heard_at <= unlock->sent;

    unlock->line_marked = 1;
    unlock->asked_to_show = is_quiet != 0;
    return is_quiet ? UNLOCK_REDRAW : UNLOCK_AWAIT;
}

static void probe_await_send(unlock_t *unlock)
{
    unlock->ops->probe(unlock, STEPS_PROBE_WAIT);
}

/* Somebody else may have opened its disk: nothing is typed into a system that runs. */
static unlock_step_e probe_await_on_ok(unlock_t *unlock)
{
    if (unlock->probe_open) {
        return unlock_unlocked(unlock);
    }
    return unlock->disconnected || unlock->heard_at > unlock->sent ? UNLOCK_AWAIT : ask_to_show_now(unlock);
}

/* Asked once, when it has been quiet for long enough. */
static unlock_step_e ask_to_show(unlock_t *unlock)
{
    apr_time_t at = unlock->heard_at + QUIET(unlock->prompts->redraw[0] != '\0' ? QUIET_REDRAW : QUIET_LINE);

    if (unlock->asked_to_show || unlock->disconnected || may_run_on(unlock)) {
        return unlock->step;
    }
    if (unlock->ops->now() >= at) {
        return unlock_may_probe(unlock) ? UNLOCK_PROBE_AWAIT : ask_to_show_now(unlock);
    }
    unlock->look_at = unlock->look_at != 0 && unlock->look_at < at ? unlock->look_at : at;
    return unlock->step;
}

static unlock_step_e await_on_input(unlock_t *unlock)
{
    unlock_step_e next =
        dialogue_answers(unlock->dialogue) > 0 ? verdict_on_input(unlock) : prompt_on_input(unlock);

    return next == unlock->step ? ask_to_show(unlock) : next;
}

static unlock_step_e await_on_disconnect(unlock_t *unlock)
{
    return dialogue_answers(unlock->dialogue) > 0 ? verdict_on_disconnect(unlock)
                                                  : prompt_on_disconnect(unlock);
}

static unlock_step_e await_on_timeout(unlock_t *unlock)
{
    return dialogue_answers(unlock->dialogue) > 0 ? verdict_on_timeout(unlock) : prompt_on_timeout(unlock);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_LOOK_CONSOLE]

static const step_t rows[] = {
    ROW(UNLOCK_LOOK_CONSOLE) = {.name = "console-look",
                                .call = UNLOCK_CALL_OPEN_CONSOLE,
                                .on_ok = look_console_on_ok,
                                .targets = {UNLOCK_REDRAW, UNLOCK_LOOK_PROMPT},
                                .on_error = takeover_opens_again,
                                .limit = STEPS_BUSY_WAIT + SECONDS(10),
                                .every = SECONDS(5)},
    ROW(UNLOCK_REDRAW) = {.name = "redraw",
                          .call = UNLOCK_CALL_REDRAW,
                          .on_ok = redraw_on_ok,
                          .targets = {UNLOCK_LOOK_PROMPT, UNLOCK_PROMPT, UNLOCK_VERDICT},
                          .limit = SECONDS(10)},
    ROW(UNLOCK_LOOK_PROMPT) = {.name = "prompt-look",
                               .on_input = look_prompt_on_input,
                               .on_timeout = look_prompt_on_timeout,
                               .targets = {UNLOCK_INTEND, UNLOCK_READ_SAVING},
                               .limit = LOOK_WAIT},
    ROW(UNLOCK_PROMPT) = {.name = "prompt",
                          .on_input = prompt_on_input,
                          .on_disconnect = prompt_on_disconnect,
                          .on_timeout = prompt_on_timeout,
                          .targets = {UNLOCK_PASSPHRASE, UNLOCK_REOPEN, UNLOCK_CLOSE},
                          .end = ENDS_WITH_BOOT},
    ROW(UNLOCK_PASSPHRASE) = {.name = "passphrase",
                              .send = passphrase_send,
                              .then = UNLOCK_LOOK_AGAIN,
                              .on_timeout = unlock_fail_without_secret,
                              .limit = SECONDS(60)},
    ROW(UNLOCK_LOOK_AGAIN) = {.name = "prompt-again",
                              .on_input = look_again_on_input,
                              .targets = {UNLOCK_MARK_TYPED, UNLOCK_TYPE, UNLOCK_PROMPT, UNLOCK_VERDICT,
                                          UNLOCK_REOPEN, UNLOCK_CLOSE},
                              .limit = SECONDS(10),
                              .pause = BEFORE_TYPING},
    /* The mark takes its time, too. */
    ROW(UNLOCK_MARK_TYPED) = {.name = "type-mark",
                              .stores = 1,
                              .change = JOBS_MARK,
                              .mark = JOBS_MARK_TYPED,
                              .on_ok = look_again_on_input,
                              .on_error = unlock_unrecorded,
                              .targets = {UNLOCK_TYPE, UNLOCK_PROMPT, UNLOCK_REOPEN, UNLOCK_CLOSE}},
    ROW(UNLOCK_TYPE) = {.name = "type",
                        .send = type_send,
                        .call = UNLOCK_CALL_TYPE,
                        .on_ok = steps_typed,
                        .then = UNLOCK_VERDICT,
                        .limit = SECONDS(10),
                        .writes = 1,
                        .needs = JOBS_MARK_TYPED},
    ROW(UNLOCK_VERDICT) = {.name = "verdict",
                           .on_input = verdict_on_input,
                           .on_disconnect = verdict_on_disconnect,
                           .on_timeout = verdict_on_timeout,
                           .targets = {UNLOCK_PASSPHRASE, UNLOCK_REOPEN, UNLOCK_CLOSE},
                           .limit = VERDICT_WAIT},
    ROW(UNLOCK_REOPEN) = {.name = "console-again",
                          .send = reopen_send,
                          .call = UNLOCK_CALL_OPEN_CONSOLE,
                          .on_ok = reopen_on_ok,
                          .on_error = reopen_on_error,
                          .on_timeout = reopen_on_timeout,
                          .targets = {UNLOCK_PROMPT, UNLOCK_VERDICT, UNLOCK_REDRAW, UNLOCK_AWAIT,
                                      UNLOCK_CLOSE},
                          .limit = STEPS_BUSY_WAIT + SECONDS(10),
                          .every = SECONDS(5),
                          .pause = BEFORE_TYPING},
    ROW(UNLOCK_AWAIT) = {.name = "prompt-await",
                         .on_input = await_on_input,
                         .on_disconnect = await_on_disconnect,
                         .on_timeout = await_on_timeout,
                         .targets = {UNLOCK_PASSPHRASE, UNLOCK_PROBE_AWAIT, UNLOCK_REDRAW, UNLOCK_MARK_LINE,
                                     UNLOCK_MARK_AGAIN, UNLOCK_REOPEN, UNLOCK_CLOSE},
                         .end = ENDS_WITH_BOOT},
    ROW(UNLOCK_PROBE_AWAIT) = {.name = "probe-await",
                               .send = probe_await_send,
                               .on_ok = probe_await_on_ok,
                               .on_timeout = ask_to_show_now,
                               .targets = {UNLOCK_AWAIT, UNLOCK_REDRAW, UNLOCK_MARK_LINE, UNLOCK_MARK_AGAIN,
                                           UNLOCK_CLOSE},
                               .limit = SECONDS(6)},
    ROW(UNLOCK_MARK_LINE) = {.name = "line-mark",
                             .stores = 1,
                             .change = JOBS_MARK,
                             .mark = JOBS_MARK_LINE,
                             .on_ok = mark_line_on_ok,
                             .on_error = unlock_unrecorded,
                             .targets = {UNLOCK_REDRAW, UNLOCK_AWAIT}},
    ROW(UNLOCK_MARK_AGAIN) = {.name = "line-mark-again",
                              .stores = 1,
                              .change = JOBS_MARK,
                              .mark = JOBS_MARK_AGAIN,
                              .on_ok = mark_line_on_ok,
                              .on_error = unlock_unrecorded,
                              .targets = {UNLOCK_REDRAW, UNLOCK_AWAIT}},
};

const steps_t steps_sol = {"sol", UNLOCK_LOOK_CONSOLE, sizeof(rows) / sizeof(rows[0]), rows};
