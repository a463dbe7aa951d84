/* SPDX-License-Identifier: Apache-2.0 */
/* See steps.h. What every method with redirection sessions looks at before its intent, sets after it, and
 * takes back in the end. A successor takes back by the same steps: each looks first, and writes only where
 * the PC is as the intent says it was going to be.
 */
#include <string.h>

#include <apr_strings.h>

#include "base/log.h"
#include "unlock/intent.h"
#include "unlock/methods.h"
#include "unlock/steps.h"

/* ---- looking ------------------------------------------------------------------------------------------- */

static void send_read_consent(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_CONSENT);
}

static unlock_step_e accept_read_consent(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_READ_REDIRECTION;
}

static void send_read_redirection(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_REDIRECTION);
}

static unlock_step_e accept_read_redirection(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_READ_CAPABILITIES;
}

static void send_read_capabilities(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_CAPABILITIES);
}

static unlock_step_e accept_read_capabilities(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_READ_BOOT;
}

/* ---- what stands in the way ---------------------------------------------------------------------------- */

/* Only a peer that was verified gets a passphrase. */
static int is_unverified(const unlock_t *unlock)
{
    return unlock->system->tls != INVENTORY_TLS_CA && unlock->system->tls != INVENTORY_TLS_PIN;
}

static int needs_consent(const unlock_t *unlock)
{
    return unlock->consent.needed;
}

static int has_no_console(const unlock_t *unlock)
{
    return (unlock->method->boot & AMT_START_SOL) && !unlock->capabilities.sol;
}

static int has_no_drive(const unlock_t *unlock)
{
    return (unlock->method->boot & AMT_START_IMAGE) && !unlock->capabilities.storage;
}

static int is_overridden(const unlock_t *unlock)
{
    return unlock->boot.overridden;
}

static const struct {
    int (*stands)(const unlock_t *unlock);
    jobs_reason_e reason;
    const char *text;
} obstacles[] = {
    {is_unverified, JOBS_REASON_TLS_UNTRUSTED,
     "a passphrase goes only over verified TLS: give the system tls ca or pin:<sha256>"},
    {needs_consent, JOBS_REASON_CONSENT_REQUIRED,
     "redirection needs the consent of the user at the PC (client control mode, or consent for all)"},
    {has_no_console, JOBS_REASON_AMT_FAULT, "its firmware says that it has no Serial-over-LAN"},
    {has_no_drive, JOBS_REASON_NO_BOOT_DEVICE,
     "its firmware says that it cannot boot by storage redirection"},
    {is_overridden, JOBS_REASON_BUSY, "another console has set how it starts next time"},
};

jobs_reason_e unlock_next_obstacle(const unlock_t *unlock, size_t *at, const char **text)
{
    while (*at < sizeof(obstacles) / sizeof(obstacles[0])) {
        size_t i = (*at)++;

        if (obstacles[i].stands(unlock)) {
            *text = obstacles[i].text;
            return obstacles[i].reason;
        }
    }
    return JOBS_REASON_NONE;
}

jobs_reason_e unlock_obstacle(unlock_t *unlock, const char **text)
{
    size_t at = 0;

    return unlock_next_obstacle(unlock, &at, text);
}

/* ---- setting ------------------------------------------------------------------------------------------- */

static int changes_redirection(const unlock_plan_t *plan)
{
    return plan->redirection.state != plan->redirection_before.state ||
           !plan->redirection.listener != !plan->redirection_before.listener;
}

/* Firmware counts writes: nothing is written that stands as it should. */
unlock_step_e unlock_plan_redirection(unlock_t *unlock)
{
    unlock->plan.redirection_before = unlock->redirection;
    unlock->plan.redirection =
        (amt_redirection_t){.state = unlock->redirection.state | unlock->method->sessions, .listener = 1};
    unlock->plan.boot = unlock->method->boot;
    unlock->plan.types = 1;
    if (unlock->session_open) { /* a PC that runs, whose prompt was looked for */
        return unlock->method->opened(unlock);
    }
    return changes_redirection(&unlock->plan) ? UNLOCK_REDIRECT : UNLOCK_OPEN_CONSOLE;
}

static void send_redirect(unlock_t *unlock)
{
    unlock->redirection_wanted = unlock->plan.redirection;
    unlock->ops->call(unlock, UNLOCK_CALL_SET_REDIRECTION);
}

static unlock_step_e accept_redirect(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_OPEN_CONSOLE;
}

