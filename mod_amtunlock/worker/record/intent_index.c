/* SPDX-License-Identifier: Apache-2.0 */
/* See acted.h. A queue in an array: the oldest leave at its head. */
#include "worker/record/intent_index_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_sha1.h>

#define FIRST_ROOM 256

typedef struct {
    apr_uint64_t digest;
    apr_time_t at;
} act_t;

struct intent_index_t {
    act_t *acts; /* from malloc: a pool would keep every array that this one outgrew */
    apr_size_t count, room;
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

/* The first bytes of a SHA-1 over both names, each with its end: nobody gains by two that are alike, and this
 * one needs no memory. */
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

/* Room for one more, or 0: those who have been kept for long enough leave first. */
static int make_room(intent_index_t *acted, apr_time_t now)
{
    apr_size_t old = 0;

    if (acted->count < acted->room) {
        return 1;
    }
    while (old < acted->count && acted->acts[old].at < now - INTENT_INDEX_KEPT) {
        old++;
    }
    if (old > 0) {
        acted->count -= old;
        memmove(acted->acts, acted->acts + old, acted->count * sizeof(act_t));
    }
    if (old <= acted->room / 4) {
        apr_size_t room = acted->room ? 2 * acted->room : FIRST_ROOM;
        act_t *more = realloc(acted->acts, room * sizeof(act_t));

        if (more == NULL) {
            return acted->count < acted->room;
        }
        acted->acts = more;
        acted->room = room;
    }
    return 1;
}

int intent_index_add(intent_index_t *acted, const char *job, const char *system, apr_time_t at)
{
    if (!make_room(acted, at)) {
        return 0;
    }
    acted->acts[acted->count++] = (act_t){digest_of(job, system), at};
    return 1;
}

/* Its place, or that behind the last. */
static apr_size_t find(const intent_index_t *acted, const char *job, const char *system)
{
    apr_uint64_t digest = digest_of(job, system);
    apr_size_t i = 0;

    while (i < acted->count && acted->acts[i].digest != digest) {
        i++;
    }
    return i;
}

void intent_index_remove(intent_index_t *acted, const char *job, const char *system)
{
    apr_size_t i = find(acted, job, system);

    if (i < acted->count) {
        acted->count--;
        memmove(acted->acts + i, acted->acts + i + 1, (acted->count - i) * sizeof(act_t));
    }
}

int intent_index_has(const intent_index_t *acted, const char *job, const char *system)
{
    return find(acted, job, system) < acted->count;
}
