/* SPDX-License-Identifier: Apache-2.0 */
/* What calls (wires.c), sessions (sessions.c) and errands (errands.c) share. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_WIRES_PRIV_H
#define AMTUNLOCK_TESTS_SIMULATE_WIRES_PRIV_H

#include <event2/event_struct.h>

#include "pcs_priv.h"

#define MS ((apr_interval_time_t)1000)
#define CONNECT_TIMEOUT (5000 * MS)

struct amt_loop_t {
    struct event_base *base;
};

void wire_start_timer(struct event *timer, apr_interval_time_t after);
/* Makes it active from outside its loop. */
void wire_interrupt(struct event *event);
int wire_is_unreachable(const pc_t *pc);

#endif
