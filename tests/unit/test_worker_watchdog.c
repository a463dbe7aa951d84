/* SPDX-License-Identifier: Apache-2.0 */
/* A process whose loop stands still ends, and its log says where; one that was only stopped for a while goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "base/log.h"
#include "worker/process/watchdog_priv.h"

#define STUCK_MS 600
#define BEAT apr_time_from_msec(5)

static char log_file[] = "/tmp/amtu-watchdog-XXXXXX";
static pulse_t living, dying, ended;
static volatile sig_atomic_t turning = 1;

static void *APR_THREAD_FUNC live(apr_thread_t *thread, void *data)
{
    (void)thread;
    (void)data;
    for (;;) {
        pulse_beat(&living);
        apr_sleep(BEAT);
    }
    return NULL;
}

/* Turns a few times, then waits for something that never comes. */
static void *APR_THREAD_FUNC die(apr_thread_t *thread, void *data)
{
    (void)thread;
    (void)data;
    for (int i = 0; i < 10; i++) {
        pulse_beat(&dying);
        apr_sleep(BEAT);
    }
    while (turning) {
        apr_sleep(apr_time_from_sec(10));
    }
    return NULL;
}

/* Long rounds: one that comes on, then one that waits for a disk. */
static void *APR_THREAD_FUNC take_long(apr_thread_t *thread, void *data)
{
    (void)thread;
    (void)data;
    pulse_beat(&dying);
    for (int i = 0; i < 3 * STUCK_MS / 5; i++) {
        pulse_go_on();
        apr_sleep(BEAT);
    }
    pulse_pause();
    apr_sleep(apr_time_from_sec(20));
    return NULL;
}

typedef enum { WELL, SICK, SLOW } child_e;

/* The child. Its loops: one that lives, one that ended, and one more unless WELL. */
__attribute__((noreturn)) static void run_child(child_e kind)
{
    const watched_t loops[] = {{"lease", &living}, {"intake", &ended}, {"engine", &dying}};
    watchdog_t *watchdog = NULL;
    apr_thread_t *thread = NULL;
    apr_pool_t *pool = NULL;

    apr_pool_create(&pool, NULL);
    log_open(log_file, LOG_LEVEL_INFO);
    pulse_init(&living);
    pulse_init(&dying);
    pulse_init(&ended);
    pulse_end(&ended);
    if (watchdog_start(&watchdog, loops, kind != WELL ? 3 : 2, pool) != APR_SUCCESS ||
        apr_thread_create(&thread, NULL, live, NULL, pool) != APR_SUCCESS ||
        (kind != WELL &&
         apr_thread_create(&thread, NULL, kind == SICK ? die : take_long, NULL, pool) != APR_SUCCESS)) {
        _exit(3);
    }
    apr_sleep(kind == SICK ? apr_time_from_sec(20) : apr_time_from_msec(6 * STUCK_MS));
    watchdog_stop(watchdog);
    _exit(0);
}

static pid_t start_child(child_e kind)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        run_child(kind);
    }
    return pid;
}

static int exit_code(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const char *read_log(void)
{
    static char text[65536];
    FILE *file = fopen(log_file, "re");

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void a_loop_that_stands_still_ends_the_process(void **state)
{
    pid_t pid = start_child(SICK);
    const char *text = NULL;

    (void)state;
    assert_int_equal(exit_code(pid), 1);
    text = read_log();
    assert_non_null(strstr(text, "AMTU0540"));
    assert_non_null(strstr(text, "thread=engine"));
#ifdef __SANITIZE_THREAD__ /* it keeps signals back */
    assert_non_null(strstr(text, "AMTU054"));
#else
    assert_non_null(strstr(text, "AMTU0541"));
    assert_non_null(strstr(text, "test_worker_watchdog("));
    assert_null(strstr(text, "AMTU0542"));
#endif
}

static void a_process_that_was_stopped_goes_on(void **state)
{
    pid_t pid = start_child(WELL);

    (void)state;
    for (int i = 0; i < 2; i++) {
        apr_sleep(apr_time_from_msec(100));
        kill(pid, SIGSTOP);
        apr_sleep(apr_time_from_msec(2 * STUCK_MS));
        kill(pid, SIGCONT);
    }
    assert_int_equal(exit_code(pid), 0);
    assert_string_equal(read_log(), "");
}

static void a_round_that_takes_long_by_right_goes_on(void **state)
{
    (void)state;
    assert_int_equal(exit_code(start_child(SLOW)), 0);
    assert_string_equal(read_log(), "");
}

static int begin(void **state)
{
    FILE *file = fopen(log_file, "we");

    (void)state;
    assert_non_null(file);
    return fclose(file);
}

int main(void)
{
    int failed = 0, fd = mkstemp(log_file);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_loop_that_stands_still_ends_the_process, begin),
        cmocka_unit_test_setup(a_round_that_takes_long_by_right_goes_on, begin),
        cmocka_unit_test_setup(a_process_that_was_stopped_goes_on, begin),
    };

    setenv("AMTUNLOCK_TEST_STUCK_MS", APR_STRINGIFY(STUCK_MS), 1);
    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    close(fd);
    unlink(log_file);
    apr_terminate();
    return failed;
}
