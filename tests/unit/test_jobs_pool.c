/* SPDX-License-Identifier: Apache-2.0 */
/* The web side's connections when Redis is away, frozen, restarted or in trouble: no call takes longer than
 * its budget, and what was refused does not happen later.
 */
#include "jobs_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <apr_strings.h>
#include <hiredis/hiredis.h>

#define BUDGET apr_time_from_msec(200)
#define SLACK apr_time_from_msec(50)
#define PATIENCE apr_time_from_msec(1500)
#define LATE apr_time_from_msec(600) /* a busy machine answers within it; still far from PATIENCE */
#define NONE_FREE "every connection to Redis stayed in use"
#define AT_ONCE "Redis was away a moment ago"

/* `patient` calls may wait PATIENCE. */
static jobs_pool_t *patient_pool(const jobs_redis_t *redis, int connections, int patient)
{
    const jobs_pool_limits_t limits = {connections, patient, BUDGET, PATIENCE};
    jobs_pool_t *jobs = NULL;
    assert_int_equal(jobs_pool_create(&jobs, redis, &limits, jobs_test.pool), APR_SUCCESS);
    return jobs;
}

static jobs_pool_t *pool_of(const jobs_redis_t *redis, int connections)
{
    return patient_pool(redis, connections, 0);
}

/* How long an overview takes; its result in *result. */
static apr_interval_time_t timed(jobs_pool_t *jobs, jobs_result_t *result)
{
    jobs_overview_t *overview = NULL;
    apr_time_t before = clock_boottime();
    *result = jobs_overview(jobs, &overview, jobs_test.pool);
    return clock_boottime() - before;
}

static jobs_result_t overview(jobs_pool_t *jobs)
{
    jobs_result_t result;
    timed(jobs, &result);
    return result;
}

static void freeze(int frozen)
{
    kill(jobs_test.server.pid, frozen ? SIGSTOP : SIGCONT);
    if (frozen)
        waitpid(jobs_test.server.pid, NULL, WUNTRACED);
}

static apr_uint64_t counter(const char *name)
{
    jobs_overview_t *overview_now = NULL;
    assert_outcome(jobs_overview(jobs_test.jobs, &overview_now, jobs_test.pool), JOBS_OK);
    for (int i = 0; i < overview_now->counters->nelts; i++) {
        const jobs_counter_t *each = &APR_ARRAY_IDX(overview_now->counters, i, jobs_counter_t);
        if (!strcmp(each->name, name))
            return each->value;
    }
    return 0;
}

static void no_redis_is_said_at_once(void **state)
{
    jobs_redis_t nowhere = {.socket = "/nonexistent/redis.sock"};
    jobs_result_t result;
    (void)state;
    assert_true(timed(pool_of(&nowhere, 2), &result) < BUDGET);
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "/nonexistent/redis.sock"));
}

static void a_port_that_nobody_listens_on_is_named(void **state)
{
    jobs_redis_t nobody = {.host = "127.0.0.1", .port = 1};
    jobs_result_t result;
    (void)state;
    assert_true(timed(pool_of(&nobody, 2), &result) < BUDGET);
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "127.0.0.1:1"));
}

static void a_wrong_password_is_said_without_it(void **state)
{
    jobs_redis_t wrong = jobs_test.server.web;
    (void)state;
    wrong.password = "not-the-password";
    jobs_result_t result = overview(pool_of(&wrong, 2));
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "password file"));
    assert_null(strstr(result.text, wrong.password));
    wrong.user = NULL;
    wrong.password = NULL;
    result = overview(pool_of(&wrong, 2));
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "wants a user"));
}

static void another_users_verb_and_a_missing_library_are_explained(void **state)
{
    const char *flush[] = {"FUNCTION", "FLUSH"};
    (void)state;
    jobs_result_t result = overview(pool_of(&jobs_test.server.worker, 2));
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "redis-users.acl"));
    assert_int_equal(redis_server_do(&jobs_test.server, 2, flush), 0);
    result = overview(jobs_test.jobs);
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "start amtunlockd"));
}

