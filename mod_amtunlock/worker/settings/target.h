/* SPDX-License-Identifier: Apache-2.0 */
/* How a system of the inventory is reached: for an unlock and for a check alike. */
#ifndef AMTUNLOCK_WORKER_SETTINGS_TARGET_H
#define AMTUNLOCK_WORKER_SETTINGS_TARGET_H

#include "amt/amt.h"
#include "worker/settings/snapshot.h"

/* At this numeric address, with this login (not used if the system has auth = kerberos). The target points into
 * all arguments, which must live as long. */
amt_target_t target_of(const inventory_system_t *system, const snapshot_t *snapshot, const char *address,
                       const secrets_login_t *login);

#endif
