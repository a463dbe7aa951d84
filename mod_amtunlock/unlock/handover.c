/* SPDX-License-Identifier: Apache-2.0 */
/* See handover_priv.h. */
#include "unlock/handover_priv.h"

/* By this unlock, or by a worker before it. */
static int has_mark(const unlock_t *unlock, unsigned int mark)
{
    return ((unlock->marks | unlock->task->marks) & mark) != 0;
}

/* What the PC says to what was typed is said once, and only to who listens. */
static int awaits_verdict(const unlock_t *unlock)
{
    return unlock->session_open && has_mark(unlock, JOBS_MARK_TYPED);
}

/* Its firmware or its boot loader looks for the drive, or reads it: a drive that goes away costs the start. */
static int lends_drive(const unlock_t *unlock)
{
    return unlock->session_open && (unlock->plan.boot & AMT_START_IMAGE) &&
           has_mark(unlock, JOBS_MARK_POWER) && !unlock->image_greeted;
}

/* It asks right now, and is about to be answered. Who comes next has to make it ask again, which may cost a try. */
static int is_asked(const unlock_t *unlock)
{
    int answers = unlock->step == UNLOCK_PASSPHRASE || unlock->step == UNLOCK_LOOK_AGAIN;

    return answers && unlock->session_open && unlock->intended;
}

/* Whoever takes over never asks for its power again, and this device said that it did nothing. */
static int asks_again(const unlock_t *unlock)
{
    return unlock->power_not_now && !unlock->seen_on;
}

int handover_keeps(const unlock_t *unlock)
{
    int has_result = unlock->ended_at != NULL; /* what was set is being taken back */

    if (unlock->draining == UNLOCK_DRAIN_ALL) {
        return 0;
    }
    return has_result || asks_again(unlock) ||
           (unlock->draining == UNLOCK_DRAIN_READY &&
            (is_asked(unlock) || awaits_verdict(unlock) || lends_drive(unlock)));
}
