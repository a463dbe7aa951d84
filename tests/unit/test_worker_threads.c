/* SPDX-License-Identifier: Apache-2.0 */
/* What hangs for one group of PCs does not stop the others, nor the rest of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <apr_general.h>

#include "base/clock.h"
#include "worker/fair_threads.h"

#define MANY 100
#define LONG apr_time_from_sec(20) /* nothing takes so long, unless it never comes */

typedef struct {
    fair_work_t fair; /* first */
    atomic_int begun, done, dropped;
    int place; /* in the order in which they began, from 1 */
} job_t;

static atomic_int places;

/* Work that hangs does so while the test holds this. */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void begin(job_t *job)
{
    job->place = atomic_fetch_add(&places, 1) + 1;
    atomic_store(&job->begun, 1);
}

static void hang(fair_work_t *fair)
{
    job_t *job = (job_t *)fair;

    begin(job);
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
    atomic_store(&job->done, 1);
}

static void do_at_once(fair_work_t *fair)
{
    job_t *job = (job_t *)fair;

    begin(job);
    atomic_store(&job->done, 1);
}

static void note_drop(fair_work_t *fair)
{
    atomic_store(&((job_t *)fair)->dropped, 1);
}

static job_t *push(fair_threads_t *threads, job_t *job, void (*run)(fair_work_t *), const char *group)
{
    *job = (job_t){.fair = {.run = run, .dropped = note_drop, .group = group}};
    assert_int_equal(fair_threads_push(threads, &job->fair), APR_SUCCESS);
    return job;
}

static int await(const atomic_int *what, apr_interval_time_t limit)
{
    static const struct timespec tick = {.tv_nsec = 1000000};
    apr_time_t until = clock_monotonic() + limit;

    while (!atomic_load(what) && clock_monotonic() < until) {
        nanosleep(&tick, NULL);
    }
    return atomic_load(what);
}

static int count_begun(const job_t *jobs, int count)
{
    int begun = 0;

    for (int i = 0; i < count; i++) {
        begun += atomic_load(&jobs[i].begun);
    }
    return begun;
}

static fair_threads_t *start(int all, int of_group, int share, apr_pool_t **pool)
{
    const fair_limits_t limits = {.all = all, .of_group = of_group, .share = share};
    fair_threads_t *threads = NULL;

    apr_pool_create(pool, NULL);
    atomic_store(&places, 0);
    assert_int_equal(fair_threads_start(&threads, &limits, *pool), APR_SUCCESS);
    return threads;
}

static void stop(fair_threads_t *threads, apr_pool_t *pool)
{
    fair_threads_stop(threads);
    apr_pool_destroy(pool);
}

static void test_one_group_does_not_stop_another(void **state)
{
    static job_t hanging[MANY], good[MANY];
    apr_pool_t *pool = NULL;
    fair_threads_t *threads = start(64, 24, 4, &pool);

    (void)state;
    pthread_mutex_lock(&held);
    for (int i = 0; i < MANY; i++) {
        push(threads, &hanging[i], hang, "hanging");
    }
    for (int i = 0; i < MANY; i++) {
        push(threads, &good[i], do_at_once, "good");
    }
    for (int i = 0; i < MANY; i++) {
        assert_true(await(&good[i].done, LONG));
    }
    assert_in_range(count_begun(hanging, MANY), 1, 24);
    pthread_mutex_unlock(&held);
    for (int i = 0; i < MANY; i++) {
        assert_true(await(&hanging[i].done, LONG));
    }
    stop(threads, pool);
}

/* In the same group, behind more than its share of what hangs. */
static void test_slow_work_gives_its_share_back(void **state)
{
    enum { HANGING = 10 };
    static job_t hanging[HANGING], good;
    apr_pool_t *pool = NULL;
    fair_threads_t *threads = start(64, 24, 4, &pool);

    (void)state;
    pthread_mutex_lock(&held);
    for (int i = 0; i < HANGING; i++) {
        push(threads, &hanging[i], hang, "same");
    }
    push(threads, &good, do_at_once, "same");
    assert_true(await(&good.done, LONG));
    pthread_mutex_unlock(&held);
    stop(threads, pool);
}

/* Whatever hangs, and for how many groups: another group has its share. */
static void test_many_groups_that_hang(void **state)
{
    enum { GROUPS = 3, EACH = 40 };
    static const char *const names[GROUPS] = {"a", "b", "c"};
    static job_t hanging[GROUPS][EACH], good;
    apr_pool_t *pool = NULL;
    fair_threads_t *threads = start(32, 24, 4, &pool);
    int begun = 0;

    (void)state;
    pthread_mutex_lock(&held);
    for (int i = 0; i < GROUPS * EACH; i++) {
        push(threads, &hanging[i % GROUPS][i / GROUPS], hang, names[i % GROUPS]);
    }
    await(&hanging[0][5].begun, LONG); /* more than the share: half of the threads are filling up */
    push(threads, &good, do_at_once, "good");
    assert_true(await(&good.done, LONG));
    for (int group = 0; group < GROUPS; group++) {
        begun += count_begun(hanging[group], EACH);
    }
    assert_in_range(begun, 1, 28);
    pthread_mutex_unlock(&held);
    stop(threads, pool);
}

