/* SPDX-License-Identifier: Apache-2.0 */
/* See steps_priv.h. The unlock image: served as a CD to the PC's firmware, and the talk with it over its
 * console (proof/README.md). It gets the passphrase, sealed, once it has proved that it was booted by this
 * session.
 */
#include <apr_strings.h>

#include "base/failpoint.h"
#include "unlock/exits_priv.h"
#include "unlock/quote_priv.h"
#include "unlock/steps_priv.h"
#include "unlock/takeover_priv.h"

/* The image knows its result within 60 s of the seal, and says it every second. */
#define RESULT_WAIT SECONDS(75)
/* It repeats its result within a second until it is acknowledged, for no longer than 30 s. */
#define ACKNOWLEDGED_AFTER apr_time_from_msec(2500)
#define ACKNOWLEDGED_AT_MOST 12

/* ---- what it says -------------------------------------------------------------------------------------- */

static void image_note(unlock_t *unlock, proof_event_e event)
{
    switch (event) {
    case PROOF_NONE:
        break;
    case PROOF_HELLO:
        FAILPOINT("hello.heard");
        unlock->image_greeted = 1;
        unlock->ops->conceal(unlock);
        break;
    case PROOF_RESULT_UNLOCKED:
    case PROOF_RESULT_WRONG:
    case PROOF_RESULT_FAILED:
        unlock->result = event;
        break;
    case PROOF_AGAIN:
        unlock->image_again = 1;
        break;
    case PROOF_BROKEN:
        unlock->image_broken = 1;
        break;
    }
}

void steps_image_input(unlock_t *unlock, const char *bytes, apr_size_t length)
{
    if (unlock->proof == NULL) {
        return;
    }
    amt_console_feed(unlock->console, bytes, length);
    while (length > 0) {
        image_note(unlock, proof_feed(unlock->proof, &bytes, &length));
    }
}

static unlock_step_e fail_with_proof(unlock_t *unlock, const char *what)
{
    const char *why = proof_text(unlock->proof);

    return unlock_fail(unlock, JOBS_REASON_IMAGE_FAILED,
                       why[0] != '\0' ? apr_psprintf(unlock->pool, "%s: %s", what, why) : what);
}

/* ---- the drive ----------------------------------------------------------------------------------------- */

/* NULL, or an error message. */
static const char *make_proof(unlock_t *unlock)
{
    const proof_boot_t boot = {
        .job = unlock->task->ref.job, .system = unlock->system->fqdn, .fence = unlock->plan.boot_fence};

    return unlock->proof != NULL
               ? NULL
               : proof_session_create(&unlock->proof, unlock->proof_key, &boot, unlock->pool);
}

unlock_step_e steps_image_on_console(unlock_t *unlock)
{
    const char *error = make_proof(unlock);

    unlock->console = amt_console_create(NULL, NULL, unlock->pool);
    return error != NULL ? unlock_fail(unlock, JOBS_REASON_INTERNAL, error) : UNLOCK_OPEN_DRIVE;
}

/* ---- a PC that a lost worker started ------------------------------------------------------------------- */

/* Its firmware may look for the drive right now, so that comes first; what its console shows can wait. */
static void reopen_drive_send(unlock_t *unlock)
{
    (void)make_proof(unlock); /* without one there is no drive, and once the console is open it is said why */
}

static unlock_step_e reopen_drive_on_ok(unlock_t *unlock)
{
    unlock->session_open = 1;
    unlock->drive_open = 1;
    return unlock->console != NULL ? UNLOCK_HELLO : UNLOCK_REOPEN_CONSOLE;
}

static unlock_step_e reopen_console_on_ok(unlock_t *unlock)
{
    unlock_step_e next = steps_image_on_console(unlock);
    int has_drive = unlock->drive_open && !unlock->disconnected; /* that may have ended meanwhile */

    unlock->session_open = 1;
    unlock->disconnected = 0;
    if (next != UNLOCK_OPEN_DRIVE) {
        return next;
    }
    return has_drive ? UNLOCK_HELLO : UNLOCK_REOPEN_DRIVE;
}

static unlock_step_e reopen_console_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return takeover_tries_again(unlock, reason) ? UNLOCK_REOPEN_CONSOLE
                                                : takeover_gives_up(unlock, reason, text);
}

static unlock_step_e reopen_console_on_timeout(unlock_t *unlock)
{
    return takeover_gives_up(unlock, JOBS_REASON_TIMEOUT, "the device did not answer in time");
}

