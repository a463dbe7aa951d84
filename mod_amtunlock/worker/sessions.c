/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <openssl/crypto.h>

#include "base/log.h"
#include "worker/sessions_priv.h"

static const amt_result_t success = {.status = AMT_OK, .text = ""};

/* ---- answers that need no session ---------------------------------------------------------------------- */

/* From the loop: an answer may not come from inside an op. */
static void answer_soon(slot_t *slot, amt_status_e status, const char *text)
{
    slot->soon = (amt_result_t){.status = status, .acted = status == AMT_OK, .text = text};
    event_active(&slot->soon_event, EV_TIMEOUT, 0);
}

static void on_soon(evutil_socket_t fd, short what, void *data)
{
    slot_t *slot = data;

    (void)fd;
    (void)what;
    unlock_call_answer(&slot->unlock, &slot->soon);
}

/* ---- typing -------------------------------------------------------------------------------------------- */

static void type_line(slot_t *slot, const char *bytes)
{
    int open = slot->sol != NULL && slot->uses[UNLOCK_CONSOLE] == SESSION_OPEN;

    if (!slot_may_act(slot)) {
        answer_soon(slot, AMT_FENCED, "");
    }
    else if (open && amt_sol_send(slot->sol, bytes, strlen(bytes), slot_may_act, slot) == APR_SUCCESS) {
        answer_soon(slot, AMT_OK, "");
    }
    else {
        answer_soon(slot, AMT_BROKEN, "its console took nothing that was typed");
    }
}

void sessions_redraw(slot_t *slot)
{
    const char *redraw = slot->unlock.prompts->redraw;

    type_line(slot, redraw[0] != '\0' ? redraw : "\r"); /* an empty line, where nothing better is known */
}

/* The passphrase and the CR leave in one piece, so that no half of a line stands at a prompt. */
void sessions_type(slot_t *slot)
{
    apr_size_t length = slot->passphrase != NULL ? strlen(slot->passphrase) : 0;
    char *line = length ? OPENSSL_secure_zalloc(length + 2) : NULL;

    if (line != NULL) {
        memcpy(line, slot->passphrase, length);
        line[length] = '\r';
        type_line(slot, line);
        OPENSSL_secure_clear_free(line, length + 2);
    }
    else {
        answer_soon(slot, AMT_BROKEN, "the passphrase is empty, or memory for secrets ran out");
    }
    slot_forget_passphrase(slot);
}

void sessions_seal(slot_t *slot)
{
    const char *line = NULL;
    const char *error =
        proof_seal(slot->unlock.proof, slot->passphrase != NULL ? slot->passphrase : "", &line);

    slot_forget_passphrase(slot);
    if (error == NULL) {
        type_line(slot, line);
    }
    else {
        answer_soon(slot, AMT_BROKEN, error);
    }
}

void sessions_acknowledge(slot_t *slot)
{
    const char *line = proof_acknowledge(slot->unlock.proof);

    if (line != NULL) {
        type_line(slot, line);
    }
    else {
        answer_soon(slot, AMT_BROKEN, "there is nothing to acknowledge");
    }
}

/* ---- what sessions report ------------------------------------------------------------------------------ */

static void on_opened(slot_t *slot, unlock_session_e session)
{
    slot->uses[session] = SESSION_OPEN;
    unlock_call_answer(&slot->unlock, &success);
}

static int all_closed(const slot_t *slot)
{
    int console = slot->sol != NULL && slot->uses[UNLOCK_CONSOLE] == SESSION_CLOSING;
    int drive = slot->drive != NULL && slot->uses[UNLOCK_DRIVE] == SESSION_CLOSING;

    return !console && !drive;
}

/* If the unlock waits for an answer, the end is one. The text lives as long as the session. */
static void on_ended(slot_t *slot, unlock_session_e session, const amt_result_t *result)
{
    session_use_e use = slot->uses[session];

    if (use == SESSION_OPENING) {
        unlock_call_answer(&slot->unlock, result);
    }
    else if (use == SESSION_OPEN) {
        unlock_disconnected(&slot->unlock, session, result);
    }
    else if (all_closed(slot)) {
        unlock_call_answer(&slot->unlock, &success);
    }
}

static void on_console_opened(void *slot)
{
    on_opened(slot, UNLOCK_CONSOLE);
}

static void on_console_received(void *baton, const char *bytes, apr_size_t length)
{
    slot_t *slot = baton;

    unlock_input(&slot->unlock, bytes, length);
}

static void on_console_ended(void *baton, const amt_result_t *result)
{
    slot_t *slot = baton;
    amt_sol_t *sol = slot->sol;

    slot->sol = NULL;
    on_ended(slot, UNLOCK_CONSOLE, result);
    amt_sol_destroy(sol);
}

static void on_drive_opened(void *slot)
{
    on_opened(slot, UNLOCK_DRIVE);
}

