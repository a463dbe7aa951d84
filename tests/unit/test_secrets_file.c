/* SPDX-License-Identifier: Apache-2.0 */
/* The provider file:PATH: what matches, which files are refused, and that no message holds a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "secrets/secrets.h"

typedef struct {
    apr_pool_t *pool;
    char file[64];
    secrets_t *secrets;
} fixture_t;

static const secrets_subject_t pc1 = {"pc-1.example.com", "4c4c4544-0035-3610-8052-b2c04f4d3732", "default",
                                      NULL, 0};
static const secrets_subject_t pc2 = {"pc-2.example.com", NULL, "default", NULL, 0};

static int setup(void **state)
{
    fixture_t *fixture;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    apr_cpystrn(fixture->file, "/tmp/amtu-secrets-XXXXXX", sizeof(fixture->file));
    close(mkstemp(fixture->file)); /* 0600 */
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    unlink(fixture->file);
    apr_pool_destroy(fixture->pool);
    return 0;
}

static void write_now(const char *path, const char *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

/* A while ago: nobody is at it any more. */
static void write_bytes(const fixture_t *fixture, const char *bytes, size_t length)
{
    static const struct timespec ago[2] = {{1000000000, 0}, {1000000000, 0}};

    write_now(fixture->file, bytes, length);
    assert_int_equal(utimensat(AT_FDCWD, fixture->file, ago, 0), 0);
}

static const char *open_path(fixture_t *fixture, const char *path)
{
    apr_array_header_t *providers = apr_array_make(fixture->pool, 1, sizeof(const char *));

    APR_ARRAY_PUSH(providers, const char *) = apr_pstrcat(fixture->pool, "file:", path, NULL);
    return secrets_open(&fixture->secrets, providers, fixture->pool);
}

static const char *open_text(fixture_t *fixture, const char *text)
{
    write_bytes(fixture, text, strlen(text));
    return open_path(fixture, fixture->file);
}

static void assert_login(fixture_t *fixture, const secrets_subject_t *subject, const char *user,
                         const char *password)
{
    secrets_login_t login;
    const char *error;

    assert_int_equal(secrets_amt_login(fixture->secrets, subject, &login, &error, fixture->pool),
                     APR_SUCCESS);
    assert_null(error);
    assert_string_equal(login.user, user);
    assert_string_equal(login.password, password);
    assert_true(CRYPTO_secure_allocated(login.user));
    assert_true(CRYPTO_secure_allocated(login.password));
    secrets_login_free(&login);
    assert_null(login.user);
    assert_null(login.password);
}

/* "file:", the fixture's file and this behind it. */
static void assert_source(fixture_t *fixture, const secrets_subject_t *subject, const char *behind)
{
    secrets_login_t login;
    const char *error;

    assert_int_equal(secrets_amt_login(fixture->secrets, subject, &login, &error, fixture->pool),
                     APR_SUCCESS);
    assert_string_equal(login.source, apr_pstrcat(fixture->pool, "file:", fixture->file, behind, NULL));
    secrets_login_free(&login);
    assert_null(login.source);
}

static void assert_no_login(fixture_t *fixture, const secrets_subject_t *subject)
{
    secrets_login_t login;
    const char *error;

    assert_int_equal(secrets_amt_login(fixture->secrets, subject, &login, &error, fixture->pool),
                     APR_NOTFOUND);
    assert_null(error);
    assert_null(login.user);
    assert_null(login.password);
}

static void assert_passphrase(fixture_t *fixture, const secrets_subject_t *subject, const char *expected)
{
    char *passphrase;
    const char *error;

    assert_int_equal(secrets_disk_passphrase(fixture->secrets, subject, &passphrase, &error, fixture->pool),
                     APR_SUCCESS);
    assert_string_equal(passphrase, expected);
    assert_true(CRYPTO_secure_allocated(passphrase));
    secrets_free(passphrase);
}

static void test_first_match_wins(void **state)
{
    fixture_t *fixture = *state;

    assert_null(open_text(fixture, "# logins\n"
                                   "\n"
                                   "amt pc-1.example.com admin one\n"
                                   "  amt\t* \t operator \t all\n"
                                   "disk pc-1.* first\n"
                                   "disk * second"));
    assert_login(fixture, &pc1, "admin", "one");
    assert_login(fixture, &pc2, "operator", "all");
    assert_passphrase(fixture, &pc1, "first");
    assert_passphrase(fixture, &pc2, "second");
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern;
        int fits;
    } patterns[] = {
        {"pc-1.example.com", 1},
        {"PC-1.Example.COM", 1},
        {"pc-?.example.com", 1},
        {"*.example.com", 1},
        {"*", 1},
        {"**", 1},
        {"pc-1*", 1},
        {"*1*com", 1},
        {"*.com*", 1},
        {"4C4C4544-*-b2c04f4d3732", 1},
        {"p*e*x*m", 1},
        {"pc-1.example.com*", 1},
        {"pc-1.example.co", 0},
        {"pc-1.example.comm", 0},
        {"?pc-1.example.com", 0},
        {"*.example", 0},
        {"pc-1", 0},
        {"*.org", 0},
        {"pc-1.example.com?", 0},
        {"4c4c4544", 0},
        {"[p]c-1.example.com", 0},
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        assert_null(open_text(fixture, apr_psprintf(fixture->pool, "amt %s u p\n", patterns[i].pattern)));
        if (patterns[i].fits) {
            assert_login(fixture, &pc1, "u", "p");
        }
        else {
            assert_no_login(fixture, &pc1);
        }
    }
}

