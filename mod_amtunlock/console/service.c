/* SPDX-License-Identifier: Apache-2.0 */
/* The Manageability Interface from the asking side. */
#include "console/service_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "wsman/names.h"
#include "wsman/values.h"

#define SERVICE_URI WSMAN_URI_AMT_CLASS "AMT_RemoteEncryptionService"
#define JOB_URI WSMAN_URI_CIM_CLASS "CIM_ConcreteJob"
#define JOB_PREFIX "amtunlock:"
#define JOB_ID_LENGTH 26
#define PULL_ITEMS "50"
#define JOBS_MAX 100000

enum { RETURN_DONE = 0, RETURN_STARTED = 4096, RETURN_INVALID_TRANSITION = 4097 };
enum { STATE_TERMINATE = 4 };

const char *service_job_id(const char *text, apr_pool_t *pool)
{
    if (strncmp(text, JOB_PREFIX, sizeof(JOB_PREFIX) - 1) == 0) {
        text += sizeof(JOB_PREFIX) - 1;
    }
    if (strlen(text) != JOB_ID_LENGTH || strspn(text, "abcdefghijklmnopqrstuvwxyz234567") != JOB_ID_LENGTH) {
        return NULL;
    }
    return apr_pstrcat(pool, JOB_PREFIX, text, NULL);
}

static const wsman_selector_t *job_selector(const char *id, apr_pool_t *pool)
{
    wsman_selector_t *selector = apr_pcalloc(pool, sizeof(*selector));

    selector->name = "InstanceID";
    selector->value = id;
    return selector;
}

/* ---- reading answers ----------------------------------------------------------------------------------- */

/* It answered, but who knows what. */
static const console_problem_t *missing_problem(const char *what, apr_pool_t *pool)
{
    console_problem_t *problem =
        console_problem(pool, CONSOLE_SERVICE, "it may not be the service that this command is made for",
                        "the service's answer has no %s", what);

    problem->unknown = 1;
    return problem;
}

/* Text of a property, "" where it is absent or nil. */
static const char *text_of(const wsman_element_t *instance, const char *name, apr_pool_t *pool)
{
    const wsman_element_t *property = wsman_child(instance, NULL, name);

    return property != NULL && !wsman_is_nil(property) ? wsman_text(property, pool) : "";
}

static unsigned int number_of(const wsman_element_t *instance, const char *name, apr_pool_t *pool)
{
    apr_uint64_t value = 0;

    wsman_parse_uint(text_of(instance, name, pool), APR_UINT32_MAX, &value);
    return (unsigned int)value;
}

static const console_problem_t *return_value(const wsman_element_t *output, unsigned int *value,
                                             apr_pool_t *pool)
{
    apr_uint64_t read;

    if (wsman_parse_uint(text_of(output, "ReturnValue", pool), APR_UINT32_MAX, &read) != APR_SUCCESS) {
        return missing_problem("ReturnValue", pool);
    }
    *value = (unsigned int)read;
    return NULL;
}

static const console_problem_t *refused_problem(const char *method, unsigned int value, apr_pool_t *pool)
{
    console_problem_t *problem = console_problem(pool, CONSOLE_SERVICE, NULL,
                                                 "the service refused %s with ReturnValue %u", method, value);

    problem->refusal = CONSOLE_REFUSED;
    return problem;
}

/* Sends a request whose body is written, and finds the element `name` in the answer's body. */
static const console_problem_t *service_exchange(console_client_t *client, wsman_writer_t *writer,
                                                 const char *name, const wsman_element_t **element,
                                                 apr_pool_t *pool)
{
    const wsman_envelope_t *answer;
    const console_problem_t *problem = console_client_send(client, writer, &answer, pool);

    if (problem != NULL) {
        return problem;
    }
    *element = wsman_child(answer->body, NULL, name);
    return *element != NULL ? NULL : missing_problem(name, pool);
}

/* The same for a request that changes something. */
static const console_problem_t *service_change(console_client_t *client, wsman_writer_t *writer,
                                               const char *name, const wsman_element_t **element, int *again,
                                               apr_pool_t *pool)
{
    const wsman_envelope_t *answer;
    const console_problem_t *problem = console_client_change(client, writer, &answer, again, pool);

    if (problem != NULL) {
        return problem;
    }
    *element = wsman_child(answer->body, NULL, name);
    return *element != NULL ? NULL : missing_problem(name, pool);
}

