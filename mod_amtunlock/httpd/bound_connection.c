/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/bound_connection_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

static module *gssapi; /* NULL: mod_auth_gssapi is not loaded */

/* Of a connection. The places are mod_auth_gssapi's configurations of them: two places with the same one have the same
 * keytab. Its configuration of a section is not merged, so each section has one for as long as the child lives. */
typedef struct {
    const void *tried;                 /* where the latest token was sent that has not succeeded yet */
    int mixed;                         /* and before that, another place */
    const void *place;                 /* where the service believed a token; NULL: not yet */
    char name[AMTUNLOCK_NAME_MAX + 1]; /* and whose */
    const char *trace;                 /* in the latest request as it came: one of traces[], or NULL */
} connection_t;

static connection_t *connection_state(conn_rec *c)
{
    connection_t *state = ap_get_module_config(c->conn_config, &amtunlock_module);

    if (state == NULL) {
        state = apr_pcalloc(c->pool, sizeof(*state));
        ap_set_module_config(c->conn_config, &amtunlock_module, state);
    }
    return state;
}

void *amtunlock_gssapi_entry(const ap_conf_vector_t *vector)
{
    return gssapi != NULL ? ap_get_module_config(vector, gssapi) : NULL;
}

static int has_token(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Authorization") != NULL;
}

/* check_authn hook, before every other, in every place: remembers where a token is sent. */
static int note_attempt(request_rec *r)
{
    const char *type = ap_auth_type(r);
    connection_t *state;

    if (gssapi != NULL && type != NULL && strcasecmp(type, "GSSAPI") == 0 && has_token(r)) {
        state = connection_state(r->connection);
        state->mixed |= state->tried != NULL && state->tried != amtunlock_gssapi_entry(r->per_dir_config);
        state->tried = amtunlock_gssapi_entry(r->per_dir_config);
    }
    return DECLINED;
}

int amtunlock_bound_finish(request_rec *r)
{
    connection_t *state = ap_get_module_config(r->connection->conn_config, &amtunlock_module);
    int mixed = state != NULL && state->mixed;

    if (state != NULL && has_token(r)) {
        state->mixed = 0;
        state->tried = NULL;
    }
    return mixed;
}

/* ---- traces of a proxy ------------------------------------------------------------------------------ */

/* Headers that proxies and load balancers add; those that end in '*' are beginnings. */
static const char *const traces[] = {
    "Via",         "Forwarded*",   "X-Forward*",   "X-Real-*",  "X-Client-*",  "Client-IP",
    "X-Cluster-*", "True-Client*", "X-Original-*", "X-Proxy*",  "Proxy-*",     "WL-Proxy-*",
    "X-Envoy-*",   "X-Amzn-*",     "X-Amz-Cf-*",   "X-Azure-*", "X-ARR-*",     "X-Varnish*",
    "X-HAProxy*",  "CF-*",         "CDN-Loop",     "Fastly-*",  "Akamai-*",    "X-Akamai-*",
    "X-Remote-*",  "Max-Forwards", "X-BlueCoat-*", "X-Nginx-*", "Surrogate-*", "Front-End-HTTPS",
};

/* For apr_table_do: 0, which ends the search, at a proxy's header; *found is then which of them. */
static int is_no_trace(void *found, const char *name, const char *value)
{
    (void)value;
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        size_t length = strlen(traces[i]);
        int begins = traces[i][length - 1] == '*';

        if (begins ? strncasecmp(name, traces[i], length - 1) == 0 : strcasecmp(name, traces[i]) == 0) {
            *(const char **)found = traces[i];
            return 0;
        }
    }
    return 1;
}

static const char *find_trace(const request_rec *r)
{
    const char *found = NULL;

    apr_table_do(is_no_trace, &found, r->headers_in, NULL);
    return found;
}

/* post_read_request hook, before mod_remoteip and mod_headers take headers away: only of connections that may stand
 * for somebody. */
static int note_trace(request_rec *r)
{
    connection_t *state = ap_get_module_config(r->connection->conn_config, &amtunlock_module);

    if (state != NULL) {
        state->trace = find_trace(r);
    }
    return DECLINED;
}

/* ---- what may be believed --------------------------------------------------------------------------- */

/* A request without a token. */
static int refuses_connection(request_rec *r, const amtunlock_identity_t *identity)
{
    const connection_t *state = connection_state(r->connection);
    const char *trace = state->trace != NULL ? state->trace : find_trace(r);

    if (trace != NULL) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "AMTU0050: not served as %s: the request has no token of its own, and came through a proxy (%s), "
            "whose connections carry the requests of several callers",
            identity->name, trace);
        return 1;
    }
    if (identity->mech == NULL || strcmp(identity->mech, "ntlm") != 0) {
        ap_log_rerror(
            APLOG_MARK, APLOG_INFO, 0, r,
            "AMTU0054: not served as %s: the request has no token of its own, and Kerberos authenticates a "
            "request, not a connection; where NTLM is not accepted set \"GssapiConnectionBound Off\"",
            identity->name);
        return 1;
    }
    if (state->place != amtunlock_gssapi_entry(r->per_dir_config) ||
        strcmp(state->name, identity->name) != 0) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "AMTU0055: not served as %s: the request has no token of its own, and its connection was "
            "authenticated in another place",
            identity->name);
        return 1;
    }
    return 0;
}

int amtunlock_bound_refuses(request_rec *r, const amtunlock_identity_t *identity, int mixed)
{
    connection_t *state = connection_state(r->connection);

    if (!has_token(r)) {
        return refuses_connection(r, identity);
    }
    if (mixed) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "AMTU0056: not served as %s: the connection sent tokens to another place before",
                      identity->name);
        return 1;
    }
    state->place = amtunlock_gssapi_entry(r->per_dir_config);
    apr_cpystrn(state->name, identity->name, sizeof(state->name));
    return 0;
}

static void find_gssapi(void)
{
    gssapi = ap_find_linked_module("mod_auth_gssapi.c");
}

void amtunlock_bound_register_hooks(void)
{
    ap_hook_post_read_request(note_trace, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_check_authn(note_attempt, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_optional_fn_retrieve(find_gssapi, NULL, NULL, APR_HOOK_MIDDLE);
}
