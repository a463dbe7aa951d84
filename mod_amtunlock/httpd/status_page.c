/* SPDX-License-Identifier: Apache-2.0 */
/* The handler "amtunlock-status": a small page for people, and with ?auto lines for scripts. Its figures are
 * from Redis, which holds no secret. Access is the configuration's to restrict. */
#include "httpd/pages_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_time.h>

#include "httpd/config_priv.h"
#include "httpd/overview_priv.h"
#include "httpd/place_priv.h"
#include "wsman/values.h"

typedef struct {
    const char *title; /* on the page */
    const char *key;   /* for ?auto */
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

static const char *published_at(const jobs_overview_t *overview, apr_pool_t *pool)
{
    return overview->inventory_published ? wsman_format_datetime(overview->inventory_published, pool)
                                         : "never";
}

/* ---- for people ------------------------------------------------------------------------------------- */

static void html_row(request_rec *r, const char *head, const char *text)
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
        html_row(r, figures[i].title, apr_itoa(r->pool, figures[i].value));
    }
    html_row(r, "Inventory published", published_at(overview, r->pool));
    html_row(r, "Inventory digest", overview->inventory_digest != NULL ? overview->inventory_digest : "");
    ap_rputs("</table>\n", r);
}

static void html_workers(request_rec *r, const apr_array_header_t *workers)
{
    ap_rputs("<h2>Workers</h2>\n", r);
    if (!workers->nelts) {
        ap_rputs("<p>No worker is running: jobs wait until one is.</p>\n", r);
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

        html_row(r, counter->name, apr_psprintf(r->pool, "%" APR_UINT64_T_FMT, counter->value));
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

/* ---- for scripts ------------------------------------------------------------------------------------ */

/* Without control characters: a line break in a worker's text must not begin a line. */
static const char *printable_line(request_rec *r, const char *text)
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
        ap_rprintf(r, "Worker: %s\n", printable_line(r, APR_ARRAY_IDX(overview->workers, i, const char *)));
    }
    for (int i = 0; i < overview->counters->nelts; i++) {
        const jobs_counter_t *counter = &APR_ARRAY_IDX(overview->counters, i, jobs_counter_t);

        ap_rprintf(r, "Total %s: %" APR_UINT64_T_FMT "\n", counter->name, counter->value);
    }
}

int amtunlock_status_handler(request_rec *r)
{
    jobs_overview_t *overview = NULL;
    int status = amtunlock_place(r, AMTUNLOCK_HANDLER_STATUS);

    if (status == OK) {
        status = amtunlock_overview(r, &overview);
    }
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
