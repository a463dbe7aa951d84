/* SPDX-License-Identifier: Apache-2.0 */
/* A line of the log as it is written: to standard error, and to standard error that is the journal's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

typedef struct {
    int pipe[2];
    int before; /* what standard error was */
} captured_t;

/* Standard error is a pipe from now on, and JOURNAL_STREAM names it, or another file with an inode next to it. */
static void capture(captured_t *captured, unsigned int off)
{
    struct stat info;
    char stream[64];

    assert_int_equal(pipe(captured->pipe), 0);
    captured->before = dup(STDERR_FILENO);
    assert_int_equal(dup2(captured->pipe[1], STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(fstat(STDERR_FILENO, &info), 0);
    (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)info.st_dev,
                   (unsigned long long)info.st_ino + off);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    assert_int_equal(log_open("-", LOG_LEVEL_DEBUG), APR_SUCCESS);
}

/* What was written, as text. */
static void release(const captured_t *captured, char *text, size_t size)
{
    ssize_t length;

    log_close();
    dup2(captured->before, STDERR_FILENO);
    close(captured->before);
    close(captured->pipe[1]);
    length = read(captured->pipe[0], text, size - 1);
    close(captured->pipe[0]);
    unsetenv("JOURNAL_STREAM");
    assert_true(length > 0);
    text[length] = '\0';
}

static void write_each_level(void)
{
    log_error("AMTU0901", "one", "a", "b");
    log_warn("AMTU0902", "two", "c", "d e");
    log_info("AMTU0903", "three");
    log_debug("AMTU0904", "four");
}

static void test_journal_has_its_own_clock(void **state)
{
    captured_t captured;
    char text[1024];

    (void)state;
    capture(&captured, 0);
    write_each_level();
    release(&captured, text, sizeof(text));
    assert_string_equal(text,
                        "<3>error AMTU0901 one a=b\n<4>warn AMTU0902 two c=\"d e\"\n<6>info AMTU0903 three\n"
                        "<7>debug AMTU0904 four\n");
}

/* A standard error that was sent elsewhere since systemd started us. */
static void test_other_stream_has_the_time(void **state)
{
    captured_t captured;
    char text[1024];

    (void)state;
    capture(&captured, 1);
    write_each_level();
    release(&captured, text, sizeof(text));
    assert_int_equal(text[0], '2');
    assert_non_null(strstr(text, "Z error AMTU0901 one a=b\n2"));
}

/* A log that nobody reads holds up no thread: the pipe is full. Lines are missing then, and that is said. */
static void test_a_reader_that_stands_still(void **state)
{
    static char text[1 << 17];
    captured_t captured;
    int flags;

    (void)state;
    capture(&captured, 0);
    flags = fcntl(captured.pipe[1], F_GETFL);
    assert_int_equal(fcntl(captured.pipe[1], F_SETFL, flags | O_NONBLOCK), 0);
    while (write(captured.pipe[1], "full\n", 5) == 5) {
    }
    assert_int_equal(fcntl(captured.pipe[1], F_SETFL, flags), 0);
    alarm(20); /* ends this program where it is held up */
    for (int i = 0; i < 1000; i++) {
        log_error("AMTU0901", "nobody reads");
    }
    alarm(0);
    assert_true(read(captured.pipe[0], text, sizeof(text)) > 0);
    log_error("AMTU0902", "again");
    release(&captured, text, sizeof(text));
    assert_non_null(strstr(text, "<3>error AMTU0902 again\n"));
    assert_non_null(strstr(text, "AMTU0545"));
    assert_non_null(strstr(text, "lines=1000\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_has_its_own_clock),
        cmocka_unit_test(test_other_stream_has_the_time),
        cmocka_unit_test(test_a_reader_that_stands_still),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
