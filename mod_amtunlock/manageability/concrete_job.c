/* SPDX-License-Identifier: Apache-2.0 */
#include "manageability/concrete_job_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "manageability/lists_priv.h"
#include "wsman/values.h"

#define CIM_ERROR_URI WSMAN_URI_CIM_CLASS "CIM_Error"

/* CIM_ConcreteJob.ErrorCode: not every system was unlocked */
enum { ERROR_SOME_FAILED = 1 };

static const char *const job_keys[] = {"InstanceID", NULL};
static const char *const job_superclasses[] = {
    WSMAN_URI_CIM_CLASS "CIM_Job", WSMAN_URI_CIM_CLASS "CIM_LogicalElement",
    WSMAN_URI_CIM_CLASS "CIM_ManagedSystemElement", WSMAN_URI_CIM_CLASS "CIM_ManagedElement", NULL};

const wsman_class_t manageability_job_class = {
    .name = JOB_CLASS, .uri = JOB_URI, .keys = job_keys, .superclasses = job_superclasses};

/* ---- figures of a job ------------------------------------------------------------------------------- */

static int job_has_ended(const jobs_job_t *job)
{
    return job->state == JOBS_STATE_COMPLETED || job->state == JOBS_STATE_TERMINATED;
}

static const char *const idle_texts[] = {
    [JOBS_NOBODY] = "no worker is running, and nothing goes on until one is",
    [JOBS_INVENTORY] =
        "no worker serves the published inventory: those that run have another, and nothing begins until one has it",
    [JOBS_RECORD] = "no worker can write its audit record, and nothing is begun until one can",
    [JOBS_RESTART] = "Redis was started anew, and nothing is begun until what was under way is known again"};

/* "7 of 20 unlocked, 1 failed, 12 running" */
static const char *status_text(const jobs_job_t *job, apr_pool_t *pool)
{
    const struct {
        int count;
        const char *text;
    } parts[] = {{job->failed, "failed"}, {job->running, "running"}, {job->waiting, "waiting"}};
    const char *text = apr_psprintf(pool, "%d of %d unlocked", job->unlocked, job->total);
    /* Nobody works on it, and it is not so young that a worker may just be starting. */
    int is_left_waiting = job->attendance != JOBS_ATTENDED && !job_has_ended(job) &&
                          job->now - job->submitted >= apr_time_from_sec(5);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].count > 0) {
            text = apr_psprintf(pool, "%s, %d %s", text, parts[i].count, parts[i].text);
        }
    }
    if (job->cancelled) {
        text = apr_pstrcat(pool, text, "; cancelled by its caller", NULL);
    }
    return is_left_waiting ? apr_pstrcat(pool, text, "; ", idle_texts[job->attendance], NULL) : text;
}

/* ---- properties ------------------------------------------------------------------------------------- */

typedef const manageability_instance_t instance_t;

/* Which of job_superclasses introduces a property; 0 is the class itself. */
enum { CONCRETE_JOB, JOB, LOGICAL_ELEMENT, MANAGED_SYSTEM_ELEMENT, MANAGED_ELEMENT };

static void write_job_true(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    (void)instance;
    wsman_property_bool(answer, name, 1);
}

static void write_job_elapsed(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    const jobs_job_t *job = instance->job;
    apr_time_t end = job->completed ? job->completed : job->now;
    int has_run = job->started && end > job->started; /* Redis' clock may have been set back meanwhile */

    wsman_property_interval(answer, name, has_run ? end - job->started : 0); /* consoles do sums with it */
}

static void write_job_method(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    (void)instance;
    wsman_property(answer, name, "UnlockSystems");
}

static int job_has_failures(const jobs_job_t *job)
{
    return job_has_ended(job) && job->failed;
}

static void write_job_error_code(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    if (job_has_failures(instance->job)) {
        wsman_property_uint(answer, name, ERROR_SOME_FAILED);
    }
    else {
        wsman_property_nil(answer, name);
    }
}

