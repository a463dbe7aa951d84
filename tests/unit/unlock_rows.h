/* SPDX-License-Identifier: Apache-2.0 */
/* Every way that an unlock can go: how the PC behaves, and what comes of it. */
#ifndef AMTUNLOCK_TESTS_UNLOCK_ROWS_H
#define AMTUNLOCK_TESTS_UNLOCK_ROWS_H

#include "unlock_pc.h"

typedef struct {
    const char *name;
    behaviour_t is;
    const char *ending;
    const char *step; /* it ended at; NULL: not looked at */
    int power_requests;
    int calls; /* 0: not looked at */
} unlock_row_t;

extern const unlock_row_t unlock_rows[];
extern const size_t unlock_row_count;

/* The UUID of every simulated device, and another one. */
#define DEVICE "4c4c4544-0044-4a10-8058-b4c04f4a4a32"
#define OTHER "00000000-0000-0000-0000-000000000001"

/* Parts of a behaviour_t. */
#define FAILS(which, how) .fails = 1, .call = UNLOCK_CALL_##which, .status = AMT_##how
#define STORE_FAILS(which, how) .store_fails = 1, .change = JOBS_##which, .outcome = JOBS_##how
#define CUT(at) .cut = at, .cut_by = AMT_BROKEN
#define SOL .has_method = 1, .method = INVENTORY_SOL
#define IMAGE .has_method = 1, .method = INVENTORY_IMAGE

#endif
