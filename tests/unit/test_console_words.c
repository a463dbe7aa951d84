/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, names from files, and what is printed: everything that needs no service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <jansson.h>

#include "console/console_priv.h"
#include "console/service_priv.h"

#define ID "abcdefghijklmnopqrstuvwxyz"

typedef struct {
    apr_pool_t *pool;
    char file[64];
    console_t console;
    char *out, *err;
    size_t out_length, err_length;
} fixture_t;

static int setup(void **state)
{
    fixture_t *fixture;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    apr_cpystrn(fixture->file, "/tmp/amtu-names-XXXXXX", sizeof(fixture->file));
    close(mkstemp(fixture->file));
    fixture->console.out = open_memstream(&fixture->out, &fixture->out_length);
    fixture->console.err = open_memstream(&fixture->err, &fixture->err_length);
    unsetenv("AMTU_URL");
    unsetenv("AMTU_CA");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    fclose(fixture->console.out);
    fclose(fixture->console.err);
    free(fixture->out);
    free(fixture->err);
    unlink(fixture->file);
    apr_pool_destroy(fixture->pool);
    return 0;
}

/* argv from words. */
static int split(fixture_t *fixture, const char *line, char ***argv)
{
    int count = 0;

    assert_int_equal(apr_tokenize_to_argv(line, argv, fixture->pool), APR_SUCCESS);
    while ((*argv)[count]) {
        count++;
    }
    return count;
}

static const console_problem_t *parse(fixture_t *fixture, const char *line, console_options_t *options)
{
    char **argv;
    int argc = split(fixture, line, &argv);

    return console_arguments(argc, argv, options, fixture->pool);
}

static const char *printed(fixture_t *fixture)
{
    fflush(fixture->console.out);
    return fixture->out ? fixture->out : "";
}

static void test_arguments(void **state)
{
    fixture_t *fixture = *state;
    console_options_t options;

    assert_null(parse(fixture,
                      "amtunlock unlock --wait a.example --json b.example -f names --url=https://h/wsman",
                      &options));
    assert_string_equal(options.command, "unlock");
    assert_int_equal(options.operands->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(options.operands, 1, const char *), "b.example");
    assert_true(options.wait && options.json);
    assert_string_equal(options.file, "names");
    assert_string_equal(options.url, "https://h/wsman");
    assert_null(options.cacert);

    setenv("AMTU_URL", "https://env/wsman", 1);
    setenv("AMTU_CA", "/ca.pem", 1);
    assert_null(parse(fixture, "amtunlock status x", &options));
    assert_string_equal(options.url, "https://env/wsman");
    assert_string_equal(options.cacert, "/ca.pem");
    assert_false(options.wait || options.json);
    assert_null(parse(fixture, "amtunlock --url https://arg/wsman --cacert /b.pem info", &options));
    assert_string_equal(options.url, "https://arg/wsman");
    assert_string_equal(options.cacert, "/b.pem");
    /* what comes after -- is a name, whatever it looks like */
    assert_null(parse(fixture, "amtunlock unlock -- --wait", &options));
    assert_false(options.wait);
    assert_string_equal(APR_ARRAY_IDX(options.operands, 0, const char *), "--wait");
}

static void test_wrong_usage(void **state)
{
    static const char *const wrong[] = {
        "amtunlock",
        "amtunlock --nonsense info",
        "amtunlock info --url",
        "amtunlock --wait=yes status x",
        "amtunlock fly",
        "amtunlock status",
        "amtunlock status a b",
        "amtunlock jobs x",
        "amtunlock info --wait",
        "amtunlock errors x --file f",
        "amtunlock unlock",
        "amtunlock unlock --file /nonexistent",
        "amtunlock status not-a-job",
        "amtunlock --url ftp://h/ info",
        "amtunlock --url '' info",
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char **argv;
        int argc;

        if (!strstr(wrong[i], "--url")) {
            setenv("AMTU_URL", "https://127.0.0.1:1/wsman", 1);
        }
        argc = split(fixture, wrong[i], &argv);
        if (console_run(argc, argv, &fixture->console, fixture->pool) != CONSOLE_USAGE) {
            fail_msg("taken: %s", wrong[i]);
        }
        unsetenv("AMTU_URL");
    }
    fflush(fixture->console.err);
    assert_non_null(strstr(fixture->err, "amtunlock: 'fly' is not a command\n"));
    assert_non_null(strstr(fixture->err, "amtunlock: usage: amtunlock status [--wait] JOB...\n"));
    assert_string_equal(printed(fixture), "");
}

static void test_help_and_version(void **state)
{
    fixture_t *fixture = *state;
    char **argv;
    int argc = split(fixture, "amtunlock --help", &argv);

    assert_int_equal(console_run(argc, argv, &fixture->console, fixture->pool), CONSOLE_DONE);
    assert_non_null(strstr(printed(fixture), "amtunlock unlock [--wait] [--file FILE] FQDN..."));
    argc = split(fixture, "amtunlock --version", &argv);
    assert_int_equal(console_run(argc, argv, &fixture->console, fixture->pool), CONSOLE_DONE);
    assert_non_null(strstr(printed(fixture), "amtunlock " AMTUNLOCK_VERSION "\n"));
}

