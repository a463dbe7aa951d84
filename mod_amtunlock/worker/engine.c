/* SPDX-License-Identifier: Apache-2.0 */
/* See engine.h. */
#include "worker/engine.h"

#include <malloc.h>
#include <sys/time.h>

#include <apr_allocator.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "base/log.h"
#include "unlock/methods.h"
#include "worker/slot_priv.h"

/* What the allocator keeps for the next unlocks; more goes back to the system. */
#define KEEP_FREE ((apr_size_t)128 * 1024)

/* ---- the intake's side --------------------------------------------------------------------------------- */

/* Called with the leases' lock held: wakes only. */
static void on_lost(lease_t *lease)
{
    engine_t *engine = ((slot_t *)lease->owner)->engine;

    atomic_store(&engine->lost, 1);
    wakeup_signal(&engine->wakeup);
}

static void copy_task(jobs_task_t *to, const jobs_task_t *from, apr_pool_t *pool)
{
    *to = *from;
    to->ref.job = apr_pstrdup(pool, from->ref.job);
    to->ref.system = apr_pstrdup(pool, from->ref.system);
    to->ref.fence = apr_pstrdup(pool, from->ref.fence);
    to->intent = apr_pstrdup(pool, from->intent);
    to->caller = apr_pstrdup(pool, from->caller);
    to->peer = apr_pstrdup(pool, from->peer);
    to->mechanism = apr_pstrdup(pool, from->mechanism);
}

static slot_t *make_seat(engine_t *engine, const jobs_task_t *task, snapshot_t *snapshot,
                         const inventory_system_t *system)
{
    apr_pool_t *pool = NULL;

    if (apr_pool_create_ex(&pool, NULL, NULL, engine->allocator) != APR_SUCCESS) {
        return NULL;
    }
    slot_t *slot = apr_pcalloc(pool, sizeof(*slot));
    slot->pool = pool;
    slot->engine = engine;
    slot->snapshot = snapshot_ref(snapshot);
    copy_task(&slot->task, task, pool);
    for (int kind = 0; kind < SLOT_EVENTS; kind++) {
        slot->events[kind].kind = (slot_event_e)kind;
        slot->events[kind].slot = slot;
    }
    slot->lease.on_lost = on_lost;
    slot->lease.owner = slot;
    slot->unlock.ops = &slot_ops;
    slot->unlock.task = &slot->task;
    slot->unlock.system = system;
    slot->unlock.method = method_find(system->method);
    slot->unlock.prompts = settings_prompts(snapshot_settings(snapshot), system->group->name);
    slot->unlock.pool = pool;
    return slot;
}

apr_status_t engine_give(engine_t *engine, const jobs_task_t *task, snapshot_t *snapshot,
                         const inventory_system_t *system)
{
    slot_t *slot = make_seat(engine, task, snapshot, system);

    if (slot == NULL) {
        return APR_ENOMEM;
    }
    atomic_fetch_add(&engine->load, 1);
    leases_add(engine->options.leases, &slot->lease, &slot->task);
    slot_post(slot, SLOT_ARRIVED);
    return APR_SUCCESS;
}

int engine_load(const engine_t *engine)
{
    return atomic_load(&engine->load);
}

apr_time_t engine_pulse(const engine_t *engine)
{
    return atomic_load(&engine->pulse);
}

void engine_drain(engine_t *engine, int leave)
{
    atomic_store(&engine->draining, leave ? 2 : 1);
    wakeup_signal(&engine->wakeup);
}

/* ---- mail ---------------------------------------------------------------------------------------------- */

void slot_post(slot_t *slot, slot_event_e kind)
{
    engine_t *engine = slot->engine;

    /* The inbox has room for all mail of all seats; a seat that is gone from it would be a lost PC. */
    if (apr_queue_trypush(engine->inbox, &slot->events[kind]) != APR_SUCCESS) {
        log_error("AMTU0501", "an engine's inbox is full, which cannot be", "system", slot->task.ref.system);
    }
    wakeup_signal(&engine->wakeup);
}

