/* SPDX-License-Identifier: Apache-2.0 */
#include "dns_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_AAAA = 28, HEAD = 12, MOST = 512, PORT_TRIES = 100 };

struct dns_peer_t {
    const dns_name_t *names;
    int udp, tcp, port;
    int stop[2];
    pthread_t thread;
};

/* "pc.example.test" of a question, and what stands behind it; NULL: it is no question. */
static const unsigned char *read_name(const unsigned char *at, const unsigned char *end, char *name)
{
    char *out = name;

    while (at < end && *at != 0) {
        if (at + 1 + *at >= end || out + *at + 1 - name > 255) {
            return NULL;
        }
        memcpy(out, at + 1, *at);
        out += *at;
        *out++ = '.';
        at += 1 + *at;
    }
    *(out > name ? out - 1 : out) = '\0';
    return at + 5 <= end ? at + 1 : NULL;
}

static size_t add_answers(unsigned char *message, size_t length, const char *addresses, int type)
{
    char text[256];
    char *rest = text;
    size_t bytes = type == TYPE_A ? 4 : 16;

    snprintf(text, sizeof(text), "%s", addresses != NULL ? addresses : "");
    for (char *one = strtok_r(text, " ", &rest); one != NULL; one = strtok_r(NULL, " ", &rest)) {
        const unsigned char head[] = {0xc0, HEAD, 0, (unsigned char)type, 0, 1, 0, 0,
                                      0,    60,   0, (unsigned char)bytes};

        memcpy(message + length, head, sizeof(head));
        inet_pton(type == TYPE_A ? AF_INET : AF_INET6, one, message + length + sizeof(head));
        length += sizeof(head) + bytes;
        message[7]++;
    }
    return length;
}

/* Makes an answer of the question, in place; 0: none is sent. */
static size_t answer_question(const dns_peer_t *peer, unsigned char *message, size_t length, int by_udp)
{
    char name[256];
    const unsigned char *behind = length > HEAD ? read_name(message + HEAD, message + length, name) : NULL;
    const dns_name_t *found = peer->names;
    int type;

    if (behind == NULL) {
        return 0;
    }
    type = behind[1];
    while (found->name != NULL && strcasecmp(found->name, name) != 0) {
        found++;
    }
    if (found->silent || (found->drops_six && type == TYPE_AAAA)) {
        return 0;
    }
    message[2] = 0x81; /* an answer */
    message[3] = found->name != NULL ? 0x80 : 0x83;
    memset(message + 6, 0, 6);
    length = (size_t)(behind + 4 - message);
    if (found->truncated && by_udp) {
        message[2] |= 2;
        return length;
    }
    return add_answers(message, length,
                       type == TYPE_AAAA ? found->six
                       : type == TYPE_A  ? found->four
                                         : NULL,
                       type);
}

static void serve_udp(const dns_peer_t *peer)
{
    unsigned char message[2 * MOST];
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t got = recvfrom(peer->udp, message, MOST, 0, (struct sockaddr *)&from, &size);
    size_t length = got > 0 ? answer_question(peer, message, (size_t)got, 1) : 0;

    if (length > 0) {
        sendto(peer->udp, message, length, 0, (struct sockaddr *)&from, size);
    }
}

/* One question a connection, in one piece: a resolver on loopback sends it so. */
static void serve_tcp(const dns_peer_t *peer)
{
    unsigned char message[2 + 2 * MOST];
    int fd = accept(peer->tcp, NULL, NULL);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    ssize_t got = poll(&readable, 1, 2000) == 1 ? recv(fd, message, 2 + MOST, 0) : -1;
    size_t length = got > 2 ? answer_question(peer, message + 2, (size_t)got - 2, 0) : 0;

    if (length > 0) {
        message[0] = (unsigned char)(length >> 8);
        message[1] = (unsigned char)length;
        send(fd, message, length + 2, MSG_NOSIGNAL);
        poll(&readable, 1, 1000); /* until it has been read */
    }
    close(fd);
}

static void *serve(void *data)
{
    const dns_peer_t *peer = data;
    struct pollfd watched[] = {{.fd = peer->udp, .events = POLLIN},
                               {.fd = peer->tcp, .events = POLLIN},
                               {.fd = peer->stop[0], .events = POLLIN}};

    while (poll(watched, 3, -1) > 0 && watched[2].revents == 0) {
        if (watched[0].revents) {
            serve_udp(peer);
        }
        if (watched[1].revents) {
            serve_tcp(peer);
        }
    }
    return NULL;
}

/* A free port for UDP is not always free for TCP: a connection may have it. */
static int bind_both(dns_peer_t *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    peer->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    peer->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(peer->udp, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        getsockname(peer->udp, (struct sockaddr *)&address, &size) == 0 &&
        bind(peer->tcp, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(peer->tcp, 16) == 0) {
        peer->port = ntohs(address.sin_port);
        return 1;
    }
    close(peer->udp);
    close(peer->tcp);
    return 0;
}

dns_peer_t *dns_peer_start(const dns_name_t *names)
{
    dns_peer_t *peer = calloc(1, sizeof(*peer));
    int tries = 0;

    peer->names = names;
    while (!bind_both(peer)) {
        if (++tries == PORT_TRIES) {
            abort();
        }
    }
    if (pipe(peer->stop) != 0 || pthread_create(&peer->thread, NULL, serve, peer) != 0) {
        abort();
    }
    return peer;
}

int dns_peer_port(const dns_peer_t *peer)
{
    return peer->port;
}

void dns_peer_stop(dns_peer_t *peer)
{
    close(peer->stop[1]);
    pthread_join(peer->thread, NULL);
    close(peer->stop[0]);
    close(peer->udp);
    close(peer->tcp);
    free(peer);
}
