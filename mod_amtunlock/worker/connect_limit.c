/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/connect_limit_priv.h"

#include <event2/event.h>

#include "base/clock.h"

/* A permit is for the burst of a first connection. A PC that is still silent then is no burden, and must not
 * hold up others. */
#define PERMIT_LASTS apr_time_from_sec(1)
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
    limit->held_count = 0;
    APR_RING_INIT(&limit->waiting, connect_permit_t, link);
    APR_RING_INIT(&limit->held, connect_permit_t, link);
    event_assign(&limit->retry, base, -1, 0, on_retry, limit);
}

void connect_permit_ask(connect_limit_t *limit, connect_permit_t *permit)
{
    permit->state = PERMIT_WAITING;
    APR_RING_INSERT_TAIL(&limit->waiting, permit, connect_permit_t, link);
}

void connect_permit_end(connect_limit_t *limit, connect_permit_t *permit)
{
    if (permit->state == PERMIT_NONE) {
        return;
    }
    APR_RING_REMOVE(permit, link);
    limit->held_count -= permit->state == PERMIT_HELD;
    permit->state = PERMIT_NONE;
}

static void grant_permit(connect_limit_t *limit, connect_permit_t *permit)
{
    APR_RING_REMOVE(permit, link);
    APR_RING_INSERT_TAIL(&limit->held, permit, connect_permit_t, link);
    limit->held_count++;
    permit->state = PERMIT_HELD;
    permit->until = clock_boottime() + PERMIT_LASTS;
    permit->granted(permit);
}

static void end_old_permits(connect_limit_t *limit)
{
    apr_time_t now = clock_boottime();

    while (!APR_RING_EMPTY(&limit->held, connect_permit_t, link)) {
        connect_permit_t *oldest = APR_RING_FIRST(&limit->held);

        if (oldest->until > now) {
            return;
        }
        connect_permit_end(limit, oldest);
    }
}

void connect_limit_serve(connect_limit_t *limit)
{
    static const struct timeval soon = {.tv_usec = RETRY_MICROSECONDS};

    end_old_permits(limit);
    while (limit->held_count < limit->max && !APR_RING_EMPTY(&limit->waiting, connect_permit_t, link)) {
        grant_permit(limit, APR_RING_FIRST(&limit->waiting));
    }
    if (!APR_RING_EMPTY(&limit->waiting, connect_permit_t, link)) {
        event_add(&limit->retry, &soon);
    }
}
