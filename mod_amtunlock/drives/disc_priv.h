/* SPDX-License-Identifier: Apache-2.0 */
/* The images that a drive process serves, each mapped once however many drives it is in. */
#ifndef AMTUNLOCK_DRIVES_DISC_PRIV_H
#define AMTUNLOCK_DRIVES_DISC_PRIV_H

#include <sys/types.h>

#include <apr_ring.h>

#include "amt/redirection/ider.h"

typedef struct disc_t disc_t;

struct disc_t {
    APR_RING_ENTRY(disc_t) link;
    apr_pool_t *pool;
    dev_t device; /* of the sealed memory: the same memory is the same image */
    ino_t inode;
    amt_image_t *image;
    int uses;
};

typedef APR_RING_HEAD(discs_t, disc_t) discs_t;

void discs_init(discs_t *discs);
/* The image of this descriptor, which stays the caller's; in `pool`, if it is a new one. NULL, or why there is none. */
const char *disc_take(disc_t **disc, discs_t *discs, int file, apr_pool_t *pool);
/* NULL is none. It is kept for the next drives until there is another image. */
void disc_give_back(disc_t *disc);

#endif
