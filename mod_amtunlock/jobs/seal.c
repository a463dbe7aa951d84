/* SPDX-License-Identifier: Apache-2.0 */
/* A short text that a worker keeps in Redis under a name of its own, for longer than it lives. */
#include "jobs/client_priv.h"

#include <string.h>

#include <apr_strings.h>

#define KEPT_SECONDS "31536000" /* a year: a host that is gone leaves nothing for ever */

static const char *seal_key(const char *name, apr_pool_t *pool)
{
    return apr_pstrcat(pool, JOBS_KEY("worker:seal:"), name, NULL);
}

jobs_result_t jobs_seal_read(jobs_client_t *client, const char *name, const char **text, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("GET", pool);
    jobs_result_t result;

    *text = "";
    jobs_call_text(call, seal_key(name, pool));
    result = jobs_client_ask(client, call, 0, &reply, pool);
    if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
        return JOBS_FINE;
    }
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        *text = apr_pstrmemdup(pool, reply->str, strnlen(reply->str, JOBS_SEAL_MAX));
        return JOBS_FINE;
    }
    return result;
}

jobs_result_t jobs_seal_write(jobs_client_t *client, const char *name, const char *text, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("SET", pool);
    jobs_result_t result;

    jobs_call_text(call, seal_key(name, pool));
    jobs_call_text(call, text);
    jobs_call_text(call, "EX");
    jobs_call_text(call, KEPT_SECONDS);
    result = jobs_client_ask(client, call, 0, &reply, pool);
    return reply != NULL && reply->type == REDIS_REPLY_STATUS ? JOBS_FINE : result;
}
