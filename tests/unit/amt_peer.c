/* SPDX-License-Identifier: Apache-2.0 */
#include "amt_peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

enum { MAX_CONNECTIONS = 64, MAX_REQUEST = 16384 };

typedef struct {
    int fd;
    SSL *ssl;
    int number;
    int silent; /* PEER_HANG: read no further */
} connection_t;

struct peer_t {
    peer_row_t rows[PEER_MAX_REQUESTS];
    size_t row_count;
    SSL_CTX *tls;
    const char *greeting; /* or NULL */
    int port;
    char address[INET_ADDRSTRLEN];
    int listener;
    int stop[2]; /* a pipe */
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t hung_up;
    int hung_up_count; /* connections that it closed after a request */
    int connection_count;
    connection_t connections[MAX_CONNECTIONS];
    int request_count;
    peer_request_t requests[PEER_MAX_REQUESTS];
};

/* ---- bytes
 * ------------------------------------------------------------------------------------------------- */

static ssize_t take(connection_t *c, char *buffer, size_t size)
{
    return c->ssl ? SSL_read(c->ssl, buffer, (int)size) : recv(c->fd, buffer, size, 0);
}

static int give(connection_t *c, const char *bytes, size_t length)
{
    while (length) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, bytes, (int)length) : send(c->fd, bytes, length, MSG_NOSIGNAL);

        if (n <= 0) {
            return 0;
        }
        bytes += n;
        length -= (size_t)n;
    }
    return 1;
}

