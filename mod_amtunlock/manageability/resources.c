/* SPDX-License-Identifier: Apache-2.0 */
#include "manageability/resources_priv.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "wsman/values.h"

#define INSTANCE_PREFIX "amtunlock:"
#define JOB_ID_LENGTH 26

manageability_context_t *manageability_context(const wsman_request_t *request)
{
    return request->context;
}

/* ---- instances -------------------------------------------------------------------------------------- */

/* The number, from 1, of the superclass as whose instance the request wants this one; 0: its own class. */
static int requested_superclass(const wsman_request_t *request, const wsman_class_t *class_)
{
    if (request->base_class == NULL) {
        return 0;
    }
    for (int i = 0; class_->superclasses != NULL && class_->superclasses[i] != NULL; i++) {
        if (strcmp(class_->superclasses[i], request->base_class) == 0) {
            return i + 1;
        }
    }
    return 0;
}

void manageability_write_instance(const manageability_instance_t *instance, const wsman_class_t *class_,
                                  const manageability_property_t *properties, wsman_writer_t *answer)
{
    int view = requested_superclass(instance->request, class_);
    const char *uri = view ? class_->superclasses[view - 1] : class_->uri;

    wsman_start_class(answer, uri, strrchr(uri, '/') + 1);
    for (const manageability_property_t *property = properties; property->name != NULL; property++) {
        if (property->origin >= view) {
            property->write(instance, answer, property->name);
        }
    }
    wsman_end(answer);
}

/* ---- outcomes as faults ----------------------------------------------------------------------------- */

/* For the console. Redis' own error text goes to the log only. */
static const struct {
    wsman_fault_e kind;
    const char *reason;
} outcome_faults[JOBS_OUTCOMES] = {
    [JOBS_REFUSED] = {WSMAN_FAULT_ENDPOINT_UNAVAILABLE,
                      "the request came to the job store too late and was not carried out; send it again"},
    [JOBS_QUOTA] = {WSMAN_FAULT_QUOTA_LIMIT,
                    "a limit of this caller is reached; wait until earlier requests have ended"},
    [JOBS_CONFLICT] = {WSMAN_FAULT_CONCURRENCY, "the state of the job does not allow this now"},
    [JOBS_CANCELLED] = {WSMAN_FAULT_CONCURRENCY, "the job was cancelled"},
    [JOBS_UNAVAILABLE] = {WSMAN_FAULT_ENDPOINT_UNAVAILABLE,
                          "the job store does not answer; nothing was done, try again later"},
    [JOBS_OUTDATED] = {WSMAN_FAULT_ENDPOINT_UNAVAILABLE,
                       "the job store belongs to a newer version of this service"},
    [JOBS_BROKEN] = {WSMAN_FAULT_INTERNAL,
                     "the job store gave an answer that this service does not understand; it is not known "
                     "whether anything was done"},
    [JOBS_UNKNOWN] = {WSMAN_FAULT_TIMED_OUT,
                      "the job store has not answered in time; it is not known whether the request was "
                      "carried out"},
};

#define NOT_CONFIRMED "the job store has not confirmed this in time: it is not known whether "

/* What JOBS_UNKNOWN leaves open of each request that changes something, and how its caller finds out. */
static const struct {
    const char *action, *reason;
} unknown_effects[] = {
    {SERVICE_URI "/UnlockSystems", NOT_CONFIRMED
     "the job was started; send the same request again, with the same MessageID: it is the same job"},
    {JOB_URI "/RequestStateChange",
     NOT_CONFIRMED "the job was terminated; read the job, or send the same request again"},
    {WSMAN_ACTION_DELETE, NOT_CONFIRMED
     "the job was deleted; send the same request again: \"there is no such job\" then says that "
     "it was"},
    {WSMAN_ACTION_ENUMERATE,
     NOT_CONFIRMED "the enumeration was begun; begin it again: one that was begun ends by itself"},
    {WSMAN_ACTION_PULL, NOT_CONFIRMED "items were taken from the enumeration; begin the enumeration again"},
    {WSMAN_ACTION_RELEASE, NOT_CONFIRMED "the enumeration was released; otherwise it ends by itself"},
};