static void assert_volume(fixture_t *fixture, const char *volume, int own, const char *expected)
{
    const secrets_subject_t subject = {
        .fqdn = pc1.fqdn, .uuid = pc1.uuid, .group = pc1.group, .volume = volume, .own = own};
    char *passphrase;
    const char *error;
    apr_status_t status =
        secrets_disk_passphrase(fixture->secrets, &subject, &passphrase, &error, fixture->pool);

    assert_int_equal(status, expected != NULL ? APR_SUCCESS : APR_NOTFOUND);
    assert_null(error);
    if (expected != NULL) {
        assert_string_equal(passphrase, expected);
        secrets_free(passphrase);
    }
}

/* No star of a line for systems stands for a volume, and none of one for volumes for a system. */
static void test_a_volume_has_its_own(void **state)
{
    fixture_t *fixture = *state;

    assert_null(open_text(fixture, "disk * all\ndisk data@pc-1.example.com its own\n"
                                   "disk crypt?@4c4c4544-* by uuid\ndisk *@pc-2.example.com another's\n"));
    assert_volume(fixture, "data", 1, "its own");
    assert_volume(fixture, "data", 0, "its own");
    assert_volume(fixture, "DATA", 1, "its own");
    assert_volume(fixture, "crypt2", 1, "by uuid");
    assert_volume(fixture, "root", 0, "all");
    assert_volume(fixture, "root", 1, NULL);
    assert_volume(fixture, "", 1, NULL);
    assert_volume(fixture, NULL, 1, "its own");
    assert_volume(fixture, "", 0, "all");
    assert_passphrase(fixture, &pc1, "all");
    assert_null(open_text(fixture, "disk *@pc-1.example.com any volume\n"));
    assert_volume(fixture, "whatever", 1, "any volume");
    assert_volume(fixture, NULL, 0, NULL);
    assert_null(open_text(fixture, "disk * a\namt *@pc-1.example.com u p\n"));
    assert_no_login(fixture, &pc1);
}

