/* SPDX-License-Identifier: Apache-2.0 */
/* A queue in an array: the oldest are removed at its head. */
#include "worker/record/intent_index_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_sha1.h>

#define FIRST_CAPACITY 256

typedef struct {
    apr_uint64_t digest;
    apr_time_t at;
} act_t;

struct intent_index_t {
    act_t *acts; /* from malloc: a pool would keep every array that this one outgrew */
    apr_size_t count, capacity;
};

static apr_status_t free_acts(void *data)
{
    free(((intent_index_t *)data)->acts);
    return APR_SUCCESS;
}

intent_index_t *intent_index_create(apr_pool_t *pool)
{
    intent_index_t *made = apr_pcalloc(pool, sizeof(*made));

    apr_pool_cleanup_register(pool, made, free_acts, apr_pool_cleanup_null);
    return made;
}

/* The first bytes of a SHA-1 over both names, each with its NUL. A collision gains an attacker nothing, and
 * APR's SHA-1 allocates nothing. */
static apr_uint64_t digest_of(const char *job, const char *system)
{
    unsigned char hash[APR_SHA1_DIGESTSIZE];
    apr_sha1_ctx_t context;
    apr_uint64_t digest;

    apr_sha1_init(&context);
    apr_sha1_update(&context, job, (unsigned int)strlen(job) + 1);
    apr_sha1_update(&context, system, (unsigned int)strlen(system) + 1);
    apr_sha1_final(hash, &context);
    memcpy(&digest, hash, sizeof(digest));
    return digest;
}

/* Makes room for one more, first by removing those kept for long enough. 0: out of memory. */
static int make_room(intent_index_t *index, apr_time_t now)
{
    apr_size_t old = 0;

    if (index->count < index->capacity) {
        return 1;
    }
    while (old < index->count && index->acts[old].at < now - INTENT_INDEX_KEPT) {
        old++;
    }
    if (old > 0) {
        index->count -= old;
        memmove(index->acts, index->acts + old, index->count * sizeof(act_t));
    }
    if (old <= index->capacity / 4) {
        apr_size_t capacity = index->capacity ? 2 * index->capacity : FIRST_CAPACITY;
        act_t *more = realloc(index->acts, capacity * sizeof(act_t));

        if (more == NULL) {
            return index->count < index->capacity;
        }
        index->acts = more;
        index->capacity = capacity;
    }
    return 1;
}

int intent_index_add(intent_index_t *index, const char *job, const char *system, apr_time_t at)
{
    if (!make_room(index, at)) {
        return 0;
    }
    index->acts[index->count++] = (act_t){digest_of(job, system), at};
    return 1;
}

/* Its position; `count` where it is not there. */
static apr_size_t find_act(const intent_index_t *index, const char *job, const char *system)
{
    apr_uint64_t digest = digest_of(job, system);
    apr_size_t i = 0;

    while (i < index->count && index->acts[i].digest != digest) {
        i++;
    }
    return i;
}

void intent_index_remove(intent_index_t *index, const char *job, const char *system)
{
    apr_size_t i = find_act(index, job, system);

    if (i < index->count) {
        index->count--;
        memmove(index->acts + i, index->acts + i + 1, (index->count - i) * sizeof(act_t));
    }
}

int intent_index_has(const intent_index_t *index, const char *job, const char *system)
{
    return find_act(index, job, system) < index->count;
}
