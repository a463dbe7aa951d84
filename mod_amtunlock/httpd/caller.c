/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, how they proved it, and which systems they may unlock.
 *
 * The name is r->user and nothing else: mod_auth_gssapi's GSS_NAME is left dangling from the second request
 * of a bound connection on. The mechanism is what mod_auth_gssapi published, because its own
 * GssapiAllowedMech does not stop a raw NTLM token on a bound connection.
 */
#include "httpd/mod_amtunlock_priv.h"

#include <string.h>

#include <apr_base64.h>
#include <apr_lib.h>
#include <apr_optional.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_ssl.h>

APLOG_USE_MODULE(amtunlock);

#define PROXY_USER_MAX 256
#define SAN_NAMES_MAX 32

static const char proxy_mechanism[] = "proxy";
static APR_OPTIONAL_FN_TYPE(ssl_var_lookup) * ssl_variable;

/* Whether the request was for the service; its handler is chosen only after authentication. */
static int is_ours(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *wrong = NULL;
    const char *handler =
        core->expr_handler != NULL ? ap_expr_str_exec(r, core->expr_handler, &wrong) : core->handler;

    return wrong == NULL && handler != NULL && strcmp(handler, AMTUNLOCK_HANDLER) == 0;
}

/* ---- by which mechanism ----------------------------------------------------------------------------- */

static const struct {
    amtunlock_mech_e mech;
    const char *published; /* what follows the '/' in GSS_MECH */
    const char *name;
} mechanisms[] = {
    {AMTUNLOCK_MECH_KRB5, "krb5", "krb5"},
    {AMTUNLOCK_MECH_NTLM, "NTLM", "ntlm"},
};

/* An NTLM client may leave its domain out, and is then let in as the first such user of any domain. Who that
 * is, nobody knows: it is not the caller that the domain's name would make of it. */
static int is_whole_name(request_rec *r, amtunlock_mech_e mech)
{
    if (mech != AMTUNLOCK_MECH_NTLM || strchr(r->user, '\\') != NULL) {
        return 1;
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "AMTU0046: access denied to %s: NTLM callers must name their domain, as DOMAIN\\user",
                  r->user);
    return 0;
}

/* The mechanism's name where it is accepted here; else NULL, logged. */
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
            return is_whole_name(r, mechanisms[i].mech) ? mechanisms[i].name : NULL;
        }
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "AMTU0041: access denied to %s: authenticated by %s, which AMTUnlockMech does not list",
                  r->user, published);
    return NULL;
}

/* auth_checker hook, ahead of every Require: an NTLM name in lower case. Windows' names have no case, so the
 * caller chooses how DOMAIN\user is written: each spelling would else be a caller with limits of its own, and
 * with jobs that the others do not see. A Kerberos name is the KDC's and stays as it is. */
static int settle_name(request_rec *r)
{
    static const char ntlm[] = "/NTLM";
    const char *published = apr_table_get(r->subprocess_env, "GSS_MECH");
    const char *slash = published != NULL ? strchr(published, '/') : NULL;

    if (r->user != NULL && slash != NULL && strcasecmp(slash, ntlm) == 0 && is_ours(r)) {
        r->user = apr_pstrdup(r->pool, r->user);
        ap_str_tolower(r->user);
    }
    return DECLINED;
}

/* ---- which systems ---------------------------------------------------------------------------------- */

/* Whether the expression of this directive is true for the request. */
static int is_true(request_rec *r, const ap_expr_info_t *expression, const char *directive)
{
    const char *wrong = NULL;
    int found = ap_expr_exec(r, expression, &wrong);

    if (found < 0 || wrong != NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "AMTU0042: the expression of %s cannot be evaluated, so it grants nothing: %s",
                      directive, wrong ? wrong : "unknown error");
        return 0;
    }
    return found > 0;
}

static int in_scope(request_rec *r, const amtunlock_scope_t *scope)
{
    return is_true(r, scope->who, apr_pstrcat(r->pool, "AMTUnlockScope ", scope->group, NULL));
}

static const apr_array_header_t *groups_of(request_rec *r, const amtunlock_dir_t *conf)
{
    apr_array_header_t *groups = apr_array_make(r->pool, 4, sizeof(const char *));

    for (int i = 0; conf->scopes != NULL && i < conf->scopes->nelts; i++) {
        const amtunlock_scope_t *scope = &APR_ARRAY_IDX(conf->scopes, i, amtunlock_scope_t);

        if (in_scope(r, scope)) {
            APR_ARRAY_PUSH(groups, const char *) = scope->group;
        }
    }
    return groups;
}

amtunlock_caller_e amtunlock_caller(request_rec *r, const amtunlock_dir_t *conf, jobs_caller_t *caller)
{
    int by_proxy = ap_get_module_config(r->request_config, &amtunlock_module) == proxy_mechanism;

    memset(caller, 0, sizeof(*caller));
    if (r->user == NULL || !*r->user) {
        return AMTUNLOCK_CALLER_ANONYMOUS;
    }
    caller->mechanism = by_proxy ? proxy_mechanism : accepted_mechanism(r, conf);
    if (caller->mechanism == NULL) {
        return AMTUNLOCK_CALLER_REFUSED;
    }
    caller->name = r->user;
    caller->peer = r->useragent_ip;
    caller->groups = groups_of(r, conf);
    caller->reads_all = conf->operators != NULL && is_true(r, conf->operators, "AMTUnlockOperator");
    return AMTUNLOCK_CALLER_KNOWN;
}

