/* SPDX-License-Identifier: Apache-2.0 */
/* What an unlock would come to, by the facts of a PC: the procedure itself (unlock.h), answered from them,
 * up to where it would write something or open a session. Sends nothing and waits for nothing.
 */
#ifndef AMTUNLOCK_PREFLIGHT_DRY_RUN_PRIV_H
#define AMTUNLOCK_PREFLIGHT_DRY_RUN_PRIV_H

#include "unlock/methods.h"
#include "worker/settings/snapshot.h"

/* How work (resolving, fetching a secret) ended: reason NONE, or reason and sentence. */
typedef struct {
    jobs_reason_e reason;
    const char *text;
} facts_work_t;

/* What is known of a PC. All texts live as long. */
typedef struct {
    const snapshot_t *snapshot;
    const inventory_system_t *system;
    resolve_addresses_t addresses;     /* none where it has none */
    char address[RESOLVE_ADDRESS_MAX]; /* the one that answers, else the first; "" where it has none */
    resolve_addresses_t probe_addresses;
    facts_work_t resolve, login, passphrase;
    int volumes_only; /* it is that of a volume; the system has none */
    const char *login_source;
    int asked[AMT_READS]; /* by amt_read_e: it was read, and `results` is how that ended */
    amt_result_t results[AMT_READS];
    amt_facts_t amt;
    int capabilities_known; /* also where its method does not need them */
    int account_asked;      /* and answered */
    amt_account_t account;
    int tls_minor; /* see amt_device_tls_minor() */
    int probe_open;
} facts_t;

typedef enum {
    DRY_RUN_ACTS,  /* it would write its intent, and act as unlock.plan says */
    DRY_RUN_LOOKS, /* it would open a session first, to look at the console of a running PC */
    DRY_RUN_ENDS   /* without touching the PC, as unlock.state, reason, ended_at and text say */
} dry_run_end_e;

typedef struct dry_run_t dry_run_t;

struct dry_run_t {
    unlock_t unlock; /* first */
    const facts_t *facts;
    jobs_task_t task;
    void (*answer)(dry_run_t *dry_run); /* what is due, NULL: nothing */
    unlock_call_e call;
    int over;
    dry_run_end_e end;
};

/* In `pool`, with `facts`. */
dry_run_t *dry_run_make(const facts_t *facts, apr_pool_t *pool);

#endif
