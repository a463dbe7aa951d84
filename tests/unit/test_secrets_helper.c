/* SPDX-License-Identifier: Apache-2.0 */
/* The provider exec:PATH against helpers written here as shell scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "secrets/provider_priv.h"

#define LIMIT apr_time_from_sec(20) /* long: no machine is that slow */

typedef struct {
    apr_pool_t *pool;
    char folder[64];
    const char *helper, *notes;
    secrets_found_t found;
    const char *error;
} fixture_t;

static const secrets_subject_t pc1 = {"pc-1.example.com", "4c4c4544-0035-3610-8052-b2c04f4d3732", "branch",
                                      NULL, 0};

static int setup(void **state)
{
    fixture_t *fixture;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    apr_cpystrn(fixture->folder, "/tmp/amtu-helper-XXXXXX", sizeof(fixture->folder));
    assert_non_null(mkdtemp(fixture->folder));
    fixture->helper = apr_pstrcat(pool, fixture->folder, "/helper", NULL);
    fixture->notes = apr_pstrcat(pool, fixture->folder, "/notes", NULL);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    unlink(fixture->helper);
    unlink(fixture->notes);
    rmdir(fixture->folder);
    apr_pool_destroy(fixture->pool);
    return 0;
}

static void write_helper(const fixture_t *fixture, const char *body)
{
    FILE *file = fopen(fixture->helper, "w");

    assert_non_null(file);
    fprintf(file, "#!/bin/sh\nnotes=%s\n%s\n", fixture->notes, body);
    fclose(file);
    assert_int_equal(chmod(fixture->helper, 0755), 0);
}

static const char *read_notes(const fixture_t *fixture)
{
    FILE *file = fopen(fixture->notes, "r");
    char *text = apr_pcalloc(fixture->pool, 4096);

    assert_non_null(file);
    text[fread(text, 1, 4095, file)] = '\0';
    fclose(file);
    return text;
}

static apr_status_t ask(fixture_t *fixture, secrets_need_e need, apr_interval_time_t limit)
{
    memset(&fixture->found, 0, sizeof(fixture->found));
    fixture->error = NULL;
    return secrets_helper_ask(fixture->helper, need, &pc1, limit, &fixture->found, &fixture->error,
                              fixture->pool);
}

/* The helper failed, said so, and left nothing. */
static void assert_failed(fixture_t *fixture, secrets_need_e need, apr_interval_time_t limit,
                          const char *words)
{
    size_t before = CRYPTO_secure_used();

    assert_int_not_equal(ask(fixture, need, limit), APR_SUCCESS);
    assert_non_null(fixture->error);
    if (!strstr(fixture->error, words)) {
        fail_msg("'%s' does not say '%s'", fixture->error, words);
    }
    assert_non_null(strstr(fixture->error, fixture->helper));
    assert_null(strstr(fixture->error, "hunter2"));
    assert_null(fixture->found.user);
    assert_null(fixture->found.secret);
    assert_int_equal(CRYPTO_secure_used(), before);
}

static void test_question_and_answer(void **state)
{
    fixture_t *fixture = *state;

    write_helper(fixture, "cat >\"$notes\"; echo username=admin; echo 'password=a = b '; echo other=x");
    assert_int_equal(ask(fixture, SECRETS_AMT, LIMIT), APR_SUCCESS);
    assert_string_equal(read_notes(fixture), "need=amt\nfqdn=pc-1.example.com\n"
                                             "uuid=4c4c4544-0035-3610-8052-b2c04f4d3732\ngroup=branch\n");
    assert_string_equal(fixture->found.user, "admin");
    assert_string_equal(fixture->found.secret, "a = b ");
    assert_true(CRYPTO_secure_allocated(fixture->found.user));
    assert_true(CRYPTO_secure_allocated(fixture->found.secret));
    secrets_found_wipe(&fixture->found);

    write_helper(fixture,
                 "cat >\"$notes\"; printf 'username=not asked for\\r\\npassphrase=correct horse\\r\\n'");
    assert_int_equal(ask(fixture, SECRETS_DISK, LIMIT), APR_SUCCESS);
    assert_memory_equal(read_notes(fixture), "need=disk\n", 10);
    assert_null(fixture->found.user);
    assert_string_equal(fixture->found.secret, "correct horse");
    secrets_found_wipe(&fixture->found);
}

