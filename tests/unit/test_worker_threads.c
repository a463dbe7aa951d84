/* SPDX-License-Identifier: Apache-2.0 */
/* The store and lease threads against a real Redis: what is durable, what is kept, what is lost. */
#include "outbox_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "worker/lease.h"

/* ---- the store ----------------------------------------------------------------------------------------- */

static void changes_are_recorded_then_applied(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    outbox_t *store = start_store();
    apr_uint64_t count = 0;
    char head[96], verdict[128];
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(outcome_of(push(store, task, JOBS_PROGRESS, 'P'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_ALREADY);
    outbox_audit_head(store, head, sizeof(head));
    outbox_stop(store);
    apr_snprintf(verdict, sizeof(verdict), "%s",
                 audit_verify(store_test.audit_file, head, &count, store_test.pool)
                     ? audit_verify(store_test.audit_file, head, &count, store_test.pool)
                     : "well");
    assert_string_equal(verdict, "well");
    assert_int_equal(count, 4); /* and which Redis it is */
}

static void a_refused_intent_is_withdrawn_in_the_record(void **state)
{
    (void)state;
    jobs_task_t task = *claim(1);
    task.ref.fence = "1";
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, &task, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
    outbox_stop(store);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
}

static void results_wait_for_redis(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    redis_server_kill(&store_test.server);
    asked_t *result = push(store, &tasks[0], JOBS_FINISH, 'U');
    asked_t *news = push(store, &tasks[1], JOBS_PROGRESS, 'P');
    assert_int_equal(outcome_of(news, 5000), JOBS_UNAVAILABLE); /* progress is not kept */
    assert_int_equal(atomic_load(&result->answered), 0);
    assert_int_equal(redis_server_restart(&store_test.server), 0);
    assert_int_equal(outcome_of(result, 8000), JOBS_ALREADY); /* it was told first, as any other end */
    outbox_stop(store);
    assert_int_equal(audit_lines("\"outcome\""), 1);
}

static int is_deaf(void *store)
{
    return outbox_is_blocked(store);
}

static int hears(void *store)
{
    return !outbox_is_blocked(store);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Intents are turned down; a result waits, is recorded once, and arrives. */
static void without_a_record_nothing_is_intended(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1);
    asked_t *result = push(store, &tasks[0], JOBS_FINISH, 'U');
    asked_t *intent = push(store, &tasks[1], JOBS_INTEND, 'I');
    assert_int_equal(outcome_of(intent, 3000), JOBS_UNAVAILABLE);
    assert_int_equal(intent->request.audited, 0);
    assert_true(wait_for(is_deaf, store, 1000));
    assert_int_equal(atomic_load(&result->answered), 0);
    assert_int_equal(outcome_of(push(store, &tasks[1], JOBS_RELEASE, '\0'), 3000), JOBS_OK);
    limit_files(RLIM_INFINITY);
    assert_int_equal(outcome_of(result, 3000), JOBS_OK);
    assert_true(wait_for(hears, store, 1000));
    outbox_stop(store);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
}

static void the_outbox_has_a_bound(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    outbox_t *store = start_store();
    kill(store_test.server.pid, SIGSTOP); /* the thread waits for Redis, so the outbox fills */
    apr_status_t rv = APR_SUCCESS;
    int pushed = 0;
    for (; rv == APR_SUCCESS && pushed < 1000; pushed++) {
        asked_t *asked = apr_pcalloc(store_test.pool, sizeof(*asked));
        asked->request.change =
            (jobs_change_t){.change = JOBS_PROGRESS, .task = task->ref, .step = "s", .state = 'P'};
        asked->request.task = task;
        asked->request.done = on_answered;
        asked->request.owner = asked;
        rv = outbox_push(store, &asked->request);
    }
    kill(store_test.server.pid, SIGCONT);
    outbox_stop(store);
    assert_true(APR_STATUS_IS_EAGAIN(rv));
}

/* ---- leases -------------------------------------------------------------------------------------------- */

static atomic_int lost;

static void on_lost(lease_t *lease)
{
    (void)lease;
    atomic_fetch_add(&lost, 1);
}

static void about(void *baton, char *text, apr_size_t room)
{
    apr_cpystrn(text, baton, room);
}

static leases_t *start_leases(void)
{
    leases_t *leases = NULL;
    static char what[] = "slots=1";
    atomic_store(&lost, 0);
    assert_int_equal(leases_create(&leases, &store_test.server.worker, WORKER, store_test.pool), APR_SUCCESS);
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
    (void)state;
    const jobs_task_t *task = claim(1);
    leases_t *leases = start_leases();
    lease_t lease = {.on_lost = on_lost};
    leases_add(leases, &lease, task);
    for (int i = 0; i < 60; i++) { /* two leases long */
        assert_true(lease_holds(&lease));
        apr_sleep(apr_time_from_msec(40));
    }
    leases_remove(leases, &lease);
    leases_stop(leases);
    assert_int_equal(atomic_load(&lost), 0);
}

/* Redis frozen: nobody says that the lease is lost, the clock does. */
static void the_gate_closes_by_the_clock(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    leases_t *leases = start_leases();
    lease_t lease = {.on_lost = on_lost};
    leases_add(leases, &lease, task);
    kill(store_test.server.pid, SIGSTOP);
    apr_time_t began = clock_boottime();
    int closed = wait_for(holds_no_more, &lease, 3 * LEASE_MS);
    apr_interval_time_t took = clock_boottime() - began;
    kill(store_test.server.pid, SIGCONT);
    assert_true(closed);
    assert_true(took <= JOBS_LEASE - LEASE_MARGIN + apr_time_from_msec(200));
    assert_int_equal(atomic_load(&lease.lost), 0);
    leases_remove(leases, &lease);
    leases_stop(leases);
}

static void a_lease_of_another_is_lost(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    leases_t *leases = start_leases();
    lease_t kept = {.on_lost = on_lost}, gone = {.on_lost = on_lost};
    jobs_task_t stale = tasks[1];
    stale.ref.fence = "1";
    leases_add(leases, &kept, &tasks[0]);
    leases_add(leases, &gone, &stale);
    assert_true(wait_for(is_lost, &gone, 3000));
    assert_false(lease_holds(&gone));
    assert_true(lease_holds(&kept));
    assert_int_equal(atomic_load(&lost), 1);
    leases_remove(leases, &kept);
    leases_remove(leases, &gone);
    leases_stop(leases);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, outbox_fixture_begin, outbox_fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(changes_are_recorded_then_applied),
        TEST(a_refused_intent_is_withdrawn_in_the_record),
        TEST(results_wait_for_redis),
        TEST(without_a_record_nothing_is_intended),
        TEST(the_outbox_has_a_bound),
        TEST(a_lease_is_kept_while_redis_answers),
        TEST(the_gate_closes_by_the_clock),
        TEST(a_lease_of_another_is_lost),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, outbox_fixture_start, outbox_fixture_stop);
    apr_terminate();
    return failed;
}
