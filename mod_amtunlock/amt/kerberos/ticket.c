/* SPDX-License-Identifier: Apache-2.0 */
/* One SPNEGO exchange: the krb5 library gets the ticket, as its error codes are precise; GSS-API makes the
 * token from it. */
#include <apr_strings.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <stdlib.h>
#include <string.h>

#include "amt/kerberos/account_priv.h"

static gss_OID_desc spnego = {6, (void *)"\x2b\x06\x01\x05\x05\x02"};

struct amt_ticket_t {
    krb5_context context;
    krb5_ccache cache; /* MEMORY:, of this ticket alone */
    gss_cred_id_t credential;
    gss_name_t service;
    gss_ctx_id_t exchange;
    gss_buffer_desc token;
    amt_status_e status;
    char text[400];
};

/* ---- error messages ------------------------------------------------------------------------------- */

static amt_status_e fail_ticket(amt_ticket_t *ticket, amt_status_e status, const char *what, const char *why)
{
    amt_krb5_say(ticket->text, sizeof(ticket->text), "no Kerberos ticket for %s: %s", what, why);
    ticket->status = status;
    return status;
}

static amt_status_e fail_ticket_by_gss(amt_ticket_t *ticket, const char *what, OM_uint32 minor)
{
    OM_uint32 ignored;
    OM_uint32 more = 0;
    gss_buffer_desc words = GSS_C_EMPTY_BUFFER;
    char why[200] = "GSS-API failed";

    if (gss_display_status(&ignored, minor, GSS_C_MECH_CODE, &spnego, &more, &words) == GSS_S_COMPLETE) {
        amt_krb5_say(why, sizeof(why), "%.*s", (int)words.length, (const char *)words.value);
    }
    gss_release_buffer(&ignored, &words);
    return fail_ticket(ticket, AMT_AUTH_FAILED, what, why);
}

/* ---- a device's ticket ----------------------------------------------------------------------- */

static krb5_error_code fill_cache(amt_ticket_t *ticket, krb5_creds *granting)
{
    krb5_context context = ticket->context;
    krb5_error_code code = krb5_cc_new_unique(context, "MEMORY", NULL, &ticket->cache);

    if (!code) {
        code = krb5_cc_initialize(context, ticket->cache, granting->client);
    }
    return code ? code : krb5_cc_store_cred(context, ticket->cache, granting);
}

/* Puts the ticket into the cache; *name is its service, as the KDC names it. KRB5_NT_UNKNOWN: the name is
 * used as written, without DNS. */
static krb5_error_code ask_kdc(amt_ticket_t *ticket, krb5_principal client, const char *host, char **name)
{
    krb5_context context = ticket->context;
    krb5_creds wanted = {.client = client};
    krb5_creds *got = NULL;
    krb5_error_code code = krb5_sname_to_principal(context, host, "HTTP", KRB5_NT_UNKNOWN, &wanted.server);

    if (!code) {
        code = krb5_get_credentials(context, 0, ticket->cache, &wanted, &got);
    }
    if (!code) {
        code = krb5_unparse_name(context, got->server, name);
    }
    krb5_free_creds(context, got);
    krb5_free_principal(context, wanted.server);
    return code;
}

/* The credential of this ticket's cache and no other, for SPNEGO that offers Kerberos and nothing else. */
static OM_uint32 take_credential(amt_ticket_t *ticket, OM_uint32 *minor)
{
    char cache[128];
    gss_key_value_element_desc place = {"ccache", cache};
    const gss_key_value_set_desc store = {1, &place};
    gss_OID_set_desc wanted = {1, &spnego};
    gss_OID_set_desc kerberos = {1, (gss_OID)gss_mech_krb5};
    OM_uint32 major;

    apr_snprintf(cache, sizeof(cache), "MEMORY:%s", krb5_cc_get_name(ticket->context, ticket->cache));
    major = gss_acquire_cred_from(minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &wanted, GSS_C_INITIATE, &store,
                                  &ticket->credential, NULL, NULL);
    return GSS_ERROR(major) ? major : gss_set_neg_mechs(minor, ticket->credential, &kerberos);
}

static OM_uint32 step_exchange(amt_ticket_t *ticket, gss_buffer_t answer, gss_buffer_t token,
                               OM_uint32 *minor)
{
    return gss_init_sec_context(minor, ticket->credential, &ticket->exchange, ticket->service, &spnego,
                                GSS_C_MUTUAL_FLAG, 0, GSS_C_NO_CHANNEL_BINDINGS, answer, NULL, token, NULL,
                                NULL);
}