/* A helper that does not read its question must not end us with SIGPIPE. */
static void test_question_unread(void **state)
{
    fixture_t *fixture = *state;

    write_helper(fixture, "exec <&-; echo passphrase=p");
    assert_int_equal(ask(fixture, SECRETS_DISK, LIMIT), APR_SUCCESS);
    secrets_found_wipe(&fixture->found);
}

static void test_does_not_know(void **state)
{
    static const char *const bodies[] = {"exit 1", "exit 0", "echo username=admin; echo password=x; exit 1",
                                         "echo password=; echo username="};
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        write_helper(fixture, bodies[i]);
        assert_int_equal(ask(fixture, SECRETS_AMT, LIMIT), APR_NOTFOUND);
        assert_null(fixture->error);
        assert_null(fixture->found.user);
        assert_null(fixture->found.secret);
    }
}

static void test_failures(void **state)
{
    fixture_t *fixture = *state;

    write_helper(fixture, "echo username=admin; echo password=hunter2; exit 3");
    assert_failed(fixture, SECRETS_AMT, LIMIT, "failed with exit status 3");
    write_helper(fixture, "echo passphrase=hunter2; kill -9 $$");
    assert_failed(fixture, SECRETS_DISK, LIMIT, "ended by signal 9");
    write_helper(fixture, "echo password=hunter2");
    assert_failed(fixture, SECRETS_AMT, LIMIT, "only one of username= and password=");
    write_helper(fixture, "printf 'password=hunter2\\0x\\n'");
    assert_failed(fixture, SECRETS_AMT, LIMIT, "NUL byte");
    write_helper(fixture, "echo password=hunter2; head -c 5000 /dev/zero | tr '\\0' x");
    assert_failed(fixture, SECRETS_AMT, LIMIT, "longer than 4095 bytes");
    write_helper(fixture, "while echo password=hunter2; do :; done");
    assert_failed(fixture, SECRETS_AMT, LIMIT, "more than 16 KiB");
    unlink(fixture->helper);
    assert_failed(fixture, SECRETS_AMT, LIMIT, "No such file");
}

/* One that left its process group would else be waited for until it ends by itself. */
static atomic_int unkillable;

/* In place of libc's: nothing can be killed, as where a helper runs as another user. */
int kill(pid_t pid, int number)
{
    if (atomic_load(&unkillable)) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_kill, pid, number);
}

/* It is not waited for, and the next one is asked. */
static void test_helpers_that_cannot_be_killed(void **state)
{
    fixture_t *fixture = *state;
    apr_time_t start = apr_time_now();

    write_helper(fixture, "echo $$ >\"$notes\"; echo passphrase=hunter2; exec >&-; sleep 5");
    atomic_store(&unkillable, 1);
    assert_failed(fixture, SECRETS_DISK, apr_time_from_msec(500), "cannot be killed");
    assert_true(apr_time_now() - start < apr_time_from_sec(5));
    atomic_store(&unkillable, 0);
    kill(-(pid_t)apr_atoi64(read_notes(fixture)), SIGKILL);
    write_helper(fixture, "echo passphrase=hunter2");
    assert_int_equal(ask(fixture, SECRETS_DISK, LIMIT), APR_SUCCESS);
    secrets_found_wipe(&fixture->found);
}

static void test_time_limit_of_one_that_left_its_group(void **state)
{
    fixture_t *fixture = *state;
    apr_time_t start = apr_time_now();

    write_helper(
        fixture,
        "exec /usr/bin/python3 -c 'import os, time; os.setpgid(0, os.getpgid(os.getppid())); time.sleep(30)'");
    assert_failed(fixture, SECRETS_DISK, apr_time_from_sec(2), "did not answer in time");
    assert_true(apr_time_now() - start < apr_time_from_sec(20));
}

