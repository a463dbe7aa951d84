/* SPDX-License-Identifier: Apache-2.0 */
/* What all files of redirection do with their events. */
#ifndef AMTUNLOCK_AMT_REDIRECTION_EVENT_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_EVENT_PRIV_H

#include <event2/event.h>

/* Frees *event, where there is one, and makes it NULL. */
void amt_event_clear(struct event **event);

#endif
