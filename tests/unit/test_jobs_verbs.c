/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's verbs as C calls, against a real Redis under the shipped users. */
#include "job_lists.h"
#include "jobs_fixture.h"

#include <string.h>

#include <apr_strings.h>

#define UUID "6f1a2b3c-0000-4000-8000-000000000001"
#define NO_SUCH_JOB "aaaaaaaaaaaaaaaaaaaaaaaaaa"

static jobs_job_t *job_of(const char *id)
{
    jobs_job_t *job = NULL;
    assert_outcome(jobs_read(jobs_test.jobs, &jobs_test.alice, id, &job, jobs_test.pool), JOBS_OK);
    return job;
}

static const char *text_at(const apr_array_header_t *texts, int at)
{
    assert_true(at < texts->nelts);
    return APR_ARRAY_IDX(texts, at, const char *);
}

static jobs_result_t submit_as(const jobs_caller_t *caller, jobs_submission_t submission, const char **id,
                               jobs_match_e *match)
{
    return jobs_submit(jobs_test.jobs, caller, &submission, id, match, jobs_test.pool);
}

static void a_submission_is_read_back(void **state)
{
    jobs_submission_t wanted =
        submission_of(NULL, "PC1.Example", "10.0.0.1", "nowhere.example", "vault.example", LAST);
    const char *id = NULL;
    (void)state;
    assert_outcome(submit_as(&jobs_test.alice, wanted, &id, NULL), JOBS_OK);
    assert_int_equal(strlen(id), 26);
    jobs_job_t *job = job_of(id);
    assert_string_equal(job->id, id);
    assert_int_equal(job->state, JOBS_STATE_NEW);
    assert_string_equal(job->caller, "alice@EXAMPLE");
    assert_int_equal(job->total, 3);
    assert_int_equal(job->failed, 2);
    assert_int_equal(job->waiting, 1);
    assert_int_equal(job->unlocked + job->running + job->cancelled, 0);
    assert_int_equal(job->retention, apr_time_from_sec(1800));
    assert_true(job->submitted > 0 && job->submitted == job->changed && job->submitted <= job->now);
    assert_int_equal(job->started + job->completed, 0);
    assert_string_equal(job_of(NULL)->id, id);
}

static void results_and_errors_are_in_the_callers_spelling_and_order(void **state)
{
    jobs_submission_t wanted = submission_of(NULL, "Nowhere.example", "PC1.Example", "Vault.Example", LAST);
    jobs_results_t *results = NULL;
    apr_array_header_t *errors = NULL;
    const char *id = NULL;
    (void)state;
    submit_as(&jobs_test.alice, wanted, &id, NULL);
    assert_outcome(
        read_results(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, 0, -1}, &results, jobs_test.pool),
        JOBS_OK);
    assert_int_equal(results->unlocked->nelts, 0);
    assert_int_equal(results->failed->nelts, 2);
    assert_string_equal(text_at(results->failed, 0), "Nowhere.example");
    assert_string_equal(text_at(results->failed, 1), "Vault.Example");
    assert_outcome(
        read_results(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, 2, 5}, &results, jobs_test.pool),
        JOBS_OK);
    assert_int_equal(results->failed->nelts, 1);
    assert_outcome(
        read_results(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, -3, 0}, &results, jobs_test.pool),
        JOBS_OK);
    assert_int_equal(results->failed->nelts, 0);
    assert_outcome(
        read_errors(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, -3, 2}, &errors, jobs_test.pool),
        JOBS_OK);
    assert_int_equal(errors->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(errors, 0, jobs_error_t).name, "Nowhere.example");
    assert_outcome(
        read_errors(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, 1, 1}, &errors, jobs_test.pool),
        JOBS_OK);
    assert_int_equal(errors->nelts, 0);
    assert_outcome(
        read_errors(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, 0, -1}, &errors, jobs_test.pool),
        JOBS_OK);
    assert_int_equal(errors->nelts, 2);
    const jobs_error_t *error = &APR_ARRAY_IDX(errors, 1, jobs_error_t);
    assert_string_equal(error->name, "Vault.Example");
    assert_string_equal(error->step, "");
    assert_int_equal(error->reason, JOBS_REASON_NOT_AVAILABLE);
}