/* Each of these has its share, and so all threads are taken. */
static void test_groups_that_have_all_threads_hang(void **state)
{
    enum { GROUPS = 12, EACH = 10 };
    static const char *const names[GROUPS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
    static job_t hanging[GROUPS][EACH], good[MANY];
    apr_pool_t *pool = NULL;
    fair_threads_t *threads = start(32, 24, 4, &pool);

    (void)state;
    pthread_mutex_lock(&held);
    for (int i = 0; i < GROUPS * EACH; i++) {
        push(threads, &hanging[i % GROUPS][i / GROUPS], hang, names[i % GROUPS]);
    }
    for (int i = 0; i < GROUPS; i++) {
        assert_true(await(&hanging[i][0].begun, LONG));
    }
    for (int i = 0; i < MANY; i++) {
        push(threads, &good[i], do_at_once, "good");
    }
    for (int i = 0; i < MANY; i++) {
        assert_true(await(&good[i].done, LONG));
    }
    pthread_mutex_unlock(&held);
    stop(threads, pool);
}

static void test_urgent_work_goes_first(void **state)
{
    static job_t first, waiting, urgent;
    apr_pool_t *pool = NULL;
    fair_threads_t *threads = start(8, 2, 1, &pool);

    (void)state;
    pthread_mutex_lock(&held);
    push(threads, &first, hang, "g");
    assert_true(await(&first.begun, LONG));
    push(threads, &waiting, hang, "g");
    urgent = (job_t){.fair = {.run = do_at_once, .group = "g", .urgent = 1}};
    assert_int_equal(fair_threads_push(threads, &urgent.fair), APR_SUCCESS);
    assert_true(await(&urgent.done, LONG));
    assert_int_equal(urgent.place, 2);
    pthread_mutex_unlock(&held);
    assert_true(await(&waiting.done, LONG));
    stop(threads, pool);
}

static void test_work_that_did_not_begin_can_be_taken_back(void **state)
{
    static job_t running, waiting, dropped;
    apr_pool_t *pool = NULL;
    fair_threads_t *threads = start(8, 1, 1, &pool);

    (void)state;
    pthread_mutex_lock(&held);
    push(threads, &running, hang, "g");
    assert_true(await(&running.begun, LONG));
    push(threads, &waiting, do_at_once, "g");
    push(threads, &dropped, do_at_once, "g");
    assert_false(fair_threads_cancel(threads, &running.fair));
    assert_true(fair_threads_cancel(threads, &waiting.fair));
    assert_false(fair_threads_cancel(threads, &waiting.fair));
    assert_false(fair_threads_idle(threads));
    assert_true(fair_threads_cancel(threads, &dropped.fair));
    pthread_mutex_unlock(&held);
    assert_true(await(&running.done, LONG));
    assert_false(waiting.begun || dropped.begun);
    stop(threads, pool);
}

static void *let_go(void *data)
{
    static const struct timespec tick = {.tv_nsec = 1000000};

    while (!atomic_load(&((job_t *)data)->dropped)) {
        nanosleep(&tick, NULL);
    }
    pthread_mutex_unlock(&held);
    return NULL;
}

static void *hold_and_let_go(void *data)
{
    pthread_mutex_lock(&held);
    atomic_store(&((job_t *)data)->begun, 1);
    return let_go(data);
}

static void test_a_stop_drops_what_did_not_begin(void **state)
{
    static job_t running, waiting;
    apr_pool_t *pool = NULL;
    fair_threads_t *threads = start(8, 1, 1, &pool);
    pthread_t holder;

    (void)state;
    waiting = (job_t){.fair = {.run = do_at_once, .dropped = note_drop, .group = "g"}};
    assert_int_equal(pthread_create(&holder, NULL, hold_and_let_go, &waiting), 0);
    assert_true(await(&waiting.begun, LONG)); /* the other thread holds what hangs */
    atomic_store(&waiting.begun, 0);
    push(threads, &running, hang, "g");
    assert_true(await(&running.begun, LONG));
    assert_int_equal(fair_threads_push(threads, &waiting.fair), APR_SUCCESS);
    stop(threads, pool);
    pthread_join(holder, NULL);
    assert_true(running.done && waiting.dropped && !waiting.begun);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_group_does_not_stop_another),
        cmocka_unit_test(test_slow_work_gives_its_share_back),
        cmocka_unit_test(test_many_groups_that_hang),
        cmocka_unit_test(test_groups_that_have_all_threads_hang),
        cmocka_unit_test(test_urgent_work_goes_first),
        cmocka_unit_test(test_work_that_did_not_begin_can_be_taken_back),
        cmocka_unit_test(test_a_stop_drops_what_did_not_begin),
    };
    int result;

    apr_initialize();
    result = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return result;
}