/* A drive that is busy may be this boot's own, with the same proof: the drive process of the lost worker serves it. Then its
 * image says hello, and needs no other drive. Or its firmware holds a dead one, and gives it up some time. */
static unlock_step_e reopen_drive_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)text;
    if (unlock->console == NULL) {
        return UNLOCK_REOPEN_CONSOLE;
    }
    return !unlock->image_greeted && takeover_tries_again(unlock, reason) ? UNLOCK_REOPEN_DRIVE
                                                                          : UNLOCK_HELLO;
}

static unlock_step_e reopen_drive_on_timeout(unlock_t *unlock)
{
    return unlock->console != NULL ? UNLOCK_HELLO : UNLOCK_REOPEN_CONSOLE;
}

/* ---- the talk ------------------------------------------------------------------------------------------ */

/* It may also refuse before it says hello: it finds no disk. */
static unlock_step_e hello_on_input(unlock_t *unlock)
{
    if (unlock->image_broken) {
        return fail_with_proof(unlock, "the image did not prove itself");
    }
    if (unlock->result != PROOF_NONE) {
        return UNLOCK_ACKNOWLEDGE;
    }
    return unlock->image_greeted ? UNLOCK_FETCH_KEY : UNLOCK_HELLO;
}

static unlock_step_e hello_on_timeout(unlock_t *unlock)
{
    const char *last = quote_line(amt_console_last(unlock->console), unlock->pool);

    if (takeover_was_powered(unlock)) {
        return unlock_fail(
            unlock, unlock_without_evidence(unlock, JOBS_REASON_IMAGE_FAILED),
            "the image did not say hello: the worker that started the PC was lost, and its drive may have been "
            "away until this one gave it again");
    }
    if (!unlock->image_read) {
        return unlock_fail(unlock, unlock_without_evidence(unlock, JOBS_REASON_NO_BOOT_DEVICE),
                           "its firmware did not read the drive that it was given to boot from");
    }
    return unlock_fail(unlock, JOBS_REASON_IMAGE_FAILED,
                       apr_psprintf(unlock->pool, "its firmware read the image, which did not say hello%s%s",
                                    last[0] != '\0' ? "; the last line on its console: " : "", last));
}

static void fetch_key_send(unlock_t *unlock)
{
    unlock->ops->passphrase(unlock);
}

/* Nothing left for the PC: the image's key or the passphrase is of no use. */
static unlock_step_e seal_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return proof_text(unlock->proof)[0] != '\0' ? fail_with_proof(unlock, "no passphrase was sent")
                                                : unlock_fail(unlock, reason, text);
}

static unlock_step_e result_on_input(unlock_t *unlock)
{
    if (unlock->result != PROOF_NONE) {
        return UNLOCK_ACKNOWLEDGE;
    }
    return unlock->image_broken ? fail_with_proof(unlock, "the image is not to be believed") : UNLOCK_RESULT;
}

static unlock_step_e result_on_timeout(unlock_t *unlock)
{
    return unlock_fail(unlock, JOBS_REASON_TIMEOUT,
                       "the image was given the passphrase, and did not say what became of it");
}

static void acknowledge_send(unlock_t *unlock)
{
    unlock->acknowledged++;
    unlock->image_again = 0;
}

/* The PC restarts in a moment, and must not find the drive then. */
static unlock_step_e acknowledge_on_ok(unlock_t *unlock)
{
    return unlock->acknowledged == 1 ? UNLOCK_CLOSE_DRIVE : UNLOCK_ACKNOWLEDGED;
}

/* The result stands, whether the image learns that we have it or not. */
static unlock_step_e image_settle(unlock_t *unlock)
{
    switch (unlock->result) {
    case PROOF_RESULT_UNLOCKED:
        return unlock_evident(unlock);
    case PROOF_RESULT_WRONG:
        return unlock_fail(unlock, JOBS_REASON_WRONG_PASSPHRASE, "the image says that it did not fit");
    default:
        return fail_with_proof(unlock, "the image could not unlock the disk");
    }
}

static unlock_step_e acknowledge_on_error(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    (void)text;
    return image_settle(unlock);
}

static unlock_step_e drive_on_timeout(unlock_t *unlock)
{
    return unlock->row->then;
}

static unlock_step_e acknowledged_on_input(unlock_t *unlock)
{
    int again = unlock->image_again && unlock->acknowledged < ACKNOWLEDGED_AT_MOST;

    return again ? UNLOCK_ACKNOWLEDGE : UNLOCK_ACKNOWLEDGED;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_OPEN_DRIVE]

