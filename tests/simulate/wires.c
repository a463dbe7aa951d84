/* SPDX-License-Identifier: Apache-2.0 */
/* The wires between workers and PCs. Takes the place of amt/ (but for its types), of worker/probe.c and of
 * worker/work_pool.c: every call returns at once and ends in one callback from the loop of its engine, as they promise.
 *
 * What left is on its way whatever becomes of its sender. An answer may be slow or lost, and finds its caller only
 * where that still waits.
 */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <event2/event_struct.h>
#include <openssl/crypto.h>

#include "amt/redirection/ider.h"
#include "amt/redirection/sol.h"
#include "base/failpoint.h"
#include "ground.h"
#include "inventory/inventory.h"
#include "judge.h"
#include "pcs_priv.h"
#include "worker/probe.h"
#include "worker/slot_priv.h"
#include "worker/work_pool.h"

#define MS 1000
#define CONNECT_TIMEOUT (5000 * MS)
#define CALL_TIMEOUT (15000 * MS)

static void start_timer(struct event *timer, apr_interval_time_t after)
{
    const struct timeval wait = {.tv_sec = apr_time_sec(after), .tv_usec = apr_time_usec(after)};

    event_add(timer, &wait);
}

static void interrupt_with(struct event *event)
{
    event_active(event, EV_TIMEOUT, 0);
    loop_interrupt(event->ev_base);
}

static int is_unreachable(const pc_t *pc)
{
    return clockwork_now() < pc->unreachable_until;
}

static apr_interval_time_t way_to(pc_t *pc)
{
    return clockwork_now() < pc->slow_until ? chance_between(&pc->chance, 500 * MS, 16000 * MS)
                                            : chance_between(&pc->chance, 1 * MS, 150 * MS);
}

/* ---- a loop and its devices ---------------------------------------------------------------------------- */

struct amt_loop_t {
    struct event_base *base;
};

/* A call under way. The world's: it outlives the device. */
typedef struct {
    amt_device_t *device; /* NULL: it waits no more */
    pc_t *pc;
    host_t *host;
    pc_call_t call;
    amt_facts_t facts;
    amt_status_e status;
} flight_t;

typedef enum { PHASE_IDLE, PHASE_SENDS, PHASE_WAITS } phase_e;

struct amt_device_t {
    struct event timer;
    host_t *host;
    pc_t *pc;
    phase_e phase;
    int connected, answered;
    flight_t *flight;
    amt_read_e read;
    amt_facts_t *facts;
    pc_call_t call;
    amt_gate_fn gate;
    void *gate_baton;
    act_e act;
    amt_done_fn done;
    void *baton;
};

apr_status_t amt_library_init(void)
{
    return APR_SUCCESS;
}

apr_status_t amt_loop_create(amt_loop_t **loop, struct event_base *base, apr_pool_t *pool)
{
    *loop = apr_palloc(pool, sizeof(**loop));
    (*loop)->base = base;
    return APR_SUCCESS;
}

apr_status_t amt_loop_use_threads(amt_loop_t *loop, amt_run_fn run, void *runner)
{
    (void)loop;
    (void)run;
    (void)runner;
    return APR_SUCCESS;
}

const char *amt_trust_check(const amt_target_t *files, apr_pool_t *pool)
{
    (void)files;
    (void)pool;
    return NULL;
}

static void finish(amt_device_t *device, amt_status_e status, int acted, const char *text)
{
    const amt_result_t result = {.status = status, .acted = acted, .return_value = status == AMT_OK ? 0 : -1, .text = text};

    device->phase = PHASE_IDLE;
    event_del(&device->timer);
    if (device->flight != NULL) {
        device->flight->device = NULL;
    }
    device->flight = NULL;
    device->done(device->baton, &result);
}

/* The answer is there, or it was lost and the flight ends. An event of the worker. */
static void on_answer(void *baton)
{
    flight_t *flight = baton;

    if (flight->device != NULL) {
        flight->device->answered = 1;
        interrupt_with(&flight->device->timer);
    }
}

