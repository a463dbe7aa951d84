/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/denials_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/text.h"

#define EVERY apr_time_from_sec(1)

/* Any bytes may be there: httpd's user writes it. */
static void put_text(json_t *fields, const char *name, const char *text, apr_pool_t *pool)
{
    char *shown = apr_pstrdup(pool, text);
    json_t *value;

    text_mask_controls(shown);
    value = json_string(shown);
    json_object_set_new(fields, name, value != NULL ? value : json_string("(not UTF-8)"));
}

static json_t *denial_fields(const jobs_denial_t *denial, const char *worker, apr_pool_t *pool)
{
    json_t *fields = json_object();
    const char *names = strchr(denial->names, ' ');

    put_text(fields, "worker", worker, pool);
    put_text(fields, "job", denial->job, pool);
    put_text(fields, "caller", denial->caller, pool);
    put_text(fields, "mechanism", denial->mechanism, pool);
    put_text(fields, "peer", denial->peer, pool);
    json_object_set_new(fields, "systems", json_integer(apr_atoi64(denial->names)));
    put_text(fields, "names", names != NULL ? names + 1 : "", pool);
    return fields;
}

void denials_record(recorder_t *recorder, jobs_client_t *connection, apr_time_t *due, apr_pool_t *pool)
{
    apr_array_header_t *denials = NULL;

    if (clock_boottime() < *due || recorder_is_failing(recorder)) {
        return;
    }
    *due = clock_boottime() + EVERY;
    if (jobs_take_denials(connection, &denials, pool).outcome != JOBS_OK || denials->nelts == 0) {
        return;
    }
    for (int i = 0; i < denials->nelts; i++) {
        const jobs_denial_t *denial = &APR_ARRAY_IDX(denials, i, jobs_denial_t);

        (void)recorder_add(recorder, "denied", denial_fields(denial, recorder->worker, pool));
    }
    (void)recorder_commit(recorder);
}
