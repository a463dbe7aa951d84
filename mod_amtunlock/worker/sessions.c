/* The redirection sessions of an unlock, behind its ports: see seat.h. */
#include <string.h>

#include <openssl/crypto.h>

#include "worker/log.h"
#include "worker/seat.h"

/* ---- typing -------------------------------------------------------------------------------------------- */

/* An answer may not come from inside the port. */
static void on_typed(evutil_socket_t fd, short what, void *data)
{
    seat_t *seat = data;
    const amt_result_t result = {
        .status = seat->typed_status,
        .acted = seat->typed_status == AMT_OK,
        .text = seat->typed_status == AMT_OK ? "" : "nothing could be typed on its console"};
    (void)fd;
    (void)what;
    unlock_call_answer(&seat->unlock, &result);
}

static void type(seat_t *seat, const char *bytes)
{
    apr_status_t rv = APR_EBUSY;
    int open = seat->sol != NULL && seat->sol_use == SESSION_OPEN;
    int may_act = seat_may_act(seat);
    if (open && may_act)
        rv = amt_sol_send(seat->sol, bytes, strlen(bytes), seat_may_act, seat);
    seat->typed_status = rv == APR_SUCCESS ? AMT_OK : may_act ? AMT_BROKEN : AMT_FENCED;
    event_active(&seat->typed, EV_TIMEOUT, 0);
}

void sessions_redraw(seat_t *seat)
{
    type(seat, seat->unlock.prompts->redraw);
}

/* The passphrase and the CR leave in one piece, so that no half of a line stands at a prompt. */
void sessions_type(seat_t *seat)
{
    apr_size_t length = seat->passphrase ? strlen(seat->passphrase) : 0;
    char *line = OPENSSL_secure_zalloc(length + 2);
    if (line != NULL) {
        memcpy(line, seat->passphrase ? seat->passphrase : "", length);
        line[length] = '\r';
        type(seat, line);
        OPENSSL_secure_clear_free(line, length + 2);
    }
    else {
        seat->typed_status = AMT_BROKEN;
        event_active(&seat->typed, EV_TIMEOUT, 0);
    }
    seat_forget_passphrase(seat);
}

/* ---- the console --------------------------------------------------------------------------------------- */

static void on_console_opened(void *baton)
{
    static const amt_result_t opened = {.status = AMT_OK, .text = ""};
    seat_t *seat = baton;
    seat->sol_use = SESSION_OPEN;
    unlock_call_answer(&seat->unlock, &opened);
}

static void on_console_received(void *baton, const char *bytes, apr_size_t length)
{
    seat_t *seat = baton;
    unlock_hear(&seat->unlock, bytes, length);
}

static void answer_closed(seat_t *seat)
{
    static const amt_result_t closed = {.status = AMT_OK, .text = ""};
    if (seat->sol == NULL)
        unlock_call_answer(&seat->unlock, &closed);
}

/* An end is an answer where one is waited for. The text lives as long as the session. */
static void on_console_ended(void *baton, const amt_result_t *result)
{
    seat_t *seat = baton;
    amt_sol_t *sol = seat->sol;
    seat->sol = NULL;
    if (seat->sol_use == SESSION_OPENING)
        unlock_call_answer(&seat->unlock, result);
    else if (seat->sol_use == SESSION_OPEN)
        unlock_cut(&seat->unlock, result);
    else
        answer_closed(seat);
    amt_sol_destroy(sol);
}

void sessions_open_console(seat_t *seat)
{
    static const amt_sol_events_t events = {
        .opened = on_console_opened, .received = on_console_received, .ended = on_console_ended};
    const amt_target_t target = seat_target(seat);
    seat->sol_use = SESSION_OPENING;
    if (amt_sol_open(&seat->sol, seat->engine->loop, &target, &events, seat, seat->pool) == APR_SUCCESS)
        return;
    seat->sol = NULL;
    log_error("AMTU0513", "no console session for this PC could be made", "system", seat->task.sid);
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

void sessions_init(seat_t *seat)
{
    event_assign(&seat->typed, seat->engine->base, -1, 0, on_typed, seat);
}

void sessions_close(seat_t *seat)
{
    if (seat->sol != NULL) {
        seat->sol_use = SESSION_CLOSING;
        amt_sol_close(seat->sol);
        return;
    }
    seat->typed_status = AMT_OK;
    event_active(&seat->typed, EV_TIMEOUT, 0);
}

static void destroy_console(seat_t *seat)
{
    if (seat->sol != NULL)
        amt_sol_destroy(seat->sol);
    seat->sol = NULL;
}

void sessions_stop(seat_t *seat)
{
    event_del(&seat->typed);
    if (seat->sol_use != SESSION_OPEN)
        destroy_console(seat);
}

void sessions_destroy(seat_t *seat)
{
    event_del(&seat->typed);
    destroy_console(seat);
}
