/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/slot_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <event2/event.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "unlock/methods.h"
#include "worker/settings/target.h"

/* Called with the leases' lock held: wakes only. */
static void on_lease_lost(lease_t *lease)
{
    slots_t *slots = ((slot_t *)lease->owner)->slots;

    atomic_store(&slots->lost, 1);
    wakeup_signal(&slots->wakeup);
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

slot_t *slot_create(slots_t *slots, const jobs_task_t *task, snapshot_t *snapshot,
                    const inventory_system_t *system)
{
    apr_pool_t *pool = NULL;
    slot_t *slot = NULL;

    if (apr_pool_create_ex(&pool, NULL, NULL, slots->allocator) != APR_SUCCESS) {
        return NULL;
    }
    slot = apr_pcalloc(pool, sizeof(*slot));
    slot->pool = pool;
    slot->slots = slots;
    slot->snapshot = snapshot_ref(snapshot);
    copy_task(&slot->task, task, pool);
    for (int kind = 0; kind < SLOT_EVENTS; kind++) {
        slot->events[kind].kind = (slot_event_e)kind;
        slot->events[kind].slot = slot;
    }
    slot->unlock.task = &slot->task;
    slot->unlock.inventory = snapshot_inventory(snapshot);
    slot->unlock.system = system;
    slot->unlock.method = method_find(system->method);
    slot->unlock.prompts = settings_prompts(snapshot_settings(snapshot), system->group->name);
    slot->unlock.proof_key = snapshot_proof_key(snapshot);
    slot->unlock.pool = pool;
    slot->lease.on_lost = on_lease_lost;
    slot->lease.owner = slot;
    atomic_fetch_add(&slots->load, 1);
    leases_add(slots->leases, &slot->lease, &slot->task, &slots->pulse);
    return slot;
}

void slot_destroy(slot_t *slot)
{
    slots_t *slots = slot->slots;

    leases_remove(slots->leases, &slot->lease);
    snapshot_unref(slot->snapshot);
    work_forget_addresses(&slot->work);
    apr_pool_destroy(slot->pool);
    atomic_fetch_sub(&slots->load, 1);
}

void slot_post(slot_t *slot, slot_event_e kind)
{
    slots_t *slots = slot->slots;

    /* The inbox has room for all events of all slots; an event that is lost would be a lost PC. */
    if (apr_queue_trypush(slots->inbox, &slot->events[kind]) != APR_SUCCESS) {
        log_error("AMTU0501", "an engine's inbox is full, which cannot be", "system", slot->task.ref.system);
    }
    wakeup_signal(&slots->wakeup);
}

amt_target_t slot_target(const slot_t *slot)
{
    return target_of(slot->unlock.system, slot->snapshot, slot->unlock.address, &slot->login);
}

int slot_may_act(void *baton)
{
    const slot_t *slot = baton;
    FAILPOINT_ASKED(asked);

    if (slot->unlock.over || !lease_holds(&slot->lease)) {
        return 0;
    }
    FAILPOINT_PASSED(unlock_step_name(&slot->unlock), asked, slot->lease.task.job, slot->lease.task.system);
    return 1;
}

void slot_forget_login(slot_t *slot)
{
    if (slot->login.user != NULL || slot->login.password != NULL) {
        secrets_login_free(&slot->login);
    }
    memset(&slot->login, 0, sizeof(slot->login));
}

void slot_forget_passphrase(slot_t *slot)
{
    if (slot->passphrase != NULL) {
        secrets_free(slot->passphrase);
    }
    slot->passphrase = NULL;
}

void slots_trim_soon(slots_t *slots)
{
    static const struct timeval soon = {.tv_sec = 1};

    if (!event_pending(&slots->trim_event, EV_TIMEOUT, NULL)) {
        event_add(&slots->trim_event, &soon);
    }
}
