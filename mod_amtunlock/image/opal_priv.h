/* SPDX-License-Identifier: Apache-2.0 */
/* Self-encrypting drives (TCG Opal), through the kernel's own ioctls. */
#ifndef AMTUNLOCK_IMAGE_OPAL_PRIV_H
#define AMTUNLOCK_IMAGE_OPAL_PRIV_H

#include "image/image_priv.h"

typedef enum {
    OPAL_NONE,   /* no Opal, or locking was never switched on, or it is open already */
    OPAL_LOCKED, /* it waits for its passphrase */
    OPAL_ERROR   /* it has Opal and does not answer */
} opal_state_e;

/* The state of a whole disk ("/dev/sda"); costs no try. */
opal_state_e opal_state(const char *device);

/* Unlocks the ranges of a locked disk and says that its shadow MBR is done with, so that a warm restart boots what it
 * holds. Asks the drive no more often than the page's "exactly one try" means: see opal.c. */
image_result_t opal_unlock(const char *device, const image_passphrase_t *passphrase);

#endif
