/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatch table, and what all classes need: enumeration, the writing of instances, faults from outcomes,
 * inputs of methods. */
#include "manageability/resources_priv.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "wsman/values.h"

#define INSTANCE_PREFIX "amtunlock:"
#define JOB_ID_LENGTH 26
#define SECURITY_PROFILE "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/"

/* ---- enumeration: one way to keep contexts, whatever the class -------------------------------------- */

static const wsman_fault_t *context_open(wsman_request_t *request, const wsman_context_t *context,
                                         int expires, const char **id)
{
    const manageability_context_t *with = manageability_context(request);
    const char *fields = apr_pstrcat(request->pool, context->mode, " ", context->resource_uri, NULL);

    return manageability_fault_of(request,
                                  jobs_context_open(with->jobs, with->caller, fields, context->items, expires,
                                                    with->settings->max_contexts, id, request->pool));
}

/* Unknown, expired, another caller's: alike. */
static const wsman_fault_t *context_fault(const wsman_request_t *request, jobs_result_t result)
{
    if (result.outcome != JOBS_NOT_FOUND) {
        return manageability_fault_of(request, result);
    }
    return wsman_fault(request->pool, WSMAN_FAULT_ENUMERATION_CONTEXT, NULL,
                       "there is no such enumeration for this caller; it ended, it expired, or it never was");
}

static const wsman_fault_t *context_pull(wsman_request_t *request, const char *id, int count,
                                         wsman_context_t *context, int *more)
{
    const manageability_context_t *with = manageability_context(request);
    const char *fields = NULL;
    const wsman_fault_t *fault =
        context_fault(request, jobs_context_pull(with->jobs, with->caller, id, count, &fields,
                                                 &context->items, more, request->pool));
    const char *space;

    if (fault != NULL) {
        return fault;
    }
    space = strchr(fields, ' ');
    if (space == NULL) {
        return wsman_fault(request->pool, WSMAN_FAULT_INTERNAL, NULL, "the stored enumeration is damaged");
    }
    context->mode = apr_pstrmemdup(request->pool, fields, (apr_size_t)(space - fields));
    context->resource_uri = apr_pstrdup(request->pool, space + 1);
    return NULL;
}

static const wsman_fault_t *context_release(wsman_request_t *request, const char *id)
{
    const manageability_context_t *with = manageability_context(request);

    return context_fault(request, jobs_context_release(with->jobs, with->caller, id, request->pool));
}

/* ---- enumeration: what there is of each class ------------------------------------------------------- */

/* An enumeration of a base class goes over several classes, so an item begins with the mark of its own. */
typedef struct {
    char mark;
    const wsman_class_t *class_;
    const wsman_fault_t *(*list)(wsman_request_t *request, apr_array_header_t **items);
    const wsman_fault_t *(*write)(wsman_request_t *request, const char *item, wsman_writer_t *answer);
    const wsman_class_t *(*reference)(wsman_request_t *request, const char *item,
                                      wsman_selector_t **selectors);
} kind_t;

