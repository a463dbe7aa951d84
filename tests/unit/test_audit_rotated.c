/* SPDX-License-Identifier: Apache-2.0 */
/* A record that was rotated away while no worker ran: the next one goes on where it ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "audit/audit.h"

typedef struct {
    apr_pool_t *pool;
    char folder[64];
    const char *file;
    char *head; /* "HASH:COUNT" of what was written last */
} fixture_t;

static int setup(void **state)
{
    fixture_t *fixture;
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    apr_cpystrn(fixture->folder, "/tmp/amtu-audit-XXXXXX", sizeof(fixture->folder));
    assert_non_null(mkdtemp(fixture->folder));
    fixture->file = apr_pstrcat(pool, fixture->folder, "/audit.jsonl", NULL);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;
    DIR *folder = opendir(fixture->folder);
    struct dirent *entry;

    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            remove(apr_pstrcat(fixture->pool, fixture->folder, "/", entry->d_name, NULL));
        }
    }
    closedir(folder);
    rmdir(fixture->folder);
    apr_pool_destroy(fixture->pool);
    apr_terminate();
    return 0;
}

/* A worker's life: opens the record, writes so many lines, and is gone. NULL, or why it could not open it. */
static const char *live(fixture_t *fixture, int lines)
{
    apr_pool_t *pool;
    audit_t *audit;
    const char *error, *hash;
    apr_uint64_t count;

    apr_pool_create(&pool, fixture->pool);
    error = audit_open(&audit, fixture->file, pool);
    if (error) {
        error = apr_pstrdup(fixture->pool, error);
        apr_pool_destroy(pool);
        return error;
    }
    for (int i = 0; i < lines; i++) {
        assert_int_equal(audit_add(audit, "act", json_pack("{s:i}", "line", i)), APR_SUCCESS);
    }
    assert_int_equal(audit_commit(audit, &error), APR_SUCCESS);
    audit_head(audit, &hash, &count);
    fixture->head = apr_psprintf(fixture->pool, "%s:%d", hash, (int)count);
    apr_pool_destroy(pool);
    return NULL;
}

static const char *named(const fixture_t *fixture, const char *end)
{
    return apr_pstrcat(fixture->pool, fixture->file, end, NULL);
}

static void rotate(const fixture_t *fixture, const char *end)
{
    assert_int_equal(rename(fixture->file, named(fixture, end)), 0);
}

static void write_file(const char *name, const char *text, const char *mode)
{
    FILE *file = fopen(name, mode);

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(name, 0600), 0);
}

static const char *content(const fixture_t *fixture, const char *name)
{
    FILE *file = fopen(name, "r");
    char *text = apr_pcalloc(fixture->pool, 10000);

    assert_non_null(file);
    assert_true(fread(text, 1, 9999, file) < 9999);
    fclose(file);
    return text;
}

/* The file is sound, and passes the head on that the file before it ended with. */
static void assert_follows(const fixture_t *fixture, const char *head, apr_uint64_t lines)
{
    apr_uint64_t count = 0;

    assert_null(audit_verify(fixture->file, head, &count, fixture->pool));
    assert_int_equal(count, lines);
}

static void test_it_goes_on(void **state)
{
    fixture_t *fixture = *state;
    const char *head;
    apr_uint64_t count;

    assert_null(live(fixture, 2));
    head = fixture->head;
    rotate(fixture, ".1");
    assert_null(live(fixture, 1));
    assert_non_null(strstr(content(fixture, fixture->file), "{\"n\":3,"));
    assert_follows(fixture, head, 1);
    assert_null(audit_verify(named(fixture, ".1"), head, &count, fixture->pool));
}

/* As logrotate's "create" leaves it. */
static void test_an_empty_file_goes_on_too(void **state)
{
    fixture_t *fixture = *state;
    const char *head;

    assert_null(live(fixture, 2));
    head = fixture->head;
    rotate(fixture, "-20300101");
    write_file(fixture->file, "", "w");
    assert_null(live(fixture, 1));
    assert_follows(fixture, head, 1);
}

static void test_a_worker_that_wrote_nothing_breaks_no_chain(void **state)
{
    fixture_t *fixture = *state;
    const char *head;

    assert_null(live(fixture, 2));
    head = fixture->head;
    rotate(fixture, ".2");
    assert_null(live(fixture, 0));
    rotate(fixture, ".1"); /* empty */
    assert_null(live(fixture, 1));
    assert_follows(fixture, head, 1);
}

