/* SPDX-License-Identifier: Apache-2.0 */
/* The login of a session: which kinds there are, then a digest or a Kerberos ticket, as the target says. See
 * state.h. */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "amt/redirection/auth_priv.h"
#include "amt/redirection/state_priv.h"
#include "amt/redirection/wire_priv.h"
#include "base/digest.h"

/* Messages without a sequence number. */
enum { AUTHENTICATE = 0x13, AUTHENTICATED = 0x14 };
enum { AUTH_HEAD = 9 };

static void send_data(amt_session_t *session, unsigned char type, const unsigned char *data,
                      apr_size_t length)
{
    unsigned char head[AUTH_HEAD] = {AUTHENTICATE, 0, 0, 0, type};

    wire_put32(head + 5, (apr_uint32_t)length);
    amt_link_queue(session->link, head, sizeof(head));
    if (length) {
        amt_link_queue(session->link, data, length);
    }
}

void amt_login_begin(amt_session_t *session)
{
    session->state = ASKING_KINDS;
    send_data(session, AMT_AUTH_QUERY, NULL, 0);
}

void amt_login_drop(amt_session_t *session)
{
    if (session->ticket_request) {
        amt_ticket_request_cancel(session->ticket_request);
        session->ticket_request = NULL;
    }
    amt_ticket_free(session->ticket);
    session->ticket = NULL;
}

/* ---- what is sent --------------------------------------------------------------------------- */

static void refuse_login(amt_session_t *session, int status)
{
    if (status == 2) {
        amt_session_fail(session, AMT_BUSY, "the device is busy with another login; try again later");
        return;
    }
    if (status == 1 && session->target.tickets) {
        amt_session_fail(
            session, AMT_AUTH_FAILED,
            "the device refused the Kerberos ticket of %s; check that AMT's access list gives it "
            "the realm Redirection, its key in the domain and its clock",
            amt_tickets_principal(session->target.tickets));
        return;
    }
    if (status == 1) {
        amt_session_fail(
            session, AMT_AUTH_FAILED,
            "the device refused the AMT user \"%s\" or its password; check both, that the account has "
            "the realm Redirection, and whether it is locked",
            session->target.user);
        return;
    }
    amt_session_fail(session, AMT_REFUSED, "the device refused the login (status %d)", status);
}

static void ask_for_challenge(amt_session_t *session, const unsigned char *kinds, apr_size_t count)
{
    unsigned char data[AMT_AUTH_DATA];

    if (!memchr(kinds, AMT_AUTH_DIGEST, count)) {
        amt_session_fail(session, AMT_AUTH_FAILED,
                         "the device offers no digest authentication; allow it in its configuration");
        return;
    }
    session->state = ASKING_CHALLENGE;
    send_data(session, AMT_AUTH_DIGEST, data, amt_auth_ask(data, session->target.user));
}

static void ticket_made(void *baton, amt_ticket_t *ticket)
{
    amt_session_t *session = baton;
    const unsigned char *token;
    apr_size_t length = 0;

    session->ticket_request = NULL;
    session->ticket = ticket;
    if (!ticket) {
        amt_session_fail(session, AMT_NO_TICKET,
                         "the KDC gave no ticket in time; check it, and the way to it");
        return;
    }
    if (amt_ticket_status(ticket) != AMT_OK) {
        amt_session_fail(session, amt_ticket_status(ticket), "%s", amt_ticket_text(ticket));
        return;
    }
    token = amt_ticket_token(ticket, &length);
    session->state = LOGGING_IN;
    amt_session_limit(session, session->target.call_timeout);
    send_data(session, AMT_AUTH_KERBEROS, token, length);
}

