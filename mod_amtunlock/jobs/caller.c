/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/caller_priv.h"

#include "jobs/id_priv.h"

const char *jobs_owner(const jobs_caller_t *caller, apr_pool_t *pool)
{
    return jobs_sha256(caller->name, pool);
}

jobs_call_t *jobs_caller_verb(const char *name, const jobs_caller_t *caller, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_verb(name, pool);

    call->repeatable = 1;
    jobs_call_digest(call, jobs_owner(caller, pool));
    return call;
}

jobs_result_t jobs_no_such_job(void)
{
    return jobs_result(JOBS_NOT_FOUND, "no such job, or another caller's");
}
