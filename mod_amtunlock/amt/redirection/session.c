/* The state of a session is what it waits for; each state has one taker of bytes. */
#include "amt/redirection/session.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "amt/errand.h"
#include "amt/redirection/auth.h"
#include "amt/redirection/link.h"
#include "amt/redirection/wire.h"

enum { PORT_PLAIN = 16994, PORT_TLS = 16995 };
enum { HEADER = 8, CLOSE_SECONDS = 2 };

/* Messages without a sequence number. */
enum { START = 0x10, STARTED = 0x11, END = 0x12, AUTHENTICATE = 0x13, AUTHENTICATED = 0x14 };
enum { START_SHORT = 4, START_LONG = 13, AUTH_HEAD = 9, END_LENGTH = 4 };

typedef enum {
    CONNECT,
    STARTING,
    ASKING_KINDS,
    ASKING_CHALLENGE,
    AWAITING_TICKET,
    LOGGING_IN,
    OPENING,
    OPEN,
    CLOSING, /* the close was sent, its answer is awaited */
    ENDING,  /* all was said; waits for the device to hang up */
    OVER     /* told, or about to be */
} state_e;

struct amt_session_t {
    apr_pool_t *pool;
    amt_loop_t *loop;
    amt_target_t target;
    const amt_channel_t *kind;
    void *channel;
    const char *where; /* "pc1.example.com (10.0.0.1 port 16995)" */
    int port;
    amt_errand_t *errand; /* a ticket is being made */
    amt_ticket_t *ticket; /* until it let us in */
    amt_link_t *link;
    state_e state;
    struct event *deadline;
    struct event *keepalive;
    struct event *end; /* tells `ended` */
    amt_status_e status;
    int acted;
    int quiet; /* keep-alive intervals without a byte from the device */
    int counting;
    apr_uint32_t in_sequence;
    apr_uint32_t out_sequence;
    const amt_message_t *message; /* whose body is being read */
    apr_size_t body_left;
    char text[640];
};

/* ---- the end --------------------------------------------------------------------------------- */

static void tell_end(evutil_socket_t fd, short what, void *baton)
{
    amt_session_t *session = baton;
    amt_result_t result = {session->status, session->acted, -1,
                           session->status == AMT_OK ? "" : session->text};

    (void)fd;
    (void)what;
    session->kind->ended(session->channel, &result); /* may destroy the session */
}

/* Nothing is expected any more. Says goodbye, best effort and without waiting: else the device would keep the
 * session for a while, and the next be busy. */
static void leave(amt_session_t *session)
{
    static const unsigned char end[END_LENGTH] = {END};
    state_e state = session->state;

    session->state = OVER;
    if (state < ENDING && amt_link_is_ready(session->link) &&
        amt_link_room(session->link) >= HEADER + END_LENGTH) {
        if (state == OPENING || state == OPEN) {
            amt_session_send_plain(session, session->kind->close);
        }
        amt_link_queue(session->link, end, sizeof(end));
        amt_link_shut(session->link);
        amt_link_flush(session->link);
    }
    amt_link_stop(session->link);
}

static void drop_ticket(amt_session_t *session)
{
    if (session->errand) {
        amt_errand_cancel(session->errand);
        session->errand = NULL;
    }
    amt_ticket_free(session->ticket);
    session->ticket = NULL;
}

/* All ends come here, and only the first counts. */
static void finish(amt_session_t *session, amt_status_e status)
{
    drop_ticket(session);
    session->status = status;
    event_del(session->deadline);
    event_del(session->keepalive);
    leave(session);
    event_active(session->end, EV_TIMEOUT, 1);
}

