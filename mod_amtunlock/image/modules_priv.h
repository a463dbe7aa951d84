/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_IMAGE_MODULES_PRIV_H
#define AMTUNLOCK_IMAGE_MODULES_PRIV_H

/* Loads the drivers that /modules/order names, a file of that folder a line, in its order: what a module needs stands
 * before it. A name that ends in more than .ko is unpacked by the kernel. One that does not load is said and left out: the
 * PC may not need it. */
void modules_load(void);

#endif