static void a_message_id_and_the_same_set_of_systems_is_a_repeat(void **state)
{
    const char *first = NULL;
    const char *id = NULL;
    jobs_match_e match = JOBS_MATCH_MESSAGE_ID_REUSED;
    (void)state;
    submit_as(&jobs_test.alice, submission_of(UUID, "pc1.example", "PC2.example", LAST), &first, &match);
    assert_int_equal(match, JOBS_MATCH_NEW);
    submit_as(&jobs_test.alice, submission_of(UUID, "pc2.example", "PC1.example", "pc2.example.", LAST), &id,
              &match);
    assert_int_equal(match, JOBS_MATCH_DUPLICATE);
    assert_string_equal(id, first);
    submit_as(&jobs_test.alice, submission_of(UUID, "pc1.example", LAST), &id, &match);
    assert_int_equal(match, JOBS_MATCH_MESSAGE_ID_REUSED);
    assert_string_not_equal(id, first);
    submit_as(&jobs_test.alice, submission_of(UUID, "pc1.example", "pc2.example", LAST), &id, &match);
    assert_int_equal(match, JOBS_MATCH_DUPLICATE);
    assert_string_equal(id, first);
    submit_as(&jobs_test.root, submission_of(UUID, "pc1.example", "pc2.example", LAST), &id, &match);
    assert_int_equal(match, JOBS_MATCH_NEW);
    submit_as(&jobs_test.alice, submission_of(NULL, "pc1.example", "pc2.example", LAST), &id, &match);
    assert_int_equal(match, JOBS_MATCH_NEW);
}

static void bytes_of_any_kind_arrive_as_they_are(void **state)
{
    const char *odd = "%s %b \r\n*3\r\n$5\r\n \"'|\\ \xc3\xa4";
    jobs_caller_t caller = jobs_test.alice;
    jobs_results_t *results = NULL;
    const char *id = NULL;
    (void)state;
    caller.name = "CN=%s|%b\r\n,O=\"x\"";
    jobs_submission_t wanted = submission_of(NULL, "nowhere.example", LAST);
    APR_ARRAY_IDX(wanted.names, 0, jobs_name_t).spelling = odd;
    assert_outcome(submit_as(&caller, wanted, &id, NULL), JOBS_OK);
    assert_outcome(
        read_results(jobs_test.jobs, &caller, (jobs_window_t){id, 0, -1}, &results, jobs_test.pool), JOBS_OK);
    assert_string_equal(text_at(results->failed, 0), odd);
    jobs_job_t *job = NULL;
    assert_outcome(jobs_read(jobs_test.jobs, &caller, id, &job, jobs_test.pool), JOBS_OK);
    assert_string_equal(job->caller, caller.name);
}

static void limits_are_said(void **state)
{
    jobs_submission_t wanted = submission_of(NULL, "pc1.example", LAST);
    const char *id = NULL;
    (void)state;
    wanted.limits.jobs = 1;
    assert_outcome(submit_as(&jobs_test.alice, wanted, &id, NULL), JOBS_OK);
    jobs_result_t result = submit_as(&jobs_test.alice, wanted, &id, NULL);
    assert_int_equal(result.outcome, JOBS_QUOTA);
    assert_string_equal(result.text, "jobs");
    wanted.limits.jobs = 0;
    wanted.limits.systems = 1;
    result = submit_as(&jobs_test.alice, wanted, &id, NULL);
    assert_int_equal(result.outcome, JOBS_QUOTA);
    assert_string_equal(result.text, "systems");
}

