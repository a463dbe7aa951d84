/* SPDX-License-Identifier: Apache-2.0 */
/* AMT_RemoteEncryptionService as a console sees it, row by row of the interface. */
#include "manageability_fixture.h"

#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* All four keys of the service, with these two values. */
static const char *selectors(const char *name, const char *system)
{
    return apr_pstrcat(
        fixture.pool,
        "<wsman:SelectorSet>"
        "<wsman:Selector Name=\"CreationClassName\">AMT_RemoteEncryptionService</wsman:Selector>"
        "<wsman:Selector Name=\"SystemCreationClassName\">CIM_ComputerSystem</wsman:Selector>"
        "<wsman:Selector Name=\"Name\">",
        name, "</wsman:Selector><wsman:Selector Name=\"SystemName\">", system,
        "</wsman:Selector></wsman:SelectorSet>", NULL);
}

/* ---- the instance ----------------------------------------------------------------------------------- */

static void the_service_tells_its_properties(void **state)
{
    const wsman_element_t *instance = answered((request_t){.uri = SERVICE_URI, .action = WSMAN_ACTION_GET});
    const char *last = "";

    (void)state;
    assert_string_equal(instance->ns, SERVICE_URI);
    assert_string_equal(instance->name, "AMT_RemoteEncryptionService");
    assert_string_equal(property(instance, "MaxSystemsPerRequest"), "5");
    assert_string_equal(property(instance, "EnabledState"), "2");
    assert_string_equal(property(instance, "Started"), "true");
    assert_string_equal(property(instance, "SystemName"), "unlock.example");
    for (const wsman_element_t *each = instance->child; each != NULL; each = each->next) {
        assert_true(strcmp(last, each->name) < 0);
        last = each->name;
    }
}

