/* What the steps of an unlock ask for, done by its engine: see unlock_ports_t. All of it runs on the engine's
 * thread, but for the two `done` calls that post mail. */
#include <string.h>

#include <apr_strings.h>

#include "fault/fault.h"
#include "worker/log.h"
#include "worker/seat.h"
#include "worker/target.h"

/* A turn is for the burst of a first connection. Who is still silent then is no burden; it must not hold up
 * others. */
#define TURN_LASTS apr_time_from_sec(1)

static seat_t *seat_of(unlock_t *unlock)
{
    return (seat_t *)unlock;
}

/* ---- turns --------------------------------------------------------------------------------------------- */

static void give_turn(engine_t *engine, seat_t *seat)
{
    APR_RING_REMOVE(seat, turn_link);
    APR_RING_INSERT_TAIL(&engine->turns_had, seat, seat_t, turn_link);
    engine->turns++;
    seat->turn = TURN_HAD;
    seat->turn_until = jobs_boottime() + TURN_LASTS;
    unlock_turn_answer(&seat->unlock);
}

static void end_turn(seat_t *seat)
{
    if (seat->turn == TURN_NONE) {
        return;
    }
    APR_RING_REMOVE(seat, turn_link);
    seat->engine->turns -= seat->turn == TURN_HAD;
    seat->turn = TURN_NONE;
}

/* Turns that are had stand in the order they were given. */
static void end_old_turns(engine_t *engine)
{
    apr_time_t now = jobs_boottime();
    while (!APR_RING_EMPTY(&engine->turns_had, seat_t, turn_link)) {
        seat_t *seat = APR_RING_FIRST(&engine->turns_had);
        if (seat->turn_until > now) {
            return;
        }
        end_turn(seat);
    }
}

void turns_serve(engine_t *engine)
{
    static const struct timeval soon = {.tv_usec = 50000};
    end_old_turns(engine);
    while (engine->turns < engine->options.connects &&
           !APR_RING_EMPTY(&engine->turns_waiting, seat_t, turn_link)) {
        give_turn(engine, APR_RING_FIRST(&engine->turns_waiting));
    }
    if (!APR_RING_EMPTY(&engine->turns_waiting, seat_t, turn_link)) {
        event_add(engine->turn_event, &soon);
    }
}

/* Given from turns_serve(), never from here: an answer may not come from inside the port. */
static void port_turn(unlock_t *unlock)
{
    seat_t *seat = seat_of(unlock);
    seat->turn = TURN_WAITING;
    APR_RING_INSERT_TAIL(&seat->engine->turns_waiting, seat, seat_t, turn_link);
    waker_wake(&seat->engine->waker);
}

/* ---- the ramp ------------------------------------------------------------------------------------------ */

static void on_pace(evutil_socket_t fd, short what, void *data)
{
    seat_t *seat = data;
    (void)fd;
    (void)what;
    unlock_turn_answer(&seat->unlock);
}

static void port_pace(unlock_t *unlock)
{
    seat_t *seat = seat_of(unlock);
    const inventory_group_t *group = unlock->system->group;
    apr_interval_time_t wait =
        pacer_take(seat->engine->options.pacer, group->name, group->power_interval, seat->power_from) -
        jobs_boottime();
    if (wait < 0) {
        wait = 0;
    }
    const struct timeval after = {.tv_sec = apr_time_sec(wait), .tv_usec = apr_time_usec(wait)};
    event_add(&seat->pace, &after);
}

/* ---- chores -------------------------------------------------------------------------------------------- */

static void on_chore_done(chore_t *chore)
{
    seat_post(chore->owner, MAIL_CHORE_DONE);
}

static void push_chore(seat_t *seat, chore_kind_e kind)
{
    seat->chore.kind = kind;
    seat->chore.system = seat->unlock.system;
    seat->chore.setup = seat->setup;
    seat->chore.done = on_chore_done;
    seat->chore.owner = seat;
    seat->chore_out = 1;
    seat->chore_wanted = 1;
    if (chores_push(seat->engine->options.chores, &seat->chore) == APR_SUCCESS) {
        return;
    }
    seat->chore.reason = JOBS_REASON_INTERNAL;
    apr_cpystrn(seat->chore.text, "no thread takes the chore", sizeof(seat->chore.text));
    seat_post(seat, MAIL_CHORE_DONE);
}

