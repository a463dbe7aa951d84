/* The ways of unlocking that this worker can carry out: one row a method. */
#ifndef AMTUNLOCK_WORKER_METHODS_H
#define AMTUNLOCK_WORKER_METHODS_H

#include "worker/unlock.h"

struct method_t {
    inventory_method_e method;
    unlock_step_e prepare;  /* first step after the intent, for a PC that is off or hibernated */
    unlock_step_e resume;   /* the same for one that is asleep: no boot, so no boot options */
    unlock_step_e evidence; /* what follows once it runs */
};

/* NULL: this worker cannot. */
const method_t *method_find(inventory_method_e method);
/* Names of those it can, "wake, image". */
const char *methods_list(apr_pool_t *pool);

#endif