static void write_job_error_description(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    const jobs_job_t *job = instance->job;
    const char *text = NULL;

    if (job_has_failures(job)) {
        text = apr_psprintf(instance->request->pool,
                            "%d of %d systems were not unlocked; GetErrors says which and why", job->failed,
                            job->total);
    }
    wsman_property(answer, name, text);
}

static void write_job_health(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property_uint(answer, name, instance->job->failed ? HEALTH_DEGRADED : HEALTH_OK);
}

static void write_job_instance_id(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property(answer, name, manageability_instance_id(instance->job->id, instance->request->pool));
}

static void write_job_run_times(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    (void)instance;
    wsman_property_uint(answer, name, 1);
}

static void write_job_state(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property_uint(answer, name, instance->job->state);
}

static void write_job_status(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property(answer, name, status_text(instance->job, instance->request->pool));
}

static void write_job_operational_status(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    if (!job_has_ended(instance->job)) {
        wsman_property_uint(answer, name, STATUS_OK);
        return;
    }
    wsman_property_uint(answer, name, STATUS_COMPLETED);
    wsman_property_uint(answer, name, instance->job->failed ? STATUS_ERROR : STATUS_OK);
}

static void write_job_owner(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property(answer, name, instance->job->caller);
}

static void write_job_percent(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    const jobs_job_t *job = instance->job;
    apr_uint64_t percent = 0;

    if (job_has_ended(job)) {
        percent = 100;
    }
    else if (job->total > 0) {
        percent = (apr_uint64_t)(job->unlocked + job->failed) * 100 / (apr_uint64_t)job->total;
    }
    wsman_property_uint(answer, name, percent);
}

static void write_job_start_time(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property_datetime(answer, name, instance->job->started);
}

/* In CIM's form of an interval: 30 minutes are 00000000003000.000000:000. */
static void write_job_time_before_removal(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_start(answer, WSMAN_NS_CLASS, name);
    wsman_element(answer, WSMAN_NS_CIM, "CIM_DateTime",
                  wsman_format_cim_interval(instance->job->retention, instance->request->pool));
    wsman_end(answer);
}

static void write_job_changed(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property_datetime(answer, name, instance->job->changed);
}

static void write_job_submitted(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_property_datetime(answer, name, instance->job->submitted);
}

static const manageability_property_t job_properties[] = {
    {"DeleteOnCompletion", JOB, write_job_true},
    {"ElapsedTime", JOB, write_job_elapsed},
    {"ElementName", MANAGED_ELEMENT, write_job_method},
    {"ErrorCode", JOB, write_job_error_code},
    {"ErrorDescription", JOB, write_job_error_description},
    {"HealthState", MANAGED_SYSTEM_ELEMENT, write_job_health},
    {"InstanceID", MANAGED_ELEMENT, write_job_instance_id},
    {"JobRunTimes", JOB, write_job_run_times},
    {"JobState", CONCRETE_JOB, write_job_state},
    {"JobStatus", JOB, write_job_status},
    {"Name", MANAGED_SYSTEM_ELEMENT, write_job_method},
    {"OperationalStatus", MANAGED_SYSTEM_ELEMENT, write_job_operational_status},
    {"Owner", JOB, write_job_owner},
    {"PercentComplete", JOB, write_job_percent},
    {"StartTime", JOB, write_job_start_time},
    {"TimeBeforeRemoval", CONCRETE_JOB, write_job_time_before_removal},
    {"TimeOfLastStateChange", CONCRETE_JOB, write_job_changed},
    {"TimeSubmitted", JOB, write_job_submitted},
    {NULL, 0, NULL},
};

static void write_job_instance(const wsman_request_t *request, const jobs_job_t *job, wsman_writer_t *answer)
{
    const manageability_instance_t instance = {request, job};

    manageability_write_instance(&instance, &manageability_job_class, job_properties, answer);
}

/* ---- Get -------------------------------------------------------------------------------------------- */

/* The id in the InstanceID selector, which the dispatcher has checked to be there. */
static const wsman_fault_t *selected_job(const wsman_request_t *request, const char **id)
{
    *id = manageability_job_id(wsman_selector_value(request->envelope, "InstanceID"));
    return *id != NULL ? NULL : manageability_no_such_job(request);
}

