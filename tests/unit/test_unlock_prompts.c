/* SPDX-License-Identifier: Apache-2.0 */
/* What PCs really show on their console, against the patterns that are built in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <apr_general.h>

#include "unlock/prompts.h"

enum { PROMPT = 1, SUCCESS = 2, FAILURE = 4 };

static const struct {
    const char *line;
    int means;
} lines[] = {
    /* cryptsetup in Debian's initramfs */
    {"Please unlock disk root: ", PROMPT},
    {"Please unlock disk nvme0n1p3_crypt: ", PROMPT},
    {"Please unlock disk root: ***", 0},
    {"cryptsetup: ERROR: root: cryptsetup failed, bad password or options?", FAILURE},
    {"cryptsetup: ERROR: root: maximum number of tries exceeded", FAILURE},
    {"No key available with this passphrase.", FAILURE},
    {"cryptsetup: root: set up successfully", SUCCESS},
    {"cryptsetup: Waiting for encrypted source device UUID=...", 0},
    /* systemd-ask-password */
    {"Please enter passphrase for disk root (luks-6f): (press TAB for no echo) ", PROMPT},
    {"\xf0\x9f\x94\x90 Please enter passphrase for disk QEMU_HARDDISK (root):", PROMPT},
    {"Please enter passphrase for disk QEMU_HARDDISK (luks-6f)! ", PROMPT},
    {"\xf0\x9f\x94\x90 Please enter passphrase for disk QEMU_HARDDISK (root): *****", 0},
    {"Failed to activate with specified passphrase. (Passphrase incorrect?)", FAILURE},
    {"[  OK  ] Finished Cryptography Setup for luks-6f.", SUCCESS},
    {"[  OK  ] Started Cryptography Setup for root.", SUCCESS},
    {"         Starting Cryptography Setup for root...", 0},
    {"[  OK  ] Reached target Local Encrypted Volumes.", SUCCESS},
    {"[  OK  ] Started Forward Password Requests to Wall Directory Watch.", 0},
    {"[FAILED] Failed to start Network Time Synchronization.", 0},
    /* dracut without systemd */
    {"Password (/dev/vda3): ", PROMPT},
    {"Password for /dev/vda3 (luks-6f): ", PROMPT},
    {"Enter passphrase for /dev/vda3: ", PROMPT},
    {"Enter passphrase: ", PROMPT},
    /* sedutil */
    {"Please enter pass-phrase to unlock OPAL drives: ", PROMPT},
    {"Please enter pass-phrase to unlock OPAL drives: *******", 0},
    {"Drive /dev/nvme0 Samsung SSD 980 PRO 1TB is OPAL Unlocked", SUCCESS},
    {"Drive /dev/nvme0 Samsung SSD 980 PRO 1TB is OPAL Failed", FAILURE},
    /* what comes before and after */
    {"pc-0001 login: ", SUCCESS},
    {"Last login: Sat Nov 21 on tty1", 0},
    {"Password: ", 0},
    {"[    1.204331] Run /init as init process", 0},
    {"GNU GRUB  version 2.06", 0},
};

static int setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL) == APR_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

static void test_what_pcs_show(void **state)
{
    const prompts_texts_t built_in = {0};
    prompts_t prompts;
    assert_null(prompts_make(&prompts, &built_in, *state));
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        amt_console_t *console = amt_console_create(*state);
        int means = 0;
        amt_console_feed(console, lines[i].line, strlen(lines[i].line));
        means = (amt_console_matches(console, prompts.prompt) ? PROMPT : 0) |
                (amt_console_matches(console, prompts.success) ? SUCCESS : 0) |
                (amt_console_matches(console, prompts.failure) ? FAILURE : 0);
        if (means != lines[i].means)
            fail_msg("\"%s\" means %d, expected %d", lines[i].line, means, lines[i].means);
    }
    assert_string_equal(prompts.redraw, "");
}

static void test_redraw(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } redraws[] = {
        {"", ""},
        {"abc", "abc"},
        {"\\r", "\r"},
        {"\\x15\\r", "\x15\r"},
        {"\\e[A", "\033[A"},
        {"a\\\\b", "a\\b"},
        {"\\n\\t", "\n\t"},
        {"\\x7F", "\x7f"},
        {"\\x00", NULL},
        {"\\x1", NULL},
        {"\\xg0", NULL},
        {"\\", NULL},
        {"\\q", NULL},
    };
    for (size_t i = 0; i < sizeof(redraws) / sizeof(redraws[0]); i++) {
        const prompts_texts_t texts = {.redraw = redraws[i].text};
        prompts_t prompts = {0};
        const char *error = prompts_make(&prompts, &texts, *state);
        if ((error == NULL) != (redraws[i].bytes != NULL))
            fail_msg("\"%s\": %s", redraws[i].text, error ? error : "accepted");
        if (error == NULL)
            assert_string_equal(prompts.redraw, redraws[i].bytes);
        else
            assert_non_null(strstr(error, redraws[i].text));
        assert_true((prompts_check_redraw(redraws[i].text, *state) == NULL) == (error == NULL));
    }
}

static void test_a_pattern_that_is_none(void **state)
{
    const char *error = NULL;
    assert_null(prompts_check_pattern("^disk .*:$", *state));
    error = prompts_check_pattern("disk (", *state);
    assert_non_null(error);
    assert_non_null(strstr(error, "\"disk (\""));
}

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_pcs_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redraw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pattern_that_is_none, setup, teardown),
    };
    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
