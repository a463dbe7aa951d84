/* SPDX-License-Identifier: Apache-2.0 */
/* A line to the system log as syslog(3) would write it, and that nothing waits where its reader hangs or is away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/system_log.h"

#define LINES_MOST 100000

static int reader = -1;
static char folder[] = "/tmp/amtu-syslog-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_true(snprintf(address.sun_path, sizeof(address.sun_path), "%s/log", folder) > 0);
    reader = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(reader, (struct sockaddr *)&address, sizeof(address)), 0);
    return setenv("AMTUNLOCK_TEST_SYSTEM_LOG", address.sun_path, 1);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(address.sun_path);
    return rmdir(folder);
}

static void test_a_line(void **state)
{
    char line[2048] = "", priority[16];
    ssize_t length = 0;

    (void)state;
    assert_int_equal(system_log(LOG_NOTICE, "AMTU0422 audit head abc:7"), SYSTEM_LOG_TAKEN);
    length = recv(reader, line, sizeof(line) - 1, MSG_DONTWAIT);
    assert_true(length > 0);
    (void)snprintf(priority, sizeof(priority), "<%d>", LOG_USER | LOG_NOTICE);
    assert_ptr_equal(strstr(line, priority), line);
    assert_non_null(strstr(line, "test_base_system_log["));
    assert_string_equal(strstr(line, "]: "), "]: AMTU0422 audit head abc:7");
}

static void test_a_reader_that_hangs(void **state)
{
    time_t begun = time(NULL);
    char line[2048];
    int taken = 0;

    (void)state;
    while (taken < LINES_MOST && system_log(LOG_ALERT, "one more") == SYSTEM_LOG_TAKEN) {
        taken++;
    }
    assert_in_range(taken, 1, LINES_MOST - 1);
    assert_true(time(NULL) - begun < 5);
    while (recv(reader, line, sizeof(line), MSG_DONTWAIT) > 0) {
    }
    assert_int_equal(system_log(LOG_ALERT, "it reads again"), SYSTEM_LOG_TAKEN);
}

static void test_a_reader_that_is_away(void **state)
{
    (void)state;
    close(reader);
    assert_int_equal(system_log(LOG_ALERT, "nobody reads"), SYSTEM_LOG_REFUSED);
}

static void test_no_system_log(void **state)
{
    (void)state;
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(system_log(LOG_ALERT, "nowhere"), SYSTEM_LOG_ABSENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line),
        cmocka_unit_test(test_a_reader_that_hangs),
        cmocka_unit_test(test_a_reader_that_is_away),
        cmocka_unit_test(test_no_system_log),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
