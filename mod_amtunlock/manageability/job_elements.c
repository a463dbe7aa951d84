/* SPDX-License-Identifier: Apache-2.0 */
/* CIM_OwningJobElement and CIM_AffectedJobElement: a job and the service that works it off, as associations.
 *
 * What a job affects in truth are PCs, which have their own management and no instance here; both
 * associations therefore lead from the service to its jobs, so that a console that walks the model finds them
 * from either end.
 */
#include "manageability/resources_priv.h"

#include <string.h>

/* CIM_AffectedJobElement.ElementEffects */
enum { EFFECT_OTHER = 1 };

#define OWNING_URI WSMAN_URI_CIM_CLASS OWNING_CLASS
#define AFFECTED_URI WSMAN_URI_CIM_CLASS AFFECTED_CLASS

static const char *const owning_keys[] = {"OwnedElement", "OwningElement", NULL};
static const char *const affected_keys[] = {"AffectedElement", "AffectingElement", NULL};

const wsman_class_t manageability_owning_class = {
    .name = OWNING_CLASS, .uri = OWNING_URI, .keys = owning_keys, .keys_are_references = 1};
const wsman_class_t manageability_affected_class = {
    .name = AFFECTED_CLASS, .uri = AFFECTED_URI, .keys = affected_keys, .keys_are_references = 1};

/* ---- the instances ---------------------------------------------------------------------------------- */

typedef const manageability_instance_t instance_t;

static void write_service(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_start(answer, WSMAN_NS_CLASS, name);
    wsman_write_epr(answer, SERVICE_URI, manageability_service_selectors(instance->request));
    wsman_end(answer);
}

static void write_job(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_start(answer, WSMAN_NS_CLASS, name);
    wsman_write_epr(answer, JOB_URI, manageability_job_selectors(instance->job->id, instance->request->pool));
    wsman_end(answer);
}

static void write_effects(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    (void)instance;
    wsman_property_uint(answer, name, EFFECT_OTHER);
}

static void write_other_effects(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    (void)instance;
    wsman_property(answer, name, "the service unlocks the systems of the job");
}

static const manageability_property_t owning_properties[] = {
    {"OwnedElement", 0, write_job},
    {"OwningElement", 0, write_service},
    {NULL, 0, NULL},
};

static const manageability_property_t affected_properties[] = {
    {"AffectedElement", 0, write_service},
    {"AffectingElement", 0, write_job},
    {"ElementEffects", 0, write_effects},
    {"OtherElementEffectsDescriptions", 0, write_other_effects},
    {NULL, 0, NULL},
};

/* An association of this class with this job; JOBS_NOT_FOUND where the caller has no such job. */
static jobs_result_t write_association(wsman_request_t *request, const char *id, const wsman_class_t *class_,
                                       const manageability_property_t *properties, wsman_writer_t *answer)
{
    const manageability_context_t *with = manageability_context(request);
    jobs_job_t *job = NULL;
    jobs_result_t result = jobs_read(with->jobs, with->caller, id, &job, request->pool);

    if (result.outcome == JOBS_OK) {
        const manageability_instance_t instance = {request, job};

        manageability_write_instance(&instance, class_, properties, answer);
    }
    return result;
}

/* ---- enumeration ------------------------------------------------------------------------------------ */

/* A job whose time ended since it was listed leaves no association behind. */
static const wsman_fault_t *write_listed(wsman_request_t *request, const char *id,
                                         const wsman_class_t *class_,
                                         const manageability_property_t *properties, wsman_writer_t *answer)
{
    jobs_result_t result = write_association(request, id, class_, properties, answer);

    return result.outcome == JOBS_NOT_FOUND ? NULL : manageability_fault_of(request, result);
}

const wsman_fault_t *manageability_owning_write(wsman_request_t *request, const char *item,
                                                wsman_writer_t *answer)
{
    return write_listed(request, item, &manageability_owning_class, owning_properties, answer);
}

const wsman_fault_t *manageability_affected_write(wsman_request_t *request, const char *item,
                                                  wsman_writer_t *answer)
{
    return write_listed(request, item, &manageability_affected_class, affected_properties, answer);
}

static wsman_selector_t *reference_selector(const char *name, const char *uri, wsman_selector_t *selectors,
                                            apr_pool_t *pool)
{
    wsman_selector_t *selector = apr_pcalloc(pool, sizeof(*selector));
    wsman_reference_t *reference = apr_pcalloc(pool, sizeof(*reference));

    reference->resource_uri = uri;
    reference->selectors = selectors;
    selector->name = name;
    selector->reference = reference;
    return selector;
}

static wsman_selector_t *association_selectors(const wsman_request_t *request, const char *service_key,
                                               const char *job_key, const char *id)
{
    wsman_selector_t *first =
        reference_selector(service_key, SERVICE_URI, manageability_service_selectors(request), request->pool);

    first->next =
        reference_selector(job_key, JOB_URI, manageability_job_selectors(id, request->pool), request->pool);
    return first;
}

const wsman_class_t *manageability_owning_reference(wsman_request_t *request, const char *item,
                                                    wsman_selector_t **selectors)
{
    *selectors = association_selectors(request, "OwningElement", "OwnedElement", item);
    return &manageability_owning_class;
}

const wsman_class_t *manageability_affected_reference(wsman_request_t *request, const char *item,
                                                      wsman_selector_t **selectors)
{
    *selectors = association_selectors(request, "AffectedElement", "AffectingElement", item);
    return &manageability_affected_class;
}

/* ---- Get -------------------------------------------------------------------------------------------- */

static const wsman_reference_t *selected(const wsman_request_t *request, const char *key)
{
    const wsman_selector_t *selector = request->envelope->selectors;

    while (selector != NULL && strcasecmp(selector->name, key) != 0) {
        selector = selector->next;
    }
    return selector != NULL ? selector->reference : NULL;
}

static int is_service(const wsman_request_t *request, const wsman_reference_t *reference)
{
    return reference != NULL && reference->resource_uri != NULL &&
           strcmp(reference->resource_uri, SERVICE_URI) == 0 &&
           manageability_names_service(request, reference->selectors, NULL);
}

/* There is an association where both its ends are; one fault for all that is not. */
static const wsman_fault_t *get(wsman_request_t *request, const char *service_key, const char *job_key,
                                const manageability_property_t *properties, wsman_writer_t *answer)
{
    const char *id = manageability_job_id(manageability_referenced_instance(selected(request, job_key)));

    if (id == NULL || !is_service(request, selected(request, service_key))) {
        return manageability_no_such_job(request);
    }
    return manageability_fault_of(request,
                                  write_association(request, id, request->class_, properties, answer));
}

const wsman_fault_t *manageability_owning_get(wsman_request_t *request, wsman_writer_t *answer)
{
    return get(request, "OwningElement", "OwnedElement", owning_properties, answer);
}

const wsman_fault_t *manageability_affected_get(wsman_request_t *request, wsman_writer_t *answer)
{
    return get(request, "AffectedElement", "AffectingElement", affected_properties, answer);
}
