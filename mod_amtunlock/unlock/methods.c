/* SPDX-License-Identifier: Apache-2.0 */
/* See methods.h: one row a method. */
#include "unlock/methods.h"

#include <apr_strings.h>

#include "unlock/plan_priv.h"
#include "unlock/steps_priv.h"

/* A method without a row is refused when the inventory is read (snapshot.c). */
static const method_t methods[] = {
    {
        .method = INVENTORY_WAKE,
        .first_read = UNLOCK_READ_BOOT,
        .plan = unlock_plan_plain,
        .evidence = UNLOCK_PROBE,
    },
    {
        .method = INVENTORY_SOL,
        .first_read = UNLOCK_READ_CONSENT,
        .running = UNLOCK_LOOK_CONSOLE,
        .plan = unlock_plan_redirection,
        .evidence = UNLOCK_PROMPT,
        .resume = UNLOCK_REOPEN,
        .reads_result = 1,
        .boot = AMT_START_SOL,
        .sessions = AMT_REDIRECTION_SOL,
        .types = 1,
        .on_console = steps_sol_on_console,
        .on_input = steps_sol_input,
    },
    {
        .method = INVENTORY_IMAGE,
        .first_read = UNLOCK_READ_CONSENT,
        .plan = unlock_plan_redirection,
        .evidence = UNLOCK_HELLO,
        .resume = UNLOCK_REOPEN_DRIVE,
        .boot = AMT_START_SOL | AMT_START_IMAGE,
        .sessions = AMT_REDIRECTION_BOTH,
        .types = 1,
        .on_console = steps_image_on_console,
        .on_input = steps_image_input,
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