static void a_right_selector_with_a_wrong_value_names_nothing(void **state)
{
    const char *name = "Remote Encryption Service";
    request_t request = {.uri = SERVICE_URI, .action = WSMAN_ACTION_GET};

    (void)state;
    request.selectors = selectors(name, "UNLOCK.example");
    answered(request);
    request.selectors = selectors(name, "other.example");
    refused(request, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    request = service_method("UnlockSystems", names_xml(NAMES("pc1.example")));
    request.selectors = selectors("other", "unlock.example");
    refused(request, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
}

static void the_service_is_found_under_its_base_class(void **state)
{
    const char *classes[] = {SERVICE_URI, WSMAN_URI_CIM_CLASS "CIM_Service"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        const wsman_element_t *response =
            answered((request_t){.uri = classes[i],
                                 .action = WSMAN_ACTION_ENUMERATE,
                                 .body = "<wsen:Enumerate><wsman:OptimizeEnumeration/></wsen:Enumerate>"});
        const wsman_element_t *items = wsman_child(response, WSMAN_URI_WSMAN, "Items");

        assert_non_null(wsman_child(items, SERVICE_URI, "AMT_RemoteEncryptionService"));
        assert_non_null(wsman_child(response, WSMAN_URI_WSMAN, "EndOfSequence"));
    }
}

/* ---- UnlockSystems ---------------------------------------------------------------------------------- */

static void names_that_are_none_are_refused(void **state)
{
    static const struct {
        const char *name;
        const char *says;
    } bad[] = {
        {"", "empty"},
        {"  ", "empty"},
        {"pc 1", "pc 1"},
        {"pc..example", "neither"},
        {"p\xc3\xa4.example", "name 2 is neither"},
        {"System.String[]", "PowerShell"},
        {"System.Object[]", "PowerShell"},
        {"<p:string>pc1.example</p:string>", "empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *reason =
            refused(service_method("UnlockSystems", names_xml(NAMES("pc1.example", bad[i].name))),
                    WSMAN_FAULT_INVALID_PARAMETER, "InvalidValue");

        if (strstr(reason, bad[i].says) == NULL || strstr(reason, "name 2") == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", reason, bad[i].says);
        }
    }
    refused(service_method("GetUnlockedSystems", NULL), WSMAN_FAULT_DESTINATION_UNREACHABLE,
            "InvalidResourceURI");
}

static void a_name_may_be_long_but_not_longer(void **state)
{
    char name[255];
    const char *reason;

    (void)state;
    memset(name, 'a', sizeof(name));
    for (int i = 63; i < 250; i += 64) {
        name[i] = '.';
    }
    name[254] = '\0';
    reason = refused(service_method("UnlockSystems", names_xml(NAMES(name))), WSMAN_FAULT_INVALID_PARAMETER,
                     "InvalidValue");
    assert_non_null(strstr(reason, "253"));
    name[253] = '\0';
    assert_non_null(unlock(NULL, NAMES(name)));
}

#define NIL_NAME "<p:systems xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\"/>"

static void no_name_is_a_missing_value(void **state)
{
    (void)state;
    refused(service_method("UnlockSystems", NULL), WSMAN_FAULT_INVALID_PARAMETER, "MissingValues");
    refused(service_method("UnlockSystems", ""), WSMAN_FAULT_INVALID_PARAMETER, "MissingValues");
    refused(service_method("UnlockSystems", NIL_NAME), WSMAN_FAULT_INVALID_PARAMETER, "MissingValues");
}

static void the_maximum_is_named(void **state)
{
    const char *reason =
        refused(service_method("UnlockSystems", names_xml(NAMES("a", "b", "c", "d", "e", "a"))),
                WSMAN_FAULT_INVALID_PARAMETER, "InvalidValue");

    (void)state;
    assert_non_null(strstr(reason, "MaxSystemsPerRequest is 5"));
    assert_non_null(unlock(NULL, NAMES("a", "b", "c", "d", "e")));
}

static void any_one_parameter_name_will_do(void **state)
{
    (void)state;
    answered(service_method("UnlockSystems", "<p:Names>pc1.example</p:Names><p:Names>pc2.example</p:Names>"));
    refused(service_method("UnlockSystems",
                           "<p:systems>pc1.example</p:systems><p:Systems>pc2.example</p:Systems>"),
            WSMAN_FAULT_INVALID_PARAMETER, "InvalidName");
    refused(service_method("UnlockSystems", "<systems xmlns=\"urn:other\">pc1.example</systems>"),
            WSMAN_FAULT_INVALID_PARAMETER, "InvalidName");
}

static void another_payload_is_refused(void **state)
{
    request_t request = service_method("UnlockSystems", names_xml(NAMES("pc1.example")));

    (void)state;
    request.body = "<p:LockSystems_INPUT xmlns:p=\"" SERVICE_URI
                   "\"><p:systems>pc1.example</p:systems></p:LockSystems_INPUT>";
    refused(request, WSMAN_FAULT_INVALID_PARAMETER, "InvalidName");
    request.body = "<p:UnlockSystems_INPUT "
                   "xmlns:p=\"urn:other\"><p:systems>pc1.example</p:systems></p:UnlockSystems_INPUT>";
    refused(request, WSMAN_FAULT_INVALID_PARAMETER, "InvalidName");
}

static void an_unlock_is_answered_with_a_job(void **state)
{
    const wsman_element_t *output =
        answered(service_method("UnlockSystems", names_xml(NAMES("pc1.example"))));

    (void)state;
    assert_string_equal(output->ns, SERVICE_URI);
    assert_string_equal(output->name, "UnlockSystems_OUTPUT");
    assert_string_equal(property(output, "ReturnValue"), "4096");
    assert_int_equal(strlen(job_of_output(output)), strlen("amtunlock:") + 26);
    assert_non_null(strstr(fixture.note, job_of_output(output)));
    fixture.settings.job_started = 0;
    output = answered(service_method("UnlockSystems", names_xml(NAMES("pc1.example"))));
    assert_string_equal(property(output, "ReturnValue"), "0");
}

static const char *unlock_with_id(const char *message_id, const char *name)
{
    request_t request = service_method("UnlockSystems", names_xml(NAMES(name, "pc2.example")));

    request.message_id = message_id;
    return job_of_output(answered(request));
}

static void a_uuid_and_the_same_systems_are_the_same_request(void **state)
{
    const char *uuid = "uuid:0F0E0D0C-0b0a-0908-0706-050403020100";
    const char *same = "urn:uuid:0f0e0d0c-0b0a-0908-0706-050403020100";
    const char *first = unlock_with_id(uuid, "pc1.example");

    (void)state;
    assert_string_equal(unlock_with_id(uuid, "pc1.example"), first);
    assert_non_null(strstr(fixture.note, "repeat"));
    assert_string_equal(unlock_with_id(same, "PC1.example."), first);
    assert_string_not_equal(unlock_with_id(uuid, "pc9.example"), first);
}

static void a_message_id_that_counts_repeats_nothing(void **state)
{
    const char *first = unlock_with_id("0", "pc1.example");

    (void)state;
    assert_string_not_equal(unlock_with_id("0", "pc1.example"), first);
    assert_non_null(strstr(fixture.note, "no UUID"));
}

static void a_caller_over_its_limit_hears_so(void **state)
{
    (void)state;
    fixture.settings.limits.jobs = 1;
    unlock(NULL, NAMES("pc1.example"));
    refused(service_method("UnlockSystems", names_xml(NAMES("pc2.example"))), WSMAN_FAULT_QUOTA_LIMIT, NULL);
    assert_non_null(unlock(&fixture.mallory, NAMES("pc2.example")));
}

static void without_redis_a_caller_is_told_when_to_come_again(void **state)
{
    wsman_answer_t answer;

    (void)state;
    redis_server_kill(&fixture.server);
    answer = ask(service_method("UnlockSystems", names_xml(NAMES("pc1.example"))));
    assert_non_null(answer.fault);
    assert_int_equal(answer.fault->kind, WSMAN_FAULT_ENDPOINT_UNAVAILABLE);
    assert_int_equal(answer.fault->retry_after, 7);
    assert_int_equal(answer.status, 500);
    assert_non_null(fixture.note);
    answered((request_t){.uri = SERVICE_URI, .action = WSMAN_ACTION_GET});
}

/* ---- GetUnlockedSystems ----------------------------------------------------------------------------- */

static const char *reference_xml(const char *uri, const char *job)
{
    return apr_pstrcat(fixture.pool,
                       "<wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address><wsa:ReferenceParameters>"
                       "<wsman:ResourceURI>",
                       uri,
                       "</wsman:ResourceURI><wsman:SelectorSet>"
                       "<wsman:Selector Name=\"InstanceID\">",
                       job,
                       "</wsman:Selector></wsman:SelectorSet>"
                       "</wsa:ReferenceParameters>",
                       NULL);
}

static const char *failed_of(const char *input)
{
    const wsman_element_t *output = answered(service_method("GetUnlockedSystems", input));

    assert_string_equal(property(output, "ReturnValue"), "0");
    return properties(output, "failedSystems");
}

static void results_are_found_by_every_way_to_name_a_job(void **state)
{
    const char *job = unlock(NULL, NAMES("Nowhere.Example", "vault.example"));
    const char *reference = reference_xml(JOB_URI, job);
    const char *ways[] = {
        apr_pstrcat(fixture.pool, "<p:InstanceID>", job, "</p:InstanceID>", NULL),
        apr_pstrcat(fixture.pool, "<p:Job>", reference, "</p:Job>", NULL),
        apr_pstrcat(fixture.pool, "<p:Job><wsa:EndpointReference>", reference,
                    "</wsa:EndpointReference></p:Job>", NULL),
        apr_pstrcat(fixture.pool, "<p:InstanceID> ", job, " </p:InstanceID><p:Job>", reference, "</p:Job>",
                    NULL),
    };

    (void)state;
    assert_string_equal(failed_of(NULL), "Nowhere.Example vault.example");
    assert_string_equal(failed_of(""), "Nowhere.Example vault.example");
    unlock(NULL, NAMES("later.example"));
    assert_string_equal(failed_of(NULL), "later.example");
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        assert_string_equal(failed_of(ways[i]), "Nowhere.Example vault.example");
    }
}

static void results_come_as_they_are_in_the_callers_spelling(void **state)
{
    const wsman_element_t *output;
    jobs_task_t task;

    (void)state;
    unlock(NULL, NAMES("PC1.example", "10.0.0.1", "pc2.example"));
    output = answered(service_method("GetUnlockedSystems", NULL));
    assert_string_equal(properties(output, "unlockedSystems"), "");
    task = claim_task();
    finish_task(&task, JOBS_REASON_NONE);
    task = claim_task();
    finish_task(&task, JOBS_REASON_UNREACHABLE);
    output = answered(service_method("GetUnlockedSystems", NULL));
    assert_string_equal(properties(output, "unlockedSystems"), "PC1.example 10.0.0.1");
    assert_string_equal(properties(output, "failedSystems"), "pc2.example");
}

static void a_window_of_the_names_can_be_asked_for(void **state)
{
    (void)state;
    unlock(NULL, NAMES("a.x", "b.x", "c.x", "d.x"));
    assert_string_equal(failed_of("<p:First>1</p:First><p:Count>2</p:Count>"), "b.x c.x");
    assert_string_equal(failed_of("<p:First>3</p:First>"), "d.x");
    assert_string_equal(failed_of("<p:Count>0</p:Count>"), "");
    assert_string_equal(failed_of("<p:First>9</p:First>"), "");
}

static void questions_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        const char *input;
        const char *detail;
    } bad[] = {
        {"<p:Odd>1</p:Odd>", "InvalidName"},
        {"<First xmlns=\"urn:other\">1</First>", "InvalidName"},
        {"<p:First>1</p:First><p:First>1</p:First>", "InvalidName"},
        {"<p:First>-1</p:First>", "InvalidValue"},
        {"<p:Count>many</p:Count>", "InvalidValue"},
        {"<p:Count>99999999999</p:Count>", "InvalidValue"},
        {"<p:Job/>", "InvalidValue"},
        {"<p:Job>amtunlock:aaaaaaaaaaaaaaaaaaaaaaaaaa</p:Job>", "InvalidValue"},
    };
    const char *wrong_class =
        apr_pstrcat(fixture.pool, "<p:Job>",
                    reference_xml(SERVICE_URI, "amtunlock:aaaaaaaaaaaaaaaaaaaaaaaaaa"), "</p:Job>", NULL);
    const char *two =
        apr_pstrcat(fixture.pool, "<p:InstanceID>amtunlock:bbbbbbbbbbbbbbbbbbbbbbbbbb</p:InstanceID><p:Job>",
                    reference_xml(JOB_URI, "amtunlock:aaaaaaaaaaaaaaaaaaaaaaaaaa"), "</p:Job>", NULL);

    (void)state;
    unlock(NULL, NAMES("a.x"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refused(service_method("GetUnlockedSystems", bad[i].input), WSMAN_FAULT_INVALID_PARAMETER,
                bad[i].detail);
    }
    refused(service_method("GetUnlockedSystems", wrong_class), WSMAN_FAULT_INVALID_PARAMETER, "InvalidValue");
    refused(service_method("GetUnlockedSystems", two), WSMAN_FAULT_INVALID_PARAMETER, "InvalidValue");
}

static void no_job_gone_and_anothers_look_alike(void **state)
{
    const char *job = unlock(&fixture.mallory, NAMES("pc1.example"));
    const char *ids[] = {job, "amtunlock:aaaaaaaaaaaaaaaaaaaaaaaaaa", "amtunlock:AAAA", "other", ""};
    const char *reason = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const char *input = apr_pstrcat(fixture.pool, "<p:InstanceID>", ids[i], "</p:InstanceID>", NULL);
        const char *message = refused(service_method("GetUnlockedSystems", input),
                                      WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");

        assert_string_equal(message, reason ? reason : message);
        reason = message;
    }
    assert_string_equal(refused(service_method("GetUnlockedSystems", NULL),
                                WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI"),
                        reason);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, manageability_setup, manageability_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_service_tells_its_properties),
        TEST(a_right_selector_with_a_wrong_value_names_nothing),
        TEST(the_service_is_found_under_its_base_class),
        TEST(names_that_are_none_are_refused),
        TEST(a_name_may_be_long_but_not_longer),
        TEST(no_name_is_a_missing_value),
        TEST(the_maximum_is_named),
        TEST(any_one_parameter_name_will_do),
        TEST(another_payload_is_refused),
        TEST(an_unlock_is_answered_with_a_job),
        TEST(a_uuid_and_the_same_systems_are_the_same_request),
        TEST(a_message_id_that_counts_repeats_nothing),
        TEST(a_caller_over_its_limit_hears_so),
        TEST(without_redis_a_caller_is_told_when_to_come_again),
        TEST(results_are_found_by_every_way_to_name_a_job),
        TEST(results_come_as_they_are_in_the_callers_spelling),
        TEST(a_window_of_the_names_can_be_asked_for),
        TEST(questions_that_make_no_sense_are_refused),
        TEST(no_job_gone_and_anothers_look_alike),
    };

    return cmocka_run_group_tests(tests, manageability_group_setup, manageability_group_teardown);
}
