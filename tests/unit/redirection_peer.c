/* SPDX-License-Identifier: Apache-2.0 */
#include "redirection_peer.h"

#include <apr_time.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "amt_rig.h"

#define REALM "Digest:0123456789ABCDEF0123456789ABCDEF"
#define NONCE "dGhlIG5vbmNlIG9mIGEgdGVzdA=="

struct line_t {
    redirection_peer_t *peer;
    int fd;
    SSL *ssl;
};

struct redirection_peer_t {
    play_fn play;
    void *baton;
    SSL_CTX *tls;
    char address[INET_ADDRSTRLEN];
    int listener;
    atomic_int fd; /* of the connection under way, or -1 */
    atomic_int stopping;
    atomic_int connections;
    atomic_size_t said;
    size_t cut;
    int slow_ms;
    size_t spoilt;
    unsigned char mask;
    pthread_t thread;
};

/* ---- bytes ----------------------------------------------------------------------------------- */

int line_hear(line_t *line, void *bytes, size_t length)
{
    unsigned char *at = bytes;

    while (length) {
        ssize_t n = line->ssl ? SSL_read(line->ssl, at, (int)length) : recv(line->fd, at, length, 0);

        if (n <= 0) {
            return 0;
        }
        at += n;
        length -= (size_t)n;
    }
    return 1;
}

size_t line_hear_all(line_t *line, void *bytes, size_t size)
{
    unsigned char *at = bytes;
    size_t length = 0;
    unsigned char byte;

    while (line_hear(line, &byte, 1)) {
        if (length < size) {
            at[length++] = byte;
        }
    }
    return length;
}

static int give(line_t *line, const unsigned char *bytes, size_t length)
{
    while (length) {
        ssize_t n = line->ssl ? SSL_write(line->ssl, bytes, (int)length)
                              : send(line->fd, bytes, length, MSG_NOSIGNAL);

        if (n <= 0) {
            return 0;
        }
        bytes += n;
        length -= (size_t)n;
    }
    return 1;
}

int line_say(line_t *line, const void *bytes, size_t length)
{
    redirection_peer_t *peer = line->peer;
    size_t said = atomic_load(&peer->said);
    size_t room = peer->cut > said ? peer->cut - said : 0;
    unsigned char *copy = malloc(length ? length : 1);
    int ok;

    apr_sleep(apr_time_from_msec(peer->slow_ms));
    memcpy(copy, bytes, length);
    if (peer->spoilt >= said && peer->spoilt < said + length) {
        copy[peer->spoilt - said] ^= peer->mask;
    }
    ok = give(line, copy, length < room ? length : room) && length <= room;
    atomic_fetch_add(&peer->said, length);
    free(copy);
    if (!ok) {
        shutdown(line->fd, SHUT_RDWR);
    }
    return ok;
}

/* ---- login ----------------------------------------------------------------------------------- */

static void md5_hex(char hex[33], const char *text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    EVP_Digest(text, strlen(text), digest, NULL, EVP_md5(), NULL);
    for (int i = 0; i < 16; i++) {
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
    }
}

/* One field of a login: a length byte, then text. */
static size_t split(char fields[8][256], const unsigned char *data, size_t length)
{
    size_t at = 0;
    size_t count = 0;

    while (at < length && count < 8 && data[at] < length - at) {
        memcpy(fields[count], data + at + 1, data[at]);
        fields[count][data[at]] = '\0';
        at += 1 + (size_t)data[at];
        count++;
    }
    return at == length ? count : 0;
}

static int right_answer(char fields[8][256])
{
    char login_hash[33];
    char request_hash[33];
    char text[1024];
    char expected[33];

    md5_hex(login_hash, RIG_USER ":" REALM ":" RIG_PASSWORD);
    md5_hex(request_hash, "POST:/RedirectionService");
    snprintf(text, sizeof(text), "%s:%s:00000002:%s:auth:%s", login_hash, NONCE, fields[4], request_hash);
    md5_hex(expected, text);
    return !strcmp(fields[0], RIG_USER) && !strcmp(fields[1], REALM) && !strcmp(fields[2], NONCE) &&
           !strcmp(fields[3], "/RedirectionService") && strlen(fields[4]) == 32 &&
           !strcmp(fields[5], "00000002") && !strcmp(fields[6], expected) && !strcmp(fields[7], "auth");
}

/* Hears a login of this type into eight fields. */
static int hear_login(line_t *line, int type, char fields[8][256])
{
    unsigned char head[9];
    unsigned char data[2048];
    size_t length;

    memset(fields, 0, (size_t)8 * 256);
    if (!line_hear(line, head, sizeof(head)) || head[0] != 0x13 || head[4] != type) {
        return 0;
    }
    length = (size_t)head[5] | (size_t)head[6] << 8;
    if (length > sizeof(data) || !line_hear(line, data, length)) {
        return 0;
    }
    return type == 0 ? length == 0 : split(fields, data, length) == 8;
}

