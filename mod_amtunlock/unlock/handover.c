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

/* What was set is being taken back. */
static int has_result(const unlock_t *unlock)
{
    return unlock->ended_at != NULL;
}

/* Its firmware or its boot loader looks for the drive, or reads it: a drive that goes away costs the start. */
int handover_lends_drive(const unlock_t *unlock)
{
    return unlock->session_open && (unlock->plan.boot & AMT_START_IMAGE) &&
           has_mark(unlock, JOBS_MARK_POWER) && !unlock->image_greeted && !has_result(unlock);
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

static const struct {
    int (*applies)(const unlock_t *unlock);
    unlock_drain_e until; /* from this level on it is handed back all the same */
} kept[] = {
    {has_result, UNLOCK_DRAIN_ALL},
    {asks_again, UNLOCK_DRAIN_ALL},
    {is_asked, UNLOCK_DRAIN_MOST},
    {awaits_verdict, UNLOCK_DRAIN_MOST},
    {handover_lends_drive, UNLOCK_DRAIN_MOST},
};

int handover_keeps(const unlock_t *unlock)
{
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (unlock->draining < kept[i].until && kept[i].applies(unlock)) {
            return 1;
        }
    }
    return 0;
}
