/* SPDX-License-Identifier: Apache-2.0 */
/* What the store thread tells a Redis that was started anew: open intents, ends, and nothing twice. */
#include "outbox_fixture.h"

#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "worker/record/intent_index_priv.h"

/* Takes back in Redis what the intent wrote there, as if the disk had not kept it. */
static void forget_intent(const jobs_task_t *task)
{
    const char *free_system[] = {
        "DEL", apr_pstrcat(store_test.pool, "{amtu}:system:", task->ref.system, NULL), "{amtu}:leases"};
    const char *requeue[] = {"HSET",
                             apr_pstrcat(store_test.pool, "{amtu}:job:", task->ref.job, ":tasks", NULL),
                             task->ref.system, "Q|||||||"};
    assert_int_equal(redis_server_do(&store_test.server, 3, free_system), 0);
    assert_int_equal(redis_server_do(&store_test.server, 4, requeue), 0);
}

static void redis_that_kept_its_data_is_told_nothing_new(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    restart_redis();
    await_told(store);
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    outbox_stop(store);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 0);
    assert_int_equal(audit_lines("\"event\":\"redis\""), 2);
    assert_int_equal(state_of(task), 'U');
}

static void an_intent_that_redis_lost_is_looked_at(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    forget_intent(task);
    restart_redis();
    await_told(store);
    jobs_task_t look = claim_look();
    assert_int_equal(look.verify_only, 1);
    assert_string_equal(look.intent, "{\"power\":2}");
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_REFUSED);
    outbox_stop(store);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
}

static void a_job_that_redis_forgot_is_indeterminate_on_record(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(redis_server_flush(&store_test.server), 0);
    restart_redis();
    assert_int_equal(jobs_library_load(store_test.connection).outcome, JOBS_OK);
    await_told(store);
    outbox_stop(store);
    assert_int_equal(audit_lines("\"indeterminate\""), 1);
    assert_int_equal(audit_lines("\"forgotten\":1"), 1);
}

/* A life that ended between its intent and its outcome: the next one gives the task to who looks, at once,
 * and only once. */
static void the_next_life_hands_over_what_the_last_left(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    outbox_t *store = begin_life(WORKER);
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    end_life(store);
    for (int life = 0; life < 2; life++) {
        store = begin_life("worker-1b");
        await_told(store);
        end_life(store);
        assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
    }
    assert_int_equal(claim_look().verify_only, 1);
}

static void set_task(const jobs_task_t *task, const char *packed)
{
    const char *set[] = {"HSET", apr_pstrcat(store_test.pool, "{amtu}:job:", task->ref.job, ":tasks", NULL),
                         task->ref.system, packed};
    const char *running[] = {"HINCRBY", apr_pstrcat(store_test.pool, "{amtu}:job:", task->ref.job, NULL),
                             "running", "1"};
    const char *unlocked[] = {"HINCRBY", running[1], "unlocked", "-1"};
    assert_int_equal(redis_server_do(&store_test.server, 4, set), 0);
    assert_int_equal(redis_server_do(&store_test.server, 4, running), 0);
    assert_int_equal(redis_server_do(&store_test.server, 4, unlocked), 0);
}

/* Unlocks the first of two, so that the job goes on. */
static void unlock_first(outbox_t *store, const jobs_task_t *tasks)
{
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_FINISH, 'U'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, &tasks[1], JOBS_RELEASE, '\0'), 3000), JOBS_OK);
}

/* Restarted without the end of a task; told by the life that came to it, or by the next one. */
static void lose_an_end(int lives)
{
    const jobs_task_t *tasks = claim(2);
    outbox_t *store = begin_life(WORKER);
    unlock_first(store, tasks);
    if (lives > 1) {
        end_life(store);
        store = begin_life("worker-1b");
        await_told(store);
    }
    set_task(&tasks[0], "J|||||||");
    restart_redis();
    await_told(store);
    end_life(store);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
    assert_int_equal(audit_lines("\"outcome-refused\""), 0);
    assert_int_equal(state_of(&tasks[1]), 'w');
    assert_int_equal(outcome_of_task(&tasks[0]), 'U');
}

static void an_end_that_redis_lost_is_told(void **state)
{
    (void)state;
    lose_an_end(1);
}

