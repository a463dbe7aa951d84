#include "stream.h"

#include "log.h"
#include "tls.h"

#include <event2/bufferevent_ssl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

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
    log_event(pc->fqdn, "tls",
              json_pack("{s:s}", "version", SSL_get_version(bufferevent_openssl_get_ssl(stream))));
}

void stream_finish(struct bufferevent *stream)
{
    SSL *ssl = bufferevent_openssl_get_ssl(stream);

    if (ssl)
        SSL_shutdown(ssl);
    shutdown(bufferevent_getfd(stream), SHUT_WR);
}
