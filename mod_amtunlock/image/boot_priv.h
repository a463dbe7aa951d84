/* SPDX-License-Identifier: Apache-2.0 */
/* The file system that holds the PC's /boot. */
#ifndef AMTUNLOCK_IMAGE_BOOT_PRIV_H
#define AMTUNLOCK_IMAGE_BOOT_PRIV_H

#include "image/image_priv.h"
#include "image/menu_priv.h"

/* Called while the file system is mounted: NULL, or a reason word. */
typedef const char *boot_use_fn(int root, const menu_entry_t *entry, void *context);

/* Finds the file system with a boot menu, mounts it read-only, hands what the menu starts to `use`, and unmounts it. The
 * disks of the open volumes come first, then the other ones that are built in. NULL, or a reason word. */
const char *boot_find(const image_volume_t *volumes, size_t count, boot_use_fn *use, void *context);

/* Opens a regular file for reading by its path in the mounted file system, which no link leaves; -1. */
int boot_open(int root, const char *path);

#endif
