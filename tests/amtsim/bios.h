/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware of the host, booting from a redirected drive: it asks the drives who they are, finds what can
 * be booted, and reads all of it, with the SCSI commands that a real one sends. */
#ifndef AMTSIM_BIOS_H
#define AMTSIM_BIOS_H

#include "pc.h"

/* Which loop the drives' retries live on. */
void bios_setup(struct event_base *base);

/* Starts on pc->booted. False: no redirected drive is there. For struct pc_hooks. */
bool bios_boot(struct pc *pc);

/* The host lost its power or was reset: it starts from nothing. */
void bios_stop(struct pc *pc);

#endif