/* Whatever the names and times say: the one that went furthest. */
static void test_the_newest_counts(void **state)
{
    static const char *const names[] = {".9", ".1", "-20300101", ".10"};
    fixture_t *fixture = *state;
    const char *head;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_null(live(fixture, 2));
        rotate(fixture, names[i]);
    }
    head = fixture->head;
    write_file(named(fixture, ".9"), "", "a"); /* touched last */
    assert_null(live(fixture, 1));
    assert_follows(fixture, head, 1);
    assert_non_null(strstr(content(fixture, fixture->file), "{\"n\":9,"));
}

static void test_other_files_are_left_alone(void **state)
{
    fixture_t *fixture = *state;
    const char *head;

    assert_null(live(fixture, 2));
    head = fixture->head;
    rotate(fixture, ".1");
    write_file(named(fixture, ".2.gz"), "\x1f\x8b\x08 packed\n", "w");
    write_file(named(fixture, ".notes"), "what I did on Monday\n", "w");
    write_file(named(fixture, ".torn"), "{\"n\":1,\"t\":\"203", "w");
    write_file(named(fixture, "x"), "{\"n\":99,\n", "w"); /* another name */
    assert_int_equal(mkdir(named(fixture, ".d"), 0700), 0);
    assert_int_equal(mkfifo(named(fixture, ".fifo"), 0600), 0);
    assert_int_equal(symlink(named(fixture, "x"), named(fixture, ".link")), 0);
    assert_null(live(fixture, 1));
    assert_follows(fixture, head, 1);
}

static void test_a_torn_end_is_recorded_where_it_is(void **state)
{
    fixture_t *fixture = *state;
    const char *rotated = named(fixture, ".1");
    apr_uint64_t count;

    assert_null(live(fixture, 2));
    rotate(fixture, ".1");
    write_file(rotated, "{\"n\":3,\"t\":\"203", "a");
    assert_null(live(fixture, 1));
    assert_null(audit_verify(rotated, NULL, &count, fixture->pool));
    assert_non_null(strstr(content(fixture, rotated), "{\"n\":3,\"t\":\"203\n{\"n\":3,"));
    assert_non_null(strstr(content(fixture, fixture->file), "{\"n\":4,"));
    assert_follows(fixture, NULL, 1);
}

/* The power went when the first line was written after a rotation. */
static void test_a_torn_first_line(void **state)
{
    fixture_t *fixture = *state;
    const char *head;
    apr_uint64_t count;

    assert_null(live(fixture, 2));
    head = fixture->head;
    rotate(fixture, ".1");
    write_file(fixture->file, "{\"n\":3,\"t\":\"203", "w");
    assert_null(live(fixture, 1));
    assert_non_null(strstr(content(fixture, fixture->file), "\"203\n{\"n\":3,"));
    assert_null(audit_verify(fixture->file, head, &count, fixture->pool));
}

static void test_what_was_changed_is_not_gone_on_from(void **state)
{
    fixture_t *fixture = *state;
    const char *rotated = named(fixture, ".1");
    char *text;

    assert_null(live(fixture, 2));
    rotate(fixture, ".1");
    text = apr_pstrdup(fixture->pool, content(fixture, rotated));
    strstr(text, "\"line\":1")[7] = '7';
    write_file(rotated, text, "w");
    assert_non_null(strstr(live(fixture, 1), "audit.jsonl.1: the last record was changed"));
    strstr(text, "\"line\":0")[7] = '7';
    write_file(rotated, text, "w");
    assert_non_null(strstr(live(fixture, 1), "audit.jsonl.1: its first record was changed"));
    assert_string_equal(content(fixture, fixture->file), "");
}

/* A worker may not have heard yet that its file was moved: what it writes would be a second end. */
static void test_a_file_that_is_still_written_is_waited_for(void **state)
{
    fixture_t *fixture = *state;
    apr_pool_t *pool;
    audit_t *audit;
    const char *error;

    apr_pool_create(&pool, fixture->pool);
    assert_null(audit_open(&audit, fixture->file, pool));
    assert_int_equal(audit_add(audit, "act", json_object()), APR_SUCCESS);
    assert_int_equal(audit_commit(audit, &error), APR_SUCCESS);
    rotate(fixture, ".1");
    assert_non_null(strstr(live(fixture, 1), "audit.jsonl.1: another process writes it"));
    apr_pool_destroy(pool);
    assert_null(live(fixture, 1));
    assert_non_null(strstr(content(fixture, fixture->file), "{\"n\":2,"));
}

