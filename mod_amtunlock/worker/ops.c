/* SPDX-License-Identifier: Apache-2.0 */
/* See unlock_ops_t. All of it runs on the engine's thread, but for on_work_done() and on_stored(), which only
 * post an event. */
#include <string.h>

#include <apr_strings.h>

#include "base/log.h"
#include "unlock/intent.h"
#include "worker/ops_priv.h"
#include "worker/sessions_priv.h"

/* TCP and TLS at one address of several, the first time. */
#define ONE_OF_SEVERAL apr_time_from_msec(2500)

static slot_t *slot_of(unlock_t *unlock)
{
    return (slot_t *)unlock;
}

static void start_timer(struct event *timer, apr_interval_time_t after)
{
    const struct timeval wait = {.tv_sec = apr_time_sec(after), .tv_usec = apr_time_usec(after)};

    event_add(timer, &wait);
}

/* ---- the permit to connect ----------------------------------------------------------------------------- */

static void on_permit_granted(connect_permit_t *permit)
{
    slot_t *slot = permit->owner;

    unlock_permit_answer(&slot->unlock);
}

/* The wake-up makes the engine grant permits: an answer may not come from inside an op. */
static void op_permit(unlock_t *unlock)
{
    slot_t *slot = slot_of(unlock);

    connect_permit_ask(&slot->slots->connect_limit, &slot->permit);
    wakeup_signal(&slot->slots->wakeup);
}

static void end_permit(slot_t *slot)
{
    connect_permit_end(&slot->slots->connect_limit, &slot->permit);
}

/* ---- the power rate limit ------------------------------------------------------------------------------ */

static void wait_until(slot_t *slot, apr_time_t due)
{
    apr_interval_time_t wait = due - clock_boottime();

    start_timer(&slot->power_wait, wait > 0 ? wait : 0);
}

/* Redis' times do not come in their order: who took a PC over may have an early one. So the pacer is asked once it is due. */
static void on_power_wait(evutil_socket_t fd, short what, void *data)
{
    slot_t *slot = data;
    const inventory_group_t *group = slot->unlock.system->group;

    (void)fd;
    (void)what;
    if (slot->is_paced) {
        unlock_permit_answer(&slot->unlock);
        return;
    }
    slot->is_paced = 1;
    wait_until(slot, pacer_take(slot->slots->pacer, group->name, group->power_interval));
}

static void op_power_wait(unlock_t *unlock)
{
    slot_t *slot = slot_of(unlock);

    end_permit(slot); /* others need not wait for that */
    slot->is_paced = 0;
    wait_until(slot, slot->power_from);
}

/* ---- work that blocks ---------------------------------------------------------------------------------- */

static void on_work_done(work_t *work)
{
    slot_post(work->owner, SLOT_WORK_DONE);
}

static void push_work(slot_t *slot, work_kind_e kind)
{
    slot->work.kind = kind;
    slot->work.system = slot->unlock.system;
    slot->work.snapshot = slot->snapshot;
    slot->work.done = on_work_done;
    slot->work.owner = slot;
    slot->work.volume = slot->unlock.volume;
    slot->work.own = kind == WORK_PASSPHRASE && slot->unlock.own_passphrase;
    slot->work_out = 1;
    slot->work_wanted = 1;
    slot->unlock.not_begun = 0;
    if (work_pool_push(slot->slots->work_pool, &slot->work) == APR_SUCCESS) {
        return;
    }
    slot->work.reason = JOBS_REASON_INTERNAL;
    apr_cpystrn(slot->work.text, "no thread takes the work", sizeof(slot->work.text));
    slot_post(slot, SLOT_WORK_DONE);
}

static void op_resolve(unlock_t *unlock)
{
    push_work(slot_of(unlock), WORK_RESOLVE);
}

static void op_login(unlock_t *unlock)
{
    push_work(slot_of(unlock), WORK_LOGIN);
}

static void op_passphrase(unlock_t *unlock)
{
    slot_forget_passphrase(slot_of(unlock)); /* one that was fetched and not typed */
    push_work(slot_of(unlock), WORK_PASSPHRASE);
}

/* A PC may show it on its console, now or in a later start. */
static void note_secret(const slot_t *slot, const char *secret)
{
    if (secret != NULL) {
        secrets_note(slot->unlock.system->fqdn, secret);
    }
}

/* Secrets become the slot's even if the unlock no longer waits for them, so that they are wiped. Of the names that
 * were looked up one may have failed, and the other not. */
static void keep_work_results(slot_t *slot)
{
    work_t *work = &slot->work;

    if (work->kind == WORK_LOGIN) {
        slot->login = work->login;
        note_secret(slot, work->login.password);
        memset(&work->login, 0, sizeof(work->login)); /* pointers only: the login itself is the slot's now */
        return;
    }
    if (work->kind == WORK_PASSPHRASE) {
        slot->passphrase = work->passphrase;
        note_secret(slot, work->passphrase);
        work->passphrase = NULL;
        return;
    }
    slot->unlock.addresses = work->addresses[0];
    slot->unlock.probe_addresses = work->addresses[1];
}

