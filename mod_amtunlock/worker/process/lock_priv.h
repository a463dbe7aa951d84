/* SPDX-License-Identifier: Apache-2.0 */
/* One worker a host. */
#ifndef AMTUNLOCK_WORKER_PROCESS_LOCK_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_LOCK_PRIV_H

#include <apr_pools.h>

/* Takes `state_dir`/worker.lock by flock(2): the lock ends with the process, however that ends. Waits up to 10 s for a
 * worker that stops. NULL, or an error message. */
const char *lock_take(const char *state_dir, apr_pool_t *pool);

#endif
