/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/engine.h"

#include <malloc.h>

#include <apr_allocator.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "base/log.h"
#include "worker/ops_priv.h"

/* What the allocator keeps for the next unlocks; more goes back to the system. */
#define KEEP_FREE ((apr_size_t)128 * 1024)

struct engine_t {
    slots_t slots; /* first: on_arrived() finds the engine by it */
    apr_thread_t *thread;
    atomic_int stopping;
    atomic_int draining; /* unlock_drain_e, as asked for */

    /* The engine thread's own. */
    struct event wake_event, pulse_event;
    unlock_drain_e drained; /* as passed on to the slots */
};

/* ---- the intake's side --------------------------------------------------------------------------------- */

apr_status_t engine_give(engine_t *engine, const jobs_task_t *task, snapshot_t *snapshot,
                         const inventory_system_t *system)
{
    slot_t *slot = slot_create(&engine->slots, task, snapshot, system);

    if (slot == NULL) {
        return APR_ENOMEM;
    }
    slot_post(slot, SLOT_ARRIVED);
    return APR_SUCCESS;
}

int engine_load(const engine_t *engine)
{
    return atomic_load(&engine->slots.load);
}

int engine_tasks(const engine_t *engine)
{
    return atomic_load(&engine->slots.load) - atomic_load(&engine->slots.over);
}

const pulse_t *engine_pulse(const engine_t *engine)
{
    return &engine->slots.pulse;
}

void engine_drain(engine_t *engine, unlock_drain_e level)
{
    atomic_store(&engine->draining, level);
    wakeup_signal(&engine->slots.wakeup);
}

