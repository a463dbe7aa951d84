/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes that are asked again at the claim, and what was denied: as C calls, against a real Redis. */
#include "jobs_fixture.h"

#include <string.h>

static int claimed(void)
{
    apr_array_header_t *tasks = NULL;
    int more = 0;

    assert_outcome(
        jobs_claim(jobs_test.client, "w1", JOBS_TEST_DIGEST, 10, NULL, &tasks, &more, jobs_test.pool),
        JOBS_OK);
    return tasks->nelts;
}

static void publish(apr_time_t read_at, const apr_array_header_t *digests)
{
    assert_outcome(jobs_publish_scopes(jobs_test.jobs, "web", read_at, digests, jobs_test.pool), JOBS_OK);
}

static void a_directive_that_is_gone_holds_at_the_claim(void **state)
{
    jobs_caller_t caller = jobs_test.alice;

    (void)state;
    caller.groups = texts_of("floor1 web/aa", LAST);
    publish(1000, texts_of("aa", "bb", LAST));
    submit_one(&caller, "pc1.example");
    assert_int_equal(claimed(), 1);
    submit_one(&caller, "pc2.example");
    publish(2000, texts_of("bb", LAST));
    assert_int_equal(claimed(), 0);
}

static void the_last_directive_may_go(void **state)
{
    jobs_caller_t caller = jobs_test.alice;

    (void)state;
    caller.groups = texts_of("floor1 web/aa", LAST);
    submit_one(&caller, "pc1.example");
    publish(1000, texts_of(LAST));
    assert_int_equal(claimed(), 0);
}

static void what_was_denied_is_said_and_taken_once(void **state)
{
    jobs_submission_t wanted = submission_of(NULL, "PC1.example", "Vault.example", "nowhere.example", LAST);
    apr_array_header_t *denials = NULL;
    const jobs_denial_t *denial;
    const char *id = NULL;
    jobs_result_t result = jobs_submit(jobs_test.jobs, &jobs_test.alice, &wanted, &id, NULL, jobs_test.pool);

    (void)state;
    assert_outcome(result, JOBS_OK);
    assert_string_equal(result.text, "1 vault.example");
    assert_outcome(jobs_take_denials(jobs_test.client, &denials, jobs_test.pool), JOBS_OK);
    assert_int_equal(denials->nelts, 1);
    denial = &APR_ARRAY_IDX(denials, 0, jobs_denial_t);
    assert_string_equal(denial->job, id);
    assert_string_equal(denial->caller, "alice@EXAMPLE");
    assert_string_equal(denial->mechanism, "krb5");
    assert_string_equal(denial->peer, "192.0.2.1");
    assert_string_equal(denial->names, "1 vault.example");
    assert_true(denial->asked > 0);
    assert_outcome(jobs_take_denials(jobs_test.client, &denials, jobs_test.pool), JOBS_OK);
    assert_int_equal(denials->nelts, 0);
}

static void nothing_was_denied(void **state)
{
    jobs_submission_t wanted = submission_of(NULL, "PC1.example", "nowhere.example", LAST);
    const char *id = NULL;

    (void)state;
    assert_string_equal(
        jobs_submit(jobs_test.jobs, &jobs_test.alice, &wanted, &id, NULL, jobs_test.pool).text, "");
}

/* httpd's user may write the list itself. */
static void what_is_no_entry_is_left_out(void **state)
{
    static const char *const wrong[] = {"", "x", "1\nj\nkrb5\n192.0.2.1\nalice",
                                        "1\nj\nkrb5\n192.0.2.1\nalice\n1 a\nmore"};
    apr_array_header_t *denials = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *words[] = {"RPUSH", "{amtu}:denied", wrong[i]};

        assert_int_equal(redis_server_do(&jobs_test.server, 3, words), 0);
    }
    assert_outcome(jobs_take_denials(jobs_test.client, &denials, jobs_test.pool), JOBS_OK);
    assert_int_equal(denials->nelts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, jobs_fixture_begin, jobs_fixture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directive_that_is_gone_holds_at_the_claim),
        TEST(the_last_directive_may_go),
        TEST(what_was_denied_is_said_and_taken_once),
        TEST(nothing_was_denied),
        TEST(what_is_no_entry_is_left_out),
    };

    return cmocka_run_group_tests(tests, jobs_fixture_start, jobs_fixture_stop);
}
