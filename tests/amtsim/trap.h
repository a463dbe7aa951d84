/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that were taken and will never be answered. */
#ifndef AMTSIM_TRAP_H
#define AMTSIM_TRAP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

/* Takes over the connection and stays silent; `resets`: until the client speaks, then it is reset. */
void trap_set(struct event_base *base, int fd, bool resets);

/* Closes all of them. */
void trap_free_all(void);

#endif
