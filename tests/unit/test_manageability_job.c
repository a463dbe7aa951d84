/* SPDX-License-Identifier: Apache-2.0 */
/* CIM_ConcreteJob as a console sees it, through its life. */
#include "manageability_fixture.h"

#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const wsman_element_t *get(const char *job)
{
    return answered(job_request(job, WSMAN_ACTION_GET));
}

static void finish_next(jobs_reason_e reason)
{
    jobs_task_t task = claim_task();

    finish_task(&task, reason);
}

/* ---- the instance ----------------------------------------------------------------------------------- */

static void a_new_job_has_not_begun(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example", "pc2.example"));
    const wsman_element_t *job = get(id);
    const char *last = "";

    (void)state;
    assert_string_equal(job->ns, JOB_URI);
    assert_string_equal(property(job, "InstanceID"), id);
    assert_string_equal(property(job, "JobState"), "2");
    assert_string_equal(property(job, "PercentComplete"), "0");
    assert_string_equal(property(job, "JobStatus"), "0 of 2 unlocked, 2 waiting");
    assert_string_equal(property(job, "Owner"), "alice@EXAMPLE");
    assert_string_equal(property(job, "TimeBeforeRemoval"), "00000000003000.000000:000");
    assert_string_equal(property(job, "DeleteOnCompletion"), "true");
    assert_string_equal(properties(job, "OperationalStatus"), "2");
    assert_non_null(property(job, "TimeSubmitted"));
    assert_null(property(job, "StartTime"));
    assert_string_equal(property(job, "ElapsedTime"), "PT0S");
    assert_null(property(job, "ErrorCode"));
    for (const wsman_element_t *each = job->child; each != NULL; each = each->next) {
        assert_true(strcmp(last, each->name) <= 0);
        last = each->name;
    }
}

/* Where Redis' clock was set back, what is over has no negative length and no unknown one. */
static void a_job_that_began_in_the_future_took_no_time(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example"));
    const char *words[] = {"HSET", apr_pstrcat(fixture.pool, "{amtu}:job:", id + strlen("amtunlock:"), NULL),
                           "started", "4102444800000000"};

    (void)state;
    assert_int_equal(redis_server_do(&fixture.server, 4, words), 0);
    assert_string_equal(property(get(id), "ElapsedTime"), "PT0S");
    assert_non_null(property(get(id), "StartTime"));
}

#define NOBODY "; no worker is running, and nothing goes on until one is"

/* As if it had been submitted a while ago. */
static void age(const char *id)
{
    const char *words[] = {"HSET", apr_pstrcat(fixture.pool, "{amtu}:job:", id + strlen("amtunlock:"), NULL),
                           "submitted", "1000000"};
    assert_int_equal(redis_server_do(&fixture.server, 4, words), 0);
}

static void a_job_that_nobody_works_on_says_so(void **state)
{
    static const char *const idle[][2] = {
        {"inventory", "2 waiting; no worker serves the published inventory"},
        {"record", "2 waiting; no worker can write its audit record"},
        {"restart", "2 waiting; Redis was started anew"}};
    const char *id = unlock(NULL, NAMES("pc1.example", "pc2.example"));
    const char *ended = unlock(NULL, NAMES("nowhere.example"));

    (void)state;
    age(id);
    age(ended);
    assert_string_equal(property(get(id), "JobStatus"), "0 of 2 unlocked, 2 waiting" NOBODY);
    assert_string_equal(property(get(id), "JobState"), "2"); /* it waits: a worker may come */
    assert_string_equal(property(get(ended), "JobStatus"), "0 of 1 unlocked, 1 failed");
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
        const char *about = apr_pstrcat(fixture.pool, "host=h idle=", idle[i][0], " audit=0", NULL);
        assert_int_equal(jobs_beat(fixture.worker, "w2", about, fixture.pool).outcome, JOBS_OK);
        assert_non_null(strstr(property(get(id), "JobStatus"), idle[i][1]));
    }
    assert_int_equal(jobs_beat(fixture.worker, "w1", "about w1", fixture.pool).outcome, JOBS_OK);
    assert_string_equal(property(get(id), "JobStatus"), "0 of 2 unlocked, 2 waiting");
}

