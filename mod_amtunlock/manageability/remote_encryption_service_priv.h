/* SPDX-License-Identifier: Apache-2.0 */
/* AMT_RemoteEncryptionService. */
#ifndef AMTUNLOCK_MANAGEABILITY_REMOTE_ENCRYPTION_SERVICE_PRIV_H
#define AMTUNLOCK_MANAGEABILITY_REMOTE_ENCRYPTION_SERVICE_PRIV_H

#include "manageability/resources_priv.h"

extern const wsman_class_t manageability_service_class;
extern const manageability_kind_t manageability_service_kind;

wsman_operation_fn manageability_service_get;
wsman_operation_fn manageability_unlock_systems;
wsman_operation_fn manageability_get_unlocked_systems;

/* True if these selectors (any of the service's keys, or none) name the service; else *key (may be NULL) is
 * the key that does not. */
int manageability_names_service(const wsman_request_t *request, const wsman_selector_t *selectors,
                                const char **key);
/* Selectors of the service's endpoint reference. */
wsman_selector_t *manageability_service_selectors(const wsman_request_t *request);

#endif