/* What a PC repeats of what it was told, however it writes it. */
static void test_traces(void **state)
{
    static const struct {
        const char *text, *hidden;
    } texts[] = {
        {"it asks for correct horse", "it asks for *************"},
        {"it asks for CorrectHorse.", "it asks for ************."},
        {"(c*o*r*r*e*c*t h-o-r-s-e)", "(***********************)"},
        {"correct\thorse correct horse", "************* *************"},
        {"correct horses", "*************s"},
        {"correct house", "correct house"},
        {"abc", "abc"},
        {"", ""},
    };
    char first[] = "correct horse";

    (void)state;
    secrets_note("pc-1", "correct horse");
    secrets_note("pc-1", "abc");
    secrets_note("pc-1", "");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[64];

        apr_cpystrn(text, texts[i].text, sizeof(text));
        secrets_hide("pc-2", text);
        assert_string_equal(text, texts[i].text);
        secrets_hide("pc-1", text);
        assert_string_equal(text, texts[i].hidden);
    }
    for (int digit = '0'; digit < '7'; digit++) { /* of earlier tasks, too */
        char secret[] = "secret-?";

        secret[7] = (char)digit;
        secrets_note("pc-1", secret);
        secrets_hide("pc-1", secret);
        assert_string_equal(secret, "********");
    }
    secrets_hide("pc-1", first);
    assert_string_equal(first, "*************");
}

/* Time must not grow with the power of the stars. */
static void test_hostile_pattern_ends(void **state)
{
    static const secrets_subject_t long_name = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                                "aaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                                NULL, NULL, NULL, 0};
    fixture_t *fixture = *state;
    char pattern[200];

    for (int i = 0; i < 198; i += 2) {
        pattern[i] = 'a';
        pattern[i + 1] = '*';
    }
    pattern[198] = 'b';
    pattern[199] = '\0';
    assert_null(open_text(fixture, apr_psprintf(fixture->pool, "amt %s u p\n", pattern)));
    assert_no_login(fixture, &long_name);
}

static void test_last_field_runs_to_the_end(void **state)
{
    fixture_t *fixture = *state;

    assert_null(
        open_text(fixture, "amt * admin a pass # word \r\ndisk * correct horse\tbattery \xc3\xa4\r\n"));
    assert_login(fixture, &pc1, "admin", "a pass # word ");
    assert_passphrase(fixture, &pc1, "correct horse\tbattery \xc3\xa4");
}

/* As editors of other systems save it. What could be two lines, or one with a part of another, gives no secret. */
static void test_forms_of_files(void **state)
{
    static const char cr[] = "line 1: the line holds a carriage return; lines must end in LF or CRLF";
    fixture_t *fixture = *state;
    char *much = apr_pcalloc(fixture->pool, 9001);

    assert_null(open_text(fixture, "\xef\xbb\xbf\x61mt * admin p\r\ndisk * d\r\n"));
    assert_login(fixture, &pc1, "admin", "p");
    assert_passphrase(fixture, &pc1, "d");
    assert_null(open_text(fixture, "\xef\xbb\xbf# a comment\ndisk * d "));
    assert_passphrase(fixture, &pc1, "d ");
    assert_non_null(strstr(open_text(fixture, "disk pc-1* one\rdisk pc-2* two\r"), cr));
    assert_non_null(strstr(open_text(fixture, "disk pc-1* one\r\r\n"), cr));
    memset(much, '\r', 9000);
    assert_non_null(strstr(open_text(fixture, much), cr));
    write_bytes(fixture, "\xff\xfe\x61\0m\0t\0\n\0", 10);
    assert_non_null(
        strstr(open_path(fixture, fixture->file), "line 1: the text is UTF-16; save it as UTF-8"));
}

