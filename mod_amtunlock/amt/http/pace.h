/* SPDX-License-Identifier: Apache-2.0 */
/* How much work one peer may cause: so many turns of the loop and so many bytes a second. What a second allows
 * may come at once; who asks for more is left alone for a while, and the others are served. Nothing is lost by
 * that: TCP makes the peer wait.
 */
#ifndef AMTUNLOCK_AMT_HTTP_PACE_H
#define AMTUNLOCK_AMT_HTTP_PACE_H

#include <apr_time.h>

/* A second of one peer. Neither is 0. */
typedef struct {
    unsigned int turns;
    unsigned int bytes;
} amt_pace_limits_t;

/* All zero: nothing was done yet. */
typedef struct {
    apr_int64_t paid; /* when, in nanoseconds of clock_monotonic(), what was done will have been paid for */
} amt_pace_t;

/* That much was done just now. */
void amt_pace_spend(amt_pace_t *pace, const amt_pace_limits_t *limits, unsigned int turns, apr_size_t bytes);
/* How long nothing may be done for this peer; 0: it may go on. */
apr_interval_time_t amt_pace_rest(const amt_pace_t *pace);

#endif
