/* SPDX-License-Identifier: Apache-2.0 */
/* The handler "amtunlock-status": one small page for a person, and with ?auto lines for a script. Shows what
 * the job store knows, and no secret: there is none in it. Who may see it is the configuration's business. */
#include "httpd/mod_amtunlock_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_time.h>

#include "wsman/values.h"

APLOG_USE_MODULE(amtunlock);

#define RETRY_AFTER "5"

/* What a person reads, what a script reads, and the number. */
typedef struct {
    const char *title;
    const char *key;
    int value;
} figure_t;

#define FIGURES 4

static void read_figures(const jobs_overview_t *overview, figure_t figures[FIGURES])
{
    figures[0] = (figure_t){"Unfinished jobs", "JobsUnfinished", overview->jobs_unfinished};
    figures[1] = (figure_t){"Systems waiting", "SystemsWaiting", overview->systems_waiting};
    figures[2] = (figure_t){"Systems being unlocked", "SystemsRunning", overview->systems_leased};
    figures[3] = (figure_t){"Systems in the inventory", "InventorySystems", overview->inventory_systems};
}

/* The page that says that there is nothing to show. */
static int send_unavailable(request_rec *r, const char *sentence)
{
    r->status = HTTP_SERVICE_UNAVAILABLE;
    apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER);
    ap_set_content_type(r, "text/plain; charset=utf-8");
    ap_rprintf(r, "%s\n", sentence);
    return DONE;
}

int amtunlock_overview(request_rec *r, jobs_overview_t **overview)
{
    jobs_pool_t *store = amtunlock_server(r->server)->store;
    jobs_result_t result;

    r->allowed = AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (store == NULL) {
        return send_unavailable(r, "This server has no job store: AMTUnlockRedis is not set, or failed.");
    }
    result = jobs_overview(store, overview, r->pool);
    if (result.outcome == JOBS_OK) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "AMTU0080: no overview of the job store: %s", result.text);
    return send_unavailable(
        r, "The job store (Redis) does not answer. Jobs are kept there and go on when it is back.");
}

static const char *published_at(const jobs_overview_t *overview, apr_pool_t *pool)
{
    return overview->inventory_published ? wsman_format_datetime(overview->inventory_published, pool)
                                         : "never";
}

/* ---- for a person ----------------------------------------------------------------------------------- */

static void row(request_rec *r, const char *head, const char *text)
{
    ap_rprintf(r, "<tr><th scope=\"row\">%s</th><td>%s</td></tr>\n", ap_escape_html(r->pool, head),
               ap_escape_html(r->pool, text));
}

static void html_figures(request_rec *r, const jobs_overview_t *overview)
{
    figure_t figures[FIGURES];

    read_figures(overview, figures);
    ap_rputs("<table>\n", r);
    for (int i = 0; i < FIGURES; i++) {
        row(r, figures[i].title, apr_itoa(r->pool, figures[i].value));
    }
    row(r, "Inventory published", published_at(overview, r->pool));
    row(r, "Inventory digest", overview->inventory_digest != NULL ? overview->inventory_digest : "");
    ap_rputs("</table>\n", r);
}

static void html_workers(request_rec *r, const apr_array_header_t *workers)
{
    ap_rputs("<h2>Workers</h2>\n", r);
    if (!workers->nelts) {
        ap_rputs("<p>None is alive: jobs wait until one is.</p>\n", r);
        return;
    }
    ap_rputs("<ul>\n", r);
    for (int i = 0; i < workers->nelts; i++) {
        ap_rprintf(r, "<li>%s</li>\n", ap_escape_html(r->pool, APR_ARRAY_IDX(workers, i, const char *)));
    }
    ap_rputs("</ul>\n", r);
}

static void html_totals(request_rec *r, const apr_array_header_t *counters)
{
    ap_rputs("<h2>Totals</h2>\n<table>\n", r);
    for (int i = 0; i < counters->nelts; i++) {
        const jobs_counter_t *counter = &APR_ARRAY_IDX(counters, i, jobs_counter_t);

        row(r, counter->name, apr_psprintf(r->pool, "%" APR_UINT64_T_FMT, counter->value));
    }
    ap_rputs("</table>\n", r);
}

static void send_html(request_rec *r, const jobs_overview_t *overview)
{
    ap_set_content_type(r, "text/html; charset=utf-8");
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'");
    ap_rputs("<!DOCTYPE html>\n<html lang=\"en\"><head><title>Unlock service</title>\n"
             "<style>body{font-family:sans-serif;margin:2em}th{text-align:left;padding-right:1em;font-weight:"
             "normal}</style>"
             "</head>\n<body>\n",
             r);
    ap_rprintf(r, "<h1>Unlock service of %s</h1>\n", ap_escape_html(r->pool, r->server->server_hostname));
    html_figures(r, overview);
    html_workers(r, overview->workers);
    html_totals(r, overview->counters);
    ap_rprintf(r, "<p>mod_amtunlock " AMTUNLOCK_VERSION ", %s</p>\n</body></html>\n",
               wsman_format_datetime(overview->now, r->pool));
}

/* ---- for a script ----------------------------------------------------------------------------------- */

/* A line break in what a worker says of itself must not make a line of its own. */
static const char *one_line(request_rec *r, const char *text)
{
    char *copy = apr_pstrdup(r->pool, text);

    for (char *c = copy; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 127) {
            *c = ' ';
        }
    }
    return copy;
}

static void send_auto(request_rec *r, const jobs_overview_t *overview)
{
    figure_t figures[FIGURES];

    ap_set_content_type(r, "text/plain; charset=utf-8");
    read_figures(overview, figures);
    for (int i = 0; i < FIGURES; i++) {
        ap_rprintf(r, "%s: %d\n", figures[i].key, figures[i].value);
    }
    ap_rprintf(r, "InventoryPublished: %s\n", published_at(overview, r->pool));
    ap_rprintf(r, "InventoryDigest: %s\n",
               overview->inventory_digest != NULL ? overview->inventory_digest : "");
    ap_rprintf(r, "Workers: %d\n", overview->workers->nelts);
    for (int i = 0; i < overview->workers->nelts; i++) {
        ap_rprintf(r, "Worker: %s\n", one_line(r, APR_ARRAY_IDX(overview->workers, i, const char *)));
    }
    for (int i = 0; i < overview->counters->nelts; i++) {
        const jobs_counter_t *counter = &APR_ARRAY_IDX(overview->counters, i, jobs_counter_t);

        ap_rprintf(r, "Total %s: %" APR_UINT64_T_FMT "\n", counter->name, counter->value);
    }
}

int amtunlock_status_handler(request_rec *r)
{
    jobs_overview_t *overview = NULL;
    int status;

    if (r->handler == NULL || strcmp(r->handler, AMTUNLOCK_HANDLER_STATUS) != 0) {
        return DECLINED;
    }
    status = amtunlock_overview(r, &overview);
    if (status != OK) {
        return status == DONE ? OK : status;
    }
    if (r->args != NULL && strcmp(r->args, "auto") == 0) {
        send_auto(r, overview);
    }
    else {
        send_html(r, overview);
    }
    return OK;
}
