/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets and OpenSSL directly: reads are bounded by our buffer, and what is written can be wiped. libevent's
 * own buffers would copy a passphrase to places that nobody wipes. */
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

/* Of one turn: others wait for the loop too. */
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
    int *freed;  /* set while events are told: one of them freed the link */
    int in_ended;
    int shut;           /* nothing more to send: 1 wanted, 2 told */
    int read_wants_out; /* TLS must send before it can read */
    int told_drained;
    int held; /* something came that waits for room to answer it */
    apr_size_t in_length;
    apr_size_t out_start;
    apr_size_t out_end;
    apr_size_t out_size;
    unsigned char *out;
    unsigned char in[AMT_LINK_IN];
};

/* ---- the end --------------------------------------------------------------------------------- */

static void free_event(struct event **event)
{
    if (*event) {
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
    free_event(&link->readable);
    free_event(&link->writable);
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
    if (link->freed) {
        *link->freed = 1;
        link->freed = NULL;
    }
}

static void fail(amt_link_t *link, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(amt_link_t *link, amt_status_e status, const char *format, ...)
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
    fail(
        link, AMT_UNREACHABLE,
        "%s cannot be reached: %s; check that it has power and network, and that AMT's redirection ports are "
        "open (ListenerEnabled)",
        link->where, strerror(error));
}

static void fail_broken(amt_link_t *link, const char *why)
{
    fail(link, AMT_BROKEN, "the connection to %s broke: %s", link->where, why);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* What OpenSSL says of the error that happened last. */
static const char *tls_words(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return words ? words : "the connection was closed";
}

static void fail_handshake(amt_link_t *link)
{
    long verified = SSL_get_verify_result(link->ssl);

    if (link->peer.pin_seen[0]) {
        fail(link, AMT_TLS_UNTRUSTED, AMT_TLS_OTHER_PIN, link->where, link->peer.pin_seen);
    }
    else if (verified != X509_V_OK) {
        fail(link, AMT_TLS_UNTRUSTED, AMT_TLS_BAD_CERTIFICATE, link->where,
             X509_verify_cert_error_string(verified), amt_tls_name_of(link->target->ca_file),
             amt_tls_name_of(link->target->crl_file));
    }
    else if (link->peer.asked) {
        fail(link, AMT_TLS_UNTRUSTED, AMT_TLS_ASKED, link->where);
    }
    else if (link->peer.alert >= 0) {
        fail(link, AMT_TLS_UNTRUSTED, AMT_TLS_ALERT, link->where,
             SSL_alert_desc_string_long(link->peer.alert));
    }
    else {
        fail(link, AMT_UNREACHABLE, AMT_TLS_NO_HANDSHAKE, link->where, tls_words());
    }
}

static int begin_tls(amt_link_t *link)
{
    link->ssl = amt_tls_session(&link->peer);
    if (link->ssl && SSL_set_fd(link->ssl, link->fd)) {
        return 1;
    }
    if (link->peer.bad_file) {
        fail(link, AMT_TLS_UNTRUSTED, AMT_TLS_BAD_FILE, link->peer.bad_file, link->where, link->peer.bad_why);
    }
    else {
        fail(link, AMT_BROKEN, "this worker has no memory for TLS with %s", link->where);
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

    if (link->ssl) {
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

    if (link->ssl) {
        ERR_clear_error();
        rc = SSL_write(link->ssl, from, (int)length);
        return rc > 0 ? (int)rc : tls_outcome(link, (int)rc, 0);
    }
    rc = send(link->fd, from, length, MSG_NOSIGNAL);
    return rc > 0 ? (int)rc : plain_outcome(rc);
}

static const char *broken_words(const amt_link_t *link)
{
    return link->ssl && ERR_peek_last_error() ? tls_words() : strerror(errno ? errno : ECONNRESET);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* There is something to send; a turn under way sees that by itself. */
static void wake(amt_link_t *link)
{
    if (link->writable && !link->freed) {
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
    link->told_drained = 0;
    wake(link);
    return place;
}

void amt_link_queue(amt_link_t *link, const void *bytes, apr_size_t length)
{
    memcpy(amt_link_place(link, length), bytes, length);
}

static void tell_end_of_sending(amt_link_t *link)
{
    link->shut = 2;
    if (link->ssl) {
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
            fail_broken(link, broken_words(link));
            return;
        }
        OPENSSL_cleanse(link->out + link->out_start, (apr_size_t)sent);
        link->out_start += (apr_size_t)sent;
    }
    link->out_start = link->out_end = 0;
    if (link->held) { /* there is room for it now, and no event would tell */
        event_active(link->readable, EV_READ, 1);
    }
    if (link->shut == 1) {
        tell_end_of_sending(link);
    }
}

void amt_link_shut(amt_link_t *link)
{
    link->shut = link->shut ? link->shut : 1;
    wake(link);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Offers whole messages until one is not taken. 0 if the link is gone. */
static int offer(amt_link_t *link, const int *freed)
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
static int receive(amt_link_t *link, const int *freed)
{
    int turns = READS_A_TURN;
    int got = 0;

    link->read_wants_out = 0;
    if (!offer(link, freed)) {
        return 0;
    }
    while (link->stage == RUNNING && !link->in_ended && turns-- > 0 && link->in_length < sizeof(link->in)) {
        got = read_bytes(link, link->in + link->in_length, sizeof(link->in) - link->in_length);
        if (got == LATER) {
            return 1;
        }
        if (got == BROKEN) {
            fail_broken(link, broken_words(link));
            return !*freed;
        }
        if (got == ENDED) {
            link->in_ended = 1;
            link->events->ended(link->baton);
            return !*freed;
        }
        link->in_length += (apr_size_t)got;
        if (!offer(link, freed)) {
            return 0;
        }
    }
    if (link->stage == RUNNING && got > 0) {
        event_active(link->readable, EV_READ, 1); /* TLS may hold more than the socket shows */
    }
    return 1;
}

/* ---- the loop's turns ------------------------------------------------------------------------ */

/* Waits for what can go on now. Reading is left off while the buffer is full: the peer then has to wait. */
static void watch(amt_link_t *link)
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
    link->told_drained = 1;
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

static void go_on_with_handshake(amt_link_t *link)
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

/* Sends, and asks for more as long as the socket takes it, in turn with the loop's others. */
static void send_on(amt_link_t *link, const int *freed)
{
    for (int rounds = 0; rounds < SENDS_A_TURN && !*freed && link->stage == RUNNING; rounds++) {
        amt_link_flush(link);
        if (*freed || link->stage != RUNNING || link->out_end || link->told_drained) {
            return;
        }
        link->told_drained = 1;
        link->events->drained(link->baton);
    }
}

static void turn(evutil_socket_t fd, short what, void *baton)
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
        go_on_with_handshake(link);
    }
    send_on(link, &freed); /* makes room for what is received */
    if (!freed && link->stage == RUNNING && receive(link, &freed)) {
        send_on(link, &freed);
    }
    if (!freed) {
        link->freed = NULL;
        watch(link);
    }
}

void amt_link_again(amt_link_t *link)
{
    if (link->readable && link->in_length > 0) {
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

/* A refusal that the kernel knows at once is kept for the loop. */
static void begin_connect(amt_link_t *link, int port)
{
    struct sockaddr_storage address;
    socklen_t length = socket_address(&address, link->target->address, port);
    int one = 1;

    link->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        link->refused = errno;
        return;
    }
    /* firmware answers small messages with small messages */
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
    begin_connect(link, port);
    link->readable = event_new(loop->base, link->fd, EV_READ | EV_PERSIST, turn, link);
    link->writable = event_new(loop->base, link->fd, EV_WRITE, turn, link);
    if (!link->readable || !link->writable) {
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
