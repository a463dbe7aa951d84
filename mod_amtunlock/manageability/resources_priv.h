/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: the classes, their rows in the table, and the way from what jobs say to
 * what a console is told.
 */
#ifndef AMTUNLOCK_MANAGEABILITY_RESOURCES_PRIV_H
#define AMTUNLOCK_MANAGEABILITY_RESOURCES_PRIV_H

#include "manageability/manageability.h"
#include "wsman/enumeration.h"

#define SERVICE_CLASS "AMT_RemoteEncryptionService"
#define SERVICE_URI WSMAN_URI_AMT_CLASS SERVICE_CLASS
#define JOB_CLASS "CIM_ConcreteJob"
#define JOB_URI WSMAN_URI_CIM_CLASS JOB_CLASS
#define OWNING_CLASS "CIM_OwningJobElement"
#define AFFECTED_CLASS "CIM_AffectedJobElement"

/* DMTF's ReturnValues, as far as this service gives them. */
enum { RETURN_OK = 0, RETURN_NOT_SUPPORTED = 1, RETURN_INVALID_PARAMETER = 5, RETURN_JOB_STARTED = 4096 };
enum { RETURN_INVALID_TRANSITION = 4097, RETURN_TIMEOUT_NOT_SUPPORTED = 4098 };

/* CIM_ManagedSystemElement.OperationalStatus and .HealthState */
enum { STATUS_OK = 2, STATUS_ERROR = 6, STATUS_COMPLETED = 17 };
enum { HEALTH_OK = 5, HEALTH_DEGRADED = 10 };

extern const wsman_class_t manageability_service_class;
extern const wsman_class_t manageability_job_class;
extern const wsman_class_t manageability_owning_class;   /* the service owns the job */
extern const wsman_class_t manageability_affected_class; /* the job occupies the service */

/* ---- instances -------------------------------------------------------------------------------------- */

/* What is known of the instance that is being written; `job` is NULL where the class needs none. */
typedef struct {
    const wsman_request_t *request;
    const jobs_job_t *job;
} manageability_instance_t;

/* A property: who introduces it (0: the class itself; n: the n-th of its superclasses; an override counts for
 * nothing), and what writes it. A table of them ends with name NULL and is in alphabetical order, as firmware
 * and Windows write instances. */
typedef struct {
    const char *name;
    int origin;
    void (*write)(const manageability_instance_t *instance, wsman_writer_t *answer, const char *name);
} manageability_property_t;

/* The instance, as one of its own class or of the base class that the request asks for. */
void manageability_write_instance(const manageability_instance_t *instance, const wsman_class_t *class_,
                                  const manageability_property_t *properties, wsman_writer_t *answer);

/* Enumeration of one class: which instances there are, one instance, its reference. An item of the classes
 * that have to do with jobs is a job's id. */
const wsman_fault_t *manageability_service_list(wsman_request_t *request, apr_array_header_t **items);
const wsman_fault_t *manageability_service_write(wsman_request_t *request, const char *item,
                                                 wsman_writer_t *answer);
const wsman_class_t *manageability_service_reference(wsman_request_t *request, const char *item,
                                                     wsman_selector_t **selectors);
const wsman_fault_t *manageability_job_list(wsman_request_t *request, apr_array_header_t **items);
const wsman_fault_t *manageability_job_write(wsman_request_t *request, const char *item,
                                             wsman_writer_t *answer);
const wsman_class_t *manageability_job_reference(wsman_request_t *request, const char *item,
                                                 wsman_selector_t **selectors);
const wsman_fault_t *manageability_owning_write(wsman_request_t *request, const char *item,
                                                wsman_writer_t *answer);
const wsman_class_t *manageability_owning_reference(wsman_request_t *request, const char *item,
                                                    wsman_selector_t **selectors);
const wsman_fault_t *manageability_affected_write(wsman_request_t *request, const char *item,
                                                  wsman_writer_t *answer);
const wsman_class_t *manageability_affected_reference(wsman_request_t *request, const char *item,
                                                      wsman_selector_t **selectors);

wsman_operation_fn manageability_service_get;
wsman_operation_fn manageability_unlock_systems;
wsman_operation_fn manageability_get_unlocked_systems;
wsman_operation_fn manageability_job_get;
wsman_operation_fn manageability_job_delete;
wsman_operation_fn manageability_job_request_state_change;
wsman_operation_fn manageability_job_get_errors;
wsman_operation_fn manageability_owning_get;
wsman_operation_fn manageability_affected_get;

/* The context that came with the request. */
manageability_context_t *manageability_context(const wsman_request_t *request);

/* NULL for JOBS_OK and JOBS_ALREADY; else the fault for a console, with the details in the context's note. */
const wsman_fault_t *manageability_fault_of(const wsman_request_t *request, jobs_result_t result);

/* "No such job": one answer for a job that never was, is gone, or is another caller's. */
const wsman_fault_t *manageability_no_such_job(const wsman_request_t *request);

/* wsman:InvalidParameter with this detail ("MissingValues", "InvalidValue", "InvalidName"). */
const wsman_fault_t *manageability_bad_parameter(const wsman_request_t *request, const char *detail,
                                                 const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The element METHOD_INPUT in *input; NULL in *input where the body is empty. A body that holds something
 * else is a fault. */
const wsman_fault_t *manageability_input(const wsman_request_t *request, const char *method,
                                         const wsman_element_t **input);

/* What a method may be given besides its job, at most once each; `element` stays NULL where it is not, or
 * nil. */
typedef struct {
    const char *name;
    const wsman_element_t *element;
} manageability_parameter_t;

/* Finds `parameters` (they end with name NULL) in the element METHOD_INPUT. What is none of them, or comes
 * twice, is a fault with the sentence `takes`. */
const wsman_fault_t *manageability_parameters(const wsman_request_t *request, const char *method,
                                              manageability_parameter_t *parameters, const char *takes);
/* Into *number, if the parameter was given; what is no number from 0 to INT_MAX is a fault. */
const wsman_fault_t *manageability_number(const wsman_request_t *request,
                                          const manageability_parameter_t *parameter, int *number);

/* Opens METHOD_OUTPUT of the request's class; wsman_end() closes it. */
void manageability_output(const wsman_request_t *request, wsman_writer_t *answer, const char *method);

/* True if these selectors (any of the service's keys, or none) name the service; else *key (may be NULL) is
 * the key that does not. */
int manageability_names_service(const wsman_request_t *request, const wsman_selector_t *selectors,
                                const char **key);
/* Selectors of the service's endpoint reference. */
wsman_selector_t *manageability_service_selectors(const wsman_request_t *request);

/* The InstanceID in an endpoint reference of a CIM_ConcreteJob; NULL if it is none (or NULL). A reference
 * that does not say of which class it is will do. */
const char *manageability_referenced_instance(const wsman_reference_t *reference);

/* The job's id in an InstanceID ("amtunlock:" and 26 base32 characters), or NULL. */
const char *manageability_job_id(const char *instance_id);
const char *manageability_instance_id(const char *job, apr_pool_t *pool);
/* The one selector of a job's endpoint reference. */
wsman_selector_t *manageability_job_selectors(const char *job, apr_pool_t *pool);

#endif
