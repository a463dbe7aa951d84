/* SPDX-License-Identifier: Apache-2.0 */
/* The clock by which leases, deadlines and time-outs run.
 */
#ifndef AMTUNLOCK_BASE_CLOCK_H
#define AMTUNLOCK_BASE_CLOCK_H

#include <apr_time.h>

/* Now, by CLOCK_BOOTTIME: it cannot be set, and runs on while a machine sleeps. Any thread. */
apr_time_t clock_boottime(void);

/* Now, by CLOCK_MONOTONIC: it cannot be set either, and stands while a machine sleeps. Any thread. */
apr_time_t clock_monotonic(void);

/* The milliseconds that the environment names in `variable`, else `usual`. Defined under AMTUNLOCK_TEST only. */
apr_interval_time_t clock_test_interval(const char *variable, apr_interval_time_t usual);

#endif
