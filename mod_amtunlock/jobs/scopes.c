/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <apr_strings.h>

#include "jobs/client_priv.h"
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

/* The lines of an entry; 0 if it has not as many as it must have. */
static int denial_of(jobs_denial_t *denial, char *entry)
{
    const char **const fields[] = {NULL,          &denial->job,    &denial->mechanism,
                                   &denial->peer, &denial->caller, &denial->names};
    const int count = (int)(sizeof(fields) / sizeof(fields[0]));
    char *rest = entry;

    for (int i = 0; i < count; i++) {
        char *line = rest;

        rest = strchr(line, '\n');
        if ((rest == NULL) != (i == count - 1)) {
            return 0;
        }
        if (rest != NULL) {
            *rest++ = '\0';
        }
        if (i == 0) {
            denial->asked = apr_atoi64(line);
        }
        else {
            *fields[i] = line;
        }
    }
    return 1;
}

jobs_result_t jobs_take_denials(jobs_client_t *client, apr_array_header_t **denials, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_verb("denied", pool);
    jobs_result_t result = jobs_client_ask(client, call, 0, &reply, pool);
    const redisReply *entries = result.outcome == JOBS_OK ? jobs_element(reply, 1) : NULL;

    *denials = apr_array_make(pool, 4, sizeof(jobs_denial_t));
    for (size_t i = 0; entries != NULL && i < entries->elements; i++) {
        jobs_denial_t denial = {0};

        if (denial_of(&denial, apr_pstrdup(pool, jobs_text_at(entries, i)))) {
            APR_ARRAY_PUSH(*denials, jobs_denial_t) = denial;
        }
    }
    return result;
}
