/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/login_priv.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "amt/redirection/auth_priv.h"
#include "amt/redirection/wire_priv.h"
#include "base/digest.h"
#include "base/text.h"

/* Messages without a sequence number. */
enum { AUTHENTICATE = 0x13, AUTHENTICATED = 0x14 };
enum { AUTH_HEAD = 9 };

static void send_login(amt_login_t *login, unsigned char type, const unsigned char *data, apr_size_t length)
{
    unsigned char head[AUTH_HEAD] = {AUTHENTICATE, 0, 0, 0, type};

    wire_put32(head + 5, (apr_uint32_t)length);
    amt_link_queue(login->link, head, sizeof(head));
    if (length > 0) {
        amt_link_queue(login->link, data, length);
    }
}

void amt_login_begin(amt_login_t *login, amt_link_t *link)
{
    login->link = link;
    login->state = AMT_LOGIN_KINDS;
    send_login(login, AMT_AUTH_QUERY, NULL, 0);
}

void amt_login_drop(amt_login_t *login)
{
    if (login->ticket_request != NULL) {
        amt_ticket_request_cancel(login->ticket_request);
        login->ticket_request = NULL;
    }
    amt_ticket_free(login->ticket);
    login->ticket = NULL;
}

/* ---- failures -------------------------------------------------------------------------------- */

static amt_login_e fail_login(amt_login_t *login, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static amt_login_e fail_login(amt_login_t *login, amt_status_e status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    apr_vsnprintf(login->text, sizeof(login->text), format, args);
    va_end(args);
    text_mask_non_ascii(login->text);
    login->status = status;
    return AMT_LOGIN_FAILED;
}

static amt_login_e fail_login_as_garbage(amt_login_t *login, const char *what)
{
    return fail_login(login, AMT_GARBAGE, AMT_NOT_UNDERSTOOD, what);
}

static amt_login_e fail_login_as_refused(amt_login_t *login, int status)
{
    if (status == 2) {
        return fail_login(login, AMT_BUSY, "the device is busy with another login; try again later");
    }
    if (status == 1 && login->target->tickets != NULL) {
        return fail_login(
            login, AMT_AUTH_FAILED,
            "the device refused the Kerberos ticket of %s; check that AMT's access list gives it "
            "the realm Redirection, its key in the domain and its clock",
            amt_tickets_principal(login->target->tickets));
    }
    if (status == 1) {
        return fail_login(
            login, AMT_AUTH_FAILED,
            "the device refused the AMT user \"%s\" or its password; check both, that the account has "
            "the realm Redirection, and whether it is locked",
            login->target->user);
    }
    return fail_login(login, AMT_REFUSED, "the device refused the login (status %d)", status);
}

/* ---- Kerberos -------------------------------------------------------------------------------- */

static amt_login_e send_ticket(amt_login_t *login)
{
    const unsigned char *token;
    apr_size_t length = 0;

    if (login->ticket == NULL) {
        return fail_login(login, AMT_NO_TICKET,
                          "the KDC gave no ticket in time; check it, and the way to it");
    }
    if (amt_ticket_status(login->ticket) != AMT_OK) {
        return fail_login(login, amt_ticket_status(login->ticket), "%s", amt_ticket_text(login->ticket));
    }
    token = amt_ticket_token(login->ticket, &length);
    login->state = AMT_LOGIN_ANSWER;
    send_login(login, AMT_AUTH_KERBEROS, token, length);
    return AMT_LOGIN_MORE;
}

static void login_on_ticket(void *baton, amt_ticket_t *ticket)
{
    amt_login_t *login = baton;

    login->ticket_request = NULL;
    login->ticket = ticket;
    login->on_ticket(login->baton, send_ticket(login));
}

/* Port and kind of service are the session's own: a ticket for WS-Man opens no session. */
static amt_login_e ask_for_ticket(amt_login_t *login, const unsigned char *kinds, apr_size_t count)
{
    const amt_target_t *target = login->target;

    if (memchr(kinds, AMT_AUTH_KERBEROS, count) == NULL) {
        return fail_login(login, AMT_AUTH_FAILED,
                          "the device offers no Kerberos; set it up there, or give the PC auth = digest");
    }
    login->state = AMT_LOGIN_TICKET;
    if (amt_ticket_request_begin(&login->ticket_request, login->ticket_requests, target, login->port,
                                 login_on_ticket, login) != APR_SUCCESS) {
        return fail_login(login, AMT_BROKEN, "this worker has no memory or thread for a Kerberos ticket");
    }
    return AMT_LOGIN_MORE;
}

/* The device took the ticket; where it sends a token, that must prove its own key. */
static amt_login_e judge_proof(amt_login_t *login, const unsigned char *token, apr_size_t length)
{
    if (length > 0 && !amt_ticket_proves(login->ticket, token, length)) {
        return fail_login(login, AMT_AUTH_FAILED,
                          "the device took the Kerberos ticket, but did not prove that it holds its own key: "
                          "is somebody in between?");
    }
    amt_login_drop(login);
    return AMT_LOGIN_IN;
}

/* ---- digest ---------------------------------------------------------------------------------- */

static amt_login_e ask_for_challenge(amt_login_t *login, const unsigned char *kinds, apr_size_t count)
{
    unsigned char data[AMT_AUTH_DATA];

    if (memchr(kinds, AMT_AUTH_DIGEST, count) == NULL) {
        return fail_login(login, AMT_AUTH_FAILED,
                          "the device offers no digest authentication; allow it in its configuration");
    }
    login->state = AMT_LOGIN_CHALLENGE;
    send_login(login, AMT_AUTH_DIGEST, data, amt_auth_ask(data, login->target->user));
    return AMT_LOGIN_MORE;
}

static int make_cnonce(char cnonce[33])
{
    unsigned char bytes[16];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return 0;
    }
    digest_write_hex(cnonce, bytes, sizeof(bytes));
    return 1;
}