static const kind_t kinds[] = {
    {'s', &manageability_service_class, manageability_service_list, manageability_service_write,
     manageability_service_reference},
    {'j', &manageability_job_class, manageability_job_list, manageability_job_write,
     manageability_job_reference},
    {'o', &manageability_owning_class, manageability_job_list, manageability_owning_write,
     manageability_owning_reference},
    {'a', &manageability_affected_class, manageability_job_list, manageability_affected_write,
     manageability_affected_reference},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const wsman_fault_t *list_kind(wsman_request_t *request, const kind_t *kind, apr_array_header_t *all)
{
    apr_array_header_t *items = NULL;
    const wsman_fault_t *fault = kind->list(request, &items);

    for (int i = 0; fault == NULL && i < items->nelts; i++) {
        const char mark[] = {kind->mark, '\0'};

        APR_ARRAY_PUSH(all, const char *) =
            apr_pstrcat(request->pool, mark, APR_ARRAY_IDX(items, i, const char *), NULL);
    }
    return fault; /* cppcheck-suppress returnDanglingLifetime ; it is not what `items` points to */
}

static const wsman_fault_t *list(wsman_request_t *request, const char *resource_uri,
                                 apr_array_header_t **items)
{
    const wsman_fault_t *fault = NULL;

    *items = apr_array_make(request->pool, 16, sizeof(const char *));
    for (int i = 0; i < KINDS && fault == NULL; i++) {
        if (wsman_class_is(kinds[i].class_, resource_uri)) {
            fault = list_kind(request, &kinds[i], *items);
        }
    }
    return fault;
}

/* Items come back from the store, which an older version of this program may have filled. */
static const kind_t *kind_of(const char *item)
{
    for (int i = 0; i < KINDS; i++) {
        if (kinds[i].mark == *item) {
            return &kinds[i];
        }
    }
    return NULL;
}

static const wsman_fault_t *write_item(wsman_request_t *request, const char *item, wsman_writer_t *answer)
{
    const kind_t *kind = kind_of(item);

    return kind != NULL ? kind->write(request, item + 1, answer) : NULL;
}

static const wsman_class_t *reference_item(wsman_request_t *request, const char *item,
                                           wsman_selector_t **selectors)
{
    const kind_t *kind = kind_of(item);

    return (kind != NULL ? kind : &kinds[0])->reference(request, item + 1, selectors);
}

static const wsman_enumeration_source_t source = {
    list, write_item, reference_item, context_open, context_pull, context_release,
};

static const wsman_fault_t *enumerate(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_enumerate(request, &source, answer);
}

static const wsman_fault_t *pull(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_pull(request, &source, answer);
}

static const wsman_fault_t *release(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_release(request, &source, answer);
}

/* ---- the table -------------------------------------------------------------------------------------- */

const wsman_operation_t manageability_operations[] = {
    {&manageability_service_class, WSMAN_ACTION_GET, manageability_service_get, 0},
    {&manageability_service_class, WSMAN_ACTION_ENUMERATE, enumerate, 1},
    {&manageability_service_class, WSMAN_ACTION_PULL, pull, 1},
    {&manageability_service_class, WSMAN_ACTION_RELEASE, release, 1},
    {&manageability_service_class, SERVICE_URI "/UnlockSystems", manageability_unlock_systems, 0},
    {&manageability_service_class, SERVICE_URI "/GetUnlockedSystems", manageability_get_unlocked_systems, 0},
    {&manageability_job_class, WSMAN_ACTION_GET, manageability_job_get, 0},
    {&manageability_job_class, WSMAN_ACTION_ENUMERATE, enumerate, 1},
    {&manageability_job_class, WSMAN_ACTION_PULL, pull, 1},
    {&manageability_job_class, WSMAN_ACTION_RELEASE, release, 1},
    {&manageability_job_class, WSMAN_ACTION_DELETE, manageability_job_delete, 0},
    {&manageability_job_class, JOB_URI "/RequestStateChange", manageability_job_request_state_change, 0},
    {&manageability_job_class, JOB_URI "/GetErrors", manageability_job_get_errors, 0},
    {&manageability_owning_class, WSMAN_ACTION_GET, manageability_owning_get, 0},
    {&manageability_owning_class, WSMAN_ACTION_ENUMERATE, enumerate, 1},
    {&manageability_owning_class, WSMAN_ACTION_PULL, pull, 1},
    {&manageability_owning_class, WSMAN_ACTION_RELEASE, release, 1},
    {&manageability_affected_class, WSMAN_ACTION_GET, manageability_affected_get, 0},
    {&manageability_affected_class, WSMAN_ACTION_ENUMERATE, enumerate, 1},
    {&manageability_affected_class, WSMAN_ACTION_PULL, pull, 1},
    {&manageability_affected_class, WSMAN_ACTION_RELEASE, release, 1},
    {NULL, NULL, NULL, 0},
};

wsman_service_t manageability_service(manageability_context_t *context)
{
    static const char *const profiles[] = {SECURITY_PROFILE "https/spnego-kerberos",
                                           SECURITY_PROFILE "http/spnego-kerberos", NULL};
    wsman_service_t service = {
        .operations = manageability_operations,
        .identity = {"mod_amtunlock", AMTUNLOCK_VERSION, profiles},
        .context = context,
    };

    return service;
}

manageability_context_t *manageability_context(const wsman_request_t *request)
{
    return request->context;
}

/* ---- instances -------------------------------------------------------------------------------------- */

/* How far up the class tree the request wants the instance seen from; 0: as what it is. */
static int view_of(const wsman_request_t *request, const wsman_class_t *class_)
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
    int view = view_of(instance->request, class_);
    const char *uri = view ? class_->superclasses[view - 1] : class_->uri;

    wsman_start_class(answer, uri, strrchr(uri, '/') + 1);
    for (const manageability_property_t *property = properties; property->name != NULL; property++) {
        if (property->origin >= view) {
            property->write(instance, answer, property->name);
        }
    }
    wsman_end(answer);
}

