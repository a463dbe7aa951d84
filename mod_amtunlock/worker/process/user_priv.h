/* SPDX-License-Identifier: Apache-2.0 */
/* What is checked is checked as the user who will run the worker: root may read what that user may not. */
#ifndef AMTUNLOCK_WORKER_PROCESS_USER_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_USER_PRIV_H

#include <apr_pools.h>

/* As root: becomes `name`, or, where that is NULL, the owner of the state-dir that the settings name. Stays root where
 * that is root, or cannot be told. Before threads. NULL, or an error message. */
const char *user_take(const char *name, const char *settings_file, apr_pool_t *pool);

#endif
