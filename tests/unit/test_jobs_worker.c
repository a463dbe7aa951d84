/* SPDX-License-Identifier: Apache-2.0 */
/* The worker side's verbs as C calls, against a real Redis under the shipped users. */
#include "job_lists.h"
#include "jobs_fixture.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

static jobs_job_t *job_of(const char *id)
{
    jobs_job_t *job = NULL;
    assert_outcome(jobs_read(jobs_test.jobs, &jobs_test.alice, id, &job, jobs_test.pool), JOBS_OK);
    return job;
}

static apr_array_header_t *claim(const char *worker, int max)
{
    apr_array_header_t *tasks = NULL;
    int more = -1;
    jobs_result_t result =
        jobs_claim(jobs_test.client, worker, JOBS_TEST_DIGEST, max, NULL, &tasks, &more, jobs_test.pool);
    assert_outcome(result, JOBS_OK);
    return tasks;
}

static jobs_task_t claim_one(const char *worker)
{
    apr_array_header_t *tasks = claim(worker, 1);
    assert_int_equal(tasks->nelts, 1);
    return APR_ARRAY_IDX(tasks, 0, jobs_task_t);
}

static jobs_change_t change_of(const jobs_task_t *task, jobs_change_e what, char state)
{
    jobs_change_t change = {.change = what,
                            .task = task->ref,
                            .step = "step",
                            .state = state,
                            .intent = "{\"power\":2}",
                            .device = "",
                            .step_deadline = apr_time_from_sec(600)};
    return change;
}

static jobs_outcome_e apply(const char *worker, jobs_change_t change)
{
    jobs_change_t *one = &change;
    assert_outcome(jobs_apply(jobs_test.client, worker, &one, 1, jobs_test.pool), JOBS_OK);
    return change.result.outcome;
}

static apr_array_header_t *renew(const char *worker, const apr_array_header_t *refs)
{
    apr_array_header_t *lost = NULL;
    apr_time_t until = 0;
    apr_time_t before = clock_boottime();
    assert_outcome(jobs_renew(jobs_test.client, worker, "about", refs, &lost, &until, jobs_test.pool),
                   JOBS_OK);
    assert_true(until >= before + JOBS_LEASE && until <= clock_boottime() + JOBS_LEASE);
    return lost;
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static void a_task_runs_from_its_claim_to_its_result(void **state)
{
    const char *id = submit_one(&jobs_test.alice, "PC1.Example");
    jobs_results_t *results = NULL;
    (void)state;
    apr_time_t before = clock_boottime();
    jobs_task_t task = claim_one("w1");
    assert_string_equal(task.ref.job, id);
    assert_string_equal(task.ref.system, "pc1.example");
    assert_string_equal(task.caller, jobs_test.alice.name);
    assert_string_equal(task.peer, jobs_test.alice.peer);
    assert_string_equal(task.mechanism, jobs_test.alice.mechanism);
    assert_int_equal(task.taken_over, 0);
    assert_null(task.intent);
    assert_true(task.lease_until >= before + JOBS_LEASE && task.lease_until <= clock_boottime() + JOBS_LEASE);
    assert_int_equal(job_of(id)->state, JOBS_STATE_RUNNING);

    assert_int_equal(apply("w1", change_of(&task, JOBS_INTEND, 0)), JOBS_OK);
    assert_int_equal(apply("w1", change_of(&task, JOBS_INTEND, 0)), JOBS_ALREADY);
    assert_int_equal(apply("w1", change_of(&task, JOBS_PROGRESS, 'P')), JOBS_OK);
    assert_int_equal(apply("w1", change_of(&task, JOBS_PROGRESS, 'B')), JOBS_OK);
    assert_int_equal(apply("w2", change_of(&task, JOBS_FINISH, 'U')), JOBS_REFUSED);
    assert_int_equal(apply("w1", change_of(&task, JOBS_FINISH, 'U')), JOBS_OK);
    assert_int_equal(apply("w1", change_of(&task, JOBS_FINISH, 'U')), JOBS_ALREADY);

    jobs_job_t *job = job_of(id);
    assert_int_equal(job->state, JOBS_STATE_COMPLETED);
    assert_true(job->completed >= job->started && job->started >= job->submitted);
    assert_outcome(
        read_results(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, 0, -1}, &results, jobs_test.pool),
        JOBS_OK);
    assert_int_equal(results->unlocked->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(results->unlocked, 0, const char *), "PC1.Example");
}

