/* SPDX-License-Identifier: Apache-2.0 */
/* What a serial console shows, as lines: every way to write one, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "amt/redirection/console.h"
#include "amt/redirection/patterns.h"

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

/* A console and all that it told. */
typedef struct {
    amt_console_t *console;
    int count;
    char *told[64]; /* "E text", "M text", "X text": ended, moved, erased */
} screen_t;

static void on_line(void *baton, const char *line, amt_line_e how)
{
    screen_t *screen = baton;

    if (line[0] != '\0') {
        screen->told[screen->count++ % 64] = apr_pstrcat(pool,
                                                         how == AMT_LINE_ENDED   ? "E "
                                                         : how == AMT_LINE_MOVED ? "M "
                                                                                 : "X ",
                                                         line, NULL);
    }
}

static screen_t *open_screen(void)
{
    screen_t *screen = apr_pcalloc(pool, sizeof(*screen));

    screen->console = amt_console_create(on_line, screen, pool);
    return screen;
}

static void feed(screen_t *screen, const char *text)
{
    amt_console_feed(screen->console, text, strlen(text));
}

static int shows(const screen_t *screen, const char *pattern)
{
    const amt_patterns_t *patterns = compile(pattern);
    int kept = screen->count < 64 ? screen->count : 64;
    const char *partial = amt_console_partial(screen->console);

    for (int i = 0; i < kept; i++) {
        if (amt_patterns_match(patterns, screen->told[i] + 2)) {
            return 1;
        }
    }
    return partial[0] != '\0' && amt_patterns_match(patterns, partial);
}

/* All that was told, and the line with the cursor. */
static const char *story(const screen_t *screen)
{
    char *text = "";

    for (int i = 0; i < screen->count; i++) {
        text = apr_pstrcat(pool, text, screen->told[i], "|", NULL);
    }
    return apr_pstrcat(pool, text, amt_console_partial(screen->console), NULL);
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
            screen_t *screen = open_screen();

            amt_console_feed(screen->console, lines[i].fed, cut);
            amt_console_feed(screen->console, lines[i].fed + cut, length - cut);
            if (!shows(screen, lines[i].line)) {
                fail_msg("line %zu cut at %zu shows \"%s\"", i, cut, story(screen));
            }
            assert_string_equal(amt_console_last(screen->console), lines[i].last);
        }
    }
}

