/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of an unlock ask for (unlock_ops_t), carried out for a slot. The engine's thread only. */
#ifndef AMTUNLOCK_WORKER_OPS_PRIV_H
#define AMTUNLOCK_WORKER_OPS_PRIV_H

#include "worker/slot_priv.h"

/* The slot begins to run. */
void ops_begin(slot_t *slot);

/* What came through the inbox: the outbox has answered, the work is done. */
void ops_stored(slot_t *slot);
void ops_work_done(slot_t *slot);

/* Ends and frees a slot at whatever step it is. No other thread may have anything of it. */
void ops_drop(slot_t *slot);
/* Frees the slots that are over and that no other thread has anything of. */
void ops_free_ended(slots_t *slots);

#endif
