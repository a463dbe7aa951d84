/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a step that failed is tried again, and when. */
#ifndef AMTUNLOCK_UNLOCK_TRIES_PRIV_H
#define AMTUNLOCK_UNLOCK_TRIES_PRIV_H

#include "unlock/unlock.h"

/* The pause before the next try; -1: there is none. `may_help`: what failed may go well the next time. */
apr_interval_time_t unlock_next_try(unlock_t *unlock, int may_help);

#endif
