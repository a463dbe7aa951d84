/* SPDX-License-Identifier: Apache-2.0 */
/* Hands the inventory to Redis in chunks, then switches to it: 100,000 systems in one call would block Redis
 * for a second.
 */
#include "jobs/client_priv.h"

#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "base/failpoint.h"
#include "jobs/id_priv.h"

/* Whichever is reached first: a call writes as many fields as there are systems and names. */
#define SYSTEMS_A_CHUNK 200
#define WORDS_A_CHUNK 1500

/* How many distinct names the systems have; *twice gets one that two of them share, or NULL. */
static int count_names(const apr_array_header_t *systems, const char **twice, apr_pool_t *pool)
{
    apr_hash_t *names = apr_hash_make(pool);

    *twice = NULL;
    for (int i = 0; i < systems->nelts; i++) {
        const jobs_published_t *system = &APR_ARRAY_IDX(systems, i, jobs_published_t);

        for (int k = 0; k < system->keys->nelts; k++) {
            const char *name = APR_ARRAY_IDX(system->keys, k, const char *);
            const char *other = apr_hash_get(names, name, APR_HASH_KEY_STRING);

            if (other != NULL && strcmp(other, system->system) != 0) {
                *twice = name;
            }
            apr_hash_set(names, name, APR_HASH_KEY_STRING, system->system);
        }
    }
    return (int)apr_hash_count(names);
}

static jobs_result_t publish_switch(jobs_client_t *client, const char *worker, const char *generation,
                                    const jobs_edition_t *edition, int systems, int names, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_verb("publish_switch", pool);
    jobs_result_t result;

    jobs_call_text(call, worker);
    jobs_call_text(call, generation);
    jobs_call_text(call, edition->digest);
    jobs_call_number(call, edition->written);
    jobs_call_number(call, systems);
    jobs_call_number(call, systems + names);
    jobs_call_number(call, JOBS_LEASE);
    jobs_call_text(call, edition->host);
    result = jobs_client_ask(client, call, 0, &reply, pool);
    if (result.outcome == JOBS_OK) {
        result.text = jobs_text_at(reply, 1);
    }
    return result;
}

static void call_add_system(jobs_call_t *call, const jobs_published_t *system)
{
    jobs_call_text(call, system->system);
    jobs_call_text(call, system->group);
    jobs_call_text(call, system->method);
    jobs_call_number(call, system->keys->nelts);
    for (int k = 0; k < system->keys->nelts; k++) {
        jobs_call_text(call, APR_ARRAY_IDX(system->keys, k, const char *));
    }
}

/* Sends systems from *next on, as many as a chunk takes. */
static jobs_result_t publish_chunk(jobs_client_t *client, const char *generation,
                                   const apr_array_header_t *systems, int *next, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_verb("publish_chunk", pool);

    jobs_call_text(call, generation);
    for (int n = 0; n < SYSTEMS_A_CHUNK && *next < systems->nelts && call->words->nelts < WORDS_A_CHUNK;
         n++) {
        call_add_system(call, &APR_ARRAY_IDX(systems, (*next)++, jobs_published_t));
    }
    return jobs_client_ask(client, call, 0, &reply, pool);
}

static jobs_result_t publish_chunks(jobs_client_t *client, const char *worker, const jobs_edition_t *edition,
                                    const apr_array_header_t *systems, int names, apr_pool_t *pool)
{
    apr_pool_t *chunk_pool = NULL;
    const char *generation = jobs_new_id(pool);
    jobs_result_t result = JOBS_FINE;

    if (generation == NULL || apr_pool_create(&chunk_pool, pool) != APR_SUCCESS) {
        return jobs_result(JOBS_UNAVAILABLE, "the operating system gives no random numbers or no memory");
    }
    for (int next = 0; next < systems->nelts;) {
        apr_pool_clear(chunk_pool);
        result = publish_chunk(client, generation, systems, &next, chunk_pool);
        if (result.outcome != JOBS_OK) {
            result.text = apr_pstrdup(pool, result.text);
            break;
        }
    }
    apr_pool_destroy(chunk_pool);
    if (result.outcome != JOBS_OK) {
        return result;
    }
    FAILPOINT("publish.staged");
    result = publish_switch(client, worker, generation, edition, systems->nelts, names, pool);
    FAILPOINT("publish.switched");
    return result;
}

jobs_result_t jobs_publish(jobs_client_t *client, const char *worker, const jobs_edition_t *edition,
                           const apr_array_header_t *systems, apr_pool_t *pool)
{
    const char *twice = NULL;
    int names = count_names(systems, &twice, pool);
    jobs_result_t result;

    if (twice != NULL) {
        return jobs_result(JOBS_CONFLICT, apr_psprintf(pool, "two systems share the name %s", twice));
    }
    /* Ask first whether it is needed: most often this very inventory is live already. */
    result = publish_switch(client, worker, "", edition, systems->nelts, names, pool);
    if (result.outcome == JOBS_OK) {
        result = publish_chunks(client, worker, edition, systems, names, pool);
    }
    return result;
}

jobs_result_t jobs_publish_ask(jobs_client_t *client, const jobs_edition_t *edition, apr_pool_t *pool)
{
    return publish_switch(client, "", "", edition, 0, 0, pool);
}