void ops_work_done(slot_t *slot)
{
    int wanted = slot->work_wanted;

    slot->work_out = 0;
    if (slot->work.kind == WORK_RESOLVE ? wanted && slot->work.addresses != NULL
                                        : slot->work.reason == JOBS_REASON_NONE) {
        keep_work_results(slot);
    }
    work_forget_addresses(&slot->work);
    if (!wanted) {
        if (slot->work.kind == WORK_LOGIN) {
            slot_forget_login(slot);
        }
        slot_forget_passphrase(slot);
        return;
    }
    slot->work_wanted = 0;
    unlock_work_answer(&slot->unlock, slot->work.reason, slot->work.text);
}

/* ---- the PC -------------------------------------------------------------------------------------------- */

static void on_probed(probe_t *probe, int open)
{
    slot_t *slot = probe->owner;

    unlock_probe_answer(&slot->unlock, open);
}

static void op_probe(unlock_t *unlock, apr_interval_time_t timeout)
{
    slot_t *slot = slot_of(unlock);

    probe_start(&slot->probe, slot->slots->base, &unlock->probe_addresses, unlock->system->probe_port,
                timeout);
}

/* Made at the first call to this PC. */
static apr_status_t make_device(slot_t *slot)
{
    amt_target_t target = slot_target(slot);

    if (slot->device != NULL) {
        return APR_SUCCESS;
    }
    if (!slot->unlock.identified && slot->unlock.addresses.count > 1) {
        target.connect_timeout = ONE_OF_SEVERAL;
    }
    return amt_device_create(&slot->device, slot->slots->loop, &target, slot->pool);
}

static void on_called(void *baton, const amt_result_t *result)
{
    slot_t *slot = baton;

    slot->calling = 0;
    if (result->status == AMT_UNREACHABLE) {
        end_permit(slot);
    }
    else {
        connect_permit_connected(&slot->slots->connect_limit, &slot->permit);
    }
    unlock_call_answer(&slot->unlock, result);
}

static void call_clear_boot(slot_t *slot)
{
    amt_clear_boot(slot->device, slot_may_act, slot, on_called, slot);
}

static void call_set_redirection(slot_t *slot)
{
    amt_set_redirection(slot->device, &slot->unlock.redirection_wanted, slot_may_act, slot, on_called, slot);
}

static void call_set_boot(slot_t *slot)
{
    amt_set_boot(slot->device, slot->unlock.plan.boot, slot_may_act, slot, on_called, slot);
}

/* Then the PC is left alone, but for a look now and then. */
static void call_power_on(slot_t *slot)
{
    end_permit(slot);
    sessions_keep_drive(slot);
    amt_request_power(slot->device, slot->unlock.plan.power, slot_may_act, slot, on_called, slot);
}

