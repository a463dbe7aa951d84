/* SPDX-License-Identifier: Apache-2.0 */
/* What the rest of a simulation asks of the ground: see ground.c. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_GROUND_H
#define AMTUNLOCK_TESTS_SIMULATE_GROUND_H

#include "clockwork.h"

typedef struct {
    chance_t chance;                                   /* of random bytes */
    int says;                                          /* tell on standard output what happens */
    void (*on_point)(host_t *host, const char *point); /* a failpoint is passed; NULL: nobody looks */
} ground_t;

extern ground_t ground;

void ground_reset(apr_uint64_t seed);
/* A line of the story, where it is told. */
void ground_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Of the wake-up with this number, for loop.c. */
int wakeup_is_signalled(int fd);
void wakeup_wait_by(int fd, apr_time_t until);
/* Who waits for it has a turn, though it was not signalled. */
void wakeup_kick(int fd);

struct event_base;
/* Of loop.c: an event was made active by no callback of this loop. */
void loop_interrupt(const struct event_base *base);

#endif
