/* SPDX-License-Identifier: Apache-2.0 */
/* The intent: what an unlock is going to do to a PC, as JSON, for the audit record and for a worker that
 * verifies it later. */
#ifndef AMTUNLOCK_UNLOCK_INTENT_H
#define AMTUNLOCK_UNLOCK_INTENT_H

#include "unlock/unlock.h"

/* By what a device is locked against its other names: "UUID/CERTIFICATE", which another PC that tells this UUID cannot show;
 * "UUID" without TLS; "" where the UUID names no device. In `pool`. */
const char *intent_device(const char *uuid, const char *certificate, apr_pool_t *pool);

/* The plan of an unlock and for how long it may be verified, in its pool. NULL if memory is out. */
const char *intent_write(const unlock_t *unlock);

/* Reads the intent of a worker that was lost (NULL: none is known) into the plan. What is not understood is
 * left out, and so is not taken back. Returns for how long the task may still be verified, at most `most`:
 * the text comes from outside. */
apr_interval_time_t intent_read(const char *intent, unlock_plan_t *plan, apr_interval_time_t most);

/* Nonzero: it is of the device with this UUID, which showed this certificate ("": none was shown), as far as it says. */
int intent_is_of(const char *intent, const char *uuid, const char *certificate);

/* The numeric address at which the intent's worker reached the PC, in `pool`; NULL: it is not known. From
 * outside, too. */
const char *intent_address(const char *intent, apr_pool_t *pool);

/* Fills in the change that restores an intent which Redis may have forgotten: the text of its act (NULL:
 * none is known), the device, and for how long it may be verified. In `pool`. */
void intent_restore(jobs_change_t *change, const char *act, apr_pool_t *pool);

/* Boot options as amt_boot_t's summary names them: "UseIDER,UseSOL". "" for 0. */
const char *intent_boot_name(int boot);

#endif
