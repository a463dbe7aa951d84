/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets and OpenSSL without libevent's bufferevents: reads are bounded by our buffer, and what is
 * written is wiped. A bufferevent would copy a passphrase to memory that is never wiped. */
#include "amt/redirection/link_priv.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "amt/http/target.h"
#include "amt/http/tls.h"
#include "base/text.h"

/* Reads and writes for one event: the loop serves other connections too. */
enum { READS_A_TURN = 4, SENDS_A_TURN = 8 };

typedef enum { CONNECTING, HANDSHAKE, RUNNING, STOPPED } stage_e;

struct amt_link_t {
    amt_loop_t *loop;
    const amt_target_t *target;
    const char *where;
    const amt_link_events_t *events;
    void *baton;
    stage_e stage;
    int fd;
    SSL *ssl;
    amt_tls_peer_t peer;
    struct event *readable;
    struct event *writable;
    int refused; /* errno of a connection that could not even begin */
    int *freed;  /* not NULL during callbacks: set to 1 by amt_link_free() */
    int in_ended;
    int shut;           /* nothing more to send: 1 wanted, 2 done */
    int read_wants_out; /* TLS must send before it can read */
    int drained_reported;
    int held; /* input waits until there is room for an answer */
    apr_size_t in_length;
    apr_size_t out_start;
    apr_size_t out_end;
    apr_size_t out_size;
    unsigned char *out;
    unsigned char in[AMT_LINK_IN];
};

/* ---- the end --------------------------------------------------------------------------------- */

static void clear_event(struct event **event)
{
    if (*event != NULL) {
        event_free(*event);
        *event = NULL;
    }
}

void amt_link_stop(amt_link_t *link)
{
    if (link->stage == STOPPED) {
        return;
    }
    link->stage = STOPPED;
    clear_event(&link->readable);
    clear_event(&link->writable);
    SSL_free(link->ssl);
    link->ssl = NULL;
    if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
    }
    OPENSSL_cleanse(link->in, sizeof(link->in));
    OPENSSL_cleanse(link->out, link->out_size);
    link->in_length = link->out_start = link->out_end = 0;
}

void amt_link_free(amt_link_t *link)
{
    amt_link_stop(link);
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
    fail_link(link, AMT_BROKEN, "the connection to %s broke: %s", link->where, why);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* OpenSSL's text for the last error. */
static const char *tls_error_text(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return words != NULL ? words : "the connection was closed";
}

static void fail_handshake(amt_link_t *link)
{
    long verified = SSL_get_verify_result(link->ssl);

    if (link->peer.pin_seen[0]) {
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
                  SSL_alert_desc_string_long(link->peer.alert));
    }
    else {
        fail_link(link, AMT_UNREACHABLE, AMT_TLS_NO_HANDSHAKE, link->where, tls_error_text());
    }
}

