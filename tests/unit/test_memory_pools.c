/* SPDX-License-Identifier: Apache-2.0 */
/* A pool without memory ends the process, with a sentence and the status that was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>

#include "base/oom.h"

#define STATUS 42
/* No address space holds this. */
#define TOO_MUCH ((apr_size_t)1 << 56)

typedef void (*use_fn)(void);

static void use_new_pool(void)
{
    apr_pool_t *pool = NULL;
    apr_pool_create(&pool, NULL);
    apr_palloc(pool, TOO_MUCH);
}

static void use_pool_below(void)
{
    apr_pool_t *above = NULL, *pool = NULL;
    apr_pool_create(&above, NULL);
    apr_pool_create(&pool, above);
    apr_palloc(pool, TOO_MUCH);
}

static void use_own_pool(void)
{
    apr_pool_t *pool = NULL;
    if (oom_own_pool(&pool) != APR_SUCCESS) {
        _exit(1);
    }
    apr_palloc(pool, TOO_MUCH);
}

/* What a process that does this says on standard error; its exit status must be ours. */
static void assert_ends(use_fn use)
{
    char said[256] = "";
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        oom_init("probe", STATUS);
        use();
        _exit(0); /* as if there had been memory */
    }
    close(ends[1]);
    assert_true(read(ends[0], said, sizeof(said) - 1) >= 0);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), STATUS);
    assert_string_equal(said, "probe: the system has no memory left, so this process ends here\n");
}

static void test_every_pool(void **state)
{
    static const use_fn uses[] = {use_new_pool, use_pool_below, use_own_pool};
    (void)state;
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        assert_ends(uses[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_pool)};

    apr_initialize();
    atexit(apr_terminate);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
