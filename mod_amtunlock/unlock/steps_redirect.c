/* SPDX-License-Identifier: Apache-2.0 */
/* See steps_priv.h. What every method with redirection sessions reads before its intent, sets after it, and
 * takes back in the end. A task that is verified only is taken back by the same steps: each reads first,
 * and writes only where the PC is as the intent says it was going to be.
 */
#include <string.h>

#include <apr_strings.h>

#include "unlock/exits_priv.h"
#include "unlock/intent.h"
#include "unlock/plan_priv.h"
#include "unlock/steps_priv.h"
#include "unlock/takeover_priv.h"

/* ---- setting ------------------------------------------------------------------------------------------- */

static void redirect_send(unlock_t *unlock)
{
    unlock->redirection_wanted = unlock->plan.redirection;
}

static unlock_step_e open_console_on_ok(unlock_t *unlock)
{
    unlock->session_open = 1;
    return unlock->method->on_console(unlock);
}

/* A PC whose session is gone by now is not even powered on. */
static unlock_step_e set_boot_on_ok(unlock_t *unlock)
{
    return unlock->disconnected ? unlock_fail_disconnected(unlock) : unlock_power(unlock);
}

static unlock_step_e set_boot_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    int no_drive = unlock->call_status == AMT_REFUSED && (unlock->method->boot & AMT_START_IMAGE);

    return unlock_fail(unlock, no_drive ? JOBS_REASON_NO_BOOT_DEVICE : reason, text);
}

/* ---- taking back: sessions ----------------------------------------------------------------------------- */

static unlock_step_e close_on_ok(unlock_t *unlock)
{
    unlock->session_open = 0;
    return unlock_undo_after(unlock, UNLOCK_CLOSE);
}

static unlock_step_e close_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    (void)text;
    return close_on_ok(unlock);
}

/* ---- taking back: boot options ------------------------------------------------------------------------- */

/* A PC that starts may leave AMT without an answer for a while; one that refuses is not asked again. */
static int is_worth_asking_again(jobs_reason_e reason)
{
    return reason == JOBS_REASON_TIMEOUT || reason == JOBS_REASON_UNREACHABLE;
}

static unlock_step_e give_up_boot(unlock_t *unlock, const char *text)
{
    unlock_warn_left(unlock, "boot options", text);
    return unlock_undo_after(unlock, UNLOCK_CHECK_BOOT);
}

/* Options last for one start, so a PC that started has none. Another console's are not ours to clear. */
static unlock_step_e check_boot_on_ok(unlock_t *unlock)
{
    int ours = strcmp(unlock->facts.boot.summary, intent_boot_name(unlock->plan.boot)) == 0;

    return ours ? UNLOCK_UNDO_BOOT : unlock_undo_after(unlock, UNLOCK_CHECK_BOOT);
}

static unlock_step_e check_boot_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return is_worth_asking_again(reason) ? UNLOCK_CHECK_BOOT : give_up_boot(unlock, text);
}

static unlock_step_e check_boot_on_timeout(unlock_t *unlock)
{
    return give_up_boot(unlock, "AMT does not answer");
}

static unlock_step_e undo_boot_on_ok(unlock_t *unlock)
{
    return unlock_undo_after(unlock, UNLOCK_CHECK_BOOT);
}

static unlock_step_e undo_boot_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    return give_up_boot(unlock, text);
}

/* ---- taking back: the redirection service -------------------------------------------------------------- */

static unlock_step_e give_up_redirection(unlock_t *unlock, const char *text)
{
    unlock_warn_left(unlock, "redirection service", text);
    return unlock_undo_after(unlock, UNLOCK_CHECK_REDIRECTION);
}

static unlock_step_e check_redirection_on_ok(unlock_t *unlock)
{
    int ours = unlock_has_set_redirection(&unlock->plan, &unlock->facts.redirection);

    return ours ? UNLOCK_UNDO_REDIRECTION : unlock_undo_after(unlock, UNLOCK_CHECK_REDIRECTION);
}

static unlock_step_e check_redirection_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return is_worth_asking_again(reason) ? UNLOCK_CHECK_REDIRECTION : give_up_redirection(unlock, text);
}

static unlock_step_e check_redirection_on_timeout(unlock_t *unlock)
{
    return give_up_redirection(unlock, "AMT does not answer");
}

static void undo_redirection_send(unlock_t *unlock)
{
    unlock->redirection_wanted = unlock->plan.redirection_before;
}

static unlock_step_e undo_redirection_on_ok(unlock_t *unlock)
{
    return unlock_undo_after(unlock, UNLOCK_CHECK_REDIRECTION);
}

static unlock_step_e undo_redirection_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    return give_up_redirection(unlock, text);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_READ_CONSENT]

