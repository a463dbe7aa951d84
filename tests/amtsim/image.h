/* SPDX-License-Identifier: Apache-2.0 */
/* The unlock image at work on a PC that booted it: it proves over the serial port that it was booted through
 * this session, takes the sealed passphrase, tries it, says how it went, and restarts the PC warm. Written
 * from mod_amtunlock/proof/README.md, version 1. */
#ifndef AMTSIM_IMAGE_H
#define AMTSIM_IMAGE_H

#include "image_disc.h"
#include "pc.h"

/* Which loop the images' timers live on. */
void image_setup(struct event_base *base);

/* The firmware has read all of what it boots, and this was in it. */
void image_start(struct pc *pc, const struct disc *disc);

/* The console types. */
void image_input(struct pc *pc, const char *data, size_t size);

/* The PC lost its power or was reset, or the simulator ends. */
void image_stop(struct pc *pc);

#endif
