/* SPDX-License-Identifier: Apache-2.0 */
/* The name is r->user only: mod_auth_gssapi leaves its GSS_NAME dangling from the second request of a bound
 * connection on. The mechanism is the one that mod_auth_gssapi published, because its own GssapiAllowedMech
 * does not stop a raw NTLM token on a bound connection.
 */
#include "httpd/caller_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>
#include <http_request.h>

#include "httpd/module_priv.h"
#include "httpd/trusted_proxy_priv.h"

APLOG_USE_MODULE(amtunlock);

/* ---- mechanism -------------------------------------------------------------------------------------- */

static const struct {
    amtunlock_mech_e mech;
    const char *published; /* what follows the '/' in GSS_MECH */
    const char *name;
} mechanisms[] = {
    {AMTUNLOCK_MECH_KRB5, "krb5", "krb5"},
    {AMTUNLOCK_MECH_NTLM, "NTLM", "ntlm"},
};

/* Without a domain NTLM accepts the first such user of any domain, so the name does not identify the caller. */
static int has_domain(request_rec *r)
{
    if (strchr(r->user, '\\') != NULL) {
        return 1;
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "AMTU0046: access denied to %s: NTLM callers must name their domain, as DOMAIN\\user",
                  r->user);
    return 0;
}

/* The mechanism's name if it is accepted here; else NULL, logged. */
static const char *accepted_mechanism(request_rec *r, const amtunlock_dir_t *conf)
{
    const char *published = apr_table_get(r->subprocess_env, "GSS_MECH");
    const char *slash = published != NULL ? strchr(published, '/') : NULL;

    if (published == NULL) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "AMTU0040: access denied to %s: how it was authenticated is not known; set \"GssapiPublishMech "
            "On\" beside \"AuthType GSSAPI\"",
            r->user);
        return NULL;
    }
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        if (slash != NULL && strcasecmp(slash + 1, mechanisms[i].published) == 0 &&
            (conf->mechs & mechanisms[i].mech)) {
            return mechanisms[i].mech != AMTUNLOCK_MECH_NTLM || has_domain(r) ? mechanisms[i].name : NULL;
        }
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "AMTU0041: access denied to %s: authenticated by %s, which AMTUnlockMech does not list",
                  r->user, published);
    return NULL;
}

/* auth_checker hook, before every Require: an NTLM name in lower case. Windows' names have no case, so the
 * caller chooses how DOMAIN\user is written; each spelling would be a caller with its own limits and jobs.
 * A Kerberos name is the KDC's and stays as it is. */
static int lower_ntlm_name(request_rec *r)
{
    static const char ntlm[] = "/NTLM";
    const char *published = apr_table_get(r->subprocess_env, "GSS_MECH");
    const char *slash = published != NULL ? strchr(published, '/') : NULL;

    if (r->user != NULL && slash != NULL && strcasecmp(slash, ntlm) == 0 && amtunlock_is_service(r)) {
        r->user = apr_pstrdup(r->pool, r->user);
        ap_str_tolower(r->user);
    }
    return DECLINED;
}

/* ---- groups of systems ------------------------------------------------------------------------------ */

/* True if the expression of this directive is true for the request. */
static int condition_holds(request_rec *r, const ap_expr_info_t *condition, const char *directive)
{
    const char *wrong = NULL;
    int result = ap_expr_exec(r, condition, &wrong);

    if (result < 0 || wrong != NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "AMTU0042: the expression of %s cannot be evaluated, so it grants nothing: %s",
                      directive, wrong != NULL ? wrong : "unknown error");
        return 0;
    }
    return result > 0;
}

static const apr_array_header_t *groups_of_caller(request_rec *r, const amtunlock_dir_t *conf)
{
    apr_array_header_t *groups = apr_array_make(r->pool, 4, sizeof(const char *));

    for (int i = 0; conf->scopes != NULL && i < conf->scopes->nelts; i++) {
        const amtunlock_scope_t *scope = &APR_ARRAY_IDX(conf->scopes, i, amtunlock_scope_t);
        const char *directive = apr_pstrcat(r->pool, "AMTUnlockScope ", scope->group, NULL);

        if (condition_holds(r, scope->condition, directive)) {
            APR_ARRAY_PUSH(groups, const char *) = scope->group;
        }
    }
    return groups;
}

amtunlock_caller_e amtunlock_caller(request_rec *r, const amtunlock_dir_t *conf, jobs_caller_t *caller)
{
    memset(caller, 0, sizeof(*caller));
    if (r->user == NULL || !*r->user) {
        return AMTUNLOCK_CALLER_ANONYMOUS;
    }
    caller->mechanism = amtunlock_proxy_named_user(r) ? "proxy" : accepted_mechanism(r, conf);
    if (caller->mechanism == NULL) {
        return AMTUNLOCK_CALLER_REFUSED;
    }
    caller->name = r->user;
    caller->peer = r->useragent_ip;
    caller->groups = groups_of_caller(r, conf);
    caller->reads_all = conf->operators != NULL && condition_holds(r, conf->operators, "AMTUnlockOperator");
    return AMTUNLOCK_CALLER_KNOWN;
}

void amtunlock_caller_register_hooks(void)
{
    ap_hook_check_authz(lower_ntlm_name, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
}