static void a_full_redis_refuses_jobs_and_still_reads_and_cancels(void **state)
{
    const char *full[] = {"CONFIG", "SET", "maxmemory", "1"};
    const char *room[] = {"CONFIG", "SET", "maxmemory", "0"};
    jobs_submission_t submission = submission_of(NULL, "pc2.example", LAST);
    jobs_job_t *job = NULL;
    const char *id = submit_one(&jobs_test.alice, "pc1.example");
    const char *none = NULL;
    (void)state;
    assert_int_equal(redis_server_do(&jobs_test.server, 4, full), 0);
    jobs_result_t refused =
        jobs_submit(jobs_test.jobs, &jobs_test.alice, &submission, &none, NULL, jobs_test.pool);
    jobs_result_t read = jobs_read(jobs_test.jobs, &jobs_test.alice, id, &job, jobs_test.pool);
    jobs_result_t cancelled = jobs_cancel(jobs_test.jobs, &jobs_test.alice, id, jobs_test.pool);
    assert_int_equal(redis_server_do(&jobs_test.server, 4, room), 0);
    assert_int_equal(refused.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(refused.text, "maxmemory"));
    assert_outcome(read, JOBS_OK);
    assert_outcome(cancelled, JOBS_OK);
}

static void a_replica_is_explained(void **state)
{
    const char *replica[] = {"REPLICAOF", "127.0.0.1", "1"};
    const char *primary[] = {"REPLICAOF", "NO", "ONE"};
    jobs_submission_t submission = submission_of(NULL, "pc1.example", LAST);
    const char *id = NULL;
    (void)state;
    assert_int_equal(redis_server_do(&jobs_test.server, 3, replica), 0);
    jobs_result_t result =
        jobs_submit(jobs_test.jobs, &jobs_test.alice, &submission, &id, NULL, jobs_test.pool);
    assert_int_equal(redis_server_do(&jobs_test.server, 3, primary), 0);
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "primary"));
}

static void what_a_frozen_redis_was_asked_does_not_happen_when_it_thaws(void **state)
{
    jobs_pool_t *jobs = pool_of(&jobs_test.server.web, 2);
    jobs_submission_t submission = submission_of(NULL, "pc1.example", LAST);
    const char *kept = submit_one(&jobs_test.alice, "pc2.example");
    const char *id = NULL;
    jobs_job_t *job = NULL;
    (void)state;
    assert_outcome(overview(jobs), JOBS_OK); /* so the request itself gets as far as Redis' socket */
    freeze(1);
    apr_time_t before = clock_boottime();
    jobs_result_t result = jobs_submit(jobs, &jobs_test.alice, &submission, &id, NULL, jobs_test.pool);
    apr_interval_time_t took = clock_boottime() - before;
    jobs_result_t cancel = jobs_cancel(jobs, &jobs_test.alice, kept, jobs_test.pool);
    freeze(0);
    assert_int_equal(result.outcome, JOBS_UNKNOWN);     /* it was sent: only Redis knows */
    assert_int_equal(cancel.outcome, JOBS_UNAVAILABLE); /* its connection was never greeted */
    assert_true(took >= BUDGET - SLACK && took < LATE);
    assert_int_equal(counter("jobs"), 1);
    assert_outcome(jobs_read(jobs_test.jobs, &jobs_test.alice, kept, &job, jobs_test.pool), JOBS_OK);
    assert_int_equal(job->cancelled, 0);
}

typedef struct {
    jobs_pool_t *jobs;
    jobs_submission_t submission;
    jobs_result_t result;
    const char *id;
    apr_interval_time_t took;
    apr_pool_t *pool;
    pthread_t thread;
    atomic_int ended;
} submitter_t;

static void *submit_once(void *data)
{
    submitter_t *submitter = data;
    apr_time_t before = clock_boottime();
    submitter->result = jobs_submit(submitter->jobs, &jobs_test.alice, &submitter->submission, &submitter->id,
                                    NULL, submitter->pool);
    submitter->took = clock_boottime() - before;
    submitter->ended = 1;
    return NULL;
}