static void another_callers_job_is_no_job(void **state)
{
    static const char *const none[] = {NO_SUCH_JOB,
                                       "",
                                       "x",
                                       "AAAAAAAAAAAAAAAAAAAAAAAAAA",
                                       "amtunlock:aaaa",
                                       "aaaaaaaaaaaaaaaaaaaaaaaaa1",
                                       "aaaaaaaaaaaaaaaaaaaaaaaaa*"};
    jobs_job_t *job = NULL;
    jobs_results_t *results = NULL;
    apr_array_header_t *errors = NULL;
    jobs_pool_t *jobs = jobs_test.jobs;
    apr_pool_t *pool = jobs_test.pool;
    (void)state;
    const char *theirs = submit_one(&jobs_test.root, "pc1.example");
    const char *mine = submit_one(&jobs_test.alice, "pc1.example");
    assert_outcome(jobs_read(jobs, &jobs_test.alice, theirs, &job, pool), JOBS_NOT_FOUND);
    assert_outcome(read_results(jobs, &jobs_test.alice, (jobs_window_t){theirs, 0, -1}, &results, pool),
                   JOBS_NOT_FOUND);
    assert_outcome(read_errors(jobs, &jobs_test.alice, (jobs_window_t){theirs, 0, -1}, &errors, pool),
                   JOBS_NOT_FOUND);
    assert_outcome(jobs_cancel(jobs, &jobs_test.alice, theirs, pool), JOBS_NOT_FOUND);
    assert_outcome(jobs_forget(jobs, &jobs_test.alice, theirs, pool), JOBS_NOT_FOUND);
    assert_outcome(jobs_read(jobs, &jobs_test.root, mine, &job, pool), JOBS_OK);
    assert_outcome(jobs_cancel(jobs, &jobs_test.root, mine, pool), JOBS_NOT_FOUND);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_outcome(jobs_read(jobs, &jobs_test.alice, none[i], &job, pool), JOBS_NOT_FOUND);
        assert_outcome(jobs_cancel(jobs, &jobs_test.alice, none[i], pool), JOBS_NOT_FOUND);
    }
}

static void a_cancelled_job_is_terminated_and_can_be_forgotten(void **state)
{
    apr_array_header_t *ids = NULL;
    const char *kept = submit_one(&jobs_test.alice, "pc2.example");
    const char *id = submit_one(&jobs_test.alice, "pc1.example");
    (void)state;
    assert_outcome(jobs_list(jobs_test.jobs, &jobs_test.alice, &ids, jobs_test.pool), JOBS_OK);
    assert_int_equal(ids->nelts, 2);
    assert_string_equal(text_at(ids, 0), id);
    assert_outcome(jobs_forget(jobs_test.jobs, &jobs_test.alice, id, jobs_test.pool), JOBS_CONFLICT);
    assert_outcome(jobs_cancel(jobs_test.jobs, &jobs_test.alice, id, jobs_test.pool), JOBS_OK);
    jobs_job_t *job = job_of(id);
    assert_int_equal(job->state, JOBS_STATE_TERMINATED);
    assert_int_equal(job->cancelled, 1);
    assert_true(job->completed > 0);
    assert_outcome(jobs_cancel(jobs_test.jobs, &jobs_test.alice, id, jobs_test.pool), JOBS_CONFLICT);
    assert_outcome(jobs_forget(jobs_test.jobs, &jobs_test.alice, id, jobs_test.pool), JOBS_OK);
    assert_outcome(jobs_list(jobs_test.jobs, &jobs_test.alice, &ids, jobs_test.pool), JOBS_OK);
    assert_int_equal(ids->nelts, 1);
    assert_string_equal(text_at(ids, 0), kept);
    assert_outcome(jobs_list(jobs_test.jobs, &jobs_test.root, &ids, jobs_test.pool), JOBS_OK);
    assert_int_equal(ids->nelts, 1);
}

/* More jobs than one call lists, of two callers in turn. */
static void a_long_list_comes_in_pages_and_is_whole(void **state)
{
    enum { JOBS = 1100 };
    jobs_caller_t bob = jobs_test.alice;
    const jobs_caller_t *callers[] = {&jobs_test.alice, &bob};
    const char *submitted[JOBS];
    apr_array_header_t *ids = NULL;
    (void)state;
    bob.name = "bob@EXAMPLE";
    for (int i = 0; i < JOBS; i++) {
        submitted[i] = submit_one(callers[i % 2], "nowhere.example");
    }
    assert_outcome(jobs_list(jobs_test.jobs, &jobs_test.root, &ids, jobs_test.pool), JOBS_OK);
    assert_int_equal(ids->nelts, JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_string_equal(text_at(ids, i), submitted[JOBS - 1 - i]);
    }
    assert_outcome(jobs_list(jobs_test.jobs, &bob, &ids, jobs_test.pool), JOBS_OK);
    assert_int_equal(ids->nelts, JOBS / 2);
    for (int i = 0; i < JOBS / 2; i++) {
        assert_string_equal(text_at(ids, i), submitted[JOBS - 1 - 2 * i]);
    }
}

