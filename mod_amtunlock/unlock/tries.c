/* SPDX-License-Identifier: Apache-2.0 */
/* See tries_priv.h. All pauses are random ones, so that the PCs of a job do not all come back at once. */
#include "unlock/tries_priv.h"

#include <stdlib.h>

#include "base/clock.h"
#include "unlock/steps_priv.h"

#define RETRIES 3
#define RETRY_WITHIN SECONDS(25)
#define RETRY_BASE SECONDS(1) /* up to 1, 2, 4 s */
#define MOST_WAKES 30         /* those that fail at once included */
/* A device that says "not now" is asked again for longer: it did nothing, so that acts may be repeated as well. */
#define PASSING_RETRIES 10
#ifdef AMTUNLOCK_TEST
#define PASSING_PAUSE clock_test_interval("AMTUNLOCK_TEST_NOT_NOW_MS", SECONDS(2))
#else
#define PASSING_PAUSE SECONDS(2)
#endif

static apr_interval_time_t random_up_to(apr_interval_time_t most)
{
    return (apr_interval_time_t)arc4random_uniform((uint32_t)most);
}

apr_interval_time_t unlock_wake_within(void)
{
#ifdef AMTUNLOCK_TEST
    return clock_test_interval("AMTUNLOCK_TEST_WAKE_MS", SECONDS(40));
#else
    return SECONDS(40);
#endif
}

/* Each try is a new connection, as the packets that wake an ME. */
static apr_interval_time_t next_wake(unlock_t *unlock, apr_time_t now)
{
    if (unlock->wake_until == 0) {
        unlock->wake_until = unlock->sent + unlock_wake_within();
        unlock->until += unlock_wake_within();
    }
    if (now >= unlock->wake_until || unlock->wakes >= MOST_WAKES) {
        return -1;
    }
    unlock->wakes++;
    return UNLOCK_WAKE_PAUSE / 2 + random_up_to(UNLOCK_WAKE_PAUSE);
}

static apr_interval_time_t next_retry(unlock_t *unlock, apr_time_t now)
{
    if (unlock->retry_until == 0) {
        unlock->retry_until = unlock->sent + RETRY_WITHIN;
    }
    if (unlock->tries >= RETRIES || now >= unlock->retry_until) {
        return -1;
    }
    return random_up_to(RETRY_BASE << unlock->tries++);
}

/* Of a device that did nothing, for now. Of a power request the next step decides: see steps.c. */
static apr_interval_time_t next_when_ready(unlock_t *unlock, apr_time_t now)
{
    apr_interval_time_t after = PASSING_PAUSE / 2 + random_up_to(PASSING_PAUSE);

    if (unlock->step == UNLOCK_POWER_ON || unlock->step == UNLOCK_WATCH || unlock->tries >= PASSING_RETRIES ||
        (unlock->until != 0 && now + after >= unlock->until)) {
        return -1;
    }
    unlock->tries++;
    return after;
}

apr_interval_time_t unlock_next_try(unlock_t *unlock, int may_help)
{
    apr_time_t now = unlock->ops->now();

    if (unlock->call_status == AMT_NOT_NOW) {
        return next_when_ready(unlock, now);
    }
    if (!may_help || !unlock->row->retry || unlock->intended) {
        return -1;
    }
    return unlock->asleep ? next_wake(unlock, now) : next_retry(unlock, now);
}
