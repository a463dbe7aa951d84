/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox against a real Redis: what is durable before it is acknowledged, and what is kept or turned down
 * while Redis or the record cannot be written. */
#include "outbox_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "worker/record/seal.h"

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

/* What follows it may only be done once Redis knows. */
static void a_mark_waits_for_redis(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();
    asked_t *mark = NULL, *progress = NULL;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    redis_server_kill(&outbox_test.server);
    mark = push_mark(outbox, task, JOBS_MARK_POWER);
    progress = push(outbox, task, JOBS_PROGRESS, 'P');
    assert_int_equal(outcome_of(progress, 5000), JOBS_UNAVAILABLE);
    assert_int_equal(audit_lines("\"mark\":\"power\""), 1);
    assert_int_equal(atomic_load(&mark->answered), 0);
    assert_int_equal(redis_server_restart(&outbox_test.server), 0);
    assert_int_equal(outcome_of(mark, 8000), JOBS_ALREADY); /* reconciling replayed it first */
    assert_int_equal(outcome_of(push_mark(outbox, task, JOBS_MARK_TYPED), 3000), JOBS_OK);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"event\":\"mark\""), 2);
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
    asked_t *result = NULL, *intent = NULL, *mark = NULL;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1);
    result = push(outbox, &tasks[0], JOBS_FINISH, 'U');
    intent = push(outbox, &tasks[1], JOBS_INTEND, 'I');
    mark = push_mark(outbox, &tasks[0], JOBS_MARK_POWER);
    assert_int_equal(outcome_of(intent, 3000), JOBS_UNAVAILABLE);
    assert_int_equal(intent->request.audited, 0);
    assert_int_equal(outcome_of(mark, 3000), JOBS_UNAVAILABLE);
    assert_int_equal(mark->request.audited, 0);
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

/* ---- the seal ------------------------------------------------------------------------------------------ */

static const char *seal_in_redis(void)
{
    char name[DIGEST_DIGITS + 1];
    const char *text = "";

    assert_int_equal(seal_name(outbox_test.audit_file, name), 1);
    assert_int_equal(jobs_seal_read(outbox_test.connection, name, &text, outbox_test.pool).outcome, JOBS_OK);
    return text;
}

static void set_seal(const char *text)
{
    char name[DIGEST_DIGITS + 1];

    assert_int_equal(seal_name(outbox_test.audit_file, name), 1);
    assert_int_equal(jobs_seal_write(outbox_test.connection, name, text, outbox_test.pool).outcome, JOBS_OK);
}

static int is_sealed(void *baton)
{
    (void)baton;
    return seal_in_redis()[0] != '\0';
}

/* Two hosts of one name have two machines; the id of a machine is told to nobody. */
static void a_seal_is_of_one_machine(void **state)
{
    static const char *const ids[] = {"0123456789abcdef0123456789abcdef\n",
                                      "fedcba9876543210fedcba9876543210\n"};
    const char *path = apr_pstrcat(outbox_test.pool, outbox_test.audit_file, ".machine", NULL);
    char names[4][DIGEST_DIGITS + 1];

    (void)state;
    assert_int_equal(setenv("AMTUNLOCK_TEST_MACHINE_ID", path, 1), 0);
    assert_int_equal(seal_name(outbox_test.audit_file, names[3]), 1);
    for (int i = 0; i < 3; i++) {
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        fputs(ids[i % 2], file);
        fclose(file);
        assert_int_equal(seal_name(outbox_test.audit_file, names[i]), 1);
    }
    assert_string_equal(names[0], names[2]);
    assert_string_not_equal(names[0], names[1]);
    assert_string_not_equal(names[0], names[3]); /* a host without one */
    unsetenv("AMTUNLOCK_TEST_MACHINE_ID");
    unlink(path);
}

