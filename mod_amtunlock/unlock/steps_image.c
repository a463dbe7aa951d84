/* SPDX-License-Identifier: Apache-2.0 */
/* See steps.h. The unlock image: served as a CD to the PC's firmware, and the talk with it over its console
 * (proof/README.md). It gets the passphrase, sealed, once it has proved that it was booted by this session.
 */
#include <apr_strings.h>

#include "unlock/methods.h"
#include "unlock/steps.h"

/* The image knows its result within 60 s of the seal, and says it every second. */
#define RESULT_WAIT SECONDS(75)
/* It says its result again within a second, unless it heard us; and no longer than 30 s. */
#define HEARD_AFTER apr_time_from_msec(2500)
#define ACKNOWLEDGED_AT_MOST 12

/* ---- what it says -------------------------------------------------------------------------------------- */

static void note(unlock_t *unlock, proof_event_e event)
{
    switch (event) {
    case PROOF_NONE:
        break;
    case PROOF_HELLO:
        unlock->image_greeted = 1;
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

void steps_image_hear(unlock_t *unlock, const char *bytes, apr_size_t length)
{
    if (unlock->proof == NULL) {
        return;
    }
    amt_console_feed(unlock->console, bytes, length);
    while (length > 0) {
        note(unlock, proof_feed(unlock->proof, &bytes, &length));
    }
}

static unlock_step_e fail_with_proof(unlock_t *unlock, const char *what)
{
    const char *why = proof_text(unlock->proof);

    return unlock_fail(unlock, JOBS_REASON_IMAGE_FAILED,
                       why[0] ? apr_psprintf(unlock->pool, "%s: %s", what, why) : what);
}

static unlock_step_e cut(unlock_t *unlock)
{
    return unlock_fail(unlock, unlock->cut_reason, unlock->cut_text);
}

/* ---- the drive ----------------------------------------------------------------------------------------- */

unlock_step_e steps_image_opened(unlock_t *unlock)
{
    const char *error = proof_session_create(&unlock->proof, unlock->system->fqdn, unlock->pool);

    return error ? unlock_fail(unlock, JOBS_REASON_INTERNAL, error) : UNLOCK_OPEN_DRIVE;
}

static void send_open_drive(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_OPEN_DRIVE);
}

static unlock_step_e accept_open_drive(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_SET_BOOT;
}

/* ---- the talk ------------------------------------------------------------------------------------------ */

/* It may also refuse before it says hello: it finds no disk. */
static unlock_step_e hear_hello(unlock_t *unlock)
{
    if (unlock->image_broken) {
        return fail_with_proof(unlock, "the image did not prove itself");
    }
    if (unlock->result != PROOF_NONE) {
        return UNLOCK_ACKNOWLEDGE;
    }
    return unlock->image_greeted ? UNLOCK_FETCH_KEY : UNLOCK_HELLO;
}

static unlock_step_e expire_hello(unlock_t *unlock)
{
    if (!unlock->image_read) {
        return unlock_fail(unlock, unlock_without_evidence(unlock, JOBS_REASON_NO_BOOT_DEVICE),
                           "its firmware did not read the drive that it was given to boot from");
    }
    const char *last = amt_console_last(unlock->console);
    return unlock_fail(unlock, JOBS_REASON_IMAGE_FAILED,
                       apr_psprintf(unlock->pool, "its firmware read the image, which did not say hello%s%s",
                                    last[0] ? "; the last line on its console: " : "", last));
}

static void send_fetch_key(unlock_t *unlock)
{
    unlock->ops->passphrase(unlock);
}

static unlock_step_e accept_fetch_key(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_SEAL;
}

static void send_seal(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_SEAL);
}

static unlock_step_e accept_seal(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_RESULT;
}

/* Nothing left for the PC: the image's key or the passphrase is of no use. */
static unlock_step_e refuse_seal(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    return proof_text(unlock->proof)[0] ? fail_with_proof(unlock, "no passphrase was sent")
                                        : unlock_fail(unlock, reason, text);
}

