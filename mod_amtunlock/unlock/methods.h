/* SPDX-License-Identifier: Apache-2.0 */
/* The methods that this worker can carry out. */
#ifndef AMTUNLOCK_UNLOCK_METHODS_H
#define AMTUNLOCK_UNLOCK_METHODS_H

#include "unlock/unlock.h"

/* NULL: this worker cannot. */
const method_t *method_find(inventory_method_e method);
/* Names of those it can, "wake,image". */
const char *methods_list(apr_pool_t *pool);

#endif
