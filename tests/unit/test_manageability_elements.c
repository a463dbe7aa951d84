/* SPDX-License-Identifier: Apache-2.0 */
/* The associations of jobs, the classes above ours, and what an operator sees. */
#include "manageability_fixture.h"

#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OWNING_URI WSMAN_URI_CIM_CLASS "CIM_OwningJobElement"
#define AFFECTED_URI WSMAN_URI_CIM_CLASS "CIM_AffectedJobElement"
#define BASE(name) WSMAN_URI_CIM_CLASS name
#define OPTIMIZED "<wsman:OptimizeEnumeration/><wsman:MaxElements>100</wsman:MaxElements>"
#define EXCLUDE "<wsmb:PolymorphismMode>ExcludeSubClassProperties</wsmb:PolymorphismMode>"

static const wsman_element_t *items(const jobs_caller_t *caller, const char *uri, const char *more)
{
    request_t request = {caller, uri, WSMAN_ACTION_ENUMERATE, "", NULL, NULL};
    const wsman_element_t *response;

    request.body = apr_pstrcat(fixture.pool, "<wsen:Enumerate>" OPTIMIZED, more, "</wsen:Enumerate>", NULL);
    response = answered(request);
    assert_non_null(wsman_child(response, WSMAN_URI_WSMAN, "EndOfSequence"));
    return wsman_child(response, WSMAN_URI_WSMAN, "Items")->child;
}

static int count(const wsman_element_t *item)
{
    int found = 0;

    for (; item != NULL; item = item->next) {
        found++;
    }
    return found;
}

/* ---- associations ----------------------------------------------------------------------------------- */

static const char *selector(const char *name, const char *uri, const char *selectors)
{
    return apr_pstrcat(
        fixture.pool, "<wsman:Selector Name=\"", name,
        "\"><wsa:EndpointReference><wsa:Address>" WSMAN_URI_ANONYMOUS
        "</wsa:Address><wsa:ReferenceParameters><wsman:ResourceURI>",
        uri, "</wsman:ResourceURI><wsman:SelectorSet>", selectors,
        "</wsman:SelectorSet></wsa:ReferenceParameters></wsa:EndpointReference></wsman:Selector>", NULL);
}

static const char *job_selector(const char *name, const char *job)
{
    return selector(
        name, JOB_URI,
        apr_pstrcat(fixture.pool, "<wsman:Selector Name=\"InstanceID\">", job, "</wsman:Selector>", NULL));
}

static request_t owning(const char *service, const char *job)
{
    request_t request = {NULL, OWNING_URI, WSMAN_ACTION_GET, "", "", NULL};

    request.selectors =
        apr_pstrcat(fixture.pool, "<wsman:SelectorSet>", selector("OwningElement", SERVICE_URI, service), job,
                    "</wsman:SelectorSet>", NULL);
    return request;
}

static const char *end_of(const wsman_element_t *association, const char *name)
{
    const wsman_reference_t *reference =
        wsman_reference(wsman_child(association, association->ns, name), fixture.pool);

    assert_non_null(reference);
    return reference->resource_uri;
}

static void an_association_leads_from_the_service_to_the_job(void **state)
{
    const char *job = unlock(NULL, NAMES("a.x"));
    const wsman_element_t *got = answered(owning("", job_selector("OwnedElement", job)));
    request_t affected = {NULL, AFFECTED_URI, WSMAN_ACTION_GET, "", "", NULL};

    (void)state;
    assert_string_equal(got->name, "CIM_OwningJobElement");
    assert_string_equal(end_of(got, "OwningElement"), SERVICE_URI);
    assert_string_equal(end_of(got, "OwnedElement"), JOB_URI);
    affected.selectors =
        apr_pstrcat(fixture.pool, "<wsman:SelectorSet>", selector("AffectedElement", SERVICE_URI, ""),
                    job_selector("AffectingElement", job), "</wsman:SelectorSet>", NULL);
    got = answered(affected);
    assert_string_equal(end_of(got, "AffectedElement"), SERVICE_URI);
    assert_string_equal(end_of(got, "AffectingElement"), JOB_URI);
    assert_string_equal(property(got, "ElementEffects"), "1");
}

