/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS1 and LUKS2, by libcryptsetup: the passphrase is tested, nothing is mapped and nothing written. */
#ifndef AMTUNLOCK_IMAGE_LUKS_PRIV_H
#define AMTUNLOCK_IMAGE_LUKS_PRIV_H

#include "image/image_priv.h"

/* Tests the passphrase once on each volume, against all its key slots; fills in `uuid` and `open`. IMAGE_UNLOCKED where
 * it opens one at least. */
image_result_t luks_test(image_volume_t *volumes, size_t count, const image_passphrase_t *passphrase);

#endif
