/* SPDX-License-Identifier: Apache-2.0 */
/* What serving an image costs without any logic: over TLS 1.2, each of many firmwares asks for 32 KiB, waits for them, and
 * asks for the next.
 *
 *   serve CERTIFICATE KEY CONNECTIONS MEBIBYTES
 *
 * A child asks for MEBIBYTES over each of CONNECTIONS; this process sends them out of its memory, with the heads that
 * storage redirection has. Prints {"bytes":N,"cpu":S}: bytes of the image, and this process' CPU seconds for them.
 */
#include "loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1000L
#define MEBIBYTES_MAX 4096L
#define EVENTS_MAX 64
#define COMMAND 28  /* bytes of a command to the drive */
#define HEAD 34     /* of the messages that answer it */
#define PIECE 8192L /* of the image, in each of these */
#define PIECES 4L
#define ANSWER ((size_t)(PIECES * (HEAD + PIECE)))

typedef struct peer_t {
    SSL *tls;
    long left;   /* answers of this image */
    size_t sent; /* of the answer that is under way */
    size_t got;  /* of it, or of the command */
} peer_t;

static peer_t peers[CONNECTIONS_MAX];
static unsigned char answer[ANSWER];

/* ---- both sides ------------------------------------------------------------------------------ */

static SSL *begin_tls(SSL_CTX *context, int fd)
{
    SSL *tls = SSL_new(context);
    int one = 1;

    if (fd < 0 || tls == NULL || SSL_set_fd(tls, fd) != 1) {
        loop_die("a connection cannot be made");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    SSL_set_read_ahead(tls, 1);
    return tls;
}

static SSL_CTX *make_context(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);

    if (context == NULL || !SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION)) {
        loop_die("TLS cannot be had");
    }
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

static int make_epoll(long connections)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    for (long i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peers[i]};

        if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, SSL_get_fd(peers[i].tls), &event) != 0) {
            loop_die("no epoll for %ld connections", connections);
        }
    }
    return epoll;
}

/* Has each peer that can be read do something, until all have done so often enough. */
static void run(long connections, int (*turn)(peer_t *))
{
    int epoll = make_epoll(connections);
    struct epoll_event events[EVENTS_MAX];
    long under_way = connections;

    while (under_way > 0) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            under_way -= turn(events[i].data.ptr);
        }
    }
    close(epoll);
}

/* ---- the firmwares --------------------------------------------------------------------------- */

static void ask(peer_t *peer)
{
    static const unsigned char command[COMMAND] = {0x50};

    peer->got = 0;
    if (SSL_write(peer->tls, command, sizeof(command)) != (int)sizeof(command)) {
        loop_die("a command cannot be sent");
    }
}

static int receive_turn(peer_t *peer)
{
    static unsigned char bytes[ANSWER];

    do {
        int got = SSL_read(peer->tls, bytes, sizeof(bytes));

        if (got <= 0) {
            loop_die("an answer ended early");
        }
        peer->got += (size_t)got;
    } while (SSL_has_pending(peer->tls));
    if (peer->got < ANSWER) {
        return 0;
    }
    if (--peer->left == 0) {
        return 1;
    }
    ask(peer);
    return 0;
}

__attribute__((noreturn)) static void be_firmwares(int port, long connections)
{
    SSL_CTX *context = make_context(TLS_client_method());
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = (in_port_t)port};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (long i = 0; i < connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
            loop_die("no connection to the server");
        }
        peers[i].tls = begin_tls(context, fd);
        if (SSL_connect(peers[i].tls) != 1) {
            loop_die("no TLS with the server");
        }
    }
    for (long i = 0; i < connections; i++) {
        ask(&peers[i]);
    }
    run(connections, receive_turn);
    exit(0);
}

/* ---- the server ------------------------------------------------------------------------------ */

static const unsigned char *image;

static void fill_answer(const peer_t *peer)
{
    const unsigned char *from = image + (peer->left - 1) * PIECES * PIECE;

    for (size_t i = 0; i < PIECES; i++) {
        memcpy(answer + i * (HEAD + PIECE) + HEAD, from + i * PIECE, PIECE);
    }
}

/* Its sockets wait, as each answer is wanted before the next command comes. */
static int serve_turn(peer_t *peer)
{
    unsigned char command[COMMAND];

    if (SSL_read(peer->tls, command, sizeof(command)) != (int)sizeof(command)) {
        loop_die("a command ended early");
    }
    fill_answer(peer);
    for (peer->sent = 0; peer->sent < ANSWER;) {
        int sent = SSL_write(peer->tls, answer + peer->sent, (int)(ANSWER - peer->sent));

        if (sent <= 0) {
            loop_die("an answer cannot be sent");
        }
        peer->sent += (size_t)sent;
    }
    if (BIO_flush(SSL_get_wbio(peer->tls)) != 1) {
        loop_die("an answer cannot be sent");
    }
    return --peer->left == 0;
}

/* What is sent leaves when it is flushed: records of one answer by one call. */
static void collect_records(SSL *tls)
{
    BIO *socket = SSL_get_wbio(tls), *buffer = BIO_new(BIO_f_buffer());

    if (buffer == NULL || BIO_set_write_buffer_size(buffer, 2 * (long)ANSWER) != 1 || !BIO_up_ref(socket)) {
        loop_die("no memory for answers");
    }
    SSL_set0_wbio(tls, BIO_push(buffer, socket));
}

static int listen_somewhere(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) != 0) {
        loop_die("no port to listen at");
    }
    *port = at.sin_port;
    return fd;
}

static void accept_all(int listener, long connections, const char *certificate, const char *key)
{
    SSL_CTX *context = make_context(TLS_server_method());

    if (SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        loop_die("%s and %s are not a certificate and its key", certificate, key);
    }
    for (long i = 0; i < connections; i++) {
        peers[i].tls = begin_tls(context, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        if (SSL_accept(peers[i].tls) != 1) {
            loop_die("no TLS with a firmware");
        }
        collect_records(peers[i].tls);
    }
}

static void make_image(size_t bytes)
{
    unsigned char *made = malloc(bytes);

    if (made == NULL) {
        loop_die("no memory for the image");
    }
    memset(made, 'i', bytes);
    image = made;
}

int main(int argc, char **argv)
{
    long connections, mebibytes;
    double cpu;
    int port, listener, status = 1;
    pid_t child;

    if (argc != 5) {
        loop_die("usage: serve CERTIFICATE KEY CONNECTIONS MEBIBYTES");
    }
    connections = loop_number("connections", argv[3], CONNECTIONS_MAX);
    mebibytes = loop_number("mebibytes", argv[4], MEBIBYTES_MAX);
    for (long i = 0; i < connections; i++) {
        peers[i].left = mebibytes * (1L << 20) / (PIECES * PIECE);
    }
    listener = listen_somewhere(&port);
    child = fork();
    if (child == 0) {
        close(listener); /* they end with the server */
        be_firmwares(port, connections);
    }
    make_image((size_t)mebibytes << 20);
    accept_all(listener, connections, argv[1], argv[2]);
    cpu = loop_cpu();
    run(connections, serve_turn);
    cpu = loop_cpu() - cpu;
    if (waitpid(child, &status, 0) != child || status != 0) {
        loop_die("the firmwares did not get all of it");
    }
    printf("{\"bytes\":%ld,\"cpu\":%.6f}\n", connections * mebibytes * (1L << 20), cpu);
    return 0;
}
