/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of the service: the dispatch table and the enumerations. */
#include "manageability/manageability.h"

#include <string.h>

#include <apr_strings.h>

#include "manageability/concrete_job_priv.h"
#include "manageability/job_elements_priv.h"
#include "manageability/remote_encryption_service_priv.h"
#include "manageability/resources_priv.h"

#define SECURITY_PROFILE "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/"

/* ---- enumeration contexts, kept in Redis ------------------------------------------------------------ */

static const wsman_fault_t *context_open(wsman_request_t *request, const wsman_context_t *context,
                                         int expires, const char **id)
{
    const manageability_context_t *with = manageability_context(request);
    const char *fields = apr_pstrcat(request->pool, context->mode, " ", context->resource_uri, NULL);

    return manageability_fault_of(request,
                                  jobs_context_open(with->jobs, with->caller, fields, context->items, expires,
                                                    &with->settings->limits, id, request->pool));
}

/* One fault for a context that is unknown, expired or another caller's. */
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

/* ---- enumeration of instances ----------------------------------------------------------------------- */

static const manageability_kind_t *const kinds[] = {
    &manageability_service_kind,
    &manageability_job_kind,
    &manageability_owning_kind,
    &manageability_affected_kind,
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const wsman_fault_t *list_kind(wsman_request_t *request, const manageability_kind_t *kind,
                                      apr_array_header_t *all)
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

/* An enumeration of a base class covers several classes, so each item begins with the mark of its kind. */
static const wsman_fault_t *list_instances(wsman_request_t *request, const char *resource_uri,
                                           apr_array_header_t **items)
{
    const wsman_fault_t *fault = NULL;

    *items = apr_array_make(request->pool, 16, sizeof(const char *));
    for (int i = 0; i < KINDS && fault == NULL; i++) {
        if (wsman_class_is(kinds[i]->class_, resource_uri)) {
            fault = list_kind(request, kinds[i], *items);
        }
    }
    return fault;
}

/* NULL for an unknown mark: the items come from Redis, where another version may have stored them. */
static const manageability_kind_t *kind_of_item(const char *item)
{
    for (int i = 0; i < KINDS; i++) {
        if (kinds[i]->mark == *item) {
            return kinds[i];
        }
    }
    return NULL;
}

/* Reads the jobs of a page of items, in one call for all. */
static const wsman_fault_t *fetch_items(wsman_request_t *request, const apr_array_header_t *items, int count)
{
    manageability_context_t *with = manageability_context(request);
    apr_hash_t *seen = apr_hash_make(request->pool);
    apr_array_header_t *ids = apr_array_make(request->pool, count + 1, sizeof(const char *));

    for (int i = 0; i < count; i++) {
        const char *item = APR_ARRAY_IDX(items, i, const char *);
        const manageability_kind_t *kind = kind_of_item(item);

        if (kind != NULL && kind != &manageability_service_kind &&
            apr_hash_get(seen, item + 1, APR_HASH_KEY_STRING) == NULL) {
            apr_hash_set(seen, item + 1, APR_HASH_KEY_STRING, item);
            APR_ARRAY_PUSH(ids, const char *) = item + 1;
        }
    }
    return ids->nelts == 0 ? NULL
                           : manageability_fault_of(request, jobs_read_page(with->jobs, with->caller, ids,
                                                                            &with->page, request->pool));
}

static const wsman_fault_t *write_item(wsman_request_t *request, const char *item, wsman_writer_t *answer)
{
    const manageability_kind_t *kind = kind_of_item(item);

    return kind != NULL ? kind->write(request, item + 1, answer) : NULL;
}

static const wsman_class_t *reference_item(wsman_request_t *request, const char *item,
                                           wsman_selector_t **selectors)
{
    const manageability_kind_t *kind = kind_of_item(item);

    if (kind == NULL) {
        kind = &manageability_service_kind;
    }
    *selectors = kind->selectors(request, item + 1);
    return kind->class_;
}

static const wsman_enumeration_source_t enumeration_source = {
    list_instances, fetch_items, write_item, reference_item, context_open, context_pull, context_release,
};

static const wsman_fault_t *enumerate_class(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_enumerate(request, &enumeration_source, answer);
}

static const wsman_fault_t *pull_class(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_pull(request, &enumeration_source, answer);
}

static const wsman_fault_t *release_class(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_release(request, &enumeration_source, answer);
}

/* ---- the table -------------------------------------------------------------------------------------- */

const wsman_operation_t manageability_operations[] = {
    {&manageability_service_class, WSMAN_ACTION_GET, manageability_service_get, 0},
    {&manageability_service_class, WSMAN_ACTION_ENUMERATE, enumerate_class, 1},
    {&manageability_service_class, WSMAN_ACTION_PULL, pull_class, 1},
    {&manageability_service_class, WSMAN_ACTION_RELEASE, release_class, 1},
    {&manageability_service_class, SERVICE_URI "/UnlockSystems", manageability_unlock_systems, 0},
    {&manageability_service_class, SERVICE_URI "/GetUnlockedSystems", manageability_get_unlocked_systems, 0},
    {&manageability_job_class, WSMAN_ACTION_GET, manageability_job_get, 0},
    {&manageability_job_class, WSMAN_ACTION_ENUMERATE, enumerate_class, 1},
    {&manageability_job_class, WSMAN_ACTION_PULL, pull_class, 1},
    {&manageability_job_class, WSMAN_ACTION_RELEASE, release_class, 1},
    {&manageability_job_class, WSMAN_ACTION_DELETE, manageability_job_delete, 0},
    {&manageability_job_class, JOB_URI "/RequestStateChange", manageability_job_request_state_change, 0},
    {&manageability_job_class, JOB_URI "/GetErrors", manageability_job_get_errors, 0},
    {&manageability_owning_class, WSMAN_ACTION_GET, manageability_association_get, 0},
    {&manageability_owning_class, WSMAN_ACTION_ENUMERATE, enumerate_class, 1},
    {&manageability_owning_class, WSMAN_ACTION_PULL, pull_class, 1},
    {&manageability_owning_class, WSMAN_ACTION_RELEASE, release_class, 1},
    {&manageability_affected_class, WSMAN_ACTION_GET, manageability_association_get, 0},
    {&manageability_affected_class, WSMAN_ACTION_ENUMERATE, enumerate_class, 1},
    {&manageability_affected_class, WSMAN_ACTION_PULL, pull_class, 1},
    {&manageability_affected_class, WSMAN_ACTION_RELEASE, release_class, 1},
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
