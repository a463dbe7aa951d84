#include "worker/methods.h"

#include <apr_strings.h>

/* A method without a row is refused when the inventory is read (setup.c), so nothing is claimed that cannot
 * be carried out. */
static const method_t methods[] = {
    {INVENTORY_WAKE, .prepare = UNLOCK_CLEAR_BOOT, .resume = UNLOCK_POWER_ON, .evidence = UNLOCK_PROBE},
};

#define METHODS ((int)(sizeof(methods) / sizeof(methods[0])))

const method_t *method_find(inventory_method_e method)
{
    for (int i = 0; i < METHODS; i++) {
        if (methods[i].method == method)
            return &methods[i];
    }
    return NULL;
}

const char *methods_list(apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, METHODS, sizeof(const char *));
    for (int i = 0; i < METHODS; i++)
        APR_ARRAY_PUSH(names, const char *) = inventory_method_name(methods[i].method);
    return apr_array_pstrcat(pool, names, ',');
}
