/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker that stops keeps until its time is up, because another one could not go on with it as well: see
 * unlock_drain_e. All else is handed over between two steps.
 */
#ifndef AMTUNLOCK_UNLOCK_HANDOVER_PRIV_H
#define AMTUNLOCK_UNLOCK_HANDOVER_PRIV_H

#include "unlock/unlock.h"

int handover_keeps(const unlock_t *unlock);
/* Its PC may still look for its drive, which then goes along with it. */
int handover_lends_drive(const unlock_t *unlock);

#endif