static void send_open_console(unlock_t *unlock)
{
    unlock->console = amt_console_create(unlock->pool);
    unlock->ops->call(unlock, UNLOCK_CALL_OPEN_CONSOLE);
}

static unlock_step_e accept_open_console(unlock_t *unlock)
{
    unlock->session_open = 1;
    return unlock->method->opened(unlock);
}

static void send_set_boot(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_SET_BOOT);
}

/* A PC whose session is gone by now is not even switched on. */
static unlock_step_e accept_set_boot(unlock_t *unlock)
{
    return unlock->cut ? unlock_fail(unlock, unlock->cut_reason, unlock->cut_text) : unlock_power(unlock);
}

static unlock_step_e refuse_set_boot(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    int no_drive = unlock->call_status == AMT_REFUSED && (unlock->method->boot & AMT_START_IMAGE);

    return unlock_fail(unlock, no_drive ? JOBS_REASON_NO_BOOT_DEVICE : reason, text);
}

/* ---- taking back --------------------------------------------------------------------------------------- */

/* Acts on nobody whose identity was not seen. */
static int may_undo(const unlock_t *unlock)
{
    return unlock->identified && (unlock->intended || unlock->task->verify_only);
}

static int undoes_session(const unlock_t *unlock)
{
    return unlock->session_open;
}

static int undoes_boot(const unlock_t *unlock)
{
    return may_undo(unlock) && unlock->plan.boot != 0;
}

static int undoes_redirection(const unlock_t *unlock)
{
    return may_undo(unlock) && changes_redirection(&unlock->plan);
}

/* Sessions first: they hang on the settings. */
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

static unlock_step_e undo_after(unlock_t *unlock, unlock_step_e step)
{
    for (int i = 0; i < UNDOS; i++) {
        if (undos[i].step == step) {
            return undo_from(unlock, i + 1);
        }
    }
    return undo_from(unlock, UNDOS);
}

int unlock_has_to_undo(const unlock_t *unlock)
{
    return !unlock->undone &&
           (unlock->session_open || unlock->plan.boot != 0 || changes_redirection(&unlock->plan));
}

static void warn_of_rest(const unlock_t *unlock, const char *what, const char *text)
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
    if (unlock->task->verify_only && unlock_has_to_undo(unlock) && !unlock->identified) {
        warn_of_rest(unlock, "what the intent says", "its AMT could not be reached, or is not the PC's");
    }
    return undo_from(unlock, 0);
}

static void send_close(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_CLOSE);
}

static unlock_step_e accept_close(unlock_t *unlock)
{
    unlock->session_open = 0;
    return undo_after(unlock, UNLOCK_CLOSE);
}

static unlock_step_e refuse_close(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    (void)text;
    return accept_close(unlock);
}

static void send_check_boot(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_BOOT);
}

/* Options last for one start, so a PC that started has none. Another console's are not ours to clear. */
static unlock_step_e accept_check_boot(unlock_t *unlock)
{
    int ours = strcmp(unlock->boot.summary, intent_boot_name(unlock->plan.boot)) == 0;

    return ours ? UNLOCK_UNDO_BOOT : undo_after(unlock, UNLOCK_CHECK_BOOT);
}

/* A PC that starts may leave AMT without an answer for a while; one that says no means it. */
static int is_worth_asking_again(jobs_reason_e reason)
{
    return reason == JOBS_REASON_TIMEOUT || reason == JOBS_REASON_UNREACHABLE;
}

static unlock_step_e give_up_boot(unlock_t *unlock, const char *text)
{
    warn_of_rest(unlock, "boot options", text);
    return undo_after(unlock, UNLOCK_CHECK_BOOT);
}

static unlock_step_e refuse_check_boot(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return is_worth_asking_again(reason) ? UNLOCK_CHECK_BOOT : give_up_boot(unlock, text);
}

static unlock_step_e expire_check_boot(unlock_t *unlock)
{
    return give_up_boot(unlock, "AMT does not answer");
}

static void send_undo_boot(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_CLEAR_BOOT);
}

static unlock_step_e accept_undo_boot(unlock_t *unlock)
{
    return undo_after(unlock, UNLOCK_CHECK_BOOT);
}

static unlock_step_e refuse_undo_boot(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    return give_up_boot(unlock, text);
}

static unlock_step_e accept_check_redirection(unlock_t *unlock)
{
    const amt_redirection_t *set = &unlock->plan.redirection, *now = &unlock->redirection;
    int ours = now->state == set->state && !now->listener == !set->listener;

    return ours ? UNLOCK_UNDO_REDIRECTION : undo_after(unlock, UNLOCK_CHECK_REDIRECTION);
}