static void hang_up(connection_t *c, int reset)
{
    if (reset) {
        struct linger at_once = {1, 0};

        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    else if (c->ssl) {
        SSL_shutdown(c->ssl);
    }
    SSL_free(c->ssl);
    close(c->fd);
    c->ssl = NULL;
    c->fd = -1;
}

static size_t content_length(const char *head)
{
    const char *field = strcasestr(head, "\r\nContent-Length:");

    return field ? strtoul(field + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

/* Reads one request with its body. 0 at the connection's end. What came of a request that was cut short
 * counts. */
static int read_request(connection_t *c, peer_request_t *request)
{
    char buffer[MAX_REQUEST + 1];
    size_t length = 0;
    size_t wanted = 0;
    const char *end = NULL;

    memset(request, 0, sizeof(*request));
    while (!end || length < wanted) {
        ssize_t n = length < MAX_REQUEST ? take(c, buffer + length, MAX_REQUEST - length) : 0;

        if (n <= 0) {
            break;
        }
        length += (size_t)n;
        buffer[length] = '\0';
        end = strstr(buffer, "\r\n\r\n");
        wanted = end ? (size_t)(end + 4 - buffer) + content_length(buffer) : 0;
    }
    if (!end) {
        return 0;
    }
    request->connection = c->number;
    request->authorized = strcasestr(buffer, "\r\nAuthorization: Digest") != NULL;
    snprintf(request->head, sizeof(request->head), "%.*s", (int)(end - buffer), buffer);
    snprintf(request->body, sizeof(request->body), "%s", end + 4);
    request->length = length - (size_t)(end + 4 - buffer);
    return 1;
}

/* ---- acts
 * -------------------------------------------------------------------------------------------------- */

static void challenge(connection_t *c, const char *more, const char *stale, int number)
{
    char answer[512];
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n%s"
                     "WWW-Authenticate: Digest realm=\"Digest:00112233445566778899AABBCCDDEEFF\", "
                     "nonce=\"bm9uY2Ugb2YgYSB0ZXN0IG%08dYQ\",stale=\"%s\",qop=\"auth-int, auth\"\r\n\r\n",
                     more, number, stale);

    give(c, answer, (size_t)n);
    hang_up(c, 0);
}

/* The text of <...MessageID> in the request. */
static void find_id(char *id, size_t size, const char *body)
{
    const char *element = strstr(body, "MessageID");
    const char *text = element ? strchr(element, '>') : NULL;

    snprintf(id, size, "%.*s", text ? (int)strcspn(text + 1, "<") : 0, text ? text + 1 : "");
}

static void answer(connection_t *c, const peer_row_t *row, const peer_request_t *request)
{
    const char *body = row->body ? row->body : "";
    const char *mark = strstr(body, "@ID@");
    size_t room = strlen(body) + 128;
    char *text = malloc(room);
    char head[512];
    char id[64];
    int n;

    find_id(id, sizeof(id), request->body);
    if (mark) {
        snprintf(text, room, "%.*s%s%s", (int)(mark - body), body, id, mark + 4);
    }
    else {
        snprintf(text, room, "%s", body);
    }
    n = snprintf(
        head, sizeof(head),
        "HTTP/1.1 %d Whatever\r\nServer: Test\r\nContent-Type: application/soap+xml; charset=UTF-8\r\n"
        "Content-Length: %zu\r\n%s%s%s\r\n",
        row->status ? row->status : 200, strlen(text), row->proof ? "WWW-Authenticate: Negotiate " : "",
        row->proof ? row->proof : "", row->proof ? "\r\n" : "");
    give(c, head, (size_t)n);
    give(c, text, strlen(text));
    free(text);
    if (row->closes) {
        hang_up(c, 0);
    }
}

static void answer_endless(connection_t *c)
{
    char spaces[4096];
    int going = give(c, "HTTP/1.1 200 OK\r\n\r\n", 19);

    memset(spaces, ' ', sizeof(spaces));
    while (going) {
        going = give(c, spaces, sizeof(spaces));
    }
    hang_up(c, 0);
}

static void act(connection_t *c, const peer_row_t *row, const peer_request_t *request, int number)
{
    static const char basic[] =
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";

    usleep((useconds_t)row->after_ms * 1000);
    switch (row->act) {
    case PEER_ANSWER:
        answer(c, row, request);
        break;
    case PEER_CHALLENGE:
    case PEER_STALE:
        challenge(c, "", row->act == PEER_STALE ? "true" : "false", number);
        break;
    case PEER_NEGOTIATE:
        challenge(c, "WWW-Authenticate: Negotiate\r\n", "false", number);
        break;
    case PEER_BASIC:
        give(c, basic, sizeof(basic) - 1);
        break;
    case PEER_CLOSE:
    case PEER_RESET:
        hang_up(c, row->act == PEER_RESET);
        break;
    case PEER_HANG:
        c->silent = 1;
        break;
    case PEER_RAW:
        give(c, row->body, strlen(row->body));
        hang_up(c, 0);
        break;
    case PEER_ENDLESS:
        answer_endless(c);
        break;
    }
}

/* ---- the loop
 * ---------------------------------------------------------------------------------------------- */

static void serve(peer_t *peer, connection_t *c)
{
    static const peer_row_t nothing = {.act = PEER_CLOSE};
    peer_request_t request;
    int number;

    if (!read_request(c, &request)) {
        hang_up(c, 0);
        return;
    }
    pthread_mutex_lock(&peer->lock);
    number = peer->request_count;
    if (number < PEER_MAX_REQUESTS) {
        peer->requests[peer->request_count++] = request;
    }
    pthread_mutex_unlock(&peer->lock);
    act(c, (size_t)number < peer->row_count ? &peer->rows[number] : &nothing, &request, number);
    if (c->fd < 0) {
        pthread_mutex_lock(&peer->lock);
        peer->hung_up_count++;
        pthread_cond_broadcast(&peer->hung_up);
        pthread_mutex_unlock(&peer->lock);
    }
}

static void welcome(peer_t *peer)
{
    int fd = accept(peer->listener, NULL, NULL);
    connection_t *c = &peer->connections[peer->connection_count];
    int one = 1;

    if (fd < 0 || peer->connection_count == MAX_CONNECTIONS) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* else Nagle waits 40 ms for each answer */
    c->fd = fd;
    c->number = peer->connection_count + 1;
    if (peer->tls) {
        c->ssl = SSL_new(peer->tls);
        SSL_set_fd(c->ssl, fd);
        if (SSL_accept(c->ssl) != 1) {
            hang_up(c, 0);
        }
    }
    else if (peer->greeting) {
        give(c, peer->greeting, strlen(peer->greeting));
        hang_up(c, 0);
    }
    pthread_mutex_lock(&peer->lock);
    peer->connection_count++;
    pthread_mutex_unlock(&peer->lock);
}

static void *run(void *baton)
{
    peer_t *peer = baton;

    for (;;) {
        struct pollfd fds[MAX_CONNECTIONS + 2] = {{peer->stop[0], POLLIN, 0}, {peer->listener, POLLIN, 0}};
        nfds_t count = 2 + (nfds_t)peer->connection_count;

        for (nfds_t i = 2; i < count; i++) {
            const connection_t *c = &peer->connections[i - 2];

            fds[i] = (struct pollfd){c->silent ? -1 : c->fd, POLLIN, 0};
        }
        if (poll(fds, count, -1) < 0 || fds[0].revents) {
            return NULL;
        }
        for (nfds_t i = 2; i < count; i++) {
            if (fds[i].revents) {
                serve(peer, &peer->connections[i - 2]);
            }
        }
        if (fds[1].revents) {
            welcome(peer);
        }
    }
}

/* ---- start, stop
 * ------------------------------------------------------------------------------------------- */

/* A free address: by process id first, so that tests run side by side. */
static void bind_somewhere(peer_t *peer)
{
    static unsigned int turn;

    for (int tries = 0; tries < 200; tries++) {
        unsigned int n = ((unsigned int)getpid() << 6) + turn++;
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)peer->port)};

        snprintf(peer->address, sizeof(peer->address), "127.%u.%u.%u", 130 + (n >> 16) % 100, n >> 8 & 255,
                 1 + n % 254);
        inet_pton(AF_INET, peer->address, &address.sin_addr);
        peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(peer->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
            listen(peer->listener, 16) == 0) {
            return;
        }
        close(peer->listener);
    }
    fail_msg("no free address for a test device");
}

