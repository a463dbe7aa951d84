/* SPDX-License-Identifier: Apache-2.0 */
/* Names of systems, reasons, ids, and where Redis is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "jobs/id_priv.h"
#include "jobs/jobs.h"
#include "jobs/library_priv.h"
#include "jobs/name.h"

static apr_pool_t *pool;

#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890123"

static void a_name_has_one_key(void **state)
{
    static const struct {
        const char *name, *key;
    } names[] = {
        {"pc1.example.com", "pc1.example.com"},
        {" \t\r\nPC1.Example.COM.\n", "pc1.example.com"},
        {"pc_1", "pc_1"},
        {"192.0.2.1", "192.0.2.1"},
        {" 192.0.2.1 ", "192.0.2.1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::1", "::1"},
        {LABEL_63 ".example", LABEL_63 ".example"},
        {"", NULL},
        {" ", NULL},
        {".", NULL},
        {"pc1..example", NULL},
        {".example", NULL},
        {"pc1.example..", NULL},
        {LABEL_63 "4.example", NULL},
        {"pc 1", NULL},
        {"pc1|x", NULL},
        {"pc1\x01", NULL},
        {"p\xc3\xa4.example", NULL},
        {"System.String[]", NULL},
        {"[::1]", NULL},
        {"fe80::1%eth0", NULL},
        {"http://pc1", NULL},
        {NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *key = jobs_name_key(names[i].name, pool);
        if ((key == NULL) != (names[i].key == NULL) || (key && strcmp(key, names[i].key) != 0))
            fail_msg("%s: %s", names[i].name, key ? key : "NULL");
    }
}

static void a_name_has_at_most_253_characters(void **state)
{
    char name[256];
    (void)state;
    memset(name, 'a', sizeof(name));
    for (int i = 50; i < 255; i += 51)
        name[i] = '.';
    name[253] = '\0';
    assert_non_null(jobs_name_key(name, pool));
    name[253] = '.';
    name[254] = '\0';
    assert_int_equal(strlen(jobs_name_key(name, pool)), 253);
    name[253] = 'a';
    assert_null(jobs_name_key(name, pool));
}

static void every_reason_has_a_code_a_message_and_an_action(void **state)
{
    (void)state;
    for (int i = JOBS_REASON_NOT_AVAILABLE; i < JOBS_REASONS; i++) {
        const jobs_reason_t *reason = jobs_reason((jobs_reason_e)i);
        assert_true(*reason->code && *reason->message && *reason->action);
        assert_int_equal(jobs_reason_of_code(reason->code), i);
        assert_int_equal(reason->message[strlen(reason->message) - 1], '.');
        assert_int_equal(reason->action[strlen(reason->action) - 1], '.');
    }
    assert_int_equal(jobs_reason_of_code(""), JOBS_REASON_NONE);
    assert_int_equal(jobs_reason_of_code(NULL), JOBS_REASON_NONE);
    assert_int_equal(jobs_reason_of_code("no such"), JOBS_REASON_INTERNAL);
    assert_string_equal(jobs_reason(JOBS_REASONS)->code, "internal");
    assert_string_equal(jobs_reason((jobs_reason_e)-1)->code, "internal");
    assert_string_equal(jobs_reason(JOBS_REASON_WRONG_PASSPHRASE)->code, "wrong-passphrase");
}

static void ids_are_26_characters_and_differ(void **state)
{
    (void)state;
    const char *one = jobs_new_id(pool);
    const char *two = jobs_new_id(pool);
    assert_int_equal(strlen(one), JOBS_ID_LENGTH);
    assert_int_equal(strspn(one, "abcdefghijklmnopqrstuvwxyz234567"), JOBS_ID_LENGTH);
    assert_non_null(strchr("aeimquy4", one[25])); /* 128 bits: two of the last five are zero */
    assert_string_not_equal(one, two);
}

