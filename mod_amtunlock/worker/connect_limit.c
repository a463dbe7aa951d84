/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/connect_limit_priv.h"

#include <event2/event.h>

#include "base/clock.h"

/* A PC that is still silent then is no burden, and must not hold up others; nor one whose firmware is slow. Where this
 * host is what is slow, all of them take long, and more at a time would take longer still: then it is a multiple of what
 * PCs took lately. */
static const apr_interval_time_t lasts[PERMIT_STATES] = {
    [PERMIT_CONNECTS] = APR_TIME_C(1000000), [PERMIT_TALKS] = APR_TIME_C(5000000)};
#define LASTS_TIMES 3
/* Half as many again as may connect are talked to. */
#define MOST_AT_ONCE(max) ((max) + ((max) + 1) / 2)
#define RETRY_MICROSECONDS 50000

static void on_retry(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    connect_limit_serve(data);
}

void connect_limit_init(connect_limit_t *limit, struct event_base *base, int max)
{
    limit->max = max;
    for (int state = 0; state < PERMIT_STATES; state++) {
        limit->stages[state] = (connect_stage_t){.count = 0};
        APR_RING_INIT(&limit->stages[state].permits, connect_permit_t, link);
    }
    event_assign(&limit->retry, base, -1, 0, on_retry, limit);
}

/* Not into PERMIT_NONE. */
static void enter_stage(connect_limit_t *limit, connect_permit_t *permit, permit_state_e state)
{
    APR_RING_INSERT_TAIL(&limit->stages[state].permits, permit, connect_permit_t, link);
    limit->stages[state].count++;
    permit->state = state;
    permit->since = clock_boottime();
}

static void leave_stage(connect_limit_t *limit, connect_permit_t *permit)
{
    APR_RING_REMOVE(permit, link);
    limit->stages[permit->state].count--;
    permit->state = PERMIT_NONE;
}

void connect_permit_ask(connect_limit_t *limit, connect_permit_t *permit)
{
    enter_stage(limit, permit, PERMIT_WAITING);
}

/* The latest is a quarter of it. */
static void learn(connect_stage_t *stage, const connect_permit_t *permit)
{
    stage->usual += (clock_boottime() - permit->since - stage->usual) / 4;
}

void connect_permit_connected(connect_limit_t *limit, connect_permit_t *permit)
{
    if (permit->since != 0 && (permit->state == PERMIT_CONNECTS || permit->state == PERMIT_NONE)) {
        learn(&limit->stages[PERMIT_CONNECTS], permit);
        permit->since = 0;
    }
    if (permit->state == PERMIT_CONNECTS) {
        leave_stage(limit, permit);
        enter_stage(limit, permit, PERMIT_TALKS);
    }
}

void connect_permit_end(connect_limit_t *limit, connect_permit_t *permit)
{
    if (permit->state == PERMIT_TALKS) {
        learn(&limit->stages[PERMIT_TALKS], permit);
    }
    if (permit->state != PERMIT_NONE) {
        leave_stage(limit, permit);
    }
    permit->since = 0;
}

static void grant_permit(connect_limit_t *limit, connect_permit_t *permit)
{
    leave_stage(limit, permit);
    enter_stage(limit, permit, PERMIT_CONNECTS);
    permit->granted(permit);
}

/* What they took teaches nothing: it is no more than they were given. */
static void end_old_permits(connect_limit_t *limit, permit_state_e state)
{
    const connect_stage_t *stage = &limit->stages[state];
    apr_interval_time_t many = LASTS_TIMES * stage->usual;
    apr_time_t until = clock_boottime() - (many > lasts[state] ? many : lasts[state]);

    while (!APR_RING_EMPTY(&stage->permits, connect_permit_t, link)) {
        connect_permit_t *oldest = APR_RING_FIRST(&stage->permits);

        if (oldest->since > until) {
            return;
        }
        leave_stage(limit, oldest);
    }
}

static connect_permit_t *next_permit(const connect_limit_t *limit)
{
    const connect_stage_t *waiting = &limit->stages[PERMIT_WAITING];
    int connect = limit->stages[PERMIT_CONNECTS].count, talk = limit->stages[PERMIT_TALKS].count;
    int may = connect < limit->max && connect + talk < MOST_AT_ONCE(limit->max);

    return may && waiting->count > 0 ? APR_RING_FIRST(&waiting->permits) : NULL;
}

void connect_limit_serve(connect_limit_t *limit)
{
    static const struct timeval soon = {.tv_usec = RETRY_MICROSECONDS};
    connect_permit_t *next;

    end_old_permits(limit, PERMIT_CONNECTS);
    end_old_permits(limit, PERMIT_TALKS);
    while ((next = next_permit(limit)) != NULL) {
        grant_permit(limit, next);
    }
    if (limit->stages[PERMIT_WAITING].count > 0) {
        event_add(&limit->retry, &soon);
    }
}