static void begin_submitting(submitter_t *submitters, int count, jobs_pool_t *jobs)
{
    for (int i = 0; i < count; i++) {
        submitters[i].jobs = jobs;
        submitters[i].submission = submission_of(NULL, "pc1.example", LAST);
        apr_pool_create(&submitters[i].pool, NULL);
    }
    for (int i = 0; i < count;
         i++) { /* pools and the fixture are this thread's: all of them are made before */
        pthread_create(&submitters[i].thread, NULL, submit_once, &submitters[i]);
    }
}

static void end_submitting(submitter_t *submitters, int count)
{
    for (int i = 0; i < count; i++)
        pthread_join(submitters[i].thread, NULL);
}

static void wait_for_ended(const submitter_t *submitters, int count, int wanted)
{
    apr_time_t until = clock_boottime() + PATIENCE;
    int ended = 0;
    while (ended < wanted && clock_boottime() < until) {
        apr_sleep(apr_time_from_msec(5));
        ended = 0;
        for (int i = 0; i < count; i++)
            ended += submitters[i].ended;
    }
    assert_int_equal(ended, wanted);
}

static void submit_together(jobs_pool_t *jobs, int count)
{
    submitter_t submitters[8] = {{0}};
    freeze(1);
    begin_submitting(submitters, count, jobs);
    apr_sleep(BUDGET / 4);
    freeze(0);
    end_submitting(submitters, count);
}

/* Connections of the web side that Redis has. */
static int web_connections(void)
{
    redisContext *redis = redisConnectUnix(jobs_test.server.socket);
    const jobs_redis_t *tester = &jobs_test.server.tester;
    redisReply *list;
    int found = 0;
    freeReplyObject(redisCommand(redis, "AUTH %s %s", tester->user, tester->password));
    list = redisCommand(redis, "CLIENT LIST");
    assert_non_null(list);
    for (const char *at = list->str; (at = strstr(at, "user=amtunlock-web")) != NULL; at++)
        found++;
    freeReplyObject(list);
    redisFree(redis);
    return found;
}

/* Opens as many patient connections as there are: while Redis does not answer, none is given back for the next to
 * take. On a busy machine the second caller may come when it answers again, and take the first one's. */
static void warm(jobs_pool_t *jobs, int count)
{
    int before = web_connections(), tries = 0;
    do {
        assert_true(++tries < 20);
        submit_together(jobs, count);
    } while (web_connections() < before + count);
}

static void few_changes_wait_for_a_slow_redis_and_are_done(void **state)
{
    enum { CALLERS = 6, PATIENT = 2 };
    submitter_t callers[CALLERS] = {{0}};
    jobs_pool_t *jobs = patient_pool(&jobs_test.server.web, CALLERS, PATIENT);
    jobs_overview_t *unused = NULL;
    int done = 0;
    (void)state;
    warm(jobs, PATIENT);
    apr_uint64_t before = counter("jobs");
    freeze(1);
    begin_submitting(callers, CALLERS, jobs);
    wait_for_ended(callers, CALLERS, CALLERS - PATIENT);
    /* the patient ones do not keep reads from their own time */
    apr_time_t began = clock_boottime();
    assert_int_equal(jobs_overview(jobs, &unused, jobs_test.pool).outcome, JOBS_UNAVAILABLE);
    assert_true(clock_boottime() - began < LATE);
    freeze(0);
    end_submitting(callers, CALLERS);
    for (int i = 0; i < CALLERS; i++) {
        if (callers[i].result.outcome == JOBS_OK) {
            assert_true(callers[i].took > BUDGET);
            done++;
            continue;
        }
        assert_int_equal(callers[i].result.outcome, JOBS_UNAVAILABLE);
        assert_non_null(strstr(callers[i].result.text, NONE_FREE));
        assert_true(callers[i].took < LATE);
    }
    assert_int_equal(done, PATIENT);
    assert_int_equal(counter("jobs") - before, PATIENT); /* and nothing that was refused */
}

