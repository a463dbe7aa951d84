/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox against a real Redis: what is durable before it is acknowledged, and what is kept or turned down
 * while Redis or the record cannot be written. */
#include "outbox_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>

static void changes_are_recorded_then_applied(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();
    apr_uint64_t count = 0;
    char head[96], verdict[128];

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_PROGRESS, 'P'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'U'), 3000), JOBS_ALREADY);
    outbox_audit_head(outbox, head, sizeof(head));
    outbox_stop(outbox);
    apr_snprintf(verdict, sizeof(verdict), "%s",
                 audit_verify(outbox_test.audit_file, head, &count, outbox_test.pool)
                     ? audit_verify(outbox_test.audit_file, head, &count, outbox_test.pool)
                     : "well");
    assert_string_equal(verdict, "well");
    assert_int_equal(count, 4); /* the fourth names the Redis */
}

static void a_refused_intent_is_withdrawn_in_the_record(void **state)
{
    jobs_task_t task = *claim(1);
    outbox_t *outbox = NULL;

    (void)state;
    task.ref.fence = "1";
    outbox = start_outbox();
    assert_int_equal(outcome_of(push(outbox, &task, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
}

static void results_wait_for_redis(void **state)
{
    const jobs_task_t *tasks = claim(2);
    outbox_t *outbox = start_outbox();
    asked_t *result = NULL;
    asked_t *progress = NULL;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    redis_server_kill(&outbox_test.server);
    result = push(outbox, &tasks[0], JOBS_FINISH, 'U');
    progress = push(outbox, &tasks[1], JOBS_PROGRESS, 'P');
    assert_int_equal(outcome_of(progress, 5000), JOBS_UNAVAILABLE); /* progress is not kept */
    assert_int_equal(atomic_load(&result->answered), 0);
    assert_int_equal(redis_server_restart(&outbox_test.server), 0);
    assert_int_equal(outcome_of(result, 8000),
                     JOBS_ALREADY); /* reconciling replayed it first, as any other end */
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"outcome\""), 1);
}

static int is_blocked(void *outbox)
{
    return outbox_is_blocked(outbox);
}

static int is_open(void *outbox)
{
    return !outbox_is_blocked(outbox);
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
    const jobs_task_t *tasks = claim(2);
    outbox_t *outbox = start_outbox();
    asked_t *result = NULL;
    asked_t *intent = NULL;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1);
    result = push(outbox, &tasks[0], JOBS_FINISH, 'U');
    intent = push(outbox, &tasks[1], JOBS_INTEND, 'I');
    assert_int_equal(outcome_of(intent, 3000), JOBS_UNAVAILABLE);
    assert_int_equal(intent->request.audited, 0);
    assert_true(wait_for(is_blocked, outbox, 1000));
    assert_int_equal(atomic_load(&result->answered), 0);
    assert_int_equal(outcome_of(push(outbox, &tasks[1], JOBS_RELEASE, '\0'), 3000), JOBS_OK);
    limit_files(RLIM_INFINITY);
    assert_int_equal(outcome_of(result, 3000), JOBS_OK);
    assert_true(wait_for(is_open, outbox, 1000));
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
}

/* Noticed before anything is asked for, and mended by the worker itself once the file is back. */
static void a_record_that_was_moved_away_stops_intents(void **state)
{
    const jobs_task_t *tasks = claim(2);
    const char *moved = apr_pstrcat(outbox_test.pool, outbox_test.audit_file, ".away", NULL);
    outbox_t *outbox = start_outbox();
    asked_t *result = NULL, *intent = NULL;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(rename(outbox_test.audit_file, moved), 0);
    assert_true(wait_for(is_blocked, outbox, 3000));
    intent = push(outbox, &tasks[1], JOBS_INTEND, 'I');
    result = push(outbox, &tasks[0], JOBS_FINISH, 'U');
    assert_int_equal(outcome_of(intent, 3000), JOBS_UNAVAILABLE);
    assert_int_equal(intent->request.audited, 0);
    assert_int_equal(atomic_load(&result->answered), 0);
    assert_int_equal(rename(moved, outbox_test.audit_file), 0);
    assert_int_equal(outcome_of(result, 3000), JOBS_OK);
    assert_true(wait_for(is_open, outbox, 1000));
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
}

/* What httpd's user wrote into Redis may be too long for a line. Only its own task ends by that; and the PC of an
 * intent that was not recorded is not touched. */
static void a_line_that_cannot_be_recorded_stops_no_other(void **state)
{
    const jobs_task_t *tasks = claim(2);
    jobs_task_t spoilt = tasks[0];
    char *caller = apr_palloc(outbox_test.pool, 70001);
    outbox_t *outbox = start_outbox();
    asked_t *intent = NULL, *other = NULL;

    (void)state;
    memset(caller, 'x', 70000);
    caller[70000] = '\0';
    spoilt.caller = caller;
    intent = push(outbox, &spoilt, JOBS_INTEND, 'I');
    other = push(outbox, &tasks[1], JOBS_INTEND, 'I');
    assert_int_equal(outcome_of(intent, 3000), JOBS_BROKEN);
    assert_int_equal(intent->request.audited, 0);
    assert_int_equal(outcome_of(other, 3000), JOBS_OK);
    assert_int_equal(outbox_is_blocked(outbox), 0);
    assert_int_equal(outcome_of(push(outbox, &spoilt, JOBS_FINISH, 'F'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &tasks[1], JOBS_FINISH, 'U'), 3000), JOBS_OK);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"event\":\"intent\""), 1);
    assert_int_equal(audit_lines("the rest of this line could not be recorded"), 1);
    assert_int_equal(audit_lines("\"event\":\"outcome\""), 2);
}

static void the_outbox_is_bounded(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();
    apr_status_t rv = APR_SUCCESS;
    int pushed = 0;

    (void)state;
    kill(outbox_test.server.pid, SIGSTOP); /* the thread waits for Redis, so the outbox fills */
    for (; rv == APR_SUCCESS && pushed < 1000; pushed++) {
        asked_t *asked = apr_pcalloc(outbox_test.pool, sizeof(*asked));
        asked->request.change =
            (jobs_change_t){.change = JOBS_PROGRESS, .task = task->ref, .step = "s", .state = 'P'};
        asked->request.task = task;
        asked->request.done = on_answered;
        asked->request.owner = asked;
        rv = outbox_push(outbox, &asked->request);
    }
    kill(outbox_test.server.pid, SIGCONT);
    outbox_stop(outbox);
    assert_true(APR_STATUS_IS_EAGAIN(rv));
}

int main(void)
{
    int failed = 0;
#define TEST(name) cmocka_unit_test_setup_teardown(name, outbox_fixture_begin, outbox_fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(changes_are_recorded_then_applied),
        TEST(a_refused_intent_is_withdrawn_in_the_record),
        TEST(results_wait_for_redis),
        TEST(without_a_record_nothing_is_intended),
        TEST(a_record_that_was_moved_away_stops_intents),
        TEST(a_line_that_cannot_be_recorded_stops_no_other),
        TEST(the_outbox_is_bounded),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    failed = cmocka_run_group_tests(tests, outbox_fixture_start, outbox_fixture_stop);
    apr_terminate();
    return failed;
}
