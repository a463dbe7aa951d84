/* SPDX-License-Identifier: Apache-2.0 */
/* The handler "amtunlock-metrics": the same figures as the status page in Prometheus' text format (0.0.4). */
#include "httpd/pages_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#include "httpd/config_priv.h"
#include "httpd/overview_priv.h"
#include "httpd/place_priv.h"

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define FAILED_PREFIX "failed:"

static void put_head(request_rec *r, const char *name, const char *type, const char *help)
{
    ap_rprintf(r, "# HELP amtunlock_%s %s\n# TYPE amtunlock_%s %s\n", name, help, name, type);
}

static void put_gauge(request_rec *r, const char *name, const char *help, apr_int64_t value)
{
    put_head(r, name, "gauge", help);
    ap_rprintf(r, "amtunlock_%s %" APR_INT64_T_FMT "\n", name, value);
}

static int counts_failures(const jobs_counter_t *counter)
{
    return strncmp(counter->name, FAILED_PREFIX, sizeof(FAILED_PREFIX) - 1) == 0;
}

/* Totals without a label, such as "jobs" and "unlocked". Prometheus' names have letters, digits and '_'. */
static void put_totals(request_rec *r, const apr_array_header_t *counters)
{
    for (int i = 0; i < counters->nelts; i++) {
        const jobs_counter_t *counter = &APR_ARRAY_IDX(counters, i, jobs_counter_t);

        if (!counts_failures(counter) &&
            strspn(counter->name, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(counter->name)) {
            const char *name = apr_pstrcat(r->pool, counter->name, "_total", NULL);

            put_head(r, name, "counter", "Total since the data began.");
            ap_rprintf(r, "amtunlock_%s %" APR_UINT64_T_FMT "\n", name, counter->value);
        }
    }
}

/* Every reason has its line from the first scrape on, so that its rate can be computed. */
static void put_failures(request_rec *r, const apr_array_header_t *counters)
{
    apr_uint64_t values[JOBS_REASONS] = {0};

    for (int i = 0; i < counters->nelts; i++) {
        const jobs_counter_t *counter = &APR_ARRAY_IDX(counters, i, jobs_counter_t);

        if (counts_failures(counter)) {
            values[jobs_reason_of_code(counter->name + sizeof(FAILED_PREFIX) - 1)] += counter->value;
        }
    }
    put_head(r, "failed_total", "counter", "Systems that were not unlocked, by reason.");
    for (int reason = JOBS_REASON_NONE + 1; reason < JOBS_REASONS; reason++) {
        ap_rprintf(r, "amtunlock_failed_total{reason=\"%s\"} %" APR_UINT64_T_FMT "\n",
                   jobs_reason(reason)->code, values[reason]);
    }
}

int amtunlock_metrics_handler(request_rec *r)
{
    jobs_overview_t *overview = NULL;
    int status = amtunlock_place(r, AMTUNLOCK_HANDLER_METRICS);

    if (status == OK) {
        status = amtunlock_overview(r, &overview);
    }
    if (status != OK) {
        return status == DONE ? OK : status;
    }
    ap_set_content_type(r, CONTENT_TYPE);
    put_head(r, "build_info", "gauge", "The version that answers.");
    ap_rputs("amtunlock_build_info{version=\"" AMTUNLOCK_VERSION "\"} 1\n", r);
    put_gauge(r, "jobs_unfinished", "Jobs that have not ended.", overview->jobs_unfinished);
    put_gauge(r, "systems_waiting", "Systems that no worker has begun yet.", overview->systems_waiting);
    put_gauge(r, "systems_running", "Systems that a worker is unlocking.", overview->systems_leased);
    put_gauge(r, "workers", "Workers with a live heartbeat.", overview->workers->nelts);
    put_gauge(r, "inventory_systems", "Systems in the published inventory.", overview->inventory_systems);
    put_gauge(r, "inventory_published_timestamp_seconds", "When the inventory was published; 0 if never.",
              apr_time_sec(overview->inventory_published));
    put_totals(r, overview->counters);
    put_failures(r, overview->counters);
    return OK;
}
