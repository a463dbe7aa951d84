/* SPDX-License-Identifier: Apache-2.0 */
/* mod_auth_gssapi answers a 401 with a challenge, or with the next token of a handshake. This filter hook sees
 * it last: it withdraws an offer of NTLM that AMTUnlockMech forbids, keeps a handshake's connection open, and
 * closes that of a failed one.
 */
#include "httpd/challenge_priv.h"

#include <string.h>

#include <apr_base64.h>
#include <apr_strings.h>
#include <httpd.h>

#include <http_log.h>
#include <http_protocol.h>

#include "httpd/config_priv.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

/* Skips the tag and length of DER: the position behind them, or `end` if the tag is another or data ends. */
static const unsigned char *der_enter(const unsigned char *at, const unsigned char *end, unsigned char tag)
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

/* True for a token that says "reject": SPNEGO's answer (RFC 4178, 4.2.2) to what failed, beside the 401. */
static int is_rejection(const char *token)
{
    static const unsigned char rejected[] = {0xa0, 3, 0x0a, 1, 2}; /* negState [0] ENUMERATED 2 */
    char start[25] = {0}; /* enough base64 for two headers and the state */
    unsigned char der[sizeof(start)];
    const unsigned char *end;
    const unsigned char *at;

    apr_cpystrn(start, token, sizeof(start));
    end = der + apr_base64_decode_binary(der, start);
    at = der_enter(der_enter(der, end, 0xa1), end, 0x30);
    return (apr_size_t)(end - at) >= sizeof(rejected) && memcmp(at, rejected, sizeof(rejected)) == 0;
}

/* For apr_table_do: *(int *)found = 1 if this header carries a token that continues the handshake. */
static int find_token(void *found, const char *name, const char *value)
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

/* For apr_table_do: copies the challenges but those of raw NTLM. */
static int copy_unless_ntlm(void *kept, const char *name, const char *value)
{
    if (strncasecmp(value, "NTLM", 4) != 0) {
        apr_table_addn(kept, name, value);
    }
    return 1;
}

/* mod_auth_gssapi offers NTLM on a bound connection even if GssapiAllowedMech leaves it out. A caller that
 * accepts the offer would be denied, so it is withdrawn. */
static void drop_ntlm_challenge(request_rec *r)
{
    apr_table_t *kept = apr_table_make(r->pool, 2);

    apr_table_do(copy_unless_ntlm, kept, r->err_headers_out, "WWW-Authenticate", NULL);
    if (apr_is_empty_table(kept)) { /* the answer to an NTLM token */
        apr_table_addn(kept, "WWW-Authenticate", "Negotiate");
    }
    apr_table_unset(r->err_headers_out, "WWW-Authenticate");
    apr_table_overlap(r->err_headers_out, kept, APR_OVERLAP_TABLES_MERGE);
}

/* A client that sent Expect: 100-continue gets its 100 before the challenge. Otherwise httpd closes the
 * connection, and the handshake with it: it cannot know whether the next bytes are that body. */
static void discard_expected_body(request_rec *r)
{
    int status = r->status;

    if (r->expecting_100) {
        r->status = HTTP_OK; /* with an error status httpd does not send the 100 */
        (void)ap_discard_request_body(r);
        r->status = status;
    }
}

/* mod_auth_gssapi keeps the context of a failed handshake with the connection, where every later try then
 * fails: such a connection is closed. One whose handshake continues must stay open. */
static void keep_or_close_connection(request_rec *r)
{
    int continues = 0;

    apr_table_do(find_token, &continues, r->err_headers_out, "WWW-Authenticate", NULL);
    if (continues) {
        discard_expected_body(r);
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

/* insert_error_filter hook: the last one to see a 401 before it is sent. */
static void correct_challenge(request_rec *r)
{
    if (r->status != HTTP_UNAUTHORIZED || !amtunlock_is_service(r)) {
        return;
    }
    if (!(amtunlock_dir(r)->mechs & AMTUNLOCK_MECH_NTLM)) {
        drop_ntlm_challenge(r);
    }
    keep_or_close_connection(r);
}

void amtunlock_challenge_register_hooks(void)
{
    ap_hook_insert_error_filter(correct_challenge, NULL, NULL, APR_HOOK_MIDDLE);
}
