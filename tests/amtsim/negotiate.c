/* SPDX-License-Identifier: Apache-2.0 */
#include "negotiate.h"

#include "log.h"

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_krb5.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gss_cred_id_t keys = GSS_C_NO_CREDENTIAL;

static void complain(OM_uint32 status, int type)
{
    OM_uint32 minor, more = 0;
    gss_buffer_desc text;

    do {
        if (gss_display_status(&minor, status, type, GSS_C_NO_OID, &more, &text) != GSS_S_COMPLETE)
            return;
        fprintf(stderr, "amtsim: keytab: %.*s\n", (int)text.length, (const char *)text.value);
        gss_release_buffer(&minor, &text);
    } while (more);
}

/* Kerberos only, by itself or negotiated: a device knows nothing else, though the host that simulates it may
 * have other mechanisms, which need no keytab. */
bool negotiate_setup(void)
{
    static gss_OID_desc spnego = {6, "\x2b\x06\x01\x05\x05\x02"};
    gss_OID_set_desc kerberos = {1, (gss_OID)gss_mech_krb5};
    gss_cred_id_t found = GSS_C_NO_CREDENTIAL;
    OM_uint32 minor, ignored;
    OM_uint32 major = gss_acquire_cred(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &kerberos, GSS_C_ACCEPT,
                                       &found, NULL, NULL);

    if (!GSS_ERROR(major))
        major =
            gss_add_cred(&minor, found, GSS_C_NO_NAME, &spnego, GSS_C_ACCEPT, 0, 0, &keys, NULL, NULL, NULL);
    if (!GSS_ERROR(major))
        major = gss_set_neg_mechs(&minor, keys, &kerberos);
    gss_release_cred(&ignored, &found);
    if (!GSS_ERROR(major))
        return true;
    complain(minor, GSS_C_MECH_CODE);
    return false;
}

static void name_text(gss_name_t name, char *text, size_t room)
{
    OM_uint32 minor;
    gss_buffer_desc shown = GSS_C_EMPTY_BUFFER;

    text[0] = '\0';
    if (name && gss_display_name(&minor, name, &shown, NULL) == GSS_S_COMPLETE)
        snprintf(text, room, "%.*s", (int)shown.length, (const char *)shown.value);
    gss_release_buffer(&minor, &shown);
    gss_release_name(&minor, &name);
}

/* HTTP/FQDN:PORT of this very PC, whatever its realm. */
static bool is_for(const struct pc *pc, unsigned port, const char *service)
{
    char wanted[192];
    int length = snprintf(wanted, sizeof(wanted), "HTTP/%s:%u@", pc->fqdn, port);

    return strncmp(service, wanted, (size_t)length) == 0;
}

/* Who came, and to whom? */
static bool read_names(gss_ctx_id_t context, char *user, char *service, size_t room)
{
    OM_uint32 minor;
    gss_name_t from = GSS_C_NO_NAME, to = GSS_C_NO_NAME;

    if (GSS_ERROR(gss_inquire_context(&minor, context, &from, &to, NULL, NULL, NULL, NULL, NULL)))
        return false;
    name_text(from, user, room);
    name_text(to, service, room);
    return true;
}

bool negotiate_accept(struct pc *pc, unsigned port, const void *token, size_t size, struct account *account,
                      uint8_t *reply, size_t *reply_size)
{
    OM_uint32 minor, major;
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    gss_buffer_desc input = {size, (void *)token}, output = GSS_C_EMPTY_BUFFER;
    char user[256] = "", service[256] = "";
    bool good;

    major = gss_accept_sec_context(&minor, &context, keys, &input, GSS_C_NO_CHANNEL_BINDINGS, NULL, NULL,
                                   &output, NULL, NULL, NULL);
    good = major == GSS_S_COMPLETE && read_names(context, user, service, sizeof(user)) &&
           is_for(pc, port, service) && !pc_has(pc, FAULT_AUTH_FAILS) && output.length <= NEGOTIATE_TOKEN_MAX;
    *reply_size = good ? output.length : 0;
    if (good)
        memcpy(reply, output.value, output.length);
    gss_release_buffer(&minor, &output);
    gss_delete_sec_context(&minor, &context, GSS_C_NO_BUFFER);
    log_event(pc->fqdn, "auth", json_pack("{s:s, s:s*, s:b}", "mech", "negotiate", "user", user, "ok", good));
    if (good)
        pc_domain_account(pc, account);
    return good;
}

static size_t decode(const char *text, uint8_t *token)
{
    size_t length = strlen(text);
    int size;

    if (length == 0 || length % 4 != 0 || length / 4 * 3 > NEGOTIATE_TOKEN_MAX)
        return 0;
    size = EVP_DecodeBlock(token, (const unsigned char *)text, (int)length);
    if (size < 3)
        return 0;
    return (size_t)size - (text[length - 1] == '=') - (text[length - 2] == '=');
}

static void write_header(char *header, size_t room, const uint8_t *token, size_t size)
{
    static const char start[] = "WWW-Authenticate: Negotiate ";
    size_t at = sizeof(start) - 1;

    header[0] = '\0';
    if (size == 0 || at + (size + 2) / 3 * 4 + 3 > room)
        return;
    memcpy(header, start, at);
    at += (size_t)EVP_EncodeBlock((unsigned char *)header + at, token, (int)size);
    memcpy(header + at, "\r\n", 3);
}

bool negotiate_check(struct pc *pc, unsigned port, const char *authorization, struct account *account,
                     char *header, size_t room)
{
    uint8_t *tokens = malloc((size_t)2 * NEGOTIATE_TOKEN_MAX);
    const char *text = authorization + strcspn(authorization, " ");
    bool good = false;
    size_t size, reply_size = 0;

    header[0] = '\0';
    if (!tokens)
        return false;
    size = decode(text + strspn(text, " "), tokens);
    if (size > 0)
        good = negotiate_accept(pc, port, tokens, size, account, tokens + NEGOTIATE_TOKEN_MAX, &reply_size);
    write_header(header, room, tokens + NEGOTIATE_TOKEN_MAX, reply_size);
    free(tokens);
    return good;
}
