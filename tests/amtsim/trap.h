/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that were taken and will never be answered. */
#ifndef AMTSIM_TRAP_H
#define AMTSIM_TRAP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

/* What a trap does when the client speaks. */
enum trap_kind { TRAP_SILENT, TRAP_RESETS, TRAP_BABBLES };

/* Takes over the connection. */
void trap_set(struct event_base *base, int fd, enum trap_kind kind);

/* Closes all of them. */
void trap_free_all(void);

#endif