static void a_running_job_tells_how_far_it_is(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example", "pc2.example", "nowhere.example"));
    const wsman_element_t *job;
    jobs_task_t task = claim_task();

    (void)state;
    job = get(id);
    assert_string_equal(property(job, "JobState"), "4");
    assert_string_equal(property(job, "JobStatus"), "0 of 3 unlocked, 1 failed, 1 running, 1 waiting");
    assert_string_equal(property(job, "PercentComplete"), "33");
    assert_string_equal(properties(job, "OperationalStatus"), "2");
    assert_non_null(property(job, "StartTime"));
    assert_non_null(property(job, "ElapsedTime"));
    assert_null(property(job, "ErrorCode"));
    finish_task(&task, JOBS_REASON_NONE);
    assert_string_equal(property(get(id), "PercentComplete"), "66");
}

static void a_job_without_a_failure_is_completed_and_well(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example"));
    const wsman_element_t *job;

    (void)state;
    finish_next(JOBS_REASON_NONE);
    job = get(id);
    assert_string_equal(property(job, "JobState"), "7");
    assert_string_equal(property(job, "PercentComplete"), "100");
    assert_string_equal(property(job, "JobStatus"), "1 of 1 unlocked");
    assert_string_equal(properties(job, "OperationalStatus"), "17 2");
    assert_string_equal(property(job, "HealthState"), "5");
    assert_null(property(job, "ErrorCode"));
}

static void a_job_with_a_failure_is_completed_with_an_error(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example", "nowhere.example"));
    const wsman_element_t *job;

    (void)state;
    finish_next(JOBS_REASON_NONE);
    job = get(id);
    assert_string_equal(property(job, "JobState"), "7");
    assert_string_equal(property(job, "JobStatus"), "1 of 2 unlocked, 1 failed");
    assert_string_equal(properties(job, "OperationalStatus"), "17 6");
    assert_string_equal(property(job, "ErrorCode"), "1");
    assert_non_null(strstr(property(job, "ErrorDescription"), "1 of 2"));
}

static void no_such_job_for_anybody_else(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example"));
    request_t requests[] = {
        job_request(id, WSMAN_ACTION_GET),
        job_request(id, WSMAN_ACTION_DELETE),
        job_method(id, "GetErrors", NULL),
        job_method(id, "RequestStateChange", "<p:RequestedState>4</p:RequestedState>"),
        job_method(id, "RequestStateChange", "<p:RequestedState>2</p:RequestedState>"),
        job_request("amtunlock:", WSMAN_ACTION_GET),
        job_request("amtunlock:aaaaaaaaaaaaaaaaaaaaaaaaaa", WSMAN_ACTION_GET),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        requests[i].caller = &fixture.mallory;
        refused(requests[i], WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    }
    assert_string_equal(property(get(id), "JobState"), "2");
}

/* ---- RequestStateChange ----------------------------------------------------------------------------- */

static const char *change(const char *id, const char *input)
{
    return property(answered(job_method(id, "RequestStateChange", input)), "ReturnValue");
}

static void terminate_ends_what_has_not_begun(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example", "pc2.example"));
    const wsman_element_t *job;

    (void)state;
    assert_string_equal(change(id, "<p:RequestedState>4</p:RequestedState>"), "0");
    assert_non_null(strstr(fixture.note, id));
    job = get(id);
    assert_string_equal(property(job, "JobState"), "8");
    assert_string_equal(property(job, "PercentComplete"), "100");
    assert_non_null(strstr(property(job, "JobStatus"), "cancelled"));
    assert_string_equal(change(id, "<p:RequestedState>4</p:RequestedState>"), "4097");
}

static void other_states_are_answered_by_their_return_values(void **state)
{
    static const char *const rows[][2] = {
        {"<p:RequestedState>2</p:RequestedState>", "1"},
        {"<p:RequestedState>3</p:RequestedState>", "1"},
        {"<p:RequestedState>5</p:RequestedState>", "1"},
        {"<p:RequestedState>6</p:RequestedState>", "1"},
        {"<p:RequestedState>0</p:RequestedState>", "5"},
        {"<p:RequestedState>7</p:RequestedState>", "5"},
        {"<p:RequestedState>65535</p:RequestedState>", "5"},
        {"<p:RequestedState>4</p:RequestedState><p:TimeoutPeriod><c:Interval xmlns:c=\"" WSMAN_URI_CIM_COMMON
         "\">PT5S</c:Interval></p:TimeoutPeriod>",
         "4098"},
        {"<p:RequestedState>4</p:RequestedState><p:TimeoutPeriod>00000000000000.000000:000</p:TimeoutPeriod>",
         "0"},
    };
    const char *id = unlock(NULL, NAMES("pc1.example"));

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(change(id, rows[i][0]), rows[i][1]);
    }
}

