/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets and OpenSSL without libevent's bufferevents: reads are bounded by our buffer, and what is
 * written is wiped. A bufferevent would copy a passphrase to memory that is never wiped. */
#include "amt/redirection/link_priv.h"

#include <apr_strings.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "amt/http/target.h"
#include "amt/http/tls.h"
#include "amt/redirection/event_priv.h"
#include "amt/redirection/line_priv.h"
#include "amt/redirection/queue_priv.h"
#include "base/text.h"

/* Reads and writes for one event: the loop serves other connections too. */
enum { READS_A_TURN = 4, SENDS_A_TURN = 4 };

typedef enum { CONNECTING, HANDSHAKE, RUNNING, STOPPED } stage_e;

struct amt_link_t {
    amt_loop_t *loop;
    const amt_target_t *target;
    const char *where;
    const amt_link_events_t *events;
    void *baton;
    stage_e stage;
    amt_line_t line;
    amt_tls_peer_t peer;
    struct event *readable;
    struct event *writable;
    struct event *resume; /* a turn that no socket asks for: in the loop's next round, or after a rest */
    const amt_pace_limits_t *limits;
    amt_pace_t pace;
    int resting;
    int refused; /* errno of a connection that could not even begin */
    int *freed;  /* not NULL during callbacks: set to 1 by amt_link_free() */
    int in_ended;
    int shut; /* nothing more to send: 1 wanted, 2 done */
    int drained_reported;
    int held; /* input waits until there is room for an answer */
    apr_size_t in_length;
    amt_queue_t out;
    unsigned char in[AMT_LINK_IN];
};

/* ---- the end --------------------------------------------------------------------------------- */

void amt_link_stop(amt_link_t *link)
{
    if (link->stage == STOPPED) {
        return;
    }
    link->stage = STOPPED;
    amt_event_clear(&link->readable);
    amt_event_clear(&link->writable);
    amt_event_clear(&link->resume);
    amt_line_close(&link->line);
    OPENSSL_cleanse(link->in, sizeof(link->in));
    amt_queue_clear(&link->out);
    link->in_length = 0;
}

void amt_link_free(amt_link_t *link)
{
    amt_link_stop(link);
    amt_queue_clear(&link->out); /* its owner may have queued something since it stopped */
    if (link->freed != NULL) {
        *link->freed = 1;
        link->freed = NULL;
    }
}