/* A run that leaves three records; the seal of the first of them, and of the last. */
static const char *seal_of_a_run(const char **first)
{
    outbox_t *outbox = begin_run(WORKER);
    const jobs_task_t *task = claim(1);

    await_reconciled(outbox);
    assert_true(wait_for(is_sealed, NULL, 3000));
    *first = seal_in_redis();
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    end_run(outbox);
    return seal_in_redis();
}

/* How often the next run says that something is wrong, and whether verifying does. */
static int broken_in_next_run(void)
{
    outbox_t *outbox = begin_run("worker-2");
    apr_uint64_t count = 0;
    const char *error = NULL;

    await_reconciled(outbox);
    end_run(outbox);
    error = audit_verify(outbox_test.audit_file, NULL, &count, outbox_test.pool);
    assert_int_equal(error != NULL, audit_lines("\"seal-broken\"") > 0);
    assert_true(error == NULL || strstr(error, "what was sealed before") != NULL);
    return audit_lines("\"seal-broken\"");
}

static void a_record_that_goes_on_is_well(void **state)
{
    const char *first = "", *last = seal_of_a_run(&first);

    (void)state;
    assert_string_not_equal(first, last);
    assert_null(audit_judge_seal(outbox_test.audit_file, first, outbox_test.pool));
    assert_null(audit_judge_seal(outbox_test.audit_file, last, outbox_test.pool));
    set_seal(first); /* a Redis that was set back */
    assert_int_equal(broken_in_next_run(), 0);
    set_seal(""); /* one that lost all */
    assert_int_equal(broken_in_next_run(), 0);
    set_seal("nonsense");
    assert_int_equal(broken_in_next_run(), 0);
}

static void a_record_that_was_rotated_is_well(void **state)
{
    const char *first = "", *last = seal_of_a_run(&first);
    const char *moved = apr_pstrcat(outbox_test.pool, outbox_test.audit_file, ".1", NULL);

    (void)state;
    assert_int_equal(rename(outbox_test.audit_file, moved), 0);
    assert_null(audit_judge_seal(outbox_test.audit_file, last, outbox_test.pool));
    assert_int_equal(broken_in_next_run(), 0);
    unlink(moved);
}

static void a_record_that_was_removed_is_said(void **state)
{
    const char *first = "", *last = seal_of_a_run(&first);

    (void)state;
    assert_int_equal(unlink(outbox_test.audit_file), 0);
    assert_int_equal(broken_in_next_run(), 1);
    assert_int_equal(audit_lines(last), 1);
    assert_non_null(strstr(audit_judge_seal(outbox_test.audit_file, last, outbox_test.pool), "begun anew"));
    assert_int_equal(broken_in_next_run(), 1); /* once; but it stays on record */
}

static void a_record_whose_tail_was_cut_is_said(void **state)
{
    const char *first = "", *last = seal_of_a_run(&first);
    FILE *file = fopen(outbox_test.audit_file, "r");
    char line[4096];

    (void)state;
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_int_equal(truncate(outbox_test.audit_file, ftell(file)), 0);
    fclose(file);
    assert_non_null(strstr(audit_judge_seal(outbox_test.audit_file, last, outbox_test.pool), "was cut off"));
    assert_int_equal(broken_in_next_run(), 1);
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
        TEST(a_mark_waits_for_redis),
        TEST(without_a_record_nothing_is_intended),
        TEST(a_record_that_was_moved_away_stops_intents),
        TEST(a_line_that_cannot_be_recorded_stops_no_other),
        TEST(a_seal_is_of_one_machine),
        TEST(a_record_that_goes_on_is_well),
        TEST(a_record_that_was_rotated_is_well),
        TEST(a_record_that_was_removed_is_said),
        TEST(a_record_whose_tail_was_cut_is_said),
        TEST(the_outbox_is_bounded),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    failed = cmocka_run_group_tests(tests, outbox_fixture_start, outbox_fixture_stop);
    apr_terminate();
    return failed;
}
