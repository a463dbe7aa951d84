/* SPDX-License-Identifier: Apache-2.0 */
/* The one try, in a process of its own: what crashes or hangs there does not take process 1 with it. */
#ifndef AMTUNLOCK_IMAGE_ATTEMPT_PRIV_H
#define AMTUNLOCK_IMAGE_ATTEMPT_PRIV_H

#include "image/image_priv.h"

typedef enum {
    ATTEMPT_RESTART, /* a warm restart */
    ATTEMPT_TAKEOVER /* takeover_start(): the disk's system lies ready */
} attempt_way_e;

/* Why nothing can be tried on the PC's disks; NULL where something can. Costs no try. */
const char *attempt_look(void);

/* Tries the passphrase on all that waits for one; within 60 s. *way is the way out. */
image_result_t attempt_make(const image_passphrase_t *passphrase, attempt_way_e *way);

#endif