static amt_status_e make_token(amt_ticket_t *ticket, const char *what, char *name)
{
    gss_buffer_desc text = {strlen(name), name};
    OM_uint32 minor = 0;
    OM_uint32 major = gss_import_name(&minor, &text, (gss_OID)GSS_KRB5_NT_PRINCIPAL_NAME, &ticket->service);

    if (!GSS_ERROR(major)) {
        major = take_credential(ticket, &minor);
    }
    if (!GSS_ERROR(major)) {
        major = step_exchange(ticket, GSS_C_NO_BUFFER, &ticket->token, &minor);
    }
    if (GSS_ERROR(major) || ticket->token.length == 0) {
        return fail_ticket_by_gss(ticket, what, minor);
    }
    if (ticket->token.length > AMT_TICKET_MAX) {
        return fail_ticket(ticket, AMT_AUTH_FAILED, what, "it is too long; use an account with few groups");
    }
    return ticket->status = AMT_OK;
}

static amt_status_e get_ticket(amt_ticket_t *ticket, amt_tickets_t *tickets, const char *fqdn, int port,
                               krb5_creds *granting)
{
    char host[280];
    char what[300];
    char why[200];
    char *name = NULL;
    krb5_error_code code = fill_cache(ticket, granting);
    amt_status_e status;

    apr_snprintf(host, sizeof(host), "%s:%d", fqdn, port);
    apr_snprintf(what, sizeof(what), "HTTP/%s", host);
    if (!code) {
        code = ask_kdc(ticket, granting->client, host, &name);
    }
    if (code) {
        status = amt_krb5_say_error(ticket->context, code, why, sizeof(why));
        amt_account_failed(tickets, fqdn, status, code, why);
        return fail_ticket(ticket, status, what, why);
    }
    status = make_token(ticket, what, name);
    krb5_free_unparsed_name(ticket->context, name);
    return status;
}

amt_ticket_t *amt_ticket_make(amt_tickets_t *tickets, const char *fqdn, int port)
{
    amt_ticket_t *ticket = calloc(1, sizeof(*ticket));
    krb5_creds *granting = NULL;
    char why[200] = "";
    amt_status_e status;

    if (ticket == NULL) {
        return NULL;
    }
    if (krb5_init_context(&ticket->context)) {
        fail_ticket(ticket, AMT_AUTH_FAILED, fqdn, "krb5.conf cannot be used");
        return ticket;
    }
    status = amt_account_granting(tickets, ticket->context, fqdn, &granting, why, sizeof(why));
    if (status != AMT_OK) {
        fail_ticket(ticket, status, amt_tickets_principal(tickets), why);
        return ticket;
    }
    get_ticket(ticket, tickets, fqdn, port, granting);
    krb5_free_creds(ticket->context, granting);
    return ticket;
}

amt_ticket_t *amt_ticket_without_turn(const char *fqdn)
{
    amt_ticket_t *ticket = calloc(1, sizeof(*ticket));

    if (ticket != NULL) {
        fail_ticket(
            ticket, AMT_NO_TICKET, fqdn,
            "its turn to ask for one did not come in time: others of its group still wait for their KDC");
    }
    return ticket;
}

void amt_ticket_free(amt_ticket_t *ticket)
{
    OM_uint32 minor;

    if (ticket == NULL) {
        return;
    }
    gss_delete_sec_context(&minor, &ticket->exchange, GSS_C_NO_BUFFER);
    gss_release_buffer(&minor, &ticket->token);
    gss_release_name(&minor, &ticket->service);
    gss_release_cred(&minor, &ticket->credential);
    if (ticket->cache != NULL) {
        krb5_cc_destroy(ticket->context, ticket->cache);
    }
    if (ticket->context != NULL) {
        krb5_free_context(ticket->context);
    }
    free(ticket);
}

amt_status_e amt_ticket_status(const amt_ticket_t *ticket)
{
    return ticket->status;
}

const char *amt_ticket_text(const amt_ticket_t *ticket)
{
    return ticket->text;
}

const unsigned char *amt_ticket_token(const amt_ticket_t *ticket, apr_size_t *length)
{
    *length = ticket->token.length;
    return ticket->token.value;
}

int amt_ticket_proves(amt_ticket_t *ticket, const unsigned char *answer, apr_size_t length)
{
    gss_buffer_desc given = {length, (void *)answer};
    gss_buffer_desc more = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    OM_uint32 major = step_exchange(ticket, &given, &more, &minor);

    gss_release_buffer(&minor, &more);
    return major == GSS_S_COMPLETE;
}
