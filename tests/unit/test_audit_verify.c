/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to falsify a finished record, and what verifying says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "audit/audit.h"

#define LINES 6

typedef struct {
    apr_pool_t *pool;
    char file[64];
    char *text;              /* the honest file */
    const char *line[LINES]; /* its lines, with their ends */
    const char *head;
} fixture_t;

static void write_file(const fixture_t *fixture, const char *text, size_t length)
{
    FILE *file = fopen(fixture->file, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    fclose(file);
}

static void read_lines(fixture_t *fixture)
{
    FILE *file = fopen(fixture->file, "rb");
    char *at = apr_pcalloc(fixture->pool, 20000);

    fixture->text = at;
    assert_true(fread(at, 1, 19999, file) > 0);
    fclose(file);
    for (int i = 0; i < LINES; i++) {
        char *end = strchr(at, '\n');
        fixture->line[i] = apr_pstrmemdup(fixture->pool, at, (apr_size_t)(end - at) + 1);
        at = end + 1;
    }
}

static int setup(void **state)
{
    fixture_t *fixture;
    apr_pool_t *pool, *writing;
    audit_t *audit;
    const char *hash, *error;
    apr_uint64_t count;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    apr_cpystrn(fixture->file, "/tmp/amtu-verify-XXXXXX", sizeof(fixture->file));
    close(mkstemp(fixture->file));
    apr_pool_create(&writing, pool);
    assert_null(audit_open(&audit, fixture->file, writing));
    for (int i = 0; i < LINES; i++) {
        audit_add(audit, "event", json_pack("{s:s, s:i}", "system", "pc-1.example.com", "value", i));
    }
    assert_int_equal(audit_commit(audit, &error), APR_SUCCESS);
    audit_head(audit, &hash, &count);
    fixture->head = apr_psprintf(pool, "%s:%d", hash, (int)count);
    apr_pool_destroy(writing);
    read_lines(fixture);
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

static const char *verify(const fixture_t *fixture, const char *head)
{
    apr_uint64_t count;

    return audit_verify(fixture->file, head, &count, fixture->pool);
}

static void assert_found(const fixture_t *fixture, const char *text, const char *words)
{
    const char *error;

    write_file(fixture, text, strlen(text));
    error = verify(fixture, NULL);
    assert_non_null(error);
    if (!strstr(error, words)) {
        fail_msg("'%s' does not say '%s'", error, words);
    }
}

/* The lines with these numbers, in this order. */
static const char *lines(const fixture_t *fixture, const char *order)
{
    char *text = apr_pstrdup(fixture->pool, "");

    for (; *order; order++) {
        text = apr_pstrcat(fixture->pool, text, fixture->line[*order - '0'], NULL);
    }
    return text;
}

static void test_honest(void **state)
{
    fixture_t *fixture = *state;
    apr_uint64_t count = 0;

    assert_null(audit_verify(fixture->file, NULL, &count, fixture->pool));
    assert_int_equal(count, LINES);
    assert_null(verify(fixture, fixture->head));
    write_file(fixture, "", 0);
    assert_null(verify(fixture, NULL));
}

/* Any byte of any line, changed to any of a few others. */
static void test_every_byte(void **state)
{
    fixture_t *fixture = *state;
    size_t length = strlen(fixture->text);

    for (size_t i = 0; i < length; i++) {
        char was = fixture->text[i];

        fixture->text[i] = was == '5' ? '6' : '5';
        write_file(fixture, fixture->text, length);
        if (!verify(fixture, NULL)) {
            fail_msg("byte %d ('%c') changed unnoticed", (int)i, was);
        }
        fixture->text[i] = was;
    }
}

static void test_removed_inserted_moved(void **state)
{
    fixture_t *fixture = *state;

    assert_found(fixture, lines(fixture, "01245"), "line 4: record 5 follows record 3");
    assert_found(fixture, lines(fixture, "0112345"), "line 3: record 2 follows record 2");
    assert_found(fixture, lines(fixture, "021345"), "line 2: record 3 follows record 1");
    assert_found(fixture, lines(fixture, "543210"), "line 2: record 5 follows record 6");
    assert_found(fixture,
                 apr_pstrcat(fixture->pool, lines(fixture, "012"), "hello\n", lines(fixture, "345"), NULL),
                 "line 5: the bytes before it are of no record");
    assert_found(fixture,
                 apr_pstrcat(fixture->pool, lines(fixture, "012"), "\n", lines(fixture, "345"), NULL),
                 "line 5: the bytes before it are of no record");
    assert_found(fixture, apr_pstrcat(fixture->pool, lines(fixture, "012345"), "hello\n", NULL),
                 "line 7: is not a whole record");
    assert_found(fixture, apr_pstrmemdup(fixture->pool, fixture->text, strlen(fixture->text) - 1),
                 "line 6: is cut off");
    assert_found(fixture, apr_pstrmemdup(fixture->pool, fixture->text, strlen(fixture->text) - 30),
                 "line 6: is cut off");
}

/* One line replaced by another that is right in itself and follows from the line before it: the next one
 * shows it. */
static void test_replaced_with_a_right_hash(void **state)
{
    fixture_t *fixture = *state;
    const char *text = lines(fixture, "012");
    const char *error;
    apr_pool_t *writing;
    audit_t *audit;
    FILE *file;

    write_file(fixture, text, strlen(text));
    apr_pool_create(&writing, fixture->pool);
    assert_null(audit_open(&audit, fixture->file, writing));
    audit_add(audit, "event", json_pack("{s:s}", "system", "innocent"));
    assert_int_equal(audit_commit(audit, &error), APR_SUCCESS);
    apr_pool_destroy(writing);
    assert_null(verify(fixture, NULL));

    file = fopen(fixture->file, "a");
    assert_non_null(file);
    fputs(lines(fixture, "45"), file);
    fclose(file);
    error = verify(fixture, NULL);
    assert_non_null(error);
    assert_non_null(strstr(error, "line 5: does not carry the hash of the line before it"));
}

/* A file that was rotated begins in the middle; only what comes first is taken on trust. */
static void test_begins_in_the_middle(void **state)
{
    fixture_t *fixture = *state;
    const char *text = lines(fixture, "345");

    write_file(fixture, text, strlen(text));
    assert_null(verify(fixture, NULL));
    assert_null(verify(fixture, fixture->head));
}

/* A whole chain that was forged in the right format: only the head shows it. */
static void test_rewritten_and_cut(void **state)
{
    fixture_t *fixture = *state;
    const char *text = lines(fixture, "0123");
    apr_pool_t *writing;
    audit_t *audit;
    const char *error;

    write_file(fixture, text, strlen(text));
    assert_null(verify(fixture, NULL));
    error = verify(fixture, fixture->head);
    assert_non_null(error);
    assert_non_null(strstr(error, "ends with record 4, but there were 6: its tail was cut off"));

    apr_pool_create(&writing, fixture->pool);
    assert_null(audit_open(&audit, fixture->file, writing));
    audit_add(audit, "event", json_pack("{s:s}", "system", "innocent"));
    audit_add(audit, "event", json_pack("{s:s}", "system", "innocent"));
    assert_int_equal(audit_commit(audit, &error), APR_SUCCESS);
    apr_pool_destroy(writing);
    assert_null(verify(fixture, NULL));
    error = verify(fixture, fixture->head);
    assert_non_null(error);
    assert_non_null(strstr(error, "line 6: is not the record that the head names"));
}

static void test_first_record(void **state)
{
    fixture_t *fixture = *state;
    char *text = apr_pstrdup(fixture->pool, fixture->line[0]);

    strstr(text, "\"prev\":\"")[8] = '1';
    assert_found(fixture, text, "line 1: was changed");
}

static void test_heads(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "12:3",
                                      "0000000000000000000000000000000000000000000000000000000000000000",
                                      "0000000000000000000000000000000000000000000000000000000000000000:",
                                      "0000000000000000000000000000000000000000000000000000000000000000:0",
                                      "0000000000000000000000000000000000000000000000000000000000000000:-1",
                                      "0000000000000000000000000000000000000000000000000000000000000000:1x",
                                      "00000000000000000000000000000000000000000000000000000000000000000:1",
                                      "G000000000000000000000000000000000000000000000000000000000000000:1"};
    fixture_t *fixture = *state;
    const char *text = lines(fixture, "45");

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_non_null(strstr(verify(fixture, bad[i]), "is not a head"));
    }
    write_file(fixture, text, strlen(text));
    assert_non_null(
        strstr(verify(fixture, "0000000000000000000000000000000000000000000000000000000000000000:2"),
               "begins after"));
    assert_non_null(
        strstr(verify(fixture, "0000000000000000000000000000000000000000000000000000000000000000:4"),
               "begins after"));
}

static void test_long_line(void **state)
{
    fixture_t *fixture = *state;
    char *text = apr_palloc(fixture->pool, 400000);

    memset(text, 'x', 400000);
    write_file(fixture, text, 400000);
    assert_non_null(strstr(verify(fixture, NULL), "line 1: is longer than any record"));
    unlink(fixture->file);
    assert_non_null(strstr(verify(fixture, NULL), "No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_honest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_inserted_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_with_a_right_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_begins_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rewritten_and_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
