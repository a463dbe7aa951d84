/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/pace.h"

#include "base/clock.h"

#define SECOND APR_INT64_C(1000000000)
/* Shorter rests would be a turn each for a few bytes. */
#define LEAST_REST (20 * APR_INT64_C(1000000))

static apr_int64_t nanoseconds_now(void)
{
    return clock_monotonic() * 1000;
}

void amt_pace_spend(amt_pace_t *pace, const amt_pace_limits_t *limits, unsigned int turns, apr_size_t bytes)
{
    apr_int64_t now = nanoseconds_now();

    pace->paid = pace->paid < now ? now : pace->paid;
    pace->paid += turns * (SECOND / limits->turns) + (apr_int64_t)bytes * SECOND / limits->bytes;
}

apr_interval_time_t amt_pace_rest(const amt_pace_t *pace)
{
    apr_int64_t over = pace->paid - nanoseconds_now() - SECOND;

    return over > 0 ? (over + LEAST_REST) / 1000 : 0;
}
