/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the PC's own system in memory: its installed kernel and initramfs from /boot, with the passphrase in a cpio
 * archive behind the initramfs. A warm restart would lock LUKS volumes again. */
#ifndef AMTUNLOCK_IMAGE_TAKEOVER_PRIV_H
#define AMTUNLOCK_IMAGE_TAKEOVER_PRIV_H

#include "image/image_priv.h"

/* Finds /boot, reads it (mounted read-only, nothing is written, unmounted before it returns), and loads kernel,
 * initramfs and command line into the kernel (kexec_file_load). `volumes`: all of the PC's LUKS volumes; those with
 * `open` take the passphrase, and there is at least one. NULL when the system lies ready for takeover_start(); else a
 * reason word: "no-system" where there is none, its kernel is not trusted or it cannot be given the passphrase, "disk-error",
 * "internal". Nothing is left loaded then. */
const char *takeover_prepare(const image_volume_t *volumes, size_t count,
                             const image_passphrase_t *passphrase);

/* Starts what takeover_prepare() loaded. Returns only if it could not. */
void takeover_start(void);

#endif