/* A helper that is late is killed, with all its children, and waited for. */
static void test_time_limit(void **state)
{
    static const struct {
        const char *body, *words;
    } late[] = {
        {"echo $$ >\"$notes\"; sleep 100; echo passphrase=hunter2", "did not answer in time"},
        {"echo $$ >\"$notes\"; sleep 100 & echo passphrase=hunter2; exit 0", "did not answer in time"},
        {"echo $$ >\"$notes\"; echo passphrase=hunter2; exec >&-; sleep 100", "did not end in time"},
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
        apr_time_t start = apr_time_now();
        pid_t group;

        write_helper(fixture, late[i].body);
        /* long enough for a shell to start and to write its id */
        assert_failed(fixture, SECRETS_DISK, apr_time_from_sec(2), late[i].words);
        assert_true(apr_time_now() - start < apr_time_from_sec(15));
        group = (pid_t)apr_atoi64(read_notes(fixture));
        assert_true(group > 1);
        /* no process of the group lives; its orphans are reaped by init in a moment */
        for (int tries = 0; tries < 200 && kill(-group, 0) == 0; tries++) {
            apr_sleep(apr_time_from_msec(10));
        }
        assert_int_equal(kill(-group, 0), -1);
        assert_int_equal(errno, ESRCH);
    }
}

static void test_environment_is_minimal(void **state)
{
    fixture_t *fixture = *state;
    const char *seen;
    int leak = open("/dev/null", 0); /* not close-on-exec */

    assert_int_equal(setenv("REDIS_PASSWORD", "hunter2", 1), 0);
    write_helper(fixture, "{ env; pwd; echo \"fds:\" $(ls /proc/$$/fd); } >\"$notes\"; echo passphrase=p");
    assert_int_equal(ask(fixture, SECRETS_DISK, LIMIT), APR_SUCCESS);
    secrets_found_wipe(&fixture->found);
    seen = read_notes(fixture);
    assert_null(strstr(seen, "REDIS_PASSWORD"));
    assert_non_null(strstr(seen, "PATH=/usr/local/sbin:"));
    assert_non_null(strstr(seen, "PWD=/\n"));
    if (leak > 9) {
        assert_null(strstr(seen, apr_psprintf(fixture->pool, " %d", leak)));
    }
    close(leak);
    unsetenv("REDIS_PASSWORD");
}

static uint64_t mask_of(const fixture_t *fixture, const char *name)
{
    const char *at = strstr(read_notes(fixture), name);

    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 16);
}

/* Blocked and ignored signals of the worker are not the helper's. */
static void test_signals_are_normal(void **state)
{
    fixture_t *fixture = *state;
    sigset_t blocked, before;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGUSR1, SIG_IGN);
    write_helper(fixture, "echo passphrase=p; exec grep -E '^Sig(Blk|Ign)' /proc/self/status >\"$notes\"");
    assert_int_equal(ask(fixture, SECRETS_DISK, LIMIT), APR_SUCCESS);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGUSR1, SIG_DFL);
    secrets_found_wipe(&fixture->found);
    assert_int_equal(mask_of(fixture, "SigBlk:\t"), 0);
    /* without the two that the C library keeps to itself */
    assert_int_equal(mask_of(fixture, "SigIgn:\t") & ~(UINT64_C(3) << 31), 0);
}