static void port_resolve(unlock_t *unlock)
{
    push_chore(seat_of(unlock), CHORE_RESOLVE);
}

static void port_login(unlock_t *unlock)
{
    push_chore(seat_of(unlock), CHORE_LOGIN);
}

static void port_passphrase(unlock_t *unlock)
{
    push_chore(seat_of(unlock), CHORE_PASSPHRASE);
}

/* The chore's results become the seat's, wanted or not: secrets must be wiped either way. */
static void keep_results(seat_t *seat)
{
    chore_t *chore = &seat->chore;
    if (chore->kind == CHORE_LOGIN) {
        seat->login = chore->login;
        memset(&chore->login, 0,
               sizeof(chore->login)); /* pointers only: the login itself is the seat's now */
        return;
    }
    if (chore->kind == CHORE_PASSPHRASE) {
        seat->passphrase = chore->passphrase;
        chore->passphrase = NULL;
        return;
    }
    apr_cpystrn(seat->unlock.address, chore->address, sizeof(seat->unlock.address));
    apr_cpystrn(seat->unlock.probe_address, chore->probe_address, sizeof(seat->unlock.probe_address));
}

static void forget_login(seat_t *seat)
{
    if (seat->login.user != NULL || seat->login.password != NULL) {
        secrets_login_free(&seat->login);
    }
    memset(&seat->login, 0, sizeof(seat->login));
}

void seat_forget_passphrase(seat_t *seat)
{
    if (seat->passphrase != NULL) {
        secrets_free(seat->passphrase);
    }
    seat->passphrase = NULL;
}

void seat_chore_done(seat_t *seat)
{
    seat->chore_out = 0;
    int wanted = seat->chore_wanted;
    if (seat->chore.reason == JOBS_REASON_NONE && (wanted || seat->chore.kind != CHORE_RESOLVE)) {
        keep_results(seat);
    }
    if (!wanted) {
        if (seat->chore.kind == CHORE_LOGIN) {
            forget_login(seat);
        }
        seat_forget_passphrase(seat);
        return;
    }
    seat->chore_wanted = 0;
    unlock_chore_answer(&seat->unlock, seat->chore.reason, seat->chore.text);
}

/* ---- the PC -------------------------------------------------------------------------------------------- */

static void on_probed(probe_t *probe, int open)
{
    seat_t *seat = probe->owner;
    unlock_probe_answer(&seat->unlock, open);
}

static void port_probe(unlock_t *unlock, apr_interval_time_t timeout)
{
    seat_t *seat = seat_of(unlock);
    probe_start(&seat->probe, seat->engine->base, unlock->probe_address, unlock->system->probe_port, timeout);
}

amt_target_t seat_target(const seat_t *seat)
{
    return target_of(seat->unlock.system, seat->setup, seat->unlock.address, &seat->login);
}

/* The device for this PC, made at its first call. */
static apr_status_t need_device(seat_t *seat)
{
    const amt_target_t target = seat_target(seat);
    if (seat->device != NULL) {
        return APR_SUCCESS;
    }
    return amt_device_create(&seat->device, seat->engine->loop, &target, seat->pool);
}

static void on_called(void *baton, const amt_result_t *result)
{
    seat_t *seat = baton;
    seat->calling = 0;
    end_turn(seat);
    unlock_call_answer(&seat->unlock, result);
}

int seat_may_act(void *baton)
{
    const seat_t *seat = baton;
    FAULT_ASKED(asked);
    if (seat->unlock.over || !lease_holds(&seat->lease)) {
        return 0;
    }
    FAULT_PASSED(unlock_step_name(&seat->unlock), asked, seat->lease.task.job, seat->lease.task.sid);
    return 1;
}

static void call_identity(seat_t *seat)
{
    amt_read_identity(seat->device, &seat->unlock.identity, on_called, seat);
}

static void call_consent(seat_t *seat)
{
    amt_read_consent(seat->device, &seat->unlock.consent, on_called, seat);
}

static void call_redirection(seat_t *seat)
{
    amt_read_redirection(seat->device, &seat->unlock.redirection, on_called, seat);
}

static void call_capabilities(seat_t *seat)
{
    amt_read_capabilities(seat->device, &seat->unlock.capabilities, on_called, seat);
}