/* An event of the world. */
static void on_arrival(void *baton)
{
    flight_t *flight = baton;
    pc_t *pc = flight->pc;

    if (is_unreachable(pc)) {
        return;
    }
    flight->status = pc_do(pc, &flight->call, &flight->facts);
    if (clockwork_now() < pc->forgets_until && chance_once_in(&pc->chance, 2)) {
        return;
    }
    clockwork_at(clockwork_now() + way_to(pc), flight->host, on_answer, flight);
}

static void leave(amt_device_t *device)
{
    flight_t *flight = apr_pcalloc(pcs_pool, sizeof(*flight));

    *flight = (flight_t){.device = device, .pc = device->pc, .host = device->host, .call = device->call};
    device->flight = flight;
    device->connected = 1;
    device->answered = 0;
    device->phase = PHASE_WAITS;
    start_timer(&device->timer, CALL_TIMEOUT);
    clockwork_at(clockwork_now() + way_to(device->pc), NULL, on_arrival, flight);
}

static void send_call(amt_device_t *device)
{
    if (is_unreachable(device->pc) && !device->connected) {
        finish(device, AMT_UNREACHABLE, 0, "no connection");
        return;
    }
    if (device->gate != NULL) {
        FAILPOINT("act.before");
    }
    if (device->gate != NULL && !device->gate(device->gate_baton)) {
        finish(device, AMT_FENCED, 0, "");
        return;
    }
    if (device->gate != NULL) {
        device->call.act = judge_act(device->act, device->gate_baton, device->pc);
    }
    leave(device);
}

static void take_facts(const amt_device_t *device)
{
    const amt_facts_t *read = &device->flight->facts;

    switch (device->read) {
    case AMT_READ_IDENTITY: device->facts->identity = read->identity; break;
    case AMT_READ_CONSENT: device->facts->consent = read->consent; break;
    case AMT_READ_REDIRECTION: device->facts->redirection = read->redirection; break;
    case AMT_READ_CAPABILITIES: device->facts->capabilities = read->capabilities; break;
    case AMT_READ_BOOT: device->facts->boot = read->boot; break;
    case AMT_READ_POWER: device->facts->power = read->power; break;
    case AMT_READ_SAVING: device->facts->saving = read->saving; break;
    default: break;
    }
}

static void on_device_timer(evutil_socket_t fd, short what, void *data)
{
    amt_device_t *device = data;

    (void)fd;
    (void)what;
    if (device->phase == PHASE_SENDS) {
        send_call(device);
        return;
    }
    if (!device->answered) {
        finish(device, device->connected ? AMT_TIMEOUT : AMT_UNREACHABLE, 1, "no answer");
        return;
    }
    if (device->gate != NULL) {
        FAILPOINT("act.answered");
    }
    if (device->flight->status == AMT_OK && device->call.kind == CALL_READ) {
        take_facts(device);
    }
    finish(device, device->flight->status, device->flight->status == AMT_OK,
           device->flight->status == AMT_OK ? "" : "the device refuses");
}

apr_status_t amt_device_create(amt_device_t **device, amt_loop_t *loop, const amt_target_t *target, apr_pool_t *pool)
{
    amt_device_t *made = apr_pcalloc(pool, sizeof(*made));

    made->host = host_current();
    made->pc = pc_find(target->fqdn);
    event_assign(&made->timer, loop->base, -1, 0, on_device_timer, made);
    *device = made;
    return APR_SUCCESS;
}

void amt_device_destroy(amt_device_t *device)
{
    event_del(&device->timer);
    if (device->flight != NULL) {
        device->flight->device = NULL;
    }
    device->flight = NULL;
}

int amt_device_tls_minor(const amt_device_t *device)
{
    (void)device;
    return 3;
}

static void begin_call(amt_device_t *device, pc_call_t call, amt_done_fn done, void *baton)
{
    apr_interval_time_t after = chance_between(&device->pc->chance, 1 * MS, device->connected ? 20 * MS : 400 * MS);

    device->call = call;
    device->gate = NULL;
    device->done = done;
    device->baton = baton;
    device->phase = PHASE_SENDS;
    device->answered = 0;
    start_timer(&device->timer, is_unreachable(device->pc) && !device->connected ? CONNECT_TIMEOUT : after);
}

