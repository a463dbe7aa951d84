/* SPDX-License-Identifier: Apache-2.0 */
/* An envelope is read, served by the Manageability Interface with a real Redis behind it, answered; and
 * the answer read as a client reads it. An answer that is no fault is whole, and what it says was done was
 * done.
 */
#include <string.h>

#include <apr_strings.h>

#include "failing.h"
#include "manageability/manageability.h"
#include "redis.h"
#include "scenarios.h"
#include "wsman/envelope.h"
#include "wsman/names.h"

#define SERVICE_URI WSMAN_URI_AMT_CLASS "AMT_RemoteEncryptionService"
#define JOB_URI WSMAN_URI_CIM_CLASS "CIM_ConcreteJob"
#define MESSAGE_ID "uuid:6d4ab1b2-0b3a-4a55-9d0e-2f5a4c6f1e10"
#define PIECE 1000

static const manageability_settings_t settings = {.system_name = "unlock.example",
                                                  .max_systems = 5,
                                                  .retention = APR_TIME_C(1800) * APR_USEC_PER_SEC,
                                                  .start_within = APR_TIME_C(3600) * APR_USEC_PER_SEC,
                                                  .job_started = 4096,
                                                  .retry_after = 7,
                                                  .limits.contexts = 10};

static const char *wrap(const char *action, const char *uri, const char *selectors, const char *body,
                        apr_pool_t *pool)
{
    return apr_pstrcat(pool,
                       "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\" xmlns:wsa=\"" WSMAN_URI_WSA
                       "\" xmlns:wsman=\"" WSMAN_URI_WSMAN "\" xmlns:wsen=\"" WSMAN_URI_WSEN "\" xmlns:p=\"",
                       uri, "\"><s:Header><wsa:To>/wsman</wsa:To><wsa:Action>", action,
                       "</wsa:Action><wsa:MessageID>" MESSAGE_ID
                       "</wsa:MessageID><wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS
                       "</wsa:Address></wsa:ReplyTo><wsman:ResourceURI>",
                       uri, "</wsman:ResourceURI>", selectors, "</s:Header><s:Body>", body,
                       "</s:Body></s:Envelope>", NULL);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static const wsman_fault_t *read_bytes(const char *bytes, apr_size_t length, const char *charset,
                                       const wsman_envelope_t **envelope, apr_pool_t *pool)
{
    wsman_reader_t *reader = wsman_reader_create(&wsman_limits_default, charset, pool);
    const wsman_fault_t *fault = NULL;

    *envelope = NULL;
    for (apr_size_t at = 0; at < length && fault == NULL; at += PIECE) {
        fault = wsman_reader_feed(reader, bytes + at, length - at < PIECE ? length - at : PIECE);
    }
    fault = wsman_reader_finish(reader, envelope);
    TORTURE_HOLDS((fault == NULL) == (*envelope != NULL));
    return fault;
}

/* Reads an answer as a client does, with no call failing: its body must match its status. NULL: no body. */
static const wsman_envelope_t *as_client(const wsman_answer_t *answer, apr_pool_t *pool)
{
    const wsman_envelope_t *envelope = NULL;
    const wsman_fault_t *fault;

    torture_spare();
    TORTURE_HOLDS(answer->status == 200 || answer->status >= 400);
    if (answer->length == 0) {
        TORTURE_HOLDS(answer->status >= 500);
        return NULL;
    }
    fault = read_bytes(answer->bytes, answer->length, NULL, &envelope, pool);
    if (fault != NULL) {
        TORTURE_BROKEN("an answer of status %d that cannot be read (%s): %.*s", answer->status, fault->reason,
                       (int)answer->length, answer->bytes);
    }
    TORTURE_HOLDS((answer->status == 200) == (envelope->fault == NULL));
    return envelope;
}

/* The caller's envelope was valid, so the fault must be the service's own. */
static void check_fault(const wsman_fault_t *fault)
{
    TORTURE_SAYS(fault->reason);
    if (failing_hit->lost & FAILING_LOST_ACCUSES) {
        return;
    }
    if (fault->kind != WSMAN_FAULT_INTERNAL && fault->kind != WSMAN_FAULT_ENDPOINT_UNAVAILABLE) {
        TORTURE_BROKEN("accuses the caller: %s (%s)", fault->reason, wsman_fault_subcode(fault->kind));
    }
}

static int count_texts(const wsman_element_t *parent, const char *name)
{
    int count = 0;

    for (const wsman_element_t *found = wsman_child(parent, NULL, name); found != NULL;
         found = wsman_next_same(found)) {
        count++;
    }
    return count;
}

/* ---- a request through everything ---------------------------------------------------------------------- */

static torture_verdict_e serve(const char *text, wsman_answer_t *answer, apr_pool_t *pool)
{
    const jobs_caller_t caller = redis_caller(pool);
    const wsman_envelope_t *envelope = NULL, *reply;
    const wsman_fault_t *fault;
    jobs_pool_t *jobs = NULL;

    if (jobs_pool_create(&jobs, &redis_server.web, &redis_limits, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    fault = read_bytes(text, strlen(text), NULL, &envelope, pool);
    if (fault != NULL) {
        check_fault(fault);
        wsman_answer_fault(fault, (wsman_encoding_t){WSMAN_UTF8, 0}, NULL, answer, pool);
    }
    else {
        manageability_context_t context = {.settings = &settings, .jobs = jobs, .caller = &caller};
        wsman_service_t service = manageability_service(&context);

        wsman_serve(&service, envelope, answer, pool);
    }
    reply = as_client(answer, pool);
    if (answer->status == 200) {
        return TORTURE_WELL;
    }
    if (reply != NULL) {
        check_fault(reply->fault);
    }
    return TORTURE_REFUSED;
}

static char job_id[64];

static void reset_service(apr_pool_t *pool)
{
    redis_reset(pool);
    job_id[0] = '\0';
}

static const char *unlock_text(apr_pool_t *pool)
{
    return wrap(SERVICE_URI "/UnlockSystems", SERVICE_URI, "",
                "<p:UnlockSystems_INPUT><p:systems>pc1.example</p:systems><p:systems>pc2.example</p:systems>"
                "</p:UnlockSystems_INPUT>",
                pool);
}

static const char *id_of(const wsman_envelope_t *envelope, apr_pool_t *pool)
{
    const wsman_element_t *job = wsman_child(envelope->body->child, SERVICE_URI, "Job");
    const wsman_element_t *parameters = wsman_child(job, WSMAN_URI_WSA, "ReferenceParameters");
    const wsman_element_t *set = wsman_child(parameters, WSMAN_URI_WSMAN, "SelectorSet");
    const char *id = wsman_child_text(set, WSMAN_URI_WSMAN, "Selector", pool);

    TORTURE_SAYS(id);
    return id;
}

static torture_verdict_e run_unlock(apr_pool_t *pool)
{
    wsman_answer_t answer = {0};
    torture_verdict_e verdict = serve(unlock_text(pool), &answer, pool);

    if (verdict == TORTURE_WELL) {
        apr_cpystrn(job_id, id_of(as_client(&answer, pool), pool), sizeof(job_id));
    }
    return verdict;
}

/* A console that was refused sends its request again and then has one job. */
static void check_unlock(torture_verdict_e said, apr_pool_t *pool)
{
    wsman_answer_t answer = {0};
    const char *id;

    TORTURE_HOLDS(said == TORTURE_REFUSED || redis_jobs(pool) == 1);
    TORTURE_HOLDS(serve(unlock_text(pool), &answer, pool) == TORTURE_WELL);
    id = id_of(as_client(&answer, pool), pool);
    TORTURE_HOLDS(said == TORTURE_REFUSED || strcmp(id, job_id) == 0);
    TORTURE_HOLDS(redis_jobs(pool) == 1);
}

const torture_scenario_t torture_service_unlock = {.name = "service.unlock",
                                                   .start = redis_start,
                                                   .reset = reset_service,
                                                   .run = run_unlock,
                                                   .check = check_unlock};

/* ---- asking for a job ---------------------------------------------------------------------------------- */

static void reset_job(apr_pool_t *pool)
{
    reset_service(pool);
    TORTURE_HOLDS(run_unlock(pool) == TORTURE_WELL);
}

static torture_verdict_e run_get(apr_pool_t *pool)
{
    const char *selectors = apr_pstrcat(pool, "<wsman:SelectorSet><wsman:Selector Name=\"InstanceID\">",
                                        job_id, "</wsman:Selector></wsman:SelectorSet>", NULL);
    wsman_answer_t answer = {0};
    torture_verdict_e verdict = serve(wrap(WSMAN_ACTION_GET, JOB_URI, selectors, "", pool), &answer, pool);

    if (verdict == TORTURE_WELL) {
        const wsman_element_t *job = as_client(&answer, pool)->body->child;
        const char *id = wsman_child_text(job, NULL, "InstanceID", pool);

        TORTURE_HOLDS(id != NULL && strcmp(id, job_id) == 0);
        TORTURE_HOLDS(count_texts(job, "JobState") == 1 && count_texts(job, "TimeSubmitted") == 1);
    }
    return verdict;
}

const torture_scenario_t torture_service_get = {
    .name = "service.get", .start = redis_start, .reset = reset_job, .run = run_get};

static torture_verdict_e run_enumerate(apr_pool_t *pool)
{
    const char *text =
        wrap(WSMAN_ACTION_ENUMERATE, JOB_URI, "",
             "<wsen:Enumerate><wsman:OptimizeEnumeration/><wsman:MaxElements>5</wsman:MaxElements>"
             "</wsen:Enumerate>",
             pool);
    wsman_answer_t answer = {0};
    torture_verdict_e verdict = serve(text, &answer, pool);

    if (verdict == TORTURE_WELL) {
        const wsman_element_t *response = as_client(&answer, pool)->body->child;
        const wsman_element_t *items = wsman_child(response, WSMAN_URI_WSMAN, "Items");

        TORTURE_HOLDS(count_texts(items, "CIM_ConcreteJob") == 1);
    }
    return verdict;
}

const torture_scenario_t torture_service_enumerate = {
    .name = "service.enumerate", .start = redis_start, .reset = reset_job, .run = run_enumerate};

/* ---- envelopes that are refused ------------------------------------------------------------------------ */

static const char *const hostile[] = {
    "<!DOCTYPE x [<!ENTITY a \"b\">]><s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\"/>",
    "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\"><s:Body><a><b></a></b></s:Body></s:Envelope>",
    "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP11 "\"><s:Body/></s:Envelope>",
    "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\"><s:Header><x:y xmlns:x=\"urn:x\" s:mustUnderstand=\"true\"/>"
    "</s:Header><s:Body/></s:Envelope>",
};

/* Each is refused, with an answer. */
static torture_verdict_e run_hostile(apr_pool_t *pool)
{
    const wsman_service_t service = {.operations = manageability_operations};
    wsman_answer_t answers[sizeof(hostile) / sizeof(hostile[0])];
    const size_t count = sizeof(hostile) / sizeof(hostile[0]);

    for (size_t i = 0; i < count; i++) {
        const wsman_envelope_t *envelope = NULL;
        const wsman_fault_t *fault = read_bytes(hostile[i], strlen(hostile[i]), NULL, &envelope, pool);

        if (fault != NULL) {
            TORTURE_SAYS(fault->reason);
            wsman_answer_fault(fault, (wsman_encoding_t){WSMAN_UTF16LE, 1}, MESSAGE_ID, &answers[i], pool);
        }
        else {
            wsman_serve(&service, envelope, &answers[i], pool);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const wsman_envelope_t *reply = as_client(&answers[i], pool);

        TORTURE_HOLDS(answers[i].status >= 400);
        if (reply != NULL) {
            TORTURE_SAYS(reply->fault->reason);
        }
    }
    return TORTURE_WELL;
}

const torture_scenario_t torture_service_hostile = {.name = "service.hostile", .run = run_hostile};
