/* SPDX-License-Identifier: Apache-2.0 */
/* The redirection sessions of PCs: see wires.c. */
#include "wires_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "amt/redirection/sol.h"
#include "base/failpoint.h"
#include "drives/drives.h"
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

#define READS_NO_MORE (60000 * MS)

struct drives_t {
    amt_loop_t loop;
};

struct drive_t {
    session_t session; /* first */
    amt_ider_events_t events;
    void *baton;
    served_t order;   /* what it is to be */
    served_t *served; /* what the PC has; NULL: not open */
    struct event read_event;
};

static void drive_lost(drive_t *drive)
{
    if (drive->served != NULL && drive->served->drive == drive &&
        drive->session.pc->served == drive->served) {
        pc_lost_drive(drive->session.pc);
    }
    drive->served = NULL;
}

/* Of the same boot, by a worker of the same name: the drive process gives it. */
static int adopts(const drive_t *drive)
{
    const served_t *served = drive->session.pc->served, *order = &drive->order;

    return served != NULL && served->by == order->by && strcmp(served->job, order->job) == 0 &&
           strcmp(served->fence, order->fence) == 0 &&
           (!served->has_sector || memcmp(served->sector, order->sector, AMT_SECTOR) == 0);
}

/* Another drive of the same drive process ends first. */
static amt_status_e admit_drive(drive_t *drive)
{
    pc_t *pc = drive->session.pc;
    amt_status_e status;

    if (adopts(drive)) {
        drive->served = pc->served;
        drive->served->drive = drive;
        return AMT_OK;
    }
    if (pc->served != NULL && pc->served->by == drive->order.by) {
        pc_lost_drive(pc);
    }
    status = admit(&drive->session, AMT_REDIRECTION_STORAGE, pc->served != NULL);
    if (status == AMT_OK) {
        drive->served = pc->served = apr_pmemdup(pcs_pool, &drive->order, sizeof(drive->order));
    }
    return status;
}

static void on_drive_timer(evutil_socket_t fd, short what, void *data)
{
    drive_t *drive = data;
    amt_result_t result = result_of(AMT_OK);

    (void)fd;
    (void)what;
    if (!drive->session.is_open) {
        result = result_of(admit_drive(drive));
    }
    if (!drive->session.is_open && result.status == AMT_OK) {
        drive->session.is_open = 1;
        FAILPOINT("drive.open");
        if (drive->served != NULL && drive->served->read_at != 0) { /* it may have been cut off since */
            wire_interrupt(&drive->read_event);
        }
        drive->events.opened(drive->baton);
        return;
    }
    if (drive->session.cut != NULL) {
        result = result_of(AMT_BROKEN);
    }
    drive_lost(drive);
    drive->session.is_open = 0;
    drive->events.ended(drive->baton, &result);
}

static void on_drive_read(evutil_socket_t fd, short what, void *data)
{
    drive_t *drive = data;

    (void)fd;
    (void)what;
    FAILPOINT("drive.read");
    drive->events.booting(drive->baton);
}

apr_status_t drives_create(drives_t **drives, struct event_base *base, const char *folder, apr_pool_t *pool)
{
    (void)folder;
    *drives = apr_pcalloc(pool, sizeof(**drives));
    (*drives)->loop.base = base;
    return APR_SUCCESS;
}

void drives_leave(drives_t *drives)
{
    (void)drives; /* what is kept is served on, however its worker ends */
}

apr_status_t drive_open(drive_t **drive, drives_t *drives, const drive_order_t *order,
                        const amt_image_t *image, const amt_ider_events_t *events, void *baton,
                        const char **error, apr_pool_t *pool)
{
    drive_t *made = apr_pcalloc(pool, sizeof(*made));

    (void)image;
    (void)error;
    made->events = *events;
    made->baton = baton;
    FAILPOINT("drive.opens");
    open_session(&made->session, &drives->loop, &order->target, on_drive_timer);
    made->order = (served_t){.pc = made->session.pc,
                             .by = made->session.host->owner,
                             .drive = made,
                             .job = apr_pstrdup(pcs_pool, order->job),
                             .fence = apr_pstrdup(pcs_pool, order->fence),
                             .has_sector = 1,
                             .is_kept = order->now,
                             .alone = order->alone};
    memcpy(made->order.sector, order->overlay->bytes, AMT_SECTOR);
    event_assign(&made->read_event, drives->loop.base, -1, 0, on_drive_read, made);
    *drive = made;
    return APR_SUCCESS;
}

void drive_keep(drive_t *drive)
{
    drive->order.is_kept = 1; /* where it is not open yet */
    if (drive->served != NULL) {
        drive->served->is_kept = 1;
    }
}

void drive_conceal(drive_t *drive)
{
    if (drive->served != NULL) {
        drive->served->has_sector = 0;
    }
}

void drive_close(drive_t *drive)
{
    drive->session.is_closing = 1;
    if (drive->session.is_open) {
        wire_start_timer(&drive->session.timer, chance_between(&drive->session.pc->chance, 5 * MS, 300 * MS));
    }
}

void drive_destroy(drive_t *drive)
{
    forget_session(&drive->session);
    event_del(&drive->read_event);
    drive_lost(drive);
}

/* ---- a drive without its worker ------------------------------------------------------------------------ */

static void end_alone(served_t *served)
{
    if (served->drive == NULL && served->pc->served == served) {
        ground_say("%s: its drive is not served any more", served->pc->name);
        pc_lost_drive(served->pc);
    }
}

static void on_alone_too_long(void *baton)
{
    served_t *served = baton;

    if (clockwork_now() >= served->alone_until) {
        end_alone(served);
    }
}

static void on_read_no_more(void *baton)
{
    served_t *served = baton;

    if (clockwork_now() >= served->read_at + READS_NO_MORE) {
        end_alone(served);
    }
}

static void leave_alone(served_t *served)
{
    served->drive = NULL;
    served->alone_until = clockwork_now() + served->alone;
    clockwork_at(served->alone_until, NULL, on_alone_too_long, served);
    if (served->read_at != 0) {
        clockwork_at(clockwork_now() + READS_NO_MORE, NULL, on_read_no_more, served);
    }
}

void drive_hand_over(drive_t *drive)
{
    if (drive->served != NULL && drive->served->is_kept) {
        leave_alone(drive->served);
    }
    drive_destroy(drive);
}

/* Its worker is gone; now and then its drive process, too. Nonzero: it is served on. */
int served_left_alone(served_t *served)
{
    const drive_t *drive = served->drive;

    if (drive == NULL) {
        return 1;
    }
    if (!served->is_kept || chance_once_in(&served->pc->chance, 8)) {
        return 0;
    }
    leave_alone(served);
    return 1;
}

void served_cut(served_t *served)
{
    drive_t *drive = served->drive;

    pc_lost_drive(served->pc);
    if (drive != NULL) {
        drive->served = NULL;
        cut_off(&drive->session);
    }
}

static void on_told_read(void *baton)
{
    const served_t *served = baton;

    if (served->drive != NULL && served->pc->served == served) {
        wire_interrupt(&served->drive->read_event);
    }
}

/* Called as an event of the world: a worker that is paused hears of it later. */
int served_read(served_t *served, unsigned char *sector)
{
    if (!served->has_sector) {
        return 0;
    }
    memcpy(sector, served->sector, AMT_SECTOR);
    served->read_at = clockwork_now();
    if (served->drive != NULL) {
        clockwork_at(clockwork_now(), served->drive->session.host, on_told_read, served);
    }
    else {
        clockwork_at(clockwork_now() + READS_NO_MORE, NULL, on_read_no_more, served);
    }
    return 1;
}
