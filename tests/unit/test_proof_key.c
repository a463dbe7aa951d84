/* SPDX-License-Identifier: Apache-2.0 */
/* The file of the proof key: how it is made, who may have it, and what in it is no key. */
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
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "proof/keys_priv.h"
#include "proof/proof_key.h"

#define DIGITS "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

typedef struct {
    apr_pool_t *pool;
    char folder[32];
    const char *file;
} fixture_t;

static int setup(void **state)
{
    apr_pool_t *pool;
    fixture_t *fixture;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    strcpy(fixture->folder, "/tmp/amtu-proof-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->file = apr_pstrcat(pool, fixture->folder, "/proof.key", NULL);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    unlink(fixture->file);
    assert_int_equal(rmdir(fixture->folder), 0); /* nothing else was left there */
    apr_pool_destroy(fixture->pool);
    apr_terminate();
    return 0;
}

static void write_file(const fixture_t *fixture, const char *bytes, size_t length)
{
    int fd = open(fixture->file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

static const char *read_file(const fixture_t *fixture)
{
    char *text = apr_pcalloc(fixture->pool, 100);
    int fd = open(fixture->file, O_RDONLY);

    assert_true(read(fd, text, 99) >= 0);
    close(fd);
    return text;
}

/* The id of the key in the file. */
static const char *id_of(const fixture_t *fixture)
{
    proof_key_t *key = NULL;

    assert_null(proof_key_read(&key, "proof-key", fixture->file, fixture->pool));
    assert_non_null(key);
    return proof_key_id(key);
}

static void assert_refused(const fixture_t *fixture, const char *why)
{
    proof_key_t *key = (proof_key_t *)1;
    const char *error = proof_key_read(&key, "proof-key", fixture->file, fixture->pool);

    assert_null(key);
    assert_non_null(error);
    assert_non_null(strstr(error, apr_pstrcat(fixture->pool, "proof-key ", fixture->file, NULL)));
    if (strstr(error, why) == NULL) {
        fail_msg("\"%s\" does not say: %s", error, why);
    }
}

/* ---- making -------------------------------------------------------------------------------------------- */

static void test_a_new_key_is_its_users_alone(void **state)
{
    const fixture_t *fixture = *state;
    mode_t before = umask(0);
    struct stat info;
    const char *text;

    assert_null(proof_key_make("proof-key", fixture->file, fixture->pool));
    umask(before);
    assert_int_equal(lstat(fixture->file, &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_nlink, 1);
    assert_int_equal(info.st_size, 65);
    text = read_file(fixture);
    assert_int_equal(strspn(text, "0123456789abcdef"), 64);
    assert_string_equal(text + 64, "\n");
    assert_int_equal(strlen(id_of(fixture)), PROOF_KEY_ID_DIGITS);
}

static void test_two_keys_differ(void **state)
{
    const fixture_t *fixture = *state;
    const char *first, *id;

    assert_null(proof_key_make("proof-key", fixture->file, fixture->pool));
    first = read_file(fixture);
    id = id_of(fixture);
    unlink(fixture->file);
    assert_null(proof_key_make("proof-key", fixture->file, fixture->pool));
    assert_string_not_equal(read_file(fixture), first);
    assert_string_not_equal(id_of(fixture), id);
}

/* Whatever stands there, also what is no key: it may be somebody's only copy. */
static void test_nothing_is_overwritten(void **state)
{
    const fixture_t *fixture = *state;

    write_file(fixture, DIGITS "\n", 65);
    assert_null(proof_key_make("proof-key", fixture->file, fixture->pool));
    assert_string_equal(read_file(fixture), DIGITS "\n");
    write_file(fixture, "half", 4);
    assert_null(proof_key_make("proof-key", fixture->file, fixture->pool));
    assert_string_equal(read_file(fixture), "half");
}

static void test_it_cannot_be_made(void **state)
{
    const fixture_t *fixture = *state;
    const char *error =
        proof_key_make("proof-key", apr_pstrcat(fixture->pool, fixture->file, "/x", NULL), fixture->pool);

    assert_non_null(error);
    assert_non_null(strstr(error, "proof-key "));
    assert_non_null(strstr(error, "cannot be made: No such file or directory"));
}

/* All begin when the pipe is closed; each says the id of what it then has. */
static pid_t start_maker(const fixture_t *fixture, const int begin[2], int answers)
{
    pid_t pid = fork();

    if (pid == 0) {
        char wait;
        const char *id;

        close(begin[1]);
        (void)!read(begin[0], &wait, 1);
        id = proof_key_make("proof-key", fixture->file, fixture->pool) == NULL ? id_of(fixture)
                                                                               : "not made........";
        _exit(write(answers, id, PROOF_KEY_ID_DIGITS) != PROOF_KEY_ID_DIGITS);
    }
    return pid;
}

static void test_many_at_once_agree_on_one(void **state)
{
    enum { MAKERS = 8 };
    const fixture_t *fixture = *state;
    int begin[2], answers[2], status;
    char ids[MAKERS * PROOF_KEY_ID_DIGITS];
    pid_t makers[MAKERS];

    assert_int_equal(pipe(begin) | pipe(answers), 0);
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = start_maker(fixture, begin, answers[1]);
    }
    close(begin[0]);
    close(begin[1]);
    for (int i = 0; i < MAKERS; i++) {
        assert_int_equal(waitpid(makers[i], &status, 0), makers[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(read(answers[0], ids, sizeof(ids)), sizeof(ids));
    for (size_t i = 0; i < MAKERS; i++) {
        assert_memory_equal(ids + i * PROOF_KEY_ID_DIGITS, id_of(fixture), PROOF_KEY_ID_DIGITS);
    }
    close(answers[0]);
    close(answers[1]);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void test_no_file_is_no_error(void **state)
{
    const fixture_t *fixture = *state;
    proof_key_t *key = (proof_key_t *)1;

    assert_null(proof_key_read(&key, "proof-key", fixture->file, fixture->pool));
    assert_null(key);
}

/* printf 'amtunlock-proof-1 key id' | openssl dgst -sha256 -mac HMAC -macopt hexkey:DIGITS */
static void test_the_id_is_as_computed_elsewhere(void **state)
{
    const fixture_t *fixture = *state;

    write_file(fixture, DIGITS "\n", 65);
    assert_string_equal(id_of(fixture), "98a4e94e8d06c7cf");
}

static void test_what_is_no_key(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } wrong[] = {
        {"", 0},
        {"\n", 1},
        {DIGITS, 64},
        {DIGITS "\n\n", 66},
        {DIGITS "\r\n", 66},
        {DIGITS "0\n", 66},
        {DIGITS DIGITS, 128},
        {"00010203\n", 9},
        {"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n", 65},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g\n", 65},
        {"000102030405060708090a0b0c0d0e0f\0"
         "01112131415161718191a1b1c1d1e1f\n",
         65},
        {" 00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 65},
    };
    const fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        write_file(fixture, wrong[i].bytes, wrong[i].length);
        assert_refused(fixture, "is no proof key: it must hold 64 lower-case hex digits and a line feed");
    }
}

/* An error must not carry what the file holds into the log. */
static void test_an_error_shows_nothing_of_it(void **state)
{
    const fixture_t *fixture = *state;
    proof_key_t *key;

    write_file(fixture, DIGITS "x\n", 66);
    assert_null(strstr(proof_key_read(&key, "proof-key", fixture->file, fixture->pool), "0001"));
}

static void test_a_key_of_others_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610};
    const fixture_t *fixture = *state;

    write_file(fixture, DIGITS "\n", 65);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        chmod(fixture->file, modes[i]);
        assert_refused(fixture, "may be used by others than its owner");
    }
    chmod(fixture->file, 0400);
    assert_string_equal(id_of(fixture), "98a4e94e8d06c7cf");
    unlink(fixture->file);
    assert_int_equal(symlink("/etc/passwd", fixture->file), 0);
    assert_refused(fixture, geteuid() == 0 ? "may be used by others" : "belongs to user 0");
    unlink(fixture->file);
    assert_int_equal(mkfifo(fixture->file, 0600), 0);
    assert_refused(fixture, "is not a regular file");
    unlink(fixture->file);
    assert_int_equal(symlink("/dev/null", fixture->file), 0);
    assert_refused(fixture, "is not a regular file");
    if (geteuid() == 0) {
        unlink(fixture->file);
        write_file(fixture, DIGITS "\n", 65);
        assert_int_equal(chown(fixture->file, 12345, 0), 0);
        assert_refused(fixture, "belongs to user 12345");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_new_key_is_its_users_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_keys_differ, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_overwritten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_cannot_be_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_at_once_agree_on_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_file_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_id_is_as_computed_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_error_shows_nothing_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_of_others_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
