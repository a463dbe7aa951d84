/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis that forgets, or throws away, what it has acknowledged breaks the promise of the service in silence. So its
 * configuration is asked for what conf/redis.conf sets.
 */
#include "jobs/client_priv.h"

#include <string.h>

#include <apr_strings.h>

static const struct {
    const char *setting, *wanted;
    const char *otherwise; /* what happens with another value */
} durability_settings[] = {
    {"appendonly", "yes", "a Redis that ends loses its jobs"},
    {"appendfsync", "always", "a host that loses power loses jobs that were acknowledged"},
    {"maxmemory-policy", "noeviction", "a full Redis throws jobs away"},
};

#define SETTINGS (sizeof(durability_settings) / sizeof(durability_settings[0]))

/* The value in an answer of names and values; NULL: it is not there. */
static const char *find_setting(const redisReply *reply, const char *name)
{
    for (size_t i = 0; reply != NULL && i + 1 < reply->elements; i += 2) {
        if (strcmp(jobs_text_at(reply, i), name) == 0) {
            return jobs_text_at(reply, i + 1);
        }
    }
    return NULL;
}

static const char *judge_settings(const redisReply *reply, apr_pool_t *pool)
{
    const char *weakness = NULL;

    for (size_t i = 0; i < SETTINGS; i++) {
        const char *value = find_setting(reply, durability_settings[i].setting);

        if (value != NULL && strcmp(value, durability_settings[i].wanted) == 0) {
            continue;
        }
        weakness = apr_psprintf(pool, "%s%s%s is %s, and must be %s: %s", weakness != NULL ? weakness : "",
                                weakness != NULL ? "; " : "", durability_settings[i].setting,
                                value != NULL ? value : "not known", durability_settings[i].wanted,
                                durability_settings[i].otherwise);
    }
    return weakness;
}

jobs_result_t jobs_durability(jobs_client_t *client, const char **weakness, apr_pool_t *pool)
{
    redisReply *reply = NULL;
    jobs_call_t *call = jobs_command("CONFIG", pool);
    jobs_result_t result;

    *weakness = NULL;
    jobs_call_text(call, "GET");
    for (size_t i = 0; i < SETTINGS; i++) {
        jobs_call_text(call, durability_settings[i].setting);
    }
    result = jobs_client_ask(client, call, 0, &reply, pool);
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        *weakness =
            apr_psprintf(pool, "whether it keeps what it acknowledges cannot be told: %s", result.text);
        return JOBS_FINE;
    }
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return result;
    }
    *weakness = judge_settings(reply, pool);
    return JOBS_FINE;
}