/* ---- a trusted proxy in front ----------------------------------------------------------------------- */

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
static int is_trusted(request_rec *r, const amtunlock_proxy_t *proxy)
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

/* One name of visible characters: a header that came twice is joined by a comma, and names nobody. */
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

int amtunlock_check_authn(request_rec *r)
{
    const amtunlock_dir_t *conf = ap_get_module_config(r->per_dir_config, &amtunlock_module);
    const char *type = ap_auth_type(r);
    const char *user;

    if (conf->proxy == NULL || (type != NULL && strcasecmp(type, "None") != 0)) {
        return DECLINED;
    }
    if (!is_trusted(r, conf->proxy)) {
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
    r->ap_auth_type = (char *)proxy_mechanism;
    ap_set_module_config(r->request_config, &amtunlock_module, (void *)proxy_mechanism);
    return OK;
}

/* ---- handshakes ---------------------------------------------------------------------------------------- */

/* Skips the tag and length of DER; the position behind them, or `end` where there is another tag or no more.
 */
static const unsigned char *into(const unsigned char *at, const unsigned char *end, unsigned char tag)
{
    apr_size_t header = 2;

    if (end - at < 2 || at[0] != tag) {
        return end;
    }
    if (at[1] & 0x80) {
        header += at[1] & 0x7f;
    }
    return (apr_size_t)(end - at) > header ? at + header : end;
}

/* Whether a token says "reject": SPNEGO's answer (RFC 4178, 4.2.2) to what failed, beside the 401. */
static int is_rejection(const char *token)
{
    static const unsigned char rejected[] = {0xa0, 3, 0x0a, 1, 2}; /* negState [0] ENUMERATED 2 */
    char start[25] = {0}; /* base64 of more than two headers and the state take */
    unsigned char der[sizeof(start)];
    const unsigned char *end;
    const unsigned char *at;

    apr_cpystrn(start, token, sizeof(start));
    end = der + apr_base64_decode_binary(der, start);
    at = into(into(der, end, 0xa1), end, 0x30);
    return (apr_size_t)(end - at) >= sizeof(rejected) && memcmp(at, rejected, sizeof(rejected)) == 0;
}

/* Whether the answer carries the handshake on: a token behind the name of the scheme. */
static int has_token(void *found, const char *name, const char *value)
{
    static const char *const schemes[] = {"Negotiate ", "NTLM "};

    (void)name;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t length = strlen(schemes[i]);

        if (strncasecmp(value, schemes[i], length) == 0 && !is_rejection(value + length)) {
            *(int *)found = 1;
        }
    }
    return 1;
}

/* The challenges but those of raw NTLM. */
static int keep_but_ntlm(void *kept, const char *name, const char *value)
{
    if (strncasecmp(value, "NTLM", 4) != 0) {
        apr_table_addn(kept, name, value);
    }
    return 1;
}

/* mod_auth_gssapi offers NTLM on a bound connection also where GssapiAllowedMech leaves it out. A caller who
 * took the offer would be denied, so it is not made. */
static void drop_ntlm_challenge(request_rec *r)
{
    apr_table_t *kept = apr_table_make(r->pool, 2);

    apr_table_do(keep_but_ntlm, kept, r->err_headers_out, "WWW-Authenticate", NULL);
    if (apr_is_empty_table(kept)) { /* the answer to an NTLM token */
        apr_table_addn(kept, "WWW-Authenticate", "Negotiate");
    }
    apr_table_unset(r->err_headers_out, "WWW-Authenticate");
    apr_table_overlap(r->err_headers_out, kept, APR_OVERLAP_TABLES_MERGE);
}

/* A client that waits to be told to send its body (Expect: 100-continue) is told so before the challenge goes
 * out. httpd would else close the connection, and the handshake with it: it could not know whether the next
 * bytes are that body. */
static void fetch_body(request_rec *r)
{
    int status = r->status;

    if (r->expecting_100) {
        r->status = HTTP_OK; /* for an error no body is asked for */
        (void)ap_discard_request_body(r);
        r->status = status;
    }
}

/* mod_auth_gssapi keeps the context of a failed handshake with the connection, where every later try then
 * fails: such a connection must not be used again. One that goes on must stay. */
static void keep_or_end(request_rec *r)
{
    int goes_on = 0;

    apr_table_do(has_token, &goes_on, r->err_headers_out, "WWW-Authenticate", NULL);
    if (goes_on) {
        fetch_body(r);
        return;
    }
    if (apr_table_get(r->headers_in, "Authorization") == NULL) {
        return;
    }
    r->connection->keepalive = AP_CONN_CLOSE;
    ap_log_rerror(
        APLOG_MARK, APLOG_INFO, 0, r,
        "AMTU0045: authentication failed; the connection is closed, so that the next try begins anew");
}

/* insert_error_filter hook: the last look at a 401 before it is sent. */
static void look_at_challenge(request_rec *r)
{
    if (r->status != HTTP_UNAUTHORIZED || !is_ours(r)) {
        return;
    }
    if (!(amtunlock_dir(r)->mechs & AMTUNLOCK_MECH_NTLM)) {
        drop_ntlm_challenge(r);
    }
    keep_or_end(r);
}

static void find_mod_ssl(void)
{
    ssl_variable = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
}

void amtunlock_caller_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_check_authn(amtunlock_check_authn, NULL, NULL, APR_HOOK_MIDDLE, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_authz(settle_name, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_insert_error_filter(look_at_challenge, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_optional_fn_retrieve(find_mod_ssl, NULL, NULL, APR_HOOK_MIDDLE);
}
