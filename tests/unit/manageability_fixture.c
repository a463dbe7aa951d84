/* SPDX-License-Identifier: Apache-2.0 */
#include "manageability_fixture.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_uuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wsman_fixture.h"

#define BUDGET apr_time_from_msec(2000) /* generous: the machine of a test is shared */

manageability_fixture_t fixture;

static void assert_done(jobs_result_t result)
{
    if (result.outcome != JOBS_OK) {
        fail_msg("outcome %d: %s", result.outcome, result.text);
    }
}

/* ---- life ------------------------------------------------------------------------------------------- */

int manageability_group_setup(void **state)
{
    return fixture_group_setup(state) ? -1 : redis_server_start(&fixture.server);
}

int manageability_group_teardown(void **state)
{
    redis_server_remove(&fixture.server);
    return fixture_group_teardown(state);
}

static apr_array_header_t *texts(const char *const *list)
{
    apr_array_header_t *array = apr_array_make(fixture.pool, 2, sizeof(const char *));

    for (; *list != NULL; list++) {
        APR_ARRAY_PUSH(array, const char *) = *list;
    }
    return array;
}

static apr_array_header_t *inventory(void)
{
    const jobs_published_t systems[] = {
        {"pc1.example", "floor1", "wake", texts(NAMES("pc1.example", "10.0.0.1"))},
        {"pc2.example", "floor1", "wake", texts(NAMES("pc2.example"))},
        {"vault.example", "safe", "wake", texts(NAMES("vault.example"))},
    };
    apr_array_header_t *array = apr_array_make(fixture.pool, 3, sizeof(jobs_published_t));

    for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++) {
        APR_ARRAY_PUSH(array, jobs_published_t) = systems[i];
    }
    return array;
}

/* A test may have killed it; a Redis that has just been started may still read its data. */
static int redis_is_there(void)
{
    const char *ping[] = {"PING"};

    if (!fixture.server.pid && redis_server_restart(&fixture.server)) {
        return 0;
    }
    for (int tries = 0; tries < 500; tries++) {
        if (redis_server_do(&fixture.server, 1, ping) == 0) {
            return 1;
        }
        apr_sleep(apr_time_from_msec(10));
    }
    return 0;
}

int manageability_setup(void **state)
{
    const jobs_pool_limits_t limits = {2, 2, BUDGET, BUDGET};

    (void)state;
    apr_pool_create(&fixture.pool, NULL);
    fixture.settings = (manageability_settings_t){
        .system_name = "unlock.example",
        .max_systems = 5,
        .retention = apr_time_from_sec(1800),
        .start_within = apr_time_from_sec(3600),
        .job_started = 4096,
        .retry_after = 7,
    };
    fixture.alice = (jobs_caller_t){"alice@EXAMPLE", "192.0.2.1", "krb5", texts(NAMES("floor1")), 0};
    fixture.mallory = (jobs_caller_t){"mallory@EXAMPLE", "192.0.2.2", "krb5", texts(NAMES("*")), 0};
    if (!redis_is_there() || redis_server_flush(&fixture.server) ||
        jobs_pool_create(&fixture.jobs, &fixture.server.web, &limits, fixture.pool) != APR_SUCCESS ||
        jobs_client_create(&fixture.worker, &fixture.server.worker, BUDGET, fixture.pool) != APR_SUCCESS ||
        manageability_answers_create(&fixture.answers, 1 << 20, fixture.pool) != APR_SUCCESS) {
        return -1;
    }
    assert_done(jobs_library_load(fixture.worker));
    assert_done(jobs_publish(fixture.worker, "w1", &(jobs_edition_t){"digest-1", 1000, "host"}, inventory(),
                             fixture.pool));
    return 0;
}

int manageability_teardown(void **state)
{
    (void)state;
    apr_pool_destroy(fixture.pool);
    return 0;
}

/* ---- requests --------------------------------------------------------------------------------------- */

static const char *new_message_id(void)
{
    char text[APR_UUID_FORMATTED_LENGTH + 1];
    apr_uuid_t uuid;

    apr_uuid_get(&uuid);
    apr_uuid_format(text, &uuid);
    return apr_pstrcat(fixture.pool, "uuid:", text, NULL);
}

/* Where a request has no prefix p of its own to bind, it does not hurt. */
static const wsman_envelope_t *envelope_of(const request_t *request)
{
    apr_pool_t *pool = fixture.pool;
    const char *headers = apr_pstrcat(
        pool, "<wsa:To>/wsman</wsa:To><wsa:Action>", request->action, "</wsa:Action><wsa:MessageID>",
        request->message_id != NULL ? request->message_id : new_message_id(),
        "</wsa:MessageID><wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS
        "</wsa:Address></wsa:ReplyTo><wsman:ResourceURI>",
        request->uri, "</wsman:ResourceURI>", request->selectors != NULL ? request->selectors : "", NULL);
    const char *text = fixture_wrap(headers, request->body != NULL ? request->body : "", pool);

    return fixture_envelope(text, pool);
}

wsman_answer_t ask(request_t request)
{
    manageability_context_t context = {
        .settings = &fixture.settings,
        .jobs = fixture.jobs,
        .caller = request.caller != NULL ? request.caller : &fixture.alice,
        .answers = fixture.answers,
    };
    wsman_service_t service = manageability_service(&context);
    wsman_answer_t answer;

    wsman_serve(&service, envelope_of(&request), &answer, fixture.pool);
    fixture.note = context.note;
    return answer;
}

