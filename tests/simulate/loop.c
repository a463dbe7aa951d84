/* SPDX-License-Identifier: Apache-2.0 */
/* libevent's loop by the clockwork, as far as an engine uses it: timers, events that are made active, two priorities, and
 * one wake-up as the only file. Takes the place of libevent, and of amt_loop_base_create(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "amt/amt.h"
#include "base/clock.h"
#include "ground.h"

#define EVENTS_MOST 16384
/* In ev_flags. */
enum { IS_TIMED = 1, IS_ACTIVE = 2, IS_READING = 4 };

struct event_base {
    struct event *events[EVENTS_MOST]; /* that are pending or active */
    int count;
    struct event *reading; /* the wake-up */
    int broken;
};

struct event_base *amt_loop_base_create(void)
{
    return calloc(1, sizeof(struct event_base));
}

void event_base_free(struct event_base *base)
{
    free(base);
}

/* ---- one event ----------------------------------------------------------------------------------------- */

static apr_time_t due_of(const struct event *event)
{
    return apr_time_make(event->ev_timeout.tv_sec, event->ev_timeout.tv_usec);
}

static void set_due(struct event *event, apr_time_t due)
{
    event->ev_timeout.tv_sec = (time_t)apr_time_sec(due);
    event->ev_timeout.tv_usec = (suseconds_t)apr_time_usec(due);
}

int event_assign(struct event *event, struct event_base *base, evutil_socket_t fd, short what,
                 void (*callback)(evutil_socket_t, short, void *), void *data)
{
    memset(event, 0, sizeof(*event));
    event->ev_base = base;
    event->ev_fd = fd;
    event->ev_events = what;
    event->ev_evcallback.evcb_cb_union.evcb_callback = callback;
    event->ev_evcallback.evcb_arg = data;
    event->ev_evcallback.evcb_pri = 1;
    return 0;
}

int event_priority_set(struct event *event, int priority)
{
    event->ev_evcallback.evcb_pri = (ev_uint8_t)priority;
    return 0;
}

static void enlist(struct event *event)
{
    struct event_base *base = event->ev_base;

    for (int i = 0; i < base->count; i++) {
        if (base->events[i] == event) {
            return;
        }
    }
    if (base->count == EVENTS_MOST) {
        fputs("simulate: too many events\n", stderr);
        abort();
    }
    base->events[base->count++] = event;
}

static void delist(const struct event *event)
{
    struct event_base *base = event->ev_base;

    for (int i = 0; i < base->count; i++) {
        if (base->events[i] == event) {
            base->count--;
            for (int j = i; j < base->count; j++) {
                base->events[j] = base->events[j + 1];
            }
            return;
        }
    }
}

int event_add(struct event *event, const struct timeval *timeout)
{
    if (event->ev_events & EV_READ) {
        event->ev_base->reading = event;
        event->ev_evcallback.evcb_flags |= IS_READING;
        return 0;
    }
    if (timeout == NULL) {
        return 0;
    }
    event->ev_.ev_io.ev_timeout = *timeout; /* of a persistent one, for the next time */
    set_due(event, clock_boottime() + apr_time_make(timeout->tv_sec, timeout->tv_usec));
    event->ev_evcallback.evcb_flags |= IS_TIMED;
    enlist(event);
    return 0;
}

int event_del(struct event *event)
{
    if (event->ev_base == NULL) {
        return -1;
    }
    if (event->ev_base->reading == event) {
        event->ev_base->reading = NULL;
    }
    if (event->ev_evcallback.evcb_flags & (IS_TIMED | IS_ACTIVE)) {
        delist(event);
    }
    event->ev_evcallback.evcb_flags = 0;
    return 0;
}

void event_active(struct event *event, int what, short calls)
{
    (void)what;
    (void)calls;
    event->ev_evcallback.evcb_flags |= IS_ACTIVE;
    enlist(event);
}

int event_pending(const struct event *event, short what, struct timeval *due)
{
    (void)what;
    (void)due;
    return event->ev_evcallback.evcb_flags & (IS_TIMED | IS_ACTIVE) ? what : 0;
}

int event_base_loopbreak(struct event_base *base)
{
    base->broken = 1;
    return 0;
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static void call_back(struct event *event, short what)
{
    event->ev_evcallback.evcb_cb_union.evcb_callback(event->ev_fd, what, event->ev_evcallback.evcb_arg);
}

static int is_due(const struct event *event, apr_time_t now)
{
    return (event->ev_evcallback.evcb_flags & IS_ACTIVE) ||
           ((event->ev_evcallback.evcb_flags & IS_TIMED) && due_of(event) <= now);
}

/* The one whose turn it is: the higher priority first, then what has waited longest. NULL: none is due. */
static struct event *next_due(const struct event_base *base)
{
    apr_time_t now = clock_boottime();
    struct event *found = NULL;

    for (int i = 0; i < base->count; i++) {
        struct event *event = base->events[i];

        if (is_due(event, now) &&
            (found == NULL || event->ev_evcallback.evcb_pri < found->ev_evcallback.evcb_pri ||
             (event->ev_evcallback.evcb_pri == found->ev_evcallback.evcb_pri &&
              due_of(event) < due_of(found)))) {
            found = event;
        }
    }
    return found;
}

static void fire(struct event *event)
{
    int is_timed = event->ev_evcallback.evcb_flags & IS_TIMED;
    struct timeval every = event->ev_.ev_io.ev_timeout;

    event_del(event);
    if (is_timed && event->ev_events & EV_PERSIST) {
        event_add(event, &every);
    }
    call_back(event, EV_TIMEOUT);
}

/* By clockwork_now(). */
static apr_time_t earliest(const struct event_base *base)
{
    apr_time_t least = APR_INT64_MAX;

    for (int i = 0; i < base->count; i++) {
        apr_time_t due = due_of(base->events[i]);

        least = due < least ? due : least;
    }
    return least == APR_INT64_MAX ? least : least - (clock_boottime() - clockwork_now());
}

int event_base_loop(struct event_base *base, int flags)
{
    (void)flags;
    while (!base->broken) {
        struct event *event = NULL;

        if (base->reading != NULL && wakeup_is_signalled(base->reading->ev_fd)) {
            call_back(base->reading, EV_READ);
            continue;
        }
        event = next_due(base);
        if (event != NULL) {
            fire(event);
        }
        else if (base->reading != NULL) {
            wakeup_wait_by(base->reading->ev_fd, earliest(base));
        }
    }
    return 0;
}

/* Something became active from outside: the loop looks at once. */
void loop_interrupt(const struct event_base *base)
{
    if (base->reading != NULL) {
        wakeup_kick(base->reading->ev_fd);
    }
}