static void test_a_file_that_others_may_change_is_refused(void **state)
{
    fixture_t *fixture = *state;

    assert_null(live(fixture, 1));
    rotate(fixture, ".1");
    assert_int_equal(chmod(named(fixture, ".1"), 0660), 0);
    assert_non_null(strstr(live(fixture, 1), "audit.jsonl.1: others may change it"));
}

static void test_a_relative_name(void **state)
{
    fixture_t *fixture = *state;
    char here[4096];
    const char *head;

    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(fixture->folder), 0);
    fixture->file = "audit.jsonl";
    assert_null(live(fixture, 2));
    head = fixture->head;
    rotate(fixture, ".1");
    assert_null(live(fixture, 1));
    assert_follows(fixture, head, 1);
    assert_int_equal(chdir(here), 0);
}

/* ---- reading back -------------------------------------------------------------------------------------- */

typedef struct {
    int count, first, last;
} facts_t;

static void on_record(void *baton, const json_t *record)
{
    facts_t *seen = baton;
    int number = (int)json_integer_value(json_object_get(record, "n"));

    if (seen->count++ == 0) {
        seen->first = number;
    }
    else {
        assert_int_equal(number, seen->last + 1);
    }
    seen->last = number;
}

static facts_t replay(const fixture_t *fixture, apr_time_t since)
{
    facts_t seen = {0};
    const char *error = audit_replay(fixture->file, since, on_record, &seen, fixture->pool);

    if (error) {
        fail_msg("%s", error);
    }
    return seen;
}

static void records_are_read_back_across_rotations(void **state)
{
    fixture_t *fixture = *state;
    facts_t seen;

    assert_null(live(fixture, 3));
    assert_int_equal(rename(fixture->file, named(fixture, ".2")), 0);
    assert_null(live(fixture, 2));
    assert_int_equal(rename(fixture->file, named(fixture, ".1")), 0);
    assert_null(live(fixture, 4));

    seen = replay(fixture, 0);
    assert_int_equal(seen.count, 9);
    assert_int_equal(seen.first, 1);
    assert_int_equal(replay(fixture, apr_time_now() + apr_time_from_sec(60)).count, 0);
}

/* The newest file alone, where the one before it ended early enough; of a file that reaches back, the rest.
 */
static void only_what_is_young_enough_is_read_back(void **state)
{
    fixture_t *fixture = *state;
    apr_time_t since;
    facts_t seen;

    assert_null(live(fixture, 2));
    assert_int_equal(rename(fixture->file, named(fixture, ".1")), 0);
    assert_null(live(fixture, 1));
    apr_sleep(2000); /* records have microseconds: any time between the two lives will do */
    since = apr_time_now();
    assert_null(live(fixture, 2));
    seen = replay(fixture, since);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.first, 4);
}

static void a_torn_line_is_not_read_back(void **state)
{
    fixture_t *fixture = *state;
    FILE *file;

    assert_null(live(fixture, 2));
    file = fopen(fixture->file, "a");
    assert_non_null(file);
    assert_true(fputs("{\"n\":3,\"t\":\"2026", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(replay(fixture, 0).count, 2);
    assert_null(live(fixture, 1)); /* its record of the torn line, and one more */
    assert_int_equal(replay(fixture, 0).count, 4);
}

static void without_a_file_nothing_is_read_back(void **state)
{
    fixture_t *fixture = *state;
    facts_t seen = {0};

    assert_non_null(audit_replay(fixture->file, 0, on_record, &seen, fixture->pool));
    assert_int_equal(seen.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_file_goes_on_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_worker_that_wrote_nothing_breaks_no_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_newest_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_files_are_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_torn_end_is_recorded_where_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_torn_first_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_changed_is_not_gone_on_from, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_still_written_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_others_may_change_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_relative_name, setup, teardown),
        cmocka_unit_test_setup_teardown(records_are_read_back_across_rotations, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_is_young_enough_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_line_is_not_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_file_nothing_is_read_back, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
