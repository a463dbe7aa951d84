/* SPDX-License-Identifier: Apache-2.0 */
/* Which of Intel's advisories about AMT a firmware is open to, by its version alone: nothing is tried out. */
#ifndef AMTUNLOCK_PREFLIGHT_FIRMWARE_PRIV_H
#define AMTUNLOCK_PREFLIGHT_FIRMWARE_PRIV_H

#include <apr_pools.h>

typedef enum {
    FIRMWARE_CURRENT,    /* none of those that are known here */
    FIRMWARE_OPEN,       /* to one or more */
    FIRMWARE_OLD,        /* of a release that is older than what advisories since 2020 speak of */
    FIRMWARE_UNREADABLE, /* no version */
    FIRMWARE_KINDS
} firmware_e;

/* `version`: two to four numbers with dots, as AMT tells it. *open becomes those it is open to, each with the
 * version that mends it, "INTEL-SA-00404 (fixed in 12.0.68), ..."; "" where there is none. Where only the
 * build number would tell whether it is mended, it counts as open. */
firmware_e firmware_judge(const char *version, const char **open, apr_pool_t *pool);

#endif
