/* SPDX-License-Identifier: Apache-2.0 */
#include "ntlm.h"

#include "loop.h"

#include <gssapi/gssapi_ext.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 101
#define TOKEN_BYTES 4096

struct ntlm_t {
    gss_ctx_id_t context;
};

static gss_OID_desc mechanism = {10, "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a"}; /* 1.3.6.1.4.1.311.2.2.10 */
static gss_cred_id_t credential;
static gss_name_t target;

static void expect(OM_uint32 major, OM_uint32 minor, const char *what)
{
    if (GSS_ERROR(major)) {
        loop_die("NTLM: %s failed: %#x, %#x", what, major, minor);
    }
}

static gss_name_t import_name(char *text, gss_OID kind)
{
    gss_buffer_desc buffer = {strlen(text), text};
    gss_name_t name;
    OM_uint32 major, minor;

    major = gss_import_name(&minor, &buffer, kind, &name);
    expect(major, minor, "a name");
    return name;
}

void ntlm_use(const char *file)
{
    FILE *in = fopen(file, "r");
    char domain[NAME_BYTES], name[NAME_BYTES], password[NAME_BYTES], user[2 * NAME_BYTES];
    gss_OID_set_desc mechanisms = {1, &mechanism};
    gss_buffer_desc secret = {0, password};
    OM_uint32 major, minor;

    if (in == NULL || fscanf(in, "%100[^:]:%100[^:]:%100[^\n]", domain, name, password) != 3) {
        loop_die("%s has no DOMAIN:USER:PASSWORD", file);
    }
    fclose(in);
    snprintf(user, sizeof(user), "%s\\%s", domain, name);
    secret.length = strlen(password);
    major = gss_acquire_cred_with_password(&minor, import_name(user, GSS_C_NT_USER_NAME), &secret, 0,
                                           &mechanisms, GSS_C_INITIATE, &credential, NULL, NULL);
    expect(major, minor, "the user's credential");
    target = import_name("HTTP@localhost", GSS_C_NT_HOSTBASED_SERVICE);
}

ntlm_t *ntlm_begin(void)
{
    ntlm_t *ntlm = calloc(1, sizeof(*ntlm));

    if (ntlm == NULL) {
        loop_die("no memory for a log-in");
    }
    return ntlm;
}

void ntlm_step(ntlm_t *ntlm, const char *challenge, char *header, size_t size)
{
    unsigned char heard[TOKEN_BYTES], text[2 * TOKEN_BYTES];
    size_t length = strlen(challenge);
    int decoded =
        length < TOKEN_BYTES ? EVP_DecodeBlock(heard, (const unsigned char *)challenge, (int)length) : -1;
    gss_buffer_desc in = {decoded > 0 ? (size_t)decoded : 0, heard}, out = GSS_C_EMPTY_BUFFER;
    OM_uint32 major, minor;

    for (; in.length > 0 && length > 0 && challenge[length - 1] == '='; length--) {
        in.length--; /* what was padded */
    }
    major = gss_init_sec_context(&minor, credential, &ntlm->context, target, &mechanism, 0, 0, NULL, &in,
                                 NULL, &out, NULL, NULL);
    expect(major, minor, "the handshake");
    if (out.length == 0 || out.length >= TOKEN_BYTES) {
        loop_die("NTLM: a token of %zu bytes", out.length);
    }
    EVP_EncodeBlock(text, out.value, (int)out.length);
    snprintf(header, size, "Authorization: NTLM %s", (const char *)text);
    gss_release_buffer(&minor, &out);
}

void ntlm_end(ntlm_t *ntlm)
{
    OM_uint32 minor;

    gss_delete_sec_context(&minor, &ntlm->context, NULL);
    free(ntlm);
}
