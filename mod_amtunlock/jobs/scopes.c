/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/pool_priv.h"

jobs_result_t jobs_publish_scopes(jobs_pool_t *jobs, const char *service, apr_time_t read_at,
                                  const apr_array_header_t *digests, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_verb("scopes", pool);

    call->repeatable = 1;
    jobs_call_text(call, service);
    jobs_call_number(call, read_at);
    for (int i = 0; i < digests->nelts; i++) {
        jobs_call_text(call, APR_ARRAY_IDX(digests, i, const char *));
    }
    return jobs_pool_ask(jobs, call, &reply, pool);
}
