/* SPDX-License-Identifier: Apache-2.0 */
/* What may block, done by a few threads of an apr_thread_pool: name look-ups, secrets and the AMT client's
 * Kerberos tickets. Engines never block; they push a chore and are told when it is done. */
#ifndef AMTUNLOCK_WORKER_WORK_POOL_H
#define AMTUNLOCK_WORKER_WORK_POOL_H

#include <apr_pools.h>

#include "inventory/inventory.h"
#include "jobs/reason.h"
#include "secrets/secrets.h"
#include "unlock/unlock.h"
#include "worker/settings/snapshot.h"

typedef struct work_pool_t work_pool_t;
typedef struct work_t work_t;

typedef enum { WORK_RESOLVE, WORK_LOGIN, WORK_PASSPHRASE } work_kind_e;

/* Belongs to who pushes it; from push to done it is the chores' alone. */
struct work_t {
    work_kind_e kind;
    const inventory_system_t *system;
    snapshot_t *snapshot; /* held by who pushes */
    const char *uuid;
    void (*done)(work_t *work); /* from a thread of the pool */
    void *owner;

    /* Results: reason NONE, or reason and text. */
    jobs_reason_e reason;
    char text[UNLOCK_TEXT_MAX];
    char address[UNLOCK_ADDRESS_MAX], probe_address[UNLOCK_ADDRESS_MAX];
    /* Who pushed gives these back. */
    secrets_login_t login; /* of WORK_LOGIN: secrets_login_free() */
    char *passphrase;      /* of WORK_PASSPHRASE: secrets_free() */
};

/* `threads` at most. */
apr_status_t work_pool_start(work_pool_t **work_pool, int threads, apr_pool_t *pool);
/* Any thread. Whether nothing runs or waits to. */
int work_pool_idle(const work_pool_t *work_pool);
/* Waits for those that run; those that have not begun never do, and their done is not called. */
void work_pool_stop(work_pool_t *work_pool);

/* Any thread; never blocks. On failure done is not called. */
apr_status_t work_pool_push(work_pool_t *work_pool, work_t *work);
/* The same for what is no chore of a seat: runs work(thread, baton). An amt_run_fn. */
apr_status_t work_pool_run(void *work_pool, apr_thread_start_t work, void *baton);

#endif
