/* SPDX-License-Identifier: Apache-2.0 */
/* The redirected CD drive of a body: each sector that its firmware, boot loader and kernel read is a READ(10)
 * of the IDE-R session. */
#ifndef AMTSIM_DRIVE_H
#define AMTSIM_DRIVE_H

#include "pc.h"

struct drive_events {
    /* The firmware has found it, or has not. */
    void (*found)(struct pc *pc, bool there);
    /* More was read of it than a firmware looks at: what is on it runs. Once. */
    void (*runs)(struct pc *pc);
};

/* Looks for the drive: `found` tells, later. pc->drive is there until drive_stop(). */
void drive_find(struct event_base *loop, struct pc *pc, const struct drive_events *events);

/* Serves it, once it was found, to the NBD client that gets the other end of fd; takes fd over. */
void drive_serve(struct pc *pc, int fd);

/* The host lost its power, or starts with another drive. */
void drive_stop(struct pc *pc);

#endif
