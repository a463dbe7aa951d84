/* SPDX-License-Identifier: Apache-2.0 */
/* See channel_priv.h. */
#include "drives/channel_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_ring.h>
#include <event2/event_struct.h>
#include <openssl/crypto.h>

/* Messages of one turn of the loop, so that the drives of others have theirs. */
#define AT_A_TIME 16

/* What the socket has not taken yet; in the secure heap. */
typedef struct packet_t packet_t;
struct packet_t {
    APR_RING_ENTRY(packet_t) link;
    int files[CHANNEL_FILES]; /* its own; -1: none */
    apr_size_t length;
    unsigned char bytes[];
};

struct channel_t {
    int fd;
    channel_events_t events;
    void *baton;
    struct event readable, writable;
    APR_RING_HEAD(packet_ring_t, packet_t) packets;
    int *destroyed; /* set by who destroys it while it calls; NULL: it does not */
};

typedef union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FILES)];
} control_t;

static void close_files(const int files[CHANNEL_FILES])
{
    for (int i = 0; i < CHANNEL_FILES; i++) {
        if (files[i] >= 0) {
            close(files[i]);
        }
    }
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static void attach_files(struct msghdr *header, control_t *control, const int *files)
{
    memset(control, 0, sizeof(*control));
    control->header.cmsg_level = SOL_SOCKET;
    control->header.cmsg_type = SCM_RIGHTS;
    control->header.cmsg_len = CMSG_LEN(sizeof(int) * CHANNEL_FILES);
    memcpy(CMSG_DATA(&control->header), files, sizeof(int) * CHANNEL_FILES);
    header->msg_control = control->bytes;
    header->msg_controllen = sizeof(control->bytes);
}

/* 0: the socket has no room now. */
static int send_packet(const channel_t *channel, const unsigned char *bytes, apr_size_t length,
                       const int *files)
{
    struct iovec data = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
    control_t control;
    ssize_t sent;

    if (files != NULL) {
        attach_files(&header, &control, files);
    }
    do {
        sent = sendmsg(channel->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ||
           (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS && errno != ETOOMANYREFS);
}

static void free_packet(packet_t *packet)
{
    close_files(packet->files);
    OPENSSL_secure_clear_free(packet, sizeof(*packet) + packet->length);
}

static apr_status_t keep_packet(channel_t *channel, const unsigned char *bytes, apr_size_t length,
                                const int *files)
{
    packet_t *packet = OPENSSL_secure_malloc(sizeof(*packet) + length);

    if (packet == NULL) {
        return APR_ENOMEM;
    }
    packet->length = length;
    memcpy(packet->bytes, bytes, length);
    for (int i = 0; i < CHANNEL_FILES; i++) {
        packet->files[i] = files != NULL ? fcntl(files[i], F_DUPFD_CLOEXEC, 0) : -1;
    }
    APR_RING_INSERT_TAIL(&channel->packets, packet, packet_t, link);
    event_add(&channel->writable, NULL);
    return APR_SUCCESS;
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
    channel_t *channel = data;

    (void)fd;
    (void)what;
    while (!APR_RING_EMPTY(&channel->packets, packet_t, link)) {
        packet_t *packet = APR_RING_FIRST(&channel->packets);

        if (!send_packet(channel, packet->bytes, packet->length,
                         packet->files[0] >= 0 ? packet->files : NULL)) {
            return;
        }
        APR_RING_REMOVE(packet, link);
        free_packet(packet);
    }
    event_del(&channel->writable);
}

apr_status_t channel_send(channel_t *channel, const message_t *message, const int *files)
{
    unsigned char *bytes = OPENSSL_secure_malloc(MESSAGE_MAX);
    apr_size_t length = bytes != NULL ? message_write(message, bytes, MESSAGE_MAX) : 0;
    int waits = !APR_RING_EMPTY(&channel->packets, packet_t, link);
    apr_status_t status = APR_SUCCESS;

    if (length == 0) {
        status = bytes != NULL ? APR_ENOSPC : APR_ENOMEM;
    }
    else if (waits || !send_packet(channel, bytes, length, files)) {
        status = keep_packet(channel, bytes, length, files);
    }
    OPENSSL_secure_clear_free(bytes, MESSAGE_MAX);
    return status;
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

static void take_files(struct msghdr *header, int files[CHANNEL_FILES])
{
    const struct cmsghdr *found = CMSG_FIRSTHDR(header);

    for (int i = 0; i < CHANNEL_FILES; i++) {
        files[i] = -1;
    }
    if (found != NULL && found->cmsg_level == SOL_SOCKET && found->cmsg_type == SCM_RIGHTS) {
        memcpy(files, CMSG_DATA(found), found->cmsg_len - CMSG_LEN(0));
    }
}

/* Bytes; 0: the other end is gone; -1: nothing is there now. What is too long is cut, and is no message then. */
static ssize_t receive_packet(const channel_t *channel, unsigned char *bytes, int files[CHANNEL_FILES])
{
    control_t control;
    struct iovec data;
    struct msghdr header = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    ssize_t got;

    data.iov_base = bytes;
    data.iov_len = MESSAGE_MAX;
    do {
        got = recvmsg(channel->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        header.msg_controllen = 0;
        got = errno == EAGAIN || errno == EWOULDBLOCK ? -1 : 0;
    }
    take_files(&header, files);
    return got;
}

static void end_channel(channel_t *channel, const char *why)
{
    event_del(&channel->readable);
    event_del(&channel->writable);
    channel->events.ended(channel->baton, why);
}

/* Nonzero: there may be more. */
static int receive_message(channel_t *channel, unsigned char *bytes)
{
    int files[CHANNEL_FILES], destroyed = 0, good = 0;
    message_t message;
    ssize_t got = receive_packet(channel, bytes, files);

    if (got < 0) {
        return 0;
    }
    channel->destroyed = &destroyed; /* cppcheck-suppress autoVariables ; taken back below */
    good = got > 0 && message_read(&message, bytes, (apr_size_t)got);
    if (good) {
        channel->events.received(channel->baton, &message, files);
        OPENSSL_cleanse(&message, sizeof(message));
    }
    else {
        end_channel(channel, got > 0 ? "what it said is no message" : "it is gone");
    }
    close_files(files);
    if (!destroyed) {
        channel->destroyed = NULL;
    }
    return good && !destroyed;
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
    unsigned char *bytes = OPENSSL_secure_malloc(MESSAGE_MAX);

    (void)fd;
    (void)what;
    if (bytes == NULL) {
        end_channel(data, "memory for secrets ran out");
        return;
    }
    for (int i = 0; i < AT_A_TIME && receive_message(data, bytes); i++) {
    }
    OPENSSL_secure_clear_free(bytes, MESSAGE_MAX);
}

/* ---- begin and end ------------------------------------------------------------------------------------- */

static apr_status_t channel_cleanup(void *data)
{
    channel_t *channel = data;

    if (channel->destroyed != NULL) {
        *channel->destroyed = 1;
    }
    event_del(&channel->readable);
    event_del(&channel->writable);
    while (!APR_RING_EMPTY(&channel->packets, packet_t, link)) {
        packet_t *packet = APR_RING_FIRST(&channel->packets);

        APR_RING_REMOVE(packet, link);
        free_packet(packet);
    }
    close(channel->fd);
    return APR_SUCCESS;
}

static struct ucred other_end(int fd)
{
    struct ucred other = {.pid = -1, .uid = (uid_t)-1};
    socklen_t length = sizeof(other);

    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &length); /* else it stays as it is */
    return other;
}

pid_t channel_process(const channel_t *channel)
{
    pid_t process = other_end(channel->fd).pid;

    return process > 0 ? process : -1; /* 0: of another namespace */
}

apr_status_t channel_create(channel_t **out, struct event_base *base, int fd, const channel_events_t *events,
                            void *baton, apr_pool_t *pool)
{
    channel_t *channel = apr_pcalloc(pool, sizeof(*channel));

    channel->fd = fd;
    channel->events = *events;
    channel->baton = baton;
    if (other_end(fd).uid != geteuid()) {
        close(fd);
        return APR_EACCES;
    }
    APR_RING_INIT(&channel->packets, packet_t, link);
    event_assign(&channel->readable, base, fd, EV_READ | EV_PERSIST, on_readable, channel);
    event_assign(&channel->writable, base, fd, EV_WRITE | EV_PERSIST, on_writable, channel);
    event_add(&channel->readable, NULL);
    apr_pool_cleanup_register(pool, channel, channel_cleanup, apr_pool_cleanup_null);
    *out = channel;
    return APR_SUCCESS;
}
