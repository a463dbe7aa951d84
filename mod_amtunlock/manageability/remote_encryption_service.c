/* SPDX-License-Identifier: Apache-2.0 */
#include "manageability/remote_encryption_service_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "jobs/name.h"
#include "manageability/lists_priv.h"
#include "wsman/values.h"

#define SERVICE_NAME "Remote Encryption Service"
#define SYSTEM_CLASS "CIM_ComputerSystem"
#define ENABLED 2 /* CIM_EnabledLogicalElement.EnabledState */

static const char *const service_keys[] = {"CreationClassName", "Name", "SystemCreationClassName",
                                           "SystemName", NULL};
static const char *const service_superclasses[] = {
    WSMAN_URI_CIM_CLASS "CIM_Service",        WSMAN_URI_CIM_CLASS "CIM_EnabledLogicalElement",
    WSMAN_URI_CIM_CLASS "CIM_LogicalElement", WSMAN_URI_CIM_CLASS "CIM_ManagedSystemElement",
    WSMAN_URI_CIM_CLASS "CIM_ManagedElement", NULL};

const wsman_class_t manageability_service_class = {.name = SERVICE_CLASS,
                                                   .uri = SERVICE_URI,
                                                   .keys = service_keys,
                                                   .singleton = 1,
                                                   .superclasses = service_superclasses};

/* ---- the instance ----------------------------------------------------------------------------------- */

static const char *service_key_value(const wsman_request_t *request, const char *key)
{
    if (strcmp(key, "CreationClassName") == 0) {
        return SERVICE_CLASS;
    }
    if (strcmp(key, "Name") == 0) {
        return SERVICE_NAME;
    }
    return strcmp(key, "SystemName") == 0 ? manageability_context(request)->settings->system_name
                                          : SYSTEM_CLASS;
}

int manageability_names_service(const wsman_request_t *request, const wsman_selector_t *selectors,
                                const char **key)
{
    for (const char *const *one = service_keys; *one != NULL; one++) {
        const char *value = wsman_selector_named(selectors, *one);

        if (value != NULL && strcasecmp(value, service_key_value(request, *one)) != 0) {
            if (key != NULL) {
                *key = *one;
            }
            return 0;
        }
    }
    return 1;
}

/* The dispatcher has checked the names of the selectors; this checks their values. */
static const wsman_fault_t *check_service_selectors(const wsman_request_t *request)
{
    const char *key = NULL;

    if (manageability_names_service(request, request->envelope->selectors, &key)) {
        return NULL;
    }
    return wsman_fault(request->pool, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI",
                       "there is no " SERVICE_CLASS " with this %s", key);
}

/* Which of service_superclasses introduces a property; 0 is the class itself. */
enum { REMOTE_ENCRYPTION_SERVICE, SERVICE, ENABLED_LOGICAL_ELEMENT, LOGICAL_ELEMENT };
enum { MANAGED_SYSTEM_ELEMENT = LOGICAL_ELEMENT + 1, MANAGED_ELEMENT };

static void write_service_key(const manageability_instance_t *instance, wsman_writer_t *answer,
                              const char *name)
{
    wsman_property(answer, name, service_key_value(instance->request, name));
}

static void write_service_name(const manageability_instance_t *instance, wsman_writer_t *answer,
                               const char *name)
{
    (void)instance;
    wsman_property(answer, name, SERVICE_NAME);
}

static void write_service_enabled(const manageability_instance_t *instance, wsman_writer_t *answer,
                                  const char *name)
{
    (void)instance;
    wsman_property_uint(answer, name, ENABLED);
}

/* A service that answers is healthy. If Redis or the worker is missing, its jobs show it. */
static void write_service_health(const manageability_instance_t *instance, wsman_writer_t *answer,
                                 const char *name)
{
    (void)instance;
    wsman_property_uint(answer, name, HEALTH_OK);
}

static void write_service_operational_status(const manageability_instance_t *instance, wsman_writer_t *answer,
                                             const char *name)
{
    (void)instance;
    wsman_property_uint(answer, name, STATUS_OK);
}

static void write_service_instance_id(const manageability_instance_t *instance, wsman_writer_t *answer,
                                      const char *name)
{
    (void)instance;
    wsman_property(answer, name, "amtunlock:" SERVICE_CLASS);
}

