/* SPDX-License-Identifier: Apache-2.0 */
/* What of the inventory is published in Redis: systems and their names, never how AMT is reached. */
#include "inventory/inventory.h"

static const apr_array_header_t *keys_of(const inventory_system_t *system, apr_pool_t *pool)
{
    apr_array_header_t *keys = apr_array_make(pool, 2, sizeof(const char *));

    APR_ARRAY_PUSH(keys, const char *) = system->fqdn;
    if (system->address != NULL) {
        APR_ARRAY_PUSH(keys, const char *) = system->address;
    }
    return keys;
}

jobs_result_t inventory_publish(const inventory_t *inventory, const jobs_edition_t *edition,
                                jobs_client_t *connection, const char *worker, apr_pool_t *pool)
{
    int count = inventory_count(inventory);
    apr_array_header_t *systems = apr_array_make(pool, count, sizeof(jobs_published_t));

    for (int i = 0; i < count; i++) {
        const inventory_system_t *system = inventory_at(inventory, i);
        jobs_published_t *published = apr_array_push(systems);

        published->system = system->fqdn;
        published->group = system->group->name;
        published->method = inventory_method_name(system->method);
        published->keys = keys_of(system, pool);
    }
    return jobs_publish(connection, worker, edition, systems, pool);
}
