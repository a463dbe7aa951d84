/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

#include <apr_strings.h>

apr_time_t clock_boottime(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (apr_time_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000;
}

apr_time_t clock_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

#ifdef AMTUNLOCK_TEST
apr_interval_time_t clock_test_interval(const char *variable, apr_interval_time_t usual)
{
    const char *ms = getenv(variable);

    return ms != NULL ? apr_time_from_msec(apr_atoi64(ms)) : usual;
}
#endif