static const char *unknown_reason(const wsman_request_t *request)
{
    const char *action = request->envelope->action;
    const char *uuid;

    if (strcmp(action, unknown_effects[0].action) == 0 &&
        !wsman_is_uuid(request->envelope->message_id, &uuid, request->pool)) {
        return NOT_CONFIRMED
            "the job was started; the MessageID is no UUID, so the same request again may be "
            "another job: look at your jobs before you send it";
    }
    for (size_t i = 0; i < sizeof(unknown_effects) / sizeof(unknown_effects[0]); i++) {
        if (strcmp(unknown_effects[i].action, action) == 0) {
            return unknown_effects[i].reason;
        }
    }
    return outcome_faults[JOBS_UNKNOWN].reason;
}

/* By the name of the limit, as the job store gives it. */
static const char *quota_reason(const char *limit)
{
    static const struct {
        const char *limit, *reason;
    } limits[] = {
        {"jobs", "this caller has as many unfinished jobs as it may have; wait until one has ended"},
        {"systems",
         "this caller has as many systems waiting as it may have; wait until some have begun, or ask for fewer"},
        {"contexts",
         "this caller has as many enumerations open as it may have; pull them to their end or release them"},
        {"everybody",
         "as many systems are waiting as this service keeps, of all callers together; try again later"},
        {"kept",
         "as many jobs of this caller are kept as it may have, ended ones with them; delete some, or wait until "
         "they expire"},
        {"names",
         "as many names are kept in the jobs and enumerations of this caller as it may have; delete jobs that have "
         "ended, or wait until they expire"},
        {"share",
         "as many names that were not available to this caller are kept as it may have; delete jobs that have ended, "
         "or wait until they expire"},
        {"refused",
         "none of the names is available, and as many such names are kept as this service keeps, of all callers "
         "together; what is available is still unlocked; try again later"},
        {"items",
         "as many items of enumerations are kept as this service keeps, of all callers together; try again later"},
        {"memory",
         "the job store has little memory left, so no new job is taken; those that were taken go on; try again later"},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (strcmp(limits[i].limit, limit) == 0) {
            return limits[i].reason;
        }
    }
    return outcome_faults[JOBS_QUOTA].reason;
}

static const char *outcome_reason(const wsman_request_t *request, jobs_result_t result)
{
    if (result.outcome == JOBS_QUOTA) {
        return quota_reason(result.text != NULL ? result.text : "");
    }
    return result.outcome == JOBS_UNKNOWN ? unknown_reason(request) : outcome_faults[result.outcome].reason;
}

const wsman_fault_t *manageability_fault_of(const wsman_request_t *request, jobs_result_t result)
{
    manageability_context_t *context = manageability_context(request);
    wsman_fault_t *fault;

    if (result.outcome == JOBS_OK || result.outcome == JOBS_ALREADY) {
        return NULL;
    }
    if (result.outcome == JOBS_NOT_FOUND) {
        return manageability_no_such_job(request);
    }
    context->note = result.text != NULL && *result.text ? result.text : NULL;
    fault = wsman_fault(request->pool, outcome_faults[result.outcome].kind, NULL, "%s",
                        outcome_reason(request, result));
    if (fault->kind == WSMAN_FAULT_ENDPOINT_UNAVAILABLE) {
        fault->detail = "ResourceOffline";
        fault->retry_after = context->settings->retry_after;
    }
    return fault;
}

const wsman_fault_t *manageability_no_such_job(const wsman_request_t *request)
{
    return wsman_fault(
        request->pool, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI",
        "there is no such job; jobs are kept for a while after they completed, and only for their caller");
}

const wsman_fault_t *manageability_bad_parameter(const wsman_request_t *request, const char *detail,
                                                 const char *format, ...)
{
    const char *reason;
    va_list arguments;

    va_start(arguments, format);
    reason = apr_pvsprintf(request->pool, format, arguments);
    va_end(arguments);
    return wsman_fault(request->pool, WSMAN_FAULT_INVALID_PARAMETER, detail, "%s", reason);
}

