/* SPDX-License-Identifier: Apache-2.0 */
/* GetUnlockedSystems and GetErrors, as far as answers are kept and put together from pages. */
#include "manageability_fixture.h"

#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static request_t list_of(const char *job)
{
    return service_method("GetUnlockedSystems",
                          apr_pstrcat(fixture.pool, "<p:InstanceID>", job, "</p:InstanceID>", NULL));
}

static const char *failed_of(const char *job)
{
    return properties(answered(list_of(job)), "failedSystems");
}

static void tell_redis(const char *command, const char *key, const char *field, const char *value)
{
    const char *words[] = {command, key, field, value};
    int count = field == NULL ? 2 : value == NULL ? 3 : 4;

    assert_int_equal(redis_server_do(&fixture.server, count, words), 0);
}

static const char *key_of(const char *job, const char *rest)
{
    return apr_pstrcat(fixture.pool, "{amtu}:job:", strchr(job, ':') + 1, rest, NULL);
}

/* Changes behind everybody's back how the first name of a job was written: who shows it has read it anew. */
static void rename_first(const char *job)
{
    tell_redis("HSET", key_of(job, ":names"), "0", "!|renamed.example");
}

static void the_same_version_is_answered_from_memory(void **state)
{
    const char *job = unlock(NULL, NAMES("NoSuch.example", "pc1.example"));
    request_t request = list_of(job), errors = job_method(job, "GetErrors", NULL);
    wsman_answer_t answer;
    jobs_task_t task;

    (void)state;
    assert_string_equal(failed_of(job), "NoSuch.example");
    answered(errors);
    rename_first(job);
    request.message_id = "uuid:6f1a2b3c-0000-4000-8000-000000000001";
    answer = ask(request);
    assert_non_null(strstr(answer.bytes, ">NoSuch.example<"));
    assert_non_null(strstr(answer.bytes, request.message_id));
    assert_string_equal(property(wsman_child(answered(errors), NULL, "Errors"), "ErrorSource"),
                        "NoSuch.example");
    task = claim_task();
    finish_task(&task, JOBS_REASON_BUSY);
    assert_string_equal(failed_of(job), "renamed.example pc1.example");
    assert_string_equal(property(wsman_child(answered(errors), NULL, "Errors"), "ErrorSource"),
                        "renamed.example");
}

/* The answer that is kept is the same, byte for byte but for its ids. */
static void nobody_sees_a_difference(void **state)
{
    const char *job = unlock(NULL, NAMES("nosuch.example", "pc1.example"));
    wsman_answer_t first, second;

    (void)state;
    first = ask(list_of(job));
    second = ask(list_of(job));
    assert_string_equal(strstr(first.bytes, "<s:Body>"), strstr(second.bytes, "<s:Body>"));
    assert_int_equal(first.length, second.length);
}

