/* SPDX-License-Identifier: Apache-2.0 */
/* The redirection sessions of a slot: the console and the drive of its PC. The engine's thread only. */
#ifndef AMTUNLOCK_WORKER_SESSIONS_PRIV_H
#define AMTUNLOCK_WORKER_SESSIONS_PRIV_H

#include "worker/slot_priv.h"

void sessions_init(slot_t *slot);

/* Each is answered by unlock_call_answer(), from the loop. */
void sessions_open_console(slot_t *slot);
void sessions_open_drive(slot_t *slot);
/* Its PC is about to be powered: drive_keep(), where there is one. */
void sessions_keep_drive(slot_t *slot);
void sessions_close_drive(slot_t *slot);
void sessions_close(slot_t *slot);
void sessions_redraw(slot_t *slot);
void sessions_type(slot_t *slot);
void sessions_seal(slot_t *slot);
void sessions_acknowledge(slot_t *slot);

/* What is opening, closing or being typed ends without an answer. Open sessions stay. */
void sessions_stop(slot_t *slot);
/* Ends all of them, at once and without an answer. */
void sessions_destroy(slot_t *slot);

#endif
