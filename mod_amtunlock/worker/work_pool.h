/* SPDX-License-Identifier: Apache-2.0 */
/* Work that may block, on a few threads: name look-ups, secrets and the AMT client's Kerberos tickets. Engines
 * never block; they push work and get a call when it is done. */
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

/* The caller's. From push to done only the pool touches it. */
struct work_t {
    work_kind_e kind;
    const inventory_system_t *system;
    snapshot_t *snapshot;       /* the caller holds it until done */
    void (*done)(work_t *work); /* from a thread of the pool */
    void *owner;

    /* Results: reason NONE, or reason and text. */
    jobs_reason_e reason;
    char text[UNLOCK_TEXT_MAX];
    char address[UNLOCK_ADDRESS_MAX], probe_address[UNLOCK_ADDRESS_MAX];
    secrets_login_t login; /* of WORK_LOGIN; the caller frees it: secrets_login_free() */
    char *passphrase;      /* of WORK_PASSPHRASE; likewise: secrets_free() */
};

/* With at most `threads` threads. */
apr_status_t work_pool_start(work_pool_t **work_pool, int threads, apr_pool_t *pool);
/* Any thread. Nonzero: nothing runs or waits to run. */
int work_pool_idle(const work_pool_t *work_pool);
/* Waits for what runs; what has not begun is dropped, and its done is not called. */
void work_pool_stop(work_pool_t *work_pool);

/* Any thread; never blocks. On failure done is not called. */
apr_status_t work_pool_push(work_pool_t *work_pool, work_t *work);
/* The same for work of the AMT client: runs start(thread, baton). An amt_run_fn. */
apr_status_t work_pool_run(void *work_pool, apr_thread_start_t start, void *baton);

#endif