static amt_login_e send_digest(amt_login_t *login, const unsigned char *bytes, apr_size_t length)
{
    unsigned char data[AMT_AUTH_DATA];
    amt_auth_challenge_t challenge;
    apr_size_t answer_length = 0;
    apr_status_t status = APR_EGENERAL;
    char cnonce[33];

    if (amt_auth_parse(&challenge, bytes, length) != APR_SUCCESS) {
        return fail_login_as_garbage(login, "a digest challenge without realm and nonce");
    }
    if (make_cnonce(cnonce)) {
        status = amt_auth_answer(data, &answer_length, &challenge, login->target->user,
                                 login->target->password, cnonce);
    }
    if (status == APR_ENOTIMPL) {
        return fail_login(login, AMT_AUTH_FAILED, "the device wants a kind of digest that is not known here");
    }
    if (status != APR_SUCCESS) {
        return fail_login(
            login, AMT_BROKEN,
            "this worker's OpenSSL offers no MD5 (FIPS mode?), which digest authentication needs");
    }
    login->state = AMT_LOGIN_ANSWER;
    send_login(login, AMT_AUTH_DIGEST, data, answer_length);
    OPENSSL_cleanse(data, sizeof(data));
    return AMT_LOGIN_MORE;
}

/* ---- the device's answers -------------------------------------------------------------------- */

static int kind_asked(const amt_login_t *login)
{
    if (login->state == AMT_LOGIN_KINDS) {
        return AMT_AUTH_QUERY;
    }
    return login->target->tickets != NULL ? AMT_AUTH_KERBEROS : AMT_AUTH_DIGEST;
}

static amt_login_e on_answer(amt_login_t *login, int status, int type, const unsigned char *data,
                             apr_size_t length)
{
    int kerberos = login->target->tickets != NULL;

    if (type != kind_asked(login) || login->state == AMT_LOGIN_TICKET) {
        return fail_login_as_garbage(login, "an answer to another kind of authentication");
    }
    if (login->state == AMT_LOGIN_KINDS && status == 0) {
        return kerberos ? ask_for_ticket(login, data, length) : ask_for_challenge(login, data, length);
    }
    if (login->state == AMT_LOGIN_CHALLENGE && status == 1) {
        return send_digest(login, data, length);
    }
    if (login->state == AMT_LOGIN_CHALLENGE && status == 0) {
        return fail_login_as_garbage(login, "a login without a password");
    }
    if (login->state == AMT_LOGIN_ANSWER && status == 0) {
        return kerberos ? judge_proof(login, data, length) : AMT_LOGIN_IN;
    }
    return fail_login_as_refused(login, status);
}

amt_login_e amt_login_take(amt_login_t *login, const unsigned char *bytes, apr_size_t length,
                           apr_size_t *taken)
{
    apr_uint32_t data_length;

    *taken = 0;
    if (bytes[0] != AUTHENTICATED) {
        return fail_login_as_garbage(login, "no answer to a login");
    }
    if (length < AUTH_HEAD) {
        return AMT_LOGIN_MORE;
    }
    data_length = wire_get32(bytes + 5);
    if (data_length > AMT_AUTH_ANSWER) {
        return fail_login_as_garbage(login, "an answer to a login that is too long");
    }
    if (length < AUTH_HEAD + data_length) {
        return AMT_LOGIN_MORE;
    }
    *taken = AUTH_HEAD + data_length;
    return on_answer(login, bytes[1], bytes[4], bytes + AUTH_HEAD, data_length);
}