/* ---- the service --------------------------------------------------------------------------------------- */

static const console_problem_t *get_service(console_client_t *client, const wsman_element_t **instance,
                                            apr_pool_t *pool)
{
    return service_exchange(client, console_client_begin(client, WSMAN_ACTION_GET, SERVICE_URI, NULL, pool),
                            "AMT_RemoteEncryptionService", instance, pool);
}

const console_problem_t *service_max_systems(console_client_t *client, unsigned int *max, apr_pool_t *pool)
{
    const wsman_element_t *instance;
    const console_problem_t *problem = get_service(client, &instance, pool);

    *max = problem != NULL ? 0 : number_of(instance, "MaxSystemsPerRequest", pool);
    return problem;
}

static const console_problem_t *get_identity(console_client_t *client, console_info_t *info, apr_pool_t *pool)
{
    wsman_writer_t *writer = console_client_begin(client, NULL, NULL, NULL, pool);
    const wsman_element_t *answer;
    const console_problem_t *problem;

    wsman_element(writer, WSMAN_NS_WSMID, "Identify", NULL);
    problem = service_exchange(client, writer, "IdentifyResponse", &answer, pool);
    if (problem == NULL) {
        info->product = apr_pstrcat(pool, text_of(answer, "ProductVendor", pool), " ",
                                    text_of(answer, "ProductVersion", pool), NULL);
    }
    return problem;
}

const console_problem_t *service_info(console_client_t *client, console_info_t *info, apr_pool_t *pool)
{
    const wsman_element_t *instance;
    const console_problem_t *problem = get_identity(client, info, pool);

    if (problem == NULL) {
        problem = get_service(client, &instance, pool);
    }
    if (problem == NULL) {
        info->name = text_of(instance, "Name", pool);
        info->system = text_of(instance, "SystemName", pool);
        info->max_systems = number_of(instance, "MaxSystemsPerRequest", pool);
    }
    return problem;
}

/* The InstanceID inside the endpoint reference that a method gave back, or NULL. */
static const char *referenced_job(const wsman_element_t *reference, apr_pool_t *pool)
{
    const wsman_element_t *parameters = wsman_child(reference, WSMAN_URI_WSA, "ReferenceParameters");
    const wsman_element_t *set = wsman_child(parameters, WSMAN_URI_WSMAN, "SelectorSet");
    const wsman_element_t *selector = wsman_child(set, WSMAN_URI_WSMAN, "Selector");

    for (; selector != NULL; selector = wsman_next_same(selector)) {
        const char *name = wsman_attribute(selector, "", "Name");

        if (name != NULL && strcasecmp(name, "InstanceID") == 0) {
            return wsman_text(selector, pool);
        }
    }
    return NULL;
}

const console_problem_t *service_unlock(console_client_t *client, const apr_array_header_t *names,
                                        const char **job, apr_pool_t *pool)
{
    wsman_writer_t *writer =
        console_client_begin(client, SERVICE_URI "/UnlockSystems", SERVICE_URI, NULL, pool);
    const wsman_element_t *output;
    const console_problem_t *problem;
    unsigned int value = 0;
    int again = 0;

    wsman_start_class(writer, SERVICE_URI, "UnlockSystems_INPUT");
    for (int i = 0; i < names->nelts; i++) {
        wsman_element(writer, WSMAN_NS_CLASS, "systems", APR_ARRAY_IDX(names, i, const char *));
    }
    wsman_end(writer);
    problem = service_change(client, writer, "UnlockSystems_OUTPUT", &output, &again, pool);
    problem = problem != NULL ? problem : return_value(output, &value, pool);
    if (problem != NULL) {
        return problem;
    }
    if (value != RETURN_DONE && value != RETURN_STARTED) {
        return refused_problem("UnlockSystems", value, pool);
    }
    *job = referenced_job(wsman_child(output, NULL, "Job"), pool);
    return *job != NULL ? NULL : missing_problem("Job with an InstanceID", pool);
}

static void append_names(const wsman_element_t *output, const char *name, apr_array_header_t *names,
                         apr_pool_t *pool)
{
    const wsman_element_t *element = wsman_child(output, NULL, name);

    for (; element != NULL; element = wsman_next_same(element)) {
        APR_ARRAY_PUSH(names, const char *) = wsman_text(element, pool);
    }
}

