/* SPDX-License-Identifier: Apache-2.0 */
/* What the web side's verbs have in common: they are a caller's. */
#ifndef AMTUNLOCK_JOBS_CALLER_PRIV_H
#define AMTUNLOCK_JOBS_CALLER_PRIV_H

#include "jobs/pool_priv.h"

/* The caller's name as keys and verbs have it; NULL without memory. */
const char *jobs_owner(const jobs_caller_t *caller, apr_pool_t *pool);
/* A verb of this caller that reads; it may be sent twice. */
jobs_call_t *jobs_caller_verb(const char *name, const jobs_caller_t *caller, apr_pool_t *pool);
/* Of an id that no job can have, too. */
jobs_result_t jobs_no_such_job(void);

#endif
