/* SPDX-License-Identifier: Apache-2.0 */
/* The intent: what an unlock is going to do to a PC, as JSON, for the audit record and for a successor. */
#ifndef AMTUNLOCK_UNLOCK_INTENT_H
#define AMTUNLOCK_UNLOCK_INTENT_H

#include "unlock/unlock.h"

/* The plan of an unlock and until when a successor may look, in its pool. NULL if memory is out. */
const char *intent_write(const unlock_t *unlock);

/* Reads a predecessor's intent (NULL: none came) into the plan. Of what is not understood nothing is taken
 * over: then nothing is taken back. Returns how long may still be looked, bounded by `most`, since the text
 * comes from outside. */
apr_interval_time_t intent_read(const char *intent, unlock_plan_t *plan, apr_interval_time_t most);

/* Fills in what Redis is told of an intent when it may have forgotten it: the text of its act (NULL: none is
 * known), the device, and until when a successor may look. In `pool`. */
void intent_reassert(jobs_change_t *change, const char *act, apr_pool_t *pool);

/* Boot options as amt_boot_t's summary names them: "UseIDER,UseSOL". "" for 0. */
const char *intent_boot_name(int boot);

#endif
