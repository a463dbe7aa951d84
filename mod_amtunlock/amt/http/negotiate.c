/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/negotiate_priv.h"

#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "amt/http/curl_priv.h"
#include "amt/http/http_priv.h"

static const char scheme[] = "Negotiate";

/* ---- the ticket ------------------------------------------------------------------------------ */

int amt_negotiate_needs_ticket(const amt_http_t *http)
{
    return !http->admitted || http->target.tls == AMT_TLS_NONE;
}

/* The headers of every request, and the token's. */
static int compose_authorized_headers(amt_http_t *http)
{
    static const char name[] = "Authorization: Negotiate ";
    apr_size_t size = 0;
    const unsigned char *token = amt_ticket_token(http->ticket, &size);
    apr_size_t room = sizeof(name) + (apr_size_t)apr_base64_encode_len((int)size);
    char *line = apr_palloc(http->exchange.pool, room);

    memcpy(line, name, sizeof(name));
    apr_base64_encode_binary(line + sizeof(name) - 1, token, (int)size);
    return amt_http_authorize(http, line);
}

static void negotiate_on_ticket(void *baton, amt_ticket_t *ticket)
{
    amt_http_t *http = baton;
    amt_status_e status = AMT_OK;

    http->ticket_request = NULL;
    http->ticket = ticket;
    if (ticket == NULL) {
        status = amt_http_say(http, AMT_NO_TICKET,
                              "no Kerberos ticket for %s within %d s: the KDC does not answer; check it, and "
                              "the way to it",
                              http->where, (int)apr_time_sec(http->target.call_timeout));
    }
    else if (amt_ticket_status(ticket) != AMT_OK) {
        status = amt_http_say(http, amt_ticket_status(ticket), "%s", amt_ticket_text(ticket));
    }
    else if (!compose_authorized_headers(http)) {
        status = amt_http_say(http, AMT_BROKEN, "this worker has no memory for a call to %s", http->where);
    }
    http->on_ticket(http, status);
}

apr_status_t amt_negotiate_begin(amt_http_t *http, amt_negotiate_fn ready)
{
    amt_http_drop_ticket(http);
    http->admitted = 0;
    http->on_ticket = ready;
    return amt_ticket_request_begin(&http->ticket_request, http->loop->ticket_requests, &http->target,
                                    http->port, negotiate_on_ticket, http);
}

/* ---- the transfer ---------------------------------------------------------------------------- */

/* CURLOPT_PREREQFUNCTION: connected, and nothing of the request has left. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static int on_connected(void *baton, char *remote, char *local, int remote_port, int local_port)
{
    amt_http_t *http = baton;
    long connected = 0;

    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    curl_easy_getinfo(http->easy, CURLINFO_NUM_CONNECTS, &connected);
    http->exchange.unadmitted = connected > 0 && http->ticket == NULL;
    return http->exchange.unadmitted ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

CURLcode amt_negotiate_set_options(amt_http_t *http)
{
    CURL *easy = http->easy;
    CURLcode rc = CURLE_OK;

    AMT_SET(rc, easy, CURLOPT_HTTPHEADER, http->authorized ? http->authorized : http->headers);
    AMT_SET(rc, easy, CURLOPT_PREREQFUNCTION, on_connected);
    AMT_SET(rc, easy, CURLOPT_PREREQDATA, http);
    return rc;
}

/* "WWW-Authenticate: Negotiate [TOKEN]" */
void amt_negotiate_take_header(amt_exchange_t *x, const char *line, apr_size_t length)
{
    static const char name[] = "WWW-Authenticate:";
    const char *end = line + length;

    if (length < sizeof(name) || strncasecmp(line, name, sizeof(name) - 1) != 0) {
        return;
    }
    for (line += sizeof(name) - 1; line < end && (*line == ' ' || *line == '\t');) {
        line++;
    }
    if ((apr_size_t)(end - line) < sizeof(scheme) - 1 || strncasecmp(line, scheme, sizeof(scheme) - 1) != 0) {
        return;
    }
    x->offers_negotiate = 1;
    line += sizeof(scheme) - 1;
    while (line < end && (*line == ' ' || *line == '\t')) {
        line++;
    }
    while (end > line && strchr(" \t\r\n", end[-1])) {
        end--;
    }
    x->proof = end > line ? apr_pstrmemdup(x->pool, line, (apr_size_t)(end - line)) : NULL;
}

int amt_negotiate_wants_again(const amt_http_t *http, CURLcode code)
{
    const amt_exchange_t *x = &http->exchange;
    int new_connection = code == CURLE_ABORTED_BY_CALLBACK && x->unadmitted;
    int refused = code == CURLE_OK && x->http_status == 401 && x->challenges == 1;

    return (new_connection || refused) && !(x->once && x->given && !x->denied);
}

/* ---- what the device says -------------------------------------------------------------------- */

amt_status_e amt_negotiate_say_refused(amt_http_t *http)
{
    if (!http->exchange.offers_negotiate) {
        return amt_http_say(
            http, AMT_AUTH_FAILED,
            "%s offers no Kerberos; set it up there, or give the PC auth = digest in the inventory",
            http->where);
    }
    return amt_http_say(
        http, AMT_AUTH_FAILED,
        "%s refused the Kerberos ticket of %s; check AMT's access list, its key in the domain and "
        "its clock",
        http->where, amt_tickets_principal(http->target.tickets));
}

/* APR's decoder takes anything, and ends at the first character that is none. */
static int is_base64(const char *text)
{
    size_t digits = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    size_t length = digits + strspn(text + digits, "=");

    return digits > 1 && length % 4 == 0 && length - digits < 3 && text[length] == '\0';
}

static int is_proved(amt_http_t *http)
{
    const amt_exchange_t *x = &http->exchange;
    unsigned char *answer;
    int length;

    if (x->proof == NULL) {
        return 1;
    }
    if (!is_base64(x->proof)) {
        return 0;
    }
    answer = apr_palloc(x->pool, (apr_size_t)apr_base64_decode_len(x->proof) + 1);
    length = apr_base64_decode_binary(answer, x->proof);
    return length > 0 && amt_ticket_proves(http->ticket, answer, (apr_size_t)length);
}

amt_status_e amt_negotiate_judge(amt_http_t *http)
{
    if (http->ticket != NULL && !is_proved(http)) {
        return amt_http_say(
            http, AMT_AUTH_FAILED,
            "%s took the Kerberos ticket, but did not prove that it holds its own key: is somebody "
            "in between?",
            http->where);
    }
    http->admitted = 1;
    return AMT_OK;
}
