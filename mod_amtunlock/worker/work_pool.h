/* SPDX-License-Identifier: Apache-2.0 */
/* Work that takes an unknown time: name look-ups, secrets and the AMT client's Kerberos tickets. Engines never
 * block; they push work and get a call when it is done.
 *
 * Look-ups wait for nobody. Secrets and tickets have threads of their own each, of which every group of PCs has
 * a share (fair_threads.h). A work's own limit counts from when it begins: a helper has 10 s.
 */
#ifndef AMTUNLOCK_WORKER_WORK_POOL_H
#define AMTUNLOCK_WORKER_WORK_POOL_H

#include <apr_pools.h>

#include "base/resolve.h"
#include "inventory/inventory.h"
#include "jobs/reason.h"
#include "secrets/secrets.h"
#include "unlock/unlock.h"
#include "worker/fair_threads.h"
#include "worker/resolver.h"
#include "worker/settings/snapshot.h"

typedef struct work_pool_t work_pool_t;
typedef struct work_t work_t;

typedef enum { WORK_RESOLVE, WORK_LOGIN, WORK_PASSPHRASE } work_kind_e;

/* The caller's. From push to done only the pool touches it. */
struct work_t {
    work_kind_e kind;
    const inventory_system_t *system;
    snapshot_t *snapshot;       /* the caller holds it until done */
    void (*done)(work_t *work); /* from a thread of the pool */
    void *owner;
    const char *volume; /* of WORK_PASSPHRASE: as in secrets_subject_t; the caller's until done */
    int own;

    /* Results: reason NONE, or reason and text. */
    jobs_reason_e reason;
    char text[UNLOCK_TEXT_MAX];
    /* Of WORK_RESOLVE: of its name, and of the host that the inventory names for its probe (none: empty). The caller
     * frees them: work_forget_addresses(). NULL: there are none */
    resolve_addresses_t *addresses;
    secrets_login_t login; /* of WORK_LOGIN; the caller frees it: secrets_login_free() */
    char *passphrase;      /* of WORK_PASSPHRASE; likewise: secrets_free() */

    /* work_pool.c's */
    union {
        fair_work_t fair;
        resolver_request_t names;
    } way;
};

apr_status_t work_pool_start(work_pool_t **work_pool, apr_pool_t *pool);
/* Any thread. Nonzero: nothing runs or waits to run. */
int work_pool_idle(const work_pool_t *work_pool);
/* Waits for what runs; what has not begun is dropped, and its done is not called. Look-ups are dropped too. */
void work_pool_stop(work_pool_t *work_pool);

/* Any thread; never blocks. On failure done is not called. */
apr_status_t work_pool_push(work_pool_t *work_pool, work_t *work);
/* Any thread. Nonzero: the work had not begun, and done will not be called. */
int work_pool_cancel(work_pool_t *work_pool, work_t *work);
void work_forget_addresses(work_t *work);
/* For work of the AMT client: runs start(NULL, baton) on a thread of the group's. An amt_run_fn. */
apr_status_t work_pool_run(void *work_pool, const char *group, apr_thread_start_t start, void *baton);

#endif
