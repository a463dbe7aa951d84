/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/overview_priv.h"

#include <http_log.h>
#include <http_protocol.h>

#include "httpd/config_priv.h"
#include "httpd/module_priv.h"
#include "httpd/place_priv.h"

APLOG_USE_MODULE(amtunlock);

#define RETRY_AFTER "5" /* seconds */

static int send_unavailable(request_rec *r, const char *text)
{
    r->status = HTTP_SERVICE_UNAVAILABLE;
    apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER);
    ap_set_content_type(r, "text/plain; charset=utf-8");
    ap_rprintf(r, "%s\n", text);
    return DONE;
}

int amtunlock_overview(request_rec *r, jobs_overview_t **overview)
{
    jobs_pool_t *jobs = amtunlock_server(r->server)->jobs;
    jobs_result_t result;

    if (r->method_number != M_GET) {
        (void)amtunlock_refuse_method(r, "GET");
        return DONE;
    }
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (jobs == NULL) {
        return send_unavailable(r, "This server has no job store: AMTUnlockRedis is not set, or failed.");
    }
    result = jobs_overview(jobs, overview, r->pool);
    if (result.outcome == JOBS_OK) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "AMTU0080: no overview of the job store: %s", result.text);
    return send_unavailable(
        r, "The job store (Redis) does not answer. Jobs are kept there and go on when it is back.");
}
