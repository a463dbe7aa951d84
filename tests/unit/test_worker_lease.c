/* SPDX-License-Identifier: Apache-2.0 */
/* Leases against a real Redis: how one is kept, and how it ends. */
#include "outbox_fixture.h"

#include <signal.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "worker/lease.h"

static atomic_int lost;
static pulse_t engine;

static void on_lost(lease_t *lease)
{
    (void)lease;
    atomic_fetch_add(&lost, 1);
}

static void about(void *baton, char *text, apr_size_t size)
{
    apr_cpystrn(text, baton, size);
}

static leases_t *start_leases(void)
{
    leases_t *leases = NULL;
    static char what[] = "slots=1";

    atomic_store(&lost, 0);
    pulse_init(&engine);
    assert_int_equal(leases_create(&leases, &outbox_test.server.worker, WORKER, outbox_test.pool),
                     APR_SUCCESS);
    assert_int_equal(leases_start(leases, about, what), APR_SUCCESS);
    return leases;
}

static int is_lost(void *lease)
{
    return atomic_load(&((lease_t *)lease)->lost);
}

static int holds_no_more(void *lease)
{
    return !lease_holds(lease);
}

static void a_lease_is_kept_while_redis_answers(void **state)
{
    const jobs_task_t *task = claim(1);
    leases_t *leases = start_leases();
    lease_t lease = {.on_lost = on_lost};

    (void)state;
    leases_add(leases, &lease, task, &engine);
    for (int i = 0; i < 60; i++) { /* two leases long */
        assert_true(lease_holds(&lease));
        pulse_beat(&engine);
        apr_sleep(apr_time_from_msec(40));
    }
    leases_remove(leases, &lease);
    leases_stop(leases);
    assert_int_equal(atomic_load(&lost), 0);
}

/* Redis is stopped, so no renewal says that the lease is lost: the clock ends it. */
static void the_gate_closes_by_the_clock(void **state)
{
    const jobs_task_t *task = claim(1);
    leases_t *leases = start_leases();
    lease_t lease = {.on_lost = on_lost};
    apr_time_t began = 0;
    int closed = 0;
    apr_interval_time_t took = 0;

    (void)state;
    leases_add(leases, &lease, task, &engine);
    kill(outbox_test.server.pid, SIGSTOP);
    began = clock_boottime();
    closed = wait_for(holds_no_more, &lease, 3 * LEASE_MS);
    took = clock_boottime() - began;
    kill(outbox_test.server.pid, SIGCONT);
    assert_true(closed);
    assert_true(took <= JOBS_LEASE - LEASE_MARGIN + apr_time_from_msec(200));
    assert_int_equal(atomic_load(&lease.lost), 0);
    leases_remove(leases, &lease);
    leases_stop(leases);
}

static void a_lease_of_another_is_lost(void **state)
{
    const jobs_task_t *tasks = claim(2);
    leases_t *leases = start_leases();
    lease_t kept = {.on_lost = on_lost}, gone = {.on_lost = on_lost};
    jobs_task_t stale = tasks[1];

    (void)state;
    stale.ref.fence = "1";
    leases_add(leases, &kept, &tasks[0], &engine);
    leases_add(leases, &gone, &stale, &engine);
    assert_true(wait_for(is_lost, &gone, 3000));
    assert_false(lease_holds(&gone));
    assert_true(lease_holds(&kept));
    assert_int_equal(atomic_load(&lost), 1);
    leases_remove(leases, &kept);
    leases_remove(leases, &gone);
    leases_stop(leases);
}

/* Its engine does not turn, so nobody works on the task: the lease runs out, though Redis answers. */
static void the_lease_of_an_engine_that_stands_still_ends(void **state)
{
    const jobs_task_t *task = claim(1);
    leases_t *leases = start_leases();
    lease_t lease = {.on_lost = on_lost};

    (void)state;
    leases_add(leases, &lease, task, &engine);
    for (int i = 0; i < 40; i++) { /* longer than a lease */
        pulse_beat(&engine);
        apr_sleep(apr_time_from_msec(40));
    }
    assert_true(lease_holds(&lease));
    assert_true(wait_for(holds_no_more, &lease, 3 * LEASE_MS));
    leases_remove(leases, &lease);
    leases_stop(leases);
}

int main(void)
{
    int failed = 0;
#define TEST(name) cmocka_unit_test_setup_teardown(name, outbox_fixture_begin, outbox_fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(a_lease_is_kept_while_redis_answers),
        TEST(the_gate_closes_by_the_clock),
        TEST(a_lease_of_another_is_lost),
        TEST(the_lease_of_an_engine_that_stands_still_ends),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    failed = cmocka_run_group_tests(tests, outbox_fixture_start, outbox_fixture_stop);
    apr_terminate();
    return failed;
}