static const wsman_fault_t *read_selected_job(const wsman_request_t *request, jobs_job_t **job)
{
    const manageability_context_t *context = manageability_context(request);
    const char *id;
    const wsman_fault_t *fault = selected_job(request, &id);

    if (fault != NULL) {
        return fault;
    }
    return manageability_fault_of(request, jobs_read(context->jobs, context->caller, id, job, request->pool));
}

const wsman_fault_t *manageability_job_get(wsman_request_t *request, wsman_writer_t *answer)
{
    jobs_job_t *job = NULL;
    const wsman_fault_t *fault = read_selected_job(request, &job);

    if (fault == NULL) {
        write_job_instance(request, job, answer);
    }
    return fault;
}

/* ---- enumeration ------------------------------------------------------------------------------------ */

const wsman_fault_t *manageability_job_list(wsman_request_t *request, apr_array_header_t **items)
{
    const manageability_context_t *context = manageability_context(request);

    return manageability_fault_of(request, jobs_list(context->jobs, context->caller, items, request->pool));
}

const jobs_job_t *manageability_job_of_page(const wsman_request_t *request, const char *id)
{
    const manageability_context_t *context = manageability_context(request);

    return context->page != NULL ? apr_hash_get(context->page, id, APR_HASH_KEY_STRING) : NULL;
}

static const wsman_fault_t *write_listed_job(wsman_request_t *request, const char *item,
                                             wsman_writer_t *answer)
{
    const jobs_job_t *job = manageability_job_of_page(request, item);

    if (job != NULL) { /* else it expired after it was listed */
        write_job_instance(request, job, answer);
    }
    return NULL;
}

static wsman_selector_t *job_selectors(const wsman_request_t *request, const char *item)
{
    return manageability_job_selectors(item, request->pool);
}

const manageability_kind_t manageability_job_kind = {'j', &manageability_job_class, manageability_job_list,
                                                     write_listed_job, job_selectors};

/* ---- Delete ----------------------------------------------------------------------------------------- */

/* The fault for the result of a change. An operator can read another caller's job, so for it the answer is not
 * "no such job" but that it may not change the job. */
static const wsman_fault_t *change_fault(const wsman_request_t *request, const char *id, jobs_result_t result)
{
    const manageability_context_t *context = manageability_context(request);
    jobs_job_t *job;

    if (result.outcome == JOBS_NOT_FOUND && context->caller->reads_all &&
        jobs_read(context->jobs, context->caller, id, &job, request->pool).outcome == JOBS_OK) {
        return wsman_fault(request->pool, WSMAN_FAULT_ACCESS_DENIED, NULL,
                           "the job is another caller's: an operator may read it, not change it");
    }
    return manageability_fault_of(request, result);
}

const wsman_fault_t *manageability_job_delete(wsman_request_t *request, wsman_writer_t *answer)
{
    manageability_context_t *context = manageability_context(request);
    const char *id;
    const wsman_fault_t *fault = selected_job(request, &id);

    (void)answer; /* a DeleteResponse has an empty body */
    if (fault != NULL ||
        (fault = change_fault(request, id, jobs_forget(context->jobs, context->caller, id, request->pool))) !=
            NULL) {
        return fault;
    }
    context->note =
        apr_psprintf(request->pool, "deleted job %s", manageability_instance_id(id, request->pool));
    return NULL;
}

/* ---- RequestStateChange ----------------------------------------------------------------------------- */

enum { STATE_START = 2, STATE_TERMINATE = 4, STATE_SERVICE = 6 };

static const wsman_fault_t *read_requested_state(const wsman_request_t *request, const wsman_element_t *input,
                                                 apr_uint64_t *state)
{
    const char *text = wsman_child_text(input, JOB_URI, "RequestedState", request->pool);

    if (text == NULL || !*text) {
        return manageability_bad_parameter(request, "MissingValues",
                                           "RequestStateChange needs RequestedState");
    }
    if (wsman_parse_uint(text, 65535, state) != APR_SUCCESS) {
        return manageability_bad_parameter(request, "InvalidValue", "RequestedState must be a number");
    }
    return NULL;
}