static void a_state_change_without_a_state_is_refused(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example"));

    (void)state;
    refused(job_method(id, "RequestStateChange", NULL), WSMAN_FAULT_INVALID_PARAMETER, "MissingValues");
    refused(job_method(id, "RequestStateChange", ""), WSMAN_FAULT_INVALID_PARAMETER, "MissingValues");
    refused(job_method(id, "RequestStateChange", "<p:RequestedState>stop</p:RequestedState>"),
            WSMAN_FAULT_INVALID_PARAMETER, "InvalidValue");
    refused(job_method(id, "RequestStateChange", "<p:RequestedState>70000</p:RequestedState>"),
            WSMAN_FAULT_INVALID_PARAMETER, "InvalidValue");
}

/* ---- GetErrors -------------------------------------------------------------------------------------- */

static const char *error_text(const wsman_element_t *error, const char *name)
{
    return wsman_child_text(error, WSMAN_URI_CIM_CLASS "CIM_Error", name, fixture.pool);
}

static void errors_say_which_why_and_what_to_do(void **state)
{
    const char *id = unlock(NULL, NAMES("PC1.example", "vault.example", "nowhere.example"));
    const wsman_element_t *output, *error;

    (void)state;
    finish_next(JOBS_REASON_AUTH_FAILED);
    output = answered(job_method(id, "GetErrors", NULL));
    assert_string_equal(property(output, "ReturnValue"), "0");
    error = wsman_child(output, JOB_URI, "Errors");
    assert_string_equal(error_text(error, "ErrorSource"), "PC1.example");
    assert_string_equal(error_text(error, "MessageID"), "auth-failed");
    assert_string_equal(error_text(error, "CIMStatusCode"), "1");
    assert_string_equal(error_text(error, "ErrorType"), "7");
    assert_non_null(strstr(error_text(error, "ProbableCauseDescription"), "connect"));
    assert_string_equal(error_text(error, "Message"), jobs_reason(JOBS_REASON_AUTH_FAILED)->message);
    assert_string_equal(error_text(error, "RecommendedActions"),
                        jobs_reason(JOBS_REASON_AUTH_FAILED)->action);
}

static const char *sources_of(const char *id, const char *input)
{
    const wsman_element_t *output = answered(job_method(id, "GetErrors", input));
    const wsman_element_t *error = wsman_child(output, JOB_URI, "Errors");
    const char *names = "";

    assert_string_equal(property(output, "ReturnValue"), "0");
    for (; error != NULL; error = wsman_next_same(error)) {
        names = apr_pstrcat(fixture.pool, names, *names ? " " : "", error_text(error, "ErrorSource"), NULL);
    }
    return names;
}

