/* SPDX-License-Identifier: Apache-2.0 */
/* The redirection sessions of PCs: see wires.c. */
#include "wires_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "amt/redirection/ider.h"
#include "amt/redirection/sol.h"
#include "base/failpoint.h"
#include "ground.h"
#include "judge.h"

/* ---- sessions ------------------------------------------------------------------------------------------ */

typedef struct session_t session_t;

/* The world's: it outlives the session. */
typedef struct {
    session_t *session; /* NULL: it is gone */
} cut_t;

/* What both kinds have in common. */
struct session_t {
    struct event timer;
    host_t *host;
    pc_t *pc;
    int is_open, is_closing;
    cut_t *cut; /* it was cut off; NULL: not */
};

struct amt_sol_t {
    session_t session; /* first */
    amt_sol_events_t events;
    void *baton;
    char *input; /* that came, from malloc; NULL: none */
    struct event input_event;
};

struct amt_ider_t {
    session_t session; /* first */
    amt_ider_events_t events;
    void *baton;
    unsigned char sector[AMT_SECTOR];
    int has_sector;
    struct event read_event;
};

static void open_session(session_t *session, amt_loop_t *loop, const amt_target_t *target,
                         event_callback_fn on_timer)
{
    session->host = host_current();
    session->pc = pc_find(target->fqdn);
    event_assign(&session->timer, loop->base, -1, 0, on_timer, session);
    wire_start_timer(&session->timer, wire_is_unreachable(session->pc)
                                          ? CONNECT_TIMEOUT
                                          : chance_between(&session->pc->chance, 20 * MS, 500 * MS));
}

/* AMT_OK: the firmware gives this session. */
static amt_status_e admit(const session_t *session, int kind, int is_taken)
{
    const pc_t *pc = session->pc;

    if (wire_is_unreachable(pc)) {
        return AMT_UNREACHABLE;
    }
    if (!pc->listener || (pc->redirection != kind && pc->redirection != AMT_REDIRECTION_BOTH)) {
        return AMT_REFUSED;
    }
    return is_taken || clockwork_now() < pc->busy_until ? AMT_BUSY : AMT_OK;
}

static amt_result_t result_of(amt_status_e status)
{
    return (amt_result_t){.status = status, .text = status == AMT_OK ? "" : "no session"};
}

static void forget_session(session_t *session)
{
    event_del(&session->timer);
    if (session->cut != NULL) {
        session->cut->session = NULL;
    }
}

/* ---- Serial-over-LAN ----------------------------------------------------------------------------------- */

static void on_sol_timer(evutil_socket_t fd, short what, void *data)
{
    amt_sol_t *sol = data;
    amt_result_t result = result_of(AMT_OK);

    (void)fd;
    (void)what;
    if (!sol->session.is_open) {
        result = result_of(admit(&sol->session, AMT_REDIRECTION_SOL, sol->session.pc->sol != NULL));
    }
    if (!sol->session.is_open && result.status == AMT_OK) {
        sol->session.is_open = 1;
        sol->session.pc->sol = sol;
        FAILPOINT("console.open");
        sol->events.opened(sol->baton);
        return;
    }
    if (sol->session.cut != NULL) {
        result = result_of(AMT_BROKEN);
    }
    if (sol->session.pc->sol == sol) {
        sol->session.pc->sol = NULL;
    }
    sol->session.is_open = 0;
    sol->events.ended(sol->baton, &result);
}

static void on_sol_input(evutil_socket_t fd, short what, void *data)
{
    amt_sol_t *sol = data;
    char *input = sol->input;

    (void)fd;
    (void)what;
    sol->input = NULL;
    FAILPOINT("console.heard");
    sol->events.received(sol->baton, input, strlen(input)); /* which may destroy it */
    free(input);
}