/* True if TimeoutPeriod is there, not nil and not an interval of zero. */
static int has_timeout(const wsman_request_t *request, const wsman_element_t *input)
{
    const wsman_element_t *period = wsman_child(input, JOB_URI, "TimeoutPeriod");
    const wsman_element_t *interval = period != NULL && period->child != NULL ? period->child : period;
    const char *text = interval != NULL && !wsman_is_nil(period) ? wsman_text(interval, request->pool) : "";

    return strpbrk(text, "123456789") != NULL;
}

static const wsman_fault_t *terminate_job(const wsman_request_t *request, const char *id, int *value)
{
    manageability_context_t *context = manageability_context(request);
    jobs_result_t result = jobs_cancel(context->jobs, context->caller, id, request->pool);

    if (result.outcome == JOBS_CONFLICT) {
        *value = RETURN_INVALID_TRANSITION;
        return NULL;
    }
    *value = RETURN_OK;
    context->note =
        apr_psprintf(request->pool, "terminate job %s", manageability_instance_id(id, request->pool));
    return change_fault(request, id, result);
}

/* The ReturnValue for a request for this state; RETURN_OK: the job can be terminated. */
static int judge_requested_state(apr_uint64_t state, int timeout)
{
    if (state < STATE_START || state > STATE_SERVICE) {
        return RETURN_INVALID_PARAMETER;
    }
    if (state != STATE_TERMINATE) {
        return RETURN_NOT_SUPPORTED;
    }
    return timeout ? RETURN_TIMEOUT_NOT_SUPPORTED : RETURN_OK;
}

const wsman_fault_t *manageability_job_request_state_change(wsman_request_t *request, wsman_writer_t *answer)
{
    jobs_job_t *job = NULL;
    const wsman_element_t *input;
    const wsman_fault_t *fault;
    apr_uint64_t state = 0;
    int value;

    if ((fault = manageability_input(request, "RequestStateChange", &input)) != NULL ||
        (fault = read_requested_state(request, input, &state)) != NULL ||
        (fault = read_selected_job(request, &job)) != NULL) {
        return fault;
    }
    value = judge_requested_state(state, has_timeout(request, input));
    if (value == RETURN_OK && (fault = terminate_job(request, job->id, &value)) != NULL) {
        return fault;
    }
    manageability_output(request, answer, "RequestStateChange");
    wsman_property_uint(answer, "ReturnValue", (apr_uint64_t)value);
    wsman_end(answer);
    return NULL;
}

/* ---- GetErrors -------------------------------------------------------------------------------------- */

/* CIM_Error.ErrorType and .PerceivedSeverity */
enum { TYPE_OTHER = 1, TYPE_COMMUNICATIONS = 2, TYPE_SOFTWARE = 4, TYPE_HARDWARE = 5, TYPE_SECURITY = 7 };
enum { TYPE_OVERSUBSCRIPTION = 8, TYPE_UNAVAILABLE = 9 };
enum { SEVERITY_MINOR = 4, SEVERITY_MAJOR = 5 };
enum { CIM_ERR_FAILED = 1 };

static const int error_types[JOBS_REASONS] = {
    [JOBS_REASON_NOT_AVAILABLE] = TYPE_UNAVAILABLE, [JOBS_REASON_UNREACHABLE] = TYPE_COMMUNICATIONS,
    [JOBS_REASON_TLS_UNTRUSTED] = TYPE_SECURITY,    [JOBS_REASON_AUTH_FAILED] = TYPE_SECURITY,
    [JOBS_REASON_AMT_FAULT] = TYPE_HARDWARE,        [JOBS_REASON_CONSENT_REQUIRED] = TYPE_SECURITY,
    [JOBS_REASON_BUSY] = TYPE_OVERSUBSCRIPTION,     [JOBS_REASON_NO_BOOT_DEVICE] = TYPE_HARDWARE,
    [JOBS_REASON_IMAGE_FAILED] = TYPE_SOFTWARE,     [JOBS_REASON_WRONG_PASSPHRASE] = TYPE_SECURITY,
    [JOBS_REASON_NO_SECRET] = TYPE_SECURITY,        [JOBS_REASON_TIMEOUT] = TYPE_COMMUNICATIONS,
    [JOBS_REASON_INTERNAL] = TYPE_SOFTWARE,
};