static void an_enumeration_is_pulled(void **state)
{
    apr_array_header_t *items = texts_of("one", "two", "three", LAST);
    const char *fields = NULL;
    const char *id = NULL;
    const jobs_limits_t limits = {.contexts = 1};
    int more = -1;
    jobs_pool_t *jobs = jobs_test.jobs;
    apr_pool_t *pool = jobs_test.pool;
    (void)state;
    assert_outcome(jobs_context_open(jobs, &jobs_test.alice, "what|how", items, 60, &limits, &id, pool),
                   JOBS_OK);
    const char *second = NULL;
    assert_outcome(jobs_context_open(jobs, &jobs_test.alice, "", items, 60, &limits, &second, pool),
                   JOBS_QUOTA);
    assert_outcome(jobs_context_pull(jobs, &jobs_test.root, id, 2, &fields, &items, &more, pool),
                   JOBS_NOT_FOUND);
    assert_outcome(jobs_context_pull(jobs, &jobs_test.alice, id, 2, &fields, &items, &more, pool), JOBS_OK);
    assert_string_equal(fields, "what|how");
    assert_int_equal(items->nelts, 2);
    assert_string_equal(text_at(items, 1), "two");
    assert_int_equal(more, 1);
    assert_outcome(jobs_context_release(jobs, &jobs_test.root, id, pool), JOBS_NOT_FOUND);
    assert_outcome(jobs_context_pull(jobs, &jobs_test.alice, id, 2, &fields, &items, &more, pool), JOBS_OK);
    assert_int_equal(items->nelts, 1);
    assert_int_equal(more, 0);
    assert_outcome(jobs_context_release(jobs, &jobs_test.alice, id, pool), JOBS_NOT_FOUND);
    assert_outcome(jobs_context_pull(jobs, &jobs_test.alice, "x", 2, &fields, &items, &more, pool),
                   JOBS_NOT_FOUND);
}

static void an_overview_counts(void **state)
{
    jobs_overview_t *overview = NULL;
    apr_array_header_t *lost = NULL;
    apr_time_t until = 0;
    (void)state;
    submit_one(&jobs_test.alice, "pc1.example");
    const apr_array_header_t *none = apr_array_make(jobs_test.pool, 1, sizeof(jobs_task_ref_t));
    assert_outcome(jobs_renew(jobs_test.client, "w1", "0 of 10", none, &lost, &until, jobs_test.pool),
                   JOBS_OK);
    assert_outcome(jobs_overview(jobs_test.jobs, &overview, jobs_test.pool), JOBS_OK);
    assert_int_equal(overview->jobs_unfinished, 1);
    assert_int_equal(overview->systems_waiting, 1);
    assert_int_equal(overview->systems_leased, 0);
    assert_int_equal(overview->inventory_systems, 3);
    assert_string_equal(overview->inventory_digest, JOBS_TEST_DIGEST);
    assert_true(overview->inventory_published > 0 && overview->inventory_published <= overview->now);
    assert_string_equal(text_at(overview->workers, 0), "w1 0 of 10");
    assert_int_equal(overview->counters->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(overview->counters, 0, jobs_counter_t).name, "jobs");
    assert_int_equal(APR_ARRAY_IDX(overview->counters, 0, jobs_counter_t).value, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, jobs_fixture_begin, jobs_fixture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_submission_is_read_back),
        TEST(results_and_errors_are_in_the_callers_spelling_and_order),
        TEST(a_message_id_and_the_same_set_of_systems_is_a_repeat),
        TEST(bytes_of_any_kind_arrive_as_they_are),
        TEST(limits_are_said),
        TEST(another_callers_job_is_no_job),
        TEST(a_cancelled_job_is_terminated_and_can_be_forgotten),
        TEST(a_long_list_comes_in_pages_and_is_whole),
        TEST(an_enumeration_is_pulled),
        TEST(an_overview_counts),
    };
    return cmocka_run_group_tests(tests, jobs_fixture_start, jobs_fixture_stop);
}
