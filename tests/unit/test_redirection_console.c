/* SPDX-License-Identifier: Apache-2.0 */
/* What a serial console shows, as lines: every way to write one, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <cmocka.h>

#include "amt/redirection/console.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static apr_pool_t *pool;

static int set_up(void **state)
{
    (void)state;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static amt_patterns_t *compile(const char *text)
{
    apr_array_header_t *texts = apr_array_make(pool, 1, sizeof(const char *));
    amt_patterns_t *patterns = NULL;

    APR_ARRAY_PUSH(texts, const char *) = text;
    assert_null(amt_patterns_compile(&patterns, texts, pool));
    return patterns;
}

static int shows(const amt_console_t *console, const char *pattern)
{
    return amt_console_matches(console, compile(pattern));
}

/* What is fed, and a pattern for the one line that must come of it. */
static const struct {
    const char *fed;
    const char *line;
    const char *last;
} lines[] = {
    {"Please unlock disk root: ", "^Please unlock disk root: $", "Please unlock disk root:"},
    {"one\r\ntwo\r\n", "^one$", "two"},
    {"one\r\ntwo\r\n", "^two$", "two"},
    {"wrong\rright\r\n", "^right$", "right"},
    {"longer\rshort", "^shortr$", "shortr"},
    {"longer\r\033[Kshort", "^short$", "short"},
    {"abd\bc", "^abc$", "abc"},
    {"\b\bab", "^ab$", "ab"},
    {"a\tb", "^a       b$", "a       b"},
    {"abc\r\tx", "^abc     x$", "abc     x"},
    {"\033[1;31mred\033[0m alert", "^red alert$", "red alert"},
    {"\033[2J\033[H\033[5;10Hmenu", "^menu$", "menu"},
    {"row one\033[2;1Hrow two", "^row one$", "row two"},
    {"row one\033[2;1Hrow two", "^row two$", "row two"},
    {"\033]0;title\007text", "^text$", "text"},
    {"\033]0;title\033\\text", "^text$", "text"},
    {"\033P1$r0m\033\\text", "^text$", "text"},
    {"\033(Btext\033=", "^text$", "text"},
    {"\033]0;never ended\r\nnext", "^next$", "next"},
    {"\033\033[mtext", "^text$", "text"},
    {"d\303\251j\303\240 vu", "^d\303\251j\303\240 vu$", "d?j? vu"},
    {"bad \377 byte", "^bad \357\277\275 byte$", "bad ? byte"},
    {"cut \303 short", "^cut \357\277\275 short$", "cut ? short"},
    {"long \300\200 zero", "^long \357\277\275 zero$", "long ? zero"},
    {"half \355\240\200 pair", "^half \357\277\275 pair$", "half ? pair"},
    {"\342\202\254\r$", "^\\$$", "$"},
    {"ha\001\007\177rd", "^hard$", "hard"},
    {"line\r\n   \r\n", "^line$", "line"},
    {"  indented  ", "^  indented  $", "indented"},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        size_t length = strlen(lines[i].fed);

        for (size_t cut = 0; cut <= length; cut++) {
            amt_console_t *console = amt_console_create(pool);

            amt_console_feed(console, lines[i].fed, cut);
            amt_console_feed(console, lines[i].fed + cut, length - cut);
            if (!shows(console, lines[i].line)) {
                fail_msg("line %zu cut at %zu shows \"%s\"", i, cut, amt_console_last(console));
            }
            assert_string_equal(amt_console_last(console), lines[i].last);
        }
    }
}