static void an_end_that_redis_lost_is_told_by_the_next_life(void **state)
{
    (void)state;
    lose_an_end(2);
}

/* The same Redis, under which its data was changed: the task is claimed anew. */
static void what_was_acted_on_gets_no_second_intent(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    jobs_task_t again = tasks[0];
    outbox_t *store = start_store();
    unlock_first(store, tasks);
    const char *own[] = {"HSET",   apr_pstrcat(store_test.pool, "{amtu}:system:", again.ref.system, NULL),
                         "job",    again.ref.job,
                         "fence",  "7",
                         "worker", WORKER};
    set_task(&again, "C|7||" WORKER "||||");
    assert_int_equal(redis_server_do(&store_test.server, 8, own), 0);
    again.ref.fence = "7";
    asked_t *intent = push(store, &again, JOBS_INTEND, 'I');
    assert_int_equal(outcome_of(intent, 3000), JOBS_REFUSED);
    assert_int_equal(outcome_of_task(&again), 'U');
    outbox_stop(store);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(audit_lines("\"intent-repeated\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 0);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
}

/* Redis did not take the first intent, so nothing was done, and the task may have another. */
static void what_was_withdrawn_may_be_intended_anew(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    jobs_task_t stale = *task;
    stale.ref.fence = "1";
    for (int life = 0; life < 2; life++) {
        outbox_t *store = begin_life(WORKER);
        assert_int_equal(outcome_of(push(store, &stale, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
        end_life(store);
    }
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    outbox_stop(store);
    assert_int_equal(audit_lines("\"intent-repeated\""), 0);
}

/* Another holder came to an end: the record says that this one's does not count, and it is not told. */
static void an_end_that_redis_refused_is_no_end(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    outbox_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, task, JOBS_RELEASE, '\0'), 3000), JOBS_OK);
    const jobs_task_t look = claim_look();
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'F'), 3000), JOBS_REFUSED);
    restart_redis();
    await_told(store);
    outbox_stop(store);
    assert_int_equal(audit_lines("\"outcome-refused\""), 1);
    assert_int_equal(audit_lines("\"ends\":0"), 2);
    assert_int_equal(state_of(&look), 'r');
}

/* ---- what was acted on --------------------------------------------------------------------------------- */

static const char *nth_job(int n)
{
    return apr_psprintf(store_test.pool, "job-%d", n);
}

static void acts_are_kept_for_as_long_as_they_may_come_back(void **state)
{
    (void)state;
    intent_index_t *acted = intent_index_create(store_test.pool);
    const apr_time_t now = apr_time_now();
    for (int i = 0; i < 1000; i++) {
        intent_index_add(acted, nth_job(i), "pc1.example", i < 500 ? now - INTENT_INDEX_KEPT - 1 : now);
    }
    assert_true(intent_index_has(acted, nth_job(500), "pc1.example"));
    assert_true(intent_index_has(acted, nth_job(999), "pc1.example"));
    assert_false(intent_index_has(acted, nth_job(999), "pc2.example"));
    assert_false(intent_index_has(acted, nth_job(0), "pc1.example"));
    intent_index_remove(acted, nth_job(700), "pc1.example");
    intent_index_remove(acted, nth_job(700), "pc1.example");
    assert_false(intent_index_has(acted, nth_job(700), "pc1.example"));
    assert_true(intent_index_has(acted, nth_job(699), "pc1.example") &&
                intent_index_has(acted, nth_job(701), "pc1.example"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, outbox_fixture_begin, outbox_fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(redis_that_kept_its_data_is_told_nothing_new),
        TEST(an_intent_that_redis_lost_is_looked_at),
        TEST(a_job_that_redis_forgot_is_indeterminate_on_record),
        TEST(the_next_life_hands_over_what_the_last_left),
        TEST(an_end_that_redis_lost_is_told),
        TEST(an_end_that_redis_lost_is_told_by_the_next_life),
        TEST(what_was_acted_on_gets_no_second_intent),
        TEST(what_was_withdrawn_may_be_intended_anew),
        TEST(an_end_that_redis_refused_is_no_end),
        TEST(acts_are_kept_for_as_long_as_they_may_come_back),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, outbox_fixture_start, outbox_fixture_stop);
    apr_terminate();
    return failed;
}
