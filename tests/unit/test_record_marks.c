/* SPDX-License-Identifier: Apache-2.0 */
/* The table of marks: what the lines of a record say of each task. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/time.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "worker/record/marks_priv.h"

static apr_pool_t *pool;
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
    return (jobs_task_ref_t){apr_psprintf(pool, "job-%d", n), "pc1.example", fence};
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
    marks_t *marks = marks_create(pool);
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
    marks_t *marks = marks_create(pool);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intents_are_kept_for_as_long_as_tasks_may_come_back),
        cmocka_unit_test(the_latest_intent_of_a_task_counts_and_none_is_forgotten),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