static void test_lines_that_are_not_there(void **state)
{
    static const struct {
        const char *fed;
        const char *pattern;
    } cases[] = {
        {"one\r\ntwo", "one.*two"},  {"wrong\rright", "wrong"},
        {"\033[31mred", "31"},       {"", ".*"},
        {"\r\n\r\n", ".*"},          {"\033]0;hidden\007", "hidden"},
        {"key: ***", "key: [^*]*$"}, {"a\033[2;1Hb", "ab"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_console_t *console = amt_console_create(pool);

        amt_console_feed(console, cases[i].fed, strlen(cases[i].fed));
        assert_false(shows(console, cases[i].pattern));
    }
}

static void test_mark(void **state)
{
    amt_console_t *console = amt_console_create(pool);

    (void)state;
    amt_console_feed(console, "boot\r\nPassphrase: ", 18);
    assert_true(shows(console, "passphrase:"));
    assert_true(shows(console, "boot"));
    amt_console_mark(console);
    assert_false(shows(console, "passphrase:"));
    assert_false(shows(console, "boot"));
    assert_string_equal(amt_console_last(console), "Passphrase:");
    amt_console_feed(console, "***", 3); /* the echo does not bring the prompt back */
    assert_false(shows(console, "passphrase:"));
    amt_console_feed(console, "\r\nPassphrase: ", 14);
    assert_true(shows(console, "passphrase:"));
}

static void test_long_lines(void **state)
{
    amt_console_t *console = amt_console_create(pool);
    static const char needle[] = {'n', 'e', 'e', 'd', 'l', 'e'};
    char text[3 * AMT_CONSOLE_LINE];

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text + AMT_CONSOLE_LINE - 3, needle, sizeof(needle)); /* across the border */
    text[sizeof(text) - 1] = 'z';
    amt_console_feed(console, text, sizeof(text));
    assert_false(shows(console, "needle"));
    assert_true(shows(console, "^[^b]*nee$"));
    assert_true(shows(console, "^dlea"));
    assert_true(shows(console, "az$"));
    assert_int_equal(strlen(amt_console_last(console)), 120);
    /* three bytes a character: the limit is in bytes */
    console = amt_console_create(pool);
    for (int i = 0; i < AMT_CONSOLE_LINE; i++) {
        amt_console_feed(console, "\342\202\254", 3);
    }
    amt_console_feed(console, "end", 3);
    assert_true(shows(console, "end$"));
}

/* What ended is forgotten, what still stands is not. */
static void test_seen(void **state)
{
    amt_console_t *console = amt_console_create(pool);

    (void)state;
    amt_console_feed(console, "one\r\ntwo", 8);
    amt_console_seen(console);
    assert_false(shows(console, "one"));
    assert_true(shows(console, "^two$"));
    amt_console_feed(console, "three\r\n", 7);
    assert_true(shows(console, "^twothree$"));
    assert_string_equal(amt_console_last(console), "twothree");
}

/* A log without end: the newest lines are there, the oldest not, and nothing grows. */
static void test_flood(void **state)
{
    amt_console_t *console = amt_console_create(pool);

    (void)state;
    amt_console_feed(console, "first\r\n", 7);
    for (int i = 0; i < 10000; i++) {
        amt_console_feed(console, "[    0.123456] something happened\r\n", 35);
    }
    amt_console_feed(console, "newest\r\n", 8);
    assert_false(shows(console, "first"));
    assert_true(shows(console, "newest"));
    assert_string_equal(amt_console_last(console), "newest");
}

static void test_patterns(void **state)
{
    apr_array_header_t *texts = apr_array_make(pool, 3, sizeof(const char *));
    amt_console_t *console = amt_console_create(pool);
    amt_patterns_t *patterns = NULL;
    const char *problem;

    (void)state;
    assert_null(amt_patterns_compile(&patterns, texts, pool)); /* none */
    amt_console_feed(console, "Unlocked\r\n", 10);
    assert_false(amt_console_matches(console, patterns));
    APR_ARRAY_PUSH(texts, const char *) = "nothing like it";
    APR_ARRAY_PUSH(texts, const char *) = "^UNLOCK(ED|ING)$";
    assert_null(amt_patterns_compile(&patterns, texts, pool));
    assert_true(amt_console_matches(console, patterns));
    APR_ARRAY_PUSH(texts, const char *) = "(unclosed";
    problem = amt_patterns_compile(&patterns, texts, pool);
    assert_non_null(problem);
    assert_non_null(strstr(problem, "\"(unclosed\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_lines_that_are_not_there),
        cmocka_unit_test(test_mark),       cmocka_unit_test(test_seen),
        cmocka_unit_test(test_long_lines), cmocka_unit_test(test_flood),
        cmocka_unit_test(test_patterns),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