static unlock_step_e hear_result(unlock_t *unlock)
{
    if (unlock->result != PROOF_NONE) {
        return UNLOCK_ACKNOWLEDGE;
    }
    return unlock->image_broken ? fail_with_proof(unlock, "the image is not to be believed") : UNLOCK_RESULT;
}

static unlock_step_e expire_result(unlock_t *unlock)
{
    return unlock_fail(unlock, JOBS_REASON_TIMEOUT,
                       "the image was given the passphrase, and did not say what became of it");
}

static void send_acknowledge(unlock_t *unlock)
{
    unlock->acknowledged++;
    unlock->image_again = 0;
    unlock->ops->call(unlock, UNLOCK_CALL_ACKNOWLEDGE);
}

/* The PC starts anew in a moment, and must not find the drive then. */
static unlock_step_e accept_acknowledge(unlock_t *unlock)
{
    return unlock->acknowledged == 1 ? UNLOCK_CLOSE_DRIVE : UNLOCK_HEARD;
}

static unlock_step_e settle(unlock_t *unlock)
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

/* What it said stands, whether it learns that we heard it or not. */
static unlock_step_e refuse_acknowledge(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    (void)reason;
    (void)text;
    return settle(unlock);
}

static void send_close_drive(unlock_t *unlock)
{
    unlock->ops->call(unlock, UNLOCK_CALL_CLOSE_DRIVE);
}

static unlock_step_e accept_close_drive(unlock_t *unlock)
{
    (void)unlock;
    return UNLOCK_HEARD;
}

static unlock_step_e hear_heard(unlock_t *unlock)
{
    int again = unlock->image_again && unlock->acknowledged < ACKNOWLEDGED_AT_MOST;

    return again ? UNLOCK_ACKNOWLEDGE : UNLOCK_HEARD;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define ROW(step) [(step)-UNLOCK_OPEN_DRIVE]

static const step_t rows[] = {
    ROW(UNLOCK_OPEN_DRIVE) = {.name = "drive-open",
                              .send = send_open_drive,
                              .accept = accept_open_drive,
                              .limit = SECONDS(30)},
    ROW(UNLOCK_HELLO) =
        {.name = "image", .hear = hear_hello, .cut = cut, .expire = expire_hello, .end = ENDS_WITH_BOOT},
    ROW(UNLOCK_FETCH_KEY) = {.name = "passphrase",
                             .send = send_fetch_key,
                             .accept = accept_fetch_key,
                             .limit = SECONDS(60)},
    ROW(UNLOCK_SEAL) = {.name = "seal",
                        .send = send_seal,
                        .accept = accept_seal,
                        .refuse = refuse_seal,
                        .limit = SECONDS(10),
                        .writes = 1},
    ROW(UNLOCK_RESULT) =
        {.name = "result", .hear = hear_result, .cut = cut, .expire = expire_result, .limit = RESULT_WAIT},
    ROW(UNLOCK_ACKNOWLEDGE) = {.name = "acknowledge",
                               .send = send_acknowledge,
                               .accept = accept_acknowledge,
                               .refuse = refuse_acknowledge,
                               .expire = settle,
                               .limit = SECONDS(10),
                               .writes = 1},
    ROW(UNLOCK_CLOSE_DRIVE) = {.name = "drive-close",
                               .send = send_close_drive,
                               .accept = accept_close_drive,
                               .refuse = refuse_acknowledge,
                               .expire = accept_close_drive,
                               .limit = SECONDS(5)},
    ROW(UNLOCK_HEARD) =
        {.name = "acknowledged", .hear = hear_heard, .cut = settle, .expire = settle, .limit = HEARD_AFTER},
};

const steps_t steps_image = {UNLOCK_OPEN_DRIVE, sizeof(rows) / sizeof(rows[0]), rows};
