/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/negotiate_priv.h"

#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "amt/kerberos/ticket_request.h"

static const char scheme[] = "Negotiate";

int amt_negotiate_is_for(const amt_device_t *device)
{
    return device->target.tickets != NULL;
}

/* ---- the ticket ------------------------------------------------------------------------------ */

int amt_negotiate_needs_ticket(const amt_device_t *device)
{
    return !device->admitted || device->target.tls == AMT_TLS_NONE;
}

void amt_negotiate_drop(amt_device_t *device)
{
    if (device->ticket_request) {
        amt_ticket_request_cancel(device->ticket_request);
        device->ticket_request = NULL;
    }
    amt_ticket_free(device->ticket);
    device->ticket = NULL;
    curl_slist_free_all(device->authorized);
    device->authorized = NULL;
}

/* The headers of every request, and the token's. */
static int compose_headers(amt_device_t *device)
{
    static const char name[] = "Authorization: Negotiate ";
    apr_size_t size = 0;
    const unsigned char *token = amt_ticket_token(device->ticket, &size);
    apr_size_t room = sizeof(name) + (apr_size_t)apr_base64_encode_len((int)size);
    char *line = apr_palloc(device->exchange.pool, room);
    struct curl_slist *all;

    memcpy(line, name, sizeof(name));
    apr_base64_encode_binary(line + sizeof(name) - 1, token, (int)size);
    device->authorized = curl_slist_append(NULL, line);
    for (const struct curl_slist *one = device->headers; one && device->authorized; one = one->next) {
        all = curl_slist_append(device->authorized, one->data);
        if (!all) {
            curl_slist_free_all(device->authorized);
        }
        device->authorized = all;
    }
    return device->authorized != NULL;
}

/* The exchange ends before it began. */
static void fail(amt_device_t *device, amt_status_e status)
{
    const amt_reply_t reply = {.status = status};

    amt_negotiate_drop(device);
    device->exchange.done(device, &reply);
}

static void ticket_made(void *baton, amt_ticket_t *ticket)
{
    amt_device_t *device = baton;

    device->ticket_request = NULL;
    device->ticket = ticket;
    if (!ticket) {
        fail(device,
             amt_say(device, AMT_NO_TICKET,
                     "no Kerberos ticket for %s within %d s: the KDC does not answer; check it, and the "
                     "way to it",
                     device->where, (int)apr_time_sec(device->target.call_timeout)));
    }
    else if (amt_ticket_status(ticket) != AMT_OK) {
        fail(device, amt_say(device, amt_ticket_status(ticket), "%s", amt_ticket_text(ticket)));
    }
    else if (!compose_headers(device) || amt_exchange_start(device) != APR_SUCCESS) {
        fail(device,
             amt_say(device, AMT_BROKEN, "this worker has no memory for a call to %s", device->where));
    }
}

apr_status_t amt_negotiate_begin(amt_device_t *device)
{
    amt_negotiate_drop(device);
    device->admitted = 0;
    return amt_ticket_request_begin(&device->ticket_request, device->loop, device->target.tickets,
                                    device->target.fqdn, device->port, device->target.call_timeout,
                                    ticket_made, device);
}

/* ---- the transfer ---------------------------------------------------------------------------- */

/* CURLOPT_PREREQFUNCTION: connected, and nothing of the request has left. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static int before_request(void *baton, char *remote, char *local, int remote_port, int local_port)
{
    amt_device_t *device = baton;
    long connected = 0;

    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    curl_easy_getinfo(device->easy, CURLINFO_NUM_CONNECTS, &connected);
    device->exchange.unadmitted = connected > 0 && !device->ticket;
    return device->exchange.unadmitted ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

CURLcode amt_negotiate_set_options(amt_device_t *device)
{
    CURL *easy = device->easy;
    CURLcode rc = CURLE_OK;

    AMT_SET(rc, easy, CURLOPT_HTTPHEADER, device->authorized ? device->authorized : device->headers);
    AMT_SET(rc, easy, CURLOPT_PREREQFUNCTION, before_request);
    AMT_SET(rc, easy, CURLOPT_PREREQDATA, device);
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

int amt_negotiate_begin_again(amt_device_t *device, CURLcode code)
{
    amt_exchange_t *x = &device->exchange;
    int new_connection = code == CURLE_ABORTED_BY_CALLBACK && x->unadmitted;
    int refused = code == CURLE_OK && x->http_status == 401 && x->challenges == 1;

    if ((!new_connection && !refused) || (x->once && x->given && !x->denied)) {
        return 0;
    }
    x->unadmitted = 0;
    x->offset = 0;
    x->headers_length = 0;
    x->proof = NULL;
    return amt_negotiate_begin(device) == APR_SUCCESS;
}

/* ---- what the device says -------------------------------------------------------------------- */

amt_status_e amt_negotiate_say_refused(amt_device_t *device)
{
    if (!device->exchange.offers_negotiate) {
        return amt_say(
            device, AMT_AUTH_FAILED,
            "%s offers no Kerberos; set it up there, or give the PC auth = digest in the inventory",
            device->where);
    }
    return amt_say(device, AMT_AUTH_FAILED,
                   "%s refused the Kerberos ticket of %s; check AMT's access list, its key in the domain and "
                   "its clock",
                   device->where, amt_tickets_principal(device->target.tickets));
}

/* APR's decoder takes anything, and ends at the first character that is none. */
static int is_base64(const char *text)
{
    size_t digits = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    size_t length = digits + strspn(text + digits, "=");

    return digits > 1 && length % 4 == 0 && length - digits < 3 && text[length] == '\0';
}

static int is_proved(amt_device_t *device)
{
    const amt_exchange_t *x = &device->exchange;
    unsigned char *answer;
    int length;

    if (!x->proof) {
        return 1;
    }
    if (!is_base64(x->proof)) {
        return 0;
    }
    answer = apr_palloc(x->pool, (apr_size_t)apr_base64_decode_len(x->proof) + 1);
    length = apr_base64_decode_binary(answer, x->proof);
    return length > 0 && amt_ticket_proves(device->ticket, answer, (apr_size_t)length);
}

amt_status_e amt_negotiate_judge(amt_device_t *device)
{
    if (device->ticket && !is_proved(device)) {
        return amt_say(
            device, AMT_AUTH_FAILED,
            "%s took the Kerberos ticket, but did not prove that it holds its own key: is somebody "
            "in between?",
            device->where);
    }
    device->admitted = 1;
    return AMT_OK;
}