int engine_handed_over(const engine_t *engine)
{
    return atomic_load(&engine->slots.handed_over);
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static void on_arrived(slot_t *slot)
{
    const engine_t *engine = (const engine_t *)slot->slots;

    ops_begin(slot);
    if (engine->drained != UNLOCK_DRAIN_NOT) {
        unlock_drain(&slot->unlock, engine->drained);
    }
}

static void handle_events(engine_t *engine)
{
    static void (*const handlers[])(slot_t *) = {
        [SLOT_ARRIVED] = on_arrived, [SLOT_STORED] = ops_stored, [SLOT_WORK_DONE] = ops_work_done};
    void *taken = NULL;

    while (apr_queue_trypop(engine->slots.inbox, &taken) == APR_SUCCESS) {
        const slot_event_t *event = taken;

        handlers[event->kind](event->slot);
    }
}

/* An unlock that ends leaves the ring at once, so the walk keeps the next one in hand. */
static void end_lost_slots(engine_t *engine)
{
    slot_t *slot = NULL, *next = NULL;

    APR_RING_FOREACH_SAFE(slot, next, &engine->slots.running, slot_t, link)
    {
        if (atomic_load(&slot->lease.lost)) {
            unlock_lost(&slot->unlock);
        }
    }
}

static void drain_slots(engine_t *engine, unlock_drain_e level)
{
    slot_t *slot = NULL, *next = NULL;

    engine->drained = level;
    drives_leave(engine->slots.drives);
    APR_RING_FOREACH_SAFE(slot, next, &engine->slots.running, slot_t, link)
    {
        unlock_drain(&slot->unlock, level);
    }
}

static void on_engine_wake(evutil_socket_t fd, short what, void *data)
{
    engine_t *engine = data;
    unlock_drain_e level = UNLOCK_DRAIN_NOT;

    (void)fd;
    (void)what;
    wakeup_clear(&engine->slots.wakeup);
    handle_events(engine);
    if (atomic_exchange(&engine->slots.lost, 0)) {
        end_lost_slots(engine);
    }
    if ((level = (unlock_drain_e)atomic_load(&engine->draining)) != engine->drained) {
        drain_slots(engine, level);
    }
    connect_limit_serve(&engine->slots.connect_limit);
    ops_free_ended(&engine->slots);
    if (atomic_load(&engine->stopping)) {
        event_base_loopbreak(engine->slots.base);
    }
}

static void on_pulse(evutil_socket_t fd, short what, void *data)
{
    engine_t *engine = data;

    (void)fd;
    (void)what;
    pulse_beat(&engine->slots.pulse);
}

static void on_trim(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    (void)data;
#ifndef __SANITIZE_THREAD__ /* its allocator leaves glibc's unused, which two threads must not begin at once */
    malloc_trim(0);
#endif
}

static void *APR_THREAD_FUNC run_engine(apr_thread_t *thread, void *data)
{
    slots_t *slots = &((engine_t *)data)->slots;

    (void)thread;
    event_base_loop(slots->base, EVLOOP_NO_EXIT_ON_EMPTY);
    /* The worker has waited for the unlocks; those still here are left to their leases. Outbox and work pool have
     * stopped before, so no other thread has anything of a slot. */
    while (!APR_RING_EMPTY(&slots->running, slot_t, link)) {
        ops_drop(APR_RING_FIRST(&slots->running));
    }
    while (!APR_RING_EMPTY(&slots->ending, slot_t, link)) {
        ops_drop(APR_RING_FIRST(&slots->ending));
    }
    return NULL;
}

/* ---- start and stop ------------------------------------------------------------------------------------ */

/* Events that are still pending go with the base. */
static apr_status_t free_base(void *data)
{
    event_base_free(data);
    return APR_SUCCESS;
}

/* The AMT client allocates from it while the loop runs; `pool` belongs to all threads. */
static apr_status_t destroy_loop_pool(void *data)
{
    apr_pool_destroy(data);
    return APR_SUCCESS;
}

static apr_status_t make_loop(engine_t *engine, const char *folder, apr_pool_t *pool)
{
    slots_t *slots = &engine->slots;
    apr_pool_t *loop_pool = NULL;
    apr_status_t status;

    slots->base = amt_loop_base_create();
    if (slots->base == NULL) {
        return APR_ENOMEM;
    }
    apr_pool_cleanup_register(pool, slots->base, free_base, apr_pool_cleanup_null);
    status = apr_pool_create_ex(&loop_pool, NULL, NULL, slots->allocator);
    if (status == APR_SUCCESS) {
        apr_pool_cleanup_register(pool, loop_pool, destroy_loop_pool, apr_pool_cleanup_null);
        status = amt_loop_create(&slots->loop, slots->base, loop_pool);
    }
    if (status == APR_SUCCESS) {
        status = drives_create(&slots->drives, slots->base, folder, loop_pool);
    }
    return status == APR_SUCCESS ? amt_loop_use_threads(slots->loop, work_pool_run, slots->work_pool)
                                 : status;
}

static void add_events(engine_t *engine, int connects)
{
    apr_interval_time_t every = LEASE_PULSE;
    struct timeval interval = {(time_t)apr_time_sec(every), (suseconds_t)apr_time_usec(every)};
    slots_t *slots = &engine->slots;

    connect_limit_init(&slots->connect_limit, slots->base, connects);
    event_assign(&engine->wake_event, slots->base, slots->wakeup.fd, EV_READ | EV_PERSIST, on_engine_wake,
                 engine);
    event_assign(&engine->pulse_event, slots->base, -1, EV_PERSIST, on_pulse, engine);
    event_assign(&slots->trim_event, slots->base, -1, 0, on_trim, engine);
    /* before all that devices cause: a lease that was lost, and the sign of life */
    event_priority_set(&engine->wake_event, 0);
    event_priority_set(&engine->pulse_event, 0);
    event_add(&engine->wake_event, NULL);
    event_add(&engine->pulse_event, &interval);
}

/* Runs after the last slot is gone: engine_stop() drops them all. */
static apr_status_t free_allocator(void *data)
{
    apr_allocator_destroy(data);
    return APR_SUCCESS;
}

static apr_status_t make_allocator(apr_allocator_t **allocator, apr_pool_t *pool)
{
    apr_thread_mutex_t *lock = NULL;
    apr_status_t status = apr_allocator_create(allocator);

    if (status != APR_SUCCESS) {
        return status;
    }
    apr_pool_cleanup_register(pool, *allocator, free_allocator, apr_pool_cleanup_null);
    apr_allocator_max_free_set(*allocator, KEEP_FREE);
    status = apr_thread_mutex_create(&lock, APR_THREAD_MUTEX_DEFAULT, pool);
    apr_allocator_mutex_set(*allocator, lock);
    return status;
}

apr_status_t engine_start(engine_t **engine, const engine_options_t *options, apr_pool_t *pool)
{
    engine_t *made = apr_pcalloc(pool, sizeof(*made));
    slots_t *slots = &made->slots;
    apr_status_t status;

    *engine = made;
    slots->work_pool = options->work_pool;
    slots->leases = options->leases;
    slots->outbox = options->outbox;
    slots->pacer = options->pacer;
    APR_RING_INIT(&slots->running, slot_t, link);
    APR_RING_INIT(&slots->ending, slot_t, link);
    pulse_init(&slots->pulse);
    status = make_allocator(&slots->allocator, pool);
    if (status == APR_SUCCESS) {
        status = apr_queue_create(&slots->inbox, (unsigned int)options->slots * SLOT_EVENTS, pool);
    }
    if (status == APR_SUCCESS) {
        status = wakeup_open(&slots->wakeup, pool);
    }
    if (status == APR_SUCCESS) {
        status = make_loop(made, options->folder, pool);
    }
    if (status == APR_SUCCESS) {
        add_events(made, options->connects);
        status = apr_thread_create(&made->thread, NULL, run_engine, made, pool);
    }
    return status;
}

void engine_stop(engine_t *engine)
{
    apr_status_t ended;

    atomic_store(&engine->stopping, 1);
    wakeup_signal(&engine->slots.wakeup);
    apr_thread_join(&ended, engine->thread);
}
