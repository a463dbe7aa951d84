/* SPDX-License-Identifier: Apache-2.0 */
/* A pool or JSON without memory ends the process, with a message and the status that was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <jansson.h>

#include "base/oom.h"

#define STATUS 42
/* No address space holds this. */
#define TOO_MUCH ((apr_size_t)1 << 56)

typedef void (*use_fn)(void);

/* Where the sanitizers are in use, they must let malloc() fail. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

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

static void use_json(void)
{
    json_stringn_nocheck("", TOO_MUCH);
}

/* All that comes through a pipe, but for a sanitizer's line about the allocation. */
static const char *read_all(int fd, char said[512])
{
    size_t length = 0;
    ssize_t count = 0;
    char *end;

    while ((count = read(fd, said + length, 511 - length)) > 0) {
        length += (size_t)count;
    }
    said[length] = '\0';
    if (strncmp(said, "==", 2) != 0) {
        return said;
    }
    end = strchr(said, '\n');
    return end != NULL ? end + 1 : said;
}

/* What a process that does this says on standard error; its exit status must be ours. */
static void assert_ends(use_fn use)
{
    char said[512];
    int ends[2], status = 0;
    pid_t pid;
    const char *own;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        oom_init("probe", STATUS);
        use();
        _exit(0); /* as if there had been memory */
    }
    close(ends[1]);
    own = read_all(ends[0], said);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), STATUS);
    assert_string_equal(own, "probe: the system has no memory left, so this process ends here\n");
}

static void test_no_memory(void **state)
{
    static const use_fn uses[] = {use_new_pool, use_pool_below, use_own_pool, use_json};
    (void)state;
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        assert_ends(uses[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_memory)};

    apr_initialize();
    atexit(apr_terminate);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