static void an_association_has_both_its_ends(void **state)
{
    const char *job = unlock(NULL, NAMES("a.x"));
    const char *mine = job_selector("OwnedElement", job);
    request_t foreign = owning("", mine);

    (void)state;
    foreign.caller = &fixture.mallory;
    refused(foreign, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    refused(owning("<wsman:Selector Name=\"Name\">Other</wsman:Selector>", mine),
            WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    refused(owning("", selector("OwnedElement", SERVICE_URI, "")), WSMAN_FAULT_DESTINATION_UNREACHABLE,
            "InvalidResourceURI");
    refused(owning("", ""), WSMAN_FAULT_INVALID_SELECTORS, "InsufficientSelectors");
    refused(owning("", apr_pstrcat(fixture.pool, "<wsman:Selector Name=\"OwnedElement\">", job,
                                   "</wsman:Selector>", NULL)),
            WSMAN_FAULT_INVALID_SELECTORS, "TypeMismatch");
}

/* The classes that the selectors of a reference refer to. */
static const char *ends_of(const wsman_reference_t *reference)
{
    const char *made = "";

    for (const wsman_selector_t *one = reference->selectors; one != NULL; one = one->next) {
        made = apr_pstrcat(fixture.pool, made, *made ? " " : "",
                           one->reference != NULL ? one->reference->resource_uri : one->value, NULL);
    }
    return made;
}

static void a_reference_from_an_enumeration_can_be_used(void **state)
{
    static const char *const classes[] = {OWNING_URI, AFFECTED_URI};

    (void)state;
    unlock(NULL, NAMES("a.x"));
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        const wsman_element_t *item =
            items(NULL, classes[i], "<wsman:EnumerationMode>EnumerateEPR</wsman:EnumerationMode>");
        const wsman_reference_t *reference = wsman_reference(item, fixture.pool);

        assert_int_equal(count(item), 1);
        assert_string_equal(reference->resource_uri, classes[i]);
        assert_string_equal(ends_of(reference), SERVICE_URI " " JOB_URI);
    }
}

/* ---- classes above ours ----------------------------------------------------------------------------- */

static void a_base_class_has_the_instances_of_all_below(void **state)
{
    static const struct {
        const char *uri;
        int instances;
    } cases[] = {
        {BASE("CIM_Service"), 1},
        {BASE("CIM_EnabledLogicalElement"), 1},
        {BASE("CIM_Job"), 2},
        {BASE("CIM_LogicalElement"), 3},
        {BASE("CIM_ManagedSystemElement"), 3},
        {BASE("CIM_ManagedElement"), 3},
        {WSMAN_URI_ALL_CLASSES, 7}, /* and two associations a job */
    };

    (void)state;
    unlock(NULL, NAMES("a.x"));
    unlock(NULL, NAMES("b.x"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(count(items(NULL, cases[i].uri, "")), cases[i].instances);
    }
}

/* The names of the properties, in their order. */
static const char *properties_of(const wsman_element_t *instance)
{
    const char *made = "";

    for (const wsman_element_t *each = instance->child; each != NULL; each = each->next) {
        assert_string_equal(each->ns, instance->ns);
        made = apr_pstrcat(fixture.pool, made, *made ? " " : "", each->name, NULL);
    }
    return made;
}

static void instances_may_be_seen_as_the_base_class(void **state)
{
    static const struct {
        const char *uri, *name, *properties;
    } cases[] = {
        {BASE("CIM_Service"), "CIM_Service",
         "CreationClassName ElementName EnabledState HealthState InstanceID Name OperationalStatus Started "
         "SystemCreationClassName SystemName"},
        {BASE("CIM_EnabledLogicalElement"), "CIM_EnabledLogicalElement",
         "ElementName EnabledState HealthState InstanceID Name OperationalStatus"},
        {BASE("CIM_Job"), "CIM_Job",
         "DeleteOnCompletion ElapsedTime ElementName ErrorCode ErrorDescription HealthState InstanceID "
         "JobRunTimes JobStatus Name OperationalStatus OperationalStatus Owner PercentComplete StartTime "
         "TimeSubmitted"},
        {BASE("CIM_ManagedElement"), "CIM_ManagedElement", "ElementName InstanceID"},
    };

    (void)state;
    unlock(NULL, NAMES("a.x"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const wsman_element_t *item = items(NULL, cases[i].uri, EXCLUDE);

        assert_string_equal(item->ns, cases[i].uri);
        assert_string_equal(item->name, cases[i].name);
        assert_string_equal(properties_of(item), cases[i].properties);
    }
}

/* ---- operators -------------------------------------------------------------------------------------- */

static jobs_caller_t an_operator(void)
{
    jobs_caller_t caller = fixture.mallory;

    caller.reads_all = 1;
    return caller;
}

static request_t by(const jobs_caller_t *caller, request_t request)
{
    request.caller = caller;
    return request;
}

static void an_operator_reads_every_job(void **state)
{
    const jobs_caller_t caller = an_operator();
    const char *job = unlock(NULL, NAMES("a.x"));

    (void)state;
    assert_string_equal(property(answered(by(&caller, job_request(job, WSMAN_ACTION_GET))), "Owner"),
                        fixture.alice.name);
    assert_int_equal(count(items(&caller, JOB_URI, "")), 1);
    assert_int_equal(count(items(&caller, OWNING_URI, "")), 1);
    assert_non_null(wsman_child(answered(by(&caller, job_method(job, "GetErrors", ""))), NULL, "Errors"));
    refused(by(&fixture.mallory, job_request(job, WSMAN_ACTION_GET)), WSMAN_FAULT_DESTINATION_UNREACHABLE,
            "InvalidResourceURI");
}

static void an_operator_changes_no_job_of_others(void **state)
{
    const jobs_caller_t caller = an_operator();
    const char *waiting = unlock(NULL, NAMES("pc1.example"));
    const char *ended = unlock(NULL, NAMES("a.x"));
    const char *own = unlock(&caller, NAMES("b.x"));
    const char *terminate = "<p:RequestedState>4</p:RequestedState>";

    (void)state;
    refused(by(&caller, job_method(waiting, "RequestStateChange", terminate)), WSMAN_FAULT_ACCESS_DENIED,
            NULL);
    refused(by(&caller, job_request(ended, WSMAN_ACTION_DELETE)), WSMAN_FAULT_ACCESS_DENIED, NULL);
    refused(by(&caller, job_request("amtunlock:aaaaaaaaaaaaaaaaaaaaaaaaaa", WSMAN_ACTION_DELETE)),
            WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI");
    assert_string_equal(property(answered(job_request(waiting, WSMAN_ACTION_GET)), "JobState"), "2");
    assert_string_equal(property(answered(job_request(ended, WSMAN_ACTION_GET)), "JobState"), "7");
    assert_int_equal(ask(by(&caller, job_request(own, WSMAN_ACTION_DELETE))).status, 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, manageability_setup, manageability_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_association_leads_from_the_service_to_the_job),
        TEST(an_association_has_both_its_ends),
        TEST(a_reference_from_an_enumeration_can_be_used),
        TEST(a_base_class_has_the_instances_of_all_below),
        TEST(instances_may_be_seen_as_the_base_class),
        TEST(an_operator_reads_every_job),
        TEST(an_operator_changes_no_job_of_others),
    };

    return cmocka_run_group_tests(tests, manageability_group_setup, manageability_group_teardown);
}