static void a_right_is_judged_each_time(void **state)
{
    const char *job = unlock(NULL, NAMES("nosuch.example"));
    request_t request = list_of(job);

    (void)state;
    assert_string_equal(failed_of(job), "nosuch.example");
    request.caller = &fixture.mallory;
    refused(request, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    fixture.mallory.reads_all = 1;
    assert_string_equal(properties(answered(request), "failedSystems"), "nosuch.example");
    fixture.mallory.reads_all = 0;
    refused(request, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    assert_string_equal(failed_of(job), "nosuch.example");
}

static void windows_and_lists_are_kept_apart(void **state)
{
    const char *job = unlock(NULL, NAMES("a.example", "b.example", "c.example"));
    request_t window;

    (void)state;
    for (int again = 0; again < 2; again++) {
        assert_string_equal(failed_of(job), "a.example b.example c.example");
        for (int first = 0; first < 3; first++) {
            window = service_method(
                "GetUnlockedSystems",
                apr_psprintf(fixture.pool, "<p:First>%d</p:First><p:Count>1</p:Count>", first));
            assert_string_equal(properties(answered(window), "failedSystems"),
                                apr_psprintf(fixture.pool, "%c.example", 'a' + first));
        }
        assert_non_null(wsman_child(answered(job_method(job, "GetErrors", NULL)), NULL, "Errors"));
    }
}

static void the_latest_job_is_the_latest(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *name = apr_psprintf(fixture.pool, "no%d.example", i);

        unlock(NULL, NAMES(name));
        for (int again = 0; again < 2; again++) {
            assert_string_equal(
                properties(answered(service_method("GetUnlockedSystems", NULL)), "failedSystems"), name);
        }
    }
}

static void a_job_that_is_gone_is_gone(void **state)
{
    const char *job = unlock(NULL, NAMES("nosuch.example"));
    const char *other = unlock(NULL, NAMES("nosuch.example"));

    (void)state;
    assert_string_equal(failed_of(job), "nosuch.example");
    assert_string_equal(failed_of(other), "nosuch.example");
    answered(job_request(job, WSMAN_ACTION_DELETE));
    refused(list_of(job), WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    tell_redis("PEXPIRE", key_of(other, ""), "0", NULL); /* as after its retention */
    refused(list_of(other), WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
}

static void what_ends_by_time_alone_is_shown(void **state)
{
    const char *job = unlock(NULL, NAMES("pc1.example"));

    (void)state;
    assert_string_equal(failed_of(job), "");
    tell_redis("HSET", key_of(job, ""), "start_by", "1");
    assert_string_equal(failed_of(job), "pc1.example");
}

static void a_cancelled_job_is_shown(void **state)
{
    const char *job = unlock(NULL, NAMES("pc1.example"));

    (void)state;
    assert_string_equal(failed_of(job), "");
    answered(job_method(job, "RequestStateChange", "<p:RequestedState>4</p:RequestedState>"));
    assert_string_equal(failed_of(job), "pc1.example");
}

/* What a Redis said that is away now is not known to be so. */
static void without_redis_nothing_is_answered(void **state)
{
    const char *job = unlock(NULL, NAMES("nosuch.example"));

    (void)state;
    assert_string_equal(failed_of(job), "nosuch.example");
    redis_server_kill(&fixture.server);
    refused(list_of(job), WSMAN_FAULT_ENDPOINT_UNAVAILABLE, "ResourceOffline");
}

static void a_redis_with_older_data_is_believed(void **state)
{
    const char *job = unlock(NULL, NAMES("pc1.example", "pc2.example"));
    const char *copy = "{amtu}:copy", *tasks = "{amtu}:copy:tasks";
    jobs_task_t one = claim_task(), two = claim_task();

    (void)state;
    finish_task(&one, JOBS_REASON_BUSY);
    tell_redis("COPY", key_of(job, ""), copy, NULL);
    tell_redis("COPY", key_of(job, ":tasks"), tasks, NULL);
    finish_task(&two, JOBS_REASON_BUSY);
    assert_string_equal(failed_of(job), "pc1.example pc2.example");
    tell_redis("COPY", copy, key_of(job, ""), "REPLACE");
    tell_redis("COPY", tasks, key_of(job, ":tasks"), "REPLACE");
    assert_int_equal(strchr(failed_of(job), ' ') == NULL, 1);
    answered(job_method(job, "RequestStateChange", "<p:RequestedState>4</p:RequestedState>"));
    assert_string_equal(failed_of(job), "pc1.example pc2.example");
    assert_non_null(strstr(ask(job_method(job, "GetErrors", NULL)).bytes, ">cancelled<"));
}

/* ---- pages ------------------------------------------------------------------------------------------ */

enum { MANY = 2 * JOBS_NAMES_A_PAGE + 7 };

static const char *many_names(const char **names)
{
    const char *all = "";

    for (int i = 0; i < MANY; i++) {
        names[i] = i % 100 == 50 ? i == 50 ? "pc1.example" : "10.0.0.1"
                                 : apr_psprintf(fixture.pool, "No%d.example", i);
        all = i % 100 == 50 ? all : apr_pstrcat(fixture.pool, all, *all ? " " : "", names[i], NULL);
    }
    names[MANY] = NULL;
    return all;
}

static void pages_are_put_together_in_the_order_sent(void **state)
{
    const char *names[MANY + 1];
    const char *refused_names = many_names(names);
    const wsman_element_t *output, *error;
    request_t window;
    const char *job;
    jobs_task_t task;
    int count = 0;

    (void)state;
    fixture.settings.max_systems = MANY;
    job = unlock(NULL, names);
    for (int again = 0; again < 2; again++) {
        assert_string_equal(failed_of(job), refused_names);
    }
    task = claim_task();
    finish_task(&task, JOBS_REASON_NONE);
    output = answered(list_of(job));
    assert_string_equal(properties(output, "failedSystems"), refused_names);
    assert_string_equal(properties(output, "unlockedSystems"),
                        "pc1.example 10.0.0.1 10.0.0.1 10.0.0.1 10.0.0.1");
    error = wsman_child(answered(job_method(job, "GetErrors", "<p:First>240</p:First><p:Count>20</p:Count>")),
                        NULL, "Errors");
    for (; error != NULL; error = wsman_next_same(error)) {
        count += 240 + count == 250;
        assert_string_equal(property(error, "ErrorSource"), names[240 + count++]);
    }
    assert_int_equal(count, 20);
    window = service_method("GetUnlockedSystems", "<p:First>149</p:First><p:Count>70</p:Count>");
    output = answered(window);
    assert_string_equal(properties(output, "unlockedSystems"), "10.0.0.1");
    assert_true(strncmp(properties(output, "failedSystems"), "No149.example No151.example", 27) == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, manageability_setup, manageability_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_version_is_answered_from_memory),
        TEST(nobody_sees_a_difference),
        TEST(a_right_is_judged_each_time),
        TEST(windows_and_lists_are_kept_apart),
        TEST(the_latest_job_is_the_latest),
        TEST(a_job_that_is_gone_is_gone),
        TEST(what_ends_by_time_alone_is_shown),
        TEST(a_cancelled_job_is_shown),
        TEST(without_redis_nothing_is_answered),
        TEST(a_redis_with_older_data_is_believed),
        TEST(pages_are_put_together_in_the_order_sent),
    };

    return cmocka_run_group_tests(tests, manageability_group_setup, manageability_group_teardown);
}