static void what_was_waited_for_in_vain_is_unknown_and_not_done_later(void **state)
{
    submitter_t caller = {0};
    jobs_pool_t *jobs = patient_pool(&jobs_test.server.web, 2, 1);
    (void)state;
    warm(jobs, 1);
    apr_uint64_t before = counter("jobs");
    freeze(1);
    begin_submitting(&caller, 1, jobs);
    end_submitting(&caller, 1);
    freeze(0);
    assert_int_equal(caller.result.outcome, JOBS_UNKNOWN);
    assert_true(caller.took >= PATIENCE - SLACK && caller.took < PATIENCE + LATE);
    assert_int_equal(counter("jobs"), before); /* by then it is late */
}

static submitter_t submit_to_a_dying_redis(jobs_pool_t *jobs)
{
    submitter_t caller = {0};
    warm(jobs, 1);
    freeze(1);
    begin_submitting(&caller, 1, jobs);
    apr_sleep(BUDGET / 2); /* it is sent; when exactly does not matter */
    redis_server_kill(&jobs_test.server);
    end_submitting(&caller, 1);
    assert_int_equal(redis_server_restart(&jobs_test.server), 0);
    return caller;
}

/* Redis dies under a change that it has, and comes back: what is answered then is what it has kept. On a busy machine
 * the change may be late, and not be sent at all: then another one is tried. */
static void a_redis_that_dies_under_a_change_leaves_it_unknown(void **state)
{
    jobs_pool_t *jobs = patient_pool(&jobs_test.server.web, 2, 1);
    submitter_t caller;
    int tries = 0;
    (void)state;
    do {
        assert_true(++tries < 20);
        caller = submit_to_a_dying_redis(jobs);
    } while (caller.result.outcome == JOBS_UNAVAILABLE);
    assert_int_equal(caller.result.outcome, JOBS_UNKNOWN);
    assert_true(caller.took < PATIENCE);
}

static void after_some_failures_calls_fail_at_once_until_redis_is_back(void **state)
{
    jobs_pool_t *jobs = pool_of(&jobs_test.server.web, 2);
    jobs_result_t result;
    (void)state;
    assert_outcome(overview(jobs), JOBS_OK);
    freeze(1);
    for (int i = 0; i < 3; i++) {
        assert_true(timed(jobs, &result) < LATE);
        assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
        assert_null(strstr(result.text, AT_ONCE));
    }
    apr_interval_time_t took = timed(jobs, &result);
    freeze(0);
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, AT_ONCE));
    assert_true(took < BUDGET - SLACK);
    assert_int_equal(overview(jobs).outcome, JOBS_UNAVAILABLE); /* not yet tried again */
    apr_time_t patience = clock_boottime() + apr_time_from_sec(3);
    while (overview(jobs).outcome != JOBS_OK && clock_boottime() < patience)
        apr_sleep(apr_time_from_msec(20));
    assert_outcome(overview(jobs), JOBS_OK);
}

typedef struct {
    jobs_pool_t *jobs;
    jobs_result_t result;
    apr_interval_time_t took;
    apr_pool_t *pool;
} caller_thread_t;

static void *call_once(void *data)
{
    caller_thread_t *caller = data;
    jobs_overview_t *unused = NULL;
    apr_time_t before = clock_boottime();
    caller->result = jobs_overview(caller->jobs, &unused, caller->pool);
    caller->took = clock_boottime() - before;
    return NULL;
}

static void only_one_call_a_second_tries_whether_redis_is_back(void **state)
{
    enum { CALLERS = 6 };
    caller_thread_t callers[CALLERS];
    pthread_t threads[CALLERS];
    jobs_pool_t *jobs = pool_of(&jobs_test.server.web, CALLERS);
    int waited = 0;
    (void)state;
    freeze(1);
    for (int i = 0; i < 3; i++)
        overview(jobs);
    apr_sleep(apr_time_from_msec(1050)); /* the time that the breaker stays open is what is tested */
    for (int i = 0; i < CALLERS; i++) {
        callers[i].jobs = jobs;
        apr_pool_create(&callers[i].pool, jobs_test.pool);
        pthread_create(&threads[i], NULL, call_once, &callers[i]);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        waited += strstr(callers[i].result.text, AT_ONCE) == NULL;
    }
    freeze(0);
    assert_int_equal(waited, 1);
}

