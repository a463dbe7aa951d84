/* SPDX-License-Identifier: Apache-2.0 */
/* See disc_priv.h. */
#include "drives/disc_priv.h"

#include <sys/stat.h>

static void drop_unused_discs(discs_t *discs)
{
    disc_t *disc = NULL, *next = NULL;

    APR_RING_FOREACH_SAFE(disc, next, discs, disc_t, link)
    {
        if (disc->uses == 0) {
            APR_RING_REMOVE(disc, link);
            apr_pool_destroy(disc->pool);
        }
    }
}

static const char *map_disc(disc_t **out, discs_t *discs, int file, const struct stat *info,
                            apr_pool_t *parent)
{
    apr_pool_t *pool = NULL;
    const char *error;
    disc_t *disc;

    drop_unused_discs(discs);
    apr_pool_create(&pool, parent);
    disc = apr_pcalloc(pool, sizeof(*disc));
    disc->pool = pool;
    disc->device = info->st_dev;
    disc->inode = info->st_ino;
    error = amt_image_receive(&disc->image, file, pool);
    if (error != NULL) {
        apr_pool_destroy(pool);
        return "its image is no sealed memory of a CD, or cannot be mapped";
    }
    APR_RING_INSERT_TAIL(discs, disc, disc_t, link);
    *out = disc;
    return NULL;
}

void discs_init(discs_t *discs)
{
    APR_RING_INIT(discs, disc_t, link);
}

const char *disc_take(disc_t **out, discs_t *discs, int file, apr_pool_t *pool)
{
    disc_t *disc = NULL;
    struct stat info;
    const char *error = NULL;

    if (file < 0 || fstat(file, &info) != 0) {
        return "no image came with the order";
    }
    APR_RING_FOREACH(disc, discs, disc_t, link)
    {
        if (disc->device == info.st_dev && disc->inode == info.st_ino) {
            break;
        }
    }
    if (disc == APR_RING_SENTINEL(discs, disc_t, link)) {
        error = map_disc(&disc, discs, file, &info, pool);
    }
    if (error == NULL) {
        disc->uses++;
        *out = disc;
    }
    return error;
}

void disc_give_back(disc_t *disc)
{
    if (disc != NULL) {
        disc->uses--;
    }
}