/* ---- inputs and outputs of methods ------------------------------------------------------------------ */

const wsman_fault_t *manageability_input(const wsman_request_t *request, const char *method,
                                         const wsman_element_t **input)
{
    const wsman_element_t *found = request->envelope->body->child;
    const char *wanted = apr_pstrcat(request->pool, method, "_INPUT", NULL);

    *input = NULL;
    if (found == NULL) {
        return NULL;
    }
    if (strcmp(found->name, wanted) != 0 || strcmp(found->ns, request->class_->uri) != 0) {
        return manageability_bad_parameter(request, "InvalidName",
                                           "the body must hold %s in the namespace %s", wanted,
                                           request->class_->uri);
    }
    if (found->next != NULL) {
        return manageability_bad_parameter(request, "InvalidName", "the body must hold %s and nothing else",
                                           wanted);
    }
    *input = found;
    return NULL;
}

static manageability_parameter_t *parameter_named(manageability_parameter_t *parameters, const char *name)
{
    while (parameters->name != NULL && strcmp(parameters->name, name) != 0) {
        parameters++;
    }
    return parameters->name != NULL ? parameters : NULL;
}

const wsman_fault_t *manageability_parameters(const wsman_request_t *request, const char *method,
                                              manageability_parameter_t *parameters, const char *takes)
{
    const wsman_element_t *input;
    const wsman_fault_t *fault = manageability_input(request, method, &input);

    for (const wsman_element_t *element = input != NULL ? input->child : NULL; element != NULL;
         element = element->next) {
        manageability_parameter_t *parameter = strcmp(element->ns, request->class_->uri) == 0
                                                   ? parameter_named(parameters, element->name)
                                                   : NULL;

        if (parameter == NULL || parameter->element != NULL) {
            return manageability_bad_parameter(request, "InvalidName", "%s takes %s", method, takes);
        }
        if (!wsman_is_nil(element)) {
            parameter->element = element;
        }
    }
    return fault;
}

const wsman_fault_t *manageability_number(const wsman_request_t *request,
                                          const manageability_parameter_t *parameter, int *number)
{
    apr_uint64_t value;

    if (parameter->element == NULL) {
        return NULL;
    }
    if (wsman_parse_uint(wsman_text(parameter->element, request->pool), INT_MAX, &value) != APR_SUCCESS) {
        return manageability_bad_parameter(request, "InvalidValue", "%s must be a number from 0",
                                           parameter->name);
    }
    *number = (int)value;
    return NULL;
}

void manageability_output(const wsman_request_t *request, wsman_writer_t *answer, const char *method)
{
    wsman_start_class(answer, request->class_->uri, apr_pstrcat(request->pool, method, "_OUTPUT", NULL));
}

/* ---- references to jobs ----------------------------------------------------------------------------- */

const char *manageability_job_id(const char *instance_id)
{
    const char *id;

    if (instance_id == NULL || strncmp(instance_id, INSTANCE_PREFIX, sizeof(INSTANCE_PREFIX) - 1) != 0) {
        return NULL;
    }
    id = instance_id + sizeof(INSTANCE_PREFIX) - 1;
    if (strlen(id) != JOB_ID_LENGTH || strspn(id, "abcdefghijklmnopqrstuvwxyz234567") != JOB_ID_LENGTH) {
        return NULL;
    }
    return id;
}

const char *manageability_referenced_instance(const wsman_reference_t *reference)
{
    if (reference == NULL ||
        (reference->resource_uri != NULL && strcmp(reference->resource_uri, JOB_URI) != 0)) {
        return NULL;
    }
    return wsman_selector_named(reference->selectors, "InstanceID");
}

const char *manageability_instance_id(const char *job, apr_pool_t *pool)
{
    return apr_pstrcat(pool, INSTANCE_PREFIX, job, NULL);
}

wsman_selector_t *manageability_job_selectors(const char *job, apr_pool_t *pool)
{
    wsman_selector_t *selector = apr_pcalloc(pool, sizeof(*selector));

    selector->name = "InstanceID";
    selector->value = manageability_instance_id(job, pool);
    return selector;
}
