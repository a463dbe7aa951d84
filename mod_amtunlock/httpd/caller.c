/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/caller_priv.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_request.h>

#include "httpd/identity_priv.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

/* ---- mechanism -------------------------------------------------------------------------------------- */

static const struct {
    amtunlock_mech_e mech;
    const char *name;
} mechanisms[] = {
    {AMTUNLOCK_MECH_KRB5, "krb5"},
    {AMTUNLOCK_MECH_NTLM, "ntlm"},
};

/* Without a domain NTLM accepts the first such user of any domain, so the name does not identify the caller. */
static int has_domain(request_rec *r, const char *user)
{
    const char *backslash = strchr(user, '\\');

    if (backslash != NULL && backslash != user && backslash[1]) {
        return 1;
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "AMTU0046: access denied to %s: NTLM callers must name their domain, as DOMAIN\\user",
                  user);
    return 0;
}

/* True if the mechanism is accepted here; else logged. */
static int accepts_mechanism(request_rec *r, const amtunlock_dir_t *conf,
                             const amtunlock_identity_t *identity)
{
    if (identity->mech == NULL) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "AMTU0040: access denied to %s: how it was authenticated is not known; set \"GssapiPublishMech "
            "On\" beside \"AuthType GSSAPI\"",
            identity->name);
        return 0;
    }
    if (strcmp(identity->mech, AMTUNLOCK_IDENTITY_PROXY) == 0) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        if (strcmp(identity->mech, mechanisms[i].name) == 0 && (conf->mechs & mechanisms[i].mech)) {
            return mechanisms[i].mech != AMTUNLOCK_MECH_NTLM || has_domain(r, identity->name);
        }
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "AMTU0041: access denied to %s: authenticated by %s, which AMTUnlockMech does not list",
                  identity->name, identity->mech);
    return 0;
}

/* ---- the name --------------------------------------------------------------------------------------- */

/* Names that stand for nobody: Kerberos' anonymous tickets (RFC 8062), which every KDC with PKINIT may give to
 * anybody, and Windows' anonymous logon. Each begins a name, whatever follows. */
static const char *const nobody[] = {"WELLKNOWN/", "WELLKNOWN\\", "NT AUTHORITY\\", "ANONYMOUS LOGON"};

/* And what servers in front write where there is no user: mod_headers, templates, logs. Each is a whole name. */
static const char *const no_user[] = {"(null)", "-", "null", "none", "undefined", "unknown", "anonymous"};

static int stands_for_nobody(const char *name)
{
    for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
        if (strncasecmp(name, nobody[i], strlen(nobody[i])) == 0) {
            return 1;
        }
    }
    for (size_t i = 0; i < sizeof(no_user) / sizeof(no_user[0]); i++) {
        if (strcasecmp(name, no_user[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

static const char *wrong_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (apr_iscntrl(*c)) {
            return "it has a control character";
        }
    }
    if (strlen(name) > AMTUNLOCK_NAME_MAX) {
        return "it is too long";
    }
    if (*name == '@' || *name == '/') {
        return "it has an empty part";
    }
    return stands_for_nobody(name) ? "it is one that stands for nobody" : NULL;
}

/* True if the name tells one caller from all others; else logged. */
static int identifies_caller(request_rec *r, const char *name)
{
    const char *wrong = wrong_name(name);

    if (wrong != NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "AMTU0053: access denied: the name \"%.64s\" is not a caller's: %s", name, wrong);
    }
    return wrong == NULL;
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
            APR_ARRAY_PUSH(groups, const char *) = scope->granted;
        }
    }
    return groups;
}

amtunlock_caller_e amtunlock_caller(request_rec *r, const amtunlock_dir_t *conf, jobs_caller_t *caller)
{
    const amtunlock_identity_t *identity;

    memset(caller, 0, sizeof(*caller));
    if (r->user == NULL || !*r->user) {
        return AMTUNLOCK_CALLER_ANONYMOUS;
    }
    identity = amtunlock_identity(r);
    if (identity == NULL || !accepts_mechanism(r, conf, identity) || !identifies_caller(r, identity->name)) {
        return AMTUNLOCK_CALLER_REFUSED;
    }
    caller->name = identity->name;
    caller->mechanism = identity->mech;
    caller->peer = r->useragent_ip;
    amtunlock_identity_export(r, identity);
    caller->groups = groups_of_caller(r, conf);
    caller->reads_all = conf->operators != NULL && condition_holds(r, conf->operators, "AMTUnlockOperator");
    return AMTUNLOCK_CALLER_KNOWN;
}