apr_status_t amt_sol_open(amt_sol_t **sol, amt_loop_t *loop, const amt_target_t *target,
                          const amt_sol_events_t *events, void *baton, apr_pool_t *pool)
{
    amt_sol_t *made = apr_pcalloc(pool, sizeof(*made));

    made->events = *events;
    made->baton = baton;
    FAILPOINT("console.opens");
    open_session(&made->session, loop, target, on_sol_timer);
    event_assign(&made->input_event, loop->base, -1, 0, on_sol_input, made);
    *sol = made;
    return APR_SUCCESS;
}

typedef struct {
    pc_t *pc;
    void *act;
    const char *bytes;
} typed_t;

static void on_typed(void *baton)
{
    const typed_t *typed = baton;

    pc_typed(typed->pc, typed->bytes, typed->act);
}

static act_e kind_of_line(const char *bytes)
{
    if (strncmp(bytes, PC_PASSPHRASE, strlen(PC_PASSPHRASE)) == 0) {
        return ACT_TYPE;
    }
    if (strcmp(bytes, PC_REDRAW) == 0) {
        return ACT_REDRAW;
    }
    if (strcmp(bytes, "\r") == 0) {
        return ACT_LINE;
    }
    return strstr(bytes, "seal") != NULL ? ACT_SEAL : ACT_WRITE;
}

apr_status_t amt_sol_send(amt_sol_t *sol, const char *bytes, apr_size_t length, amt_gate_fn gate,
                          void *gate_baton)
{
    pc_t *pc = sol->session.pc;
    typed_t *typed = apr_palloc(pcs_pool, sizeof(*typed));

    if (!sol->session.is_open || sol->session.is_closing || (gate != NULL && !gate(gate_baton))) {
        return APR_EBUSY;
    }
    *typed = (typed_t){pc, NULL, apr_pstrmemdup(pcs_pool, bytes, length)};
    typed->act = judge_act(kind_of_line(typed->bytes), gate_baton, pc);
    clockwork_at(clockwork_now() + chance_between(&pc->chance, 1 * MS, 100 * MS), NULL, on_typed, typed);
    return APR_SUCCESS;
}

int amt_sol_powered(const amt_sol_t *sol)
{
    return sol->session.pc->power == AMT_POWER_ON;
}

int amt_sol_lost(const amt_sol_t *sol)
{
    (void)sol;
    return 0;
}

void amt_sol_close(amt_sol_t *sol)
{
    sol->session.is_closing = 1;
    if (sol->session.is_open) {
        wire_start_timer(&sol->session.timer, chance_between(&sol->session.pc->chance, 5 * MS, 300 * MS));
    }
}

void amt_sol_destroy(amt_sol_t *sol)
{
    forget_session(&sol->session);
    event_del(&sol->input_event);
    free(sol->input);
    sol->input = NULL;
    if (sol->session.pc->sol == sol) {
        sol->session.pc->sol = NULL;
    }
}

static void on_cut(void *baton)
{
    const cut_t *cut = baton;

    if (cut->session != NULL && cut->session->is_open) {
        wire_interrupt(&cut->session->timer);
    }
}

/* The device ends it. Its worker hears of that when it runs. */
static void cut_off(session_t *session)
{
    session->cut = apr_palloc(pcs_pool, sizeof(*session->cut));
    session->cut->session = session;
    clockwork_at(clockwork_now(), session->host, on_cut, session->cut);
}

void sol_cut(sol_t *sol)
{
    sol->session.pc->sol = NULL;
    cut_off(&sol->session);
}

void ider_cut(ider_t *ider)
{
    pc_lost_drive(ider->session.pc);
    cut_off(&ider->session);
}

const host_t *sol_host(const sol_t *sol)
{
    return sol->session.host;
}

typedef struct {
    pc_t *pc;
    sol_t *sol;
    const char *text;
} said_t;

static void on_said(void *baton)
{
    const said_t *said = baton;
    amt_sol_t *sol = said->sol;
    size_t before, size;

    if (said->pc->sol != sol) {
        return;
    }
    before = sol->input != NULL ? strlen(sol->input) : 0;
    size = strlen(said->text) + 1;
    sol->input = realloc(sol->input, before + size);
    memcpy(sol->input + before, said->text, size);
    wire_interrupt(&sol->input_event);
}

