/* SPDX-License-Identifier: Apache-2.0 */
/* A device: how it is reached, its libcurl handle, its one connection. */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

#include "amt/calls/call.h"
#include "amt/calls/instance.h"
#include "amt/http/device.h"
#include "amt/http/negotiate_priv.h"
#include "amt/http/wipe_priv.h"
#include "amt/kerberos/ticket.h"
#include "base/text.h"

enum { PORT_PLAIN = 16992, PORT_TLS = 16993 };

static const apr_interval_time_t default_connect_timeout = 5 * APR_USEC_PER_SEC;
static const apr_interval_time_t default_call_timeout = 15 * APR_USEC_PER_SEC;

apr_status_t amt_library_init(void)
{
    /* Pins and alerts are looked at through OpenSSL; above another TLS library they would silently not be. */
    if (curl_global_sslset(CURLSSLBACKEND_OPENSSL, NULL, NULL) != CURLSSLSET_OK) {
        return APR_ENOTIMPL;
    }
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, amt_wipe_malloc, amt_wipe_free, amt_wipe_realloc,
                             amt_wipe_strdup, amt_wipe_calloc)) {
        return APR_EINIT;
    }
    return amt_tls_library_init();
}

void amt_sentence(char *text, apr_size_t size, const char *format, va_list args)
{
    apr_vsnprintf(text, size, format, args);
    text_mask_non_ascii(text);
}

amt_status_e amt_say(amt_device_t *device, amt_status_e status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    amt_sentence(device->text, sizeof(device->text), format, args);
    va_end(args);
    return status;
}

/* ---- options of the handle ------------------------------------------------------------------- */

static long to_milliseconds(apr_interval_time_t interval)
{
    return (long)apr_time_as_msec(interval + APR_TIME_C(999));
}

