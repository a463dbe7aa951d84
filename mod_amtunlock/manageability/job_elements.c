/* SPDX-License-Identifier: Apache-2.0 */
/* Associations of a job and the service. A job in fact affects PCs, but they have no instance here; so both
 * associations lead from the service to its jobs, and a console that walks the model finds them from either end.
 */
#include "manageability/job_elements_priv.h"

#include <string.h>

#include "manageability/concrete_job_priv.h"
#include "manageability/remote_encryption_service_priv.h"

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

static void write_service_epr(instance_t *instance, wsman_writer_t *answer, const char *name)
{
    wsman_start(answer, WSMAN_NS_CLASS, name);
    wsman_write_epr(answer, SERVICE_URI, manageability_service_selectors(instance->request));
    wsman_end(answer);
}

static void write_job_epr(instance_t *instance, wsman_writer_t *answer, const char *name)
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
    {"OwnedElement", 0, write_job_epr},
    {"OwningElement", 0, write_service_epr},
    {NULL, 0, NULL},
};

static const manageability_property_t affected_properties[] = {
    {"AffectedElement", 0, write_service_epr},
    {"AffectingElement", 0, write_job_epr},
    {"ElementEffects", 0, write_effects},
    {"OtherElementEffectsDescriptions", 0, write_other_effects},
    {NULL, 0, NULL},
};

typedef struct {
    const wsman_class_t *class_;
    const char *service_key, *job_key; /* the keys that refer to the service and to the job */
    const manageability_property_t *properties;
} association_t;

static const association_t owning = {&manageability_owning_class, "OwningElement", "OwnedElement",
                                     owning_properties};
static const association_t affected = {&manageability_affected_class, "AffectedElement", "AffectingElement",
                                       affected_properties};

static void write_association(const wsman_request_t *request, const association_t *association,
                              const jobs_job_t *job, wsman_writer_t *answer)
{
    const manageability_instance_t instance = {request, job};

    manageability_write_instance(&instance, association->class_, association->properties, answer);
}

/* ---- enumeration ------------------------------------------------------------------------------------ */

/* Nothing for a job that expired after it was listed. */
static const wsman_fault_t *write_listed_association(const wsman_request_t *request,
                                                     const association_t *association, const char *id,
                                                     wsman_writer_t *answer)
{
    const jobs_job_t *job = manageability_job_of_page(request, id);

    if (job != NULL) {
        write_association(request, association, job, answer);
    }
    return NULL;
}

static const wsman_fault_t *write_owning(wsman_request_t *request, const char *item, wsman_writer_t *answer)
{
    return write_listed_association(request, &owning, item, answer);
}

static const wsman_fault_t *write_affected(wsman_request_t *request, const char *item, wsman_writer_t *answer)
{
    return write_listed_association(request, &affected, item, answer);
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

static wsman_selector_t *association_selectors(const wsman_request_t *request,
                                               const association_t *association, const char *id)
{
    apr_pool_t *pool = request->pool;
    wsman_selector_t *first = reference_selector(association->service_key, SERVICE_URI,
                                                 manageability_service_selectors(request), pool);

    first->next =
        reference_selector(association->job_key, JOB_URI, manageability_job_selectors(id, pool), pool);
    return first;
}

static wsman_selector_t *owning_selectors(const wsman_request_t *request, const char *item)
{
    return association_selectors(request, &owning, item);
}

static wsman_selector_t *affected_selectors(const wsman_request_t *request, const char *item)
{
    return association_selectors(request, &affected, item);
}

const manageability_kind_t manageability_owning_kind = {
    'o', &manageability_owning_class, manageability_job_list, write_owning, owning_selectors};
const manageability_kind_t manageability_affected_kind = {
    'a', &manageability_affected_class, manageability_job_list, write_affected, affected_selectors};

/* ---- Get -------------------------------------------------------------------------------------------- */

static const wsman_reference_t *selected_reference(const wsman_request_t *request, const char *key)
{
    const wsman_selector_t *selector = request->envelope->selectors;

    while (selector != NULL && strcasecmp(selector->name, key) != 0) {
        selector = selector->next;
    }
    return selector != NULL ? selector->reference : NULL;
}

static int refers_to_service(const wsman_request_t *request, const wsman_reference_t *reference)
{
    return reference != NULL && reference->resource_uri != NULL &&
           strcmp(reference->resource_uri, SERVICE_URI) == 0 &&
           manageability_names_service(request, reference->selectors, NULL);
}

/* The association exists if both its ends do; otherwise one fault for all cases. */
const wsman_fault_t *manageability_association_get(wsman_request_t *request, wsman_writer_t *answer)
{
    const association_t *association = request->class_ == owning.class_ ? &owning : &affected;
    const wsman_reference_t *service = selected_reference(request, association->service_key);
    const wsman_reference_t *reference = selected_reference(request, association->job_key);
    const manageability_context_t *context = manageability_context(request);
    const char *id = manageability_job_id(manageability_referenced_instance(reference));
    const wsman_fault_t *fault;
    jobs_job_t *job = NULL;

    if (id == NULL || !refers_to_service(request, service)) {
        return manageability_no_such_job(request);
    }
    fault =
        manageability_fault_of(request, jobs_read(context->jobs, context->caller, id, &job, request->pool));
    if (fault == NULL) {
        write_association(request, association, job, answer);
    }
    return fault;
}