static void write_service_max_systems(const manageability_instance_t *instance, wsman_writer_t *answer,
                                      const char *name)
{
    const manageability_settings_t *settings = manageability_context(instance->request)->settings;

    wsman_property_uint(answer, name, (apr_uint64_t)settings->max_systems);
}

static void write_service_started(const manageability_instance_t *instance, wsman_writer_t *answer,
                                  const char *name)
{
    (void)instance;
    wsman_property_bool(answer, name, 1);
}

static const manageability_property_t service_properties[] = {
    {"CreationClassName", SERVICE, write_service_key},
    {"ElementName", MANAGED_ELEMENT, write_service_name},
    {"EnabledState", ENABLED_LOGICAL_ELEMENT, write_service_enabled},
    {"HealthState", MANAGED_SYSTEM_ELEMENT, write_service_health},
    {"InstanceID", MANAGED_ELEMENT, write_service_instance_id},
    {"MaxSystemsPerRequest", REMOTE_ENCRYPTION_SERVICE, write_service_max_systems},
    {"Name", MANAGED_SYSTEM_ELEMENT, write_service_key},
    {"OperationalStatus", MANAGED_SYSTEM_ELEMENT, write_service_operational_status},
    {"Started", SERVICE, write_service_started},
    {"SystemCreationClassName", SERVICE, write_service_key},
    {"SystemName", SERVICE, write_service_key},
    {NULL, 0, NULL},
};

static void write_service_instance(const wsman_request_t *request, wsman_writer_t *answer)
{
    const manageability_instance_t instance = {request, NULL};

    manageability_write_instance(&instance, &manageability_service_class, service_properties, answer);
}

const wsman_fault_t *manageability_service_get(wsman_request_t *request, wsman_writer_t *answer)
{
    const wsman_fault_t *fault = check_service_selectors(request);

    if (fault == NULL) {
        write_service_instance(request, answer);
    }
    return fault;
}