static unlock_step_e give_up_redirection(unlock_t *unlock, const char *text)
{
    warn_of_rest(unlock, "redirection service", text);
    return undo_after(unlock, UNLOCK_CHECK_REDIRECTION);
}

static unlock_step_e refuse_check_redirection(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return is_worth_asking_again(reason) ? UNLOCK_CHECK_REDIRECTION : give_up_redirection(unlock, text);
}

static unlock_step_e expire_check_redirection(unlock_t *unlock)
{
    return give_up_redirection(unlock, "AMT does not answer");
}

static void send_undo_redirection(unlock_t *unlock)
{
    unlock->redirection_wanted = unlock->plan.redirection_before;
    unlock->ops->call(unlock, UNLOCK_CALL_SET_REDIRECTION);
}

static unlock_step_e accept_undo_redirection(unlock_t *unlock)
{
    return undo_after(unlock, UNLOCK_CHECK_REDIRECTION);
}

static unlock_step_e refuse_undo_redirection(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    return give_up_redirection(unlock, text);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_READ_CONSENT]

static const step_t rows[] = {
    ROW(UNLOCK_READ_CONSENT) = {.name = "consent",
                                .send = send_read_consent,
                                .accept = accept_read_consent,
                                .refuse = unlock_refuse_look,
                                .limit = SECONDS(25),
                                .retry = 1},
    ROW(UNLOCK_READ_REDIRECTION) = {.name = "redirection",
                                    .send = send_read_redirection,
                                    .accept = accept_read_redirection,
                                    .refuse = unlock_refuse_look,
                                    .limit = SECONDS(25),
                                    .retry = 1},
    ROW(UNLOCK_READ_CAPABILITIES) = {.name = "capabilities",
                                     .send = send_read_capabilities,
                                     .accept = accept_read_capabilities,
                                     .refuse = unlock_refuse_look,
                                     .limit = SECONDS(25),
                                     .retry = 1},
    ROW(UNLOCK_REDIRECT) = {.name = "redirect",
                            .send = send_redirect,
                            .accept = accept_redirect,
                            .limit = SECONDS(40),
                            .writes = 1},
    ROW(UNLOCK_OPEN_CONSOLE) = {.name = "console-open",
                                .send = send_open_console,
                                .accept = accept_open_console,
                                .limit = SECONDS(30)},
    ROW(UNLOCK_SET_BOOT) = {.name = "set-boot",
                            .send = send_set_boot,
                            .accept = accept_set_boot,
                            .refuse = refuse_set_boot,
                            .limit = SECONDS(60),
                            .writes = 1},
    ROW(UNLOCK_CLOSE) = {.name = "close",
                         .send = send_close,
                         .accept = accept_close,
                         .refuse = refuse_close,
                         .expire = accept_close,
                         .limit = SECONDS(5)},
    ROW(UNLOCK_CHECK_BOOT) = {.name = "check-boot",
                              .send = send_check_boot,
                              .accept = accept_check_boot,
                              .refuse = refuse_check_boot,
                              .expire = expire_check_boot,
                              .limit = SECONDS(30),
                              .every = SECONDS(2)},
    ROW(UNLOCK_UNDO_BOOT) = {.name = "undo-boot",
                             .send = send_undo_boot,
                             .accept = accept_undo_boot,
                             .refuse = refuse_undo_boot,
                             .expire = expire_check_boot,
                             .limit = SECONDS(40),
                             .undoes = 1},
    ROW(UNLOCK_CHECK_REDIRECTION) = {.name = "check-redirection",
                                     .send = send_read_redirection,
                                     .accept = accept_check_redirection,
                                     .refuse = refuse_check_redirection,
                                     .expire = expire_check_redirection,
                                     .limit = SECONDS(30),
                                     .every = SECONDS(2)},
    ROW(UNLOCK_UNDO_REDIRECTION) = {.name = "undo-redirection",
                                    .send = send_undo_redirection,
                                    .accept = accept_undo_redirection,
                                    .refuse = refuse_undo_redirection,
                                    .expire = expire_check_redirection,
                                    .limit = SECONDS(40),
                                    .undoes = 1},
};

const steps_t steps_redirect = {UNLOCK_READ_CONSENT, sizeof(rows) / sizeof(rows[0]), rows};
