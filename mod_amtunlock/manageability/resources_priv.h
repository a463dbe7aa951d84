/* SPDX-License-Identifier: Apache-2.0 */
/* What the classes share: the context of a request, instances, faults, parameters of methods, references to
 * jobs.
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

/* ---- instances -------------------------------------------------------------------------------------- */

/* The instance that is being written. `job` is NULL for the service. */
typedef struct {
    const wsman_request_t *request;
    const jobs_job_t *job;
} manageability_instance_t;

/* A table of properties ends with name NULL and is in alphabetical order, as firmware and Windows write
 * instances. */
typedef struct {
    const char *name;
    int origin; /* the class that introduces it: 0 the class itself, n its n-th superclass; overrides do not count */
    void (*write)(const manageability_instance_t *instance, wsman_writer_t *answer, const char *name);
} manageability_property_t;

/* Writes it as an instance of its class, or of the base class that the request asks for. */
void manageability_write_instance(const manageability_instance_t *instance, const wsman_class_t *class_,
                                  const manageability_property_t *properties, wsman_writer_t *answer);

/* How a class is enumerated. An item is a string from which an instance can be found again: for the classes
 * that have to do with jobs, a job's id. */
typedef struct {
    char mark; /* of the class's items in stored enumerations; must not change */
    const wsman_class_t *class_;
    const wsman_fault_t *(*list)(wsman_request_t *request, apr_array_header_t **items);
    /* Writes nothing and returns NULL if the instance is gone. The jobs of the page are in the context. */
    const wsman_fault_t *(*write)(wsman_request_t *request, const char *item, wsman_writer_t *answer);
    /* Of its endpoint reference. */
    wsman_selector_t *(*selectors)(const wsman_request_t *request, const char *item);
} manageability_kind_t;

/* ---- requests --------------------------------------------------------------------------------------- */

/* The context that manageability_service() was given. */
manageability_context_t *manageability_context(const wsman_request_t *request);

/* NULL for JOBS_OK and JOBS_ALREADY; else the fault for the console. Details are put in the context's note. */
const wsman_fault_t *manageability_fault_of(const wsman_request_t *request, jobs_result_t result);

/* One fault for a job that never was, is gone, or is another caller's. */
const wsman_fault_t *manageability_no_such_job(const wsman_request_t *request);

/* wsman:InvalidParameter with this detail ("MissingValues", "InvalidValue", "InvalidName"). */
const wsman_fault_t *manageability_bad_parameter(const wsman_request_t *request, const char *detail,
                                                 const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The element METHOD_INPUT in *input; NULL in *input if the body is empty. A body that holds anything else is a
 * fault. */
const wsman_fault_t *manageability_input(const wsman_request_t *request, const char *method,
                                         const wsman_element_t **input);

/* An optional parameter of a method. `element` stays NULL if the parameter is missing or nil. */
typedef struct {
    const char *name;
    const wsman_element_t *element;
} manageability_parameter_t;

/* Finds `parameters` (they end with name NULL) in the element METHOD_INPUT. An unknown or repeated one is a fault
 * "METHOD takes TAKES". */
const wsman_fault_t *manageability_parameters(const wsman_request_t *request, const char *method,
                                              manageability_parameter_t *parameters, const char *takes);
/* Sets *number if the parameter was given. Anything but a number from 0 to INT_MAX is a fault. */
const wsman_fault_t *manageability_number(const wsman_request_t *request,
                                          const manageability_parameter_t *parameter, int *number);

/* Opens METHOD_OUTPUT of the request's class; wsman_end() closes it. */
void manageability_output(const wsman_request_t *request, wsman_writer_t *answer, const char *method);

/* ---- references to jobs ----------------------------------------------------------------------------- */

/* The InstanceID in an endpoint reference of a CIM_ConcreteJob; NULL if it is of another class, or NULL itself.
 * A reference without a class is accepted. */
const char *manageability_referenced_instance(const wsman_reference_t *reference);

/* The job's id in an InstanceID ("amtunlock:" and 26 base32 characters), or NULL. */
const char *manageability_job_id(const char *instance_id);
const char *manageability_instance_id(const char *job, apr_pool_t *pool);
/* The one selector of a job's endpoint reference. */
wsman_selector_t *manageability_job_selectors(const char *job, apr_pool_t *pool);

#endif