static void on_drive_read(void *baton)
{
    slot_t *slot = baton;

    log_info("AMTU0514", "reads the image", "system", slot->task.ref.system, "job", slot->task.ref.job);
    unlock_image_read(&slot->unlock);
}

static void on_drive_ended(void *baton, const amt_result_t *result)
{
    slot_t *slot = baton;

    slot->drive = NULL;
    on_ended(slot, UNLOCK_DRIVE, result);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

void sessions_open_console(slot_t *slot)
{
    static const amt_sol_events_t events = {
        .opened = on_console_opened, .received = on_console_received, .ended = on_console_ended};
    const amt_target_t target = slot_target(slot);

    slot->uses[UNLOCK_CONSOLE] = SESSION_OPENING;
    if (amt_sol_open(&slot->sol, slot->slots->loop, &target, &events, slot, slot->pool) != APR_SUCCESS) {
        slot->sol = NULL;
        answer_soon(slot, AMT_BROKEN, "no console session for this PC could be made");
    }
}

/* Once its worker is gone it is of use for as long as the PC may take. */
static drive_order_t drive_order(const slot_t *slot, const amt_overlay_t *overlay)
{
    const unlock_t *unlock = &slot->unlock;
    drive_order_t order = {.job = slot->task.ref.job,
                           .fence = unlock->plan.boot_fence,
                           .target = slot_target(slot),
                           .overlay = overlay,
                           .now = unlock->step == UNLOCK_REOPEN_DRIVE,
                           .alone = unlock->verify_timeout};

    if (order.target.tickets != NULL) {
        order.keytab = snapshot_settings(slot->snapshot)->keytab;
        order.principal = amt_tickets_principal(order.target.tickets);
    }
    return order;
}

void sessions_open_drive(slot_t *slot)
{
    static const amt_ider_events_t events = {
        .opened = on_drive_opened, .booting = on_drive_read, .ended = on_drive_ended};
    const snapshot_image_t *image = snapshot_image(slot->snapshot, slot->unlock.system);
    amt_overlay_t overlay = {.lba = image->proof_sector};
    drive_order_t order = drive_order(slot, &overlay);
    const char *error = "the proof of this session could not be put onto the drive";
    int made = slot->unlock.proof != NULL && proof_sector(slot->unlock.proof, overlay.bytes);

    slot->uses[UNLOCK_DRIVE] = SESSION_OPENING;
    if (made && drive_open(&slot->drive, slot->slots->drives, &order, image->disc, &events, slot, &error,
                           slot->pool) != APR_SUCCESS) {
        slot->drive = NULL;
        made = 0;
    }
    OPENSSL_cleanse(&overlay, sizeof(overlay));
    if (!made) {
        answer_soon(slot, AMT_BROKEN, error);
    }
}

void sessions_keep_drive(slot_t *slot)
{
    if (slot->drive != NULL) {
        drive_keep(slot->drive);
    }
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

void sessions_init(slot_t *slot)
{
    event_assign(&slot->soon_event, slot->slots->base, -1, 0, on_soon, slot);
}

static void close_drive(slot_t *slot)
{
    if (slot->drive == NULL) {
        return;
    }
    slot->uses[UNLOCK_DRIVE] = SESSION_CLOSING;
    drive_close(slot->drive);
}

static void close_console(slot_t *slot)
{
    if (slot->sol == NULL) {
        return;
    }
    slot->uses[UNLOCK_CONSOLE] = SESSION_CLOSING;
    amt_sol_close(slot->sol);
}

void sessions_close_drive(slot_t *slot)
{
    close_drive(slot);
    if (all_closed(slot)) {
        answer_soon(slot, AMT_OK, "");
    }
}

void sessions_close(slot_t *slot)
{
    close_drive(slot);
    close_console(slot);
    if (all_closed(slot)) {
        answer_soon(slot, AMT_OK, "");
    }
}

static void destroy_console(slot_t *slot)
{
    if (slot->sol != NULL) {
        amt_sol_destroy(slot->sol);
    }
    slot->sol = NULL;
}

static void destroy_drive(slot_t *slot)
{
    if (slot->drive != NULL) {
        drive_destroy(slot->drive);
    }
    slot->drive = NULL;
}

void sessions_stop(slot_t *slot)
{
    event_del(&slot->soon_event);
    if (slot->uses[UNLOCK_CONSOLE] != SESSION_OPEN) {
        destroy_console(slot);
    }
    if (slot->uses[UNLOCK_DRIVE] != SESSION_OPEN) {
        destroy_drive(slot);
    }
}

void sessions_destroy(slot_t *slot)
{
    event_del(&slot->soon_event);
    if (slot->drive != NULL && slot->unlock.lends_drive) {
        drive_hand_over(slot->drive);
        slot->drive = NULL;
    }
    destroy_drive(slot);
    destroy_console(slot);
}
