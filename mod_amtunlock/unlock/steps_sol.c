/* SPDX-License-Identifier: Apache-2.0 */
/* See steps.h. The passphrase, typed at the prompt that the PC shows on its console before its system starts:
 * once, whatever comes of it.
 *
 * What the console shows after the passphrase was typed is matched and never repeated to anybody: a PC that
 * echoes would put the passphrase into a log.
 */
#include <apr_strings.h>

#include "unlock/methods.h"
#include "unlock/steps.h"

#define LOOK_WAIT SECONDS(15)
/* Programs that ask switch the echo off and throw away what was typed before. */
#define BEFORE_TYPING apr_time_from_msec(300)
/* A slow PC takes some ten seconds to turn a passphrase into a key, for each of its key slots. */
#define VERDICT_WAIT SECONDS(60)

void steps_sol_hear(unlock_t *unlock, const char *bytes, apr_size_t length)
{
    if (unlock->console) {
        amt_console_feed(unlock->console, bytes, length);
    }
}

unlock_step_e steps_sol_opened(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_SET_BOOT;
}

static int shows(const unlock_t *unlock, const amt_patterns_t *patterns)
{
    return amt_console_matches(unlock->console, patterns);
}

/* A sentence with the last line before the passphrase. */
static const char *with_last_line(unlock_t *unlock, const char *text)
{
    const char *last = unlock->console ? amt_console_last(unlock->console) : "";

    return last[0] ? apr_psprintf(unlock->pool, "%s; the last line on its console: %s", text, last)
                   : apr_psprintf(unlock->pool, "%s; its console stayed empty", text);
}

/* What was looked at once is not looked at again with each byte that comes. */
static unlock_step_e listen_on(unlock_t *unlock, unlock_step_e step)
{
    amt_console_seen(unlock->console);
    return step;
}

static unlock_step_e cut(unlock_t *unlock)
{
    return unlock_fail(unlock, unlock->cut_reason, unlock->cut_text);
}

/* ---- a PC that runs: does it stand at its prompt? ------------------------------------------------------ */

static void send_look_console(unlock_t *unlock)
{
    unlock->console = amt_console_create(unlock->pool);
    unlock->ops->call(unlock, UNLOCK_CALL_OPEN_CONSOLE);
}

static unlock_step_e accept_look_console(unlock_t *unlock)
{
    unlock->session_open = 1;
    return unlock->prompts->redraw[0] ? UNLOCK_REDRAW : UNLOCK_LOOK_PROMPT;
}

static void send_redraw(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_REDRAW);
}

static unlock_step_e accept_redraw(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_LOOK_PROMPT;
}

static unlock_step_e hear_look_prompt(unlock_t *unlock)
{
    if (!shows(unlock, unlock->prompts->prompt)) {
        return listen_on(unlock, UNLOCK_LOOK_PROMPT);
    }
    unlock->plan.types = 1;
    unlock->after_intent = UNLOCK_PASSPHRASE;
    return unlock_intend(unlock);
}

static unlock_step_e expire_look_prompt(unlock_t *unlock)
{
    return unlock_reset_or_leave(unlock, with_last_line(unlock, "it is running, and shows no prompt"));
}

/* ---- a PC that starts ---------------------------------------------------------------------------------- */

/* It may come up without a question: its user was faster, or its disk has another key. */
static unlock_step_e hear_prompt(unlock_t *unlock)
{
    if (shows(unlock, unlock->prompts->prompt)) {
        return UNLOCK_PASSPHRASE;
    }
    if (shows(unlock, unlock->prompts->success)) {
        return unlock_evident(unlock);
    }
    return listen_on(unlock, UNLOCK_PROMPT);
}

static unlock_step_e expire_prompt(unlock_t *unlock)
{
    return unlock_fail(unlock, unlock_without_evidence(unlock, JOBS_REASON_NO_PROMPT),
                       with_last_line(unlock, "the prompt did not appear"));
}

static void send_passphrase(unlock_t *unlock)
{
    unlock->ops->passphrase(unlock);
}

static unlock_step_e accept_passphrase(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_TYPE;
}

static void send_type(unlock_t *unlock)
{
    amt_console_mark(unlock->console);
    unlock->ops->call(unlock, UNLOCK_CALL_TYPE);
}

static unlock_step_e accept_type(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_VERDICT;
}

/* A prompt that comes again is an answer, too. */
static unlock_step_e hear_verdict(unlock_t *unlock)
{
    const prompts_t *prompts = unlock->prompts;

    if (shows(unlock, prompts->success)) {
        return unlock_evident(unlock);
    }
    if (shows(unlock, prompts->failure)) {
        return unlock_fail(unlock, JOBS_REASON_WRONG_PASSPHRASE, "the PC says that it did not fit");
    }
    if (shows(unlock, prompts->prompt)) {
        return unlock_fail(unlock, JOBS_REASON_WRONG_PASSPHRASE, "the PC asks again");
    }
    return listen_on(unlock, UNLOCK_VERDICT);
}

/* What the console does not say, the probe may. */
static unlock_step_e lack_verdict(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return unlock->system->probe_port ? unlock_evident(unlock) : unlock_fail(unlock, reason, text);
}

static unlock_step_e cut_verdict(unlock_t *unlock)
{
    return lack_verdict(unlock, unlock->cut_reason, unlock->cut_text);
}

static unlock_step_e expire_verdict(unlock_t *unlock)
{
    return lack_verdict(unlock, JOBS_REASON_TIMEOUT,
                        "the passphrase was typed, and the console said neither yes nor no");
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_LOOK_CONSOLE]

static const step_t rows[] = {
    ROW(UNLOCK_LOOK_CONSOLE) = {.name = "console-look",
                                .send = send_look_console,
                                .accept = accept_look_console,
                                .limit = SECONDS(30)},
    ROW(UNLOCK_REDRAW) = {.name = "redraw",
                          .send = send_redraw,
                          .accept = accept_redraw,
                          .limit = SECONDS(10)},
    ROW(UNLOCK_LOOK_PROMPT) = {.name = "prompt-look",
                               .hear = hear_look_prompt,
                               .cut = cut,
                               .expire = expire_look_prompt,
                               .limit = LOOK_WAIT},
    ROW(UNLOCK_PROMPT) =
        {.name = "prompt", .hear = hear_prompt, .cut = cut, .expire = expire_prompt, .end = ENDS_WITH_BOOT},
    ROW(UNLOCK_PASSPHRASE) = {.name = "passphrase",
                              .send = send_passphrase,
                              .accept = accept_passphrase,
                              .limit = SECONDS(60)},
    ROW(UNLOCK_TYPE) = {.name = "type",
                        .send = send_type,
                        .accept = accept_type,
                        .limit = SECONDS(10),
                        .pause = BEFORE_TYPING,
                        .writes = 1},
    ROW(UNLOCK_VERDICT) = {.name = "verdict",
                           .hear = hear_verdict,
                           .cut = cut_verdict,
                           .expire = expire_verdict,
                           .limit = VERDICT_WAIT},
};

const steps_t steps_sol = {UNLOCK_LOOK_CONSOLE, sizeof(rows) / sizeof(rows[0]), rows};
