/* The redirection sessions of an unlock, behind its ports: see seat.h. */
#include <string.h>

#include <openssl/crypto.h>

#include "worker/log.h"
#include "worker/seat.h"

static const amt_result_t well = {.status = AMT_OK, .text = ""};

/* ---- answers that need no session ---------------------------------------------------------------------- */

/* An answer may not come from inside the port. */
static void answer_soon(seat_t *seat, amt_status_e status, const char *text)
{
    seat->soon = (amt_result_t){.status = status, .acted = status == AMT_OK, .text = text};
    event_active(&seat->soon_event, EV_TIMEOUT, 0);
}

static void on_soon(evutil_socket_t fd, short what, void *data)
{
    seat_t *seat = data;
    (void)fd;
    (void)what;
    unlock_call_answer(&seat->unlock, &seat->soon);
}

/* ---- typing -------------------------------------------------------------------------------------------- */

static void type(seat_t *seat, const char *bytes)
{
    int open = seat->sol != NULL && seat->uses[UNLOCK_CONSOLE] == SESSION_OPEN;
    if (!seat_may_act(seat)) {
        answer_soon(seat, AMT_FENCED, "");
    }
    else if (open && amt_sol_send(seat->sol, bytes, strlen(bytes), seat_may_act, seat) == APR_SUCCESS) {
        answer_soon(seat, AMT_OK, "");
    }
    else {
        answer_soon(seat, AMT_BROKEN, "its console took nothing that was typed");
    }
}

void sessions_redraw(seat_t *seat)
{
    type(seat, seat->unlock.prompts->redraw);
}

/* The passphrase and the CR leave in one piece, so that no half of a line stands at a prompt. */
void sessions_type(seat_t *seat)
{
    apr_size_t length = seat->passphrase ? strlen(seat->passphrase) : 0;
    char *line = length ? OPENSSL_secure_zalloc(length + 2) : NULL;
    if (line != NULL) {
        memcpy(line, seat->passphrase, length);
        line[length] = '\r';
        type(seat, line);
        OPENSSL_secure_clear_free(line, length + 2);
    }
    else {
        answer_soon(seat, AMT_BROKEN, "the passphrase is empty, or memory for secrets ran out");
    }
    seat_forget_passphrase(seat);
}

void sessions_seal(seat_t *seat)
{
    const char *line = NULL;
    const char *error = proof_seal(seat->unlock.proof, seat->passphrase ? seat->passphrase : "", &line);
    seat_forget_passphrase(seat);
    if (error == NULL) {
        type(seat, line);
    }
    else {
        answer_soon(seat, AMT_BROKEN, error);
    }
}

void sessions_acknowledge(seat_t *seat)
{
    const char *line = proof_acknowledge(seat->unlock.proof);
    if (line != NULL) {
        type(seat, line);
    }
    else {
        answer_soon(seat, AMT_BROKEN, "there is nothing to acknowledge");
    }
}

/* ---- what sessions tell -------------------------------------------------------------------------------- */

static void on_opened(seat_t *seat, unlock_session_e session)
{
    seat->uses[session] = SESSION_OPEN;
    unlock_call_answer(&seat->unlock, &well);
}

static int is_closed(const seat_t *seat)
{
    int console = seat->sol != NULL && seat->uses[UNLOCK_CONSOLE] == SESSION_CLOSING;
    int drive = seat->ider != NULL && seat->uses[UNLOCK_DRIVE] == SESSION_CLOSING;
    return !console && !drive;
}

/* An end is an answer where one is waited for. The text lives as long as the session. */
static void on_ended(seat_t *seat, unlock_session_e session, const amt_result_t *result)
{
    session_use_e use = seat->uses[session];
    if (use == SESSION_OPENING) {
        unlock_call_answer(&seat->unlock, result);
    }
    else if (use == SESSION_OPEN) {
        unlock_cut(&seat->unlock, session, result);
    }
    else if (is_closed(seat)) {
        unlock_call_answer(&seat->unlock, &well);
    }
}

static void on_console_opened(void *seat)
{
    on_opened(seat, UNLOCK_CONSOLE);
}

static void on_console_received(void *baton, const char *bytes, apr_size_t length)
{
    seat_t *seat = baton;
    unlock_hear(&seat->unlock, bytes, length);
}

