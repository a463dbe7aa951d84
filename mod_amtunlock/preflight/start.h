/* SPDX-License-Identifier: Apache-2.0 */
/* amtunlockd check: whether a worker that is started now, as this user, could serve. */
#ifndef AMTUNLOCK_PREFLIGHT_START_H
#define AMTUNLOCK_PREFLIGHT_START_H

#include <apr_tables.h>

#include "worker/settings/snapshot.h"

/* Looks at what a start needs besides settings, secrets and inventory (which a snapshot has): folders and files that
 * the worker writes, the mode of Redis' password file, and Redis itself unless `offline`: its address, user, password,
 * rights, functions and durability. Adds what is wrong to `problems` (inventory_problem_t), and what is
 * probably not meant to `warnings`. Changes nothing. May wait for Redis for some seconds. */
void check_start(const snapshot_t *snapshot, int offline, apr_array_header_t *problems,
                 apr_array_header_t *warnings, apr_pool_t *pool);

#endif
