/* SPDX-License-Identifier: Apache-2.0 */
/* What callers asked for beyond their scope, for the audit record. */
#ifndef AMTUNLOCK_WORKER_RECORD_DENIALS_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_DENIALS_PRIV_H

#include "worker/record/recorder_priv.h"

/* Fetches what Redis has of it, once a second, and puts it on disk, a line "denied" each. Nothing is fetched while the
 * record cannot be written. *due: zeroed at first, then of this function. */
void denials_record(recorder_t *recorder, jobs_client_t *connection, apr_time_t *due, apr_pool_t *pool);

#endif