static void call_boot(seat_t *seat)
{
    amt_read_boot(seat->device, &seat->unlock.boot, on_called, seat);
}

static void call_power(seat_t *seat)
{
    amt_read_power(seat->device, &seat->unlock.power, on_called, seat);
}

static void call_saving(seat_t *seat)
{
    amt_read_saving(seat->device, &seat->unlock.saving, on_called, seat);
}

static void call_clear_boot(seat_t *seat)
{
    amt_clear_boot(seat->device, seat_may_act, seat, on_called, seat);
}

static void call_set_redirection(seat_t *seat)
{
    amt_set_redirection(seat->device, &seat->unlock.redirection_wanted, seat_may_act, seat, on_called, seat);
}

static void call_set_boot(seat_t *seat)
{
    amt_set_boot(seat->device, seat->unlock.plan.boot, seat_may_act, seat, on_called, seat);
}

static void call_power_on(seat_t *seat)
{
    amt_request_power(seat->device, seat->unlock.plan.power, seat_may_act, seat, on_called, seat);
}

/* Over WS-Man, or over a redirection session. */
static const struct {
    void (*call)(seat_t *seat);
    int of_session;
} calls[UNLOCK_CALLS] = {
    [UNLOCK_CALL_IDENTITY] = {call_identity, 0},
    [UNLOCK_CALL_CONSENT] = {call_consent, 0},
    [UNLOCK_CALL_REDIRECTION] = {call_redirection, 0},
    [UNLOCK_CALL_CAPABILITIES] = {call_capabilities, 0},
    [UNLOCK_CALL_BOOT] = {call_boot, 0},
    [UNLOCK_CALL_POWER] = {call_power, 0},
    [UNLOCK_CALL_SAVING] = {call_saving, 0},
    [UNLOCK_CALL_OPEN_CONSOLE] = {sessions_open_console, 1},
    [UNLOCK_CALL_OPEN_DRIVE] = {sessions_open_drive, 1},
    [UNLOCK_CALL_CLOSE_DRIVE] = {sessions_close_drive, 1},
    [UNLOCK_CALL_CLOSE] = {sessions_close, 1},
    [UNLOCK_CALL_REDRAW] = {sessions_redraw, 1},
    [UNLOCK_CALL_CLEAR_BOOT] = {call_clear_boot, 0},
    [UNLOCK_CALL_SET_REDIRECTION] = {call_set_redirection, 0},
    [UNLOCK_CALL_SET_BOOT] = {call_set_boot, 0},
    [UNLOCK_CALL_POWER_ON] = {call_power_on, 0},
    [UNLOCK_CALL_TYPE] = {sessions_type, 1},
    [UNLOCK_CALL_SEAL] = {sessions_seal, 1},
    [UNLOCK_CALL_ACKNOWLEDGE] = {sessions_acknowledge, 1},
};

static void port_call(unlock_t *unlock, unlock_call_e call)
{
    seat_t *seat = seat_of(unlock);
    if (calls[call].of_session) {
        calls[call].call(seat);
        return;
    }
    if (need_device(seat) != APR_SUCCESS) {
        seat->device = NULL;
        log_error("AMTU0511", "no client for this PC could be made", "system", seat->task.sid);
        return; /* the step's time-out ends it */
    }
    seat->calling = 1;
    calls[call].call(seat);
}

/* ---- the store ----------------------------------------------------------------------------------------- */

static void on_stored(store_request_t *request)
{
    seat_post(request->owner, MAIL_STORED);
}

static void port_store(unlock_t *unlock, jobs_change_e change, char state)
{
    seat_t *seat = seat_of(unlock);
    store_request_t *request = &seat->request;
    request->change = (jobs_change_t){
        .change = change,
        .task = {.job = seat->task.job, .sid = seat->task.sid, .fence = seat->task.fence},
        .step = unlock_step_name(unlock),
        .intent = unlock->intent,
        .device = unlock->identity.uuid,
        .step_deadline = unlock->look_for,
        .group = unlock->system->group->name,
        .interval = unlock->system->group->power_interval,
        .state = state,
        .reason = unlock->reason,
    };
    request->task = &seat->task;
    request->text = unlock->text;
    request->address = unlock->address;
    request->done = on_stored;
    request->owner = seat;
    unlock->storing = 1;
    if (store_push(seat->engine->options.store, request) == APR_SUCCESS) {
        return;
    }
    /* Cannot be, the outbox has room for all; the lease then runs out and others take over. */
    unlock->storing = 0;
    log_error("AMTU0512", "the outbox is full, which cannot be", "system", seat->task.sid);
}