static void begin_act(amt_device_t *device, act_e act, pc_call_t call, amt_gate_fn gate, void *gate_baton,
                      amt_done_fn done, void *baton)
{
    begin_call(device, call, done, baton);
    device->act = act;
    device->gate = gate;
    device->gate_baton = gate_baton;
}

void amt_read(amt_device_t *device, amt_read_e kind, amt_facts_t *facts, amt_done_fn done, void *baton)
{
    begin_call(device, (pc_call_t){.kind = CALL_READ}, done, baton);
    device->read = kind;
    device->facts = facts;
}

void amt_clear_boot(amt_device_t *device, amt_gate_fn gate, void *gate_baton, amt_done_fn done, void *baton)
{
    begin_act(device, ACT_WRITE, (pc_call_t){.kind = CALL_SET_BOOT}, gate, gate_baton, done, baton);
}

void amt_set_boot(amt_device_t *device, int start, amt_gate_fn gate, void *gate_baton, amt_done_fn done, void *baton)
{
    begin_act(device, ACT_WRITE, (pc_call_t){.kind = CALL_SET_BOOT, .number = start}, gate, gate_baton, done, baton);
}

void amt_set_redirection(amt_device_t *device, const amt_redirection_t *wanted, amt_gate_fn gate, void *gate_baton,
                         amt_done_fn done, void *baton)
{
    begin_act(device, ACT_WRITE, (pc_call_t){.kind = CALL_SET_REDIRECTION, .redirection = *wanted}, gate, gate_baton,
              done, baton);
}

void amt_request_power(amt_device_t *device, int state, amt_gate_fn gate, void *gate_baton, amt_done_fn done,
                       void *baton)
{
    begin_act(device, ACT_POWER, (pc_call_t){.kind = CALL_POWER, .number = state}, gate, gate_baton, done, baton);
}

/* ---- sessions ------------------------------------------------------------------------------------------ */

/* What both kinds have in common. */
typedef struct {
    struct event timer;
    host_t *host;
    pc_t *pc;
    int is_open, is_closing, is_cut;
} session_t;

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

static void open_session(session_t *session, amt_loop_t *loop, const amt_target_t *target, event_callback_fn on_timer)
{
    session->host = host_current();
    session->pc = pc_find(target->fqdn);
    event_assign(&session->timer, loop->base, -1, 0, on_timer, session);
    start_timer(&session->timer, is_unreachable(session->pc) ? CONNECT_TIMEOUT
                                                             : chance_between(&session->pc->chance, 20 * MS, 500 * MS));
}

/* AMT_OK: the firmware gives this session. */
static amt_status_e admit(const session_t *session, int kind, int is_taken)
{
    const pc_t *pc = session->pc;

    if (is_unreachable(pc)) {
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
        sol->events.opened(sol->baton);
        return;
    }
    if (sol->session.is_cut) {
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
    sol->events.received(sol->baton, input, strlen(input)); /* which may destroy it */
    free(input);
}

apr_status_t amt_sol_open(amt_sol_t **sol, amt_loop_t *loop, const amt_target_t *target, const amt_sol_events_t *events,
                          void *baton, apr_pool_t *pool)
{
    amt_sol_t *made = apr_pcalloc(pool, sizeof(*made));

    made->events = *events;
    made->baton = baton;
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
    return strstr(bytes, "seal") != NULL ? ACT_SEAL : ACT_WRITE;
}

apr_status_t amt_sol_send(amt_sol_t *sol, const char *bytes, apr_size_t length, amt_gate_fn gate, void *gate_baton)
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
        start_timer(&sol->session.timer, chance_between(&sol->session.pc->chance, 5 * MS, 300 * MS));
    }
}

void amt_sol_destroy(amt_sol_t *sol)
{
    event_del(&sol->session.timer);
    event_del(&sol->input_event);
    free(sol->input);
    sol->input = NULL;
    if (sol->session.pc->sol == sol) {
        sol->session.pc->sol = NULL;
    }
}