/* Calls that act, over WS-Man or over a redirection session. The others read: see op_call(). */
static const struct {
    void (*call)(slot_t *slot);
    int of_session;
} calls[UNLOCK_CALLS] = {
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

static void op_call(unlock_t *unlock, unlock_call_e call)
{
    slot_t *slot = slot_of(unlock);

    if (calls[call].of_session) {
        calls[call].call(slot);
        return;
    }
    if (make_device(slot) != APR_SUCCESS) {
        slot->device = NULL;
        log_error("AMTU0511", "no client for this PC could be made", "system", slot->task.ref.system);
        return; /* the step's time-out ends it */
    }
    slot->calling = 1;
    if ((int)call < AMT_READS) {
        amt_read(slot->device, (amt_read_e)call, &unlock->facts, on_called, slot);
    }
    else {
        calls[call].call(slot);
    }
}

/* ---- the outbox ---------------------------------------------------------------------------------------- */

static void on_stored(outbox_request_t *request)
{
    slot_post(request->owner, SLOT_STORED);
}

static void op_store(unlock_t *unlock, jobs_change_e change, char state)
{
    slot_t *slot = slot_of(unlock);
    outbox_request_t *request = &slot->request;

    request->change = (jobs_change_t){
        .change = change,
        .task = slot->task.ref,
        .step = unlock_step_name(unlock),
        .mark = unlock->mark,
        .intent = unlock->intent,
        .device =
            intent_device(unlock->facts.identity.uuid, unlock->facts.identity.certificate, unlock->pool),
        .step_deadline = unlock->verify_timeout,
        .group = unlock->system->group->name,
        .interval = unlock->system->group->power_interval,
        .state = state,
        .reason = unlock->reason,
        .blameless = unlock->blameless,
    };
    request->task = &slot->task;
    request->text = unlock->text;
    request->address = unlock->address;
    request->done = on_stored;
    request->owner = slot;
    unlock->storing = 1;
    if (outbox_push(slot->slots->outbox, request) == APR_SUCCESS) {
        return;
    }
    /* The outbox has room for all, so this cannot be. If it is, the lease runs out and others take over. */
    unlock->storing = 0;
    log_error("AMTU0512", "the outbox is full, which cannot be", "system", slot->task.ref.system);
}

/* Whether somebody else goes on with what was begun with the PC. */
static int is_handed_over(const slot_t *slot)
{
    const outbox_request_t *request = &slot->request;
    int taken = request->outcome == JOBS_OK || request->outcome == JOBS_ALREADY;

    return slot->unlock.draining != UNLOCK_DRAIN_NOT && request->change.change == JOBS_RELEASE && taken &&
           (slot->unlock.intended || slot->task.taken_over);
}

void ops_stored(slot_t *slot)
{
    const outbox_request_t *request = &slot->request;

    if (is_handed_over(slot)) {
        atomic_fetch_add(&slot->slots->handed_over, 1);
    }
    if (request->change.change == JOBS_POWER_RATE) {
        slot->power_from = request->outcome == JOBS_OK ? clock_boottime() + request->change.wait : 0;
    }
    unlock_store_answer(&slot->unlock, request->outcome, request->audited, request->answer);
}

/* ---- time, ends ---------------------------------------------------------------------------------------- */

static void on_alarm(evutil_socket_t fd, short what, void *data)
{
    slot_t *slot = data;

    (void)fd;
    (void)what;
    unlock_alarm(&slot->unlock);
}

static void op_alarm(unlock_t *unlock, apr_interval_time_t after)
{
    start_timer(&slot_of(unlock)->alarm, after);
}

static void destroy_device(slot_t *slot)
{
    if (slot->device != NULL) {
        amt_device_destroy(slot->device);
        end_permit(slot);
        slots_trim_soon(slot->slots);
    }
    slot->device = NULL;
    slot->calling = 0;
}

static void op_conceal(unlock_t *unlock)
{
    slot_t *slot = slot_of(unlock);

    if (slot->drive != NULL) {
        drive_conceal(slot->drive);
    }
}

static void op_rest(unlock_t *unlock)
{
    destroy_device(slot_of(unlock));
}

/* What has not begun yet never will; what runs goes on, and nobody waits for it. */
static void stop_work(slot_t *slot)
{
    if (slot->work_wanted && work_pool_cancel(slot->slots->work_pool, &slot->work)) {
        slot->unlock.not_begun = 1;
        slot->work_out = 0;
    }
    slot->work_wanted = 0;
}

static void op_stop(unlock_t *unlock)
{
    slot_t *slot = slot_of(unlock);

    stop_work(slot);
    event_del(&slot->alarm);
    event_del(&slot->power_wait);
    end_permit(slot);
    probe_stop(&slot->probe);
    sessions_stop(slot);
    if (slot->calling) {
        destroy_device(slot);
    }
}

static void op_hang_up(unlock_t *unlock)
{
    slot_t *slot = slot_of(unlock);

    sessions_destroy(slot); /* sessions and device use the login, so they end before it is wiped */
    destroy_device(slot);
    slot_forget_login(slot);
    slot_forget_passphrase(slot);
    if (unlock->proof != NULL) {
        proof_session_end(unlock->proof);
    }
}

/* The engine frees the slot later, from its loop: the caller still uses the unlock. */
static void op_over(unlock_t *unlock)
{
    slot_t *slot = slot_of(unlock);

    atomic_fetch_add(&slot->slots->over, 1);
    APR_RING_REMOVE(slot, link);
    APR_RING_INSERT_TAIL(&slot->slots->ending, slot, slot_t, link);
    wakeup_signal(&slot->slots->wakeup);
}

static const unlock_ops_t ops = {
    .resolve = op_resolve,
    .login = op_login,
    .passphrase = op_passphrase,
    .permit = op_permit,
    .power_wait = op_power_wait,
    .probe = op_probe,
    .call = op_call,
    .store = op_store,
    .alarm = op_alarm,
    .stop = op_stop,
    .conceal = op_conceal,
    .rest = op_rest,
    .hang_up = op_hang_up,
    .over = op_over,
    .now = clock_boottime,
};

/* ---- for the engine ------------------------------------------------------------------------------------ */

void ops_begin(slot_t *slot)
{
    APR_RING_INSERT_TAIL(&slot->slots->running, slot, slot_t, link);
    slot->permit.granted = on_permit_granted;
    slot->permit.owner = slot;
    event_assign(&slot->alarm, slot->slots->base, -1, 0, on_alarm, slot);
    event_assign(&slot->power_wait, slot->slots->base, -1, 0, on_power_wait, slot);
    probe_init(&slot->probe, on_probed, slot);
    sessions_init(slot);
    slot->unlock.ops = &ops;
    unlock_begin(&slot->unlock);
}

void ops_drop(slot_t *slot)
{
    op_stop(&slot->unlock);
    op_hang_up(&slot->unlock);
    APR_RING_REMOVE(slot, link);
    slot_destroy(slot);
}

void ops_free_ended(slots_t *slots)
{
    slot_t *slot = NULL, *next = NULL;

    APR_RING_FOREACH_SAFE(slot, next, &slots->ending, slot_t, link)
    {
        if (!slot->work_out && !slot->unlock.storing) {
            ops_drop(slot);
            atomic_fetch_sub(&slots->over, 1);
        }
    }
}
