/* SPDX-License-Identifier: Apache-2.0 */
/* What is put behind the initramfs of the PC's own system, so that it opens the volumes without asking: a cpio archive,
 * and words on the kernel's command line. It suits initramfs-tools (its askpass is replaced by one that answers once for
 * each volume), dracut and mkinitcpio with systemd (rd.luks, /etc/cryptsetup-keys.d), and mkinitcpio's "encrypt". */
#ifndef AMTUNLOCK_IMAGE_INITRAMFS_PRIV_H
#define AMTUNLOCK_IMAGE_INITRAMFS_PRIV_H

#include "image/image_priv.h"

#define INITRAMFS_ADDED_MAX 65536 /* bytes of the archive */

typedef struct {
    unsigned char bytes[INITRAMFS_ADDED_MAX]; /* holds the passphrase: wiped by who made it */
    size_t used;
    int over; /* something did not fit */
} initramfs_t;

/* Writes the archive for the open ones of `volumes`, by what the command line says of the initramfs, and puts behind
 * `options` (of `size` bytes) what has to be said there: names of files and volumes, never the passphrase. -1 when
 * something does not fit. */
int initramfs_give(initramfs_t *archive, char *options, size_t size, const image_volume_t *volumes,
                   size_t count, const image_passphrase_t *passphrase);

#endif
