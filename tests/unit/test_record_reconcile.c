/* SPDX-License-Identifier: Apache-2.0 */
/* What is replayed to a Redis that was restarted: open intents, ends, and nothing twice. */
#include "outbox_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "worker/record/marks_priv.h"

/* Takes back in Redis what the intent wrote there, as if the disk had not kept it. */
static void forget_intent(const jobs_task_t *task)
{
    const char *free_system[] = {
        "DEL", apr_pstrcat(outbox_test.pool, "{amtu}:system:", task->ref.system, NULL), "{amtu}:leases"};
    const char *requeue[] = {"HSET",
                             apr_pstrcat(outbox_test.pool, "{amtu}:job:", task->ref.job, ":tasks", NULL),
                             task->ref.system, "Q|||||||"};

    assert_int_equal(redis_server_do(&outbox_test.server, 3, free_system), 0);
    assert_int_equal(redis_server_do(&outbox_test.server, 4, requeue), 0);
}

static void a_redis_that_kept_its_data_learns_nothing_new(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    restart_redis();
    await_reconciled(outbox);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 0);
    assert_int_equal(audit_lines("\"event\":\"redis\""), 2);
    assert_int_equal(state_of(task), 'U');
}

static void an_intent_that_redis_lost_is_verified(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();
    jobs_task_t verification;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    forget_intent(task);
    restart_redis();
    await_reconciled(outbox);
    verification = claim_verification();
    assert_int_equal(verification.taken_over, 1);
    assert_string_equal(verification.intent, "{\"power\":2}");
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'U'), 3000), JOBS_REFUSED);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
}

static void a_job_that_redis_forgot_is_indeterminate_on_record(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(redis_server_flush(&outbox_test.server), 0);
    restart_redis();
    assert_int_equal(jobs_library_load(outbox_test.connection).outcome, JOBS_OK);
    await_reconciled(outbox);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"indeterminate\""), 1);
    assert_int_equal(audit_lines("\"forgotten\":1"), 1);
}

/* A run that ended between intent and outcome: the next one hands the task over for verification, at once and
 * only once. */
static void the_next_run_hands_over_what_the_last_left(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = begin_run(WORKER);

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    end_run(outbox);
    for (int run = 0; run < 2; run++) {
        outbox = begin_run("worker-1b");
        await_reconciled(outbox);
        end_run(outbox);
        assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
    }
    assert_int_equal(claim_verification().taken_over, 1);
}

static void set_task(const jobs_task_t *task, const char *packed)
{
    const char *set[] = {"HSET", apr_pstrcat(outbox_test.pool, "{amtu}:job:", task->ref.job, ":tasks", NULL),
                         task->ref.system, packed};
    const char *running[] = {"HINCRBY", apr_pstrcat(outbox_test.pool, "{amtu}:job:", task->ref.job, NULL),
                             "running", "1"};
    const char *unlocked[] = {"HINCRBY", running[1], "unlocked", "-1"};

    assert_int_equal(redis_server_do(&outbox_test.server, 4, set), 0);
    assert_int_equal(redis_server_do(&outbox_test.server, 4, running), 0);
    assert_int_equal(redis_server_do(&outbox_test.server, 4, unlocked), 0);
}

/* Unlocks the first of two, so that the job goes on. */
static void unlock_first(outbox_t *outbox, const jobs_task_t *tasks)
{
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_FINISH, 'U'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &tasks[1], JOBS_RELEASE, '\0'), 3000), JOBS_OK);
}

/* Redis is restarted without the end of a task. The run that recorded it replays it, or the next one. */
static void lose_an_end(int runs)
{
    const jobs_task_t *tasks = claim(2);
    outbox_t *outbox = begin_run(WORKER);

    unlock_first(outbox, tasks);
    if (runs > 1) {
        end_run(outbox);
        outbox = begin_run("worker-1b");
        await_reconciled(outbox);
    }
    set_task(&tasks[0], "J|||||||");
    restart_redis();
    await_reconciled(outbox);
    end_run(outbox);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
    assert_int_equal(audit_lines("\"outcome-refused\""), 0);
    assert_int_equal(state_of(&tasks[1]), 'w');
    assert_int_equal(outcome_of_task(&tasks[0]), 'U');
}

static void an_end_that_redis_lost_is_replayed(void **state)
{
    (void)state;
    lose_an_end(1);
}

static void an_end_that_redis_lost_is_replayed_by_the_next_run(void **state)
{
    (void)state;
    lose_an_end(2);
}