static void fail_plainly(amt_session_t *session, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whatever happens while we close, it is closed. */
static void fail_plainly(amt_session_t *session, amt_status_e status, const char *format, ...)
{
    va_list args;

    if (session->state == OVER) {
        return;
    }
    if (session->state >= CLOSING) {
        finish(session, AMT_OK);
        return;
    }
    va_start(args, format);
    amt_sentence(session->text, sizeof(session->text), format, args);
    va_end(args);
    finish(session, status);
}

void amt_session_fail(amt_session_t *session, amt_status_e status, const char *format, ...)
{
    char what[384];
    va_list args;

    va_start(args, format);
    amt_sentence(what, sizeof(what), format, args);
    va_end(args);
    fail_plainly(session, status, "%s with %s ended: %s", session->kind->name, session->where, what);
}

static void link_failed(void *baton, amt_status_e status, const char *text)
{
    fail_plainly(baton, status, "%s", text);
}

static void link_ended(void *baton)
{
    amt_session_t *session = baton;

    amt_session_fail(
        session, AMT_BROKEN, "%s",
        session->state < OPENING
            ? "the device hung up before it let us in; check that redirection is enabled and that no "
              "other console holds it"
            : "the device hung up");
}

static void too_late(evutil_socket_t fd, short what, void *baton)
{
    amt_session_t *session = baton;

    (void)fd;
    (void)what;
    if (session->state == CONNECT) {
        fail_plainly(
            session, AMT_UNREACHABLE,
            "%s cannot be reached: %s within %d s; check that it has power and network, and that AMT's "
            "redirection ports are open (ListenerEnabled)",
            session->where, amt_link_awaits(session->link),
            (int)apr_time_sec(session->target.connect_timeout));
    }
    else {
        amt_session_fail(
            session, session->state < OPENING ? AMT_UNREACHABLE : AMT_TIMEOUT,
            "the device did not let us in within %d s; if it stays so, restart its AMT (unplug the PC)",
            (int)apr_time_sec(session->target.call_timeout));
    }
}

static void garbage(amt_session_t *session, const char *what)
{
    amt_session_fail(session, AMT_GARBAGE, "what the device sent is not understood: %s; is it an AMT device?",
                     what);
}

/* ---- sending --------------------------------------------------------------------------------- */

unsigned char *amt_session_send(amt_session_t *session, unsigned char *message, apr_size_t length,
                                apr_size_t body)
{
    unsigned char *place = amt_link_place(session->link, length + body);

    wire_put32(message + 4, session->out_sequence++);
    memcpy(place, message, length);
    return place + length;
}

void amt_session_send_plain(amt_session_t *session, unsigned char id)
{
    unsigned char message[HEADER] = {id};

    amt_session_send(session, message, sizeof(message), 0);
}

static void send_authentication(amt_session_t *session, unsigned char type, const unsigned char *data,
                                apr_size_t length)
{
    unsigned char head[AUTH_HEAD] = {AUTHENTICATE, 0, 0, 0, type};

    wire_put32(head + 5, (apr_uint32_t)length);
    amt_link_queue(session->link, head, sizeof(head));
    if (length) {
        amt_link_queue(session->link, data, length);
    }
}

static void set_deadline(amt_session_t *session, apr_interval_time_t interval)
{
    struct timeval after = {(time_t)apr_time_sec(interval), (suseconds_t)apr_time_usec(interval)};

    event_add(session->deadline, &after);
}

static void link_ready(void *baton)
{
    amt_session_t *session = baton;
    unsigned char start[8] = {START};

    memcpy(start + 4, session->kind->kind, 4);
    amt_link_queue(session->link, start, sizeof(start));
    session->state = STARTING;
    set_deadline(session, session->target.call_timeout);
}

/* ---- start ----------------------------------------------------------------------------------- */

void amt_session_refused(amt_session_t *session, int status)
{
    switch (status) {
    case 2:
        amt_session_fail(session, AMT_BUSY,
                         "another console holds the session; close it there, or wait until it ends");
        break;
    case 3:
        amt_session_fail(
            session, AMT_REFUSED,
            "the device does not support it, or it is switched off in the firmware's setup (MEBx)");
        break;
    default:
        amt_session_fail(session, AMT_REFUSED, "the device refused it (status %d)", status);
    }
}

static apr_size_t take_started(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    apr_size_t whole;

    if (bytes[0] != STARTED) {
        garbage(session, "no answer to the start of a session");
        return length;
    }
    if (length < START_SHORT) {
        return 0;
    }
    if (bytes[1] != 0) {
        amt_session_refused(session, bytes[1]);
        return length;
    }
    if (length < START_LONG) {
        return 0;
    }
    whole = START_LONG + (apr_size_t)bytes[12]; /* what the manufacturer adds means nothing here */
    if (length < whole) {
        return 0;
    }
    session->state = ASKING_KINDS;
    send_authentication(session, AMT_AUTH_QUERY, NULL, 0);
    return whole;
}

/* ---- authentication -------------------------------------------------------------------------- */

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
    send_authentication(session, AMT_AUTH_DIGEST, data, amt_auth_ask(data, session->target.user));
}

static void ticket_made(void *baton, amt_ticket_t *ticket)
{
    amt_session_t *session = baton;
    const unsigned char *token;
    apr_size_t length = 0;

    session->errand = NULL;
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
    set_deadline(session, session->target.call_timeout);
    send_authentication(session, AMT_AUTH_KERBEROS, token, length);
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
    if (amt_errand_begin(&session->errand, session->loop, session->target.tickets, session->target.fqdn,
                         session->port, session->target.call_timeout, ticket_made, session) != APR_SUCCESS) {
        amt_session_fail(session, AMT_BROKEN, "this worker has no memory or thread for a Kerberos ticket");
    }
}

