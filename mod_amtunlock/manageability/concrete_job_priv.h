/* SPDX-License-Identifier: Apache-2.0 */
/* CIM_ConcreteJob. */
#ifndef AMTUNLOCK_MANAGEABILITY_CONCRETE_JOB_PRIV_H
#define AMTUNLOCK_MANAGEABILITY_CONCRETE_JOB_PRIV_H

#include "manageability/resources_priv.h"

extern const wsman_class_t manageability_job_class;
extern const manageability_kind_t manageability_job_kind;

wsman_operation_fn manageability_job_get;
wsman_operation_fn manageability_job_delete;
wsman_operation_fn manageability_job_request_state_change;
wsman_operation_fn manageability_job_get_errors;

/* The ids of the jobs that the caller may read. */
const wsman_fault_t *manageability_job_list(wsman_request_t *request, apr_array_header_t **items);
/* A job of the page of an enumeration that is being written; NULL: it is gone. */
const jobs_job_t *manageability_job_of_page(const wsman_request_t *request, const char *id);

#endif