static void a_failure_carries_its_step_and_reason(void **state)
{
    const char *id = submit_one(&jobs_test.alice, "pc1.example");
    apr_array_header_t *errors = NULL;
    (void)state;
    jobs_task_t task = claim_one("w1");
    jobs_change_t failed = change_of(&task, JOBS_FINISH, 'F');
    failed.reason = JOBS_REASON_AUTH_FAILED;
    failed.step = "connect";
    assert_int_equal(apply("w1", failed), JOBS_OK);
    assert_outcome(
        read_errors(jobs_test.jobs, &jobs_test.alice, (jobs_window_t){id, 0, -1}, &errors, jobs_test.pool),
        JOBS_OK);
    assert_string_equal(APR_ARRAY_IDX(errors, 0, jobs_error_t).step, "connect");
    assert_int_equal(APR_ARRAY_IDX(errors, 0, jobs_error_t).reason, JOBS_REASON_AUTH_FAILED);
}

static jobs_change_t marked(const jobs_task_t *task, jobs_mark_e mark)
{
    jobs_change_t change = change_of(task, JOBS_MARK, 0);
    change.mark = mark;
    return change;
}

static void marks_are_words(void **state)
{
    static const char *const words[] = {"", "power", "typed", "power typed", "unknown"};
    static const char *const strange[] = {"boot", "power,typed", "power boot", "POWER"};
    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        unsigned int marks = jobs_marks_parse(words[i]);
        assert_int_equal(marks, i);
        assert_string_equal(jobs_marks_words(marks, jobs_test.pool), words[i]);
    }
    assert_int_equal(jobs_marks_parse("typed power"), JOBS_MARK_POWER | JOBS_MARK_TYPED);
    assert_int_equal(jobs_marks_parse(NULL), JOBS_MARKS_UNKNOWN);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        assert_true(jobs_marks_parse(strange[i]) & JOBS_MARKS_UNKNOWN);
}

static void what_was_intended_is_handed_to_who_looks(void **state)
{
    (void)state;
    submit_one(&jobs_test.alice, "pc1.example");
    jobs_task_t task = claim_one("w1");
    apply("w1", change_of(&task, JOBS_INTEND, 0));
    assert_int_equal(apply("w1", marked(&task, JOBS_MARK_POWER)), JOBS_OK);
    assert_int_equal(apply("w1", change_of(&task, JOBS_RELEASE, 0)), JOBS_OK);
    jobs_task_t look = claim_one("w2");
    assert_int_equal(look.taken_over, 1);
    assert_string_equal(look.intent, "{\"power\":2}");
    assert_string_not_equal(look.ref.fence, task.ref.fence);
    assert_int_equal(look.marks, JOBS_MARK_POWER);
    assert_int_equal(apply("w2", marked(&look, JOBS_MARK_TYPED)), JOBS_REFUSED);
    assert_int_equal(apply("w2", change_of(&look, JOBS_INTEND, 0)), JOBS_OK);
    assert_int_equal(apply("w2", marked(&look, JOBS_MARK_TYPED)), JOBS_OK);
    assert_int_equal(apply("w2", marked(&look, JOBS_MARK_TYPED)), JOBS_ALREADY);
    assert_int_equal(apply("w1", change_of(&task, JOBS_FINISH, 'U')), JOBS_REFUSED);
    assert_int_equal(apply("w2", change_of(&look, JOBS_FINISH, 'U')), JOBS_OK);
}

static void two_systems_of_one_device_conflict(void **state)
{
    (void)state;
    submit_one(&jobs_test.alice, "pc1.example");
    submit_one(&jobs_test.alice, "pc2.example");
    apr_array_header_t *tasks = claim("w1", 10);
    assert_int_equal(tasks->nelts, 2);
    jobs_change_t one = change_of(&APR_ARRAY_IDX(tasks, 0, jobs_task_t), JOBS_INTEND, 0);
    jobs_change_t two = change_of(&APR_ARRAY_IDX(tasks, 1, jobs_task_t), JOBS_INTEND, 0);
    jobs_change_t *both[] = {&one, &two};
    one.device = two.device = "11111111-2222-3333-4444-555555555555";
    assert_outcome(jobs_apply(jobs_test.client, "w1", both, 2, jobs_test.pool), JOBS_OK);
    assert_outcome(one.result, JOBS_OK);
    assert_int_equal(two.result.outcome, JOBS_CONFLICT);
    assert_non_null(strstr(two.result.text, "pc1.example"));
}

