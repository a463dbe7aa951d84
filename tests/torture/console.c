/* SPDX-License-Identifier: Apache-2.0 */
/* What the command prints for programs: whole, or the command ends with an error message. */
#include "console/console_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <jansson.h>

#include "scenarios.h"

static char printed[4096];
static FILE *stream;

static void reset_output(apr_pool_t *pool)
{
    (void)pool;
    memset(printed, 0, sizeof(printed));
    stream = fmemopen(printed, sizeof(printed) - 1, "w");
    TORTURE_HOLDS(stream != NULL);
    setvbuf(stream, NULL, _IONBF, 0);
}

static torture_verdict_e run_print(apr_pool_t *pool)
{
    const console_t console = {.out = stream, .err = stream};
    console_job_t job = {.job = "amtunlock:1", .state = "Completed", .status = "OK", .percent = 100};
    const console_failure_t failure = {"pc3.example", "unreachable", "nothing answers", "look", "connect"};

    job.unlocked = apr_array_make(pool, 2, sizeof(const char *));
    job.failed = apr_array_make(pool, 1, sizeof(console_failure_t));
    job.jobs = apr_array_make(pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(job.jobs, const char *) = job.job;
    APR_ARRAY_PUSH(job.unlocked, const char *) = "pc1.example";
    APR_ARRAY_PUSH(job.unlocked, const char *) = "pc2.example";
    APR_ARRAY_PUSH(job.failed, console_failure_t) = failure;
    console_print_job(&console, &job, 1, pool);
    return TORTURE_WELL;
}

static void check_print(torture_verdict_e said, apr_pool_t *pool)
{
    json_t *job;

    (void)said;
    (void)pool;
    fclose(stream);
    job = json_loads(printed, 0, NULL);
    if (job == NULL || json_array_size(json_object_get(job, "unlocked")) != 2 ||
        json_array_size(json_object_get(job, "failed")) != 1 ||
        json_object_size(json_array_get(json_object_get(job, "failed"), 0)) != 3) {
        TORTURE_BROKEN("printed: %s", printed);
    }
    json_decref(job);
}

const torture_scenario_t torture_console_json = {
    .name = "console.json", .reset = reset_output, .run = run_print, .check = check_print};