static const console_problem_t *names_of(fixture_t *fixture, const char *text, const char *operands,
                                         apr_array_header_t **names)
{
    FILE *file = fopen(fixture->file, "w");
    console_options_t options;

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_null(parse(fixture,
                      apr_psprintf(fixture->pool, "amtunlock unlock --file %s %s", fixture->file, operands),
                      &options));
    return console_names(&options, names, fixture->pool);
}

static void test_names(void **state)
{
    fixture_t *fixture = *state;
    apr_array_header_t *names;

    assert_null(names_of(fixture, "# fleet\n\n b.example  # second floor\r\na.example\nb.example\nlast",
                         "c a.example", &names));
    assert_string_equal(apr_array_pstrcat(fixture->pool, names, ' '), "c a.example b.example last");
}

/* The first spelling counts. */
static void test_names_in_other_letters_are_the_same(void **state)
{
    fixture_t *fixture = *state;
    apr_array_header_t *names;

    assert_null(names_of(fixture, "a.example\nPC-2.example.\npc-2.EXAMPLE\n.\n", "A.example.", &names));
    assert_string_equal(apr_array_pstrcat(fixture->pool, names, ' '), "A.example. PC-2.example. .");
}

/* As editors of other systems save it. */
static void test_forms_of_files_of_names(void **state)
{
    fixture_t *fixture = *state;
    apr_array_header_t *names;
    const console_problem_t *problem;

    assert_null(names_of(fixture, "\xef\xbb\xbf\x61.example\r\nb.example\r\n", "", &names));
    assert_string_equal(apr_array_pstrcat(fixture->pool, names, ' '), "a.example b.example");
    problem = names_of(fixture, "\xff\xfe\x61", "", &names);
    assert_non_null(problem);
    assert_non_null(strstr(problem->what, "line 1 is UTF-16; save the file as UTF-8"));
    problem = names_of(fixture, "a.example\rb.example\r", "", &names);
    assert_non_null(problem);
    assert_non_null(strstr(problem->what, "line 1 holds a carriage return; lines must end in LF or CRLF"));
}

static void test_bad_files_of_names(void **state)
{
    fixture_t *fixture = *state;
    apr_array_header_t *names;
    char *line = apr_pcalloc(fixture->pool, 1100);
    const console_problem_t *problem;

    problem = names_of(fixture, "# nobody\n", "", &names);
    assert_non_null(problem);
    assert_int_equal(problem->exit, CONSOLE_USAGE);
    assert_string_equal(problem->what, "no system named");

    memset(line, 'x', 1024);
    line[1024] = '\n';
    assert_null(names_of(fixture, line, "", &names));
    line[1024] = 'x';
    line[1025] = '\n';
    problem = names_of(fixture, line, "", &names);
    assert_non_null(problem);
    assert_non_null(strstr(problem->what, "line 1 is longer than 1024 bytes"));
}

static void test_job_names(void **state)
{
    static const char *const bad[] = {"",
                                      "amtunlock:",
                                      "amtunlock:" ID "x",
                                      "amtunlock:abcdefghijklmnopqrstuvwxy1",
                                      "AMTUNLOCK:" ID,
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                      "other:" ID};
    fixture_t *fixture = *state;

    assert_string_equal(service_job_id("amtunlock:" ID, fixture->pool), "amtunlock:" ID);
    assert_string_equal(service_job_id(ID, fixture->pool), "amtunlock:" ID);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(service_job_id(bad[i], fixture->pool));
    }
}

