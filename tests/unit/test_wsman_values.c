/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values and back. */
#include <apr_general.h>
#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wsman/values.h"
#include "wsman_fixture.h"

static void durations(void **state)
{
    static const struct {
        const char *text;
        apr_interval_time_t value;
    } good[] = {
        {"PT60S", APR_TIME_C(60000000)},
        {"PT60.000S", APR_TIME_C(60000000)},
        {"PT0.25S", 250000},
        {"PT0.0000019S", 1},
        {"PT1M", APR_TIME_C(60000000)},
        {"PT1H1M1S", APR_TIME_C(3661000000)},
        {"P1D", APR_TIME_C(86400000000)},
        {"P1DT2H", APR_TIME_C(93600000000)},
        {"P0DT0H0M30S", 30000000},
        {"PT0S", 0},
        {"-PT5S", -5000000},
        {"PT9223372036854S", APR_TIME_C(9223372036854000000)},
    };
    static const char *const bad[] = {
        "",
        "P",
        "PT",
        "-",
        "60",
        "T60S",
        "PT60",
        "PT60S ",
        " PT1S",
        "PT60s",
        "P60S",
        "PT1D",
        "P1DT",
        "PT1S1M",
        "PT1S1S",
        "P1Y",
        "P1M",
        "P1Y2M3D",
        "PT.5S",
        "PT1.S",
        "PT1.5M",
        "PT-5S",
        "--PT5S",
        "+PT5S",
        "PT1,5S",
        "PT1ST1S",
        "P1D1D",
        "PTT1S",
        "PT5SS",
        "P1DT2HX",
        "PT0x1S",
        "PT9223372036855S",
        "P106751992D",
        "PT18446744073709551616S",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        apr_interval_time_t value = 77;

        if (wsman_parse_duration(good[i].text, &value) != APR_SUCCESS || value != good[i].value)
            fail_msg("%s: %" APR_TIME_T_FMT, good[i].text, value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        apr_interval_time_t value = 77;

        if (wsman_parse_duration(bad[i], &value) != APR_EINVAL || value != 77)
            fail_msg("accepted: \"%s\"", bad[i]);
    }
}

static void numbers(void **state)
{
    static const char *const bad[] = {"",    " 1",  "1 ", "-1",  "+1",
                                      "0x1", "1.0", "a",  "101", "18446744073709551616"};
    apr_uint64_t value = 77;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(wsman_parse_uint(bad[i], 100, &value), APR_EINVAL);
    assert_int_equal(value, 77);
    assert_int_equal(wsman_parse_uint("100", 100, &value), APR_SUCCESS);
    assert_int_equal(value, 100);
    assert_int_equal(wsman_parse_uint("007", 100, &value), APR_SUCCESS);
    assert_int_equal(value, 7);
    assert_int_equal(wsman_parse_uint("18446744073709551615", APR_UINT64_MAX, &value), APR_SUCCESS);
    assert_true(value == APR_UINT64_MAX);
    assert_int_equal(wsman_parse_uint("18446744073709551616", APR_UINT64_MAX, &value), APR_EINVAL);
}

static void written_times(void **state)
{
    assert_string_equal(wsman_format_datetime(apr_time_from_sec(1795288372) + 999999, *state),
                        "2026-11-21T19:12:52Z");
    assert_string_equal(wsman_format_datetime(0, *state), "1970-01-01T00:00:00Z");
    assert_string_equal(wsman_format_duration(0, *state), "PT0S");
    assert_string_equal(wsman_format_duration(999999, *state), "PT0S");
    assert_string_equal(wsman_format_duration(apr_time_from_sec(1800), *state), "PT30M");
    assert_string_equal(wsman_format_duration(apr_time_from_sec(86400), *state), "P1D");
    assert_string_equal(wsman_format_duration(apr_time_from_sec(93784), *state), "P1DT2H3M4S");
    assert_string_equal(wsman_format_cim_interval(apr_time_from_sec(1800), *state),
                        "00000000003000.000000:000");
    assert_string_equal(wsman_format_cim_interval(apr_time_from_sec(93784) + 5, *state),
                        "00000001020304.000005:000");
    assert_string_equal(wsman_format_cim_interval(-1, *state), "00000000000000.000000:000");
    assert_string_equal(wsman_format_cim_interval(APR_TIME_C(9223372036854775807), *state),
                        "99999999235959.999999:000");
}

static void durations_survive_the_round_trip(void **state)
{
    for (apr_interval_time_t seconds = 0; seconds < 200000; seconds += 997) {
        apr_interval_time_t back = -1;

        assert_int_equal(
            wsman_parse_duration(wsman_format_duration(apr_time_from_sec(seconds), *state), &back),
            APR_SUCCESS);
        assert_int_equal(apr_time_sec(back), seconds);
    }
}

static void uuids(void **state)
{
    static const char bare[] = "5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a";
    static const char *const good[] = {
        "5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a",
        "uuid:5C7B1A44-7D2F-4F43-9A5B-2F1D2B1F0E6A",
        "urn:uuid:5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a",
        "UUID:5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a",
    };
    static const char *const bad[] = {
        "",
        "0",
        "uuid:",
        "5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6",
        "5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6aa",
        "5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6g",
        "5c7b1a4417d2f14f4319a5b12f1d2b1f0e6a",
        "uuid:uuid:5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a",
        "{5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a}",
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const char *canonical = NULL;

        assert_true(wsman_is_uuid(good[i], &canonical, *state));
        assert_string_equal(canonical, bare);
        assert_true(wsman_is_uuid(good[i], NULL, *state));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(wsman_is_uuid(bad[i], NULL, *state));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(durations), TEST(numbers), TEST(written_times), TEST(durations_survive_the_round_trip),
        TEST(uuids),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
