/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/fair_threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* Work that has run for so long is slow. */
#define SLOW_AFTER apr_time_from_msec(250)
/* How often it is looked for work that has become slow, while other work waits. */
#define LOOK_MS 20
#define STACK_SIZE ((size_t)512 * 1024)
/* Threads that may wait for work; others end. */
#define KEPT_IDLE 8
/* So many times the usual limit of threads, where what hangs has them all. */
#define MOST_TIMES 4

typedef struct running_t {
    APR_RING_ENTRY(running_t) link;
    apr_time_t begun; /* by clock_monotonic() */
} running_t;

typedef APR_RING_HEAD(work_ring_t, fair_work_t) work_ring_t;
typedef APR_RING_HEAD(running_ring_t, running_t) running_ring_t;

/* Exists while it has work that waits or runs. */
struct fair_group_t {
    APR_RING_ENTRY(fair_group_t) link;
    char *name;
    work_ring_t waiting;
    running_ring_t running; /* in the order they began */
    int running_count;
};

typedef APR_RING_HEAD(group_ring_t, fair_group_t) group_ring_t;

struct fair_threads_t {
    fair_limits_t limits;
    pthread_mutex_t lock;        /* of all below */
    pthread_cond_t work_came;    /* for threads without work */
    pthread_cond_t something;    /* for the one that looks for slow work, */
    pthread_cond_t thread_ended; /* and for fair_threads_stop() */
    pthread_t looker;
    group_ring_t groups; /* the first one's turn is next */
    int waiting, running, thread_count, idle_count;
    int stopping;
};

/* ---- groups (under the lock) --------------------------------------------------------------------------- */

static fair_group_t *group_make(fair_threads_t *threads, const char *name)
{
    fair_group_t *group = calloc(1, sizeof(*group));

    if (group == NULL || (group->name = strdup(name)) == NULL) {
        free(group);
        return NULL;
    }
    APR_RING_INIT(&group->waiting, fair_work_t, link);
    APR_RING_INIT(&group->running, running_t, link);
    APR_RING_INSERT_TAIL(&threads->groups, group, fair_group_t, link);
    return group;
}

/* NULL: out of memory. */
static fair_group_t *group_of(fair_threads_t *threads, const char *name)
{
    fair_group_t *group = NULL;

    APR_RING_FOREACH(group, &threads->groups, fair_group_t, link)
    {
        if (strcmp(group->name, name) == 0) {
            return group;
        }
    }
    return group_make(threads, name);
}

static void group_drop_empty(fair_group_t *group)
{
    if (group->running_count > 0 || !APR_RING_EMPTY(&group->waiting, fair_work_t, link)) {
        return;
    }
    APR_RING_REMOVE(group, link);
    free(group->name);
    free(group);
}

/* Of those that run, how many are not slow. */
static int group_count_quick(const fair_group_t *group)
{
    apr_time_t slow = clock_monotonic() - SLOW_AFTER;
    const running_t *running = APR_RING_LAST(&group->running);
    int count = 0;

    while (running != APR_RING_SENTINEL(&group->running, running_t, link) && running->begun > slow) {
        running = APR_RING_PREV(running, link);
        count++;
    }
    return count;
}

/* How many of this group may run, with one more of this work. Half of the threads are for groups that have not
 * yet their share, whatever hangs for others; where all are at work, more are made, for a group of which nothing is slow a
 * few, and for each other one. */
static int group_room(const fair_threads_t *threads, const fair_group_t *group, const fair_work_t *work)
{
    const fair_limits_t *limits = &threads->limits;

    if (work->urgent) {
        return limits->of_group + limits->share;
    }
    if (threads->running >= limits->all) {
        return group_count_quick(group) < group->running_count ? 1 : limits->share / 4 + 1;
    }
    return threads->running < limits->all / 2 ? limits->of_group : limits->share;
}

static int group_may_begin(const fair_threads_t *threads, const fair_group_t *group)
{
    const fair_work_t *work = APR_RING_FIRST(&group->waiting);

    if (APR_RING_EMPTY(&group->waiting, fair_work_t, link) ||
        group->running_count >= group_room(threads, group, work)) {
        return 0;
    }
    return work->urgent || group_count_quick(group) < threads->limits.share;
}

/* Whose turn it is; NULL: nothing may begin now. */
static fair_group_t *next_group(const fair_threads_t *threads)
{
    fair_group_t *group = NULL;

    APR_RING_FOREACH(group, &threads->groups, fair_group_t, link)
    {
        if (group_may_begin(threads, group)) {
            return group;
        }
    }
    return NULL;
}

/* Urgent work stands behind urgent work that came before. */
static void group_enqueue(fair_group_t *group, fair_work_t *work)
{
    fair_work_t *before = APR_RING_FIRST(&group->waiting);

    while (work->urgent && before != APR_RING_SENTINEL(&group->waiting, fair_work_t, link) &&
           before->urgent) {
        before = APR_RING_NEXT(before, link);
    }
    if (work->urgent && before != APR_RING_SENTINEL(&group->waiting, fair_work_t, link)) {
        APR_RING_INSERT_BEFORE(before, work, link);
    }
    else {
        APR_RING_INSERT_TAIL(&group->waiting, work, fair_work_t, link);
    }
    work->waits_in = group;
}

static void group_dequeue(fair_threads_t *threads, fair_work_t *work)
{
    APR_RING_REMOVE(work, link);
    work->waits_in = NULL;
    threads->waiting--;
}

/* ---- threads ------------------------------------------------------------------------------------------- */