static peer_t *start(const peer_row_t *rows, size_t count, SSL_CTX *tls, int port, const char *greeting)
{
    peer_t *peer = calloc(1, sizeof(*peer));

    assert_non_null(peer);
    assert_true(count <= PEER_MAX_REQUESTS);
    signal(SIGPIPE, SIG_IGN); /* SSL_write() of the peer */
    if (count) {
        memcpy(peer->rows, rows, count * sizeof(*rows));
    }
    peer->row_count = count;
    peer->tls = tls;
    peer->port = port;
    peer->greeting = greeting;
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->hung_up, NULL);
    assert_int_equal(pipe(peer->stop), 0);
    bind_somewhere(peer);
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
    return peer;
}

peer_t *peer_start(const peer_row_t *rows, size_t count, SSL_CTX *tls)
{
    return start(rows, count, tls, tls ? 16993 : 16992, NULL);
}

peer_t *peer_start_greeter(const char *greeting)
{
    return start(NULL, 0, NULL, 16993, greeting);
}

void peer_stop(peer_t *peer)
{
    assert_int_equal(write(peer->stop[1], "", 1), 1);
    pthread_join(peer->thread, NULL);
    for (int i = 0; i < peer->connection_count; i++) {
        if (peer->connections[i].fd >= 0) {
            hang_up(&peer->connections[i], 0);
        }
    }
    close(peer->listener);
    close(peer->stop[0]);
    close(peer->stop[1]);
    pthread_cond_destroy(&peer->hung_up);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}

const char *peer_address(const peer_t *peer)
{
    return peer->address;
}

int peer_requests(peer_t *peer, const peer_request_t **requests)
{
    int count;

    pthread_mutex_lock(&peer->lock);
    count = peer->request_count;
    pthread_mutex_unlock(&peer->lock);
    if (requests) {
        *requests = peer->requests;
    }
    return count;
}

int peer_connections(peer_t *peer)
{
    int count;

    pthread_mutex_lock(&peer->lock);
    count = peer->connection_count;
    pthread_mutex_unlock(&peer->lock);
    return count;
}

void peer_await_hang_up(peer_t *peer, int count)
{
    pthread_mutex_lock(&peer->lock);
    while (peer->hung_up_count < count) {
        pthread_cond_wait(&peer->hung_up, &peer->lock);
    }
    pthread_mutex_unlock(&peer->lock);
}

int peer_bodies(peer_t *peer, const char *needle)
{
    const peer_request_t *requests;
    int count = peer_requests(peer, &requests);
    int bodies = 0;

    for (int i = 0; i < count; i++) {
        bodies += strstr(requests[i].body, needle) != NULL;
    }
    return bodies;
}
