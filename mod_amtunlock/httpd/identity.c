/* SPDX-License-Identifier: Apache-2.0 */
/* What is believed, and what not.
 *
 * The name is r->user only: mod_auth_gssapi leaves its GSS_NAME dangling from the second request of a bound connection
 * on. The mechanism is what mod_auth_gssapi noted with this very request, because its own GssapiAllowedMech does not
 * stop a raw NTLM token on a bound connection. It exports the same text as the variable GSS_MECH, which SetEnv,
 * SetEnvIf, RewriteRule and scripts write as well: that one is not read.
 */
#include "httpd/identity_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>

#include "httpd/bound_connection_priv.h"
#include "httpd/config_priv.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

void amtunlock_identity_set(request_rec *r, const char *mech)
{
    amtunlock_identity_t *identity = apr_palloc(r->pool, sizeof(*identity));

    identity->name = apr_pstrdup(r->pool, r->user);
    identity->mech = mech;
    identity->place = r->per_dir_config;
    ap_set_module_config(r->request_config, &amtunlock_module, identity);
}

static const amtunlock_identity_t *kept_identity(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &amtunlock_module);
}

static int is_ntlm(const char *mech)
{
    return mech != NULL && strcmp(mech, "ntlm") == 0;
}

/* What mod_auth_gssapi noted with this request: it does so only where it authenticated it. NULL: it did not. */
static const apr_table_t *gssapi_note(request_rec *r)
{
    const char *type = ap_auth_type(r);

    return type != NULL && strcasecmp(type, "GSSAPI") == 0 ? amtunlock_gssapi_entry(r->request_config) : NULL;
}

/* The part behind the scheme of "Negotiate/krb5" in lower case, if this request used that scheme; else NULL. */
static const char *noted_mechanism(request_rec *r, const apr_table_t *note)
{
    const char *scheme = r->ap_auth_type != NULL ? r->ap_auth_type : "";
    const char *published = apr_table_get(note, "GSS_MECH");
    apr_size_t length = strlen(scheme);
    char *mech;

    if (published == NULL || strncasecmp(scheme, published, length) != 0 || published[length] != '/') {
        return NULL;
    }
    mech = apr_pstrdup(r->pool, published + length + 1);
    ap_str_tolower(mech);
    return mech;
}

static int ask_for_token(request_rec *r)
{
    apr_table_unset(r->err_headers_out, "WWW-Authenticate");
    apr_table_addn(r->err_headers_out, "WWW-Authenticate", "Negotiate");
    if (amtunlock_dir(r)->mechs & AMTUNLOCK_MECH_NTLM) {
        apr_table_addn(r->err_headers_out, "WWW-Authenticate", "NTLM");
    }
    return HTTP_UNAUTHORIZED;
}

/* Windows' names have no case, so the caller chooses how DOMAIN\user is written; each spelling would be a caller with
 * its own limits and jobs. A Kerberos name is the KDC's and stays as it is. */
static void adjust_request(request_rec *r, const char *mech)
{
    if (is_ntlm(mech)) {
        r->user = apr_pstrdup(r->pool, r->user);
        ap_str_tolower(r->user);
    }
    else {
        apr_table_setn(r->err_headers_out, "Persistent-Auth", "false"); /* or clients send no token again */
    }
}

/* auth_checker hook, before every Require and so right behind authentication. One by NTLM where AMTUnlockMech does not
 * list it is the handler's to refuse. */
static int take_identity(request_rec *r)
{
    int mixed = amtunlock_bound_finish(r);
    const apr_table_t *note = gssapi_note(r);
    const char *mech;

    if (r->user == NULL || note == NULL || !amtunlock_is_service(r)) {
        return DECLINED;
    }
    mech = noted_mechanism(r, note);
    adjust_request(r, mech);
    amtunlock_identity_set(r, mech);
    if (is_ntlm(mech) && !(amtunlock_dir(r)->mechs & AMTUNLOCK_MECH_NTLM)) {
        return DECLINED;
    }
    return amtunlock_bound_refuses(r, kept_identity(r), mixed) ? ask_for_token(r) : DECLINED;
}

const amtunlock_identity_t *amtunlock_identity(request_rec *r)
{
    const amtunlock_identity_t *identity = kept_identity(r);

    if (identity == NULL) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "AMTU0051: access denied to %s: not authenticated by mod_auth_gssapi (\"AuthType GSSAPI\") nor "
            "by AMTUnlockTrustedProxy, but by \"%s\"",
            r->user, r->ap_auth_type != NULL ? r->ap_auth_type : "none");
    }
    else if (identity->place != r->per_dir_config || strcmp(identity->name, r->user) != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "AMTU0052: access denied to %s: authenticated as %s; something in the configuration "
                      "(SSLUserName?) changed the name afterwards",
                      r->user, identity->name);
        return NULL;
    }
    return identity;
}

void amtunlock_identity_export(request_rec *r, const amtunlock_identity_t *identity)
{
    const char *noted = NULL;

    if (strcmp(identity->mech, AMTUNLOCK_IDENTITY_PROXY) != 0) {
        noted = apr_table_get(amtunlock_gssapi_entry(r->request_config), "GSS_MECH");
    }
    if (noted != NULL) {
        apr_table_set(r->subprocess_env, "GSS_MECH", noted);
    }
    else {
        apr_table_unset(r->subprocess_env, "GSS_MECH");
    }
}

void amtunlock_identity_register_hooks(void)
{
    ap_hook_check_authz(take_identity, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
}