/* HTTP as plain as firmware speaks it: no proxy, redirect, compression, cookie, HTTP/2 or .netrc. */
static CURLcode set_http_options(amt_device_t *device)
{
    CURL *easy = device->easy;
    CURLcode rc = CURLE_OK;

    AMT_SET(rc, easy, CURLOPT_URL, device->url);
    AMT_SET(rc, easy, CURLOPT_CONNECT_TO, device->connect_to);
    AMT_SET(rc, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    AMT_SET(rc, easy, CURLOPT_HTTPHEADER, device->headers);
    AMT_SET(rc, easy, CURLOPT_POST, 1L);
    AMT_SET(rc, easy, CURLOPT_PROXY, "");
    AMT_SET(rc, easy, CURLOPT_FOLLOWLOCATION, 0L);
    AMT_SET(rc, easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (amt_negotiate_is_for(device)) {
        AMT_SET(rc, easy, CURLOPT_HTTPAUTH, CURLAUTH_NONE); /* never digest instead */
        return rc;
    }
    AMT_SET(rc, easy, CURLOPT_HTTPAUTH, CURLAUTH_DIGEST);
    AMT_SET(rc, easy, CURLOPT_USERNAME, device->target.user);
    AMT_SET(rc, easy, CURLOPT_PASSWORD, device->target.password);
    return rc;
}

CURLcode amt_device_set_options(amt_device_t *device)
{
    CURL *easy = device->easy;
    CURLcode rc = CURLE_OK;

    AMT_SET(rc, easy, CURLOPT_PRIVATE, device);
    AMT_SET(rc, easy, CURLOPT_NOSIGNAL, 1L);
    AMT_SET(rc, easy, CURLOPT_SHARE, device->share);
    AMT_SET(rc, easy, CURLOPT_ERRORBUFFER, device->error);
    AMT_SET(rc, easy, CURLOPT_BUFFERSIZE, 4096L);
    /* the least that it takes: of 64 KiB by default, and thousands of requests may leave at once */
    AMT_SET(rc, easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    /* The address is numeric, there is nothing to remember; and libcurl walks its memory at each end. */
    AMT_SET(rc, easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    AMT_SET(rc, easy, CURLOPT_CONNECTTIMEOUT_MS, to_milliseconds(device->target.connect_timeout));
    AMT_SET(rc, easy, CURLOPT_TIMEOUT_MS, to_milliseconds(device->target.call_timeout));
    rc = rc ? rc : set_http_options(device);
    rc = rc ? rc : amt_tls_set_options(device);
    return rc;
}

/* ---- create, destroy ------------------------------------------------------------------------- */

static apr_interval_time_t or_default(apr_interval_time_t given, apr_interval_time_t otherwise)
{
    return given > 0 ? given : otherwise;
}

void amt_target_copy(amt_target_t *target, const amt_target_t *from, apr_pool_t *pool)
{
    *target = *from;
    target->fqdn = apr_pstrdup(pool, from->fqdn);
    target->address = apr_pstrdup(pool, from->address);
    target->pin = apr_pstrdup(pool, from->pin);
    target->ca_file = apr_pstrdup(pool, from->ca_file);
    target->crl_file = apr_pstrdup(pool, from->crl_file);
    target->certificate_file = apr_pstrdup(pool, from->certificate_file);
    target->key_file = apr_pstrdup(pool, from->key_file);
    target->connect_timeout = or_default(from->connect_timeout, default_connect_timeout);
    target->call_timeout = or_default(from->call_timeout, default_call_timeout);
}

const char *amt_target_account(const amt_target_t *target)
{
    return target->tickets ? amt_tickets_principal(target->tickets) : target->user;
}

static int is_host_name(const char *name)
{
    apr_size_t length = name ? strlen(name) : 0;

    return length > 0 && length <= 253 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789-_.") == length;
}

int amt_address_family(const char *address)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    if (!address) {
        return 0;
    }
    if (inet_pton(AF_INET, address, bytes) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, address, bytes) == 1 ? 6 : 0;
}

apr_status_t amt_target_check(const amt_target_t *target, amt_tls_peer_t *tls)
{
    int has_account = target->tickets || (target->user && target->password);

    if (!is_host_name(target->fqdn) || !amt_address_family(target->address) || !has_account) {
        return APR_EINVAL;
    }
    switch (target->tls) {
    case AMT_TLS_PIN:
        return amt_tls_parse_pin(tls->pin, target->pin);
    case AMT_TLS_CA:
    case AMT_TLS_LEGACY:
        return target->ca_file ? APR_SUCCESS : APR_EINVAL;
    case AMT_TLS_NONE:
        return APR_SUCCESS;
    }
    return APR_EINVAL;
}

/* URL and Host header carry the name; the bytes go to the address. */
static apr_status_t compose_names(amt_device_t *device)
{
    const amt_target_t *target = &device->target;
    int tls = target->tls != AMT_TLS_NONE;
    int port = device->port = tls ? PORT_TLS : PORT_PLAIN;
    int six = amt_address_family(target->address) == 6;
    const char *connect_to;

    device->url = apr_psprintf(device->pool, "%s://%s:%d/wsman", tls ? "https" : "http", target->fqdn, port);
    device->where = apr_psprintf(device->pool, "%s (%s port %d)", target->fqdn, target->address, port);
    connect_to =
        apr_psprintf(device->pool, "::%s%s%s:%d", six ? "[" : "", target->address, six ? "]" : "", port);
    device->connect_to = curl_slist_append(NULL, connect_to);
    return device->connect_to ? APR_SUCCESS : APR_ENOMEM;
}

static apr_status_t compose_headers(amt_device_t *device)
{
    static const char *const lines[] = {"Content-Type: application/soap+xml;charset=UTF-8", "Expect:"};

    for (apr_size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct curl_slist *longer = curl_slist_append(device->headers, lines[i]);

        if (!longer) {
            return APR_ENOMEM;
        }
        device->headers = longer;
    }
    return APR_SUCCESS;
}

static apr_status_t create_handles(amt_device_t *device)
{
    device->easy = curl_easy_init();
    device->share = curl_share_init();
    if (!device->easy || !device->share ||
        curl_share_setopt(device->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) != CURLSHE_OK) {
        return APR_ENOMEM;
    }
    return amt_device_set_options(device) == CURLE_OK ? APR_SUCCESS : APR_EGENERAL;
}

static apr_status_t device_cleanup(void *baton)
{
    amt_device_t *device = baton;

    if (device->exchanging) {
        device->exchanging = 0;
        curl_multi_remove_handle(device->loop->multi, device->easy);
    }
    amt_negotiate_drop(device);
    amt_call_drop(device);
    if (device->easy) {
        curl_easy_cleanup(device->easy);
    }
    if (device->share) {
        curl_share_cleanup(device->share);
    }
    amt_instance_forget(&device->boot);
    amt_instance_forget(&device->redirection);
    curl_slist_free_all(device->headers);
    curl_slist_free_all(device->connect_to);
    return APR_SUCCESS;
}

apr_status_t amt_device_create(amt_device_t **out, amt_loop_t *loop, const amt_target_t *target,
                               apr_pool_t *pool)
{
    amt_device_t *device = apr_pcalloc(pool, sizeof(*device));
    apr_status_t rv;

    device->pool = pool;
    device->loop = loop;
    device->tls.alert = -1;
    amt_target_copy(&device->target, target, pool);
    /* before the pool's children go: a call's pool is one of them */
    apr_pool_pre_cleanup_register(pool, device, device_cleanup);
    if ((rv = amt_target_check(&device->target, &device->tls)) == APR_SUCCESS &&
        (rv = compose_names(device)) == APR_SUCCESS && (rv = compose_headers(device)) == APR_SUCCESS &&
        (rv = amt_call_init(device)) == APR_SUCCESS && (rv = create_handles(device)) == APR_SUCCESS) {
        *out = device;
        return APR_SUCCESS;
    }
    amt_device_destroy(device);
    return rv;
}

int amt_device_tls_minor(const amt_device_t *device)
{
    return device->tls.version ? device->tls.version - TLS1_VERSION : -1;
}

void amt_device_destroy(amt_device_t *device)
{
    apr_pool_cleanup_run(device->pool, device, device_cleanup);
}
