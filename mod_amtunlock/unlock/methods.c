/* SPDX-License-Identifier: Apache-2.0 */
#include "unlock/methods.h"

#include <apr_strings.h>

#include "unlock/steps.h"

/* A method without a row is refused when the inventory is read (setup.c), so nothing is claimed that cannot
 * be carried out. */
static const method_t methods[] = {
    {
        .method = INVENTORY_WAKE,
        .look = UNLOCK_READ_BOOT,
        .running = UNLOCK_OVER,
        .plan = unlock_plan_plain,
        .evidence = UNLOCK_PROBE,
    },
    {
        .method = INVENTORY_SOL,
        .look = UNLOCK_READ_CONSENT,
        .running = UNLOCK_LOOK_CONSOLE,
        .plan = unlock_plan_redirection,
        .evidence = UNLOCK_PROMPT,
        .boot = AMT_START_SOL,
        .sessions = AMT_REDIRECTION_SOL,
        .opened = steps_sol_opened,
        .hear = steps_sol_hear,
    },
    {
        .method = INVENTORY_IMAGE,
        .look = UNLOCK_READ_CONSENT,
        .running = UNLOCK_OVER,
        .plan = unlock_plan_redirection,
        .evidence = UNLOCK_HELLO,
        .boot = AMT_START_SOL | AMT_START_IMAGE,
        .sessions = AMT_REDIRECTION_BOTH,
        .opened = steps_image_opened,
        .hear = steps_image_hear,
    },
};

#define METHODS ((int)(sizeof(methods) / sizeof(methods[0])))

const method_t *method_find(inventory_method_e method)
{
    for (int i = 0; i < METHODS; i++) {
        if (methods[i].method == method) {
            return &methods[i];
        }
    }
    return NULL;
}

const char *methods_list(apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, METHODS, sizeof(const char *));

    for (int i = 0; i < METHODS; i++) {
        APR_ARRAY_PUSH(names, const char *) = inventory_method_name(methods[i].method);
    }
    return apr_array_pstrcat(pool, names, ',');
}
