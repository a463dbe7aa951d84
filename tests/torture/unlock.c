/* SPDX-License-Identifier: Apache-2.0 */
/* The procedure's promise: an intent is written whole or not at all, and read back whole or not at all. */
#include <string.h>

#include <apr_strings.h>
#include <jansson.h>

#include "failing.h"
#include "scenarios.h"
#include "unlock/intent.h"

static char written[1024];

static torture_verdict_e run_intent(apr_pool_t *pool)
{
    static const inventory_system_t system = {.fqdn = "pc1.example", .method = INVENTORY_SOL};
    static const jobs_task_t task = {.taken_over = 1, .marks = JOBS_MARK_POWER};
    unlock_t unlock = {
        .pool = pool, .task = &task, .system = &system, .verify_timeout = apr_time_from_sec(600)};
    const char *text = NULL;
    unlock.plan = (unlock_plan_t){.power = 2,
                                  .power_before = 8,
                                  .clears_boot = 1,
                                  .boot = AMT_START_SOL,
                                  .types = 1,
                                  .redirection = {.state = AMT_REDIRECTION_BOTH, .listener = 1},
                                  .redirection_before = {.state = AMT_REDIRECTION_OFF}};
    text = intent_write(&unlock);
    apr_cpystrn(written, text ? text : "", sizeof(written));
    return text ? TORTURE_WELL : TORTURE_REFUSED;
}

static void check_intent(torture_verdict_e said, apr_pool_t *pool)
{
    json_t *intent = NULL;
    static const char *const names[] = {"method",       "address",     "device",       "written",
                                        "look_seconds", "power",       "power_before", "clear_boot",
                                        "boot",         "boot_before", "redirection",  "redirection_before",
                                        "passphrase",   "marks"};
    (void)pool;
    if (said == TORTURE_REFUSED) {
        return;
    }
    intent = json_loads(written, 0, NULL);
    TORTURE_HOLDS(intent != NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (json_object_get(intent, names[i]) == NULL) {
            TORTURE_BROKEN("%s is missing: %s", names[i], written);
        }
    }
    json_decref(intent);
}

/* Of a lost worker, read back: all of it or nothing. */
static torture_verdict_e run_intent_read(apr_pool_t *pool)
{
    static const char text[] = "{\"boot\":\"UseSOL\",\"redirection\":{\"state\":32771,\"listener\":true},"
                               "\"redirection_before\":{\"state\":32768,\"listener\":false}}";
    unlock_plan_t plan = {0};
    apr_interval_time_t left = 0;
    (void)pool;
    left = intent_read(text, &plan, apr_time_from_sec(100));
    TORTURE_HOLDS(left == apr_time_from_sec(100));
    if (plan.boot == 0) {
        TORTURE_HOLDS(plan.redirection.state == 0 && plan.redirection_before.state == 0);
        return TORTURE_REFUSED;
    }
    TORTURE_HOLDS(plan.boot == AMT_START_SOL && plan.redirection.state == AMT_REDIRECTION_BOTH);
    TORTURE_HOLDS(plan.redirection.listener && plan.redirection_before.state == AMT_REDIRECTION_OFF);
    return TORTURE_WELL;
}

const torture_scenario_t torture_unlock_intent_read = {.name = "unlock.intent_read", .run = run_intent_read};

const torture_scenario_t torture_unlock_intent = {
    .name = "unlock.intent", .run = run_intent, .check = check_intent};
