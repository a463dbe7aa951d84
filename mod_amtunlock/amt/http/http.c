/* SPDX-License-Identifier: Apache-2.0 */
/* A device's libcurl handle and its one connection. */
#include "amt/http/http.h"

#include <apr_strings.h>
#include <stdarg.h>

#include "amt/http/curl_priv.h"
#include "amt/http/http_priv.h"
#include "amt/http/wipe_priv.h"
#include "base/text.h"

enum { PORT_PLAIN = 16992, PORT_TLS = 16993 };

apr_status_t amt_library_init(void)
{
    /* Pins and alerts are read through OpenSSL; with another TLS library both would silently be missing. */
    if (curl_global_sslset(CURLSSLBACKEND_OPENSSL, NULL, NULL) != CURLSSLSET_OK) {
        return APR_ENOTIMPL;
    }
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, amt_wipe_malloc, amt_wipe_free, amt_wipe_realloc,
                             amt_wipe_strdup, amt_wipe_calloc)) {
        return APR_EINIT;
    }
    return amt_tls_library_init();
}

amt_status_e amt_http_say(amt_http_t *http, amt_status_e status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    apr_vsnprintf(http->text, sizeof(http->text), format, args);
    va_end(args);
    text_mask_non_ascii(http->text);
    return status;
}

int amt_http_is_kerberos(const amt_http_t *http)
{
    return http->target.tickets != NULL;
}

int amt_http_authorize(amt_http_t *http, const char *line)
{
    struct curl_slist *lines = curl_slist_append(NULL, line);

    for (const struct curl_slist *one = http->headers; one != NULL && lines != NULL; one = one->next) {
        struct curl_slist *all = curl_slist_append(lines, one->data);

        if (all == NULL) {
            curl_slist_free_all(lines);
        }
        lines = all;
    }
    curl_slist_free_all(http->authorized);
    http->authorized = lines;
    return lines != NULL;
}

void amt_http_drop_ticket(amt_http_t *http)
{
    if (http->ticket_request != NULL) {
        amt_ticket_request_cancel(http->ticket_request);
        http->ticket_request = NULL;
    }
    amt_ticket_free(http->ticket);
    http->ticket = NULL;
    curl_slist_free_all(http->authorized);
    http->authorized = NULL;
}

/* ---- options of the handle ------------------------------------------------------------------- */

static long to_milliseconds(apr_interval_time_t interval)
{
    return (long)apr_time_as_msec(interval + APR_TIME_C(999));
}