static const wsman_fault_t *list_service(wsman_request_t *request, apr_array_header_t **items)
{
    *items = apr_array_make(request->pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(*items, const char *) = SERVICE_NAME;
    return NULL;
}

static const wsman_fault_t *write_listed_service(wsman_request_t *request, const char *item,
                                                 wsman_writer_t *answer)
{
    (void)item;
    write_service_instance(request, answer);
    return NULL;
}

wsman_selector_t *manageability_service_selectors(const wsman_request_t *request)
{
    wsman_selector_t *first = NULL, **last = &first;

    for (const char *const *key = service_keys; *key != NULL; key++) {
        *last = apr_pcalloc(request->pool, sizeof(**last));
        (*last)->name = *key;
        (*last)->value = service_key_value(request, *key);
        last = &(*last)->next;
    }
    return first;
}

static wsman_selector_t *service_selectors(const wsman_request_t *request, const char *item)
{
    (void)item;
    return manageability_service_selectors(request);
}

const manageability_kind_t manageability_service_kind = {'s', &manageability_service_class, list_service,
                                                         write_listed_service, service_selectors};

/* ---- UnlockSystems: reading the names --------------------------------------------------------------- */

/* A name with the white space around it, which is answered as it was sent. */
#define SPELLING_MAX_LENGTH 512

/* The text if it is short and printable, so that an error message may quote it; else NULL. */
static const char *quotable(const char *text)
{
    apr_size_t length = strlen(text);

    for (const char *c = text; *c; c++) {
        if (*c < ' ' || *c > '~') {
            return NULL;
        }
    }
    return length && length <= 253 ? text : NULL;
}

/* The fault for a name that is none. The names of a request are counted from 1. */
static const wsman_fault_t *bad_name(const wsman_request_t *request, const char *name, int position)
{
    const char *shown = quotable(name);

    if (!*name) {
        return manageability_bad_parameter(request, "InvalidValue", "name %d is empty", position);
    }
    if (strncmp(name, "System.", 7) == 0 && strstr(name, "[]") != NULL) {
        return manageability_bad_parameter(
            request, "InvalidValue",
            "name %d is the text %s: the client turned an array into text; with PowerShell, give the names as XML "
            "(-FilePath), not as a value set",
            position, shown != NULL ? shown : "of a .NET array");
    }
    if (strlen(name) > 253) {
        return manageability_bad_parameter(request, "InvalidValue", "name %d is longer than 253 characters",
                                           position);
    }
    return manageability_bad_parameter(request, "InvalidValue",
                                       "name %d%s%s is neither a host name nor an address", position,
                                       shown != NULL ? ", " : "", shown != NULL ? shown : "");
}

/* Any name of the parameter is accepted, because none was ever published, but all must have the same. */
static const wsman_fault_t *check_name_parameter(const wsman_request_t *request, const wsman_element_t *first,
                                                 const wsman_element_t *element)
{
    if (strcmp(element->ns, SERVICE_URI) != 0) {
        return manageability_bad_parameter(request, "InvalidName",
                                           "a parameter is not in the namespace " SERVICE_URI);
    }
    if (strcmp(element->name, first->name) != 0) {
        return manageability_bad_parameter(request, "InvalidName",
                                           "UnlockSystems takes one parameter, repeated: an array of names");
    }
    return NULL;
}

static const wsman_fault_t *read_system_names(const wsman_request_t *request, const wsman_element_t *input,
                                              const apr_array_header_t **names)
{
    apr_array_header_t *found = apr_array_make(request->pool, 20, sizeof(jobs_name_t));
    int max = manageability_context(request)->settings->max_systems;

    for (const wsman_element_t *element = input->child; element != NULL; element = element->next) {
        const wsman_fault_t *fault = check_name_parameter(request, input->child, element);
        jobs_name_t name = {wsman_text(element, request->pool), NULL};

        if (fault != NULL) {
            return fault;
        }
        if (found->nelts == max) {
            return manageability_bad_parameter(request, "InvalidValue",
                                               "more than %d names; MaxSystemsPerRequest is %d", max, max);
        }
        name.key = element->child != NULL || strlen(name.spelling) > SPELLING_MAX_LENGTH
                       ? NULL
                       : jobs_name_key(name.spelling, request->pool);
        if (name.key == NULL) {
            return bad_name(request, name.spelling, found->nelts + 1);
        }
        APR_ARRAY_PUSH(found, jobs_name_t) = name;
    }
    *names = found;
    return NULL;
}

/* ---- UnlockSystems ---------------------------------------------------------------------------------- */

static void write_job_started(const wsman_request_t *request, const char *job, wsman_writer_t *answer)
{
    manageability_output(request, answer, "UnlockSystems");
    wsman_start(answer, WSMAN_NS_CLASS, "Job");
    wsman_write_epr(answer, JOB_URI, manageability_job_selectors(job, request->pool));
    wsman_end(answer);
    wsman_property_uint(answer, "ReturnValue",
                        (apr_uint64_t)manageability_context(request)->settings->job_started);
    wsman_end(answer);
}

/* The submission without its names. */
static jobs_submission_t submission_without_names(const wsman_request_t *request)
{
    const manageability_settings_t *settings = manageability_context(request)->settings;
    jobs_submission_t submission = {
        .retention = settings->retention,
        .start_within = settings->start_within,
        .limits = settings->limits,
    };

    /* only a UUID identifies a repeated request: some clients count 0, 1, 2 */
    if (!wsman_is_uuid(request->envelope->message_id, &submission.message_id, request->pool)) {
        submission.message_id = NULL;
    }
    return submission;
}

/* What the log says of the request's MessageID. */
static const char *message_id_note(jobs_match_e match, const char *message_id)
{
    if (match == JOBS_MATCH_MESSAGE_ID_REUSED) {
        return "; its MessageID is that of an earlier request for other systems";
    }
    return message_id != NULL ? "" : "; its MessageID is no UUID, so a repeat is not recognised";
}

const wsman_fault_t *manageability_unlock_systems(wsman_request_t *request, wsman_writer_t *answer)
{
    manageability_context_t *context = manageability_context(request);
    jobs_submission_t wanted = submission_without_names(request);
    const wsman_element_t *input;
    const wsman_fault_t *fault;
    const char *job = NULL;
    jobs_match_e match = JOBS_MATCH_NEW;
    jobs_result_t result;

    if ((fault = check_service_selectors(request)) != NULL ||
        (fault = manageability_input(request, "UnlockSystems", &input)) != NULL) {
        return fault;
    }
    if (input == NULL || input->child == NULL || (input->child->next == NULL && wsman_is_nil(input->child))) {
        return manageability_bad_parameter(request, "MissingValues", "UnlockSystems needs at least one name");
    }
    if ((fault = read_system_names(request, input, &wanted.names)) != NULL) {
        return fault;
    }
    result = jobs_submit(context->jobs, context->caller, &wanted, &job, &match, request->pool);
    if ((fault = manageability_fault_of(request, result)) != NULL) {
        return fault;
    }
    context->denied = *result.text ? result.text : NULL;
    context->note = apr_psprintf(request->pool, "%s job %s, %d name(s)%s",
                                 match == JOBS_MATCH_DUPLICATE ? "repeat of" : "new",
                                 manageability_instance_id(job, request->pool), wanted.names->nelts,
                                 message_id_note(match, wanted.message_id));
    write_job_started(request, job, answer);
    return NULL;
}

/* ---- GetUnlockedSystems ----------------------------------------------------------------------------- */

/* The InstanceID of the wanted job in *instance_id; NULL: the caller's latest. */
static const wsman_fault_t *requested_instance(const wsman_request_t *request, const wsman_element_t *job,
                                               const wsman_element_t *id, const char **instance_id)
{
    const char *named = id != NULL ? wsman_text(id, request->pool) : NULL;

    *instance_id = named;
    if (job == NULL) {
        return NULL;
    }
    *instance_id = manageability_referenced_instance(wsman_reference(job, request->pool));
    if (*instance_id == NULL) {
        return manageability_bad_parameter(request, "InvalidValue",
                                           "Job must be the endpoint reference of a " JOB_CLASS);
    }
    if (named != NULL && strcmp(named, *instance_id) != 0) {
        return manageability_bad_parameter(request, "InvalidValue", "Job and InstanceID name different jobs");
    }
    return NULL;
}

static void write_names(wsman_writer_t *answer, const char *property, const apr_array_header_t *names)
{
    for (int i = 0; i < names->nelts; i++) {
        wsman_property(answer, property, APR_ARRAY_IDX(names, i, const char *));
    }
}

static const wsman_fault_t *write_unlocked_systems(wsman_request_t *request, const jobs_look_t *look,
                                                   wsman_writer_t *answer)
{
    const manageability_context_t *context = manageability_context(request);
    jobs_results_t *results = NULL;
    const wsman_fault_t *fault = manageability_fault_of(
        request, jobs_results(context->jobs, context->caller, look, &results, request->pool));

    if (fault != NULL) {
        return fault;
    }
    manageability_output(request, answer, "GetUnlockedSystems");
    write_names(answer, "unlockedSystems", results->unlocked);
    write_names(answer, "failedSystems", results->failed);
    wsman_property_uint(answer, "ReturnValue", RETURN_OK);
    wsman_end(answer);
    return NULL;
}

const wsman_fault_t *manageability_get_unlocked_systems(wsman_request_t *request, wsman_writer_t *answer)
{
    enum { JOB, INSTANCE_ID, FIRST, COUNT, END };
    manageability_parameter_t asked[] = {
        [JOB] = {.name = "Job"},     [INSTANCE_ID] = {.name = "InstanceID"},
        [FIRST] = {.name = "First"}, [COUNT] = {.name = "Count"},
        [END] = {.name = NULL},
    };
    const wsman_fault_t *fault;
    const char *instance_id = NULL;
    jobs_window_t window = {NULL, 0, -1};

    if ((fault = check_service_selectors(request)) != NULL ||
        (fault = manageability_parameters(request, "GetUnlockedSystems", asked,
                                          "Job or InstanceID, First and Count, each once")) != NULL ||
        (fault = requested_instance(request, asked[JOB].element, asked[INSTANCE_ID].element, &instance_id)) !=
            NULL ||
        (fault = manageability_number(request, &asked[FIRST], &window.first)) != NULL ||
        (fault = manageability_number(request, &asked[COUNT], &window.count)) != NULL) {
        return fault;
    }
    if (instance_id != NULL && (window.job = manageability_job_id(instance_id)) == NULL) {
        return manageability_no_such_job(request);
    }
    return manageability_list(request, JOBS_RESULTS, &window, write_unlocked_systems, answer);
}