static void test_through_the_front_door(void **state)
{
    fixture_t *fixture = *state;
    apr_array_header_t *providers = apr_array_make(fixture->pool, 1, sizeof(const char *));
    const char *name = apr_pstrcat(fixture->pool, "exec:", fixture->helper, NULL);
    secrets_t *secrets;
    char *passphrase;

    APR_ARRAY_PUSH(providers, const char *) = name;
    assert_non_null(strstr(secrets_open(&secrets, providers, fixture->pool), "cannot be examined"));
    write_helper(fixture, "echo passphrase=p");
    assert_int_equal(chmod(fixture->helper, 0775), 0);
    assert_non_null(strstr(secrets_open(&secrets, providers, fixture->pool), "others may change it"));
    assert_int_equal(chmod(fixture->helper, 0644), 0);
    assert_non_null(strstr(secrets_open(&secrets, providers, fixture->pool), "not a program"));
    assert_int_equal(chmod(fixture->helper, 0755), 0);
    assert_null(secrets_open(&secrets, providers, fixture->pool));
    assert_int_equal(secrets_disk_passphrase(secrets, &pc1, &passphrase, &fixture->error, fixture->pool),
                     APR_SUCCESS);
    assert_string_equal(passphrase, "p");
    secrets_free(passphrase);

    /* one that fails ends the search, though a second one would know */
    APR_ARRAY_PUSH(providers, const char *) = name;
    write_helper(fixture, "[ -e \"$notes\" ] && echo passphrase=second && exit 0; touch \"$notes\"; exit 2");
    assert_null(secrets_open(&secrets, providers, fixture->pool));
    assert_int_not_equal(secrets_disk_passphrase(secrets, &pc1, &passphrase, &fixture->error, fixture->pool),
                         APR_SUCCESS);
    assert_null(passphrase);
    assert_non_null(strstr(fixture->error, "exec:"));
    unlink(fixture->notes);

    /* one that does not know does not */
    write_helper(fixture, "[ -e \"$notes\" ] && echo passphrase=second && exit 0; touch \"$notes\"; exit 1");
    assert_int_equal(secrets_disk_passphrase(secrets, &pc1, &passphrase, &fixture->error, fixture->pool),
                     APR_SUCCESS);
    assert_string_equal(passphrase, "second");
    secrets_free(passphrase);
    APR_ARRAY_IDX(providers, 0, const char *) = "exec:helper";
    assert_non_null(strstr(secrets_open(&secrets, providers, fixture->pool), "whole path"));
}

/* A helper that does not know of volumes would open any with the system's passphrase. */
static void test_volumes(void **state)
{
    static const secrets_subject_t data = {"pc-1.example.com", NULL, "branch", "data", 1};
    static const secrets_subject_t first = {"pc-1.example.com", NULL, "branch", "data", 0};
    static const secrets_subject_t injected = {"pc-1.example.com", NULL, "branch", "a\nneed=amt", 1};
    fixture_t *fixture = *state;
    apr_array_header_t *providers = apr_array_make(fixture->pool, 1, sizeof(const char *));
    secrets_t *secrets;
    char *passphrase;

    APR_ARRAY_PUSH(providers, const char *) = apr_pstrcat(fixture->pool, "exec:", fixture->helper, NULL);
    write_helper(fixture, "echo passphrase=p");
    assert_null(secrets_open(&secrets, providers, fixture->pool));
    assert_int_equal(secrets_disk_passphrase(secrets, &data, &passphrase, &fixture->error, fixture->pool),
                     APR_NOTFOUND);
    assert_null(passphrase);
    assert_int_equal(secrets_disk_passphrase(secrets, &first, &passphrase, &fixture->error, fixture->pool),
                     APR_SUCCESS);
    assert_string_equal(passphrase, "p");
    secrets_free(passphrase);
    write_helper(fixture, "grep '^volume=' && echo passphrase=own");
    assert_int_equal(secrets_disk_passphrase(secrets, &data, &passphrase, &fixture->error, fixture->pool),
                     APR_SUCCESS);
    assert_string_equal(passphrase, "own");
    secrets_free(passphrase);
    assert_int_equal(secrets_disk_passphrase(secrets, &pc1, &passphrase, &fixture->error, fixture->pool),
                     APR_NOTFOUND);
    write_helper(fixture, "grep -q '^need=amt' && echo passphrase=p; exit 0");
    assert_int_equal(secrets_disk_passphrase(secrets, &injected, &passphrase, &fixture->error, fixture->pool),
                     APR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_volumes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_question_and_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_question_unread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_does_not_know, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_helpers_that_cannot_be_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_limit_of_one_that_left_its_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment_is_minimal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals_are_normal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_through_the_front_door, setup, teardown),
    };

    apr_initialize();
    if (secrets_process_init() != APR_SUCCESS) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
