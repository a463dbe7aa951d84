/* SPDX-License-Identifier: Apache-2.0 */
/* CIM_OwningJobElement and CIM_AffectedJobElement. */
#ifndef AMTUNLOCK_MANAGEABILITY_JOB_ELEMENTS_PRIV_H
#define AMTUNLOCK_MANAGEABILITY_JOB_ELEMENTS_PRIV_H

#include "manageability/resources_priv.h"

extern const wsman_class_t manageability_owning_class;   /* the service owns the job */
extern const wsman_class_t manageability_affected_class; /* the job occupies the service */
extern const manageability_kind_t manageability_owning_kind;
extern const manageability_kind_t manageability_affected_kind;

/* Get, of both classes. */
wsman_operation_fn manageability_association_get;

#endif
