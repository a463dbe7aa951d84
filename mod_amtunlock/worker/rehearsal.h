/* What an unlock would come to, by what was seen of a PC: the procedure itself (unlock.h) with answers that
 * were had before, up to where it would write something or open a session. Sends nothing and waits for
 * nothing.
 */
#ifndef AMTUNLOCK_WORKER_REHEARSAL_H
#define AMTUNLOCK_WORKER_REHEARSAL_H

#include "worker/methods.h"
#include "worker/setup.h"

/* The calls that only look; the first of unlock_call_e. */
#define SEEN_LOOKS (UNLOCK_CALL_SAVING + 1)

/* How looking for something ended: reason NONE, or reason and sentence. */
typedef struct {
    jobs_reason_e reason;
    const char *text;
} seen_chore_t;

/* What was seen of a PC. All texts live as long. */
typedef struct {
    const setup_t *setup;
    const inventory_system_t *system;
    char address[UNLOCK_ADDRESS_MAX]; /* "" where it has none */
    char probe_address[UNLOCK_ADDRESS_MAX];
    seen_chore_t resolve, login, passphrase;
    const char *login_source;
    int asked[SEEN_LOOKS]; /* the call was made, and `results` is its end */
    amt_result_t results[SEEN_LOOKS];
    amt_identity_t identity;
    amt_consent_t consent;
    amt_redirection_t redirection;
    amt_capabilities_t capabilities;
    amt_boot_t boot;
    amt_power_t power;
    int saving;
    int account_asked; /* and answered */
    amt_account_t account;
    int tls_minor; /* see amt_device_tls_minor() */
    int probe_open;
} seen_t;

typedef enum {
    REHEARSAL_ACTS,  /* it would write its intent, and act as unlock.plan says */
    REHEARSAL_LOOKS, /* it would open a session first, to look at a running PC's console */
    REHEARSAL_ENDS   /* without touching the PC, as unlock.state, reason, ended_at and text say */
} rehearsal_end_e;

typedef struct rehearsal_t rehearsal_t;

struct rehearsal_t {
    unlock_t unlock; /* first */
    const seen_t *seen;
    jobs_task_t task;
    void (*answer)(rehearsal_t *rehearsal); /* what is due, NULL: nothing */
    unlock_call_e call;
    int over;
    rehearsal_end_e end;
};

/* In `pool`, with `seen`. */
rehearsal_t *rehearse(const seen_t *seen, apr_pool_t *pool);

#endif