static void a_connection_pool_that_is_used_up_is_waited_for_within_the_budget(void **state)
{
    caller_thread_t callers[3];
    pthread_t threads[3];
    jobs_pool_t *jobs = pool_of(&jobs_test.server.web, 1);
    (void)state;
    freeze(1);
    for (int i = 0; i < 3; i++) {
        callers[i].jobs = jobs;
        apr_pool_create(&callers[i].pool, jobs_test.pool);
        pthread_create(&threads[i], NULL, call_once, &callers[i]);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    freeze(0);
    int gave_up_soon = 0;
    for (int i = 0; i < 3; i++) {
        assert_true(callers[i].took < LATE);
        gave_up_soon += strstr(callers[i].result.text, NONE_FREE) != NULL;
    }
    assert_int_equal(gave_up_soon, 2); /* only the thread with the connection waits for Redis */
}

/* Many callers and few connections are no reason to think that Redis is away. */
static void callers_that_found_no_connection_do_not_open_the_breaker(void **state)
{
    enum { CALLERS = 6 };
    caller_thread_t callers[CALLERS];
    pthread_t threads[CALLERS];
    jobs_pool_t *jobs = pool_of(&jobs_test.server.web, 1);
    (void)state;
    freeze(1);
    for (int i = 0; i < CALLERS; i++) {
        callers[i].jobs = jobs;
        apr_pool_create(&callers[i].pool, jobs_test.pool);
        pthread_create(&threads[i], NULL, call_once, &callers[i]);
    }
    apr_sleep(BUDGET / 2); /* longer than any but the first waits */
    freeze(0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    assert_outcome(overview(jobs), JOBS_OK);
}

static void a_restarted_redis_is_not_noticed_by_a_caller(void **state)
{
    const char *id = submit_one(&jobs_test.alice, "pc1.example");
    jobs_job_t *job = NULL;
    (void)state;
    redis_server_kill(&jobs_test.server);
    assert_int_equal(redis_server_restart(&jobs_test.server), 0);
    assert_outcome(jobs_read(jobs_test.jobs, &jobs_test.alice, id, &job, jobs_test.pool), JOBS_OK);
    assert_string_equal(job->id, id); /* and the killed Redis had kept the job */
}

static void connections_that_redis_closed_are_replaced(void **state)
{
    const char *kill_all[] = {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"};
    (void)state;
    assert_outcome(overview(jobs_test.jobs), JOBS_OK);
    assert_int_equal(redis_server_do(&jobs_test.server, 6, kill_all), 0);
    submit_one(&jobs_test.alice, "pc1.example");
    assert_int_equal(counter("jobs"), 1);
}

static int begin(void **state)
{
    return jobs_fixture_begin(state);
}

static int end(void **state)
{
    freeze(0); /* whatever a test left */
    return jobs_fixture_end(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_redis_is_said_at_once),
        TEST(a_port_that_nobody_listens_on_is_named),
        TEST(a_wrong_password_is_said_without_it),
        TEST(another_users_verb_and_a_missing_library_are_explained),
        TEST(a_full_redis_refuses_jobs_and_still_reads_and_cancels),
        TEST(a_replica_is_explained),
        TEST(what_a_frozen_redis_was_asked_does_not_happen_when_it_thaws),
        TEST(few_changes_wait_for_a_slow_redis_and_are_done),
        TEST(what_was_waited_for_in_vain_is_unknown_and_not_done_later),
        TEST(a_redis_that_dies_under_a_change_leaves_it_unknown),
        TEST(after_some_failures_calls_fail_at_once_until_redis_is_back),
        TEST(only_one_call_a_second_tries_whether_redis_is_back),
        TEST(a_connection_pool_that_is_used_up_is_waited_for_within_the_budget),
        TEST(callers_that_found_no_connection_do_not_open_the_breaker),
        TEST(a_restarted_redis_is_not_noticed_by_a_caller),
        TEST(connections_that_redis_closed_are_replaced),
    };
    return cmocka_run_group_tests(tests, jobs_fixture_start, jobs_fixture_stop);
}
