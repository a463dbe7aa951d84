/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a session is what it waits for; in each state one function takes the bytes that come. */
#include "amt/redirection/session_priv.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "amt/redirection/auth_priv.h"
#include "amt/redirection/event_priv.h"
#include "amt/redirection/login_priv.h"
#include "amt/redirection/wire_priv.h"
#include "base/clock.h"
#include "base/text.h"

enum { PORT_PLAIN = 16994, PORT_TLS = 16995 };
enum { HEADER = 8 };

/* How long the device's answer to a close is waited for. */
#ifdef AMTUNLOCK_TEST
#define CLOSE_LIMIT clock_test_interval("AMTUNLOCK_TEST_CLOSE_MS", apr_time_from_sec(2))
#else
#define CLOSE_LIMIT apr_time_from_sec(2)
#endif

/* Messages without a sequence number. */
enum { START = 0x10, STARTED = 0x11, END = 0x12 };
enum { START_SHORT = 4, START_LONG = 13, END_LENGTH = 4 };

typedef enum {
    CONNECT,
    STARTING,
    LOGGING_IN,
    OPENING,
    OPEN,
    CLOSING, /* the close was sent, its answer is awaited */
    ENDING,  /* all is sent; waits for the device to hang up */
    OVER     /* `ended` was called, or is about to be */
} state_e;

