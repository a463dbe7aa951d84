/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of a PC's name: which is tried, and which is kept. Until the PC is identified each of them may
 * be another device's, as records in DNS grow old. */
#ifndef AMTUNLOCK_UNLOCK_ADDRESSES_PRIV_H
#define AMTUNLOCK_UNLOCK_ADDRESSES_PRIV_H

#include "unlock/unlock.h"

/* From now on it is this one of them; its probe is there too, unless that has a host of its own. */
void unlock_use_address(unlock_t *unlock, int at);
/* The first to be tried: where another worker had reached the PC, if its name still has that address. */
int unlock_first_address(const unlock_t *unlock);

/* The address that was tried failed like this. Nonzero: another is used now, which was not tried yet. If
 * there is none, the next try begins with the first again. A login that was refused ends the search: firmware
 * counts those. */
int unlock_next_address(unlock_t *unlock, jobs_reason_e reason, const char *text);
/* How the PC's addresses failed as a whole: what a device said tells more than the silence of an address that
 * was tried after it. Changes both, where that is so. */
void unlock_judge_addresses(const unlock_t *unlock, jobs_reason_e *reason, const char **text);

/* The probe has one address, so that what it says is of this PC. */
int unlock_may_probe(const unlock_t *unlock);

#endif
