/* SPDX-License-Identifier: Apache-2.0 */
/* The wires between workers and PCs. Takes the place of amt/ (but for its types), of worker/probe.c and of
 * worker/work_pool.c: every call returns at once and ends in one callback from the loop of its engine, as they promise.
 *
 * What left is on its way whatever becomes of its sender. An answer may be slow or lost, and finds its caller only
 * where that still waits.
 */
#include "wires_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/failpoint.h"
#include "ground.h"
#include "judge.h"

#define CALL_TIMEOUT (15000 * MS)

void wire_start_timer(struct event *timer, apr_interval_time_t after)
{
    const struct timeval wait = {.tv_sec = apr_time_sec(after), .tv_usec = apr_time_usec(after)};

    event_add(timer, &wait);
}

void wire_interrupt(struct event *event)
{
    event_active(event, EV_TIMEOUT, 0);
    loop_interrupt(event->ev_base);
}

int wire_is_unreachable(const pc_t *pc)
{
    return clockwork_now() < pc->unreachable_until;
}

static apr_interval_time_t way_to(pc_t *pc)
{
    return clockwork_now() < pc->slow_until ? chance_between(&pc->chance, 500 * MS, 16000 * MS)
                                            : chance_between(&pc->chance, 1 * MS, 150 * MS);
}

/* ---- a loop and its devices ---------------------------------------------------------------------------- */

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
    const amt_result_t result = {
        .status = status, .acted = acted, .return_value = status == AMT_OK ? 0 : -1, .text = text};

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
        wire_interrupt(&flight->device->timer);
    }
}

/* An event of the world. */
static void on_arrival(void *baton)
{
    flight_t *flight = baton;
    pc_t *pc = flight->pc;

    if (wire_is_unreachable(pc)) {
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
    wire_start_timer(&device->timer, CALL_TIMEOUT);
    clockwork_at(clockwork_now() + way_to(device->pc), NULL, on_arrival, flight);
}

static void send_call(amt_device_t *device)
{
    if (wire_is_unreachable(device->pc) && !device->connected) {
        finish(device, AMT_UNREACHABLE, 0, "no connection");
        return;
    }
    FAILPOINT(device->gate != NULL ? "act.before" : "call.before");
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
    case AMT_READ_IDENTITY:
        device->facts->identity = read->identity;
        break;
    case AMT_READ_CONSENT:
        device->facts->consent = read->consent;
        break;
    case AMT_READ_REDIRECTION:
        device->facts->redirection = read->redirection;
        break;
    case AMT_READ_CAPABILITIES:
        device->facts->capabilities = read->capabilities;
        break;
    case AMT_READ_BOOT:
        device->facts->boot = read->boot;
        break;
    case AMT_READ_POWER:
        device->facts->power = read->power;
        break;
    case AMT_READ_SAVING:
        device->facts->saving = read->saving;
        break;
    default:
        break;
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
    FAILPOINT(device->gate != NULL ? "act.answered" : "call.answered");
    if (device->flight->status == AMT_OK && device->call.kind == CALL_READ) {
        take_facts(device);
    }
    finish(device, device->flight->status, device->flight->status == AMT_OK,
           device->flight->status == AMT_OK ? "" : "the device refuses");
}

apr_status_t amt_device_create(amt_device_t **device, amt_loop_t *loop, const amt_target_t *target,
                               apr_pool_t *pool)
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
    apr_interval_time_t after =
        chance_between(&device->pc->chance, 1 * MS, device->connected ? 20 * MS : 400 * MS);

    device->call = call;
    device->gate = NULL;
    device->done = done;
    device->baton = baton;
    device->phase = PHASE_SENDS;
    device->answered = 0;
    wire_start_timer(&device->timer,
                     wire_is_unreachable(device->pc) && !device->connected ? CONNECT_TIMEOUT : after);
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
    begin_act(device, ACT_TAKE_BACK, (pc_call_t){.kind = CALL_SET_BOOT}, gate, gate_baton, done, baton);
}

void amt_set_boot(amt_device_t *device, int start, amt_gate_fn gate, void *gate_baton, amt_done_fn done,
                  void *baton)
{
    begin_act(device, ACT_WRITE, (pc_call_t){.kind = CALL_SET_BOOT, .number = start}, gate, gate_baton, done,
              baton);
}

void amt_set_redirection(amt_device_t *device, const amt_redirection_t *wanted, amt_gate_fn gate,
                         void *gate_baton, amt_done_fn done, void *baton)
{
    const pc_t *pc = device->pc;
    int adds = (wanted->state | pc->redirection) != pc->redirection || wanted->listener > pc->listener;

    begin_act(device, adds ? ACT_WRITE : ACT_TAKE_BACK,
              (pc_call_t){.kind = CALL_SET_REDIRECTION, .redirection = *wanted}, gate, gate_baton, done,
              baton);
}

void amt_request_power(amt_device_t *device, int state, amt_gate_fn gate, void *gate_baton, amt_done_fn done,
                       void *baton)
{
    begin_act(device, ACT_POWER, (pc_call_t){.kind = CALL_POWER, .number = state}, gate, gate_baton, done,
              baton);
}