static void cut(void *baton)
{
    session_t *session = baton;

    if (session->is_cut && session->is_open) {
        interrupt_with(&session->timer);
    }
}

void sol_cut(sol_t *sol)
{
    sol->session.is_cut = 1;
    sol->session.pc->sol = NULL;
    clockwork_at(clockwork_now(), sol->session.host, cut, &sol->session);
}

void ider_cut(ider_t *ider)
{
    ider->session.is_cut = 1;
    ider->session.pc->ider = NULL;
    clockwork_at(clockwork_now(), ider->session.host, cut, &ider->session);
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
    size_t before;

    if (said->pc->sol != sol) {
        return;
    }
    before = sol->input != NULL ? strlen(sol->input) : 0;
    sol->input = realloc(sol->input, before + strlen(said->text) + 1);
    strcpy(sol->input + before, said->text);
    interrupt_with(&sol->input_event);
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
        ider->events.opened(ider->baton);
        return;
    }
    if (ider->session.is_cut) {
        result = result_of(AMT_BROKEN);
    }
    if (ider->session.pc->ider == ider) {
        ider->session.pc->ider = NULL;
    }
    ider->session.is_open = 0;
    ider->events.ended(ider->baton, &result);
}

static void on_ider_read(evutil_socket_t fd, short what, void *data)
{
    amt_ider_t *ider = data;

    (void)fd;
    (void)what;
    ider->events.booting(ider->baton);
}

apr_status_t amt_ider_open(amt_ider_t **ider, amt_loop_t *loop, const amt_target_t *target, amt_image_t *image,
                           const amt_overlay_t *overlay, const amt_ider_events_t *events, void *baton, apr_pool_t *pool)
{
    amt_ider_t *made = apr_pcalloc(pool, sizeof(*made));

    (void)image;
    made->events = *events;
    made->baton = baton;
    memcpy(made->sector, overlay->bytes, AMT_SECTOR);
    made->has_sector = 1;
    open_session(&made->session, loop, target, on_ider_timer);
    event_assign(&made->read_event, loop->base, -1, 0, on_ider_read, made);
    *ider = made;
    return APR_SUCCESS;
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
        start_timer(&ider->session.timer, chance_between(&ider->session.pc->chance, 5 * MS, 300 * MS));
    }
}

void amt_ider_destroy(amt_ider_t *ider)
{
    event_del(&ider->session.timer);
    event_del(&ider->read_event);
    if (ider->session.pc->ider == ider) {
        ider->session.pc->ider = NULL;
    }
}

const host_t *ider_host(const ider_t *ider)
{
    return ider->session.host;
}

/* Called as an event of the world, where the worker may be paused: its drive then answers nothing. */
int ider_read(ider_t *ider, unsigned char *sector)
{
    if (!ider->has_sector || ider->session.host->paused_until > clockwork_now()) {
        return 0;
    }
    memcpy(sector, ider->sector, AMT_SECTOR);
    interrupt_with(&ider->read_event);
    return 1;
}

/* ---- the probe ----------------------------------------------------------------------------------------- */

static const pc_t *pc_of_address(const char *address)
{
    const char *last = strrchr(address, '.');

    return last != NULL && atoi(last + 1) < PCS ? &pcs[atoi(last + 1)] : NULL;
}

static const pc_t *pc_of_probe(const probe_t *probe)
{
    return pc_find(((const slot_t *)probe->owner)->unlock.system->fqdn);
}

static void on_probe(evutil_socket_t fd, short what, void *data)
{
    probe_t *probe = data;
    const pc_t *pc = pc_of_probe(probe);

    (void)fd;
    (void)what;
    probe->running = 0;
    probe->done(probe, pc->is_up && !is_unreachable(pc));
}

void probe_init(probe_t *probe, probe_done_fn done, void *owner)
{
    memset(probe, 0, sizeof(*probe));
    probe->done = done;
    probe->owner = owner;
}