/* ---- from outcomes to faults ------------------------------------------------------------------------ */

/* What a console is told; the store's own words go to the log only. */
static const struct {
    wsman_fault_e kind;
    const char *reason;
} outcome_faults[] = {
    [JOBS_REFUSED] = {WSMAN_FAULT_ENDPOINT_UNAVAILABLE,
                      "the request came to the job store too late and was not carried out; "
                      "send it again"},
    [JOBS_QUOTA] = {WSMAN_FAULT_QUOTA_LIMIT,
                    "a limit of this caller is reached; wait until earlier requests have ended"},
    [JOBS_CONFLICT] = {WSMAN_FAULT_CONCURRENCY, "the state of the job does not allow this now"},
    [JOBS_UNAVAILABLE] = {WSMAN_FAULT_ENDPOINT_UNAVAILABLE,
                          "the job store does not answer; nothing was done, try again later"},
    [JOBS_OUTDATED] = {WSMAN_FAULT_ENDPOINT_UNAVAILABLE,
                       "the job store belongs to a newer version of this service"},
    [JOBS_BROKEN] = {WSMAN_FAULT_INTERNAL,
                     "the job store gave an answer that this service does not understand"},
};

/* Which limit it is, by the store's word for it. */
static const char *quota_reason(const char *limit)
{
    static const struct {
        const char *limit, *reason;
    } limits[] = {
        {"jobs", "this caller has as many unfinished jobs as it may have; wait until one has ended"},
        {"systems",
         "this caller has as many systems waiting as it may have; wait until some have begun, or ask "
         "for fewer"},
        {"contexts",
         "this caller has as many enumerations open as it may have; pull them to their end or release "
         "them"},
        {"everybody",
         "as many systems are waiting as this service keeps, of all callers together; try again later"},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (strcmp(limits[i].limit, limit) == 0) {
            return limits[i].reason;
        }
    }
    return outcome_faults[JOBS_QUOTA].reason;
}

const wsman_fault_t *manageability_fault_of(const wsman_request_t *request, jobs_result_t result)
{
    manageability_context_t *with = manageability_context(request);
    wsman_fault_t *fault;

    if (result.outcome == JOBS_OK || result.outcome == JOBS_ALREADY) {
        return NULL;
    }
    if (result.outcome == JOBS_NOT_FOUND) {
        return manageability_no_such_job(request);
    }
    with->note = result.text != NULL && *result.text ? result.text : NULL;
    fault = wsman_fault(request->pool, outcome_faults[result.outcome].kind, NULL, "%s",
                        result.outcome == JOBS_QUOTA ? quota_reason(with->note != NULL ? with->note : "")
                                                     : outcome_faults[result.outcome].reason);
    if (fault->kind == WSMAN_FAULT_ENDPOINT_UNAVAILABLE) {
        fault->detail = "ResourceOffline";
        fault->retry_after = with->settings->retry_after;
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

static manageability_parameter_t *parameter_of(manageability_parameter_t *parameters, const char *name)
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
        manageability_parameter_t *parameter =
            strcmp(element->ns, request->class_->uri) == 0 ? parameter_of(parameters, element->name) : NULL;

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

/* ---- names of jobs ---------------------------------------------------------------------------------- */

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