static console_job_t *sample(fixture_t *fixture)
{
    console_job_t *job = apr_pcalloc(fixture->pool, sizeof(*job));
    const console_failure_t failures[] = {
        {"b.example", "unreachable", "it did not answer", "check the cable", "step: connect"},
        {"c.example", "auth-failed", "it refused the \"login\"", "", ""},
    };

    job->job = "amtunlock:" ID;
    job->jobs = apr_array_make(fixture->pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(job->jobs, const char *) = job->job;
    job->state = "Completed";
    job->state_number = 7;
    job->percent = 100;
    job->status = "1 of 3 unlocked, 2 failed";
    job->unlocked = apr_array_make(fixture->pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(job->unlocked, const char *) = "a.example";
    job->failed = apr_array_make(fixture->pool, 2, sizeof(console_failure_t));
    APR_ARRAY_PUSH(job->failed, console_failure_t) = failures[0];
    APR_ARRAY_PUSH(job->failed, console_failure_t) = failures[1];
    return job;
}

static void test_summary(void **state)
{
    fixture_t *fixture = *state;
    console_job_t *job = sample(fixture);

    assert_string_equal(console_summary(job, fixture->pool),
                        "1 of 3 unlocked, 2 failed: b.example unreachable, c.example auth-failed");
    apr_array_clear(job->failed);
    assert_string_equal(console_summary(job, fixture->pool), "1 of 1 unlocked");
}

/* What is in no job is not left out. */
static void test_summary_of_what_was_not_started(void **state)
{
    fixture_t *fixture = *state;
    console_job_t *job = sample(fixture);

    job->not_started = apr_array_make(fixture->pool, 1, sizeof(const char *));
    job->unknown = apr_array_make(fixture->pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(job->not_started, const char *) = "d.example";
    assert_string_equal(
        console_summary(job, fixture->pool),
        "1 of 4 unlocked, 1 not started, 2 failed: b.example unreachable, c.example auth-failed");
    job->failed->nelts = 0;
    APR_ARRAY_PUSH(job->unknown, const char *) = "e.example";
    assert_string_equal(console_summary(job, fixture->pool),
                        "1 of 3 unlocked, 1 not started, 1 not known to be started");
}

/* Several jobs go on while one of them does, and were ended if one of them was. */
static void test_state_of_several_jobs(void **state)
{
    static const char *const states[][4] = {{"Completed", "Completed", "Completed"},
                                            {"Completed", "Terminated", "Terminated"},
                                            {"Running", "Terminated", "Running"},
                                            {"Completed", "New", "New"},
                                            {"New", "Running", "Running"}};
    fixture_t *fixture = *state;
    apr_array_header_t *jobs = apr_array_make(fixture->pool, 2, sizeof(console_job_t *));
    console_job_t all;

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        jobs->nelts = 0;
        for (int j = 0; j < 2; j++) {
            console_job_t *job = sample(fixture);

            job->state = states[i][j];
            APR_ARRAY_PUSH(jobs, console_job_t *) = job;
        }
        console_merge_jobs(jobs, &all, fixture->pool);
        assert_string_equal(all.state, states[i][2]);
        assert_int_equal(all.unlocked->nelts, 2);
        assert_int_equal(all.failed->nelts, 4);
        assert_int_equal(all.jobs->nelts, 2);
    }
}

static void test_job_for_people(void **state)
{
    fixture_t *fixture = *state;

    console_print_job(&fixture->console, sample(fixture), 0, fixture->pool);
    assert_string_equal(printed(fixture), "amtunlock:" ID "  Completed  100%  1 of 3 unlocked, 2 failed\n"
                                          "unlocked  a.example\n"
                                          "failed    b.example  unreachable: it did not answer\n"
                                          "failed    c.example  auth-failed: it refused the \"login\"\n");
}

static void test_job_for_programs(void **state)
{
    fixture_t *fixture = *state;
    json_t *object, *failed;

    console_print_job(&fixture->console, sample(fixture), 1, fixture->pool);
    object = json_loads(printed(fixture), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    assert_int_equal(json_object_size(object), 5);
    assert_string_equal(json_string_value(json_object_get(object, "job")), "amtunlock:" ID);
    assert_string_equal(json_string_value(json_array_get(json_object_get(object, "jobs"), 0)),
                        "amtunlock:" ID);
    assert_string_equal(json_string_value(json_object_get(object, "state")), "Completed");
    assert_int_equal(json_array_size(json_object_get(object, "unlocked")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(object, "unlocked"), 0)),
                        "a.example");
    failed = json_array_get(json_object_get(object, "failed"), 1);
    assert_int_equal(json_object_size(failed), 3);
    assert_string_equal(json_string_value(json_object_get(failed, "system")), "c.example");
    assert_string_equal(json_string_value(json_object_get(failed, "reason")), "auth-failed");
    assert_string_equal(json_string_value(json_object_get(failed, "message")), "it refused the \"login\"");
    json_decref(object);
}

static void test_errors_for_people(void **state)
{
    fixture_t *fixture = *state;

    console_print_errors(&fixture->console, sample(fixture), 0, fixture->pool);
    assert_non_null(strstr(printed(fixture), "failed    b.example  unreachable: it did not answer\n"
                                             "          step: connect\n"
                                             "          check the cable\n"));
}

/* What a peer sends cannot steer the terminal. */
static void test_printable(void **state)
{
    fixture_t *fixture = *state;

    assert_string_equal(console_printable("a\x1b[31mb\r\n\t\x7f", fixture->pool), "a?[31mb????");
    assert_string_equal(console_printable("\xc2\x9b"
                                          "31m \xc3\xa4 \xc2\xa0",
                                          fixture->pool),
                        "??31m \xc3\xa4 \xc2\xa0");
    assert_string_equal(console_printable("\xc2", fixture->pool), "\xc2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_usage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_help_and_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_in_other_letters_are_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms_of_files_of_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files_of_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary_of_what_was_not_started, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state_of_several_jobs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job_for_people, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job_for_programs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_for_people, setup, teardown),
        cmocka_unit_test_setup_teardown(test_printable, setup, teardown),
    };

    apr_initialize();
    wsman_library_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
