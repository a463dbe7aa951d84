/* SPDX-License-Identifier: Apache-2.0 */
/* The port that answers when a PC's operating system is up. */
#ifndef AMTSIM_PROBE_H
#define AMTSIM_PROBE_H

#include "pc.h"

/* Which loop the probes live on. */
void probe_setup(struct event_base *base);

/* Opens and closes the PC's port; for struct pc_hooks. */
void probe_open(struct pc *pc);
void probe_close(struct pc *pc);

#endif