/* Port and kind of service are the session's own: a ticket for WS-Man opens no session. */
static void send_for_ticket(amt_session_t *session, const unsigned char *kinds, apr_size_t count)
{
    if (!memchr(kinds, AMT_AUTH_KERBEROS, count)) {
        amt_session_fail(session, AMT_AUTH_FAILED,
                         "the device offers no Kerberos; set it up there, or give the PC auth = digest");
        return;
    }
    session->state = AWAITING_TICKET;
    event_del(session->deadline); /* the errand has its own */
    if (amt_ticket_request_begin(&session->ticket_request, session->loop->ticket_requests,
                                 session->target.tickets, session->target.fqdn, session->port,
                                 session->target.call_timeout, ticket_made, session) != APR_SUCCESS) {
        amt_session_fail(session, AMT_BROKEN, "this worker has no memory or thread for a Kerberos ticket");
    }
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

static void log_in(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    unsigned char data[AMT_AUTH_DATA];
    amt_auth_challenge_t challenge;
    apr_size_t answer_length = 0;
    apr_status_t rv = APR_EGENERAL;
    char cnonce[33];

    if (amt_auth_parse(&challenge, bytes, length) != APR_SUCCESS) {
        amt_session_garbage(session, "a digest challenge without realm and nonce");
        return;
    }
    if (make_cnonce(cnonce)) {
        rv = amt_auth_answer(data, &answer_length, &challenge, session->target.user, session->target.password,
                             cnonce);
    }
    if (rv == APR_ENOTIMPL) {
        amt_session_fail(session, AMT_AUTH_FAILED,
                         "the device wants a kind of digest that is not known here");
        return;
    }
    if (rv != APR_SUCCESS) {
        amt_session_fail(
            session, AMT_BROKEN,
            "this worker's OpenSSL offers no MD5 (FIPS mode?), which digest authentication needs");
        return;
    }
    session->state = LOGGING_IN;
    send_data(session, AMT_AUTH_DIGEST, data, answer_length);
    OPENSSL_cleanse(data, sizeof(data));
}

static void let_in(amt_session_t *session)
{
    session->state = OPENING;
    session->counting = !session->kind->any_first;
    session->kind->begin(session->channel);
}

/* The device's answer to a ticket; where it sends a token, that must prove its own key. */
static void ticket_answered(amt_session_t *session, const unsigned char *token, apr_size_t length)
{
    if (length && !amt_ticket_proves(session->ticket, token, length)) {
        amt_session_fail(session, AMT_AUTH_FAILED,
                         "the device took the Kerberos ticket, but did not prove that it holds its own key: "
                         "is somebody in between?");
        return;
    }
    amt_login_drop(session);
    let_in(session);
}

static int kind_asked(const amt_session_t *session)
{
    if (session->state == ASKING_KINDS) {
        return AMT_AUTH_QUERY;
    }
    return session->target.tickets ? AMT_AUTH_KERBEROS : AMT_AUTH_DIGEST;
}

/* Status and type of an answer, by what was asked. */
static void authentication_answered(amt_session_t *session, int status, int type, const unsigned char *data,
                                    apr_size_t length)
{
    if (type != kind_asked(session) || session->state == AWAITING_TICKET) {
        amt_session_garbage(session, "an answer to another kind of authentication");
    }
    else if (session->state == ASKING_KINDS && status == 0 && session->target.tickets) {
        send_for_ticket(session, data, length);
    }
    else if (session->state == ASKING_KINDS && status == 0) {
        ask_for_challenge(session, data, length);
    }
    else if (session->state == ASKING_CHALLENGE && status == 1) {
        log_in(session, data, length);
    }
    else if (session->state == ASKING_CHALLENGE && status == 0) {
        amt_session_garbage(session, "a login without a password");
    }
    else if (session->state == LOGGING_IN && status == 0 && session->target.tickets) {
        ticket_answered(session, data, length);
    }
    else if (session->state == LOGGING_IN && status == 0) {
        let_in(session);
    }
    else {
        refuse_login(session, status);
    }
}

apr_size_t amt_login_take(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    apr_uint32_t data_length;

    if (bytes[0] != AUTHENTICATED) {
        amt_session_garbage(session, "no answer to a login");
        return length;
    }
    if (length < AUTH_HEAD) {
        return 0;
    }
    data_length = wire_get32(bytes + 5);
    if (data_length > AMT_AUTH_ANSWER) {
        amt_session_garbage(session, "an answer to a login that is too long");
        return length;
    }
    if (length < AUTH_HEAD + data_length) {
        return 0;
    }
    authentication_answered(session, bytes[1], bytes[4], bytes + AUTH_HEAD, data_length);
    return AUTH_HEAD + data_length;
}