void sol_received(sol_t *sol, const char *text)
{
    said_t *said = apr_palloc(pcs_pool, sizeof(*said));

    *said = (said_t){sol->session.pc, sol, apr_pstrdup(pcs_pool, text)};
    clockwork_at(clockwork_now() + 5 * MS, sol->session.host, on_said, said);
}

/* ---- the drive ----------------------------------------------------------------------------------------- */

static void on_ider_timer(evutil_socket_t fd, short what, void *data)
{
    amt_ider_t *ider = data;
    amt_result_t result = result_of(AMT_OK);

    (void)fd;
    (void)what;
    if (!ider->session.is_open) {
        result = result_of(admit(&ider->session, AMT_REDIRECTION_STORAGE, ider->session.pc->ider != NULL));
    }
    if (!ider->session.is_open && result.status == AMT_OK) {
        ider->session.is_open = 1;
        ider->session.pc->ider = ider;
        FAILPOINT("drive.open");
        ider->events.opened(ider->baton);
        return;
    }
    if (ider->session.cut != NULL) {
        result = result_of(AMT_BROKEN);
    }
    if (ider->session.pc->ider == ider) {
        pc_lost_drive(ider->session.pc);
    }
    ider->session.is_open = 0;
    ider->events.ended(ider->baton, &result);
}

static void on_ider_read(evutil_socket_t fd, short what, void *data)
{
    amt_ider_t *ider = data;

    (void)fd;
    (void)what;
    FAILPOINT("drive.read");
    ider->events.booting(ider->baton);
}

apr_status_t amt_ider_open(amt_ider_t **ider, amt_loop_t *loop, const amt_target_t *target,
                           amt_image_t *image, const amt_overlay_t *overlay, const amt_ider_events_t *events,
                           void *baton, apr_pool_t *pool)
{
    amt_ider_t *made = apr_pcalloc(pool, sizeof(*made));

    (void)image;
    made->events = *events;
    made->baton = baton;
    if (overlay != NULL) {
        memcpy(made->sector, overlay->bytes, AMT_SECTOR);
        made->has_sector = 1;
    }
    FAILPOINT("drive.opens");
    open_session(&made->session, loop, target, on_ider_timer);
    event_assign(&made->read_event, loop->base, -1, 0, on_ider_read, made);
    *ider = made;
    return APR_SUCCESS;
}

void amt_ider_enable_now(amt_ider_t *ider)
{
    (void)ider;
}

void amt_ider_drop_overlay(amt_ider_t *ider)
{
    ider->has_sector = 0;
}

apr_uint64_t amt_ider_served(const amt_ider_t *ider)
{
    (void)ider;
    return 0;
}

void amt_ider_close(amt_ider_t *ider)
{
    ider->session.is_closing = 1;
    if (ider->session.is_open) {
        wire_start_timer(&ider->session.timer, chance_between(&ider->session.pc->chance, 5 * MS, 300 * MS));
    }
}

void amt_ider_destroy(amt_ider_t *ider)
{
    forget_session(&ider->session);
    event_del(&ider->read_event);
    if (ider->session.pc->ider == ider) {
        pc_lost_drive(ider->session.pc);
    }
}

const host_t *ider_host(const ider_t *ider)
{
    return ider->session.host;
}

const void *ider_slot(const ider_t *ider)
{
    return ider->baton;
}

/* Called as an event of the world, where the worker may be paused: its drive then answers nothing. */
int ider_read(ider_t *ider, unsigned char *sector)
{
    if (!ider->has_sector || ider->session.host->paused_until > clockwork_now()) {
        return 0;
    }
    memcpy(sector, ider->sector, AMT_SECTOR);
    wire_interrupt(&ider->read_event);
    return 1;
}
