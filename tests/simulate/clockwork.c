/* SPDX-License-Identifier: Apache-2.0 */
#include "clockwork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_SIZE ((size_t)256 * 1024)
#define FIBERS_MOST 256
#define BOOTED apr_time_from_sec(1000)        /* a host was up for so long */
#define BEGUN (apr_time_from_sec(1764500000)) /* the wall clock, at first */

struct fiber_t {
    ucontext_t context;
    char *stack;
    host_t *host;
    void *(*run)(void *data);
    void *data;
    fiber_t *joiner;
    void *own;
    unsigned int turn; /* its waits so far: a timer of an earlier one is void */
    int waits, woken, ended, used;
};

typedef struct {
    apr_time_t time;
    apr_uint64_t order;
    host_t *host;
    event_fn happen;
    void *baton;
    fiber_t *fiber; /* it wakes this one, at this turn of it */
    unsigned int turn;
} event_t;

static struct {
    apr_time_t now;
    apr_uint64_t order, trace, count;
    event_t *events; /* a heap */
    int event_count, event_room;
    fiber_t fibers[FIBERS_MOST];
    ucontext_t loop;
    fiber_t *current;
    host_t *host;
    int hosts, stopped;
    apr_uint64_t seed;
} clockwork;

/* ---- chance -------------------------------------------------------------------------------------------- */

apr_uint64_t chance_next(chance_t *chance)
{
    apr_uint64_t mixed = (chance->state += 0x9e3779b97f4a7c15ULL);

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
}

chance_t chance_of(apr_uint64_t seed, apr_uint64_t stream)
{
    chance_t chance = {seed * 0x2545f4914f6cdd1dULL + stream * 0x9e3779b97f4a7c15ULL};

    chance_next(&chance);
    return chance;
}

apr_int64_t chance_between(chance_t *chance, apr_int64_t least, apr_int64_t most)
{
    return least + (apr_int64_t)(chance_next(chance) % (apr_uint64_t)(most - least + 1));
}

int chance_once_in(chance_t *chance, int of)
{
    return chance_next(chance) % (apr_uint64_t)of == 0;
}

/* ---- the heap of events -------------------------------------------------------------------------------- */

static int is_earlier(const event_t *one, const event_t *other)
{
    return one->time != other->time ? one->time < other->time : one->order < other->order;
}

