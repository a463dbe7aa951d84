/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of directives: what is accepted, and the error message for what is not. */
/* The only file of httpd/ that can be linked without httpd; no library holds it. */
#include "httpd/arguments.c" /* NOLINT(bugprone-suspicious-include) */

#include <apr_general.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTES(n) apr_time_from_sec((n)*60)

static apr_pool_t *pool;

static int begin(void **state)
{
    (void)state;
    apr_initialize();
    return apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}

static void durations_are_iso_8601_or_seconds(void **state)
{
    static const struct {
        const char *text;
        apr_interval_time_t value;
    } good[] = {
        {"PT30M", MINUTES(30)}, {"1800", MINUTES(30)}, {"PT1H30M", MINUTES(90)}, {"P1D", MINUTES(24 * 60)}};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        apr_interval_time_t value = -1;

        assert_null(amtunlock_argument_duration(good[i].text, MINUTES(30), MINUTES(24 * 60), &value, pool));
        assert_int_equal(value, good[i].value);
    }
}

static void durations_outside_their_range_are_told_it(void **state)
{
    static const char *const bad[] = {"PT29M59S", "1799", "P2D", "0", "-PT40M"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        apr_interval_time_t value = -1;
        const char *wrong = amtunlock_argument_duration(bad[i], MINUTES(30), MINUTES(24 * 60), &value, pool);

        assert_non_null(wrong);
        assert_non_null(strstr(wrong, "from PT30M to P1D"));
        assert_int_equal(value, -1);
    }
}

static void durations_that_are_none_are_told_the_form(void **state)
{
    static const char *const bad[] = {"", "PT", "half an hour", "30m", "P1M", "1800 ", "99999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        apr_interval_time_t value = -1;
        const char *wrong = amtunlock_argument_duration(bad[i], 0, MINUTES(60), &value, pool);

        assert_non_null(wrong);
        assert_non_null(strstr(wrong, "ISO 8601"));
        assert_int_equal(value, -1);
    }
}

static void numbers_keep_to_their_range(void **state)
{
    static const char *const bad[] = {"", "0", "11", "-5", "5x", "x", "99999999999999999999"};
    apr_int64_t value = -1;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *wrong = amtunlock_argument_number(bad[i], 1, 10, &value, pool);

        assert_non_null(wrong);
        assert_non_null(strstr(wrong, "from 1 to 10"));
        assert_int_equal(value, -1);
    }
    assert_null(amtunlock_argument_number("1", 1, 10, &value, pool));
    assert_int_equal(value, 1);
    assert_null(amtunlock_argument_number("10", 1, 10, &value, pool));
    assert_int_equal(value, 10);
}

static void values_follow_their_name(void **state)
{
    (void)state;
    assert_string_equal(amtunlock_argument_value("jobs=5", "jobs"), "5");
    assert_string_equal(amtunlock_argument_value("JOBS=", "jobs"), "");
    assert_null(amtunlock_argument_value("jobs", "jobs"));
    assert_null(amtunlock_argument_value("jobsx=5", "jobs"));
    assert_null(amtunlock_argument_value("job=5", "jobs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_iso_8601_or_seconds),
        cmocka_unit_test(durations_outside_their_range_are_told_it),
        cmocka_unit_test(durations_that_are_none_are_told_the_form),
        cmocka_unit_test(numbers_keep_to_their_range),
        cmocka_unit_test(values_follow_their_name),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
