/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/settings/target.h"

amt_target_t target_of(const inventory_system_t *system, const snapshot_t *snapshot, const char *address,
                       const secrets_login_t *login)
{
    static const amt_tls_e kinds[INVENTORY_TLS_KINDS] = {
        [INVENTORY_TLS_CA] = AMT_TLS_CA,
        [INVENTORY_TLS_PIN] = AMT_TLS_PIN,
        [INVENTORY_TLS_LEGACY] = AMT_TLS_LEGACY,
        [INVENTORY_TLS_NONE] = AMT_TLS_NONE,
    };
    amt_target_t target = {
        .fqdn = system->fqdn,
        .address = address,
        .group = system->group->name,
        .tls = kinds[system->tls],
        .tls_max = system->group->tls_max,
        .pin = system->pin,
        .user = login->user,
        .password = login->password,
        .tickets = system->auth == INVENTORY_KERBEROS ? snapshot_tickets(snapshot) : NULL,
    };

    snapshot_name_trust(snapshot, &target);
    return target;
}
