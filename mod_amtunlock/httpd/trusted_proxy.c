/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/trusted_proxy_priv.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_optional.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <mod_ssl.h>

#include "httpd/config_priv.h"
#include "httpd/identity_priv.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

#define PROXY_USER_MAX 256
#define SAN_NAMES_MAX 32

static APR_OPTIONAL_FN_TYPE(ssl_var_lookup) * ssl_variable;

static const char *tls_variable(request_rec *r, const char *name)
{
    const char *value =
        ssl_variable != NULL ? ssl_variable(r->pool, r->server, r->connection, r, (char *)name) : NULL;

    return value != NULL && *value ? value : NULL;
}

static int has_dns_name(request_rec *r, const char *name)
{
    for (int i = 0; i < SAN_NAMES_MAX; i++) {
        const char *found = tls_variable(r, apr_psprintf(r->pool, "SSL_CLIENT_SAN_DNS_%d", i));

        if (found == NULL) {
            return 0;
        }
        if (strcasecmp(found, name) == 0) {
            return 1;
        }
    }
    return 0;
}

/* A verified client certificate with one of the listed names: a DNS name, or a whole subject. */
static int is_trusted_proxy(request_rec *r, const amtunlock_proxy_t *proxy)
{
    const char *verified = tls_variable(r, "SSL_CLIENT_VERIFY");
    const char *subject = tls_variable(r, "SSL_CLIENT_S_DN");

    if (verified == NULL || strcmp(verified, "SUCCESS") != 0) {
        return 0;
    }
    for (int i = 0; i < proxy->names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(proxy->names, i, const char *);
        int is_subject = strchr(name, '=') != NULL;

        if (is_subject ? subject != NULL && strcmp(subject, name) == 0 : has_dns_name(r, name)) {
            return 1;
        }
    }
    return 0;
}

/* One name of visible characters. A header that came twice is joined by a comma and names no one user. */
static int is_user_name(const char *user)
{
    apr_size_t length = strlen(user);

    for (const char *c = user; *c; c++) {
        if (apr_iscntrl(*c) || *c == ' ' || *c == ',') {
            return 0;
        }
    }
    return length > 0 && length <= PROXY_USER_MAX;
}

/* check_authn hook: takes the user from the proxy's header. */
static int check_proxy_authn(request_rec *r)
{
    const amtunlock_dir_t *conf = ap_get_module_config(r->per_dir_config, &amtunlock_module);
    const char *type = ap_auth_type(r);
    const char *user;

    if (conf->proxy == NULL || (type != NULL && strcasecmp(type, "None") != 0)) {
        return DECLINED;
    }
    if (!is_trusted_proxy(r, conf->proxy)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "AMTU0043: access denied: the client's certificate is none that AMTUnlockTrustedProxy lists "
            "(SSLVerifyClient must be on for there to be one)");
        return HTTP_FORBIDDEN;
    }
    user = apr_table_get(r->headers_in, conf->proxy->header);
    if (user == NULL || !is_user_name(user)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "AMTU0044: access denied: the trusted proxy named no one caller in its header %s",
                      conf->proxy->header);
        return HTTP_FORBIDDEN;
    }
    r->user = apr_pstrdup(r->pool, user);
    r->ap_auth_type = (char *)AMTUNLOCK_IDENTITY_PROXY;
    amtunlock_identity_set(r, AMTUNLOCK_IDENTITY_PROXY);
    return OK;
}

static void find_mod_ssl(void)
{
    ssl_variable = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
}

void amtunlock_proxy_register_hooks(void)
{
    ap_hook_check_authn(check_proxy_authn, NULL, NULL, APR_HOOK_MIDDLE, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_optional_fn_retrieve(find_mod_ssl, NULL, NULL, APR_HOOK_MIDDLE);
}