static void push_event(event_t event)
{
    int at = clockwork.event_count++;

    if (clockwork.event_count > clockwork.event_room) {
        clockwork.event_room = clockwork.event_room ? 2 * clockwork.event_room : 1024;
        clockwork.events = realloc(clockwork.events, sizeof(event_t) * (size_t)clockwork.event_room);
    }
    if (clockwork.events == NULL) {
        fputs("simulate: no memory for events\n", stderr);
        exit(2);
    }
    event.order = clockwork.order++;
    while (at > 0 && is_earlier(&event, &clockwork.events[(at - 1) / 2])) {
        clockwork.events[at] = clockwork.events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    clockwork.events[at] = event;
}

static event_t pop_event(void)
{
    event_t first = clockwork.events[0], last = clockwork.events[--clockwork.event_count];
    int at = 0;

    for (;;) {
        int child = 2 * at + 1;

        if (child + 1 < clockwork.event_count &&
            is_earlier(&clockwork.events[child + 1], &clockwork.events[child])) {
            child++;
        }
        if (child >= clockwork.event_count || !is_earlier(&clockwork.events[child], &last)) {
            break;
        }
        clockwork.events[at] = clockwork.events[child];
        at = child;
    }
    clockwork.events[at] = last;
    return first;
}

void clockwork_at(apr_time_t time, host_t *host, event_fn happen, void *baton)
{
    push_event((event_t){
        .time = time < clockwork.now ? clockwork.now : time, .host = host, .happen = happen, .baton = baton});
}

/* ---- running ------------------------------------------------------------------------------------------- */

apr_time_t clockwork_now(void)
{
    return clockwork.now;
}

apr_uint64_t clockwork_trace(void)
{
    return clockwork.trace;
}

apr_uint64_t clockwork_count(void)
{
    return clockwork.count;
}

void clockwork_note(apr_uint64_t what)
{
    clockwork.trace = (clockwork.trace ^ what) * 0x100000001b3ULL;
}

static void resume(fiber_t *fiber)
{
    clockwork.current = fiber;
    clockwork.host = fiber->host;
    fiber->waits = 0;
    swapcontext(&clockwork.loop, &fiber->context);
    clockwork.current = NULL;
    clockwork.host = NULL;
}

static void do_event(const event_t *event)
{
    if (event->host != NULL && event->host->paused_until > clockwork.now) {
        event_t later = *event;

        later.time = event->host->paused_until;
        push_event(later);
        return;
    }
    clockwork.count++;
    clockwork_note((apr_uint64_t)clockwork.now);
    clockwork_note(event->host != NULL ? (apr_uint64_t)event->host->number + 1 : 0);
    if (event->fiber == NULL) {
        clockwork.host = event->host;
        event->happen(event->baton);
        clockwork.host = NULL;
    }
    else if (event->fiber->waits && event->fiber->turn == event->turn) {
        resume(event->fiber);
    }
}

void clockwork_stop(void)
{
    clockwork.stopped = 1;
}

void clockwork_run(apr_time_t until, void (*after)(void))
{
    clockwork.stopped = 0;
    while (!clockwork.stopped && clockwork.event_count > 0 && clockwork.events[0].time <= until) {
        event_t event = pop_event();

        clockwork.now = event.time > clockwork.now ? event.time : clockwork.now;
        if (event.host == NULL || !event.host->dead) {
            do_event(&event);
            if (after != NULL) {
                after();
            }
        }
    }
    if (!clockwork.stopped && clockwork.now < until) {
        clockwork.now = until;
    }
}

void clockwork_reset(apr_uint64_t seed)
{
    clockwork.now = 0;
    clockwork.order = clockwork.count = 0;
    clockwork.trace = 0xcbf29ce484222325ULL;
    clockwork.event_count = clockwork.hosts = 0;
    clockwork.seed = seed;
    for (int i = 0; i < FIBERS_MOST; i++) {
        clockwork.fibers[i].used = 0;
    }
}

/* ---- hosts --------------------------------------------------------------------------------------------- */

host_t *host_create(const char *name, apr_pool_t *pool)
{
    host_t *host = apr_pcalloc(pool, sizeof(*host));

    host->name = name;
    host->number = clockwork.hosts++;
    host->wall = BEGUN;
    host->boottime = BOOTED;
    host->chance = chance_of(clockwork.seed, 1000 + (apr_uint64_t)host->number);
    for (size_t i = 0; i < sizeof(host->files) / sizeof(host->files[0]); i++) {
        host->files[i] = -1;
    }
    return host;
}

host_t *host_current(void)
{
    return clockwork.host;
}

void host_kill(host_t *host)
{
    host->dead = 1;
    for (size_t i = 0; i < sizeof(host->files) / sizeof(host->files[0]); i++) {
        if (host->files[i] >= 0) {
            close(host->files[i]);
        }
        host->files[i] = -1;
    }
    for (int i = 0; i < FIBERS_MOST; i++) {
        if (clockwork.fibers[i].used && clockwork.fibers[i].host == host &&
            &clockwork.fibers[i] != clockwork.current) {
            clockwork.fibers[i].used = 0;
        }
    }
    if (clockwork.current != NULL && clockwork.current->host == host) {
        clockwork.current->used = 0;
        swapcontext(&clockwork.current->context, &clockwork.loop); /* never comes back */
    }
}

void host_pause(host_t *host, apr_interval_time_t duration)
{
    apr_time_t until = clockwork.now + duration;

    host->paused_until = until > host->paused_until ? until : host->paused_until;
    if (clockwork.current != NULL && clockwork.current->host == host) {
        fiber_wait(until);
    }
}

/* ---- fibers -------------------------------------------------------------------------------------------- */

static void enter(void)
{
    fiber_t *fiber = clockwork.current;

    fiber->run(fiber->data);
    fiber->ended = 1;
    if (fiber->joiner != NULL) {
        fiber_wake(fiber->joiner);
    }
    swapcontext(&fiber->context, &clockwork.loop);
}

static fiber_t *free_fiber(void)
{
    for (int i = 0; i < FIBERS_MOST; i++) {
        if (!clockwork.fibers[i].used) {
            return &clockwork.fibers[i];
        }
    }
    fputs("simulate: too many fibers\n", stderr);
    exit(2);
}

static void *make_stack(void)
{
    void *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) != 0) {
        fputs("simulate: no memory for a stack\n", stderr);
        exit(2);
    }
    return stack;
}

fiber_t *fiber_start(host_t *host, void *(*run)(void *data), void *data)
{
    fiber_t *fiber = free_fiber();
    char *stack = fiber->stack != NULL ? fiber->stack : make_stack();
    unsigned int turn = fiber->turn + 1; /* goes on: what waits for the one before is void */

    memset(fiber, 0, sizeof(*fiber));
    *fiber = (fiber_t){
        .stack = stack, .host = host, .run = run, .data = data, .turn = turn, .used = 1, .waits = 1};
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = stack;
    fiber->context.uc_stack.ss_size = STACK_SIZE;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, enter, 0);
    push_event((event_t){.time = clockwork.now, .host = host, .fiber = fiber, .turn = turn});
    return fiber;
}

fiber_t *fiber_current(void)
{
    return clockwork.current;
}

int fiber_wait(apr_time_t until)
{
    fiber_t *fiber = clockwork.current;

    if (fiber == NULL) {
        fputs("simulate: an event cannot wait\n", stderr);
        abort();
    }
    fiber->turn++;
    fiber->waits = 1;
    fiber->woken = 0;
    if (until < APR_INT64_MAX) {
        push_event((event_t){.time = until < clockwork.now ? clockwork.now : until,
                             .host = fiber->host,
                             .fiber = fiber,
                             .turn = fiber->turn});
    }
    swapcontext(&fiber->context, &clockwork.loop);
    return fiber->woken;
}

/* Its next turn comes as an event, never inside the caller's. */
void fiber_wake(fiber_t *fiber)
{
    if (!fiber->used || !fiber->waits || fiber->woken) {
        return;
    }
    fiber->woken = 1;
    push_event((event_t){.time = clockwork.now, .host = fiber->host, .fiber = fiber, .turn = fiber->turn});
}

int fiber_has_ended(const fiber_t *fiber)
{
    return fiber->ended || !fiber->used;
}

void fiber_join(fiber_t *fiber)
{
    while (!fiber_has_ended(fiber)) {
        fiber->joiner = clockwork.current;
        fiber_wait(APR_INT64_MAX);
    }
    fiber->used = 0;
}

void **fiber_own(void)
{
    static void *nobody;

    return clockwork.current != NULL ? &clockwork.current->own : &nobody;
}