/* Of the names that were sent, the unlocked among them. */
static void a_window_of_the_errors_can_be_asked_for(void **state)
{
    const char *id = unlock(NULL, NAMES("a.x", "PC1.example", "b.x", "c.x"));

    (void)state;
    finish_next(JOBS_REASON_NONE);
    assert_string_equal(sources_of(id, NULL), "a.x b.x c.x");
    assert_string_equal(sources_of(id, ""), "a.x b.x c.x");
    assert_string_equal(sources_of(id, "<p:First>0</p:First><p:Count>2</p:Count>"), "a.x");
    assert_string_equal(sources_of(id, "<p:First>2</p:First>"), "b.x c.x");
    assert_string_equal(sources_of(id, "<p:Count>3</p:Count>"), "a.x b.x");
    assert_string_equal(sources_of(id, "<p:First>1</p:First><p:Count>1</p:Count>"), "");
    assert_string_equal(sources_of(id, "<p:Count>0</p:Count>"), "");
    assert_string_equal(sources_of(id, "<p:First>9</p:First>"), "");
}

static void windows_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        const char *input;
        const char *detail;
    } bad[] = {
        {"<p:Odd>1</p:Odd>", "InvalidName"},
        {"<p:InstanceID>1</p:InstanceID>", "InvalidName"},
        {"<First xmlns=\"urn:other\">1</First>", "InvalidName"},
        {"<p:Count>1</p:Count><p:Count>1</p:Count>", "InvalidName"},
        {"<p:First>-1</p:First>", "InvalidValue"},
        {"<p:Count>many</p:Count>", "InvalidValue"},
        {"<p:Count>99999999999</p:Count>", "InvalidValue"},
    };
    const char *id = unlock(NULL, NAMES("a.x"));

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refused(job_method(id, "GetErrors", bad[i].input), WSMAN_FAULT_INVALID_PARAMETER, bad[i].detail);
    }
}

/* A PC that this caller may not unlock and one that is not there differ in the name only. */
static void forbidden_and_unknown_are_told_alike(void **state)
{
    const char *id = unlock(NULL, NAMES("vault.example", "nowhere.example"));
    const wsman_element_t *first =
        wsman_child(answered(job_method(id, "GetErrors", NULL)), JOB_URI, "Errors");
    const wsman_element_t *second = wsman_next_same(first);
    const wsman_element_t *a = first->child, *b = second->child;

    (void)state;
    assert_string_equal(error_text(first, "MessageID"), "not-available");
    for (; a != NULL && b != NULL; a = a->next, b = b->next) {
        assert_string_equal(a->name, b->name);
        if (strcmp(a->name, "ErrorSource") != 0) {
            assert_string_equal(a->text, b->text);
        }
    }
    assert_null(a);
    assert_null(b);
    assert_null(wsman_next_same(second));
}

/* ---- Delete and enumeration ------------------------------------------------------------------------- */