/* Called and returns with the lock. */
static void run_first(fair_threads_t *threads, fair_group_t *group)
{
    fair_work_t *work = APR_RING_FIRST(&group->waiting);
    running_t running = {.begun = clock_monotonic()};

    group_dequeue(threads, work);
    APR_RING_REMOVE(group, link);
    APR_RING_INSERT_TAIL(&threads->groups, group, fair_group_t, link);
    APR_RING_INSERT_TAIL(&group->running, &running, running_t, link);
    group->running_count++;
    threads->running++;
    pthread_mutex_unlock(&threads->lock);
    work->run(work);
    pthread_mutex_lock(&threads->lock);
    APR_RING_REMOVE(&running, link);
    group->running_count--;
    threads->running--;
    group_drop_empty(group);
}

static void *run_thread(void *data)
{
    fair_threads_t *threads = data;
    fair_group_t *group = NULL;

    pthread_mutex_lock(&threads->lock);
    while (!threads->stopping) {
        if ((group = next_group(threads)) != NULL) {
            run_first(threads, group);
            continue;
        }
        if (threads->idle_count >= KEPT_IDLE) {
            break;
        }
        threads->idle_count++;
        pthread_cond_wait(&threads->work_came, &threads->lock);
        threads->idle_count--;
    }
    threads->thread_count--;
    pthread_cond_broadcast(&threads->thread_ended);
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* Where no thread can be made, those that are there go on. */
static void add_thread(fair_threads_t *threads)
{
    pthread_attr_t attributes;
    pthread_t thread;

    if (threads->thread_count >= MOST_TIMES * threads->limits.all || pthread_attr_init(&attributes) != 0) {
        return;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    threads->thread_count += pthread_create(&thread, &attributes, run_thread, threads) == 0;
    pthread_attr_destroy(&attributes);
}

/* A thread for what may begin now. */
static void rouse_thread(fair_threads_t *threads)
{
    if (next_group(threads) == NULL) {
        return;
    }
    if (threads->idle_count > 0) {
        pthread_cond_signal(&threads->work_came);
    }
    else {
        add_thread(threads);
    }
}

static void wait_a_little(fair_threads_t *threads)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)LOOK_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&threads->something, &threads->lock, &until);
}

/* All threads may be at work that hangs, so one does nothing else than to see that. */
static void *look_for_slow(void *data)
{
    fair_threads_t *threads = data;

    pthread_mutex_lock(&threads->lock);
    while (!threads->stopping) {
        if (threads->waiting > 0) {
            rouse_thread(threads);
            wait_a_little(threads);
        }
        else {
            pthread_cond_wait(&threads->something, &threads->lock);
        }
    }
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* ---- public -------------------------------------------------------------------------------------------- */

apr_status_t fair_threads_start(fair_threads_t **out, const fair_limits_t *limits, apr_pool_t *pool)
{
    fair_threads_t *threads = apr_pcalloc(pool, sizeof(*threads));
    pthread_condattr_t attributes;
    int error;

    *out = threads;
    threads->limits = *limits;
    APR_RING_INIT(&threads->groups, fair_group_t, link);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->work_came, NULL);
    pthread_cond_init(&threads->thread_ended, NULL);
    pthread_cond_init(&threads->something, &attributes);
    pthread_condattr_destroy(&attributes);
    error = pthread_create(&threads->looker, NULL, look_for_slow, threads);
    if (error != 0) { /* else the thread runs, and reads it */
        threads->stopping = 1;
    }
    return APR_FROM_OS_ERROR(error);
}

int fair_threads_idle(fair_threads_t *threads)
{
    int idle;

    pthread_mutex_lock(&threads->lock);
    idle = APR_RING_EMPTY(&threads->groups, fair_group_t, link);
    pthread_mutex_unlock(&threads->lock);
    return idle;
}

static void drop_waiting(fair_threads_t *threads)
{
    fair_group_t *group = NULL, *next = NULL;

    APR_RING_FOREACH_SAFE(group, next, &threads->groups, fair_group_t, link)
    {
        while (!APR_RING_EMPTY(&group->waiting, fair_work_t, link)) {
            fair_work_t *work = APR_RING_FIRST(&group->waiting);

            group_dequeue(threads, work);
            if (work->dropped != NULL) {
                work->dropped(work);
            }
        }
        group_drop_empty(group);
    }
}

void fair_threads_stop(fair_threads_t *threads)
{
    pthread_mutex_lock(&threads->lock);
    if (threads->stopping) { /* it never started */
        pthread_mutex_unlock(&threads->lock);
        return;
    }
    threads->stopping = 1;
    drop_waiting(threads);
    pthread_cond_broadcast(&threads->work_came);
    pthread_cond_broadcast(&threads->something);
    while (threads->thread_count > 0) {
        pthread_cond_wait(&threads->thread_ended, &threads->lock);
    }
    pthread_mutex_unlock(&threads->lock);
    pthread_join(threads->looker, NULL);
}

apr_status_t fair_threads_push(fair_threads_t *threads, fair_work_t *work)
{
    fair_group_t *group = NULL;

    pthread_mutex_lock(&threads->lock);
    if (!threads->stopping && (group = group_of(threads, work->group)) != NULL) {
        group_enqueue(group, work);
        threads->waiting++;
        rouse_thread(threads);
        pthread_cond_signal(&threads->something);
    }
    pthread_mutex_unlock(&threads->lock);
    return group != NULL ? APR_SUCCESS : APR_ENOMEM;
}

int fair_threads_cancel(fair_threads_t *threads, fair_work_t *work)
{
    int waited;

    pthread_mutex_lock(&threads->lock);
    waited = work->waits_in != NULL;
    if (waited) {
        fair_group_t *group = work->waits_in;

        group_dequeue(threads, work);
        group_drop_empty(group);
    }
    pthread_mutex_unlock(&threads->lock);
    return waited;
}