static void digests_are_sha256(void **state)
{
    (void)state;
    assert_string_equal(jobs_sha256("abc", pool),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    apr_array_header_t *texts = apr_array_make(pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(texts, const char *) = "ab";
    APR_ARRAY_PUSH(texts, const char *) = "c";
    const char *split = jobs_sha256_all(texts, pool);
    APR_ARRAY_IDX(texts, 0, const char *) = "a";
    APR_ARRAY_IDX(texts, 1, const char *) = "bc";
    assert_string_not_equal(split, jobs_sha256_all(texts, pool));
}

static void the_library_and_the_program_have_one_schema(void **state)
{
    (void)state;
    const char *text = jobs_library;
    assert_memory_equal(text, "#!lua name=amtunlock\n", 21);
    assert_non_null(strstr(text, apr_psprintf(pool, "\nlocal SCHEMA = '%d'", JOBS_SCHEMA)));
    assert_non_null(strstr(text, apr_psprintf(pool, "\nlocal CHANGES_A_CALL = %d ", JOBS_CHANGES_A_CALL)));
    assert_non_null(strstr(text, "redis.register_function"));
}

static void redis_is_where_an_address_says(void **state)
{
    jobs_redis_t redis = {0};
    (void)state;
    assert_null(jobs_redis_parse("unix:/run/redis-amtunlock/redis.sock", &redis, pool));
    assert_string_equal(redis.socket, "/run/redis-amtunlock/redis.sock");
    assert_null(redis.host);
    assert_null(jobs_redis_parse("redis.example:6379", &redis, pool));
    assert_null(redis.socket);
    assert_string_equal(redis.host, "redis.example");
    assert_int_equal(redis.port, 6379);
    assert_null(jobs_redis_parse("[2001:db8::1]:6380", &redis, pool));
    assert_string_equal(redis.host, "2001:db8::1");
    assert_int_equal(redis.port, 6380);
}

static void a_wrong_address_is_explained(void **state)
{
    static const char *const wrong[] = {
        "",        "redis",       ":6379",    "unix:", "unix:redis.sock", "redis:",  "redis:x",
        "redis:0", "redis:65536", "::1:6379", "[::1]", "[::1]6379",       "[]:6379",
    };
    jobs_redis_t redis = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (!jobs_redis_parse(wrong[i], &redis, pool))
            fail_msg("%s was taken", wrong[i]);
    }
    char *path = apr_palloc(pool, 200);
    memset(path, 'a', 199);
    memcpy(path, "unix:/", 6);
    path[199] = '\0';
    assert_non_null(strstr(jobs_redis_parse(path, &redis, pool), "longer than"));
}

static const char *password_of(const char *content, const char **password)
{
    char path[] = "/tmp/amtunlock-password-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fputs(content, file);
    fclose(file);
    const char *wrong = jobs_redis_read_password(path, password, pool);
    remove(path);
    return wrong;
}

static void the_first_line_of_a_file_is_the_password(void **state)
{
    const char *password = NULL;
    (void)state;
    assert_null(password_of("se cret\nsecond line\n", &password));
    assert_string_equal(password, "se cret");
    assert_null(password_of("windows\r\n", &password));
    assert_string_equal(password, "windows");
    assert_null(password_of("\xef\xbb\xbfnotepad\r\n", &password));
    assert_string_equal(password, "notepad");
    assert_non_null(strstr(password_of("\xff\xfes", &password), "is UTF-16; save it as UTF-8"));
    assert_non_null(strstr(password_of("\xef\xbb\xbf\r\n", &password), "empty"));
    assert_null(password_of("no end of line", &password));
    assert_string_equal(password, "no end of line");
    assert_non_null(strstr(password_of("", &password), "empty"));
    assert_non_null(strstr(password_of("\nsecond\n", &password), "empty"));
    char *endless = apr_palloc(pool, 1001);
    memset(endless, 'x', 1000);
    endless[1000] = '\0';
    const char *wrong = password_of(endless, &password);
    assert_non_null(strstr(wrong, "too long"));
    assert_null(strstr(wrong, "xxx"));
    assert_non_null(strstr(jobs_redis_read_password("/no/such/file", &password, pool), "/no/such/file"));
}

static int begin(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_key),
        cmocka_unit_test(a_name_has_at_most_253_characters),
        cmocka_unit_test(every_reason_has_a_code_a_message_and_an_action),
        cmocka_unit_test(ids_are_26_characters_and_differ),
        cmocka_unit_test(digests_are_sha256),
        cmocka_unit_test(the_library_and_the_program_have_one_schema),
        cmocka_unit_test(redis_is_where_an_address_says),
        cmocka_unit_test(a_wrong_address_is_explained),
        cmocka_unit_test(the_first_line_of_a_file_is_the_password),
    };
    apr_initialize();
    atexit(apr_terminate);
    return cmocka_run_group_tests(tests, begin, end);
}