static void only_a_finished_job_can_be_deleted(void **state)
{
    const char *id = unlock(NULL, NAMES("pc1.example"));

    (void)state;
    refused(job_request(id, WSMAN_ACTION_DELETE), WSMAN_FAULT_CONCURRENCY, NULL);
    finish_next(JOBS_REASON_NONE);
    assert_null(answered(job_request(id, WSMAN_ACTION_DELETE)));
    refused(job_request(id, WSMAN_ACTION_GET), WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
}

static request_t enumeration(const char *uri, const char *action, const char *body)
{
    return (request_t){.uri = uri, .action = action, .body = body};
}

static void a_caller_sees_its_own_jobs(void **state)
{
    const char *classes[] = {JOB_URI, WSMAN_URI_CIM_CLASS "CIM_Job"};
    const char *mine = unlock(NULL, NAMES("pc1.example"));

    (void)state;
    unlock(&fixture.mallory, NAMES("vault.example"));
    for (int i = 0; i < 2; i++) {
        const wsman_element_t *response =
            answered(enumeration(classes[i], WSMAN_ACTION_ENUMERATE,
                                 "<wsen:Enumerate><wsman:OptimizeEnumeration/><wsman:MaxElements>10</"
                                 "wsman:MaxElements></wsen:Enumerate>"));
        const wsman_element_t *items = wsman_child(response, WSMAN_URI_WSMAN, "Items");
        const wsman_element_t *job = wsman_child(items, JOB_URI, "CIM_ConcreteJob");

        assert_string_equal(property(job, "InstanceID"), mine);
        assert_null(job->next);
    }
}

static const char *pull_body(const char *context)
{
    return apr_pstrcat(fixture.pool, "<wsen:Pull><wsen:EnumerationContext>", context,
                       "</wsen:EnumerationContext><wsen:MaxElements>1</wsen:MaxElements></wsen:Pull>", NULL);
}

static const char *open_enumeration(void)
{
    const wsman_element_t *response =
        answered(enumeration(JOB_URI, WSMAN_ACTION_ENUMERATE, "<wsen:Enumerate/>"));

    return wsman_child_text(response, WSMAN_URI_WSEN, "EnumerationContext", fixture.pool);
}

static void jobs_are_pulled_one_by_one(void **state)
{
    const char *jobs[] = {unlock(NULL, NAMES("a.x")), unlock(NULL, NAMES("b.x"))};
    const char *context = open_enumeration();
    int seen = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        const wsman_element_t *response =
            answered(enumeration(JOB_URI, WSMAN_ACTION_PULL, pull_body(context)));
        const wsman_element_t *items = wsman_child(response, WSMAN_URI_WSEN, "Items");
        const char *id = property(wsman_child(items, JOB_URI, "CIM_ConcreteJob"), "InstanceID");

        seen |= strcmp(id, jobs[0]) == 0 ? 1 : strcmp(id, jobs[1]) == 0 ? 2 : 4;
        assert_int_equal(wsman_child(response, WSMAN_URI_WSEN, "EndOfSequence") != NULL, i == 1);
    }
    assert_int_equal(seen, 3);
}

static void a_context_is_its_callers_alone(void **state)
{
    request_t foreign;

    (void)state;
    unlock(NULL, NAMES("a.x"));
    unlock(NULL, NAMES("b.x"));
    foreign = enumeration(JOB_URI, WSMAN_ACTION_PULL, pull_body(open_enumeration()));
    foreign.caller = &fixture.mallory;
    refused(foreign, WSMAN_FAULT_ENUMERATION_CONTEXT, NULL);
}

static void a_caller_has_so_many_contexts(void **state)
{
    (void)state;
    fixture.settings.limits.contexts = 1;
    unlock(NULL, NAMES("a.x"));
    unlock(NULL, NAMES("b.x"));
    open_enumeration();
    refused(enumeration(JOB_URI, WSMAN_ACTION_ENUMERATE, "<wsen:Enumerate/>"), WSMAN_FAULT_QUOTA_LIMIT, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, manageability_setup, manageability_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_job_has_not_begun),
        TEST(a_job_that_began_in_the_future_took_no_time),
        TEST(a_job_that_nobody_works_on_says_so),
        TEST(a_running_job_tells_how_far_it_is),
        TEST(a_job_without_a_failure_is_completed_and_well),
        TEST(a_job_with_a_failure_is_completed_with_an_error),
        TEST(no_such_job_for_anybody_else),
        TEST(terminate_ends_what_has_not_begun),
        TEST(other_states_are_answered_by_their_return_values),
        TEST(a_state_change_without_a_state_is_refused),
        TEST(errors_say_which_why_and_what_to_do),
        TEST(a_window_of_the_errors_can_be_asked_for),
        TEST(windows_that_make_no_sense_are_refused),
        TEST(forbidden_and_unknown_are_told_alike),
        TEST(only_a_finished_job_can_be_deleted),
        TEST(a_caller_sees_its_own_jobs),
        TEST(jobs_are_pulled_one_by_one),
        TEST(a_context_is_its_callers_alone),
        TEST(a_caller_has_so_many_contexts),
    };

    return cmocka_run_group_tests(tests, manageability_group_setup, manageability_group_teardown);
}