static int make_cnonce(char cnonce[33])
{
    unsigned char bytes[16];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return 0;
    }
    amt_write_hex(cnonce, bytes, sizeof(bytes));
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
        garbage(session, "a digest challenge without realm and nonce");
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
    send_authentication(session, AMT_AUTH_DIGEST, data, answer_length);
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
    drop_ticket(session);
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
        garbage(session, "an answer to another kind of authentication");
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
        garbage(session, "a login without a password");
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

static apr_size_t take_authenticated(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    apr_uint32_t data_length;

    if (bytes[0] != AUTHENTICATED) {
        garbage(session, "no answer to a login");
        return length;
    }
    if (length < AUTH_HEAD) {
        return 0;
    }
    data_length = wire_get32(bytes + 5);
    if (data_length > AMT_AUTH_ANSWER) {
        garbage(session, "an answer to a login that is too long");
        return length;
    }
    if (length < AUTH_HEAD + data_length) {
        return 0;
    }
    authentication_answered(session, bytes[1], bytes[4], bytes + AUTH_HEAD, data_length);
    return AUTH_HEAD + data_length;
}

/* ---- the channel's messages ------------------------------------------------------------------ */

static const amt_message_t *find_message(const amt_session_t *session, unsigned char id)
{
    const amt_message_t *message = session->kind->messages;

    while (message->id && message->id != id) {
        message++;
    }
    return message->id ? message : NULL;
}

static apr_size_t take_body(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    const amt_message_t *message = session->message;
    apr_size_t taken = length < session->body_left ? length : session->body_left;

    session->body_left -= taken;
    if (message->body && session->state <= OPEN) {
        message->body(session->channel, bytes, taken);
    }
    return taken;
}

/* Each message has the number after the one before. */
static int in_sequence(amt_session_t *session, apr_uint32_t number)
{
    if (!session->counting) {
        session->counting = 1;
        session->in_sequence = number;
    }
    return number == session->in_sequence;
}

static apr_size_t take_end(amt_session_t *session, apr_size_t length)
{
    if (length < END_LENGTH) {
        return 0;
    }
    amt_session_fail(session, AMT_BROKEN, "the device ended it");
    return END_LENGTH;
}

static void closed(amt_session_t *session)
{
    static const unsigned char end[END_LENGTH] = {END};

    if (session->state != CLOSING) {
        amt_session_fail(session, AMT_BROKEN, "the device closed it");
        return;
    }
    session->state = ENDING;
    amt_link_queue(session->link, end, sizeof(end));
    amt_link_shut(session->link);
}

static apr_size_t take_message(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    const amt_message_t *message = find_message(session, bytes[0]);
    apr_size_t taken;

    if (!message && bytes[0] == END) {
        return take_end(session, length);
    }
    if (!message) {
        garbage(session, apr_psprintf(session->pool, "message 0x%02x", bytes[0]));
        return length;
    }
    if (length < message->length ||
        (message->waits && session->kind->busy && session->kind->busy(session->channel))) {
        return 0;
    }
    if (!in_sequence(session, wire_get32(bytes + 4))) {
        garbage(session,
                apr_psprintf(session->pool, "message 0x%02x has number %lu where %lu was due", bytes[0],
                             (unsigned long)wire_get32(bytes + 4), (unsigned long)session->in_sequence));
        return length;
    }
    session->in_sequence++;
    session->message = message;
    session->body_left = message->body_width == 2   ? wire_get16(bytes + message->body_at)
                         : message->body_width == 1 ? bytes[message->body_at]
                                                    : 0;
    taken = message->length;
    if (message->id == session->kind->closed) {
        closed(session);
    }
    else if (message->handle && session->state <= OPEN) {
        message->handle(session->channel, bytes); /* may destroy the session */
    }
    return taken;
}

static apr_size_t link_take(void *baton, const unsigned char *bytes, apr_size_t length)
{
    amt_session_t *session = baton;

    session->quiet = 0;
    switch (session->state) {
    case STARTING:
        return take_started(session, bytes, length);
    case ASKING_KINDS:
    case ASKING_CHALLENGE:
    case AWAITING_TICKET:
    case LOGGING_IN:
        return take_authenticated(session, bytes, length);
    case OPENING:
    case OPEN:
    case CLOSING:
        return session->body_left ? take_body(session, bytes, length) : take_message(session, bytes, length);
    case CONNECT:
    case ENDING:
    case OVER:
        break;
    }
    return length;
}

static void link_drained(void *baton)
{
    amt_session_t *session = baton;

    if (session->kind->drained && (session->state == OPENING || session->state == OPEN)) {
        session->kind->drained(session->channel);
    }
}