/* The moment of use counts: a password changed on disk is the one that is used. */
static void test_read_anew(void **state)
{
    fixture_t *fixture = *state;
    secrets_login_t login;
    const char *error;

    assert_null(open_text(fixture, "amt * admin old\n"));
    assert_login(fixture, &pc1, "admin", "old");
    write_bytes(fixture, "amt * admin new\n", 16);
    assert_login(fixture, &pc1, "admin", "new");

    assert_int_equal(chmod(fixture->file, 0644), 0);
    assert_int_not_equal(secrets_amt_login(fixture->secrets, &pc1, &login, &error, fixture->pool),
                         APR_SUCCESS);
    assert_non_null(strstr(error, "others than its owner may use it (mode 0644)"));
    assert_null(login.password);
    assert_int_equal(chmod(fixture->file, 0600), 0);
    write_bytes(fixture, "amt pc-9 admin x\nbroken pc-1 hunter2\n", 37);
    assert_int_not_equal(secrets_amt_login(fixture->secrets, &pc1, &login, &error, fixture->pool),
                         APR_SUCCESS);
    assert_string_equal(
        error,
        apr_psprintf(fixture->pool, "file:%s: line 2: begins with neither amt nor disk", fixture->file));
    unlink(fixture->file);
    assert_int_not_equal(secrets_amt_login(fixture->secrets, &pc1, &login, &error, fixture->pool),
                         APR_SUCCESS);
    assert_non_null(strstr(error, "No such file"));
}

static void *finish_writing(void *path)
{
    static const char whole[] = "amt pc-2* u p\namt pc-1.example.com admin P@ssw0rd-long\n";

    usleep(200000);
    write_now(path, whole, strlen(whole));
    return NULL;
}

/* As an editor or `cp` leaves it for a moment: empty, cut between lines, within a word, within the password. */
static void test_a_file_that_is_being_written(void **state)
{
    static const char *const beginnings[] = {"", "amt pc-2* u p\n", "amt pc-2* u p\namt pc-1.exa",
                                             "amt pc-2* u p\namt pc-1.example.com admin P@ssw0rd"};
    fixture_t *fixture = *state;
    pthread_t writer;

    assert_null(open_text(fixture, ""));
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        write_now(fixture->file, beginnings[i], strlen(beginnings[i]));
        assert_int_equal(pthread_create(&writer, NULL, finish_writing, fixture->file), 0);
        assert_login(fixture, &pc1, "admin", "P@ssw0rd-long");
        pthread_join(writer, NULL);
    }
    write_bytes(fixture, beginnings[3], strlen(beginnings[3]));
    assert_login(fixture, &pc1, "admin", "P@ssw0rd"); /* nobody is at it: it is all there is */
}

static void test_syntax_names_line_never_content(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"amt * hunter2\n", "line 1: is not: amt PATTERN USER PASSWORD"},
        {"# fine\namt *\n", "line 2: is not: amt PATTERN USER PASSWORD"},
        {"amt\n", "line 1: is not: amt"},
        {"amt * u hunter2\ndisk *\n", "line 2: is not: disk PATTERN PASSPHRASE"},
        {"hunter2\n", "line 1: begins with neither amt nor disk"},
        {"AMT * u hunter2\n", "line 1: begins with neither amt nor disk"},
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *error = open_text(fixture, bad[i].text);

        assert_non_null(error);
        assert_null(fixture->secrets);
        assert_non_null(strstr(error, bad[i].words));
        assert_non_null(strstr(error, fixture->file));
        assert_null(strstr(error, "hunter2"));
    }
    write_bytes(fixture, "amt * u a\0b\n", 12);
    assert_non_null(strstr(open_path(fixture, fixture->file), "line 1: the line holds a NUL byte"));
}

/* Exactly 4095 bytes fit, wherever the buffer happens to end. */
static void test_line_length(void **state)
{
    fixture_t *fixture = *state;
    char *text = apr_pcalloc(fixture->pool, 10001);
    const char *error;

    memset(text, 'x', 10000);
    text = apr_pstrcat(fixture->pool, "# comment\n", "disk * ", text, NULL);
    text[10 + 4095] = '\n';
    write_bytes(fixture, text, 10 + 4096);
    assert_null(open_path(fixture, fixture->file));
    write_bytes(fixture, text, 10 + 4095); /* no line end */
    assert_null(open_path(fixture, fixture->file));
    text[10 + 4095] = 'x';
    text[10 + 4096] = '\n';
    write_bytes(fixture, text, 10 + 4097);
    error = open_path(fixture, fixture->file);
    assert_non_null(error);
    assert_non_null(strstr(error, "line 2: the line is longer than 4095 bytes"));
}

