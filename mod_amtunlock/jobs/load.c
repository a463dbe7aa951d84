/* SPDX-License-Identifier: Apache-2.0 */
/* Gives Redis the functions that this program was built with. */
#include "jobs/library_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "jobs/client_priv.h"

#define NOT_FOUND "Function not found"
#define TRIES 3 /* other workers may load at the same moment */

static jobs_result_t library_send(jobs_client_t *client, int replace, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("FUNCTION", pool);
    jobs_result_t result;

    jobs_call_text(call, "LOAD");
    if (replace) {
        jobs_call_text(call, "REPLACE");
    }
    jobs_call_text(call, jobs_library);
    result = jobs_client_ask(client, call, 0, &reply, pool);
    /* The answer is the library's name, which is no verb's word. */
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        return JOBS_FINE;
    }
    return result;
}

/* JOBS_OUTDATED if Redis' is newer than ours. *wanted: it is absent or older there. */
static jobs_result_t library_compare(jobs_client_t *client, int *wanted, int *absent, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("FCALL", pool);
    jobs_result_t result;
    apr_int64_t theirs;

    jobs_call_text(call, "amtunlock_schema");
    jobs_call_text(call, "0");
    result = jobs_client_ask(client, call, 0, &reply, pool);
    *absent = reply != NULL && reply->type == REDIS_REPLY_ERROR && strstr(reply->str, NOT_FOUND) != NULL;
    theirs = jobs_number_at(reply, 1);
    *wanted = *absent || (result.outcome == JOBS_OK && theirs < JOBS_SCHEMA);
    if (result.outcome == JOBS_OK && theirs > JOBS_SCHEMA) {
        return jobs_result(
            JOBS_OUTDATED,
            apr_psprintf(pool,
                         "Redis holds version %" APR_INT64_T_FMT
                         " of the amtunlock functions, this program brings version %d: upgrade it",
                         theirs, JOBS_SCHEMA));
    }
    return result;
}

/* Loaded where it is absent, unless another worker has loaded it meanwhile; an older one is replaced. */
static jobs_result_t library_update(jobs_client_t *client, int *loaded, apr_pool_t *pool)
{
    int absent = 0;
    jobs_result_t result = library_compare(client, loaded, &absent, pool);

    return *loaded ? library_send(client, !absent, pool) : result;
}

jobs_result_t jobs_library_look(jobs_client_t *client)
{
    int wanted = 0, absent = 0;
    jobs_result_t result = library_compare(client, &wanted, &absent, jobs_client_scratch(client));

    return wanted ? JOBS_FINE : result;
}

/* A function that is called for no schema says so, and does nothing: an ACL that forbids it has spoken before. */
static jobs_result_t library_try(jobs_client_t *client, const char *verb, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_result_t result = jobs_client_ask(client, jobs_verb_of(0, verb, pool), 0, &reply, pool);

    if (reply != NULL && (reply->type != REDIS_REPLY_ERROR || strstr(reply->str, NOT_FOUND) != NULL)) {
        return JOBS_FINE;
    }
    return jobs_result(result.outcome, apr_pstrcat(pool, "amtunlock_", verb, ": ", result.text, NULL));
}

jobs_result_t jobs_library_try(jobs_client_t *client, apr_pool_t *pool)
{
    static const char *const verbs[] = {"claim",  "renew",   "intend", "mark",     "ramp",  "progress",
                                        "finish", "release", "reap",   "reassert", "attest"};
    jobs_result_t result = JOBS_FINE;

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]) && result.outcome == JOBS_OK; i++) {
        result = library_try(client, verbs[i], pool);
    }
    return result;
}

jobs_result_t jobs_library_load(jobs_client_t *client)
{
    apr_pool_t *pool = jobs_client_scratch(client);
    jobs_result_t result = JOBS_FINE;
    int loaded = 1;

    for (int i = 0; i < TRIES && loaded; i++) {
        result = library_update(client, &loaded, pool);
    }
    return result.outcome == JOBS_OK ? jobs_library_try(client, pool) : result;
}
