/* SPDX-License-Identifier: Apache-2.0 */
/* Slots by the limit of open files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/process/slots_priv.h"

/* In a process of its own, since a limit that was lowered stays so. -1: this user may not set that limit. */
static int slots_of(rlim_t files, int set)
{
    int ends[2], slots = 0;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit limit = {files, files};

        slots = setrlimit(RLIMIT_NOFILE, &limit) == 0 ? slots_choose(set) : -1;
        _exit(write(ends[1], &slots, sizeof(slots)) == (ssize_t)sizeof(slots) ? 0 : 1);
    }
    assert_int_equal(read(ends[0], &slots, sizeof(slots)), sizeof(slots));
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
    return slots;
}

static void test_slots(void **state)
{
    static const struct {
        rlim_t files;
        int set, slots;
    } rows[] = {
        {30000, 0, 8000}, {24064, 0, 8000}, {24063, 0, 7999}, {8192, 0, 2709}, {8192, 8000, 8000},
        {8192, 1, 1},     {115, 0, 17},     {112, 0, 16},     {64, 0, 16},     {30000, 9000, 9000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int slots = slots_of(rows[i].files, rows[i].set);

        assert_true(slots == rows[i].slots || slots == -1);
    }
    assert_int_equal(slots_of(100, 0), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slots)};

    log_open("/dev/null", LOG_LEVEL_INFO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
