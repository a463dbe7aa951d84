/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/line_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "amt/http/target.h"

/* ---- open, close ----------------------------------------------------------------------------- */

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

int amt_line_open(amt_line_t *line, const char *address, int port)
{
    struct sockaddr_storage to;
    socklen_t length = socket_address(&to, address, port);
    int one = 1;

    line->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (line->fd < 0) {
        return errno;
    }
    /* both sides send small messages and wait for the answer */
    setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return connect(line->fd, (struct sockaddr *)&to, length) && errno != EINPROGRESS ? errno : 0;
}

void amt_line_close(amt_line_t *line)
{
    SSL_free(line->ssl);
    line->ssl = NULL;
    if (line->fd >= 0) {
        close(line->fd);
        line->fd = -1;
    }
}

void amt_line_shut(amt_line_t *line)
{
    line->more = 0;
    if (line->ssl != NULL) {
        SSL_shutdown(line->ssl);
        ERR_clear_error();
    }
    shutdown(line->fd, SHUT_WR);
}

/* ---- TLS's socket ---------------------------------------------------------------------------- */

/* As OpenSSL's, but that it can tell the system to wait for more: without that each record goes through all of TCP by
 * itself, and wakes the peer. */
static BIO_METHOD *socket_method; /* NULL: memory was out */
static pthread_once_t socket_method_once = PTHREAD_ONCE_INIT;

static int send_by_bio(BIO *bio, const char *bytes, int length)
{
    const amt_line_t *line = BIO_get_data(bio);
    int rc = (int)send(line->fd, bytes, (size_t)length, MSG_NOSIGNAL | (line->more ? MSG_MORE : 0));

    BIO_clear_retry_flags(bio);
    if (rc < 0 && BIO_sock_should_retry(rc)) {
        BIO_set_retry_write(bio);
    }
    return rc;
}

static int receive_by_bio(BIO *bio, char *bytes, int room)
{
    amt_line_t *line = BIO_get_data(bio);
    int rc = (int)recv(line->fd, bytes, (size_t)room, 0);

    BIO_clear_retry_flags(bio);
    if (rc < 0 && BIO_sock_should_retry(rc)) {
        BIO_set_retry_read(bio);
    }
    line->ended |= rc == 0;
    return rc;
}

/* What TLS asks of it. */
static long control_bio(BIO *bio, int what, long number, void *pointer)
{
    const amt_line_t *line = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH || (what == BIO_CTRL_EOF && line->ended);
}

static void make_socket_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "redirection");

    if (method != NULL && BIO_meth_set_write(method, send_by_bio) &&
        BIO_meth_set_read(method, receive_by_bio) && BIO_meth_set_ctrl(method, control_bio)) {
        socket_method = method;
        return;
    }
    BIO_meth_free(method);
}

int amt_line_begin_tls(amt_line_t *line)
{
    BIO *bio;

    pthread_once(&socket_method_once, make_socket_method);
    bio = socket_method != NULL ? BIO_new(socket_method) : NULL;
    if (bio == NULL) {
        return 0;
    }
    BIO_set_data(bio, line);
    SSL_set_bio(line->ssl, bio, bio);
    SSL_set_read_ahead(line->ssl, 1); /* a record's head and its rest in one call */
    return 1;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int tls_outcome(amt_line_t *line, int rc, int reading)
{
    switch (SSL_get_error(line->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return AMT_LINE_LATER;
    case SSL_ERROR_WANT_WRITE:
        line->read_wants_out |= reading;
        return AMT_LINE_LATER;
    case SSL_ERROR_ZERO_RETURN:
        return AMT_LINE_ENDED;
    default:
        return AMT_LINE_BROKEN;
    }
}

static int plain_outcome(ssize_t rc)
{
    if (rc == 0) {
        return AMT_LINE_ENDED;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? AMT_LINE_LATER : AMT_LINE_BROKEN;
}

int amt_line_read(amt_line_t *line, unsigned char *into, apr_size_t room)
{
    ssize_t rc;

    if (line->ssl != NULL) {
        ERR_clear_error();
        rc = SSL_read(line->ssl, into, (int)room);
        return rc > 0 ? (int)rc : tls_outcome(line, (int)rc, 1);
    }
    rc = recv(line->fd, into, room, 0);
    return rc > 0 ? (int)rc : plain_outcome(rc);
}

int amt_line_write(amt_line_t *line, const unsigned char *from, apr_size_t length, int more)
{
    ssize_t rc;

    length = length < AMT_LINE_RECORD ? length : AMT_LINE_RECORD;
    line->more = more;
    if (line->ssl != NULL) {
        ERR_clear_error();
        rc = SSL_write(line->ssl, from, (int)length);
        return rc > 0 ? (int)rc : tls_outcome(line, (int)rc, 0);
    }
    rc = send(line->fd, from, length, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    return rc > 0 ? (int)rc : plain_outcome(rc);
}

int amt_line_holds(const amt_line_t *line)
{
    return line->ssl != NULL && SSL_has_pending(line->ssl);
}

/* ---- errors ---------------------------------------------------------------------------------- */

const char *amt_line_tls_error(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return words != NULL ? words : "the connection was closed";
}

const char *amt_line_error(const amt_line_t *line)
{
    return line->ssl != NULL && ERR_peek_last_error() ? amt_line_tls_error()
                                                      : strerror(errno ? errno : ECONNRESET);
}