static void on_console_ended(void *baton, const amt_result_t *result)
{
    seat_t *seat = baton;
    amt_sol_t *sol = seat->sol;
    seat->sol = NULL;
    on_ended(seat, UNLOCK_CONSOLE, result);
    amt_sol_destroy(sol);
}

static void on_drive_opened(void *seat)
{
    on_opened(seat, UNLOCK_DRIVE);
}

static void on_drive_read(void *baton)
{
    seat_t *seat = baton;
    log_info("AMTU0514", "reads the image", "system", seat->task.sid, "job", seat->task.job);
    unlock_image_read(&seat->unlock);
}

static void on_drive_ended(void *baton, const amt_result_t *result)
{
    seat_t *seat = baton;
    amt_ider_t *ider = seat->ider;
    seat->ider = NULL;
    on_ended(seat, UNLOCK_DRIVE, result);
    amt_ider_destroy(ider);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

void sessions_open_console(seat_t *seat)
{
    static const amt_sol_events_t events = {
        .opened = on_console_opened, .received = on_console_received, .ended = on_console_ended};
    const amt_target_t target = seat_target(seat);
    seat->uses[UNLOCK_CONSOLE] = SESSION_OPENING;
    if (amt_sol_open(&seat->sol, seat->engine->loop, &target, &events, seat, seat->pool) == APR_SUCCESS) {
        return;
    }
    seat->sol = NULL;
    answer_soon(seat, AMT_BROKEN, "no console session for this PC could be made");
}

void sessions_open_drive(seat_t *seat)
{
    static const amt_ider_events_t events = {
        .opened = on_drive_opened, .booting = on_drive_read, .ended = on_drive_ended};
    const amt_target_t target = seat_target(seat);
    const setup_image_t *image = setup_image(seat->setup, seat->unlock.system);
    amt_overlay_t overlay = {.lba = image->proof_sector};
    if (!proof_sector(seat->unlock.proof, overlay.bytes)) {
        answer_soon(seat, AMT_BROKEN, "the proof of this session could not be put onto the drive");
        return;
    }
    seat->uses[UNLOCK_DRIVE] = SESSION_OPENING;
    apr_status_t rv = amt_ider_open(&seat->ider, seat->engine->loop, &target, image->disc, &overlay, &events,
                                    seat, seat->pool);
    OPENSSL_cleanse(&overlay, sizeof(overlay));
    if (rv == APR_SUCCESS) {
        return;
    }
    seat->ider = NULL;
    answer_soon(seat, AMT_BROKEN, "no drive session for this PC could be made");
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

void sessions_init(seat_t *seat)
{
    event_assign(&seat->soon_event, seat->engine->base, -1, 0, on_soon, seat);
}

static void close_drive(seat_t *seat)
{
    if (seat->ider == NULL) {
        return;
    }
    seat->uses[UNLOCK_DRIVE] = SESSION_CLOSING;
    amt_ider_close(seat->ider);
}

static void close_console(seat_t *seat)
{
    if (seat->sol == NULL) {
        return;
    }
    seat->uses[UNLOCK_CONSOLE] = SESSION_CLOSING;
    amt_sol_close(seat->sol);
}

void sessions_close_drive(seat_t *seat)
{
    close_drive(seat);
    if (is_closed(seat)) {
        answer_soon(seat, AMT_OK, "");
    }
}

void sessions_close(seat_t *seat)
{
    close_drive(seat);
    close_console(seat);
    if (is_closed(seat)) {
        answer_soon(seat, AMT_OK, "");
    }
}

static void destroy_console(seat_t *seat)
{
    if (seat->sol != NULL) {
        amt_sol_destroy(seat->sol);
    }
    seat->sol = NULL;
}

static void destroy_drive(seat_t *seat)
{
    if (seat->ider != NULL) {
        amt_ider_destroy(seat->ider);
    }
    seat->ider = NULL;
}

void sessions_stop(seat_t *seat)
{
    event_del(&seat->soon_event);
    if (seat->uses[UNLOCK_CONSOLE] != SESSION_OPEN) {
        destroy_console(seat);
    }
    if (seat->uses[UNLOCK_DRIVE] != SESSION_OPEN) {
        destroy_drive(seat);
    }
}

void sessions_destroy(seat_t *seat)
{
    event_del(&seat->soon_event);
    destroy_drive(seat);
    destroy_console(seat);
}