/* Properties of an embedded instance are in their own class's namespace (DSP0230). */
static void error_property(wsman_writer_t *answer, const char *name, const char *value)
{
    wsman_start_class(answer, CIM_ERROR_URI, name);
    wsman_write_text(answer, value);
    wsman_end(answer);
}

static void error_property_number(wsman_writer_t *answer, const char *name, int value, apr_pool_t *pool)
{
    error_property(answer, name, apr_itoa(pool, value));
}

static const char *error_message(const jobs_error_t *error, apr_pool_t *pool)
{
    const char *message = jobs_reason(error->reason)->message;

    return strcmp(error->step, JOBS_STEP_LEFT_ALONE) == 0
               ? apr_pstrcat(pool, message, " ", jobs_left_alone, NULL)
               : message;
}

static void write_error(const jobs_error_t *error, wsman_writer_t *answer, apr_pool_t *pool)
{
    const jobs_reason_t *reason = jobs_reason(error->reason);
    int type = error->reason < JOBS_REASONS ? error_types[error->reason] : 0;
    int severe = error->reason == JOBS_REASON_INDETERMINATE || error->reason == JOBS_REASON_INTERNAL;

    wsman_start(answer, WSMAN_NS_CLASS, "Errors");
    error_property_number(answer, "CIMStatusCode", CIM_ERR_FAILED, pool);
    error_property(answer, "ErrorSource", error->name);
    error_property_number(answer, "ErrorType", type ? type : TYPE_OTHER, pool);
    error_property(answer, "Message", error_message(error, pool));
    error_property(answer, "MessageID", reason->code);
    error_property_number(answer, "PerceivedSeverity", severe ? SEVERITY_MAJOR : SEVERITY_MINOR, pool);
    if (*error->step) {
        error_property(answer, "ProbableCauseDescription", apr_pstrcat(pool, "step: ", error->step, NULL));
    }
    error_property(answer, "RecommendedActions", reason->action);
    wsman_end(answer);
}

static const wsman_fault_t *write_errors(wsman_request_t *request, const jobs_look_t *look,
                                         wsman_writer_t *answer)
{
    const manageability_context_t *context = manageability_context(request);
    apr_array_header_t *errors = NULL;
    const wsman_fault_t *fault = manageability_fault_of(
        request, jobs_errors(context->jobs, context->caller, look, &errors, request->pool));

    if (fault != NULL) {
        return fault;
    }
    manageability_output(request, answer, "GetErrors");
    for (int i = 0; i < errors->nelts; i++) {
        write_error(&APR_ARRAY_IDX(errors, i, jobs_error_t), answer, request->pool);
    }
    wsman_property_uint(answer, "ReturnValue", RETURN_OK);
    wsman_end(answer);
    return NULL;
}

const wsman_fault_t *manageability_job_get_errors(wsman_request_t *request, wsman_writer_t *answer)
{
    manageability_parameter_t asked[] = {{.name = "First"}, {.name = "Count"}, {.name = NULL}};
    jobs_window_t window = {NULL, 0, -1};
    const wsman_fault_t *fault;

    if ((fault = manageability_parameters(request, "GetErrors", asked, "First and Count, each once")) !=
            NULL ||
        (fault = manageability_number(request, &asked[0], &window.first)) != NULL ||
        (fault = manageability_number(request, &asked[1], &window.count)) != NULL ||
        (fault = selected_job(request, &window.job)) != NULL) {
        return fault;
    }
    return manageability_list(request, JOBS_ERRORS, &window, write_errors, answer);
}