const wsman_element_t *answered(request_t request)
{
    wsman_answer_t answer = ask(request);
    const wsman_envelope_t *envelope = NULL;

    if (answer.fault != NULL) {
        fail_msg("a fault: %s", answer.fault->reason);
    }
    assert_int_equal(answer.status, 200);
    assert_null(fixture_read_bytes(answer.bytes, answer.length, 0, NULL, &wsman_limits_default, &envelope,
                                   fixture.pool));
    return envelope->body->child;
}

const char *refused(request_t request, wsman_fault_e kind, const char *detail)
{
    wsman_answer_t answer = ask(request);

    if (answer.fault == NULL) {
        fail_msg("no fault: %.*s", (int)answer.length, answer.bytes);
        return NULL; /* not reached; for static analysis */
    }
    if (answer.fault->kind != kind) {
        fail_msg("fault %s: %s", wsman_fault_subcode(answer.fault->kind), answer.fault->reason);
    }
    if (detail != NULL) {
        assert_non_null(answer.fault->detail);
        assert_string_equal(answer.fault->detail, detail);
    }
    else {
        assert_null(answer.fault->detail);
    }
    return answer.fault->reason;
}

static const char *input_xml(const char *uri, const char *method, const char *input)
{
    return input != NULL ? apr_pstrcat(fixture.pool, "<p:", method, "_INPUT xmlns:p=\"", uri, "\">", input,
                                       "</p:", method, "_INPUT>", NULL)
                         : "";
}

static const char *selectors_xml(const char *job)
{
    return apr_pstrcat(fixture.pool, "<wsman:SelectorSet><wsman:Selector Name=\"InstanceID\">", job,
                       "</wsman:Selector></wsman:SelectorSet>", NULL);
}

request_t service_method(const char *method, const char *input)
{
    return (request_t){
        .uri = SERVICE_URI,
        .action = apr_pstrcat(fixture.pool, SERVICE_URI "/", method, NULL),
        .body = input_xml(SERVICE_URI, method, input),
    };
}

request_t job_method(const char *job, const char *method, const char *input)
{
    return (request_t){
        .uri = JOB_URI,
        .action = apr_pstrcat(fixture.pool, JOB_URI "/", method, NULL),
        .selectors = selectors_xml(job),
        .body = input_xml(JOB_URI, method, input),
    };
}

request_t job_request(const char *job, const char *action)
{
    return (request_t){.uri = JOB_URI, .action = action, .selectors = selectors_xml(job)};
}

/* ---- names and jobs --------------------------------------------------------------------------------- */

const char *names_xml(const char *const *names)
{
    const char *xml = "";

    for (; *names != NULL; names++) {
        xml = apr_pstrcat(fixture.pool, xml, "<p:systems>", *names, "</p:systems>", NULL);
    }
    return xml;
}

const char *job_of_output(const wsman_element_t *output)
{
    const wsman_element_t *job = wsman_child(output, SERVICE_URI, "Job");
    const wsman_element_t *parameters = wsman_child(job, WSMAN_URI_WSA, "ReferenceParameters");
    const wsman_element_t *set = wsman_child(parameters, WSMAN_URI_WSMAN, "SelectorSet");
    const char *id = wsman_child_text(set, WSMAN_URI_WSMAN, "Selector", fixture.pool);

    assert_string_equal(wsman_child_text(job, WSMAN_URI_WSA, "Address", fixture.pool), WSMAN_URI_ANONYMOUS);
    assert_string_equal(wsman_child_text(parameters, WSMAN_URI_WSMAN, "ResourceURI", fixture.pool), JOB_URI);
    assert_non_null(id);
    return id;
}

const char *unlock(const jobs_caller_t *caller, const char *const *names)
{
    request_t request = service_method("UnlockSystems", names_xml(names));

    request.caller = caller;
    return job_of_output(answered(request));
}

const char *property(const wsman_element_t *instance, const char *name)
{
    const wsman_element_t *found = wsman_child(instance, NULL, name);

    if (found == NULL || wsman_is_nil(found)) {
        return NULL;
    }
    return wsman_text(found->child != NULL ? found->child : found, fixture.pool);
}

const char *properties(const wsman_element_t *instance, const char *name)
{
    const char *joined = "";

    for (const wsman_element_t *found = wsman_child(instance, NULL, name); found != NULL;
         found = wsman_next_same(found)) {
        joined = apr_pstrcat(fixture.pool, joined, *joined ? " " : "", wsman_text(found, fixture.pool), NULL);
    }
    return joined;
}

/* ---- a worker --------------------------------------------------------------------------------------- */

jobs_task_t claim_task(void)
{
    apr_array_header_t *tasks = NULL;
    int more = 0;

    assert_done(jobs_claim(fixture.worker, "w1", "digest-1", 1, NULL, &tasks, &more, fixture.pool));
    assert_int_equal(tasks->nelts, 1);
    return APR_ARRAY_IDX(tasks, 0, jobs_task_t);
}

static void apply(const jobs_task_t *task, jobs_change_t change)
{
    jobs_change_t *one = &change;

    change.task = task->ref;
    assert_done(jobs_apply(fixture.worker, "w1", &one, 1, fixture.pool));
    assert_done(change.result);
}

void finish_task(const jobs_task_t *task, jobs_reason_e reason)
{
    if (reason == JOBS_REASON_NONE) {
        apply(task, (jobs_change_t){.change = JOBS_INTEND,
                                    .step = "power",
                                    .intent = "{}",
                                    .device = "",
                                    .step_deadline = apr_time_from_sec(600)});
    }
    apply(task, (jobs_change_t){.change = JOBS_FINISH,
                                .step = reason == JOBS_REASON_NONE ? "probe" : "connect",
                                .state = reason == JOBS_REASON_NONE ? 'U' : 'F',
                                .reason = reason});
}