static void write_window(wsman_writer_t *writer, int first, int window, apr_pool_t *pool)
{
    if (window > 0) {
        wsman_element(writer, WSMAN_NS_CLASS, "First", apr_itoa(pool, first));
        wsman_element(writer, WSMAN_NS_CLASS, "Count", apr_itoa(pool, window));
    }
}

const console_problem_t *service_results(console_client_t *client, const char *id, int first, int window,
                                         apr_array_header_t *unlocked, apr_array_header_t *failed,
                                         apr_pool_t *pool)
{
    wsman_writer_t *writer =
        console_client_begin(client, SERVICE_URI "/GetUnlockedSystems", SERVICE_URI, NULL, pool);
    const wsman_element_t *output;
    const console_problem_t *problem;
    unsigned int value = 0;

    wsman_start_class(writer, SERVICE_URI, "GetUnlockedSystems_INPUT");
    wsman_element(writer, WSMAN_NS_CLASS, "InstanceID", id);
    write_window(writer, first, window, pool);
    wsman_end(writer);
    problem = service_exchange(client, writer, "GetUnlockedSystems_OUTPUT", &output, pool);
    problem = problem != NULL ? problem : return_value(output, &value, pool);
    if (problem == NULL && value != RETURN_DONE) {
        problem = refused_problem("GetUnlockedSystems", value, pool);
    }
    if (problem == NULL) {
        append_names(output, "unlockedSystems", unlocked, pool);
        append_names(output, "failedSystems", failed, pool);
    }
    return problem;
}

/* ---- jobs ---------------------------------------------------------------------------------------------- */

static const char *state_name(unsigned int state, apr_pool_t *pool)
{
    switch (state) {
    case SERVICE_JOB_NEW:
        return "New";
    case SERVICE_JOB_RUNNING:
        return "Running";
    case SERVICE_JOB_COMPLETED:
        return "Completed";
    case SERVICE_JOB_TERMINATED:
        return "Terminated";
    default:
        return apr_itoa(pool, (int)state);
    }
}