static void a_long_list_of_leases_is_renewed_in_pieces(void **state)
{
    apr_array_header_t *refs = apr_array_make(jobs_test.pool, 1201, sizeof(jobs_task_ref_t));
    (void)state;
    submit_one(&jobs_test.alice, "pc1.example");
    jobs_task_t task = claim_one("w1");
    for (int i = 0; i < 1200; i++) {
        jobs_task_ref_t *ref = apr_array_push(refs);
        *ref = (jobs_task_ref_t){"nojob", apr_psprintf(jobs_test.pool, "pc%d.example", i), "1"};
    }
    *(jobs_task_ref_t *)apr_array_push(refs) = task.ref;
    apr_array_header_t *lost = renew("w1", refs);
    assert_int_equal(lost->nelts, 1200);
    assert_string_equal(APR_ARRAY_IDX(lost, 1199, jobs_task_ref_t).system, "pc1199.example");
    assert_int_equal(apply("w1", change_of(&task, JOBS_INTEND, 0)), JOBS_OK);
}

static void many_changes_are_applied_in_their_order(void **state)
{
    enum { CHANGES = 600 };
    static jobs_change_t changes[CHANGES];
    jobs_change_t *all[CHANGES];
    (void)state;
    submit_one(&jobs_test.alice, "pc1.example");
    jobs_task_t task = claim_one("w1");
    for (int i = 0; i < CHANGES; i++) {
        changes[i] = change_of(&task, i ? JOBS_PROGRESS : JOBS_INTEND, i < CHANGES / 2 ? 'P' : 'B');
        changes[i].step = apr_psprintf(jobs_test.pool, "step %d", i);
        all[i] = &changes[i];
    }
    assert_outcome(jobs_apply(jobs_test.client, "w1", all, CHANGES, jobs_test.pool), JOBS_OK);
    for (int i = 0; i < CHANGES; i++)
        assert_outcome(changes[i].result, JOBS_OK);
    assert_outcome(jobs_apply(jobs_test.client, "w1", all, 0, jobs_test.pool), JOBS_OK);
}

/* ---- inventory ----------------------------------------------------------------------------------------- */

static apr_array_header_t *systems_of(int count)
{
    apr_array_header_t *systems = apr_array_make(jobs_test.pool, count, sizeof(jobs_published_t));
    for (int i = 0; i < count; i++) {
        jobs_published_t *published = apr_array_push(systems);
        const char *system = apr_psprintf(jobs_test.pool, "s%d.example", i);
        const char *address = apr_psprintf(jobs_test.pool, "10.%d.%d.1", i / 250, i % 250);
        *published = (jobs_published_t){system, "floor1", "wake", texts_of(system, address, system, LAST)};
    }
    return systems;
}

static jobs_result_t publish(const char *digest, apr_time_t written, const apr_array_header_t *systems)
{
    return jobs_publish(jobs_test.client, "w1", &(jobs_edition_t){digest, written, "host"}, systems,
                        jobs_test.pool);
}

static void a_large_inventory_is_published_in_chunks(void **state)
{
    jobs_submission_t wanted = submission_of(NULL, "10.4.199.1", LAST);
    jobs_overview_t *overview = NULL;
    const char *id = NULL;
    (void)state;
    assert_outcome(publish("digest-2", 2000, systems_of(1200)), JOBS_OK);
    assert_outcome(publish("digest-2", 2000, systems_of(1200)), JOBS_ALREADY);
    jobs_overview(jobs_test.jobs, &overview, jobs_test.pool);
    assert_int_equal(overview->inventory_systems, 1200);
    assert_string_equal(overview->inventory_digest, "digest-2");
    jobs_submit(jobs_test.jobs, &jobs_test.alice, &wanted, &id, NULL, jobs_test.pool);
    assert_int_equal(job_of(id)->waiting, 1);
}

static void an_older_inventory_is_refused_and_its_worker_claims_nothing(void **state)
{
    apr_array_header_t *tasks = NULL;
    jobs_result_t refused;
    int more = 0;
    (void)state;
    refused = jobs_publish(jobs_test.client, "w2", &(jobs_edition_t){"digest-0", 999, "host"}, systems_of(1),
                           jobs_test.pool);
    assert_outcome(refused, JOBS_REFUSED);
    assert_non_null(strstr(refused.text, "worker w1"));
    submit_one(&jobs_test.alice, "pc1.example");
    jobs_result_t result =
        jobs_claim(jobs_test.client, "w1", "digest-0", 1, NULL, &tasks, &more, jobs_test.pool);
    assert_int_equal(result.outcome, JOBS_REFUSED);
    assert_non_null(strstr(result.text, "inventory"));
    assert_int_equal(tasks->nelts, 0);
}

