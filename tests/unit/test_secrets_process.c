/* SPDX-License-Identifier: Apache-2.0 */
/* What secrets_process_init() makes of a process; each case in a child of its own, as it is for the whole
 * process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <openssl/crypto.h>

#include "secrets/secrets.h"

static int exit_status_of(int (*child)(void))
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(child());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int child_is_closed(void)
{
    struct rlimit core;

    for (int times = 0; times < 2; times++) {
        if (secrets_process_init() != APR_SUCCESS) {
            return 1;
        }
    }
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return 2;
    }
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0) {
        return 3;
    }
    return CRYPTO_secure_malloc_initialized() ? 0 : 4;
}

static void test_closed(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(child_is_closed), 0);
}

/* Without a right to lock memory (and without root's right to ignore that) secrets work, and there is a
 * warning. */
static int child_cannot_lock(void)
{
    const struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
        return 1;
    }
    if (secrets_process_init() != APR_SUCCESS) {
        return 2;
    }
    if (!secrets_process_warning() || !strstr(secrets_process_warning(), "RLIMIT_MEMLOCK")) {
        return 3;
    }
    return CRYPTO_secure_malloc_initialized() ? 0 : 4;
}

static void test_warning_when_memory_cannot_be_locked(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(child_cannot_lock), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_warning_when_memory_cannot_be_locked),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