struct amt_session_t {
    apr_pool_t *pool;
    amt_loop_t *loop;
    amt_target_t target;
    const amt_channel_t *kind;
    void *channel;
    const char *where; /* "pc1.example.com (10.0.0.1 port 16995)" */
    amt_login_t login;
    amt_link_t *link;
    state_e state;
    struct event *deadline;
    struct event *keepalive;
    struct event *end; /* calls `ended` */
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

static void on_end(evutil_socket_t fd, short what, void *baton)
{
    amt_session_t *session = baton;
    amt_result_t result = {.status = session->status,
                           .acted = session->acted,
                           .return_value = -1,
                           .text = session->status == AMT_OK ? "" : session->text};

    (void)fd;
    (void)what;
    session->kind->ended(session->channel, &result); /* may destroy the session */
}

/* Sends the end of the session if it can be sent without waiting: else the device would keep the session
 * for a while, and the next one would find it busy. */
static void hang_up(amt_session_t *session)
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

/* Every end comes here, once. */
static void end_session(amt_session_t *session, amt_status_e status)
{
    amt_login_drop(&session->login);
    session->status = status;
    event_del(session->deadline);
    event_del(session->keepalive);
    hang_up(session);
    event_active(session->end, EV_TIMEOUT, 1);
}

static void end_in_failure(amt_session_t *session, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A failure while the session is being closed is no failure. */
static void end_in_failure(amt_session_t *session, amt_status_e status, const char *format, ...)
{
    va_list args;

    if (session->state == OVER) {
        return;
    }
    if (session->state >= CLOSING) {
        end_session(session, AMT_OK);
        return;
    }
    va_start(args, format);
    apr_vsnprintf(session->text, sizeof(session->text), format, args);
    va_end(args);
    text_mask_non_ascii(session->text);
    end_session(session, status);
}

void amt_session_fail(amt_session_t *session, amt_status_e status, const char *format, ...)
{
    char what[384];
    va_list args;

    va_start(args, format);
    apr_vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    text_mask_non_ascii(what);
    end_in_failure(session, status, "%s with %s ended: %s", session->kind->name, session->where, what);
}

static void on_link_failed(void *baton, amt_status_e status, const char *text)
{
    end_in_failure(baton, status, "%s", text);
}

static void on_link_ended(void *baton)
{
    amt_session_t *session = baton;

    amt_session_fail(
        session, AMT_BROKEN, "%s",
        session->state < OPENING
            ? "the device hung up before it let us in; check that redirection is enabled and that no "
              "other console holds it"
            : "the device hung up");
}

static void on_deadline(evutil_socket_t fd, short what, void *baton)
{
    amt_session_t *session = baton;

    (void)fd;
    (void)what;
    if (session->state == CONNECT) {
        end_in_failure(
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

static void fail_session_as_garbage(amt_session_t *session, const char *what)
{
    amt_session_fail(session, AMT_GARBAGE, AMT_NOT_UNDERSTOOD, what);
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

static void set_deadline(amt_session_t *session, apr_interval_time_t interval)
{
    struct timeval after = {(time_t)apr_time_sec(interval), (suseconds_t)apr_time_usec(interval)};

    event_add(session->deadline, &after);
}

static void on_link_ready(void *baton)
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
        fail_session_as_garbage(session, "no answer to the start of a session");
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
    whole = START_LONG + (apr_size_t)bytes[12]; /* the manufacturer's addition is ignored */
    if (length < whole) {
        return 0;
    }
    session->state = LOGGING_IN;
    amt_login_begin(&session->login, session->link);
    return whole;
}

/* ---- login ----------------------------------------------------------------------------------- */

static void fail_by_login(amt_session_t *session)
{
    amt_session_fail(session, session->login.status, "%s", session->login.text);
}

static void on_ticket(void *baton, amt_login_e outcome)
{
    amt_session_t *session = baton;

    if (outcome == AMT_LOGIN_FAILED) {
        fail_by_login(session);
        return;
    }
    set_deadline(session, session->target.call_timeout);
}

static apr_size_t take_login(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    apr_size_t taken;

    switch (amt_login_take(&session->login, bytes, length, &taken)) {
    case AMT_LOGIN_MORE:
        if (session->login.state == AMT_LOGIN_TICKET) {
            event_del(session->deadline); /* the request for the ticket has its own */
        }
        break;
    case AMT_LOGIN_IN:
        session->state = OPENING;
        session->counting = !session->kind->any_first;
        session->kind->begin(session->channel);
        break;
    case AMT_LOGIN_FAILED:
        fail_by_login(session);
        return length;
    }
    return taken;
}

/* ---- the channel's messages ------------------------------------------------------------------ */

static apr_size_t take_body(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    const amt_message_t *message = session->message;
    apr_size_t taken = length < session->body_left ? length : session->body_left;

    session->body_left -= taken;
    if (message->body != NULL && session->state <= OPEN) {
        message->body(session->channel, bytes, taken);
    }
    return taken;
}

/* Each message has the number after the one before. */
static int is_in_sequence(amt_session_t *session, apr_uint32_t number)
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

static void on_closed(amt_session_t *session)
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

static int is_busy(const void *baton)
{
    const amt_session_t *session = baton;

    return session->kind->busy != NULL && session->kind->busy(session->channel);
}

static apr_size_t take_message(amt_session_t *session, const unsigned char *bytes, apr_size_t length)
{
    const amt_message_t *message = amt_message_find(session->kind->messages, bytes[0]);
    apr_size_t taken;

    if (message == NULL && bytes[0] == END) {
        return take_end(session, length);
    }
    if (message == NULL) {
        fail_session_as_garbage(session, apr_psprintf(session->pool, "message 0x%02x", bytes[0]));
        return length;
    }
    if (length < message->length || (message->waits && is_busy(session))) {
        return 0;
    }
    if (!is_in_sequence(session, wire_get32(bytes + 4))) {
        fail_session_as_garbage(
            session, apr_psprintf(session->pool, "message 0x%02x has number %lu where %lu was due", bytes[0],
                                  (unsigned long)wire_get32(bytes + 4), (unsigned long)session->in_sequence));
        return length;
    }
    session->message = message;
    if (message->joins && session->state == OPEN &&
        (taken = amt_messages_take_joined(message, &session->in_sequence, session->channel, bytes, length))) {
        return taken;
    }
    session->in_sequence++;
    session->body_left = amt_message_body(message, bytes);
    taken = message->length;
    if (message->id == session->kind->closed) {
        on_closed(session);
    }
    else if (message->handle != NULL && session->state <= OPEN) {
        message->handle(session->channel, bytes); /* may destroy the session */
    }
    return taken;
}

static apr_size_t on_link_input(void *baton, const unsigned char *bytes, apr_size_t length)
{
    amt_session_t *session = baton;

    session->quiet = 0;
    switch (session->state) {
    case STARTING:
    case LOGGING_IN:
        set_deadline(session, session->target.call_timeout); /* each answer has its own time */
        return session->state == STARTING ? take_started(session, bytes, length)
                                          : take_login(session, bytes, length);
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

static void on_link_drained(void *baton)
{
    amt_session_t *session = baton;

    if (session->kind->drained != NULL && (session->state == OPENING || session->state == OPEN)) {
        session->kind->drained(session->channel);
    }
}

/* ---- the open session ------------------------------------------------------------------------ */

static void on_keepalive(evutil_socket_t fd, short what, void *baton)
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
    /* what is being sent already serves as well */
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
        end_session(session, AMT_OK);
        return;
    }
    session->state = CLOSING;
    event_del(session->keepalive);
    amt_session_send_plain(session, session->kind->close);
    set_deadline(session, CLOSE_LIMIT);
}

/* ---- create, destroy ------------------------------------------------------------------------- */

static apr_status_t session_cleanup(void *baton)
{
    amt_session_t *session = baton;

    amt_login_drop(&session->login);
    if (session->link != NULL) {
        amt_link_free(session->link);
    }
    amt_event_clear(&session->deadline);
    amt_event_clear(&session->keepalive);
    amt_event_clear(&session->end);
    return APR_SUCCESS;
}

static apr_status_t create_events(amt_session_t *session)
{
    struct event_base *base = session->loop->base;

    session->deadline = evtimer_new(base, on_deadline, session);
    session->keepalive = event_new(base, -1, EV_PERSIST, on_keepalive, session);
    session->end = event_new(base, -1, 0, on_end, session);
    return session->deadline != NULL && session->keepalive != NULL && session->end != NULL ? APR_SUCCESS
                                                                                           : APR_ENOMEM;
}

static apr_status_t begin_session(amt_session_t *session)
{
    static const amt_link_events_t events = {on_link_ready, on_link_input, on_link_drained,
                                             is_busy,       on_link_ended, on_link_failed};
    amt_target_t *target = &session->target;
    int port = target->tls == AMT_TLS_NONE ? PORT_PLAIN : PORT_TLS;
    unsigned char pin[DIGEST_BYTES];
    apr_status_t status = amt_target_check(target, pin);

    if (status != APR_SUCCESS || (target->tickets == NULL && strlen(target->user) > AMT_AUTH_USER)) {
        return APR_EINVAL;
    }
    session->login = (amt_login_t){.target = target,
                                   .port = port,
                                   .ticket_requests = session->loop->ticket_requests,
                                   .on_ticket = on_ticket,
                                   .baton = session};
    session->where = apr_psprintf(session->pool, "%s (%s port %d)", target->fqdn, target->address, port);
    status = create_events(session);
    if (status == APR_SUCCESS) {
        status = amt_link_open(&session->link, session->loop, target, port, session->where,
                               &session->kind->bounds, &events, session, session->pool);
    }
    if (status == APR_SUCCESS) {
        set_deadline(session, target->connect_timeout);
    }
    return status;
}

apr_status_t amt_session_open(amt_session_t **out, amt_loop_t *loop, const amt_target_t *target,
                              const amt_channel_t *kind, void *channel, apr_pool_t *pool)
{
    amt_session_t *session = apr_pcalloc(pool, sizeof(*session));
    apr_status_t status;

    session->pool = pool;
    session->loop = loop;
    session->kind = kind;
    session->channel = channel;
    amt_target_copy(&session->target, target, pool);
    apr_pool_cleanup_register(pool, session, session_cleanup, apr_pool_cleanup_null);
    status = begin_session(session);
    if (status != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return status;
    }
    *out = session;
    return APR_SUCCESS;
}

void amt_session_destroy(amt_session_t *session)
{
    hang_up(session);
    apr_pool_destroy(session->pool);
}
