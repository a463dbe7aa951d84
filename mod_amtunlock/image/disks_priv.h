/* SPDX-License-Identifier: Apache-2.0 */
/* Which disks and partitions the PC has, and how each is encrypted. */
#ifndef AMTUNLOCK_IMAGE_DISKS_PRIV_H
#define AMTUNLOCK_IMAGE_DISKS_PRIV_H

#include "image/image_priv.h"

#define DISKS_HEAD 4096 /* bytes from the beginning of a device that say how it is encrypted */

typedef enum {
    DISKS_PLAIN,
    DISKS_UNSUPPORTED, /* BitLocker, or VeraCrypt's boot loader: only it can open the disk */
    DISKS_LUKS
} disks_kind_e;

disks_kind_e disks_kind(const unsigned char head[DISKS_HEAD]);
/* Reads that; true if the device reads. Behind the end of a shorter one (the entry of extended partitions has 1 KiB) are
 * zeros. */
int disks_read(const char *path, unsigned char head[DISKS_HEAD]);

typedef struct {
    image_volume_t volumes[IMAGE_VOLUMES_MAX]; /* LUKS; uuid is not filled in yet */
    size_t volume_count;
    char drives[IMAGE_VOLUMES_MAX][IMAGE_DEVICE_MAX]; /* locked Opal drives */
    size_t drive_count;
    int unsupported; /* there is such a one */
    int errors;      /* devices that do not read */
} disks_t;

/* Looks at all that is built in: nothing that can be taken out, no CD, no RAM disk. Costs no try. */
void disks_look(disks_t *disks);

#endif