static const step_t rows[] = {
    ROW(UNLOCK_OPEN_DRIVE) = {.name = "drive-open",
                              .call = UNLOCK_CALL_OPEN_DRIVE,
                              .then = UNLOCK_SET_BOOT,
                              .on_error = takeover_opens_again,
                              .limit = STEPS_BUSY_WAIT + SECONDS(10),
                              .every = SECONDS(5)},
    ROW(UNLOCK_HELLO) = {.name = "image",
                         .on_input = hello_on_input,
                         .on_timeout = hello_on_timeout,
                         .targets = {UNLOCK_FETCH_KEY, UNLOCK_ACKNOWLEDGE},
                         .end = ENDS_WITH_BOOT},
    ROW(UNLOCK_FETCH_KEY) = {.name = "passphrase",
                             .send = fetch_key_send,
                             .then = UNLOCK_MARK_SEAL,
                             .on_timeout = unlock_fail_without_secret,
                             .limit = SECONDS(60)},
    ROW(UNLOCK_MARK_SEAL) = {.name = "seal-mark",
                             .stores = 1,
                             .change = JOBS_MARK,
                             .mark = JOBS_MARK_TYPED,
                             .then = UNLOCK_SEAL,
                             .on_error = unlock_unrecorded},
    ROW(UNLOCK_SEAL) = {.name = "seal",
                        .call = UNLOCK_CALL_SEAL,
                        .on_ok = steps_typed,
                        .then = UNLOCK_RESULT,
                        .on_error = seal_on_error,
                        .limit = SECONDS(10),
                        .writes = 1,
                        .needs = JOBS_MARK_TYPED},
    ROW(UNLOCK_RESULT) = {.name = "result",
                          .on_input = result_on_input,
                          .on_timeout = result_on_timeout,
                          .targets = {UNLOCK_ACKNOWLEDGE},
                          .limit = RESULT_WAIT},
    ROW(UNLOCK_ACKNOWLEDGE) = {.name = "acknowledge",
                               .send = acknowledge_send,
                               .call = UNLOCK_CALL_ACKNOWLEDGE,
                               .on_ok = acknowledge_on_ok,
                               .on_error = acknowledge_on_error,
                               .on_timeout = image_settle,
                               .targets = {UNLOCK_CLOSE_DRIVE, UNLOCK_ACKNOWLEDGED, UNLOCK_CLOSE},
                               .limit = SECONDS(10),
                               .writes = 1},
    ROW(UNLOCK_CLOSE_DRIVE) = {.name = "drive-close",
                               .call = UNLOCK_CALL_CLOSE_DRIVE,
                               .then = UNLOCK_ACKNOWLEDGED,
                               .on_error = acknowledge_on_error,
                               .on_timeout = drive_on_timeout,
                               .targets = {UNLOCK_CLOSE},
                               .limit = SECONDS(5)},
    ROW(UNLOCK_ACKNOWLEDGED) = {.name = "acknowledged",
                                .on_input = acknowledged_on_input,
                                .on_disconnect = image_settle,
                                .on_timeout = image_settle,
                                .targets = {UNLOCK_ACKNOWLEDGE, UNLOCK_CLOSE},
                                .limit = ACKNOWLEDGED_AFTER},
    ROW(UNLOCK_REOPEN_CONSOLE) = {.name = "console-again",
                                  .call = UNLOCK_CALL_OPEN_CONSOLE,
                                  .on_ok = reopen_console_on_ok,
                                  .on_error = reopen_console_on_error,
                                  .on_timeout = reopen_console_on_timeout,
                                  .targets = {UNLOCK_REOPEN_DRIVE, UNLOCK_HELLO},
                                  .limit = STEPS_BUSY_WAIT + SECONDS(10),
                                  .every = SECONDS(5)},
    ROW(UNLOCK_REOPEN_DRIVE) = {.name = "drive-again",
                                .send = reopen_drive_send,
                                .call = UNLOCK_CALL_OPEN_DRIVE,
                                .on_ok = reopen_drive_on_ok,
                                .on_error = reopen_drive_on_error,
                                .on_timeout = reopen_drive_on_timeout,
                                .targets = {UNLOCK_REOPEN_CONSOLE, UNLOCK_HELLO},
                                .limit = STEPS_BUSY_WAIT + SECONDS(10),
                                .every = SECONDS(2)},
};

const steps_t steps_image = {"image", UNLOCK_OPEN_DRIVE, sizeof(rows) / sizeof(rows[0]), rows};
