/* SPDX-License-Identifier: Apache-2.0 */
/* The ways of unlocking that this worker can carry out: one row a method. */
#ifndef AMTUNLOCK_UNLOCK_METHODS_H
#define AMTUNLOCK_UNLOCK_METHODS_H

#include "unlock/unlock.h"

struct method_t {
    inventory_method_e method;
    unlock_step_e look;    /* what is looked at after the PC's identity */
    unlock_step_e running; /* for a PC that runs and whose probe is closed; UNLOCK_OVER: it is left alone */
    /* Makes the plan for a PC that is off or hibernated; returns the first step after the intent. */
    unlock_step_e (*plan)(unlock_t *unlock);
    unlock_step_e evidence; /* what follows once it runs, after a boot */
    int boot;               /* AMT_START_*, set for its next start */
    int sessions; /* state of the redirection service that admits those it needs; 0: it needs none */
    unlock_step_e (*opened)(unlock_t *unlock); /* with sessions: what follows once the console is open */
    /* Takes what the PC wrote to its console. NULL: no console is opened. */
    void (*hear)(unlock_t *unlock, const char *bytes, apr_size_t length);
};

/* NULL: this worker cannot. */
const method_t *method_find(inventory_method_e method);
/* Names of those it can, "wake, image". */
const char *methods_list(apr_pool_t *pool);

#endif
