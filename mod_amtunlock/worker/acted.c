/* See acted.h. A queue in an array: the oldest leave at its head. */
#include "worker/acted.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <openssl/evp.h>

#define FIRST_ROOM 256

typedef struct {
    apr_uint64_t digest;
    apr_time_t at;
} act_t;

struct acted_t {
    act_t *acts; /* from malloc: a pool would keep every array that this one outgrew */
    apr_size_t count, room;
};

static apr_status_t free_acts(void *data)
{
    free(((acted_t *)data)->acts);
    return APR_SUCCESS;
}

acted_t *acted_create(apr_pool_t *pool)
{
    acted_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_pool_cleanup_register(pool, made, free_acts, apr_pool_cleanup_null);
    return made;
}

/* The first bytes of a SHA-256 over both names, each with its end. */
static apr_uint64_t digest_of(const char *job, const char *sid)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    apr_uint64_t digest = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || !EVP_DigestInit_ex(context, EVP_sha256(), NULL) ||
        !EVP_DigestUpdate(context, job, strlen(job) + 1) ||
        !EVP_DigestUpdate(context, sid, strlen(sid) + 1) || !EVP_DigestFinal_ex(context, hash, &size)) {
        abort();
    }
    EVP_MD_CTX_free(context);
    memcpy(&digest, hash, sizeof(digest));
    return digest;
}

/* Room for one more: those who have been kept for long enough leave first. */
static void make_room(acted_t *acted, apr_time_t now)
{
    apr_size_t old = 0;
    if (acted->count < acted->room) {
        return;
    }
    while (old < acted->count && acted->acts[old].at < now - ACTED_KEPT) {
        old++;
    }
    if (old > 0) {
        acted->count -= old;
        memmove(acted->acts, acted->acts + old, acted->count * sizeof(act_t));
    }
    if (old <= acted->room / 4) {
        acted->room = acted->room ? 2 * acted->room : FIRST_ROOM;
        act_t *more = realloc(acted->acts, acted->room * sizeof(act_t));
        if (more == NULL) {
            abort();
        }
        acted->acts = more;
    }
}

void acted_add(acted_t *acted, const char *job, const char *sid, apr_time_t at)
{
    make_room(acted, at);
    acted->acts[acted->count++] = (act_t){digest_of(job, sid), at};
}

/* Its place, or that behind the last. */
static apr_size_t find(const acted_t *acted, const char *job, const char *sid)
{
    apr_uint64_t digest = digest_of(job, sid);
    apr_size_t i = 0;
    while (i < acted->count && acted->acts[i].digest != digest) {
        i++;
    }
    return i;
}

void acted_remove(acted_t *acted, const char *job, const char *sid)
{
    apr_size_t i = find(acted, job, sid);
    if (i < acted->count) {
        acted->count--;
        memmove(acted->acts + i, acted->acts + i + 1, (acted->count - i) * sizeof(act_t));
    }
}

int acted_has(const acted_t *acted, const char *job, const char *sid)
{
    return find(acted, job, sid) < acted->count;
}
