/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/slots_priv.h"

#include <sys/resource.h>

#include "base/log.h"

#define FILES_A_SLOT 3 /* AMT, probe, and one to spare */
#define FILES_BESIDES 64
#define SLOTS_MOST 8000 /* where none are set */
#define SLOTS_LEAST 16

/* How many files may be open, from now on. */
static rlim_t raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return RLIM_INFINITY;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max;
}

int slots_choose(int set)
{
    rlim_t files = raise_file_limit();
    int slots = set > 0 ? set : SLOTS_MOST;
    rlim_t wanted = (rlim_t)slots * FILES_A_SLOT + FILES_BESIDES;

    if (files == RLIM_INFINITY || files >= wanted) {
        return slots;
    }
    if (set == 0) {
        return files > FILES_BESIDES + SLOTS_LEAST * FILES_A_SLOT
                   ? (int)((files - FILES_BESIDES) / FILES_A_SLOT)
                   : SLOTS_LEAST;
    }
    log_warn("AMTU0303", "fewer files may be open than all slots need (LimitNOFILE)", "limit",
             log_number(LOG_NUMBER, (long long)files), "wanted", log_number(LOG_NUMBER, (long long)wanted));
    return slots;
}
