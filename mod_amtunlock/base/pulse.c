/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pulse.h"

/* Of this thread; NULL: it has none. */
static _Thread_local pulse_t *own;

void pulse_init(pulse_t *pulse)
{
    atomic_init(&pulse->at, clock_boottime());
    atomic_init(&pulse->thread, 0);
}

void pulse_beat(pulse_t *pulse)
{
    own = pulse;
    atomic_store(&pulse->thread, pthread_self());
    atomic_store(&pulse->at, clock_boottime());
}

void pulse_end(pulse_t *pulse)
{
    own = NULL;
    atomic_store(&pulse->at, 0);
}

void pulse_go_on(void)
{
    if (own != NULL) {
        atomic_store(&own->at, clock_boottime());
    }
}

void pulse_pause(void)
{
    if (own != NULL) {
        atomic_store(&own->at, 0);
    }
}

apr_time_t pulse_older(const pulse_t *pulse, apr_time_t time)
{
    apr_time_t at = atomic_load(&pulse->at);

    return at != 0 && at < time ? at : time;
}
