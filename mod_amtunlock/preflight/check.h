/* SPDX-License-Identifier: Apache-2.0 */
/* amtunlockd check FQDN: whether one PC could be unlocked, and what to mend, without touching it. */
#ifndef AMTUNLOCK_PREFLIGHT_CHECK_H
#define AMTUNLOCK_PREFLIGHT_CHECK_H

#include "worker/settings/snapshot.h"

/* Looks at the system of that name, by reading calls only, and prints a line a finding and one of summary to
 * standard output. Returns the number of findings that failed; 1, and a sentence on standard error, where it
 * could not begin. Takes less than a minute, whatever the PC does: so it ends the process by itself where a
 * look-up still hangs. Before threads, once. */
int check_system(snapshot_t *snapshot, const char *fqdn, apr_pool_t *pool);

#endif
