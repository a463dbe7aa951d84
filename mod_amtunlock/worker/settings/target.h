/* SPDX-License-Identifier: Apache-2.0 */
/* How a system of the inventory is reached: for an unlock and for a check alike. */
#ifndef AMTUNLOCK_WORKER_SETTINGS_TARGET_H
#define AMTUNLOCK_WORKER_SETTINGS_TARGET_H

#include "amt/amt.h"
#include "worker/settings/snapshot.h"

/* At this numeric address, with this login (not looked at where the system has auth = kerberos). Everything
 * stays its owner's and must live as long as the target does. */
amt_target_t target_of(const inventory_system_t *system, const snapshot_t *snapshot, const char *address,
                       const secrets_login_t *login);

#endif