/* HTTP as plain as firmware speaks it: no proxy, redirect, compression, cookie, HTTP/2 or .netrc. */
static CURLcode set_http_options(amt_http_t *http)
{
    CURL *easy = http->easy;
    int is_own = amt_http_is_kerberos(http) || http->digest != NULL;
    CURLcode rc = CURLE_OK;

    AMT_SET(rc, easy, CURLOPT_URL, http->url);
    AMT_SET(rc, easy, CURLOPT_CONNECT_TO, http->connect_to);
    AMT_SET(rc, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    AMT_SET(rc, easy, CURLOPT_HTTPHEADER, http->headers);
    AMT_SET(rc, easy, CURLOPT_POST, 1L);
    AMT_SET(rc, easy, CURLOPT_PROXY, "");
    AMT_SET(rc, easy, CURLOPT_FOLLOWLOCATION, 0L);
    AMT_SET(rc, easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    AMT_SET(rc, easy, CURLOPT_HTTPAUTH, is_own ? CURLAUTH_NONE : CURLAUTH_DIGEST); /* never instead */
    if (!is_own) {
        AMT_SET(rc, easy, CURLOPT_USERNAME, http->target.user);
        AMT_SET(rc, easy, CURLOPT_PASSWORD, http->target.password);
    }
    return rc;
}

CURLcode amt_http_set_options(amt_http_t *http)
{
    CURL *easy = http->easy;
    CURLcode rc = CURLE_OK;

    AMT_SET(rc, easy, CURLOPT_PRIVATE, &http->transfer);
    AMT_SET(rc, easy, CURLOPT_NOSIGNAL, 1L);
    AMT_SET(rc, easy, CURLOPT_SHARE, http->share);
    AMT_SET(rc, easy, CURLOPT_ERRORBUFFER, http->error);
    AMT_SET(rc, easy, CURLOPT_BUFFERSIZE, 4096L);
    /* libcurl's least; its default of 64 KiB is much where thousands of requests leave at once */
    AMT_SET(rc, easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    /* The address is numeric, so there is nothing to cache; and libcurl walks its cache at each end. */
    AMT_SET(rc, easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    AMT_SET(rc, easy, CURLOPT_CONNECTTIMEOUT_MS, to_milliseconds(http->target.connect_timeout));
    rc = rc ? rc : set_http_options(http);
    rc = rc ? rc : amt_tls_set_options(easy, &http->tls);
    return rc;
}

/* ---- open, close ----------------------------------------------------------------------------- */

/* URL and Host header carry the name; the bytes go to the address. */
static apr_status_t compose_names(amt_http_t *http)
{
    const amt_target_t *target = &http->target;
    int tls = target->tls != AMT_TLS_NONE;
    int port = http->port = tls ? PORT_TLS : PORT_PLAIN;
    int six = amt_address_family(target->address) == 6;
    const char *connect_to;

    http->url = apr_psprintf(http->pool, "%s://%s:%d/wsman", tls ? "https" : "http", target->fqdn, port);
    http->where = apr_psprintf(http->pool, "%s (%s port %d)", target->fqdn, target->address, port);
    connect_to =
        apr_psprintf(http->pool, "::%s%s%s:%d", six ? "[" : "", target->address, six ? "]" : "", port);
    http->connect_to = curl_slist_append(NULL, connect_to);
    return http->connect_to != NULL ? APR_SUCCESS : APR_ENOMEM;
}

static apr_status_t compose_headers(amt_http_t *http)
{
    static const char *const lines[] = {"Content-Type: application/soap+xml;charset=UTF-8", "Expect:"};

    for (apr_size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct curl_slist *longer = curl_slist_append(http->headers, lines[i]);

        if (longer == NULL) {
            return APR_ENOMEM;
        }
        http->headers = longer;
    }
    return APR_SUCCESS;
}

static apr_status_t create_handles(amt_http_t *http)
{
    http->easy = curl_easy_init();
    http->share = curl_share_init();
    if (http->easy == NULL || http->share == NULL ||
        curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) != CURLSHE_OK) {
        return APR_ENOMEM;
    }
    return amt_http_set_options(http) == CURLE_OK ? APR_SUCCESS : APR_EGENERAL;
}

apr_status_t amt_http_open(amt_http_t *http, amt_loop_t *loop, const amt_target_t *target, apr_pool_t *pool)
{
    apr_status_t status;

    http->pool = pool;
    http->loop = loop;
    amt_target_copy(&http->target, target, pool);
    http->tls.trusts = loop->trusts;
    http->tls.target = &http->target;
    http->tls.alert = -1;
    status = amt_target_check(&http->target, http->tls.pin);
    if (status == APR_SUCCESS) {
        status = compose_names(http);
    }
    if (status == APR_SUCCESS) {
        status = compose_headers(http);
    }
    return status == APR_SUCCESS ? create_handles(http) : status;
}

void amt_http_close(amt_http_t *http)
{
    if (http->exchanging) {
        http->exchanging = 0;
        curl_multi_remove_handle(http->loop->multi, http->easy);
    }
    amt_http_drop_ticket(http);
    if (http->limit != NULL) {
        event_free(http->limit);
        http->limit = NULL;
    }
    if (http->easy != NULL) {
        curl_easy_cleanup(http->easy);
    }
    if (http->share != NULL) {
        curl_share_cleanup(http->share);
    }
    curl_slist_free_all(http->headers);
    curl_slist_free_all(http->connect_to);
}
