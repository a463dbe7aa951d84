/* SPDX-License-Identifier: Apache-2.0 */
/* The drive that the PC was booted from, and the sector on it: section 2 of mod_amtunlock/proof/README.md. It is read
 * directly, never through a mount: nothing else of it crosses the redirection a second time. */
#ifndef AMTUNLOCK_IMAGE_DISC_PRIV_H
#define AMTUNLOCK_IMAGE_DISC_PRIV_H

#include "image/keys_priv.h"

typedef enum {
    DISC_NONE,  /* no drive is an ISO 9660 disc with a file of the sector's name */
    DISC_OTHER, /* one is, but that is no session's sector */
    DISC_FOUND
} disc_e;

/* Looks for it on one drive, by the name amtunlock-proof.bin in the root folder. `path` is a device or a file. */
disc_e disc_read(const char *path, keys_t *keys);

/* Looks at all drives that can be it: CD drives, RAM disks that the firmware left (HTTPS boot), then other disks. */
disc_e disc_find(keys_t *keys);

#endif