static void arrive(slot_t *slot)
{
    slot_begin(slot);
    if (slot->engine->drained) {
        unlock_drain(&slot->unlock, slot->engine->drained == 2);
    }
}

static void open_mail(engine_t *engine)
{
    static void (*const handlers[])(slot_t *) = {
        [SLOT_ARRIVED] = arrive, [SLOT_STORED] = slot_stored, [SLOT_WORK_DONE] = slot_work_done};
    void *taken = NULL;
    while (apr_queue_trypop(engine->inbox, &taken) == APR_SUCCESS) {
        const slot_event_t *event = taken;

        handlers[event->kind](event->slot);
    }
}

/* ---- what is told to all seats ------------------------------------------------------------------------- */

/* An unlock that ends leaves the ring at once, so the walk keeps the next one in hand. */
static void tell_lost(engine_t *engine)
{
    slot_t *slot = NULL, *next = NULL;

    APR_RING_FOREACH_SAFE(slot, next, &engine->running, slot_t, link)
    {
        if (atomic_load(&slot->lease.lost)) {
            unlock_lost(&slot->unlock);
        }
    }
}

static void tell_drain(engine_t *engine, int draining)
{
    slot_t *slot = NULL, *next = NULL;

    engine->drained = draining;
    APR_RING_FOREACH_SAFE(slot, next, &engine->running, slot_t, link)
    {
        unlock_drain(&slot->unlock, draining == 2);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
    engine_t *engine = data;

    (void)fd;
    (void)what;
    wakeup_clear(&engine->wakeup);
    open_mail(engine);
    if (atomic_exchange(&engine->lost, 0)) {
        tell_lost(engine);
    }
    int draining = atomic_load(&engine->draining);
    if (draining != engine->drained) {
        tell_drain(engine, draining);
    }
    permits_serve(engine);
    slots_free(engine);
    if (atomic_load(&engine->stopping)) {
        event_base_loopbreak(engine->base);
    }
}

static void on_turn(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    permits_serve(data);
}

static void on_pulse(evutil_socket_t fd, short what, void *data)
{
    engine_t *engine = data;

    (void)fd;
    (void)what;
    atomic_store(&engine->pulse, clock_boottime());
}

static void on_trim(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    (void)data;
    malloc_trim(0);
}

void engine_trim_soon(engine_t *engine)
{
    static const struct timeval soon = {.tv_sec = 1};

    if (!event_pending(engine->trim_event, EV_TIMEOUT, NULL)) {
        event_add(engine->trim_event, &soon);
    }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

/* The worker has waited for the unlocks; what is here now is left to its lease. The store and the chores have
 * ended before, so nobody has anything of a seat. */
static void drop_seats(engine_t *engine)
{
    while (!APR_RING_EMPTY(&engine->running, slot_t, link)) {
        slot_drop(APR_RING_FIRST(&engine->running));
    }
    while (!APR_RING_EMPTY(&engine->ending, slot_t, link)) {
        slot_drop(APR_RING_FIRST(&engine->ending));
    }
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    engine_t *engine = data;

    (void)thread;
    event_base_loop(engine->base, EVLOOP_NO_EXIT_ON_EMPTY);
    drop_seats(engine);
    return NULL;
}

static apr_status_t free_base(void *data)
{
    engine_t *engine = data;

    if (engine->wake_event) {
        event_free(engine->wake_event);
    }
    if (engine->permit_event) {
        event_free(engine->permit_event);
    }
    if (engine->pulse_event) {
        event_free(engine->pulse_event);
    }
    if (engine->trim_event) {
        event_free(engine->trim_event);
    }
    event_base_free(engine->base);
    return APR_SUCCESS;
}

static apr_status_t destroy_loop_pool(void *data)
{
    apr_pool_destroy(((engine_t *)data)->loop_pool);
    return APR_SUCCESS;
}

/* The AMT client allocates while the loop runs, and `pool` is all threads'. */
static apr_status_t make_loop_pool(engine_t *engine, apr_pool_t *pool)
{
    apr_status_t rv = apr_pool_create_ex(&engine->loop_pool, NULL, NULL, engine->allocator);

    if (rv == APR_SUCCESS) {
        apr_pool_cleanup_register(pool, engine, destroy_loop_pool, apr_pool_cleanup_null);
    }
    return rv;
}

static apr_status_t make_loop(engine_t *engine, apr_pool_t *pool)
{
    static const struct timeval second = {.tv_sec = 1};

    engine->base = event_base_new();
    if (engine->base == NULL) {
        return APR_ENOMEM;
    }
    apr_pool_cleanup_register(pool, engine, free_base, apr_pool_cleanup_null);
    apr_status_t rv = make_loop_pool(engine, pool);
    if (rv == APR_SUCCESS) {
        rv = amt_loop_create(&engine->loop, engine->base, engine->loop_pool);
    }
    if (rv == APR_SUCCESS) {
        rv = amt_loop_use_threads(engine->loop, work_pool_run, engine->options.work_pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    engine->wake_event = event_new(engine->base, engine->wakeup.fd, EV_READ | EV_PERSIST, on_wake, engine);
    engine->permit_event = event_new(engine->base, -1, 0, on_turn, engine);
    engine->pulse_event = event_new(engine->base, -1, EV_PERSIST, on_pulse, engine);
    engine->trim_event = event_new(engine->base, -1, 0, on_trim, engine);
    if (engine->wake_event == NULL || engine->permit_event == NULL || engine->pulse_event == NULL ||
        engine->trim_event == NULL) {
        return APR_ENOMEM;
    }
    event_add(engine->wake_event, NULL);
    event_add(engine->pulse_event, &second);
    return APR_SUCCESS;
}

/* Runs after the last seat is gone: engine_stop() drops them all. */
static apr_status_t free_allocator(void *data)
{
    apr_allocator_destroy(data);
    return APR_SUCCESS;
}

static apr_status_t make_allocator(engine_t *engine, apr_pool_t *pool)
{
    apr_thread_mutex_t *lock = NULL;
    apr_status_t rv = apr_allocator_create(&engine->allocator);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_cleanup_register(pool, engine->allocator, free_allocator, apr_pool_cleanup_null);
    apr_allocator_max_free_set(engine->allocator, KEEP_FREE);
    rv = apr_thread_mutex_create(&lock, APR_THREAD_MUTEX_DEFAULT, pool);
    apr_allocator_mutex_set(engine->allocator, lock);
    return rv;
}

apr_status_t engine_start(engine_t **engine, const engine_options_t *options, apr_pool_t *pool)
{
    engine_t *made = apr_pcalloc(pool, sizeof(*made));
    unsigned int room = (unsigned int)options->slots * SLOT_EVENTS;

    made->options = *options;
    made->pool = pool;
    atomic_init(&made->pulse, clock_boottime());
    APR_RING_INIT(&made->running, slot_t, link);
    APR_RING_INIT(&made->ending, slot_t, link);
    APR_RING_INIT(&made->permits_waiting, slot_t, permit_link);
    APR_RING_INIT(&made->permits_held, slot_t, permit_link);
    apr_status_t rv = make_allocator(made, pool);
    if (rv == APR_SUCCESS) {
        rv = apr_queue_create(&made->inbox, room, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = wakeup_open(&made->wakeup, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = make_loop(made, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_thread_create(&made->thread, NULL, run, made, pool);
    }
    *engine = made;
    return rv;
}

void engine_stop(engine_t *engine)
{
    apr_status_t ended;

    atomic_store(&engine->stopping, 1);
    wakeup_signal(&engine->wakeup);
    apr_thread_join(&ended, engine->thread);
}
