/* SPDX-License-Identifier: Apache-2.0 */
/* What of a claimed task is believed: httpd's user wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/claimed_priv.h"

static jobs_task_t good(void)
{
    return (jobs_task_t){.ref = {"0aaa52d63c8fcd340458c8e6f7", "pc-1.example.com", "1795861917042123"},
                         .caller = "console/ops@EXAMPLE.COM",
                         .peer = "2001:db8::1",
                         .mechanism = "krb5"};
}

static char longer[20000]; /* than any */

static void what_the_service_writes_is_taken(void **state)
{
    jobs_task_t task = good();

    (void)state;
    assert_null(claimed_judge(&task));
    task.caller = "EXAMPLE\\m\xc3\xbcller";
    task.peer = task.mechanism = "";
    assert_null(claimed_judge(&task));
    assert_string_equal(task.caller, "EXAMPLE\\m\xc3\xbcller");
}

static void each_text_is_bounded(void **state)
{
    const struct {
        size_t at;
        const char *text, *words;
        int may_be_verified;
    } rows[] = {
        {offsetof(jobs_task_t, ref.job), longer, "job's id", 0},
        {offsetof(jobs_task_t, ref.job), "", "job's id", 0},
        {offsetof(jobs_task_t, ref.job), "a b", "job's id", 0},
        {offsetof(jobs_task_t, ref.system), longer, "system's name", 0},
        {offsetof(jobs_task_t, ref.system), "pc\n1", "system's name", 0},
        {offsetof(jobs_task_t, ref.fence), "1e9", "fence", 0},
        {offsetof(jobs_task_t, ref.fence), "123456789012345678901", "fence", 0},
        {offsetof(jobs_task_t, caller), longer, "caller's name", 1},
        {offsetof(jobs_task_t, caller), "", "caller's name", 1},
        {offsetof(jobs_task_t, caller), "a\x1b[2J", "caller's name", 1},
        {offsetof(jobs_task_t, peer), longer, "caller's address", 1},
        {offsetof(jobs_task_t, mechanism), longer, "authenticated", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        jobs_task_t task = good();
        const char **text = (const char **)(void *)((char *)&task + rows[i].at);

        *text = rows[i].text;
        assert_non_null(claimed_judge(&task));
        assert_non_null(strstr(claimed_judge(&task), rows[i].words));
        /* the PC of one that was acted on is looked at all the same, where that can be */
        task.taken_over = 1;
        task.intent = "{}";
        assert_int_equal(claimed_judge(&task) == NULL, rows[i].may_be_verified);
        assert_int_equal(strcmp(*text, "(cannot be recorded)") == 0, rows[i].may_be_verified);
        assert_string_equal(task.intent, "{}");
    }
}

static void an_intent_without_end_is_none(void **state)
{
    jobs_task_t task = good();

    (void)state;
    task.taken_over = 1;
    task.intent = longer;
    assert_null(claimed_judge(&task));
    assert_null(task.intent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_service_writes_is_taken),
        cmocka_unit_test(each_text_is_bounded),
        cmocka_unit_test(an_intent_without_end_is_none),
    };

    memset(longer, 'x', sizeof(longer) - 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