static int begin_tls(amt_link_t *link)
{
    link->ssl = amt_tls_session(&link->peer);
    if (link->ssl != NULL && SSL_set_fd(link->ssl, link->fd)) {
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

/* ---- bytes ----------------------------------------------------------------------------------- */

/* How a read or write went: bytes, or one of these. */
enum { LATER = 0, ENDED = -1, BROKEN = -2 };

static int tls_outcome(amt_link_t *link, int rc, int reading)
{
    switch (SSL_get_error(link->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return LATER;
    case SSL_ERROR_WANT_WRITE:
        link->read_wants_out |= reading;
        return LATER;
    case SSL_ERROR_ZERO_RETURN:
        return ENDED;
    default:
        return BROKEN;
    }
}

static int plain_outcome(ssize_t rc)
{
    if (rc == 0) {
        return ENDED;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? LATER : BROKEN;
}

static int read_bytes(amt_link_t *link, unsigned char *into, apr_size_t room)
{
    ssize_t rc;

    if (link->ssl != NULL) {
        ERR_clear_error();
        rc = SSL_read(link->ssl, into, (int)room);
        return rc > 0 ? (int)rc : tls_outcome(link, (int)rc, 1);
    }
    rc = recv(link->fd, into, room, 0);
    return rc > 0 ? (int)rc : plain_outcome(rc);
}

static int write_bytes(amt_link_t *link, const unsigned char *from, apr_size_t length)
{
    ssize_t rc;

    if (link->ssl != NULL) {
        ERR_clear_error();
        rc = SSL_write(link->ssl, from, (int)length);
        return rc > 0 ? (int)rc : tls_outcome(link, (int)rc, 0);
    }
    rc = send(link->fd, from, length, MSG_NOSIGNAL);
    return rc > 0 ? (int)rc : plain_outcome(rc);
}

static const char *error_text(const amt_link_t *link)
{
    return link->ssl != NULL && ERR_peek_last_error() ? tls_error_text()
                                                      : strerror(errno ? errno : ECONNRESET);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* There is something to send. Inside on_link_event() nothing needs to be done for that. */
static void wake_link(amt_link_t *link)
{
    if (link->writable != NULL && link->freed == NULL) {
        event_add(link->writable, NULL);
    }
}

apr_size_t amt_link_room(const amt_link_t *link)
{
    return link->out_size - (link->out_end - link->out_start);
}

int amt_link_is_sending(const amt_link_t *link)
{
    return link->out_start < link->out_end;
}

unsigned char *amt_link_place(amt_link_t *link, apr_size_t length)
{
    unsigned char *place;

    if (link->out_size - link->out_end < length) {
        apr_size_t queued = link->out_end - link->out_start;

        memmove(link->out, link->out + link->out_start, queued);
        OPENSSL_cleanse(link->out + queued, link->out_end - queued);
        link->out_start = 0;
        link->out_end = queued;
    }
    place = link->out + link->out_end;
    link->out_end += length;
    link->drained_reported = 0;
    wake_link(link);
    return place;
}

void amt_link_queue(amt_link_t *link, const void *bytes, apr_size_t length)
{
    memcpy(amt_link_place(link, length), bytes, length);
}

static void shut_down_sending(amt_link_t *link)
{
    link->shut = 2;
    if (link->ssl != NULL) {
        SSL_shutdown(link->ssl);
        ERR_clear_error();
    }
    shutdown(link->fd, SHUT_WR);
}

void amt_link_flush(amt_link_t *link)
{
    if (link->stage != RUNNING) {
        return;
    }
    while (link->out_start < link->out_end) {
        int sent = write_bytes(link, link->out + link->out_start, link->out_end - link->out_start);

        if (sent == LATER) {
            return;
        }
        if (sent < 0) {
            fail_broken(link, error_text(link));
            return;
        }
        OPENSSL_cleanse(link->out + link->out_start, (apr_size_t)sent);
        link->out_start += (apr_size_t)sent;
    }
    link->out_start = link->out_end = 0;
    if (link->held) { /* there is room for it now, and no socket event would come for it */
        event_active(link->readable, EV_READ, 1);
    }
    if (link->shut == 1) {
        shut_down_sending(link);
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

    link->read_wants_out = 0;
    if (!offer_input(link, freed)) {
        return 0;
    }
    while (link->stage == RUNNING && !link->in_ended && turns-- > 0 && link->in_length < sizeof(link->in)) {
        got = read_bytes(link, link->in + link->in_length, sizeof(link->in) - link->in_length);
        if (got == LATER) {
            return 1;
        }
        if (got == BROKEN) {
            fail_broken(link, error_text(link));
            return !*freed;
        }
        if (got == ENDED) {
            link->in_ended = 1;
            link->events->ended(link->baton);
            return !*freed;
        }
        link->in_length += (apr_size_t)got;
        if (!offer_input(link, freed)) {
            return 0;
        }
    }
    if (link->stage == RUNNING && got > 0) {
        event_active(link->readable, EV_READ, 1); /* TLS may hold more than the socket shows */
    }
    return 1;
}

/* ---- events of the loop ------------------------------------------------------------------------ */

/* Registers for what the link waits for. Nothing is read while the buffer is full: the peer then has to
 * wait. */
static void update_events(amt_link_t *link)
{
    int wants_in = link->stage == HANDSHAKE ||
                   (link->stage == RUNNING && !link->in_ended && link->in_length < sizeof(link->in));
    int wants_out = link->stage == CONNECTING || link->out_start < link->out_end || link->shut == 1 ||
                    link->read_wants_out || (link->stage == HANDSHAKE && SSL_want_write(link->ssl));

    if (link->stage == STOPPED) {
        return;
    }
    if (wants_in) {
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

    if (!error && getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length)) {
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
    rc = SSL_do_handshake(link->ssl);
    if (rc == 1) {
        become_ready(link);
        return;
    }
    rc = SSL_get_error(link->ssl, rc);
    if (rc != SSL_ERROR_WANT_READ && rc != SSL_ERROR_WANT_WRITE) {
        fail_handshake(link);
    }
}

/* Sends, and lets the owner queue more while the socket takes it, SENDS_A_TURN times at most. */
static void send_queued(amt_link_t *link, const int *freed)
{
    for (int rounds = 0; rounds < SENDS_A_TURN && !*freed && link->stage == RUNNING; rounds++) {
        amt_link_flush(link);
        if (*freed || link->stage != RUNNING || link->out_end || link->drained_reported) {
            return;
        }
        link->drained_reported = 1;
        link->events->drained(link->baton);
    }
}

static void on_link_event(evutil_socket_t fd, short what, void *baton)
{
    amt_link_t *link = baton;
    int freed = 0;

    (void)fd;
    (void)what;
    link->freed = &freed;
    if (link->stage == CONNECTING) {
        finish_connect(link);
    }
    if (!freed && link->stage == HANDSHAKE) {
        continue_handshake(link);
    }
    send_queued(link, &freed); /* makes room for what is received */
    if (!freed && link->stage == RUNNING && receive_input(link, &freed)) {
        send_queued(link, &freed);
    }
    if (!freed) {
        link->freed = NULL;
        update_events(link);
    }
}

void amt_link_again(amt_link_t *link)
{
    if (link->readable != NULL && link->in_length > 0) {
        event_active(link->readable, EV_READ, 1);
    }
}

/* ---- the beginning --------------------------------------------------------------------------- */

static socklen_t socket_address(struct sockaddr_storage *out, const char *address, int port)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof(*out));
    if (amt_address_family(address) == 4) {
        four->sin_family = AF_INET;
        four->sin_port = htons((unsigned short)port);
        inet_pton(AF_INET, address, &four->sin_addr);
        return sizeof(*four);
    }
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((unsigned short)port);
    inet_pton(AF_INET6, address, &six->sin6_addr);
    return sizeof(*six);
}

/* An error that connect() returns at once is kept, and reported from the loop. */
static void connect_link(amt_link_t *link, int port)
{
    struct sockaddr_storage address;
    socklen_t length = socket_address(&address, link->target->address, port);
    int one = 1;

    link->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        link->refused = errno;
        return;
    }
    /* both sides send small messages and wait for the answer */
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(link->fd, (struct sockaddr *)&address, length) && errno != EINPROGRESS) {
        link->refused = errno;
    }
}

apr_status_t amt_link_open(amt_link_t **out, amt_loop_t *loop, const amt_target_t *target, int port,
                           const char *where, apr_size_t room, const amt_link_events_t *events, void *baton,
                           apr_pool_t *pool)
{
    amt_link_t *link = apr_pcalloc(pool, sizeof(*link));

    *link = (amt_link_t){.loop = loop,
                         .target = target,
                         .where = where,
                         .events = events,
                         .baton = baton,
                         .peer = {.trusts = loop->trusts, .target = target, .alert = -1},
                         .out_size = room,
                         .out = apr_palloc(pool, room),
                         .fd = -1};
    if (amt_target_check(target, link->peer.pin) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    connect_link(link, port);
    link->readable = event_new(loop->base, link->fd, EV_READ | EV_PERSIST, on_link_event, link);
    link->writable = event_new(loop->base, link->fd, EV_WRITE, on_link_event, link);
    if (link->readable == NULL || link->writable == NULL) {
        amt_link_stop(link);
        return APR_ENOMEM;
    }
    if (link->refused) {
        event_active(link->writable, EV_WRITE, 1);
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