void probe_start(probe_t *probe, struct event_base *base, const resolve_addresses_t *addresses, int port,
                 apr_interval_time_t timeout)
{
    const pc_t *pc = pc_of_probe(probe);
    int answers = pc->power == AMT_POWER_ON && !is_unreachable(pc);

    (void)port;
    if (addresses->count == 0 || pc_of_address(addresses->text[0]) != pc) {
        judge_breaks("addresses", "%s is probed at another's address", pc->name);
    }
    probe->running = 1;
    event_assign(&probe->end, base, -1, 0, on_probe, probe);
    start_timer(&probe->end, answers ? 3 * MS : timeout);
}

void probe_stop(probe_t *probe)
{
    if (probe->running) {
        event_del(&probe->end);
    }
    probe->running = 0;
}

/* ---- work that blocks ---------------------------------------------------------------------------------- */

struct work_pool_t {
    int under_way;
};

/* The world's. */
typedef struct {
    work_pool_t *work_pool;
    work_t *work; /* NULL: it was cancelled */
    host_t *host;
    int begun;
} errand_t;

apr_status_t work_pool_start(work_pool_t **work_pool, apr_pool_t *pool)
{
    *work_pool = apr_pcalloc(pool, sizeof(**work_pool));
    return APR_SUCCESS;
}

int work_pool_idle(const work_pool_t *work_pool)
{
    return work_pool->under_way == 0;
}

void work_pool_stop(work_pool_t *work_pool)
{
    work_pool->under_way = -1; /* what comes back finds nobody */
}

static char *secret(const char *text)
{
    char *copy = OPENSSL_secure_zalloc(strlen(text) + 1);

    return strcpy(copy, text);
}

static void fill(work_t *work)
{
    const pc_t *pc = pc_find(work->system->fqdn);

    if (work->kind == WORK_LOGIN) {
        work->login = (secrets_login_t){.user = secret("admin"), .password = secret("Passw0rd!"), .source = "simulated"};
    }
    else if (work->kind == WORK_PASSPHRASE) {
        work->passphrase = secret(PC_PASSPHRASE);
    }
    else {
        work->addresses.count = 1;
        apr_snprintf(work->addresses.text[0], RESOLVE_ADDRESS_MAX, "192.0.2.%d", pc->number);
    }
}

static void on_errand_done(void *baton)
{
    errand_t *errand = baton;

    if (errand->work != NULL && errand->work_pool->under_way > 0) {
        errand->work_pool->under_way--;
        errand->work->way.fair.waits_in = NULL;
        fill(errand->work);
        errand->work->done(errand->work);
    }
}

static void on_errand_begun(void *baton)
{
    errand_t *errand = baton;

    errand->begun = 1;
}

apr_status_t work_pool_push(work_pool_t *work_pool, work_t *work)
{
    host_t *host = host_current();
    errand_t *errand = apr_palloc(pcs_pool, sizeof(*errand));
    apr_time_t begins = clockwork_now() + chance_between(&host->chance, 0, chance_once_in(&host->chance, 50) ? 3000 * MS : 5 * MS);

    *errand = (errand_t){.work_pool = work_pool, .work = work, .host = host};
    work->way.fair.waits_in = (fair_group_t *)errand; /* what the real pool keeps there is its own */
    work->reason = JOBS_REASON_NONE;
    work->text[0] = '\0';
    work_pool->under_way++;
    clockwork_at(begins, host, on_errand_begun, errand);
    clockwork_at(begins + chance_between(&host->chance, 1 * MS, chance_once_in(&host->chance, 50) ? 8000 * MS : 40 * MS), host, on_errand_done, errand);
    return APR_SUCCESS;
}

int work_pool_cancel(work_pool_t *work_pool, work_t *work)
{
    errand_t *errand = (errand_t *)work->way.fair.waits_in;

    if (errand == NULL || errand->begun) {
        return 0;
    }
    errand->work = NULL;
    work_pool->under_way--;
    return 1;
}

apr_status_t work_pool_run(void *work_pool, const char *group, apr_thread_start_t start, void *baton)
{
    (void)work_pool;
    (void)group;
    (void)start;
    (void)baton;
    return APR_ENOTIMPL;
}