static void an_older_inventory_of_its_only_worker_says_what_it_replaces(void **state)
{
    const jobs_edition_t older = {"digest-0", 999, "host"}, live = {JOBS_TEST_DIGEST, 1000, "host"};
    jobs_result_t result = {0};
    (void)state;
    assert_outcome(jobs_publish_ask(jobs_test.client, &live, jobs_test.pool), JOBS_ALREADY);
    assert_outcome(jobs_publish_ask(jobs_test.client, &older, jobs_test.pool), JOBS_REFUSED);
    result = publish("digest-0", 999, systems_of(1));
    assert_outcome(result, JOBS_OK);
    assert_non_null(strstr(result.text, "worker w1 of host host had published it"));
    result = publish("digest-2", 2000, systems_of(1));
    assert_outcome(result, JOBS_OK);
    assert_string_equal(result.text, "");
}

static void two_systems_of_one_name_are_not_published(void **state)
{
    apr_array_header_t *systems = systems_of(2);
    (void)state;
    APR_ARRAY_IDX(systems, 1, jobs_published_t).keys = texts_of("s1.example", "s0.example", LAST);
    jobs_result_t result = publish("digest-2", 2000, systems);
    assert_int_equal(result.outcome, JOBS_CONFLICT);
    assert_non_null(strstr(result.text, "s0.example"));
}

static void an_empty_inventory_is_an_inventory(void **state)
{
    const char *id = NULL;
    (void)state;
    assert_outcome(publish("digest-2", 2000, systems_of(0)), JOBS_OK);
    id = submit_one(&jobs_test.alice, "pc1.example");
    assert_int_equal(job_of(id)->state, JOBS_STATE_COMPLETED);
}

/* ---- library, connection, bell ------------------------------------------------------------------------- */

static void load_fake_library(const char *schema)
{
    const char *code = apr_psprintf(jobs_test.pool,
                                    "#!lua name=amtunlock\nredis.register_function{function_name='amtunlock_"
                                    "schema',callback=function() return {'ok','%s'} end,flags={'no-writes'}}",
                                    schema);
    const char *load[] = {"FUNCTION", "LOAD", "REPLACE", code};
    assert_int_equal(redis_server_do(&jobs_test.server, 4, load), 0);
}

static void the_library_is_loaded_over_an_older_one_and_never_over_a_newer(void **state)
{
    (void)state;
    assert_outcome(jobs_library_load(jobs_test.client), JOBS_OK);
    load_fake_library("0");
    assert_outcome(jobs_library_load(jobs_test.client), JOBS_OK);
    submit_one(&jobs_test.alice, "pc1.example");
    load_fake_library("999");
    jobs_result_t result = jobs_library_load(jobs_test.client);
    assert_int_equal(result.outcome, JOBS_OUTDATED);
    assert_non_null(strstr(result.text, "upgrade"));
}

static void a_restart_of_redis_shows_in_its_run_id(void **state)
{
    int reaped = 0;
    (void)state;
    assert_outcome(jobs_reap(jobs_test.client, "w1", &reaped, jobs_test.pool), JOBS_OK);
    const char *before = apr_pstrdup(jobs_test.pool, jobs_client_run_id(jobs_test.client));
    assert_int_equal(strlen(before), 40);
    redis_server_kill(&jobs_test.server);
    jobs_result_t result = jobs_reap(jobs_test.client, "w1", &reaped, jobs_test.pool);
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_string_equal(jobs_client_run_id(jobs_test.client), before);
    assert_int_equal(redis_server_restart(&jobs_test.server), 0);
    apr_time_t patience = clock_boottime() + apr_time_from_sec(5);
    do {
        result = jobs_reap(jobs_test.client, "w1", &reaped, jobs_test.pool);
        apr_sleep(apr_time_from_msec(20));
    } while (result.outcome != JOBS_OK && clock_boottime() < patience);
    assert_outcome(result, JOBS_OK);
    assert_string_not_equal(jobs_client_run_id(jobs_test.client), before);
}