static const step_t rows[] = {
    ROW(UNLOCK_READ_CONSENT) = {.name = "consent",
                                .call = UNLOCK_CALL_CONSENT,
                                .then = UNLOCK_READ_REDIRECTION,
                                .on_error = unlock_fail_or_verify,
                                .targets = {UNLOCK_PROBE},
                                .limit = SECONDS(25),
                                .retry = 1},
    ROW(UNLOCK_READ_REDIRECTION) = {.name = "redirection",
                                    .call = UNLOCK_CALL_REDIRECTION,
                                    .then = UNLOCK_READ_CAPABILITIES,
                                    .on_error = unlock_fail_or_verify,
                                    .targets = {UNLOCK_PROBE},
                                    .limit = SECONDS(25),
                                    .retry = 1},
    ROW(UNLOCK_READ_CAPABILITIES) = {.name = "capabilities",
                                     .call = UNLOCK_CALL_CAPABILITIES,
                                     .then = UNLOCK_READ_BOOT,
                                     .on_error = unlock_fail_or_verify,
                                     .targets = {UNLOCK_PROBE},
                                     .limit = SECONDS(25),
                                     .retry = 1},
    ROW(UNLOCK_REDIRECT) = {.name = "redirect",
                            .send = redirect_send,
                            .call = UNLOCK_CALL_SET_REDIRECTION,
                            .then = UNLOCK_OPEN_CONSOLE,
                            .limit = SECONDS(40),
                            .writes = 1},
    ROW(UNLOCK_OPEN_CONSOLE) = {.name = "console-open",
                                .call = UNLOCK_CALL_OPEN_CONSOLE,
                                .on_ok = open_console_on_ok,
                                .targets = {UNLOCK_SET_BOOT, UNLOCK_OPEN_DRIVE},
                                .on_error = takeover_opens_again,
                                .limit = STEPS_BUSY_WAIT + SECONDS(10),
                                .every = SECONDS(5)},
    ROW(UNLOCK_SET_BOOT) = {.name = "set-boot",
                            .call = UNLOCK_CALL_SET_BOOT,
                            .on_ok = set_boot_on_ok,
                            .on_error = set_boot_on_error,
                            .targets = {UNLOCK_POWER_RATE, UNLOCK_MARK_POWER},
                            .limit = SECONDS(60),
                            .writes = 1},
    ROW(UNLOCK_CLOSE) = {.name = "close",
                         .call = UNLOCK_CALL_CLOSE,
                         .on_ok = close_on_ok,
                         .on_error = close_on_error,
                         .on_timeout = close_on_ok,
                         .targets = {UNLOCK_CHECK_BOOT, UNLOCK_PROBE, UNLOCK_FINISH},
                         .limit = SECONDS(5)},
    ROW(UNLOCK_CHECK_BOOT) = {.name = "check-boot",
                              .call = UNLOCK_CALL_BOOT,
                              .on_ok = check_boot_on_ok,
                              .on_error = check_boot_on_error,
                              .on_timeout = check_boot_on_timeout,
                              .targets = {UNLOCK_UNDO_BOOT, UNLOCK_CHECK_REDIRECTION, UNLOCK_READ_POWER,
                                          UNLOCK_PROBE, UNLOCK_FINISH},
                              .limit = SECONDS(30),
                              .every = SECONDS(2)},
    ROW(UNLOCK_UNDO_BOOT) = {.name = "undo-boot",
                             .call = UNLOCK_CALL_CLEAR_BOOT,
                             .on_ok = undo_boot_on_ok,
                             .on_error = undo_boot_on_error,
                             .on_timeout = check_boot_on_timeout,
                             .targets = {UNLOCK_CHECK_REDIRECTION, UNLOCK_READ_POWER, UNLOCK_PROBE,
                                         UNLOCK_FINISH},
                             .limit = SECONDS(40),
                             .undoes = 1},
    ROW(UNLOCK_CHECK_REDIRECTION) = {.name = "check-redirection",
                                     .call = UNLOCK_CALL_REDIRECTION,
                                     .on_ok = check_redirection_on_ok,
                                     .on_error = check_redirection_on_error,
                                     .on_timeout = check_redirection_on_timeout,
                                     .targets = {UNLOCK_UNDO_REDIRECTION, UNLOCK_READ_POWER, UNLOCK_PROBE,
                                                 UNLOCK_FINISH},
                                     .limit = SECONDS(30),
                                     .every = SECONDS(2)},
    ROW(UNLOCK_UNDO_REDIRECTION) = {.name = "undo-redirection",
                                    .send = undo_redirection_send,
                                    .call = UNLOCK_CALL_SET_REDIRECTION,
                                    .on_ok = undo_redirection_on_ok,
                                    .on_error = undo_redirection_on_error,
                                    .on_timeout = check_redirection_on_timeout,
                                    .targets = {UNLOCK_READ_POWER, UNLOCK_PROBE, UNLOCK_FINISH},
                                    .limit = SECONDS(40),
                                    .undoes = 1},
};

const steps_t steps_redirect = {"redirection sessions", UNLOCK_READ_CONSENT, sizeof(rows) / sizeof(rows[0]),
                                rows};