static int say_challenge(line_t *line)
{
    static const char qop[] = "auth-int, auth";
    unsigned char message[256] = {0x14, 1, 0, 0, 4};
    unsigned char *at = message + 9;
    const char *fields[] = {REALM, NONCE, qop};

    for (int i = 0; i < 3; i++) {
        *at = (unsigned char)strlen(fields[i]);
        memcpy(at + 1, fields[i], *at);
        at += 1 + *at;
    }
    message[5] = (unsigned char)(at - message - 9);
    return line_say(line, message, (size_t)(at - message));
}

int line_let_in(line_t *line, const char *kind)
{
    static const unsigned char started[] = {0x11, 0, 0, 0, 1, 0, 11, 8, 0x57, 1, 0, 0, 3, 'o', 'e', 'm'};
    static const unsigned char kinds[] = {0x14, 0, 0, 0, 0, 3, 0, 0, 0, 1, 3, 4};
    static const unsigned char in[] = {0x14, 0, 0, 0, 4, 0, 0, 0, 0};
    unsigned char start[8];
    char fields[8][256];

    return line_hear(line, start, sizeof(start)) && start[0] == 0x10 && !memcmp(start + 4, kind, 4) &&
           line_say(line, started, sizeof(started)) && hear_login(line, 0, fields) &&
           line_say(line, kinds, sizeof(kinds)) && hear_login(line, 4, fields) &&
           !strcmp(fields[0], RIG_USER) && !strcmp(fields[3], "/RedirectionService") && say_challenge(line) &&
           hear_login(line, 4, fields) && right_answer(fields) && line_say(line, in, sizeof(in));
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void serve(redirection_peer_t *peer, int fd)
{
    line_t line = {.peer = peer, .fd = fd};
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* else Nagle waits 40 ms for each answer */
    atomic_store(&peer->fd, fd);
    if (peer->tls) {
        line.ssl = SSL_new(peer->tls);
        SSL_set_fd(line.ssl, fd);
    }
    if (!line.ssl || SSL_accept(line.ssl) == 1) {
        atomic_fetch_add(&peer->connections, 1);
        peer->play(&line, peer->baton);
        if (line.ssl) {
            SSL_shutdown(line.ssl);
        }
    }
    SSL_free(line.ssl);
    atomic_store(&peer->fd, -1);
    close(fd);
}

static void *run(void *baton)
{
    redirection_peer_t *peer = baton;

    while (!atomic_load(&peer->stopping)) {
        int fd = accept(peer->listener, NULL, NULL);

        if (fd >= 0) {
            serve(peer, fd);
        }
    }
    return NULL;
}

static int listen_somewhere(redirection_peer_t *peer, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};

    for (int attempt = 0; attempt < 100; attempt++) {
        static unsigned int tries;
        unsigned int host =
            0x7f000000U | (((unsigned int)getpid() * 131U + ++tries * 7919U) & 0xfffffeU) | 2U;
        int one = 1;

        address.sin_addr.s_addr = htonl(host);
        peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(peer->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (!bind(peer->listener, (struct sockaddr *)&address, sizeof(address)) &&
            !listen(peer->listener, 4)) {
            inet_ntop(AF_INET, &address.sin_addr, peer->address, sizeof(peer->address));
            return 1;
        }
        close(peer->listener);
    }
    return 0;
}

redirection_peer_t *redirection_peer_start(play_fn play, void *baton, SSL_CTX *tls)
{
    redirection_peer_t *peer = calloc(1, sizeof(*peer));

    assert_non_null(peer);
    signal(SIGPIPE, SIG_IGN);
    peer->play = play;
    peer->baton = baton;
    peer->tls = tls;
    peer->cut = SIZE_MAX;
    peer->spoilt = SIZE_MAX;
    atomic_store(&peer->fd, -1);
    assert_true(listen_somewhere(peer, tls ? 16995 : 16994));
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
    return peer;
}

void redirection_peer_stop(redirection_peer_t *peer)
{
    int fd;

    atomic_store(&peer->stopping, 1);
    shutdown(peer->listener, SHUT_RDWR);
    fd = atomic_load(&peer->fd);
    if (fd >= 0) {
        shutdown(fd, SHUT_RDWR);
    }
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    free(peer);
}

const char *redirection_peer_address(const redirection_peer_t *peer)
{
    return peer->address;
}

int redirection_peer_connections(const redirection_peer_t *peer)
{
    return atomic_load(&peer->connections);
}

void redirection_peer_cut(redirection_peer_t *peer, size_t after)
{
    peer->cut = after;
}

void redirection_peer_slow(redirection_peer_t *peer, int milliseconds)
{
    peer->slow_ms = milliseconds;
}

void redirection_peer_spoil(redirection_peer_t *peer, size_t place, unsigned char mask)
{
    peer->spoilt = place;
    peer->mask = mask;
}

size_t redirection_peer_said(const redirection_peer_t *peer)
{
    return atomic_load(&peer->said);
}