void seat_stored(seat_t *seat)
{
    const store_request_t *request = &seat->request;
    if (request->change.change == JOBS_RAMP) {
        seat->power_from = request->outcome == JOBS_OK ? jobs_boottime() + request->change.wait : 0;
    }
    unlock_store_answer(&seat->unlock, request->outcome, request->audited, request->answer);
}

/* ---- time, ends ---------------------------------------------------------------------------------------- */

static void on_alarm(evutil_socket_t fd, short what, void *data)
{
    seat_t *seat = data;
    (void)fd;
    (void)what;
    unlock_alarm(&seat->unlock);
}

static void port_alarm(unlock_t *unlock, apr_interval_time_t after)
{
    const struct timeval wait = {.tv_sec = apr_time_sec(after), .tv_usec = apr_time_usec(after)};
    event_add(&seat_of(unlock)->alarm, &wait);
}

static void destroy_device(seat_t *seat)
{
    if (seat->device != NULL) {
        amt_device_destroy(seat->device);
        engine_trim_soon(seat->engine);
    }
    seat->device = NULL;
    seat->calling = 0;
}

static void port_rest(unlock_t *unlock)
{
    destroy_device(seat_of(unlock));
}

static void port_stop(unlock_t *unlock)
{
    seat_t *seat = seat_of(unlock);
    seat->chore_wanted = 0;
    event_del(&seat->alarm);
    event_del(&seat->pace);
    end_turn(seat);
    probe_stop(&seat->probe);
    sessions_stop(seat);
    if (seat->calling) {
        destroy_device(seat);
    }
}

static void port_hang_up(unlock_t *unlock)
{
    seat_t *seat = seat_of(unlock);
    sessions_destroy(seat); /* first, as the device: they know the login */
    destroy_device(seat);
    forget_login(seat);
    seat_forget_passphrase(seat);
    if (unlock->proof != NULL) {
        proof_session_end(unlock->proof);
    }
}

/* Freed from the loop, never from here: whoever ended the unlock still stands in its seat. */
static void port_over(unlock_t *unlock)
{
    seat_t *seat = seat_of(unlock);
    APR_RING_REMOVE(seat, link);
    APR_RING_INSERT_TAIL(&seat->engine->ending, seat, seat_t, link);
    waker_wake(&seat->engine->waker);
}

void seat_begin(seat_t *seat)
{
    APR_RING_INSERT_TAIL(&seat->engine->seats, seat, seat_t, link);
    event_assign(&seat->alarm, seat->engine->base, -1, 0, on_alarm, seat);
    event_assign(&seat->pace, seat->engine->base, -1, 0, on_pace, seat);
    probe_init(&seat->probe, on_probed, seat);
    sessions_init(seat);
    unlock_begin(&seat->unlock);
}

void seat_drop(seat_t *seat)
{
    engine_t *engine = seat->engine;
    port_stop(&seat->unlock);
    port_hang_up(&seat->unlock);
    APR_RING_REMOVE(seat, link);
    leases_remove(engine->options.leases, &seat->lease);
    setup_drop(seat->setup);
    apr_pool_destroy(seat->pool);
    atomic_fetch_sub(&engine->load, 1);
}

void seats_free(engine_t *engine)
{
    seat_t *seat = NULL, *next = NULL;
    APR_RING_FOREACH_SAFE(seat, next, &engine->ending, seat_t, link)
    {
        if (!seat->chore_out && !seat->unlock.storing) {
            seat_drop(seat);
        }
    }
}

const unlock_ports_t seat_ports = {
    .resolve = port_resolve,
    .login = port_login,
    .passphrase = port_passphrase,
    .turn = port_turn,
    .pace = port_pace,
    .probe = port_probe,
    .call = port_call,
    .store = port_store,
    .alarm = port_alarm,
    .stop = port_stop,
    .rest = port_rest,
    .hang_up = port_hang_up,
    .over = port_over,
    .now = jobs_boottime,
};