/* The data of a running Redis was changed: the task is claimed again. */
static void a_task_with_an_intent_gets_no_second_one(void **state)
{
    const jobs_task_t *tasks = claim(2);
    jobs_task_t again = tasks[0];
    const char *own[] = {"HSET",   apr_pstrcat(outbox_test.pool, "{amtu}:system:", again.ref.system, NULL),
                         "job",    again.ref.job,
                         "fence",  "7",
                         "worker", WORKER};
    outbox_t *outbox = start_outbox();
    asked_t *intent = NULL;

    (void)state;
    unlock_first(outbox, tasks);
    set_task(&again, "C|7||" WORKER "||||");
    assert_int_equal(redis_server_do(&outbox_test.server, 8, own), 0);
    again.ref.fence = "7";
    intent = push(outbox, &again, JOBS_INTEND, 'I');
    assert_int_equal(outcome_of(intent, 3000), JOBS_REFUSED);
    assert_int_equal(outcome_of_task(&again), 'U');
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(audit_lines("\"intent-repeated\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 0);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
}

/* Redis did not take the first intent, so nothing was done, and the task may have another. */
static void a_withdrawn_intent_may_be_followed_by_another(void **state)
{
    const jobs_task_t *task = claim(1);
    jobs_task_t stale = *task;
    outbox_t *outbox = NULL;

    (void)state;
    stale.ref.fence = "1";
    for (int run = 0; run < 2; run++) {
        outbox = begin_run(WORKER);
        assert_int_equal(outcome_of(push(outbox, &stale, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
        end_run(outbox);
    }
    outbox = start_outbox();
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent-repeated\""), 0);
}

/* Another worker ended the task: the record says that this end does not count, and it is not replayed. */
static void an_end_that_redis_refused_is_not_replayed(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();
    jobs_task_t verification;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_RELEASE, '\0'), 3000), JOBS_OK);
    verification = claim_verification();
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'F'), 3000), JOBS_REFUSED);
    restart_redis();
    await_reconciled(outbox);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"outcome-refused\""), 1);
    assert_int_equal(audit_lines("\"ends\":0"), 2);
    assert_int_equal(state_of(&verification), 'r');
}

/* ---- the table of marks -------------------------------------------------------------------------------- */

static apr_time_t ahead; /* of the clock */

/* In place of APR's. */
apr_time_t apr_time_now(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return apr_time_make(now.tv_sec, now.tv_usec) + ahead;
}

static jobs_task_ref_t nth_task(int n, const char *fence)
{
    return (jobs_task_ref_t){apr_psprintf(outbox_test.pool, "job-%d", n), "pc1.example", fence};
}

static void take(marks_t *marks, const char *event, int n, const char *fence)
{
    const jobs_task_ref_t task = nth_task(n, fence);
    json_t *fields = json_pack("{s:s, s:s, s:s}", "system", task.system, "job", task.job, "fence", fence);

    assert_int_equal(marks_take(marks, event, fields), 1);
    json_decref(fields);
}

static marks_state_e nth_state(const marks_t *marks, int n)
{
    const jobs_task_ref_t task = nth_task(n, "");

    return marks_state(marks, &task);
}

static void intents_are_kept_for_as_long_as_tasks_may_come_back(void **state)
{
    marks_t *marks = marks_create(outbox_test.pool);
    jobs_task_ref_t other = nth_task(1, "");

    (void)state;
    other.system = "pc2.example";
    for (int i = 0; i < 20000; i++) {
        ahead = i < 500 ? 0 : MARKS_KEPT + apr_time_from_sec(2);
        take(marks, AUDIT_INTENT, i, "7");
    }
    for (int i = 500; i < 20000; i++) {
        assert_int_equal(nth_state(marks, i), MARKS_OPEN);
    }
    assert_int_equal(nth_state(marks, 0), MARKS_NONE);
    assert_int_equal(marks_state(marks, &other), MARKS_NONE);
    ahead = 0;
}

static void the_latest_intent_of_a_task_counts_and_none_is_forgotten(void **state)
{
    marks_t *marks = marks_create(outbox_test.pool);
    static const struct {
        const char *event, *fence;
        marks_state_e then;
    } lines[] = {
        {AUDIT_WITHDRAWN, "6", MARKS_NONE},
        {AUDIT_OUTCOME, "6", MARKS_NONE}, /* without an intent */
        {AUDIT_INTENT, "7", MARKS_OPEN},
        {AUDIT_WITHDRAWN, "7", MARKS_NONE},
        {AUDIT_INTENT, "8", MARKS_OPEN},
        {AUDIT_HANDED_OVER, "8", MARKS_HANDED_OVER},
        {AUDIT_INTENT, "9", MARKS_OPEN},
        {AUDIT_WITHDRAWN, "9", MARKS_HANDED_OVER}, /* that of fence 8 is still there */
        {AUDIT_INTENT, "10", MARKS_OPEN},
        {AUDIT_OUTCOME, "10", MARKS_ENDED},
        {AUDIT_HANDED_OVER, "8", MARKS_ENDED},
        {AUDIT_REFUSED, "10", MARKS_HANDED_OVER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        take(marks, lines[i].event, 1, lines[i].fence);
        assert_int_equal(nth_state(marks, 1), lines[i].then);
    }
}

int main(void)
{
    int failed = 0;
#define TEST(name) cmocka_unit_test_setup_teardown(name, outbox_fixture_begin, outbox_fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(a_redis_that_kept_its_data_learns_nothing_new),
        TEST(an_intent_that_redis_lost_is_verified),
        TEST(a_job_that_redis_forgot_is_indeterminate_on_record),
        TEST(the_next_run_hands_over_what_the_last_left),
        TEST(an_end_that_redis_lost_is_replayed),
        TEST(an_end_that_redis_lost_is_replayed_by_the_next_run),
        TEST(a_task_with_an_intent_gets_no_second_one),
        TEST(a_withdrawn_intent_may_be_followed_by_another),
        TEST(an_end_that_redis_refused_is_not_replayed),
        TEST(intents_are_kept_for_as_long_as_tasks_may_come_back),
        TEST(the_latest_intent_of_a_task_counts_and_none_is_forgotten),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    failed = cmocka_run_group_tests(tests, outbox_fixture_start, outbox_fixture_stop);
    apr_terminate();
    return failed;
}