/* A worker that reads its record for long replays it to whichever Redis is there then. */
static void what_one_run_of_redis_has_kept_is_not_asked_of_the_next(void **state)
{
    jobs_task_t task;
    jobs_change_t intent;

    (void)state;
    submit_one(&jobs_test.alice, "pc1.example");
    task = claim_one("w1");
    intent = change_of(&task, JOBS_RESTORE_INTENT, 0);
    intent.run_id = apr_pstrdup(jobs_test.pool, jobs_client_run_id(jobs_test.client));
    intent.history = apr_pstrdup(jobs_test.pool, jobs_client_history(jobs_test.client));
    assert_int_equal(apply("w1", intent), JOBS_REFUSED);
    redis_server_kill(&jobs_test.server);
    assert_int_equal(redis_server_restart(&jobs_test.server), 0);
    for (int i = 0; i < 250 && jobs_connect(jobs_test.client, jobs_test.pool).outcome != JOBS_OK; i++)
        apr_sleep(apr_time_from_msec(20));
    assert_string_not_equal(jobs_client_run_id(jobs_test.client), intent.run_id);
    assert_int_equal(apply("w1", intent), JOBS_OK);
}

static void the_bell_rings_and_times_out(void **state)
{
    (void)state;
    apr_time_t before = clock_boottime();
    submit_one(&jobs_test.alice, "pc1.example");
    assert_outcome(jobs_bell_wait(jobs_test.client, apr_time_from_sec(10), jobs_test.pool), JOBS_OK);
    assert_outcome(jobs_bell_wait(jobs_test.client, apr_time_from_sec(10), jobs_test.pool), JOBS_OK);
    assert_true(clock_boottime() - before < apr_time_from_sec(5));
    before = clock_boottime();
    assert_outcome(jobs_bell_wait(jobs_test.client, apr_time_from_msec(300), jobs_test.pool), JOBS_OK);
    assert_true(clock_boottime() - before >= apr_time_from_msec(290));
}

static void reap_takes_over_from_the_dead(void **state)
{
    int reaped = -1;
    (void)state;
    const char *id = submit_one(&jobs_test.alice, "pc1.example");
    claim_one("w1");
    assert_outcome(jobs_reap(jobs_test.client, "w2", &reaped, jobs_test.pool), JOBS_OK);
    assert_int_equal(reaped, 0);
    const char *long_ago[] = {"ZADD", "{amtu}:leases", "1", "pc1.example"};
    assert_int_equal(redis_server_do(&jobs_test.server, 4, long_ago), 0);
    assert_outcome(jobs_reap(jobs_test.client, "w2", &reaped, jobs_test.pool), JOBS_OK);
    assert_int_equal(reaped, 1);
    assert_int_equal(job_of(id)->waiting, 1);
}

#ifdef AMTUNLOCK_TEST
static void a_test_build_can_shorten_lease_and_grace(void **state)
{
    (void)state;
    setenv("AMTUNLOCK_TEST_LEASE_MS", "1500", 1);
    setenv("AMTUNLOCK_TEST_GRACE_MS", "250", 1);
    apr_interval_time_t lease = JOBS_LEASE;
    apr_interval_time_t grace = JOBS_GRACE;
    unsetenv("AMTUNLOCK_TEST_LEASE_MS");
    unsetenv("AMTUNLOCK_TEST_GRACE_MS");
    assert_int_equal(lease, apr_time_from_msec(1500));
    assert_int_equal(grace, apr_time_from_msec(250));
    assert_int_equal(JOBS_LEASE, apr_time_from_sec(30));
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, jobs_fixture_begin, jobs_fixture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_runs_from_its_claim_to_its_result),
        TEST(a_failure_carries_its_step_and_reason),
        TEST(what_was_intended_is_handed_to_who_looks),
        TEST(marks_are_words),
        TEST(two_systems_of_one_device_conflict),
        TEST(a_long_list_of_leases_is_renewed_in_pieces),
        TEST(many_changes_are_applied_in_their_order),
        TEST(a_large_inventory_is_published_in_chunks),
        TEST(an_older_inventory_is_refused_and_its_worker_claims_nothing),
        TEST(an_older_inventory_of_its_only_worker_says_what_it_replaces),
        TEST(two_systems_of_one_name_are_not_published),
        TEST(an_empty_inventory_is_an_inventory),
        TEST(the_library_is_loaded_over_an_older_one_and_never_over_a_newer),
        TEST(a_restart_of_redis_shows_in_its_run_id),
        TEST(what_one_run_of_redis_has_kept_is_not_asked_of_the_next),
        TEST(the_bell_rings_and_times_out),
        TEST(reap_takes_over_from_the_dead),
#ifdef AMTUNLOCK_TEST
        TEST(a_test_build_can_shorten_lease_and_grace),
#endif
    };
    return cmocka_run_group_tests(tests, jobs_fixture_start, jobs_fixture_stop);
}
