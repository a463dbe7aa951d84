/* SPDX-License-Identifier: Apache-2.0 */
/* Which advisories a version of AMT is open to: the last version before each fix, the fix, and what lies
 * beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "preflight/firmware_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static apr_pool_t *pool;

static int set_up(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

/* The advisories' last digits, in their order; "" for none. */
static void check(const char *version, firmware_e expected, const char *advisories)
{
    const char *open = NULL;
    firmware_e judged = firmware_judge(version, &open, pool);
    const char *numbers = "";

    for (const char *at = open; (at = strstr(at, "INTEL-SA-")); at++) {
        numbers = apr_psprintf(pool, "%s%.5s ", numbers, at + strlen("INTEL-SA-"));
    }
    if (judged != expected || strcmp(numbers, advisories) != 0) {
        fail_msg("%s: %d, open to %s", version, judged, open);
    }
}

/* Both sides of every fix, where nothing else begins or ends: the advisory goes away, and it alone. */
static void test_every_boundary(void **state)
{
    static const struct {
        const char *before, *fixed, *above, *advisory;
    } rows[] = {
        {"6.2.61.3534", "6.2.61.3535", "6.2.61.3536", "00075"},
        {"7.1.91.3271", "7.1.91.3272", "7.1.92", "00075"},
        {"8.1.71.3607", "8.1.71.3608", "8.1.72", "00075"},
        {"9.1.41.3023", "9.1.41.3024", "9.1.45", "00075"},
        {"9.5.61.3011", "9.5.61.3012", "9.5.62", "00075"},
        {"10.0.55.2999", "10.0.55.3000", "10.0.60", "00075"},
        {"11.0.25.3000", "11.0.25.3001", "11.0.26", "00075"},
        {"11.6.27.3263", "11.6.27.3264", "11.7.0", "00075"},
        {"11.8.76", "11.8.77", "11.8.78", "00295"},
        {"11.12.76", "11.12.77", "11.12.78", "00295"},
        {"11.22.76", "11.22.77", "11.22.78", "00295"},
        {"12.0.63", "12.0.64", "12.0.65", "00295"},
        {"11.8.78", "11.8.79", "11.8.79.4000", "00404"},
        {"11.12.78", "11.12.79", "11.12.79.1", "00404"},
        {"11.22.78", "11.22.79", "11.22.79.1", "00404"},
        {"12.0.67", "12.0.68", "12.0.69", "00404"},
        {"14.0.38", "14.0.39", "14.0.40", "00404"},
        {"11.8.79", "11.8.80", "11.8.81", "00391"},
        {"11.12.79", "11.12.80", "11.12.81", "00391"},
        {"11.22.79", "11.22.80", "11.22.81", "00391"},
        {"12.0.69", "12.0.70", "12.0.71", "00391"},
        {"14.0.44", "14.0.45", "14.0.46", "00391"},
        {"11.8.92", "11.8.93", "11.8.94", "00610"},
        {"11.12.92", "11.12.93", "11.12.94", "00610"},
        {"11.22.92", "11.22.93", "11.22.94", "00610"},
        {"12.0.91", "12.0.92", "12.0.93", "00610"},
        {"14.1.66", "14.1.67", "14.1.68", "00610"},
        {"15.0.41", "15.0.42", "15.0.43", "00610"},
        {"16.1.24", "16.1.25", "16.1.26", "00610"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *before = NULL, *fixed = NULL, *above = NULL;
        const char *rest = NULL;

        firmware_judge(rows[i].before, &before, pool);
        firmware_judge(rows[i].fixed, &fixed, pool);
        firmware_judge(rows[i].above, &above, pool);
        if (!strstr(before, rows[i].advisory) || strstr(fixed, rows[i].advisory) ||
            strstr(above, rows[i].advisory)) {
            fail_msg("%s at %s: before \"%s\", fixed \"%s\", above \"%s\"", rows[i].advisory, rows[i].fixed,
                     before, fixed, above);
        }
        assert_string_equal(above, fixed);
        /* it stands first in the list, and the rest of that stays */
        assert_int_equal(strncmp(before + strlen("INTEL-SA-"), rows[i].advisory, 5), 0);
        rest = before + strcspn(before, ")") + 1;
        assert_string_equal(*rest ? rest + 2 : "", fixed);
    }
}

static void test_versions(void **state)
{
    (void)state;
    check("12.0.67", FIRMWARE_OPEN, "00404 00391 00610 ");
    check("12.0.63.1234", FIRMWARE_OPEN, "00295 00404 00391 00610 ");
    check("11.8.50", FIRMWARE_OPEN, "00295 00404 00391 00610 ");
    check("11.0.18", FIRMWARE_OPEN, "00075 00295 00404 00391 00610 ");
    check("11.5.0", FIRMWARE_OPEN, "00075 00295 00404 00391 00610 ");
    check("11.8.93", FIRMWARE_CURRENT, "");
    check("11.9.0", FIRMWARE_CURRENT, "");
    check("11.10.0", FIRMWARE_OPEN, "00295 00404 00391 00610 ");
    check("11.12.93", FIRMWARE_CURRENT, "");
    check("11.20.1", FIRMWARE_OPEN, "00295 00404 00391 00610 ");
    check("13.0.10", FIRMWARE_OPEN, "00404 00391 00610 ");
    check("14.1.70", FIRMWARE_CURRENT, "");
    check("15.0.35", FIRMWARE_OPEN, "00610 ");
    check("16.0.15", FIRMWARE_OPEN, "00610 ");
    check("16.1.25", FIRMWARE_CURRENT, "");
    check("18.0.5", FIRMWARE_CURRENT, "");
    check("11.0", FIRMWARE_OPEN, "00075 00295 00404 00391 00610 ");
}

/* Only its build tells whether it is mended, and three numbers do not say it. */
static void test_without_its_build(void **state)
{
    (void)state;
    check("10.0.55", FIRMWARE_OPEN, "00075 ");
    check("10.0.56", FIRMWARE_OLD, "");
    check("9.1.41", FIRMWARE_OPEN, "00075 ");
}

static void test_older_than_what_is_looked_after(void **state)
{
    (void)state;
    check("10.0.55.3000", FIRMWARE_OLD, "");
    check("9.5.61.3012", FIRMWARE_OLD, "");
    check("6.2.61.3535", FIRMWARE_OLD, "");
    check("5.2.70", FIRMWARE_OLD, ""); /* before what SA-00075 is about */
    check("3.0.0", FIRMWARE_OLD, "");
    check("0.0", FIRMWARE_OLD, "");
}

static void test_no_versions(void **state)
{
    static const char *const none[] = {"",          "12",       "12.",
                                       "12..0",     ".12.0",    "12.0.67.1.2",
                                       "twelve",    "12.0.x",   "12.0.67 ",
                                       "-12.0.67",  "+1.0.1",   "12.0.65536",
                                       "12.0.67,1", "12.0.67.", "99999999999999999999.0"};

    (void)state;
    for (size_t i = 0; i < COUNT(none); i++) {
        check(none[i], FIRMWARE_UNREADABLE, "");
    }
    check("12.0.65535", FIRMWARE_CURRENT, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_boundary),    cmocka_unit_test(test_versions),
        cmocka_unit_test(test_without_its_build), cmocka_unit_test(test_older_than_what_is_looked_after),
        cmocka_unit_test(test_no_versions),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