static void test_refused_files(void **state)
{
    fixture_t *fixture = *state;
    const char *name = apr_pstrcat(fixture->pool, fixture->file, ".other", NULL);

    assert_null(open_text(fixture, "amt * u p\n"));
    for (mode_t bit = 01; bit <= 040; bit <<= 1) {
        assert_int_equal(chmod(fixture->file, 0600 | bit), 0);
        assert_non_null(strstr(open_path(fixture, fixture->file), "chmod 0600"));
    }
    assert_int_equal(chmod(fixture->file, 0400), 0);
    assert_null(open_path(fixture, fixture->file));

    assert_int_equal(symlink(fixture->file, name), 0);
    assert_non_null(strstr(open_path(fixture, name), "is a symbolic link"));
    unlink(name);
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_non_null(strstr(open_path(fixture, name), "is not a regular file"));
    unlink(name);
    assert_non_null(strstr(open_path(fixture, "/tmp"), "is not a regular file"));
    assert_non_null(strstr(open_path(fixture, name), "No such file"));
}

static void test_another_users_file(void **state)
{
    fixture_t *fixture = *state;

    write_bytes(fixture, "amt * u p\n", 10);
    if (geteuid() != 0 || chown(fixture->file, 1, 1) != 0) {
        skip();
    }
    assert_non_null(strstr(open_path(fixture, fixture->file), "belongs to user 1, but must belong to"));
}

static void test_sources(void **state)
{
    fixture_t *fixture = *state;
    apr_array_header_t *providers = apr_array_make(fixture->pool, 1, sizeof(const char *));
    const char *second = apr_pstrcat(fixture->pool, fixture->file, ".2", NULL);
    FILE *file;

    assert_null(secrets_open(&fixture->secrets, providers, fixture->pool));
    assert_no_login(fixture, &pc1);
    APR_ARRAY_PUSH(providers, const char *) = "vault:/x";
    assert_non_null(
        strstr(secrets_open(&fixture->secrets, providers, fixture->pool), "'vault:/x' is not a source"));
    APR_ARRAY_IDX(providers, 0, const char *) = "/etc/secrets";
    assert_non_null(secrets_open(&fixture->secrets, providers, fixture->pool));

    write_bytes(fixture, "amt pc-1.example.com u1 p1\n", 27);
    file = fopen(second, "w");
    fputs("amt * u2 p2\n", file);
    fclose(file);
    chmod(second, 0600);
    APR_ARRAY_IDX(providers, 0, const char *) = apr_pstrcat(fixture->pool, "file:", fixture->file, NULL);
    APR_ARRAY_PUSH(providers, const char *) = apr_pstrcat(fixture->pool, "file:", second, NULL);
    assert_null(secrets_open(&fixture->secrets, providers, fixture->pool));
    assert_login(fixture, &pc1, "u1", "p1");
    assert_login(fixture, &pc2, "u2", "p2");
    assert_source(fixture, &pc1, "");
    assert_source(fixture, &pc2, ".2");
    unlink(second);
}

/* A thousand look-ups leave nothing in the secure heap. */
static void test_heap_is_given_back(void **state)
{
    fixture_t *fixture = *state;
    size_t before;

    assert_null(open_text(fixture, "amt pc-1* u p\nbad\n") ? NULL : "a bad line was not seen");
    assert_null(open_text(fixture, "amt pc-1* u p\n"));
    before = CRYPTO_secure_used();
    for (int i = 0; i < 1000; i++) {
        assert_login(fixture, &pc1, "u", "p");
        assert_no_login(fixture, &pc2);
    }
    assert_int_equal(CRYPTO_secure_used(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_match_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patterns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_volume_has_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_traces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_pattern_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_field_runs_to_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms_of_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_being_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_syntax_names_line_never_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_users_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heap_is_given_back, setup, teardown),
    };

    apr_initialize();
    if (secrets_process_init() != APR_SUCCESS) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