/* What is told of a row, and what is left of it. */
static void test_rows(void **state)
{
    static const struct {
        const char *fed;
        const char *story;
    } rows[] = {
        {"one\r\ntwo", "E one|two"},
        {"wrong\rright", "X wrong|right"},
        {"prompt: \rprompt: ", "prompt: "},
        {"prompt: \rprompt: *", "prompt: *"},
        {"prompt: \r\033[K", "X prompt: |"},
        {"prompt: \r\033[K[***]", "X prompt: |[***]"},
        {"prompt: \033[2K", "X prompt: |        "},
        {"10%\r20%\r30%", "X 10%|X 20%|30%"},
        {"a\033[2;1Hb", "M a|b"},
        {"prompt: \0337\033[9999;9999H\033[6n\0338", "M prompt: |prompt: "},
        {"prompt: \0337\033[24;1Hbusy\0338", "M prompt: |M busy|prompt: "},
        {"prompt: \033[s\033[1;1H\033[u", "M prompt: |prompt: "},
        {"prompt: \0337\r\nnext\0338", "E prompt: |next"},
        {"prompt: \033[A\rabove\r\n", "M prompt: |M above|prompt: "},
        {"prompt: \033[2A\rone\r\ntwo\r\n", "M prompt: |M one|M two|prompt: "},
        {"prompt: \033Mabove\033[B", "M prompt: |M above|prompt: "},
        {"ab\033[Dc", "X ab|ac"},
        {"ab\033[2Cc", "ab  c"},
        {"abc\033[2Gx", "X abc|axc"},
        {"abc\033[1K", "X abc|   "},
        {"abc\033[2J", "X abc|"},
        {"abc\033[?2Jd", "abcd"},
        {"d\303\251j\303\240 \342\202\254\360\237\224\220\0337\033[H\0338x",
         "M d\303\251j\303\240 \342\202\254\360\237\224\220|d\303\251j\303\240 \342\202\254\360\237\224\220x"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t length = strlen(rows[i].fed);

        for (size_t cut = 0; cut <= length; cut++) {
            screen_t *screen = open_screen();

            amt_console_feed(screen->console, rows[i].fed, cut);
            amt_console_feed(screen->console, rows[i].fed + cut, length - cut);
            assert_string_equal(story(screen), rows[i].story);
        }
    }
}

static void test_lines_that_are_not_there(void **state)
{
    static const struct {
        const char *fed;
        const char *pattern;
    } cases[] = {
        {"one\r\ntwo", "one.*two"}, {"\033[31mred", "31"},           {"", ".*"},
        {"\r\n\r\n", ".*"},         {"\033]0;hidden\007", "hidden"}, {"key: ***", "key: [^*]*$"},
        {"a\033[2;1Hb", "ab"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        screen_t *screen = open_screen();

        feed(screen, cases[i].fed);
        assert_false(shows(screen, cases[i].pattern));
    }
}

static void test_forget(void **state)
{
    screen_t *screen = open_screen();

    (void)state;
    feed(screen, "boot\r\nPassphrase: ");
    assert_string_equal(story(screen), "E boot|Passphrase: ");
    amt_console_forget(screen->console);
    assert_string_equal(amt_console_partial(screen->console), "");
    assert_string_equal(amt_console_last(screen->console), "Passphrase:");
    feed(screen, "***"); /* the echo does not bring the prompt back */
    feed(screen, "\r\nPassphrase: ");
    assert_string_equal(story(screen), "E boot|E ***|Passphrase: ");
}

static void test_long_lines(void **state)
{
    screen_t *screen = open_screen();
    amt_console_t *console = screen->console;
    static const char needle[] = {'n', 'e', 'e', 'd', 'l', 'e'};
    char text[3 * AMT_CONSOLE_LINE];

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text + AMT_CONSOLE_LINE - 3, needle, sizeof(needle)); /* across the border */
    text[sizeof(text) - 1] = 'z';
    amt_console_feed(console, text, sizeof(text));
    assert_false(shows(screen, "needle"));
    assert_true(shows(screen, "^[^b]*nee$"));
    assert_true(shows(screen, "^dlea"));
    assert_true(shows(screen, "az$"));
    assert_int_equal(strlen(amt_console_last(console)), 120);
    /* three bytes a character: the limit is in bytes */
    screen = open_screen();
    console = screen->console;
    for (int i = 0; i < AMT_CONSOLE_LINE; i++) {
        amt_console_feed(console, "\342\202\254", 3);
    }
    amt_console_feed(console, "end", 3);
    assert_true(shows(screen, "end$"));
}

/* Nothing grows, however much comes. */
static void test_flood(void **state)
{
    screen_t *screen = open_screen();

    (void)state;
    for (int i = 0; i < 10000; i++) {
        feed(screen, "[    0.123456] something happened\r\n\0337\033[99;1H\0338\033[A");
    }
    feed(screen, "\r\nnewest\r\n");
    assert_true(screen->count >= 10001);
    assert_string_equal(amt_console_last(screen->console), "newest");
}

static void test_patterns(void **state)
{
    apr_array_header_t *texts = apr_array_make(pool, 3, sizeof(const char *));
    amt_patterns_t *patterns = NULL;
    const char *problem;

    (void)state;
    assert_null(amt_patterns_compile(&patterns, texts, pool)); /* none */
    assert_false(amt_patterns_match(patterns, "Unlocked"));
    APR_ARRAY_PUSH(texts, const char *) = "nothing like it";
    APR_ARRAY_PUSH(texts, const char *) = "^UNLOCK(ED|ING)$";
    assert_null(amt_patterns_compile(&patterns, texts, pool));
    assert_true(amt_patterns_match(patterns, "Unlocked"));
    APR_ARRAY_PUSH(texts, const char *) = "(unclosed";
    problem = amt_patterns_compile(&patterns, texts, pool);
    assert_non_null(problem);
    assert_non_null(strstr(problem, "\"(unclosed\""));
    *(const char **)apr_array_pop(texts) = "";
    APR_ARRAY_PUSH(texts, const char *) = "^(a*)(b*)\\1\\2$";
    assert_non_null(strstr(amt_patterns_compile(&patterns, texts, pool), "back-reference"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_lines_that_are_not_there),
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_forget),
        cmocka_unit_test(test_flood),    cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_patterns),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
