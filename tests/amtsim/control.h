/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: JSON lines in, one JSON line out for each. */
#ifndef AMTSIM_CONTROL_H
#define AMTSIM_CONTROL_H

#include "fleet.h"

/* Listens on the unix socket (0600). Returns 0, or -1 with the reason on stderr. */
int control_open(struct event_base *base, struct fleet *fleet, const char *path);

void control_close(void);

#endif
