/* SPDX-License-Identifier: Apache-2.0 */
/* What of a claimed task is to be believed: jobs in Redis are written by httpd's user. */
#ifndef AMTUNLOCK_WORKER_CLAIMED_PRIV_H
#define AMTUNLOCK_WORKER_CLAIMED_PRIV_H

#include "jobs/jobs.h"

#define CLAIMED_CALLER_MAX 1024
#define CLAIMED_INTENT_MAX 16384

/* Looks at each of its texts: how long it is, and of which characters. NULL: they can be recorded; or a sentence
 * that says which cannot. A task that is only verified gets another text for a caller who cannot be named, and
 * no intent for one that is too long: what was done to its PC must be looked at and taken back all the same. */
const char *claimed_judge(jobs_task_t *task);

#endif