static void read_job(const wsman_element_t *instance, console_job_t *job, apr_pool_t *pool)
{
    unsigned int percent = number_of(instance, "PercentComplete", pool);

    memset(job, 0, sizeof(*job));
    job->job = text_of(instance, "InstanceID", pool);
    job->jobs = apr_array_make(pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(job->jobs, const char *) = job->job;
    job->state_number = (int)number_of(instance, "JobState", pool);
    job->state = state_name((unsigned int)job->state_number, pool);
    job->status = text_of(instance, "JobStatus", pool);
    job->percent = percent < 100 ? (int)percent : 100;
    job->unlocked = apr_array_make(pool, 20, sizeof(const char *));
    job->failed = apr_array_make(pool, 4, sizeof(console_failure_t));
}

const console_problem_t *service_job(console_client_t *client, const char *id, console_job_t *job,
                                     apr_pool_t *pool)
{
    const wsman_element_t *instance;
    const console_problem_t *problem = service_exchange(
        client, console_client_begin(client, WSMAN_ACTION_GET, JOB_URI, job_selector(id, pool), pool),
        "CIM_ConcreteJob", &instance, pool);

    if (problem == NULL) {
        read_job(instance, job, pool);
    }
    return problem;
}

const console_problem_t *service_errors(console_client_t *client, const char *id, int first, int window,
                                        apr_array_header_t *failures, apr_pool_t *pool)
{
    wsman_writer_t *writer =
        console_client_begin(client, JOB_URI "/GetErrors", JOB_URI, job_selector(id, pool), pool);
    const wsman_element_t *output, *error;
    const console_problem_t *problem;

    wsman_start_class(writer, JOB_URI, "GetErrors_INPUT");
    write_window(writer, first, window, pool);
    wsman_end(writer);
    problem = service_exchange(client, writer, "GetErrors_OUTPUT", &output, pool);
    if (problem != NULL) {
        return problem;
    }
    for (error = wsman_child(output, NULL, "Errors"); error != NULL; error = wsman_next_same(error)) {
        console_failure_t *failure = apr_array_push(failures);

        failure->system = text_of(error, "ErrorSource", pool);
        failure->reason = text_of(error, "MessageID", pool);
        failure->message = text_of(error, "Message", pool);
        failure->action = text_of(error, "RecommendedActions", pool);
        failure->step = text_of(error, "ProbableCauseDescription", pool);
    }
    return NULL;
}

const console_problem_t *service_cancel(console_client_t *client, const char *id, apr_pool_t *pool)
{
    wsman_writer_t *writer =
        console_client_begin(client, JOB_URI "/RequestStateChange", JOB_URI, job_selector(id, pool), pool);
    const wsman_element_t *output;
    const console_problem_t *problem;
    console_problem_t *ended;
    unsigned int value = 0;
    int again = 0;

    wsman_start_class(writer, JOB_URI, "RequestStateChange_INPUT");
    wsman_element(writer, WSMAN_NS_CLASS, "RequestedState", apr_itoa(pool, STATE_TERMINATE));
    wsman_end(writer);
    problem = service_change(client, writer, "RequestStateChange_OUTPUT", &output, &again, pool);
    problem = problem != NULL ? problem : return_value(output, &value, pool);
    if (problem != NULL) {
        return problem;
    }
    if (value == RETURN_INVALID_TRANSITION && !again) { /* else the first may be what ended it */
        ended = console_problem(pool, CONSOLE_SERVICE, apr_psprintf(pool, "see: amtunlock status %s", id),
                                "the job has ended already");
        ended->refusal = CONSOLE_REFUSED;
        return ended;
    }
    return value == RETURN_DONE || value == RETURN_STARTED || value == RETURN_INVALID_TRANSITION
               ? NULL
               : refused_problem("RequestStateChange", value, pool);
}

const console_problem_t *service_delete(console_client_t *client, const char *id, apr_pool_t *pool)
{
    const wsman_envelope_t *answer;
    int again = 0;

    return console_client_change(
        client, console_client_begin(client, WSMAN_ACTION_DELETE, JOB_URI, job_selector(id, pool), pool),
        &answer, &again, pool);
}

/* Takes the instances of an answer and what is needed to ask for more; *context NULL at the end. */
static const console_problem_t *take_items(const wsman_element_t *answer, const char *items_ns,
                                           apr_array_header_t *jobs, const char **context, apr_pool_t *pool)
{
    const wsman_element_t *items = wsman_child(answer, items_ns, "Items");
    const wsman_element_t *instance = wsman_child(items, JOB_URI, "CIM_ConcreteJob");
    const char *next = text_of(answer, "EnumerationContext", pool);

    for (; instance != NULL; instance = wsman_next_same(instance)) {
        console_job_t *job = apr_palloc(pool, sizeof(*job));

        read_job(instance, job, pool);
        APR_ARRAY_PUSH(jobs, console_job_t *) = job;
    }
    *context = *next && wsman_child(answer, NULL, "EndOfSequence") == NULL ? next : NULL;
    return jobs->nelts < JOBS_MAX ? NULL : missing_problem("end", pool);
}

static const console_problem_t *pull_jobs(console_client_t *client, apr_array_header_t *jobs,
                                          const char **context, apr_pool_t *pool)
{
    wsman_writer_t *writer = console_client_begin(client, WSMAN_ACTION_PULL, JOB_URI, NULL, pool);
    const wsman_element_t *answer;
    const console_problem_t *problem;

    wsman_start(writer, WSMAN_NS_WSEN, "Pull");
    wsman_element(writer, WSMAN_NS_WSEN, "EnumerationContext", *context);
    wsman_element(writer, WSMAN_NS_WSEN, "MaxElements", PULL_ITEMS);
    wsman_end(writer);
    problem = service_exchange(client, writer, "PullResponse", &answer, pool);
    return problem != NULL ? problem : take_items(answer, WSMAN_URI_WSEN, jobs, context, pool);
}

const console_problem_t *service_jobs(console_client_t *client, apr_array_header_t *jobs, apr_pool_t *pool)
{
    wsman_writer_t *writer = console_client_begin(client, WSMAN_ACTION_ENUMERATE, JOB_URI, NULL, pool);
    const console_problem_t *problem;
    const wsman_element_t *answer;
    const char *context = NULL;

    wsman_start(writer, WSMAN_NS_WSEN, "Enumerate");
    wsman_element(writer, WSMAN_NS_WSMAN, "OptimizeEnumeration", NULL);
    wsman_element(writer, WSMAN_NS_WSMAN, "MaxElements", PULL_ITEMS);
    wsman_end(writer);
    problem = service_exchange(client, writer, "EnumerateResponse", &answer, pool);
    problem = problem != NULL ? problem : take_items(answer, WSMAN_URI_WSMAN, jobs, &context, pool);
    while (problem == NULL && context != NULL) {
        problem = pull_jobs(client, jobs, &context, pool);
    }
    return problem;
}