/* ---- while it is open ------------------------------------------------------------------------ */

static void tick(evutil_socket_t fd, short what, void *baton)
{
    amt_session_t *session = baton;

    (void)fd;
    (void)what;
    if (session->state != OPEN) {
        return;
    }
    if (++session->quiet * session->kind->interval > session->kind->silence * 1000) {
        amt_session_fail(session, AMT_TIMEOUT, "nothing was heard of the device for %d s",
                         session->kind->silence);
        return;
    }
    /* where something waits to be sent already, that will do */
    if (!amt_link_is_sending(session->link)) {
        amt_session_send_plain(session, session->kind->keepalive);
    }
}

void amt_session_opened(amt_session_t *session)
{
    int interval = session->kind->interval;
    struct timeval every = {interval / 1000, (suseconds_t)(interval % 1000) * 1000};

    session->state = OPEN;
    session->quiet = 0;
    event_del(session->deadline);
    event_add(session->keepalive, &every);
}

int amt_session_is_open(const amt_session_t *session)
{
    return session->state == OPEN && amt_link_is_ready(session->link);
}

apr_size_t amt_session_room(const amt_session_t *session)
{
    return amt_link_room(session->link);
}

void amt_session_acted(amt_session_t *session)
{
    session->acted = 1;
}

void amt_session_flush(amt_session_t *session)
{
    amt_link_flush(session->link);
}

void amt_session_again(amt_session_t *session)
{
    amt_link_again(session->link);
}

void amt_session_close(amt_session_t *session)
{
    if (session->state >= CLOSING) {
        return;
    }
    if (session->state < OPENING || !amt_link_is_ready(session->link) ||
        amt_link_room(session->link) < HEADER + END_LENGTH) {
        finish(session, AMT_OK);
        return;
    }
    session->state = CLOSING;
    event_del(session->keepalive);
    amt_session_send_plain(session, session->kind->close);
    set_deadline(session, apr_time_from_sec(CLOSE_SECONDS));
}

/* ---- create, destroy ------------------------------------------------------------------------- */

static void free_event(struct event *event)
{
    if (event) {
        event_free(event);
    }
}

static apr_status_t session_cleanup(void *baton)
{
    amt_session_t *session = baton;

    drop_ticket(session);
    if (session->link) {
        amt_link_free(session->link);
    }
    free_event(session->deadline);
    free_event(session->keepalive);
    free_event(session->end);
    return APR_SUCCESS;
}

static apr_status_t create_events(amt_session_t *session)
{
    struct event_base *base = session->loop->base;

    session->deadline = evtimer_new(base, too_late, session);
    session->keepalive = event_new(base, -1, EV_PERSIST, tick, session);
    session->end = event_new(base, -1, 0, tell_end, session);
    return session->deadline && session->keepalive && session->end ? APR_SUCCESS : APR_ENOMEM;
}

static apr_status_t begin(amt_session_t *session)
{
    static const amt_link_events_t events = {link_ready, link_take, link_drained, link_ended, link_failed};
    amt_target_t *target = &session->target;
    int port = session->port = target->tls == AMT_TLS_NONE ? PORT_PLAIN : PORT_TLS;
    amt_tls_peer_t checked;
    apr_status_t rv = amt_target_check(target, &checked);

    if (rv != APR_SUCCESS || (!target->tickets && strlen(target->user) > AMT_AUTH_USER)) {
        return APR_EINVAL;
    }
    session->where = apr_psprintf(session->pool, "%s (%s port %d)", target->fqdn, target->address, port);
    if ((rv = create_events(session)) == APR_SUCCESS &&
        (rv = amt_link_open(&session->link, session->loop, target, port, session->where, session->kind->room,
                            &events, session, session->pool)) == APR_SUCCESS) {
        set_deadline(session, target->connect_timeout);
    }
    return rv;
}

apr_status_t amt_session_open(amt_session_t **out, amt_loop_t *loop, const amt_target_t *target,
                              const amt_channel_t *kind, void *channel, apr_pool_t *pool)
{
    amt_session_t *session = apr_pcalloc(pool, sizeof(*session));
    apr_status_t rv;

    session->pool = pool;
    session->loop = loop;
    session->kind = kind;
    session->channel = channel;
    amt_target_copy(&session->target, target, pool);
    apr_pool_cleanup_register(pool, session, session_cleanup, apr_pool_cleanup_null);
    rv = begin(session);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    *out = session;
    return APR_SUCCESS;
}

void amt_session_destroy(amt_session_t *session)
{
    leave(session);
    apr_pool_destroy(session->pool);
}
