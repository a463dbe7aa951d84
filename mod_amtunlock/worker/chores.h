/* What may block, done by a few threads of an apr_thread_pool: name look-ups, secrets and the AMT client's
 * Kerberos tickets. Engines never block; they push a chore and are told when it is done. */
#ifndef AMTUNLOCK_WORKER_CHORES_H
#define AMTUNLOCK_WORKER_CHORES_H

#include <apr_pools.h>

#include "inventory/inventory.h"
#include "jobs/reason.h"
#include "secrets/secrets.h"
#include "worker/setup.h"
#include "worker/unlock.h"

typedef struct chores_t chores_t;
typedef struct chore_t chore_t;

typedef enum { CHORE_RESOLVE, CHORE_LOGIN, CHORE_PASSPHRASE } chore_kind_e;

/* Belongs to who pushes it; from push to done it is the chores' alone. */
struct chore_t {
    chore_kind_e kind;
    const inventory_system_t *system;
    setup_t *setup; /* held by who pushes */
    const char *uuid;
    void (*done)(chore_t *chore); /* from a thread of the pool */
    void *owner;

    /* Results: reason NONE, or reason and text. */
    jobs_reason_e reason;
    char text[UNLOCK_TEXT_MAX];
    char address[UNLOCK_ADDRESS_MAX], probe_address[UNLOCK_ADDRESS_MAX];
    /* Who pushed gives these back. */
    secrets_login_t login; /* of CHORE_LOGIN: secrets_login_free() */
    char *passphrase;      /* of CHORE_PASSPHRASE: secrets_free() */
};

/* `threads` at most. */
apr_status_t chores_start(chores_t **chores, int threads, apr_pool_t *pool);
/* Any thread. Whether nothing runs or waits to. */
int chores_idle(const chores_t *chores);
/* Waits for those that run; those that have not begun never do, and their done is not called. */
void chores_stop(chores_t *chores);

/* Any thread; never blocks. On failure done is not called. */
apr_status_t chores_push(chores_t *chores, chore_t *chore);
/* The same for what is no chore of a seat: runs work(thread, baton). An amt_run_fn. */
apr_status_t chores_run(void *chores, apr_thread_start_t work, void *baton);

#endif