static void fail_link(amt_link_t *link, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail_link(amt_link_t *link, amt_status_e status, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    apr_vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    text_mask_non_ascii(text);
    amt_link_stop(link);
    link->events->failed(link->baton, status, text);
}

static void fail_unreachable(amt_link_t *link, int error)
{
    fail_link(
        link, AMT_UNREACHABLE,
        "%s cannot be reached: %s; check that it has power and network, and that AMT's redirection ports are "
        "open (ListenerEnabled)",
        link->where, strerror(error));
}

static void fail_broken(amt_link_t *link, const char *why)
{
    if (link->peer.excess[0]) {
        fail_link(link, AMT_TLS_UNTRUSTED, AMT_TLS_EXCESS, link->where, link->peer.excess);
    }
    else {
        fail_link(link, AMT_BROKEN, "the connection to %s broke: %s", link->where, why);
    }
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void fail_handshake(amt_link_t *link)
{
    long verified = SSL_get_verify_result(link->line.ssl);

    if (link->peer.excess[0]) {
        fail_link(link, AMT_TLS_UNTRUSTED, AMT_TLS_EXCESS, link->where, link->peer.excess);
    }
    else if (link->peer.pin_seen[0]) {
        fail_link(link, AMT_TLS_UNTRUSTED, AMT_TLS_OTHER_PIN, link->where, link->peer.pin_seen);
    }
    else if (verified != X509_V_OK) {
        fail_link(link, AMT_TLS_UNTRUSTED, AMT_TLS_BAD_CERTIFICATE, link->where,
                  X509_verify_cert_error_string(verified), amt_tls_name_of(link->target->ca_file),
                  amt_tls_name_of(link->target->crl_file));
    }
    else if (link->peer.asked) {
        fail_link(link, AMT_TLS_UNTRUSTED, AMT_TLS_ASKED, link->where);
    }
    else if (link->peer.alert >= 0) {
        fail_link(link, AMT_TLS_UNTRUSTED, AMT_TLS_ALERT, link->where,
                  SSL_alert_desc_string_long(link->peer.alert), amt_tls_hint(&link->peer));
    }
    else {
        fail_link(link, AMT_UNREACHABLE, AMT_TLS_NO_HANDSHAKE, link->where, amt_line_tls_error(),
                  amt_tls_hint(&link->peer));
    }
}

static int begin_tls(amt_link_t *link)
{
    link->line.ssl = amt_tls_session(&link->peer);
    if (link->line.ssl != NULL && amt_line_begin_tls(&link->line)) {
        return 1;
    }
    if (link->peer.bad_file != NULL) {
        fail_link(link, AMT_TLS_UNTRUSTED, AMT_TLS_BAD_FILE, link->peer.bad_file, link->where,
                  link->peer.bad_why);
    }
    else {
        fail_link(link, AMT_BROKEN, "this worker has no memory for TLS with %s", link->where);
    }
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Has on_link_event() called later, not in this round of the loop: timers and other sockets come first. The
 * pass would last for ever where a link activated itself in it. */
static void resume_link(amt_link_t *link, apr_interval_time_t after)
{
    struct timeval interval = {(time_t)apr_time_sec(after), (suseconds_t)apr_time_usec(after)};

    if (event_add(link->resume, &interval) != 0) { /* no memory for a timer */
        event_active(link->resume, EV_TIMEOUT, 1);
    }
}

/* As soon as it may: a link that rests goes on by itself. */
static void resume_soon(amt_link_t *link)
{
    if (link->resume != NULL && !link->resting) {
        resume_link(link, 0);
    }
}

/* There is something to send. Inside on_link_event() nothing needs to be done for that. */
static void wake_link(amt_link_t *link)
{
    if (link->writable != NULL && link->freed == NULL) {
        event_add(link->writable, NULL);
    }
}

apr_size_t amt_link_room(const amt_link_t *link)
{
    return link->out.room - amt_queue_length(&link->out);
}

int amt_link_is_sending(const amt_link_t *link)
{
    return amt_queue_length(&link->out) > 0;
}

unsigned char *amt_link_place(amt_link_t *link, apr_size_t length)
{
    unsigned char *place = amt_queue_place(&link->out, length);

    amt_pace_spend(&link->pace, link->limits, 0, length);
    link->drained_reported = 0;
    wake_link(link);
    return place;
}

void amt_link_queue(amt_link_t *link, const void *bytes, apr_size_t length)
{
    memcpy(amt_link_place(link, length), bytes, length);
}

/* More than is queued follows in this turn: what would be a short record waits for it. */
static int has_more(const amt_link_t *link)
{
    return !link->shut && !link->resting && link->freed != NULL && link->events->more(link->baton);
}

static int is_worth_sending(const amt_link_t *link)
{
    apr_size_t queued = amt_queue_length(&link->out);

    return queued >= AMT_LINE_RECORD || (queued > 0 && !has_more(link));
}

/* Zero: no more leaves now, and the link may be gone. */
static int send_record(amt_link_t *link)
{
    apr_size_t queued = amt_queue_length(&link->out);
    int more = queued > AMT_LINE_RECORD || has_more(link);
    int sent = amt_line_write(&link->line, amt_queue_first(&link->out), queued, more);

    if (sent < 0) {
        fail_broken(link, amt_line_error(&link->line));
    }
    if (sent > 0) {
        amt_queue_sent(&link->out, (apr_size_t)sent);
    }
    return sent > 0;
}

void amt_link_flush(amt_link_t *link)
{
    if (link->stage != RUNNING) {
        return;
    }
    while (is_worth_sending(link)) {
        if (!send_record(link)) {
            return;
        }
    }
    if (amt_link_is_sending(link)) {
        return;
    }
    if (link->held) { /* there is room for it now, and no socket event would come for it */
        resume_soon(link);
    }
    if (link->shut == 1) {
        link->shut = 2;
        amt_line_shut(&link->line);
    }
}

void amt_link_shut(amt_link_t *link)
{
    link->shut = link->shut ? link->shut : 1;
    wake_link(link);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Offers whole messages until one is not taken. 0 if the link is gone. */
static int offer_input(amt_link_t *link, const int *freed)
{
    apr_size_t offset = 0;

    link->held = 0;
    while (offset < link->in_length) {
        apr_size_t taken;

        if (amt_link_room(link) < AMT_LINK_RESERVE) {
            link->held = 1;
            break;
        }
        taken = link->events->take(link->baton, link->in + offset, link->in_length - offset);

        if (*freed) {
            return 0;
        }
        amt_pace_spend(&link->pace, link->limits, 1, taken);
        if (link->stage == STOPPED) {
            return 1;
        }
        if (taken == 0) {
            break;
        }
        offset += taken;
    }
    link->in_length -= offset;
    memmove(link->in, link->in + offset, link->in_length);
    return 1;
}

/* 0 if the link is gone. */
static int receive_input(amt_link_t *link, const int *freed)
{
    int turns = READS_A_TURN;
    int got = 0;

    link->line.read_wants_out = 0;
    if (!offer_input(link, freed)) {
        return 0;
    }
    while (link->stage == RUNNING && !link->in_ended && turns-- > 0 && link->in_length < sizeof(link->in)) {
        got = amt_line_read(&link->line, link->in + link->in_length, sizeof(link->in) - link->in_length);
        if (got == AMT_LINE_LATER) {
            return 1;
        }
        if (got == AMT_LINE_BROKEN || (got == AMT_LINE_ENDED && link->peer.excess[0])) {
            fail_broken(link, amt_line_error(&link->line));
            return !*freed;
        }
        if (got == AMT_LINE_ENDED) {
            link->in_ended = 1;
            link->events->ended(link->baton);
            return !*freed;
        }
        link->in_length += (apr_size_t)got;
        if (!offer_input(link, freed)) {
            return 0;
        }
        if (link->stage == RUNNING && !amt_line_holds(&link->line)) {
            return 1; /* the socket shows whether there is more */
        }
    }
    if (link->stage == RUNNING && got > 0 && amt_line_holds(&link->line)) {
        resume_soon(link); /* the socket does not show what TLS holds */
    }
    return 1;
}

/* ---- events of the loop ------------------------------------------------------------------------ */

/* Registers for what the link waits for. Nothing is read while the buffer is full: the peer then has to
 * wait. */
static void update_events(amt_link_t *link)
{
    int handshake = link->stage == HANDSHAKE;
    int wants_in =
        handshake || (link->stage == RUNNING && !link->in_ended && link->in_length < sizeof(link->in));
    int reads_by_sending = link->line.read_wants_out || (handshake && SSL_want_write(link->line.ssl));
    int wants_out = link->stage == CONNECTING || amt_link_is_sending(link) || link->shut == 1 ||
                    (reads_by_sending && !link->resting);

    if (link->stage == STOPPED) {
        return;
    }
    if (wants_in && !link->resting) {
        event_add(link->readable, NULL);
    }
    else {
        event_del(link->readable);
    }
    if (wants_out) {
        event_add(link->writable, NULL);
    }
}

static void become_ready(amt_link_t *link)
{
    link->stage = RUNNING;
    link->drained_reported = 1;
    link->events->ready(link->baton);
}

static void finish_connect(amt_link_t *link)
{
    int error = link->refused;
    socklen_t length = sizeof(error);

    if (!error && getsockopt(link->line.fd, SOL_SOCKET, SO_ERROR, &error, &length)) {
        error = errno;
    }
    if (error) {
        fail_unreachable(link, error);
        return;
    }
    if (link->target->tls == AMT_TLS_NONE) {
        become_ready(link);
    }
    else if (begin_tls(link)) {
        link->stage = HANDSHAKE;
    }
}

static void continue_handshake(amt_link_t *link)
{
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(link->line.ssl);
    if (rc == 1) {
        become_ready(link);
        return;
    }
    rc = SSL_get_error(link->line.ssl, rc);
    if (rc != SSL_ERROR_WANT_READ && rc != SSL_ERROR_WANT_WRITE) {
        fail_handshake(link);
    }
}

/* Sends, and lets the owner queue more while the socket takes it, SENDS_A_TURN times at most, and no more while
 * the link rests. */
static void send_queued(amt_link_t *link, const int *freed)
{
    for (int rounds = 0; rounds < SENDS_A_TURN && !*freed && link->stage == RUNNING; rounds++) {
        amt_link_flush(link);
        if (*freed || link->stage != RUNNING || is_worth_sending(link) || link->drained_reported ||
            link->resting) {
            return;
        }
        link->drained_reported = 1;
        link->events->drained(link->baton);
    }
}

/* While the link rests only what was queued leaves. */
static void turn_link(amt_link_t *link, const int *freed)
{
    if (link->stage == CONNECTING) {
        finish_connect(link);
    }
    if (!*freed && link->stage == HANDSHAKE && !link->resting) {
        continue_handshake(link);
    }
    send_queued(link, freed); /* makes room for what is received */
    if (!*freed && link->stage == RUNNING && !link->resting && receive_input(link, freed)) {
        send_queued(link, freed);
    }
}

static void rest_link(amt_link_t *link)
{
    apr_interval_time_t rest = amt_pace_rest(&link->pace);

    if (rest > 0 && !link->resting && link->resume != NULL) {
        link->resting = 1;
        resume_link(link, rest);
    }
}

static void on_link_event(evutil_socket_t fd, short what, void *baton)
{
    amt_link_t *link = baton;
    int freed = 0;

    (void)fd;
    link->freed = &freed;
    if (what & EV_TIMEOUT) {
        link->resting = 0;
    }
    amt_pace_spend(&link->pace, link->limits, 1, 0); /* also where nothing comes of it */
    turn_link(link, &freed);
    if (!freed) {
        link->freed = NULL;
        rest_link(link);
        update_events(link);
    }
}

void amt_link_again(amt_link_t *link)
{
    if (link->in_length > 0) {
        resume_soon(link);
    }
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* 0 if memory is out. */
static int create_link_events(amt_link_t *link)
{
    struct event_base *base = link->loop->base;

    link->readable = event_new(base, link->line.fd, EV_READ | EV_PERSIST, on_link_event, link);
    link->writable = event_new(base, link->line.fd, EV_WRITE, on_link_event, link);
    link->resume = evtimer_new(base, on_link_event, link);
    return link->readable != NULL && link->writable != NULL && link->resume != NULL;
}

apr_status_t amt_link_open(amt_link_t **out, amt_loop_t *loop, const amt_target_t *target, int port,
                           const char *where, const amt_link_bounds_t *bounds,
                           const amt_link_events_t *events, void *baton, apr_pool_t *pool)
{
    amt_link_t *link = apr_pcalloc(pool, sizeof(*link));

    *link = (amt_link_t){.loop = loop,
                         .target = target,
                         .where = where,
                         .events = events,
                         .baton = baton,
                         .peer = {.trusts = loop->trusts, .target = target, .alert = -1},
                         .limits = &bounds->pace,
                         .out = {.loop = loop, .room = bounds->room},
                         .line = {.fd = -1}};
    if (amt_target_check(target, link->peer.pin) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    link->refused = amt_line_open(&link->line, target->address, port);
    if (!create_link_events(link)) {
        amt_link_stop(link);
        return APR_ENOMEM;
    }
    if (link->refused) {
        resume_soon(link);
    }
    else {
        event_add(link->writable, NULL);
    }
    *out = link;
    return APR_SUCCESS;
}

int amt_link_is_ready(const amt_link_t *link)
{
    return link->stage == RUNNING && !link->shut;
}

const char *amt_link_awaits(const amt_link_t *link)
{
    return link->stage == HANDSHAKE ? "no end of the TLS handshake" : "no answer to the connection";
}
