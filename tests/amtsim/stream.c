/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include "log.h"
#include "tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GOODBYE_SECONDS 2

static struct bufferevent *open_tls(struct event_base *base, struct pc *pc, int fd)
{
    SSL *ssl = tls_accept(pc);
    struct bufferevent *stream;

    if (!ssl)
        return NULL;
    stream = bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                            BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (stream)
        bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    else
        SSL_free(ssl);
    return stream;
}

struct bufferevent *stream_open(struct event_base *base, struct pc *pc, int fd, bool tls)
{
    int on = 1;
    struct bufferevent *stream =
        tls ? open_tls(base, pc, fd) : bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (!stream)
        close(fd);
    return stream;
}

void stream_note_tls(const struct pc *pc, struct bufferevent *stream)
{
    SSL *ssl = bufferevent_openssl_get_ssl(stream);

    log_event(pc->fqdn, "tls", json_pack("{s:s}", "version", SSL_get_version(ssl)));
    tls_pester(pc, ssl);
}

/* ---- the end ------------------------------------------------------------------------------------------- */

struct closing {
    struct closing *next, **link;
    struct bufferevent *stream;
    bool said_goodbye;
};

static struct closing *all_closing;

static void forget(struct closing *closing)
{
    *closing->link = closing->next;
    if (closing->next)
        closing->next->link = closing->link;
    bufferevent_free(closing->stream);
    free(closing);
}

static void say_goodbye(struct closing *closing)
{
    SSL *ssl = bufferevent_openssl_get_ssl(closing->stream);

    if (closing->said_goodbye)
        return;
    closing->said_goodbye = true;
    if (ssl)
        SSL_shutdown(ssl);
    shutdown(bufferevent_getfd(closing->stream), SHUT_WR);
}

static void on_read(struct bufferevent *stream, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(stream);

    (void)arg;
    evbuffer_drain(input, evbuffer_get_length(input));
}

static void on_written(struct bufferevent *stream, void *arg)
{
    (void)stream;
    say_goodbye(arg);
}

static void on_end(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    (void)what;
    forget(arg);
}

void stream_close(struct bufferevent *stream)
{
    const struct timeval wait = {GOODBYE_SECONDS, 0};
    struct closing *closing = calloc(1, sizeof(*closing));

    if (!closing) {
        bufferevent_free(stream);
        return;
    }
    closing->stream = stream;
    closing->next = all_closing;
    closing->link = &all_closing;
    if (closing->next)
        closing->next->link = &closing->next;
    all_closing = closing;
    bufferevent_setcb(stream, on_read, on_written, on_end, closing);
    bufferevent_set_timeouts(stream, &wait, &wait);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
    if (evbuffer_get_length(bufferevent_get_output(stream)) == 0)
        say_goodbye(closing);
}

void stream_close_all(void)
{
    struct closing *next;

    for (struct closing *closing = all_closing; closing; closing = next) {
        next = closing->next;
        forget(closing);
    }
}
